"""Series: inputs of channels and time that convolutions run along, and the tensors that keep their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Layout, Part, place_on
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView


@final
@dataclass(frozen=True)
class Series:
    """How the axes of a series read, and those of what is made of it.

    Attributes
    ----------
    channel : int
        The axis of the channels of the input, behind the batch: 0 or 1; time is the other.
    letters : dict of str to str
        For each tensor that keeps the places ``C``, ``T`` and for an axis of one number ``1``, behind the batch.
    """

    channel: int
    letters: Mapping[str, str]

    __repr__ = short_repr


def series(model: Model, sample: Sample) -> Series | None:
    """How the explained input reads as a series; None where it is none, or no convolution says which axis is time."""
    if sample.array.ndim != 2 or sample.array.dtype.kind != "f":
        return None
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    key = ("series", sample.main, tuple(sizes.items()))
    return graph_fact(model, key, lambda view: _series(view, sample.main, sizes))


def _series(view: GraphView, start: str, sizes: Mapping[str, tuple[int, ...]]) -> Series | None:
    known = view.shapes(sizes)
    batch, *held = known.get(start) or sizes[start]
    long = [size or own for size, own in zip(held, sizes[start][1:], strict=True)]

    def layout(channel: int | None) -> Layout:
        axes = [(Part("C", n) if axis == channel else Part.place("UV"[axis], n, n),) for axis, n in enumerate(long)]
        return (Part("N", batch or 1),), *axes

    along = propagate_axes(view, {start: layout(None)}, known).run_along
    kinds = "".join(part.kind for part in along[1]) if along else ""
    if kinds not in ("U", "V"):
        return None
    channel = "UV".index(kinds)
    found = propagate_axes(view, {start: layout(channel)}, known).layouts
    read = {name: _letters(axes) for name, axes in found.items()}
    return Series(channel, {name: letters for name, letters in read.items() if letters})


def _letters(layout: Layout) -> str:
    """``C``, ``T`` and ``1`` for the axes behind the batch; none where time is on none of them, or channels on two."""
    if not layout or any(part.placed for part in layout[0]):
        return ""
    letters = "".join("T" if place_on(axis) else "C" if axis else "1" for axis in layout[1:])
    if "C" not in letters:
        letters = letters.replace("1", "C", 1)
    return letters if letters.count("T") == letters.count("C") == 1 else ""
