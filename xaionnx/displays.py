"""What the samples of a request look like, kept with its result so that it can draw itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.data.display import Display, numbers_of, pictures_of
from xaionnx.layers.series import series

if TYPE_CHECKING:
    from xaionnx.request import Request


def displays(request: Request) -> dict[str, Display]:
    """The displays of a request by input name, the explained input first.

    A picture is one by the spec or by its shape, a series by the convolutions that run along it, a row by its one axis;
    of other inputs nothing is kept.
    """
    first, spec = request.samples[0], request.model.spec
    names = [request.main, *(name for name in first.own if name != request.main)]
    found: dict[str, Display] = {}
    for name in names:
        array = request.feeds[name]
        if first.axes(name) is not None and array.dtype.kind in "fiu":
            found[name] = pictures_of(request.samples, name)
        elif array.ndim == 2:
            columns = () if spec is None or name != request.main else spec.columns
            found[name] = numbers_of(array, "row", columns)
        elif name == request.main and (over := series(request.model, first)) is not None:
            found[name] = numbers_of(array, "series", channel=over.channel)
    return found
