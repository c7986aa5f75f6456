"""Ops of kinds that have no common rule beyond the derivative."""

from __future__ import annotations

from xaionnx.graph.axis_factors import AxisFactor, Layout
from xaionnx.graph.axis_propagation import AxisStep
from xaionnx.graph.element_rules import scattered_elements
from xaionnx.graph.op import Kind, Op, if_first_known, unknown_axes
from xaionnx.graph.roles import recurrent_roles, table_roles, token_roles, window_roles


def _attention_axes(step: AxisStep) -> Layout | None:
    if step.index:
        return None
    return (*step.layout[:-1], (AxisFactor("C", step.size(len(step.layout) - 1)),))


def _recurrent_axes(step: AxisStep) -> Layout | None:
    """Time, directions, samples and features; the last states have no time."""
    layout, first = step.layout, step.attributes.get("layout", 0)
    if len(layout) != 3:
        return None
    time, sample = (layout[1], layout[0]) if first else (layout[0], layout[1])
    width = (AxisFactor("C", step.attributes.get("hidden_size", 0)),)
    directions = (AxisFactor("C", 2 if step.attributes.get("direction") == "bidirectional" else 1),)
    state = (sample, directions) if first else (directions, sample)
    if step.index:
        return (*state, width)
    return (sample, time, directions, width) if first else (time, directions, sample, width)


OPS = (
    *(Op(name, Kind.ROUNDS) for name in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")),
    *(Op(name, Kind.READS_SHAPE, unknown_axes) for name in ("Shape", "Size")),
    *(Op(name, Kind.READS_SHAPE) for name in ("EyeLike", "RandomNormalLike", "RandomUniformLike", "ConstantOfShape")),
    *(
        Op(name, Kind.OTHER, if_first_known(_attention_axes), roles=token_roles)
        for name in ("Attention", "MultiHeadAttention")
    ),
    *(Op(name, Kind.OTHER, _recurrent_axes, roles=recurrent_roles) for name in ("LSTM", "GRU", "RNN")),
    *(
        Op(name, Kind.OTHER, unknown_axes, roles=table_roles)
        for name in (
            "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "LinearClassifier", "LinearRegressor",
            "SVMClassifier", "SVMRegressor",
        )
    ),
    *(Op(name, Kind.OTHER, unknown_axes, roles=window_roles) for name in ("GridSample", "RoiAlign", "MaxRoiPool")),
    *(
        Op(name, Kind.OTHER, unknown_axes)
        for name in (
            "If", "Loop", "Scan", "NonZero", "NonMaxSuppression", "OneHot", "AffineGrid",
        )
    ),
    *(Op(name, Kind.OTHER, elements=scattered_elements) for name in ("ScatterElements", "ScatterND")),
    *(Op(name, Kind.OTHER) for name in ("Range", "Det", "Hardmax")),
)  # fmt: skip
