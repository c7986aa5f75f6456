"""Effective complexity: how few features keep the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval
from xaionnx.parameters import real
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class EffectiveComplexity(RemovalCurve, ByRemoval):
    """The smallest number of features, the most relevant first, that keep the target while all others are removed::

        min k such that  (f(x) - f(first k alone))^2 / f(x)^2  <=  tolerance

    The paper takes the mean of the square over values of the removed features drawn from their distribution; here the
    target is averaged over the baselines first. It is not defined where f(x) is 0. With ``steps`` the score is the
    number of features at the first step that is enough.

    References
    ----------
    Nguyen and Martínez, On quantitative aspects of model interpretability, 2020, arXiv:2007.07584, section 3.2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "effective_complexity").values
    array([3.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Nguyen and Martínez 2020, arXiv:2007.07584"
    inserts: ClassVar[bool] = True

    tolerance: float = real(0.05, "largest squared error, as a share of the square of the target", low=0)

    def summary(self, counts: Array, curve: Array) -> tuple[float, str]:
        full = curve[-1]
        if full == 0:
            return math.nan, "the target is 0 at the input, and shares of it need another one"
        enough = np.square(full - curve) / full**2 <= self.tolerance
        return float(counts[int(np.argmax(enough))]), ""
