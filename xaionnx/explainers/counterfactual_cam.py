"""Counterfactual Grad-CAM: the regions that lower the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT
    from xaionnx.explanation import ValueKind


@final
@dataclass(frozen=True, kw_only=True)
class CounterfactualCam(CamFormula, ByLayerGradient, CamExplainer):
    """Grad-CAM of the negative target: the regions whose removal would raise the target::

        w_k = 1/Z sum_ij -dy/dA_k[i, j]
        map = max(0, sum_k w_k A_k)

    Notes
    -----
    When to use: To see which regions lower the target, such as a second object.

    When not to use: When a changed input is wanted: it changes no pixel. If nothing lowers the target, the map is
    empty.

    References
    ----------
    Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV 2017,
    arXiv:1610.02391, section 3.3, equation 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, CounterfactualCam(layer="conv", relu=False), 0).maps["cam"][0]
    array([[-11.25, -13.5 ],
           [-20.25, -22.5 ]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "hindrance"
    reference: ClassVar[str] = "Selvaraju et al. 2017, arXiv:1610.02391"

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(-1.0 * ops.mean(gradient), activation)
