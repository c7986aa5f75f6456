"""What a record says about the inputs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.data.display import Display
from xaionnx.data.sample import Positions
from xaionnx.displays import displays
from xaionnx.graph.missing_values import nan_handling
from xaionnx.layers.embeddings import embeddings
from xaionnx.perturb.background import replacement
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.element_types import has_nan, is_row
from xaionnx.record.hashes import sample_sha256s
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, BaselineLike, Document

if TYPE_CHECKING:
    from xaionnx.attribution import Attribution
    from xaionnx.explainer import Explainer
    from xaionnx.request import Request


_FAR: Final = 5.0
_FLAT: Final = 0.02


def of_all_samples(request: Request) -> Document:
    """Entries of the provenance with one entry a sample, of all samples together: one hash, and the common file."""
    digest = hashlib.sha256("".join(sample_sha256s(request)).encode()).hexdigest()
    found: Document = {"input_sha256": [digest]}
    given = request.inputs.provenance()
    files = list(dict.fromkeys(without_row(name) for name in given.get("inputs", ())))
    hashes = list(dict.fromkeys(given.get("file_sha256", ())))
    if files:
        found |= {"inputs": [", ".join(files)], "file_sha256": [hashes[0] if len(hashes) == 1 else None]}
    return found


def without_row(name: str) -> str:
    """Return the file of a sample's name, without the number of its row.

    Examples
    --------
    >>> without_row("rows.csv[17]"), without_row("series.csv:3"), without_row("cat.png")
    ('rows.csv', 'series.csv', 'cat.png')
    """
    return re.sub(r"(\[\d+\]|:\d+)$", "", name)


def columns_alone(request: Request) -> dict[str, Display]:
    """The names, units and words of the columns, without any row; of other inputs nothing is kept."""
    return {name: one.some([]) for name, one in displays(request).items() if one.kind == "row"}


def left_as_is(request: Request, attribution: Attribution) -> Document:
    """The inputs that the values do not cover, by name: what each is for, ``data`` if it could have been explained.

    Values of a layer cover the data on which it depends. Data on which no target depends are not listed.
    """
    model, view = request.model, request.model.view
    known = set(attribution.values)
    if not known <= set(model.purposes):
        # Whether the layer is a tensor of the file or of a rewritten graph, it follows the explained input.
        layers = known & {*view.tensor_names} - set(model.purposes)
        known |= {request.main, *(name for name in model.purposes if layers & view.descendants([name]))}
    left = {name: str(purpose) for name, purpose in model.purposes.items() if name not in attribution.values}
    targets = {*request.tensors}
    for name in [name for name, purpose in left.items() if purpose == "data"]:
        if name in known or targets.isdisjoint(view.data_descendants([name])):
            del left[name]
    return {"left_as_is": left} if left else {}


def zero_by_default(explainer: Explainer, request: Request, attribution: Attribution) -> Document:
    """The explained rows of tables whose baseline is zero because none was given."""
    explained = [name for name in attribution.values if name in request.feeds]
    # The path to a layer starts at the explained input.
    rows = [name for name in explained or [request.main] if _is_row(request, name)]
    found: list[str] = []
    for given in _given_baselines(explainer, attribution):
        known = given if isinstance(given, Mapping) else given.parts if isinstance(given, ByInput) else None
        found += [name for name in rows if given is None or (known is not None and name not in known)]
    return {"zero_by_default": found} if found else {}


def _given_baselines(explainer: Explainer, attribution: Attribution) -> Iterator[BaselineLike]:
    """The baselines as given, of a method and of its inner method; that of a method that is only named is None."""
    if hasattr(explainer, "baseline"):
        yield replacement(explainer)
    if hasattr(attribution.parameters.get("inner"), "baseline"):
        yield replacement(getattr(explainer, "inner", None))


def _is_row(request: Request, name: str) -> bool:
    """Whether an input is a row of a table. Whole numbers are one if they are not looked up, as tokens are."""
    sample = request.samples[0]
    x, fixed = sample.x[name], name in sample.purposes and not sample.purposes[name].is_free
    if sample.spec is None and name == request.main and x.ndim == 1 and x.dtype.kind in "iu":
        return fixed and not embeddings(request.model)
    return is_row(sample, name)


def nan_not_taken(request: Request) -> Document:
    """The inputs that hold NaN although the graph does not treat it as a missing value; empty if there are none."""
    view = request.model.view
    names = [
        n for n, x in request.feeds.items() if x.dtype.kind == "f" and has_nan(x) and nan_handling(view, n) is None
    ]
    return {"nan_not_taken": names} if names else {}


def axes_facts(request: Request) -> Document:
    """What the axes of the inputs mean and where that is known from, and whether the rows are one sample."""
    axes = request.model.axes
    guessed = [name for name in request.samples[0].own if _is_guessed(request.samples[0].positions(name))]
    return {
        "axes": {one.name: str(axes.of(one.name)) for one in axes.inputs},
        **({"guessed_axes": guessed} if guessed else {}),
        **({"rows": axes.rows} if axes.rows else {}),
        **({"fixed_batch": request.model.fixed_batch} if request.model.fixed_batch else {}),
    }


def _is_guessed(positions: Positions | None) -> bool:
    return positions is not None and positions.guessed


def off_scale(model: Model, x: Array) -> Document:
    """The range of a picture's numbers, where it is not that of the spec's black and white; empty where it is.

    Off is what reaches further than `_FAR` times the span of black and white, as pixels do that were not scaled, or
    varies by less than the share `_FLAT` of it, as pictures from 0 to 1 do where the model takes 0 to 255.
    """
    spec = model.spec
    if spec is None or spec.guessed or spec.kind != "picture" or x.dtype.kind != "f":
        return {}
    ends = np.stack([spec.pixel(0), spec.pixel(255)])
    black, white = float(ends[0].flat[0]), float(ends[1].flat[0])
    low, high = float(x.min()), float(x.max())
    span = float(ends.max() - ends.min())
    far = max(float(ends.min()) - low, high - float(ends.max())) > _FAR * span
    flat = 0 < high - low < _FLAT * span
    return {"off_scale": {"given": [low, high], "black_and_white": [black, white]}} if far or flat else {}
