"""Arithmetic of two or more tensors, with broadcasting."""

from __future__ import annotations

from xaionnx.graph.dependence import same_elements
from xaionnx.graph.locality import Field, LocalStep, same_field
from xaionnx.graph.op import Broadcast, Kind, Op
from xaionnx.graph.roles import window_roles


def _per_channel(step: LocalStep) -> Field | None:
    """One factor a channel, along the second axis; in training mode it depends on the batch, and is not local."""
    training = step.attributes.get("training_mode", 0) != 0
    return None if training or step.channels != 1 else same_field(step)


OPS = (
    *(Op(name, Kind.ADDS, broadcasts=Broadcast()) for name in ("Add", "Sub", "Sum", "Mean")),
    Op("Mul", Kind.SCALES, broadcasts=Broadcast()),
    Op("Div", Kind.SCALES, broadcasts=Broadcast()),
    Op("Neg", Kind.SCALES, local=same_field, elements=same_elements),
    Op("BatchNormalization", Kind.SCALES, local=_per_channel, elements=same_elements, roles=window_roles),
    Op("Max", Kind.SELECTS, broadcasts=Broadcast()),
    Op("Min", Kind.SELECTS, broadcasts=Broadcast()),
    Op("Mod", Kind.OTHER, broadcasts=Broadcast()),
)
