"""Grad-CAM++: gradients weighted by position, so that several objects count equally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class GradCamPp(CamFormula, ByLayerGradient, CamExplainer):
    """Grad-CAM with gradients averaged with a weight per position, so that objects of any size count::

        alpha_k[i, j] = g^2 / (2 g^2 + g^3 sum_ab A_k[a, b])      with g = dy/dA_k[i, j]
        w_k = sum_ij alpha_k[i, j] max(0, g)
        map = max(0, sum_k w_k A_k)

    This is the closed form for exp(y), without the factor exp(y) that all positions and channels share; alpha is 0
    where g is.

    Notes
    -----
    When to use: Pictures that show a class several times or in small, which the mean of Grad-CAM can underrate.

    When not to use: To tell classes apart: it drops evidence against the class, and so marks other objects more often
    than ``grad_cam``.

    References
    ----------
    Chattopadhyay, Sarkar, Howlader and Balasubramanian, Grad-CAM++: improved visual explanations for deep
    convolutional networks, WACV 2018, arXiv:1710.11063, equations 5 and 19.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, GradCamPp(layer="relu1"), 0).maps["cam"][0].round(3)
    array([[0.   , 0.208],
           [1.871, 2.73 ]], dtype=float32)
    """

    reference: ClassVar[str] = "Chattopadhyay et al. 2018, arXiv:1710.11063"

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        # One factor g is cancelled in alpha, because the cube of g would be lost to rounding.
        rising = ops.positive(gradient)
        weights = ops.total(ops.quotient(rising, 2.0 + rising * ops.total(activation)))
        return ops.weighted_sum(weights, activation)
