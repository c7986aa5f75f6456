"""The layers of ``xaionnx inspect``: where they are, and what their axes mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from xaionnx.data.sample import Sample
from xaionnx.graph.op import find_op
from xaionnx.layers.axes import Axes, AxesOverInput, BatchAxes, inputs_with_maps
from xaionnx.layers.shapes import shapes_of
from xaionnx.layers.spatial_map import SpatialMap
from xaionnx.runtime.model import Model
from xaionnx.typing import Document

_MAX_LISTED: Final = 12
_ROLES: Final = {"C": "channel", "T": "position", "R": "row", "D": "space", "H": "space", "W": "space", "1": "one"}


def placed(model: Model, found: Sequence[Document], sample: Sample | None) -> list[Document]:
    """Return layers with their depth, from 0 at the input to 1, and their place over the input if they have one."""
    whole = max(len(found) - 1, 1)
    places = [None] * len(found) if sample is None else _places(model, found, sample)
    return [
        {**layer, "depth": round(number / whole, 3), "place": place}
        for number, (layer, place) in enumerate(zip(found, places, strict=True))
    ]


def _places(model: Model, found: Sequence[Document], sample: Sample) -> list[Document | None]:
    """The positions of layers over an input: how many along each axis, of how many; None for those without."""
    known = shapes_of(model, sample)
    batch = BatchAxes.of(model, {key: x.shape for key, x in sample.own.items()})
    inputs = [(one, AxesOverInput.of(model, one)) for one in inputs_with_maps(model, sample)]
    places: list[Document | None] = []
    for name in (layer["name"] for layer in found):
        shape = [-1 if size is None else size for size in known.get(name, ())]
        if not shape or -1 in shape:
            places.append(None)
            continue
        lead = batch.at(name, shape)
        rest = [size for axis, size in enumerate(shape) if axis != lead]
        over = (_place(axes.at(name, rest), rest, one) for one, axes in inputs)
        places.append(next(filter(None, over), None))
    return places


def _place(axes: Axes, shape: list[int], sample: Sample) -> Document | None:
    """The positions of a layer of known axes; None if it has none."""
    field = SpatialMap.at(axes, shape, sample)
    if field is None:
        return None
    held = [shape[axis] for axis in axes.positions] or list(field.axes.grid or shape[:1])
    channels = math.prod(shape[axis] for axis in axes.values) if axes.positions else shape[1]
    roles = [_ROLES[letter] for letter in axes.letters] if axes.positions else ["token", "channel"]
    of = [sample.array.shape[axis] for axis in field.over or (0,)]
    return {"input": sample.main, "positions": held, "of": of, "channels": channels, "roles": roles}


def place_text(layer: Document) -> str:
    """Return where a layer is, in words."""
    place, depth = layer.get("place"), layer.get("depth")
    parts = []
    if place is not None:
        held, of = (" x ".join(map(str, place[key])) for key in ("positions", "of"))
        many = "" if place["channels"] == 1 else "s"
        parts.append(f"{held} over {place['input']} {of}, {place['channels']} channel{many}")
    if depth is not None:
        parts.append(f"depth {100 * depth:.0f} %")
    return "; ".join(parts)


def select_layers(found: list[Document], main: Sequence[int | str | None]) -> list[Document]:
    """Select the layers to list: the last one of each number of positions over an input that does more than move them.

    Where positions are not known, the last one of each map size (h, w) among those of shape (N, C, h, w). If there are
    none and the explained input, of shape ``main``, may be a series, the last layer (N, C, t) of each length; otherwise
    the last layers of the graph.
    """
    places: dict[tuple[object, ...], Document] = {}
    for layer in found:
        place = layer.get("place")
        if place is not None:
            key = (place["input"], *place["positions"])
            if key in places and find_op(layer["op"]).carries:
                continue  # the same numbers in another order or shape
            places.pop(key, None)
            places[key] = layer
    if places:
        return list(places.values())[-_MAX_LISTED:]
    for axes in (4, 3) if len(main) == 3 else (4,):
        last: dict[tuple[object, ...], Document] = {}
        for layer in found:
            shape = layer["shape"]
            if (
                shape is not None
                and len(shape) == axes
                and set(shape[2:]) != {1}
                and _may_start_with_batch(shape, main[0])
            ):
                last.pop(tuple(shape[2:]), None)
                last[tuple(shape[2:])] = layer
        if last:
            return list(last.values())[-_MAX_LISTED:]
    return found[-_MAX_LISTED:]


def _may_start_with_batch(shape: Sequence[int | str | None], batch: int | str | None) -> bool:
    """Whether the first axis may be the batch; recurrent ops output (T, directions, N, H)."""
    first, *others = shape
    if isinstance(batch, int):
        return not isinstance(first, int) or first == batch
    return not isinstance(first, int) and (batch is None or batch not in others)
