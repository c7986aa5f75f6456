"""Non-sensitivity: how many features have a value and no effect, or an effect and no value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._removal import ByRemoval, Cells, Coalitions
from xaionnx.metrics._subsets import BySums
from xaionnx.parameters import real
from xaionnx.perturb.features import Features
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class NonSensitivity(BySums, ByRemoval):
    """The number of features of which exactly one holds: the value is 0, or the target does not depend on the feature.

    A value counts as 0 if its size is at most ``tolerance`` times the largest one. A feature counts as without effect
    if its removal changes the target by at most ``tolerance`` times the largest change. One replacement may happen to
    equal the feature, which then counts as without effect: give ``background`` rows to try several.

    References
    ----------
    Nguyen and Martínez, On quantitative aspects of model interpretability, 2020, arXiv:2007.07584, section 3.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 0.0, 2.0, 0.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "non_sensitivity").values
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Nguyen and Martínez 2020, arXiv:2007.07584"
    default_features: ClassVar[Features] = Cells(7)

    tolerance: float = real(1e-6, "share of the largest value or change that counts as 0", low=0, high=1)

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without_one(len(values))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        no_value, no_effect = (a <= self.tolerance * a.max() for a in (np.abs(values), np.abs(full - targets)))
        return SampleMeasure(float((no_value ^ no_effect).sum()))
