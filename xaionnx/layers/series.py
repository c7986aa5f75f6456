"""Series: inputs of channels and time, and the tensors that keep their time axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import AxisFactor, Layout, covering_factor
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


@final
@dataclass(frozen=True)
class Series:
    """The axes of a series, and those of the tensors computed from it.

    Attributes
    ----------
    channel : int
        The channel axis of the input, without the batch: 0 or 1; time is the other.
    letters : dict of str to str
        For each tensor that keeps the time axis, a letter an axis without the batch: ``C``, ``T``, or ``1`` for an axis
        of size one.
    """

    channel: int
    letters: Mapping[str, str]

    __repr__ = short_repr


def series(model: Model, sample: Sample) -> Series | None:
    """Return the explained input as a series; None if it is not one, or nothing shows which axis is time."""
    found = sample.positions()
    if sample.array.ndim != 2 or sample.array.dtype.kind != "f" or found is None or len(found.axes) != 1:
        return None
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    channel = found.values[0]
    key = ("series", sample.main, channel, tuple(sizes.items()))
    return graph_fact(model, key, lambda view: Series(channel, _all_letters(view, sample.main, sizes, channel)))


def _all_letters(view: GraphView, start: str, sizes: Mapping[str, tuple[int, ...]], channel: int) -> Mapping[str, str]:
    """The letters of each tensor that keeps the time axis."""
    known = view.shapes(sizes)
    batch, *inferred = known.get(start) or sizes[start]
    long = [size or own for size, own in zip(inferred, sizes[start][1:], strict=True)]
    axes = [(AxisFactor("C", n) if axis == channel else AxisFactor.spatial("T", n, n),) for axis, n in enumerate(long)]
    found = propagate_axes(view, {start: ((AxisFactor("N", batch or 1),), *axes)}, known).layouts
    read = {name: _letters(layout) for name, layout in found.items()}
    return {name: letters for name, letters in read.items() if letters}


def _letters(layout: Layout) -> str:
    """A letter ``C``, ``T`` or ``1`` for each axis after the batch; empty unless one is of time and one of channels."""
    if not layout or any(part.is_spatial for part in layout[0]):
        return ""
    letters = "".join("T" if covering_factor(axis) else "C" if axis else "1" for axis in layout[1:])
    if "C" not in letters:
        letters = letters.replace("1", "C", 1)
    return letters if letters.count("T") == letters.count("C") == 1 else ""
