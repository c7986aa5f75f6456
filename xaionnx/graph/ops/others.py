"""Ops of kinds that have no common rule beyond the derivative."""

from __future__ import annotations

from xaionnx.graph.axis_factors import AxisFactor, Layout
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.element_rules import scattered_elements
from xaionnx.graph.op import Kind, Op, if_first_known, unknown_axes


def _attention_axes(step: AxisStep) -> Layout | None:
    if step.index:
        return None
    return (*step.layout[:-1], (AxisFactor("C", step.size(len(step.layout) - 1)),))


OPS = (
    *(Op(name, Kind.ROUNDS) for name in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")),
    *(Op(name, Kind.READS_SHAPE, unknown_axes) for name in ("Shape", "Size")),
    *(Op(name, Kind.READS_SHAPE) for name in ("EyeLike", "RandomNormalLike", "RandomUniformLike", "ConstantOfShape")),
    *(Op(name, Kind.OTHER, if_first_known(_attention_axes)) for name in ("Attention", "MultiHeadAttention")),
    *(
        Op(name, Kind.OTHER, unknown_axes)
        for name in (
            "LSTM", "GRU", "RNN", "If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "OneHot", "GridSample",
            "AffineGrid", "RoiAlign", "MaxRoiPool",
        )
    ),
    *(Op(name, Kind.OTHER, elements=scattered_elements) for name in ("ScatterElements", "ScatterND")),
    *(Op(name, Kind.OTHER) for name in ("Range", "Det", "Hardmax")),
)  # fmt: skip
