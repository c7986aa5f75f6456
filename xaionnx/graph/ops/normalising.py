"""Normalisations: ops that divide numbers by a statistic of all of them."""

from __future__ import annotations

from xaionnx.graph.element_rules import (
    after_channel_elements,
    all_but_batch_elements,
    channel_elements,
    last_axes_elements,
    one_axis_elements,
    softmax_elements,
)
from xaionnx.graph.locality import RANK, Field, LocalStep, alone, same_field
from xaionnx.graph.op import Kind, Op
from xaionnx.graph.roles import window_roles


def _normalise_channels(step: LocalStep) -> Field | None:
    """Local if the op normalises the last axis alone and that is the channel axis."""
    over_channels = step.attributes["axis"] % RANK == step.channels == RANK - 1
    return step.field if alone(step) and over_channels and len(step.node.output) == 1 else None


def _normalise_across_channels(step: LocalStep) -> Field | None:
    return same_field(step) if step.channels == 1 else None


_NORMALISES = Kind.NORMALISES

OPS = (
    Op("LayerNormalization", _NORMALISES, local=_normalise_channels, elements=last_axes_elements),
    Op("LRN", _NORMALISES, local=_normalise_across_channels, elements=channel_elements, roles=window_roles),
    Op("Softmax", _NORMALISES, elements=softmax_elements, not_negative=True, gate=2),
    Op("LogSoftmax", _NORMALISES, elements=softmax_elements),
    Op("InstanceNormalization", _NORMALISES, elements=after_channel_elements, roles=window_roles),
    Op("GroupNormalization", _NORMALISES, elements=all_but_batch_elements, roles=window_roles),
    Op("RMSNormalization", _NORMALISES, elements=last_axes_elements),
    Op("LpNormalization", _NORMALISES, elements=one_axis_elements),
    Op("MeanVarianceNormalization", _NORMALISES),
)
