"""Diversity: pictures that differ in what a layer finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Diversity(Objective):
    """How much pictures differ, by the cosines of the Gram matrices G = F F' of a layer's maps F (channels, places)::

        - mean over the other pictures j of <G_i, G_j> / (|G_i| |G_j|)

    Added to a unit, with a ``count`` of 2 or more, it shows the several things that the unit looks for.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007, on diversity.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"
    joint: ClassVar[bool] = True

    layer: str | None = name("tensor inside the model")

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        g, count = graph.g, graph.count
        if count < 2:
            raise ParameterError("Diversity compares pictures with each other. Give a 'count' of 2 or more.")
        planes, (channels, height, width) = graph.planes(self.layer)
        maps = g.reshape(planes, np.array([0, channels, height * width], dtype=np.int64))
        gram = g.op("MatMul", maps, g.op("Transpose", maps, perm=[0, 2, 1]))
        flat = g.reshape(gram, np.array([0, channels**2], dtype=np.int64))
        square = graph.mean(g.op("Mul", flat, flat), channels**2)
        unit = g.op("Div", flat, g.op("Sqrt", g.op("Add", g.op("Mul", square, channels**2), 1e-12)))
        cosines = g.op("MatMul", unit, g.op("Transpose", unit, perm=[1, 0]))
        rows = g.op("Gather", g.op("Shape", flat), np.array([0], dtype=np.int64), axis=0)
        ones = g.op("Expand", np.ones((1, 1), np.float32), g.op("Concat", rows, np.array([1], dtype=np.int64), axis=0))
        # The cosine with itself is 1.
        total = g.op("MatMul", cosines, ones)
        return g.op("Div", g.op("Sub", 1.0, total), count - 1)
