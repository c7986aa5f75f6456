"""Mu-fidelity: ranks of the sums of the values of random subsets of cells against ranks of the drops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.metrics._removal import ByRemoval, Cells, Coalitions
from xaionnx.metrics._subsets import BySums, correlated, subsets_of_size
from xaionnx.parameters import integer, real
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import Features
from xaionnx.typing import Array, FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class MuFidelity(BySums, ByRemoval):
    """Spearman's correlation, over random subsets of cells, between their values and the drop of the target.

    It is ``faithfulness_correlation`` by ranks, over a fifth of the 9 x 9 cells of a picture, as in the package of the
    authors of Fel et al. 2021; Bhatt et al., who name it, correlate the numbers themselves.

    References
    ----------
    Bhatt, Weller and Moura, Evaluating and aggregating feature-based model explanations, IJCAI 2020, arXiv:2005.00631;
    Fel, Cadene, Chalvidal, Cord, Vigouroux and Serre, Look at the variance, NeurIPS 2021, arXiv:2111.04138.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "mu_fidelity").values
    array([1.])
    """

    reference: ClassVar[str] = "Bhatt et al. 2020, arXiv:2005.00631; Fel et al. 2021, arXiv:2111.04138"
    default_features: ClassVar[Features] = Cells(9)

    features: FeaturesLike = partitions.parameter("the features", "9 x 9 cells of pictures, elements of other inputs,")
    share: float = real(0.2, "share of the features in a subset", low=0, low_open=True, high=1)
    subsets: int = integer(200, "largest number of subsets; random ones if there are more", low=2)

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without(self._removed(len(values)))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return correlated(self._removed(len(values)) @ values, full - targets, ranks=True)

    def _removed(self, players: int) -> Array:
        return subsets_of_size(players, max(1, round(self.share * players)), self.subsets, self.seed)
