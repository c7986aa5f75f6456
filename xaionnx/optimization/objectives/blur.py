"""Blur: what a picture loses when it is blurred, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.optimization.objective import Objective, ObjectiveGraph
from xaionnx.parameters import real

if TYPE_CHECKING:
    import onnx_ir as ir


@final
@dataclass(frozen=True, kw_only=True)
class Blur(Objective):
    """The mean squared difference of what the model sees and the same blurred, to be subtracted from another objective.

    Forms larger than ``sigma`` pixels cost nothing, finer ones what they are.

    References
    ----------
    Yosinski et al., Understanding neural networks through deep visualization, 2015, arXiv:1506.06579, section 3.
    """

    reference: ClassVar[str] = "Yosinski et al. 2015, arXiv:1506.06579"

    sigma: float = real(1.5, "deviation of the blur, in pixels", low=0, high=50, low_open=True)

    def emit(self, graph: ObjectiveGraph) -> ir.Value:
        g = graph.g
        pictures, (channels, height, width) = graph.pictures()
        # A product with one matrix for rows and one for columns, whose border is repeated.
        rows, columns = _blurring(height, self.sigma), _blurring(width, self.sigma)
        blurred = g.op("MatMul", g.op("MatMul", rows, pictures), np.ascontiguousarray(columns.T))
        lost = g.op("Sub", pictures, blurred)
        return graph.mean(g.op("Mul", lost, lost), channels * height * width)


def _blurring(size: int, sigma: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The matrix (size, size) of a Gaussian blur."""
    from scipy import ndimage

    blurred = ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode="nearest")
    return np.ascontiguousarray(blurred, dtype=np.float32)
