"""Average increase: whether the target rises when the input is multiplied by its map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._masked_input import ByMaskedInput


@final
@dataclass(frozen=True, kw_only=True)
class AverageIncrease(ByMaskedInput):
    """1 where the target is higher at the input times its map than at the input, else 0.

    The mean over samples is the share of samples that rise, which papers give in percent.

    References
    ----------
    Chattopadhay, Sarkar, Howlader and Balasubramanian, Grad-CAM++: generalized gradient-based visual
    explanations for deep convolutional networks, WACV 2018, arXiv:1710.11063, section 4.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, quantity = np.ones((1, 4), np.float32), "target"
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "average_increase", quantity=quantity).values.round(3)
    array([0.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Chattopadhay et al. 2018, arXiv:1710.11063"

    def score(self, before: float, after: float) -> SampleMeasure:
        return SampleMeasure(float(after > before))
