"""Spatial: all channels of a layer at one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.optimization.objective import Objective, ObjectiveGraph, at_place
from xaionnx.parameters import integer, name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Spatial(Objective):
    """The mean square of all channels at one place of a layer, by default the middle: what excites the place at all.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"

    layer: str | None = name("tensor inside the model")
    row: int | None = integer(None, "row in the layer, from 0; the middle if not given", low=0, optional=True)
    column: int | None = integer(None, "column in the layer, from 0; the middle if not given", low=0, optional=True)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        planes, (channels, height, width) = graph.planes(self.layer)
        found = at_place(graph, planes, (height, width), (self.row, self.column))
        return graph.mean(graph.g.op("Mul", found, found), channels)
