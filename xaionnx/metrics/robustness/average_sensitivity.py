"""Average sensitivity: the mean change of the explanation near the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._neighbours import ByNeighbours, Distances


@final
@dataclass(frozen=True, kw_only=True)
class AverageSensitivity(ByNeighbours):
    """The mean change of the values over inputs near the sample, relative to the values there::

        mean over x' near x of  |phi(x') - phi(x)| / |phi(x)|

    References
    ----------
    Bhatt, Weller and Moura, Evaluating and aggregating feature-based model explanations, IJCAI 2020, arXiv:2005.00631,
    definition 2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "average_sensitivity").values.round(3)
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Bhatt et al. 2020, arXiv:2005.00631"

    def score(self, near: Distances, length: float) -> SampleMeasure:
        if length == 0:
            return undefined("all values are 0")
        return SampleMeasure(float(near.values.mean() / length))
