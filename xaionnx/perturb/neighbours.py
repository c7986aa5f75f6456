"""Neighbours: which background rows count for a coalition, if absent columns depend on those that are present."""

from __future__ import annotations

from typing import Final, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.perturb.element_types import is_row
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.windows import WindowOcclusion
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

EXPECTATIONS: Final = ("interventional", "conditional")
"""Whether absent columns are drawn whatever the others are, or from rows that are near in the others."""

# Distances are sums of squares, in which equal ones differ by rounding.
_EQUAL: Final = 1e-9


@final
class Neighbours:
    """The weights of B background rows in means over them, for the coalitions of one row.

    The conditional expectation of the model given the present columns is estimated by the mean over the ``count`` rows
    that are nearest in them. The distance is Euclidean, with each column divided by its standard deviation in the
    background; columns of words or codes of words add 2 where they differ. Rows at the same distance share their
    weight, so that all rows count alike if nothing is present.

    Raises
    ------
    ParameterError
        The method does not replace columns of a table by background rows of equal weight.

    References
    ----------
    Aas, Jullum and Løland, Explaining individual predictions when features are dependent: more accurate approximations
    to Shapley values, Artificial Intelligence 298, 2021, doi:10.1016/j.artint.2021.103502, arXiv:1903.10464.
    """

    def __init__(self, removal: Removal, count: int) -> None:
        sample, players = removal.sample, removal.players
        rows = all(
            is_row(sample, name) or sample.x[name].ndim == 0 or sample.x[name].size == 1 for name in players.maps
        )
        selects = isinstance(removal, Select | WindowOcclusion) and removal.is_by_element
        if not selects or not rows or removal.draws == 1:
            raise ParameterError(
                "expectation='conditional' needs the columns of a table to be the features, and several background "
                "rows. Use a method such as kernel_shap, exact_shapley, shapley_sampling or feature_ablation "
                "with background='rows.csv'; or expectation='interventional'."
            )
        self._count = min(count, removal.draws)
        self._removal = removal
        self._squares: dict[str, Array] = {}
        for name in players.maps:
            known = sample.spec is not None and name == sample.main
            words = (
                [column in sample.spec.categories for column in sample.spec.columns] if known and sample.spec else []
            )
            codes = np.array(words if len(words) == sample.x[name].size else [False] * sample.x[name].size, bool)
            squares = _squares(sample.x[name].reshape(-1), removal.baseline[name].reshape(removal.draws, -1), codes)
            self._squares[name] = squares.T

    __repr__ = short_repr

    def weights(self, codes: Array) -> Array:
        """Return the weight of each row for each coalition, (M, B), which sum to 1."""
        distances = sum(self._present(codes, name) @ squares for name, squares in self._squares.items())
        farthest = np.partition(distances, self._count - 1, axis=1)[:, self._count - 1 : self._count]
        margin = _EQUAL * (1 + farthest)
        nearer = distances < farthest - margin
        tied = np.abs(distances - farthest) <= margin
        share = (self._count - nearer.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
        return np.asarray((nearer + tied * share) / self._count)

    def _present(self, codes: Array, name: str) -> Array:
        """Whether each element of an input is that of the sample, as numbers (M, L)."""
        labels = self._removal.element_labels(name)
        if labels is None:
            return self._removal.kept_elements(codes, name).astype(np.float64)
        # The last player is that of label -1: elements that are always present.
        every = np.concatenate([codes, np.ones((len(codes), 1), dtype=codes.dtype)], axis=1)
        return np.asarray(every[:, labels], dtype=np.float64)


def _squares(x: Array, rows: Array, codes: Array) -> Array:
    """The squared distance of each column of B rows from those of a sample, (B, F)."""
    if x.dtype.kind not in "fiub":
        return np.asarray(2.0 * (rows != x))
    x, rows = x.astype(np.float64), rows.astype(np.float64)
    deviation = np.nan_to_num(np.nanstd(np.where(np.isfinite(rows), rows, np.nan), axis=0))
    squares = np.square(np.divide(rows - x, deviation, out=np.zeros_like(rows), where=deviation > 0))
    # A missing value is near another only.
    differs = np.isnan(rows) != np.isnan(x)
    squares = np.where(np.isnan(squares), 2.0 * differs, squares)
    return np.asarray(np.where(codes, 2.0 * ((rows != x) & ~(np.isnan(rows) & np.isnan(x))), squares))
