"""Straight lines across the absent steps of a series, as nodes before the model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.series import time_positions
from xaionnx.typing import DType

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


def series_view(sample: Sample, name: str, sizes: tuple[int, ...] = ()) -> tuple[int, int, int]:
    """Return the sizes (A, L, B) of a series: before, along and after its time.

    Those of an array that broadcasts to it with ``sizes``, if given; its axis of time has the length of the series.
    """
    found = time_positions(sample, name) or sample.placed("Interpolation", name)
    (axis,) = found.axes
    shape = sample.x[name].shape
    sizes = (1,) * (len(shape) - len(sizes)) + sizes if sizes else shape
    return math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :])


def emit_interpolation(
    g: Builder, sample: Sample, name: str, x: ir.Value, present: ir.Value, baseline: ir.Value | None
) -> ir.Value:
    """Add nodes for a series with straight lines across its absent steps, as `fills.fill_interpolated` writes it.

    ``present`` is bool (M, ...) and broadcasts to the input; a ``baseline`` of None is zero.
    """
    shape, dtype = sample.x[name].shape, sample.x[name].dtype
    view = series_view(sample, name)
    length = view[1]
    work = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)

    def as_series(value: ir.Value) -> ir.Value:
        return g.reshape(value, np.array([-1, *view], dtype=np.int64))

    # The mask of all elements: a bool has no addition.
    whole = g.op("Or", present, np.zeros((1, *shape), dtype=bool))
    here = as_series(whole)
    steps = np.arange(length, dtype=np.float32).reshape(1, 1, -1, 1)
    before, after = g.op("Where", here, steps, np.float32(-1)), g.op("Where", here, steps, np.float32(length))
    along = np.array([2], dtype=np.int64)
    shift = 1
    # Each round doubles the steps that are looked at: a running maximum, and a minimum from behind.
    while shift < length:
        pads = [0, 0, shift, 0, 0, 0, 0, 0]
        earlier = g.op("Slice", before, np.array([0]), np.array([length - shift]), along)
        before = g.op("Max", before, g.op("Pad", earlier, np.array(pads), np.float32(-1)))
        later = g.op("Slice", after, np.array([shift]), np.array([length]), along)
        after = g.op("Min", after, g.op("Pad", later, np.array(pads[4:] + pads[:4]), np.float32(length)))
        shift *= 2
    none_before, none_after = g.op("Less", before, np.float32(0)), g.op("GreaterOrEqual", after, np.float32(length))
    first, last = g.op("Where", none_before, after, before), g.op("Where", none_after, before, after)
    distance = g.op("Max", g.op("Sub", last, first), np.float32(1))
    share = g.op("Cast", g.op("Div", g.op("Sub", steps, first), distance), to=int(_onnx_type(work)))
    wide = g.op("Cast", as_series(x), to=int(_onnx_type(work)))
    copies = g.op("Expand", wide, g.op("Shape", here))
    low, high = (_taken(g, copies, place, length) for place in (first, last))
    line = g.op("Add", low, g.op("Mul", g.op("Sub", high, low), share))
    line = g.op("Round", line) if dtype.kind in "iu" else line
    filled = g.reshape(g.op("Cast", line, to=int(_onnx_type(dtype))), np.array([-1, *shape], dtype=np.int64))
    nothing = g.reshape(g.op("And", none_before, none_after), np.array([-1, *shape], dtype=np.int64))
    absent = g.op("Where", nothing, dtype.type(0) if baseline is None else baseline, filled)
    return g.op("Where", present, x, absent)


def _taken(g: Builder, copies: ir.Value, place: ir.Value, length: int) -> ir.Value:
    index = g.op(
        "Cast", g.op("Clip", place, np.float32(0), np.float32(length - 1)), to=int(_onnx_type(np.dtype("int64")))
    )
    return g.op("GatherElements", copies, index, axis=2)


def _onnx_type(dtype: DType) -> ir.DataType:
    import onnx_ir as ir

    return ir.DataType.from_numpy(dtype)
