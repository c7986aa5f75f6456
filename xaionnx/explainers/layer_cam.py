"""Layer-CAM: the activation times the positive part of the gradient at each position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class LayerCam(CamFormula, ByLayerGradient, CamExplainer):
    """The activation times the positive part of the gradient at each position::

        w_k[i, j] = max(0, dy/dA_k[i, j])
        map = max(0, sum_k w_k A_k)

    Because each position has its own weight, early layers give detailed maps too.

    Notes
    -----
    When to use: Finer class activation maps from earlier layers.

    When not to use: To tell classes apart, or to see evidence against the target: negative gradients are dropped.

    References
    ----------
    Jiang, Zhang, Hou, Cheng and Wei, LayerCAM: exploring hierarchical class activation maps for localization, IEEE
    Transactions on Image Processing 30, 2021, doi:10.1109/TIP.2021.3089943, equations 5 to 7.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, LayerCam(layer="relu1"), 0).maps["cam"][0]
    array([[ 0.,  4.],
           [31., 40.]], dtype=float32)
    """

    reference: ClassVar[str] = "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943"

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(ops.positive(gradient), activation)
