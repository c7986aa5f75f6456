"""The axis of the channels of a tensor inside a model, by the way of the input's positions through the graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from xaionnx.graph.axis_factors import Axis, AxisFactor, Layout
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.view import GraphView
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model

# Numbers of positions for an input of free size: those of a photo or a second of sound, of a short text, of a minute
# of sound. Networks shrink maps by factors of two, which divide their sides.
_POSITIONS: Final = (2**16, 2**8, 2**20)
_SIDE: Final = 32
# Channels of an input that leaves their number free.
_CHANNELS: Final = 3


def inner_channel_axis(model: Model, tensor: str, shape: Sequence[int], of_input: int) -> int | None:
    """Return the only axis of a tensor, after the batch, that holds no positions of the explained input.

    None if there is none, or it is not known. Where sizes of the input are free, positions are followed for sizes that
    a network may take, because the number of channels does not depend on them.

    Parameters
    ----------
    model : Model
    tensor : str
    shape : sequence of int
        Its shape for the samples at hand.
    of_input : int
        The axis of the input's channels; all others after the batch are positions.
    """
    for sizes in _input_sizes(model, of_input):
        layout = _layouts(model, sizes, of_input).get(tensor, ())
        others = [axis for axis in range(1, len(layout)) if not _has_positions(layout[axis])]
        if len(layout) == len(shape) and len(others) == 1:
            (axis,) = others
            if math.prod(factor.size for factor in layout[axis]) in (0, shape[axis]):
                return axis
    return None


def _input_sizes(model: Model, of_input: int) -> Iterator[tuple[int, ...]]:
    """Sizes of one sample of the explained input: as declared, by the spec, or else some that networks take."""
    main, spec = model.input(), model.spec
    declared: list[int | str | None] = list(main.shape[1:])
    if not isinstance(declared[of_input - 1], int):
        declared[of_input - 1] = _CHANNELS
    if spec is not None and spec.kind == "picture" and spec.size is not None:
        for axis, size in zip(spec.spatial_axes, spec.size, strict=True):
            declared[axis - 1] = size if not isinstance(declared[axis - 1], int) else declared[axis - 1]
    # Axes of one name have one size; those without a name, one each, so that they are not taken for each other.
    names = [size if isinstance(size, str) else axis for axis, size in enumerate(declared) if not isinstance(size, int)]
    free = list(dict.fromkeys(names))
    for positions in _POSITIONS if free else (1,):
        side = round(positions ** (1 / max(1, len(free)))) // _SIDE * _SIDE or _SIDE
        chosen = {name: side + number * _SIDE for number, name in enumerate(free)}
        yield tuple(
            size if isinstance(size, int) else chosen[size if isinstance(size, str) else axis]
            for axis, size in enumerate(declared)
        )


def _layouts(model: Model, sizes: tuple[int, ...], of_input: int) -> Mapping[str, Layout]:
    main = model.input().name

    def find(view: GraphView) -> Mapping[str, Layout]:
        start: list[Axis] = [(AxisFactor("N", 1),)]
        for axis, size in enumerate(sizes, start=1):
            start.append((AxisFactor("C", size) if axis == of_input else AxisFactor.spatial(str(axis), size, size),))
        return propagate_axes(view, {main: tuple(start)}, view.shapes({main: (1, *sizes)})).layouts

    return graph_fact(model, ("channels inside", main, sizes, of_input), find)


def _has_positions(axis: Axis) -> bool:
    return any(factor.is_spatial or factor.kind == "?" for factor in axis)
