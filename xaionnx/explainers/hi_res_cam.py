"""HiResCAM: the gradient times the activation at each position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula
from xaionnx.parameters import flag

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class HiResCam(CamFormula, ByLayerGradient, CamExplainer):
    """The gradient times the activation at each position, summed over the channels::

        map[i, j] = sum_k dy/dA_k[i, j] A_k[i, j]

    Gradients are not averaged, so the map shows only positions that the model used: with one linear layer after the
    layer it sums to the target without the bias. The map is signed, as in the paper.

    Notes
    -----
    When to use: Convolutional classifiers, as ``grad_cam``, when the map must show only positions that the model used;
    with a linear head it sums to the score without the bias.

    When not to use: Fine detail, because the map is as coarse as the layer. With a deeper head it does not sum to the
    target.

    References
    ----------
    Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks,
    2020, arXiv:2011.08891, equation 5.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> model = planted.load(planted.net_b())
    >>> xaionnx.explain(model, x, HiResCam(layer="relu1"), 0).maps["cam"][0]
    array([[ 0.,  4.],
           [25., 25.]], dtype=float32)
    """

    reference: ClassVar[str] = "Draelos and Carin 2020, arXiv:2011.08891"

    relu: bool = flag(False, "keep only what raises the target; False gives the signed map, as in the paper")

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(gradient, activation)
