"""Rows of data, over which outputs are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.hooks import hook
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.rows import RowsLike, read_rows, rows_of
from xaionnx.registry import Form
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

REDUCTIONS: Final = ("sample", "kmeans")
"""How many rows become few: a random sample, or the rows nearest to the centres of clusters."""


@final
@dataclass(frozen=True, eq=False)
class Background(Baseline):
    """Rows of data: an array for the explained input, arrays by input name, a frame, or a file.

    Attributes
    ----------
    rows : RowsLike
        Those that are used, once the baseline is bound to a model.
    size : int or None
        Maximum number of rows; all are used if None.
    reduction : str
        One of :data:`REDUCTIONS`. A centre of ``kmeans`` is replaced by the row nearest to it, since a mean of
        categories or of whole numbers is none; its weight is the share of the rows in its cluster. Columns are divided
        by their standard deviation.
    seed : int
        Of the sample or of the first centres.
    given : int or None
        The number of rows from which those used were taken, if there were more.
    shares : array (B,) or None
        The weights of the rows, which sum to 1; None if all are equal.
    own : bool
        Whether they are the explained rows themselves, because no others were given.
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("background", lambda path: Background(Path(path)), ":file", "background:rows.csv"),
    )
    fixed: ClassVar[bool] = True

    rows: RowsLike
    size: int | None = None
    reduction: str = "sample"
    seed: int = 0
    given: int | None = None
    shares: Array | None = None
    own: bool = False

    __repr__ = short_repr

    @property
    @hook
    def weights(self) -> Array | None:
        return self.shares

    def bind(self, model: Model) -> Baseline:
        rows = read_rows(self.rows, model)
        count = _count(rows)
        if self.size is None or count <= self.size:
            return replace(self, rows=rows, size=None)
        if self.reduction == "sample":
            # In the order of the file, so that a sample is easily found in it.
            kept = np.sort(np.random.default_rng(self.seed).choice(count, self.size, replace=False))
            return replace(self, rows=_taken(rows, kept), size=None, given=count)
        kept, shares = _central(rows, self.size, self.seed)
        return replace(self, rows=_taken(rows, kept), size=None, given=count, shares=shares)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        if self.size is not None:
            raise ParameterError("The background has not been read. Bind the method to a model first.")
        return rows_of(self.rows, sample, name)


def _count(rows: RowsLike) -> int:
    """The number of rows.

    Raises
    ------
    InputMismatchError
        There are none, or inputs differ in their number.
    """
    counts = {name: len(array) for name, array in _by_name(rows).items()}
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputMismatchError(f"The background rows of several inputs differ in their number: {each}.")
    if not counts or not min(counts.values()):
        raise InputMismatchError("The background has no rows.")
    return next(iter(counts.values()))


def _by_name(rows: RowsLike) -> dict[str, Array]:
    if isinstance(rows, Mapping):
        return {name: np.atleast_1d(np.asarray(array)) for name, array in rows.items()}
    return {"": np.atleast_1d(np.asarray(rows))}


def _taken(rows: RowsLike, numbers: Array) -> RowsLike:
    taken = {name: array[numbers] for name, array in _by_name(rows).items()}
    return taken if isinstance(rows, Mapping) else taken[""]


def _central(rows: RowsLike, size: int, seed: int) -> tuple[Array, Array]:
    """The numbers of the rows nearest to the centres of ``size`` clusters, in order, and the shares of the clusters.

    Raises
    ------
    ParameterError
        A column is not a number, or a value is missing.
    """
    from sklearn.cluster import KMeans

    arrays = _by_name(rows)
    if any(array.dtype.kind not in "fiub" for array in arrays.values()):
        raise ParameterError("background_reduction='kmeans' needs numbers, but the rows hold words. Use 'sample'.")
    table = np.concatenate([a.reshape(len(a), -1).astype(np.float64) for a in arrays.values()], axis=1)
    if not np.isfinite(table).all():
        raise ParameterError("background_reduction='kmeans' needs rows without missing values. Use 'sample'.")
    deviation = table.std(axis=0)
    table = (table - table.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    # Equal rows are one centre, and scikit-learn warns of fewer of them than clusters.
    distinct = len(np.unique(table, axis=0))
    clusters = KMeans(min(size, distinct), n_init=1, random_state=seed % 2**32).fit(table)
    nearest = np.array([np.square(table - centre).sum(axis=1).argmin() for centre in clusters.cluster_centers_])
    kept, which = np.unique(nearest, return_inverse=True)
    shares = np.bincount(which, np.bincount(clusters.labels_, minlength=len(nearest)).astype(float), len(kept))
    return kept, shares / len(table)
