"""Caricature: more of what a layer finds in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, final

import numpy as np

from xaionnx.data.inputs import Given
from xaionnx.errors import ParameterError
from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import free, name

if TYPE_CHECKING:
    import onnx_ir as ir

# The least cosine that counts, so that there is a slope where the two have nothing in common.
_LEAST: Final = 0.1


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Caricature(Objective):
    """What a layer finds in a picture, drawn larger, by its activations h and those of the picture, h0::

        mean(h h0) * max(cos(h, h0), 0.1)^2

    The product alone is as large for anything that excites the layer much; the cosine keeps to the picture.

    References
    ----------
    Olah, Mordvintsev and Schubert, Feature visualization, Distill 2017, doi:10.23915/distill.00007, with the power of
    the cosine from Carter et al., Activation atlas, Distill 2019, doi:10.23915/distill.00015.
    """

    reference: ClassVar[str] = "Olah et al. 2017, doi:10.23915/distill.00007"

    layer: str | None = name("tensor inside the model")
    picture: Given | None = free(None, "a picture, as a file or an array", "picture that is drawn")

    def given_pictures(self) -> tuple[Given, ...]:
        return () if self.picture is None else (self.picture,)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        g = graph.g
        flat, count = graph.flat(self.layer)
        wanted = graph.activations(self.layer, self.picture).astype(np.float32)
        length = float(np.linalg.norm(wanted))
        if not length > 0 or not np.isfinite(length):
            raise ParameterError(f"Layer '{self.layer}' is 0 or not finite for the picture. Name another layer.")
        product = g.op("MatMul", flat, wanted[:, None] / count)
        square = graph.mean(g.op("Mul", flat, flat), count)
        size = g.op("Sqrt", g.op("Add", square, 1e-12))
        cosine = g.op("Div", g.op("Mul", product, count**0.5 / length), size)
        kept = g.op("Max", cosine, np.full((1, 1), _LEAST, dtype=np.float32))
        return g.op("Mul", product, g.op("Mul", kept, kept))
