"""Sensitivity-n: values of subsets of n features against the drop when they are removed, for several n."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.metrics._removal import ByRemoval, Coalitions
from xaionnx.metrics._subsets import BySums, correlated, subsets_of_size
from xaionnx.parameters import integer
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class SensitivityN(BySums, ByRemoval):
    """The mean over n of Pearson's correlation between the sum of n values and the drop when these are removed::

        mean over n of  corr over |S| = n of ( sum over i in S of phi_i ,  f(x) - f(x with S removed) )

    The correlation is of one sample, over its subsets: all of size n if there are at most ``subsets``, else random
    ones. ``n`` is one size; if not given, six sizes from 1 to four fifths of the features, evenly spaced in their
    logarithm. Sizes where all drops or all sums are equal are left out; ``curves`` has them all.

    References
    ----------
    Ancona, Ceolini, Öztireli and Gross, Towards better understanding of gradient-based attribution methods for deep
    neural networks, ICLR 2018, arXiv:1711.06104, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "sensitivity_n", n=2).values
    array([1.])
    """

    reference: ClassVar[str] = "Ancona et al. 2018, arXiv:1711.06104"

    n: int | None = integer(None, "size of the subsets; six sizes if not given", low=1, optional=True)
    subsets: int = integer(100, "largest number of subsets of each size", low=2)

    def plan(self, values: Array) -> Coalitions:
        return Coalitions.without(np.concatenate(self._removed(len(values))))

    def score(self, values: Array, targets: Array, full: float) -> SampleMeasure:
        removed = self._removed(len(values))
        changes = np.split(full - targets, np.cumsum([len(some) for some in removed])[:-1])
        each = [correlated(some @ values, own) for some, own in zip(removed, changes, strict=True)]
        found = np.array([one.value for one in each])
        curves = {"size": np.array(self._sizes(len(values)), dtype=float), "correlation": found}
        if not np.isfinite(found).any():
            return SampleMeasure(math.nan, each[0].reason, curves)
        return SampleMeasure(float(np.nanmean(found)), "", curves)

    def _removed(self, players: int) -> list[Array]:
        """The subsets of each size."""
        return [subsets_of_size(players, size, self.subsets, self.seed) for size in self._sizes(players)]

    def _sizes(self, players: int) -> list[int]:
        if self.n is not None:
            return [min(self.n, players)]
        largest = max(1, players * 4 // 5)
        return sorted({round(float(size)) for size in np.geomspace(1, largest, 6)})
