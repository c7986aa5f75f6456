"""Average drop: how much of the target is lost when the input is multiplied by its map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._masked_input import ByMaskedInput, positive


@final
@dataclass(frozen=True, kw_only=True)
class AverageDrop(ByMaskedInput):
    """The share of the target that is lost when the input is multiplied by its map::

        max(0, f(x) - f(x * map)) / f(x)

    Its mean over samples is the average drop, which papers give in percent. It is not defined where f(x) is not
    positive. A map that shows everything drops nothing, so read it beside ``average_increase`` and a control.

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
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "average_drop", quantity=quantity).values.round(3)
    array([0.333])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Chattopadhay et al. 2018, arXiv:1710.11063"

    def score(self, before: float, after: float) -> SampleMeasure:
        return positive(before) or SampleMeasure(max(0.0, before - after) / before)
