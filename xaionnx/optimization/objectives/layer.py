"""Layer: everything that a layer finds, as in deep dreams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Layer(Objective):
    """The mean square of a layer: whatever it finds becomes more. From a photo it makes a deep dream.

    References
    ----------
    Mordvintsev, Olah and Tyka, Inceptionism: going deeper into neural networks, 2015.
    """

    reference: ClassVar[str] = "Mordvintsev et al. 2015"

    layer: str | None = name("tensor inside the model")

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        planes, (channels, height, width) = graph.planes(self.layer)
        return graph.mean(graph.g.op("Mul", planes, planes), channels * height * width)
