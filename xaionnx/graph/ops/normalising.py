"""Normalisations: ops that divide numbers by a statistic of all of them."""

from __future__ import annotations

from xaionnx.graph.locality import RANK, Field, LocalStep, alone, same_field
from xaionnx.graph.op import Kind, Op


def _normalise_channels(step: LocalStep) -> Field | None:
    """Local if the op normalises the last axis alone and that is the channel axis."""
    over_channels = step.attributes["axis"] % RANK == step.channels == RANK - 1
    return step.field if alone(step) and over_channels and len(step.node.output) == 1 else None


def _normalise_across_channels(step: LocalStep) -> Field | None:
    return same_field(step) if step.channels == 1 else None


_NORMALISES = Kind.NORMALISES

OPS = (
    Op("LayerNormalization", _NORMALISES, local=_normalise_channels),
    Op("LRN", _NORMALISES, local=_normalise_across_channels),
    Op("Softmax", _NORMALISES, not_negative=True, gate=2),
    *(
        Op(name, _NORMALISES)
        for name in (
            "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization",
            "MeanVarianceNormalization", "LogSoftmax",
        )
    ),
)  # fmt: skip
