"""Average gain: how far a probability rises towards 1 when the input is multiplied by its map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._masked_input import ByMaskedInput


@final
@dataclass(frozen=True, kw_only=True)
class AverageGain(ByMaskedInput):
    """The share of the distance to 1 that a probability gains when the input is multiplied by its map::

        max(0, f(x * map) - f(x)) / (1 - f(x))

    It is not defined for targets that are no probability, and where the input has the probability 1 already.

    References
    ----------
    Zhang, Torres, Sicre, Avrithis and Ayache, Opti-CAM: optimizing saliency maps for
    interpretability, CVIU 248, 2024, arXiv:2301.07002, equation 21.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, quantity = np.ones((1, 4), np.float32), "target"
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "average_gain", quantity=quantity).values.round(3)
    array([nan])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Zhang et al. 2024, arXiv:2301.07002"

    def score(self, before: float, after: float) -> SampleMeasure:
        for value, where in ((before, "at the input"), (after, "at the input times its map")):
            if not 0 <= value <= 1:
                return undefined(f"the target is {value:.4g} {where}, which is no probability")
        if before == 1:
            return undefined("the target is 1 at the input, so that there is nothing to gain")
        return SampleMeasure(max(0.0, after - before) / (1 - before))
