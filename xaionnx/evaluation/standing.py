"""Standing: how each of several methods stands by one metric, beside the control and the best of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.signed_ranks import LEVEL, holm, p_greater
from xaionnx.typing import Floats

IGNORES_MODEL: Final = 0.95
"""A map of a model with random weights that is this similar to that of the model is made from the input."""


@final
@dataclass(frozen=True)
class Standing:
    """How a method stands by one metric.

    Attributes
    ----------
    scores : Scores
    p_control : float
        The p value of the paired test that it is no better than the first control; NaN without a control, and for fewer
        samples than :func:`.fewest_samples`.
    p_best : float
        The p value of the paired test that it is as good as the method with the best mean; NaN for that method itself,
        and for fewer samples than :func:`.fewest_samples`.
    best : bool
        Whether it has the best mean, and every other method is significantly worse.
    """

    scores: Scores
    p_control: float
    p_best: float
    best: bool

    @property
    def beats_control(self) -> bool:
        """Whether it is significantly better than the control."""
        return self.p_control < LEVEL


def standings_of(found: Mapping[str, Scores]) -> dict[str, Standing]:
    """Return how methods stand by one metric, from the scores of each.

    Differences of the same samples are compared by Wilcoxon's signed rank test, one-sided, and the p values of all
    methods are corrected for their number after Holm.

    References
    ----------
    Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
    """
    values = {name: turned(one) for name, one in found.items()}
    means = {name: float(np.nanmean(v)) if np.isfinite(v).any() else -math.inf for name, v in values.items()}
    first = max(means, key=lambda name: means[name])
    others = [name for name in found if name != first]
    below = [p_greater(values[first], values[other], len(others)) for other in others]
    worse = dict(zip(others, holm(below), strict=True))
    above = holm([p_greater(values[name], _control(one), len(found)) for name, one in found.items()])
    alone = bool(others) and all(p < LEVEL for p in worse.values())
    return {
        name: Standing(one, p, worse.get(name, math.nan), name == first and alone)
        for (name, one), p in zip(found.items(), above, strict=True)
    }


def turned(scores: Scores) -> Floats:
    """Return the values, of the other sign where lower ones are better."""
    return -scores.values if scores.direction == "lower" else scores.values


def _control(scores: Scores) -> Floats:
    control = scores.control
    return np.full(len(scores.values), np.nan) if control is None else turned(control)
