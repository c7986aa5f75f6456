"""Ops that make one number of many: windows, whole maps, axes, and running sums."""

from __future__ import annotations

from xaionnx.graph.axis_factors import Layout
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.locality import slid
from xaionnx.graph.op import Kind, Op, aligned, along_first, not_followed
from xaionnx.graph.ops.moving import mixed, rescaled
from xaionnx.graph.ops.weighing import run_along


def _reduced(step: AxisStep) -> Layout | None:
    layout, arg = step.layout, step.node.op_type.startswith("Arg")
    if len(layout) < 2:
        return aligned(step)
    axes = step.numbers(1, "axis" if arg else "axes")
    if axes is None and any(step.node.input[1:]):
        return None
    every = set() if step.attributes.get("noop_with_empty_axes", 0) else set(range(len(layout)))
    gone = {axis % len(layout) for axis in axes} if axes else every
    kept = step.attributes.get("keepdims", 1)
    return tuple(() if at in gone else axis for at, axis in enumerate(layout) if kept or at not in gone)


def _pooled(step: AxisStep) -> Layout:
    return (*step.layout[:2], *(() for _ in step.layout[2:]))


def _summed_up(step: AxisStep) -> Layout:
    axes, rank = step.numbers(1), len(step.layout)
    return mixed(step, set(range(rank)) if axes is None else {axis % rank for axis in axes})


_ADDS, _SELECTS, _OTHER = Kind.ADDS, Kind.SELECTS, Kind.OTHER
_RUN, _POOLED = along_first(run_along), along_first(_pooled)

OPS = (
    Op("AveragePool", _ADDS, _RUN, slid, keeps_sign=True),
    Op("MaxPool", _SELECTS, _RUN, slid, keeps_sign=True),
    Op("LpPool", _OTHER, _RUN),
    Op("GlobalAveragePool", _ADDS, _POOLED, keeps_sign=True),
    Op("GlobalMaxPool", _SELECTS, _POOLED),
    Op("GlobalLpPool", _OTHER, _POOLED),
    Op("ReduceSum", _ADDS, _reduced),
    Op("ReduceMean", _ADDS, _reduced, keeps_sign=True),
    Op("ReduceMax", _SELECTS, _reduced),
    Op("ReduceMin", _SELECTS, _reduced),
    *(Op(f"Reduce{name}", _OTHER, _reduced) for name in ("Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")),
    Op("ArgMax", _OTHER, _reduced),
    Op("ArgMin", _OTHER, _reduced),
    Op("CumSum", _ADDS, along_first(_summed_up)),
    Op("TopK", _SELECTS, not_followed),
    Op("Resize", _ADDS, along_first(rescaled)),
    Op("Upsample", _ADDS, along_first(rescaled)),
    Op("Col2Im", _ADDS),
    Op("DFT", _ADDS, not_followed, both_signs=True),
    Op("STFT", _ADDS, not_followed, both_signs=True),
)
