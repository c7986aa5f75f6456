"""Direction: a combination of the channels of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.optimization.objective import Objective, ObjectiveGraph, normalised
from xaionnx.parameters import free, name
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Direction(Objective):
    """The mean of a weighted sum of the channels of a layer, such as a concept's vector or a point between two units.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"

    layer: str | None = name("tensor inside the model")
    weights: Array | None = free(None, "an array (C,)", "weight of each channel; their length does not count")

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        planes, (channels, height, width) = graph.planes(self.layer)
        if self.weights is None or np.size(self.weights) != channels:
            given = "none" if self.weights is None else f"{np.size(self.weights)}"
            raise ParameterError(f"Layer '{self.layer}' has {channels} channels: give as many weights. Got {given}.")
        # The mean over all channels, times their number, is that of their sum.
        kernel = channels * normalised(self.weights).reshape(1, channels, 1, 1)
        return graph.mean(graph.g.op("Mul", planes, kernel), channels * height * width)
