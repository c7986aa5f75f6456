"""Faithfulness correlation: values of random subsets of features against the drop when they are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.metrics._removal import ByRemoval, Coalitions
from xaionnx.metrics._subsets import BySums, correlated, subsets_of_size
from xaionnx.parameters import integer
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class FaithfulnessCorrelation(BySums, ByRemoval):
    """Pearson's correlation, over random subsets S of a fixed size, between their values and the drop of the target::

        corr over S of ( sum over i in S of phi_i ,  f(x) - f(x with S removed) )

    References
    ----------
    Bhatt, Weller and Moura, Evaluating and aggregating feature-based model explanations, IJCAI 2020, arXiv:2005.00631,
    definition 4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "faithfulness_correlation").values
    array([1.])
    """

    reference: ClassVar[str] = "Bhatt et al. 2020, arXiv:2005.00631"

    size: int | None = integer(
        None, "number of features in a subset; a fifth of them if not given", low=1, optional=True
    )
    subsets: int = integer(100, "largest number of subsets; random ones if there are more", low=2)

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without(self._removed(len(values)))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        return correlated(self._removed(len(values)) @ values, full - targets)

    def _removed(self, players: int) -> Array:
        size = min(players, max(1, players // 5) if self.size is None else self.size)
        return subsets_of_size(players, size, self.subsets, self.seed)
