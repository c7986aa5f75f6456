"""Layers: sums of products of two operands, one of which holds weights."""

from __future__ import annotations

from dataclasses import replace

from xaionnx.graph.axis_factors import Layout, Part, lost, whole_on
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.locality import RANK, Field, LocalStep, alone, not_local, slid
from xaionnx.graph.op import Broadcast, Kind, Op, along_first, not_followed


def run_along(step: AxisStep) -> Layout:
    """A window slides along the axes behind the channels, which are taken to come first."""
    layout, op_type = step.layout, step.node.op_type
    step.walk.run_along = step.walk.run_along or layout
    strides, kernel = step.attributes.get("strides", ()), step.attributes.get("kernel_shape", ())
    channels = layout[1] if op_type.endswith("Pool") else (Part("C", step.size(1)),)
    made = [layout[0], tuple(replace(p, kind="?") if p.placed else p for p in channels)]
    for at, axis in enumerate(layout[2:]):
        stride, size = strides[at] if at < len(strides) else 1, step.size(at + 2)
        part = whole_on(axis)
        if part is not None:
            due = part.due // part.under
            due = due * stride if op_type == "ConvTranspose" else -(-due // stride)
            made.append((Part.place(part.kind, size, min(due, size) if size else due),))
        elif at < len(kernel) and kernel[at] == stride == 1:
            made.append(axis)
        else:
            made.append(lost(axis, size))
    return tuple(made)


def _product(step: AxisStep) -> Layout | None:
    """Rows are those of the first factor, columns those of the second."""
    one, other = step.operand(0), step.operand(1)
    out = step.node.output[0]
    columns = other[-1] if other else (Part("C", step.size(-1, out)),)
    if one:
        return (*one[:-1], columns)
    if len(other) < 2:
        return None
    return (*other[:-2], (Part("C", step.size(len(other) - 2, out)),), columns)


def _product_field(step: LocalStep) -> Field | None:
    matrix = len(step.constants.get(step.node.input[1], ())) == 2
    return step.field if alone(step) and matrix and step.channels == RANK - 1 else None


def _affine(step: AxisStep) -> Layout | None:
    return None if step.attributes.get("transA") else (*step.layout[:-1], (Part("C", step.size(-1)),))


_WEIGHS = Kind.WEIGHS

OPS = (
    Op("Conv", _WEIGHS, along_first(run_along), slid),
    Op("FusedConv", _WEIGHS, along_first(run_along)),
    Op("ConvTranspose", _WEIGHS, along_first(run_along)),
    Op("Gemm", _WEIGHS, along_first(_affine), not_local, Broadcast((2,))),
    Op("MatMul", _WEIGHS, _product, _product_field, Broadcast(exempt=2)),
    Op("Einsum", _WEIGHS, not_followed),
    *(Op(name, Kind.OTHER, along_first(run_along)) for name in ("QLinearConv", "ConvInteger")),
    *(Op(name, Kind.OTHER) for name in ("DeformConv", "MatMulInteger", "QLinearMatMul")),
)
