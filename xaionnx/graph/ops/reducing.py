"""Ops that reduce many numbers to one: over windows, whole maps or axes, and cumulative sums."""

from __future__ import annotations

from xaionnx.graph.axis_factors import AxisFactor, Layout, spatial_factor
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.element_rules import (
    after_channel_elements,
    cumulated_elements,
    picked_elements,
    pooled_elements,
    reduced_elements,
    resized_elements,
)
from xaionnx.graph.locality import sliding_field
from xaionnx.graph.op import Kind, Op, broadcast_axes, if_first_known, unknown_axes
from xaionnx.graph.ops.moving import mix_axes, resize_axes
from xaionnx.graph.ops.weighing import window_axes
from xaionnx.graph.roles import waveform_roles, window_roles


def _reduce_axes(step: AxisStep) -> Layout | None:
    layout, arg = step.layout, step.node.op_type.startswith("Arg")
    if len(layout) < 2:
        return broadcast_axes(step)
    axes = step.numbers(1, "axis" if arg else "axes")
    if axes is None and any(step.node.input[1:]):
        return None
    every = set() if step.attributes.get("noop_with_empty_axes", 0) else set(range(len(layout)))
    gone = {axis % len(layout) for axis in axes} if axes else every
    kept = step.attributes.get("keepdims", 1)
    return tuple(() if at in gone else axis for at, axis in enumerate(layout) if kept or at not in gone)


def _global_pool_axes(step: AxisStep) -> Layout:
    return (*step.layout[:2], *(() for _ in step.layout[2:]))


def _cumsum_axes(step: AxisStep) -> Layout:
    axes, rank = step.numbers(1), len(step.layout)
    return mix_axes(step, set(range(rank)) if axes is None else {axis % rank for axis in axes})


def _stft_axes(step: AxisStep) -> Layout | None:
    """A window slides along time; frequencies, and the parts of a complex number, are channels."""
    part, hop, size = spatial_factor(step.layout[1]), step.numbers(1), step.size(1)
    if part is None or not hop or not size:
        return None
    covered = -(-part.covered // (part.stride * hop[0]))
    frames = (AxisFactor.spatial(part.kind, size, min(covered, size)),)
    return (step.layout[0], frames, *((AxisFactor("C", step.size(at)),) for at in (2, 3)))


def _dft_axes(step: AxisStep) -> Layout:
    axis = step.numbers(2, "axis") or [-2]
    return mix_axes(step, {axis[0] % len(step.layout)})


_ADDS, _SELECTS, _OTHER = Kind.ADDS, Kind.SELECTS, Kind.OTHER
_WINDOW, _POOLED = if_first_known(window_axes), if_first_known(_global_pool_axes)

OPS = (
    Op("AveragePool", _ADDS, _WINDOW, sliding_field, pooled_elements, keeps_sign=True, roles=window_roles),
    Op("MaxPool", _SELECTS, _WINDOW, sliding_field, pooled_elements, keeps_sign=True, roles=window_roles),
    Op("LpPool", _OTHER, _WINDOW, elements=pooled_elements, not_negative=True, roles=window_roles),
    Op("GlobalAveragePool", _ADDS, _POOLED, elements=after_channel_elements, keeps_sign=True, roles=window_roles),
    Op("GlobalMaxPool", _SELECTS, _POOLED, elements=after_channel_elements, keeps_sign=True, roles=window_roles),
    Op("GlobalLpPool", _OTHER, _POOLED, elements=after_channel_elements, not_negative=True, roles=window_roles),
    Op("ReduceSum", _ADDS, _reduce_axes, elements=reduced_elements, keeps_sign=True),
    Op("ReduceMean", _ADDS, _reduce_axes, elements=reduced_elements, keeps_sign=True),
    Op("ReduceMax", _SELECTS, _reduce_axes, elements=reduced_elements, keeps_sign=True),
    Op("ReduceMin", _SELECTS, _reduce_axes, elements=reduced_elements, keeps_sign=True),
    Op("ReduceProd", _OTHER, _reduce_axes, elements=reduced_elements, keeps_sign=True),
    *(
        Op(f"Reduce{name}", _OTHER, _reduce_axes, elements=reduced_elements, not_negative=True)
        for name in ("L1", "L2", "SumSquare")
    ),
    *(Op(f"Reduce{name}", _OTHER, _reduce_axes, elements=reduced_elements) for name in ("LogSum", "LogSumExp")),
    Op("ArgMax", _OTHER, _reduce_axes, elements=reduced_elements),
    Op("ArgMin", _OTHER, _reduce_axes, elements=reduced_elements),
    Op("CumSum", _ADDS, if_first_known(_cumsum_axes), elements=cumulated_elements, keeps_sign=True),
    Op("TopK", _SELECTS, unknown_axes, elements=picked_elements),
    Op("Resize", _ADDS, if_first_known(resize_axes), elements=resized_elements),
    Op("Upsample", _ADDS, if_first_known(resize_axes), elements=resized_elements),
    Op("Col2Im", _ADDS),
    Op("DFT", _ADDS, if_first_known(_dft_axes), both_signs=True),
    Op("STFT", _ADDS, if_first_known(_stft_axes), both_signs=True, roles=waveform_roles),
)
