"""Neuron: one number of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.optimization.objective import Objective, ObjectiveGraph, at_place, one_channel
from xaionnx.parameters import integer, name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Neuron(Objective):
    """What a channel of a layer looks for at one place, by default the middle.

    References
    ----------
    Erhan, Bengio, Courville and Vincent, Visualizing higher-layer features of a deep network, 2009.
    """

    reference: ClassVar[str] = "Erhan et al. 2009"

    layer: str | None = name("tensor inside the model")
    channel: int = integer(0, "number of the channel, from 0", low=0)
    row: int | None = integer(None, "row in the layer, from 0; the middle if not given", low=0, optional=True)
    column: int | None = integer(None, "column in the layer, from 0; the middle if not given", low=0, optional=True)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        found, extent = one_channel(graph, self.layer, self.channel)
        return graph.mean(at_place(graph, found, extent, (self.row, self.column)), 1)
