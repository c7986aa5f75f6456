"""Relative input stability: relative changes of the explanation over those of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._neighbours import ByNeighbours, Distances, highest_ratio


@final
@dataclass(frozen=True, kw_only=True)
class RelativeInputStability(ByNeighbours):
    """The largest quotient of the relative changes of the values and of the input among neighbours of the same class::

        max over x' of  | (phi - phi') / phi |  /  max(| (x - x') / x |, 1e-3)

    Divisions are element by element, with elements below 1e-6 of the largest taken as that.

    References
    ----------
    Agarwal, Johnson, Pawelczyk, Krishna, Saxena, Zitnik and Lakkaraju, Rethinking stability for attribution-based
    explanations, 2022, arXiv:2203.06877, equation 2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "relative_input_stability").values.round(3)
    array([1.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Agarwal et al. 2022, arXiv:2203.06877"

    def score(self, near: Distances, length: float) -> SampleMeasure:
        return highest_ratio(near, length, near.relative_x)
