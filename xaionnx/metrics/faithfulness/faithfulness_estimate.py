"""Faithfulness estimate: the value of each feature against the drop when it alone is removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.metrics._removal import ByRemoval, Cells, Coalitions
from xaionnx.metrics._subsets import BySums, correlated
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import Features
from xaionnx.typing import Array, FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class FaithfulnessEstimate(BySums, ByRemoval):
    """Pearson's correlation, over the features i, between their values and the drops when each is removed alone::

        corr over i of ( phi_i ,  f(x) - f(x without i) )

    Features are 7 x 7 cells of a picture, since removing one of its pixels changes little.

    References
    ----------
    Alvarez-Melis and Jaakkola, Towards robust interpretability with self-explaining neural networks, NeurIPS 2018,
    arXiv:1806.07538, section 5.2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "faithfulness_estimate").values
    array([1.])
    """

    reference: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018, arXiv:1806.07538"
    default_features: ClassVar[Features] = Cells(7)

    features: FeaturesLike = partitions.parameter("the features", "7 x 7 cells of pictures, elements of other inputs,")

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without_one(len(values))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return correlated(values, full - targets)
