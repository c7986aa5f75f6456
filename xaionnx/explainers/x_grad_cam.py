"""XGrad-CAM: the mean gradient of each channel, weighted by its activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class XGradCam(CamFormula, ByLayerGradient, CamExplainer):
    """Grad-CAM with gradients averaged with the activations as weights::

        w_k = sum_ij A_k[i, j] dy/dA_k[i, j] / sum_ij A_k[i, j]
        map = max(0, sum_k w_k A_k)

    Among methods with one weight per channel, these maps sum to the target most closely (sensitivity and conservation).
    A channel that sums to zero has weight 0.

    Notes
    -----
    When to use: Convolutional classifiers, as ``grad_cam``, when the weighted channels should sum to the target as
    nearly as one weight per channel allows.

    When not to use: Layers whose channels sum to nearly zero, as after a normalisation: the weights then become very
    large.

    References
    ----------
    Fu, Hu, Dong, Guo, Gao and Li, Axiom-based Grad-CAM: towards accurate visualization and explanation of CNNs,
    BMVC 2020, arXiv:2008.02312, equation 8.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, XGradCam(layer="relu1"), 0).maps["cam"][0]
    array([[ 0.,  4.],
           [25., 25.]], dtype=float32)
    """

    reference: ClassVar[str] = "Fu et al. 2020, arXiv:2008.02312"

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(ops.quotient(ops.total(gradient * activation), ops.total(activation)), activation)
