"""Ops that divide numbers by what all of them make."""

from __future__ import annotations

from xaionnx.graph.locality import RANK, Field, LocalStep, alone, kept
from xaionnx.graph.op import Kind, Op


def _over_channels(step: LocalStep) -> Field | None:
    """Of a normalisation over the last axis, if that holds the channels of one place."""
    own = step.attributes["axis"] % RANK == step.channels == RANK - 1
    return step.field if alone(step) and own and len(step.node.output) == 1 else None


def _across_channels(step: LocalStep) -> Field | None:
    return kept(step) if step.channels == 1 else None


_NORMALISES = Kind.NORMALISES

OPS = (
    Op("LayerNormalization", _NORMALISES, local=_over_channels),
    Op("LRN", _NORMALISES, local=_across_channels),
    Op("Softmax", _NORMALISES, not_negative=True, gate=2),
    *(
        Op(name, _NORMALISES)
        for name in (
            "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization",
            "MeanVarianceNormalization", "LogSoftmax",
        )
    ),
)  # fmt: skip
