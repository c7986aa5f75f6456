"""Completeness: how far the sum of the values is from the change of the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._removal import ByRemoval, Coalitions
from xaionnx.metrics._subsets import BySums
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Completeness(BySums, ByRemoval):
    """The distance between the sum of the values and the change of the target from the baseline to the input::

        | sum over i of phi_i - (f(x) - f(baseline)) |

    It is in units of the target, and 0 for methods with the axiom of completeness and the same baseline.

    References
    ----------
    Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv:1703.01365, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "completeness").values
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Sundararajan et al. 2017, arXiv:1703.01365"

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without(np.ones((1, len(values)), dtype=bool))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return SampleMeasure(float(np.abs(values.sum() - (full - targets[0]))))
