"""Norm: how far colours are from gray, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import real

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Norm(Objective):
    """The distance from gray of what the model sees, s from 0 to 1, to be subtracted from another objective::

        mean |2 (s - 0.5)|^power

    1 and 2 are L1 and L2; 6, the alpha norm, leaves colours free and only keeps them from their ends.

    References
    ----------
    Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034, for L2; Mahendran and Vedaldi 2015, arXiv:1412.0035, section
    3, for the alpha norm.
    """

    reference: ClassVar[str] = "Simonyan et al. 2014, arXiv:1312.6034, and Mahendran and Vedaldi 2015, arXiv:1412.0035"

    power: float = real(2.0, "1 for L1, 2 for L2, 6 for the alpha norm", low=1, high=20)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        g = graph.g
        pictures, (channels, height, width) = graph.pictures()
        size = g.op("Abs", g.op("Sub", g.op("Mul", pictures, 2.0), 1.0))
        raised = size if self.power == 1 else g.op("Pow", size, self.power)
        return graph.mean(raised, channels * height * width)
