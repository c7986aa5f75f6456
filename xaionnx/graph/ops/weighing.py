"""Layers: sums of products of two operands, one of which is the weights."""

from __future__ import annotations

from dataclasses import replace

from xaionnx.graph.axis_factors import AxisFactor, Layout, mixed_axis, spatial_factor
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.element_rules import conv_elements, conv_transpose_elements, gemm_elements, matmul_elements
from xaionnx.graph.locality import RANK, Field, LocalStep, alone, not_local, sliding_field
from xaionnx.graph.op import Broadcast, Kind, Op, if_first_known
from xaionnx.graph.roles import product_roles, row_roles, window_roles


def window_axes(step: AxisStep) -> Layout:
    """A window slides along the axes after the channels, which are assumed to come first."""
    layout, op_type = step.layout, step.node.op_type
    strides, kernel = step.attributes.get("strides", ()), step.attributes.get("kernel_shape", ())
    channels = layout[1] if op_type.endswith("Pool") else (AxisFactor("C", step.size(1)),)
    result = [layout[0], tuple(replace(p, kind="?") if p.is_spatial else p for p in channels)]
    for at, axis in enumerate(layout[2:]):
        stride, size = strides[at] if at < len(strides) else 1, step.size(at + 2)
        part = spatial_factor(axis)
        if part is not None:
            covered = part.covered // part.stride
            covered = covered * stride if op_type == "ConvTranspose" else -(-covered // stride)
            result.append((AxisFactor.spatial(part.kind, size, min(covered, size) if size else covered),))
        elif at < len(kernel) and kernel[at] == stride == 1:
            result.append(axis)
        else:
            result.append(mixed_axis(axis, size))
    return tuple(result)


def _matmul_axes(step: AxisStep) -> Layout | None:
    """Rows of the first factor, columns of the second."""
    one, other = step.operand(0), step.operand(1)
    out = step.node.output[0]
    columns = other[-1] if other else (AxisFactor("C", step.size(-1, out)),)
    if one:
        return (*one[:-1], columns)
    if len(other) < 2:
        return None
    return (*other[:-2], (AxisFactor("C", step.size(len(other) - 2, out)),), columns)


def _matmul_field(step: LocalStep) -> Field | None:
    matrix = len(step.constants.get(step.node.input[1], ())) == 2
    return step.field if alone(step) and matrix and step.channels == RANK - 1 else None


def _gemm_axes(step: AxisStep) -> Layout | None:
    return None if step.attributes.get("transA") else (*step.layout[:-1], (AxisFactor("C", step.size(-1)),))


_WEIGHS = Kind.WEIGHS

OPS = (
    Op("Conv", _WEIGHS, if_first_known(window_axes), sliding_field, conv_elements, roles=window_roles),
    Op("FusedConv", _WEIGHS, if_first_known(window_axes), elements=conv_elements, roles=window_roles),
    Op("ConvTranspose", _WEIGHS, if_first_known(window_axes), elements=conv_transpose_elements, roles=window_roles),
    Op("Gemm", _WEIGHS, if_first_known(_gemm_axes), not_local, gemm_elements, Broadcast((2,)), roles=row_roles),
    Op("MatMul", _WEIGHS, _matmul_axes, _matmul_field, matmul_elements, Broadcast(exempt=2), roles=product_roles),
    *(Op(name, Kind.OTHER, if_first_known(window_axes), roles=window_roles) for name in ("QLinearConv", "ConvInteger")),
    Op("DeformConv", Kind.OTHER, roles=window_roles),
    *(Op(name, Kind.OTHER, roles=product_roles) for name in ("MatMulInteger", "QLinearMatMul")),
)
