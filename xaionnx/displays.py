"""What the samples of a request look like, kept with its result so that it can draw itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.data.display import Display, pictures_of, rows_of, series_of, texts_of, volumes_of

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample
    from xaionnx.request import Request


def _is_picture(sample: Sample, name: str) -> bool:
    """Whether an input has rows and columns, with or without channels."""
    found = sample.positions(name)
    return found is not None and found.is_picture and len(found.values) <= 1


def _is_volume(sample: Sample, name: str) -> bool:
    found = sample.positions(name)
    return found is not None and found.is_volume and len(found.values) == 1


def displays(request: Request) -> dict[str, Display]:
    """The displays of a request by input name, the explained input first.

    Pictures, volumes and series are those by the roles of their axes, rows have one axis; of other inputs nothing is
    kept.
    """
    first, spec = request.samples[0], request.model.spec
    names = [request.main, *(name for name in first.own if name != request.main)]
    found: dict[str, Display] = {}
    for name in names:
        array = request.feeds[name]
        if name == request.main and first.text is not None:
            found[name] = texts_of(request.samples, array)
            continue
        if first.text is not None:
            # Masks and the like of a text.
            continue
        if _is_picture(first, name) and array.dtype.kind in "fiu":
            found[name] = pictures_of(request.samples, name)
        elif _is_volume(first, name) and array.dtype.kind in "fiu":
            found[name] = volumes_of(request.samples, name)
        elif (drawn := series_of(array, first, name)) is not None:
            found[name] = drawn
        elif array.ndim == 2:
            columns = request.inputs.columns.get(name, () if spec is None or name != request.main else spec.columns)
            units = () if spec is None else [spec.units.get(column, "") for column in columns]
            found[name] = rows_of(array, columns, units, {} if spec is None else spec.categories)
    return found
