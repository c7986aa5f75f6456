"""Monotonicity correlation: ranks of the values against the change of the target when a feature is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.metrics._removal import ByRemoval, Cells, Coalitions
from xaionnx.metrics._subsets import BySums, correlated
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import Features
from xaionnx.typing import Array, FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class MonotonicityCorrelation(BySums, ByRemoval):
    """Spearman's correlation, over the features i, between \\|phi_i\\| and how uncertain the target is without i::

        corr over i of ( |phi_i| ,  (f(x) - f(x without i))^2 )

    The paper takes the mean of the square over values of feature i drawn from its distribution. Here the target is
    averaged over the baselines first, so that one baseline gives the paper's number for that value.

    References
    ----------
    Nguyen and Martínez, On quantitative aspects of model interpretability, 2020, arXiv:2007.07584, section 3.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "monotonicity_correlation").values
    array([1.])
    """

    reference: ClassVar[str] = "Nguyen and Martínez 2020, arXiv:2007.07584"
    default_features: ClassVar[Features] = Cells(7)

    features: FeaturesLike = partitions.parameter("the features", "7 x 7 cells of pictures, elements of other inputs,")

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without_one(len(values))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return correlated(np.abs(values), np.square(full - targets), ranks=True)
