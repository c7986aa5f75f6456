"""Inversion: the activations of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.data.inputs import Given
from xaionnx.errors import ParameterError
from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import free, name

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Inversion(Objective):
    """What a layer keeps of a picture, by other pictures with the same activations h, those of the picture being h0::

        - |h - h0|^2 / |h0|^2

    0 is the highest value: nothing of the layer tells the two apart.

    References
    ----------
    Mahendran and Vedaldi, Understanding deep image representations by inverting them, CVPR 2015, arXiv:1412.0035,
    equation 2.
    """

    reference: ClassVar[str] = "Mahendran and Vedaldi 2015, arXiv:1412.0035"

    layer: str | None = name("tensor inside the model")
    picture: Given | None = free(None, "a picture, as a file or an array", "picture whose activations are searched for")

    def given_pictures(self) -> tuple[Given, ...]:
        return () if self.picture is None else (self.picture,)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        flat, count = graph.flat(self.layer)
        wanted = graph.activations(self.layer, self.picture).astype(np.float32)
        length = float(np.square(wanted, dtype=np.float64).sum())
        if not length > 0 or not np.isfinite(length):
            raise ParameterError(f"Layer '{self.layer}' is 0 or not finite for the picture. Name another layer.")
        gap = graph.g.op("Sub", flat, wanted[None])
        return graph.g.op("Mul", graph.mean(graph.g.op("Mul", gap, gap), count), -count / length)
