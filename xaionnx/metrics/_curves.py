"""Curves of the target while features are removed or inserted one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.hooks import hook
from xaionnx.metrics._removal import Coalitions
from xaionnx.parameters import integer
from xaionnx.typing import Array

# Steps of a curve if none are given; a picture of 224 x 224 pixels then has a line of pixels a step.
_STEPS: Final = 224

NO_ORDER: Final = "all values are equal, so that they give no order"
"""Why a curve is not defined."""


@dataclass(frozen=True, kw_only=True)
class RemovalCurve:
    """Makes a metric one of the curve of the target while features are removed or inserted, the most relevant first.

    Equal values are taken in the order of the features.
    """

    inserts: ClassVar[bool] = False
    """Whether features are inserted into the baseline, rather than removed from the input."""

    steps: int | None = integer(
        None, "number of steps of equal size; one a feature, and at most 224, if not given", low=1, optional=True
    )

    @final
    def plan(self, values: Array) -> Coalitions | SampleMeasure:
        if len(values) == 1:
            return undefined("there is a single feature, so that there is no order: give smaller features")
        if values.min() == values.max():
            return undefined(NO_ORDER)
        rank = np.empty(len(values), dtype=np.int64)
        rank[most_relevant_first(values)] = np.arange(len(values))
        counts = step_counts(len(values), self.steps)[:, None]

        def rows(start: int, stop: int) -> Array:
            return np.asarray((rank < counts[start:stop]) if self.inserts else (rank >= counts[start:stop]))

        return Coalitions(len(counts), rows)

    @final
    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        del full
        counts = step_counts(len(values), self.steps)
        value, reason = self.summary(counts, targets)
        return SampleMeasure(value, reason, {"share": counts / len(values), "target": targets})

    @hook
    def summary(self, counts: Array, curve: Array) -> tuple[float, str]:
        """The score of a curve (K,) with ``counts`` (K,) features changed, and a reason if there is none."""
        return area(counts, curve), ""


def step_counts(players: int, steps: int | None) -> Array:
    """Return how many players are changed at each step, from none to all, in steps as equal as can be.

    Examples
    --------
    >>> step_counts(10, 4)
    array([ 0,  2,  5,  8, 10])
    """
    count = min(players, _STEPS if steps is None else steps)
    return np.unique(np.round(np.arange(count + 1) * players / count).astype(np.int64))


def most_relevant_first(values: Array) -> Array:
    """Return the players by falling value; equal ones in their order.

    Examples
    --------
    >>> most_relevant_first(np.array([1.0, 3.0, 3.0]))
    array([1, 2, 0])
    """
    return np.argsort(-values, kind="stable")


def area(counts: Array, curve: Array) -> float:
    """Return the area under a curve over the share of features that are changed, by the trapezoidal rule.

    Examples
    --------
    >>> area(np.arange(5), np.array([10.0, 6, 3, 1, 0]))
    3.75
    """
    return float(np.trapezoid(curve, counts / counts[-1]))
