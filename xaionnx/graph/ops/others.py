"""Ops that need rules of their own wherever more than their derivative is asked."""

from __future__ import annotations

from xaionnx.graph.axis_factors import Layout, Part
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.op import Kind, Op, along_first, not_followed


def _attended(step: AxisStep) -> Layout | None:
    if step.index:
        return None
    return (*step.layout[:-1], (Part("C", step.size(len(step.layout) - 1)),))


OPS = (
    *(Op(name, Kind.ROUNDS) for name in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")),
    *(Op(name, Kind.READS_SHAPE, not_followed) for name in ("Shape", "Size")),
    *(Op(name, Kind.READS_SHAPE) for name in ("EyeLike", "RandomNormalLike", "RandomUniformLike", "ConstantOfShape")),
    *(Op(name, Kind.OTHER, along_first(_attended)) for name in ("Attention", "MultiHeadAttention")),
    *(
        Op(name, Kind.OTHER, not_followed)
        for name in (
            "LSTM", "GRU", "RNN", "If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "OneHot", "GridSample",
            "AffineGrid", "RoiAlign", "MaxRoiPool",
        )
    ),
    *(Op(name, Kind.OTHER) for name in ("ScatterElements", "ScatterND", "Range", "Det", "Hardmax")),
)  # fmt: skip
