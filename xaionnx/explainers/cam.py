"""Class activation mapping: the channels before global pooling, with the weights of the linear head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._cams.cam import CamExplainer
from xaionnx.explainers._cams.gradient_cam import ByLayerGradient, CamFormula
from xaionnx.layers.linear_head import obstacle, spatial_axes_of_layer
from xaionnx.parameters import flag
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import logits_of

if TYPE_CHECKING:
    from xaionnx.explainers._cams.cam_ops import CamOps, PlanesT


@final
@dataclass(frozen=True, kw_only=True)
class Cam(CamFormula, ByLayerGradient, CamExplainer):
    """The channels before global average pooling, with the weights of the linear layer after it::

        y = sum_k w_k mean_ij A_k[i, j] + b
        map[i, j] = sum_k w_k A_k[i, j]

    The mean of the signed map is the score without the bias. Only pooling and linear ops may stand between the layer
    and the target. The weights are obtained by one backward pass through the head, so no op before the layer needs a
    gradient rule.

    Notes
    -----
    When to use: Models that end in global average pooling and one linear layer: the map is exact, its mean is the score
    without the bias, and it costs about one run.

    When not to use: Any other head, which is refused; use ``grad_cam`` or ``hi_res_cam``.

    References
    ----------
    Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning deep features for discriminative localization, CVPR 2016,
    arXiv:1512.04150, equation 2.

    Raises
    ------
    UnsupportedModelError
        The model has a different head.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.pooled([[1.0], [-1.0]], [[3.0, -1.0]], (2, 2)))
    >>> x = np.float32([[[[1, 0], [0, -2]]]])
    >>> xaionnx.explain(model, x, "cam", 0).maps["cam"][0]
    array([[ 3.,  0.],
           [ 0., -2.]], dtype=float32)
    """

    reference: ClassVar[str] = "Zhou et al. 2016, arXiv:1512.04150"

    relu: bool = flag(False, "keep only what raises the target; False gives the signed map, as in the paper")

    def map(self, ops: CamOps[PlanesT], activation: PlanesT, gradient: PlanesT) -> PlanesT:
        return ops.weighted_sum(ops.total(gradient), activation)

    def check_use(self, model: Model, layer: str, sample: Sample, tensors: list[str]) -> None:
        for tensor in tensors:
            why = obstacle(model, layer, tensor, sample)
            if why is not None:
                raise UnsupportedModelError(
                    f"A class activation map needs global average pooling and a linear head, but {why} follows "
                    f"layer '{layer}' of {model.name}. {_alternative(model, layer, tensor, sample)}"
                )


def _alternative(model: Model, layer: str, tensor: str, sample: Sample) -> str:
    logits = logits_of(model, tensor)
    if logits != tensor and obstacle(model, layer, logits, sample) is None:
        return f"Read the target from '{logits}', before the probabilities: output='{logits}'."
    if spatial_axes_of_layer(model, layer, sample):
        return "Use grad_cam or hi_res_cam, which need no such head."
    return "The layer has no positions of a picture or of tokens; use integrated_gradients, which needs none."
