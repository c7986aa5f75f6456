"""Channel: the mean of a channel over its positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.optimization.objective import Objective, ObjectiveGraph, one_channel
from xaionnx.parameters import integer, name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Channel(Objective):
    """What a channel of a layer looks for, wherever it is: the mean of its map.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"

    layer: str | None = name("tensor inside the model")
    channel: int = integer(0, "number of the channel, from 0", low=0)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        found, (height, width) = one_channel(graph, self.layer, self.channel)
        return graph.mean(found, height * width)
