"""Grad-CAM: the channels of a layer, weighted by the mean gradient of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class GradCam(CamFormula, ByLayerGradient, CamExplainer):
    """The channels of a layer, weighted by the mean gradient of the target over each channel::

        w_k = 1/Z sum_ij dy/dA_k[i, j]
        map = max(0, sum_k w_k A_k)

    With a head of global average pooling and one linear layer it is the class activation map divided by the number Z of
    positions. The model is cut at the layer: the part before it runs once, for the prediction, and the gradient is that
    of the part after it.

    Notes
    -----
    When to use: A first choice for convolutional classifiers: it depends on the class and costs one gradient of the
    last layers.

    When not to use: Fine detail, because the map is as coarse as the layer. Where gradients vary over the layer, their
    mean can mark positions that the model did not use; ``hi_res_cam`` does not average.

    References
    ----------
    Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra, Grad-CAM: visual explanations from deep networks via
    gradient-based localization, ICCV 2017, arXiv:1610.02391, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, GradCam(layer="relu1"), 0).maps["cam"][0]
    array([[ 0. ,  4. ],
           [28. , 32.5]], dtype=float32)
    """

    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv:1610.02391"

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(ops.mean(gradient), activation)
