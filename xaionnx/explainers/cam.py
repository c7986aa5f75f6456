"""Class activation mapping: the channels before global pooling, weighted as the linear head weighs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._cam import WeightedCamExplainer
from xaionnx.explainers._layer import nodes_between
from xaionnx.model import Model
from xaionnx.parameters import flag
from xaionnx.perturb.sample import Sample
from xaionnx.target import Target

if TYPE_CHECKING:
    from xaionnx.explainers._algebra import Algebra
    from xaionnx.explainers._prospect import Prospect

Array = npt.NDArray[Any]

_POOLING = frozenset({"GlobalAveragePool", "ReduceMean", "AveragePool"})
# Linear in one operand where the others are constants.
_LINEAR = frozenset(
    {"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout", "Cast", "Gemm", "MatMul", "Conv",
     "Add", "Sub", "Mul", "Div"}
)  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class Cam(WeightedCamExplainer):
    """The channels of the last map before global average pooling, with the weights of the linear layer behind it::

        y = sum_k w_k mean_ij A_k[i, j] + b        map[i, j] = sum_k w_k A_k[i, j]

    So the mean of the signed map is the score but for the bias. Only models with such a head have one: between the
    layer and the target stand the pooling and linear ops alone. Their product is what the weights are read from, by
    one step back through the head; no op before the layer needs a rule.

    References
    ----------
    Zhou, Khosla, Lapedriza, Oliva and Torralba, Learning deep features for discriminative localization, CVPR 2016,
    arXiv:1512.04150, equation 2.

    Raises
    ------
    UnsupportedModelError
        The model has another head.

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

    relu: bool = flag(False, "draw only what speaks for the target; False gives the signed map, as the paper does")

    def weights(self, of: Algebra, a: Any, slope: Any) -> Any:
        return of.total(slope)

    def foresee(self, prospect: Prospect) -> dict[str, str | None]:
        told = super().foresee(prospect)
        if prospect.rows is not None:
            # Slopes of a linear head are the same for every sample, so one tells whether all places count alike.
            self.attribute(prospect.model, prospect.rows, Target.sum())
        return told

    def small(self, planes: Array, slopes: Array) -> Array:
        if np.ptp(slopes, axis=(-2, -1)).max() > 1e-4 * np.abs(slopes).max():
            raise UnsupportedModelError("The places of the layer do not all count alike. Use grad_cam or hi_res_cam.")
        return super().small(planes, slopes)

    def chosen(self, model: Model, sample: Sample, tensors: list[str]) -> str:
        layer = super().chosen(model, sample, tensors)
        for tensor in tensors:
            head = nodes_between(model, layer, tensor)
            strange = [op for op, moving in head if op not in _LINEAR | _POOLING or moving > 1]
            if strange or not any(op in _POOLING for op, _ in head):
                why = f"{strange[0]} stands behind" if strange else "no pooling over all places stands behind"
                raise UnsupportedModelError(
                    f"A class activation map needs global average pooling and a linear head, but {why} "
                    f"layer '{layer}' of {model.name}. Use grad_cam, which is the same for such heads."
                )
        return layer
