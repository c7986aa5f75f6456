"""Eigen-Grad-CAM: the first principal component of the gradient times the activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.components import first_component
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient
from xaionnx.parameters import flag
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class EigenGradCam(ByLayerGradient, CamExplainer):
    """Eigen-CAM of the gradient times the activation, which makes it depend on the target::

        B_k = A_k dy/dA_k
        B (h w, D) = U S V^T
        map = max(0, B V_1)

    The arbitrary sign of the singular vector is chosen so that the map agrees with the sum of B over the channels:
    positive values raise the target.

    Notes
    -----
    When to use: A class activation map reduced to its main component, which drops scattered noise.

    When not to use: Several objects or patterns of one class, of which it keeps the strongest component only. The
    values have no unit and do not sum to the target.

    References
    ----------
    Gildenblat and contributors, PyTorch library for CAM methods, 2021, https://github.com/jacobgil/pytorch-grad-cam,
    which introduced it without a paper; after Muhammad and Yeasin, Eigen-CAM, IJCNN 2020, arXiv:2008.00299.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> xaionnx.explain(planted.load(planted.net_b()), x, EigenGradCam(layer="relu1"), 0).maps["cam"][0][1].round(2)
    array([31.39, 42.64], dtype=float32)
    """

    reference: ClassVar[str] = "Gildenblat and contributors 2021, pytorch-grad-cam"

    centred: bool = flag(False, "subtract each channel's mean first, as principal components do")

    def map_at_layer(self, planes: Array, gradient: Array) -> Array:
        return first_component(planes * gradient, self.centred)
