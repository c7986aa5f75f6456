"""Accumulated local effects of one and of two features (Apley and Zhu 2020), from the targets at points of a grid.

They follow the authors' package ALEPlot where the paper leaves a choice: curves are centred at the mean of the middles
of their bins, and cells of two features that hold no sample take the effect of the nearest one that does.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array


def bins_of(edges: Array, own: Array) -> Array:
    """The bin (edges[k], edges[k + 1]] of each number; the first one also holds the lowest edge, and what is below."""
    return np.clip(np.searchsorted(edges, own), 1, len(edges) - 1) - 1


def along_numbers(edges: Array, own: Array, values: Array) -> Array:
    """The effects (G,) of a number at the edges of its bins.

    Parameters
    ----------
    edges : array (G,)
    own : array (M,)
        The number in each sample.
    values : array (M, G)
        The target with the number at each edge.
    """
    bins = bins_of(edges, own)
    each = np.arange(len(own))
    steps = values[each, bins + 1] - values[each, bins]
    counts = np.bincount(bins, minlength=len(edges) - 1)
    effects = np.bincount(bins, steps, minlength=len(edges) - 1) / np.maximum(counts, 1)
    filled = np.flatnonzero(counts)
    # Only rows of data that are not the samples leave a bin empty.
    empty = np.flatnonzero(counts == 0)
    effects[empty] = effects[filled[np.abs(filled[:, None] - empty).argmin(axis=0)]]
    curve = np.concatenate([[0], np.cumsum(effects)])
    return np.asarray(curve - counts @ (curve[1:] + curve[:-1]) / (2 * len(own)))


def along_words(order: Array, own: Array, values: Array) -> Array:
    """The effects (G,) of words, one after the other in an ``order``; NaN beyond words that no sample has.

    A step from one word to the next is the mean over the samples that have either.

    Parameters
    ----------
    order : int array (G,)
        The words as :func:`similarity_order` puts them.
    own : int array (M,)
        The word of each sample; -1 for none of them.
    values : array (M, G)
    """
    counts = np.bincount(own[own >= 0], minlength=len(order))
    found = np.zeros(len(order))
    for before, after in itertools.pairwise(order.tolist()):
        either = (own == before) | (own == after)
        step = (values[either, after] - values[either, before]).mean() if either.any() else np.nan
        found[after] = found[before] + step
    known = np.isfinite(found)
    return np.asarray(found - counts[known] @ found[known] / max(1, counts[known].sum()))


def similarity_order(own: Array, count: int, others: Sequence[tuple[Array, bool]]) -> Array:
    """The words in an order in which those that are alike in the other features stand side by side.

    The distance of two words is the sum over the other features of that of their distributions, by Kolmogorov and
    Smirnov for numbers and by total variation for words; its first coordinate by multidimensional scaling gives the
    order.

    Parameters
    ----------
    own : int array (B,)
        The word of each row of data.
    count : int
        How many words there are.
    others : sequence of arrays (B,) with bool
        The other features, and whether each is a number.
    """
    distances = np.zeros((count, count))
    for column, is_number in others:
        levels = np.unique(column)
        if len(levels) < 2:
            continue
        shares = np.zeros((count, len(levels)))
        np.add.at(shares, (own[own >= 0], np.searchsorted(levels, column[own >= 0])), 1)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
        compared = shares.cumsum(axis=1) if is_number else shares
        apart = np.abs(compared[:, None] - compared[None])
        distances += apart.max(axis=2) if is_number else apart.sum(axis=2) / 2
    squared = distances**2
    centre = np.eye(count) - 1 / count
    _, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    first = vectors[:, -1]
    # The sign of a vector is free: the first word stands in the first half.
    return np.argsort(first if first[0] <= 0 else -first, kind="stable")


def of_pair(edges: tuple[Array, Array], own: tuple[Array, Array], values: Array) -> Array:
    """The effects (G, H) of two numbers beyond those of each alone, at the edges of their bins.

    Parameters
    ----------
    edges : pair of arrays (G,), (H,)
    own : pair of arrays (M,)
    values : array (M, G, H)
        The target with both numbers at each pair of edges.
    """
    shape = len(edges[0]) - 1, len(edges[1]) - 1
    first, second = bins_of(edges[0], own[0]), bins_of(edges[1], own[1])
    each = np.arange(len(values))
    steps = (
        values[each, first + 1, second + 1]
        - values[each, first, second + 1]
        - values[each, first + 1, second]
        + values[each, first, second]
    )
    counts, effects = np.zeros(shape), np.zeros(shape)
    np.add.at(counts, (first, second), 1)
    np.add.at(effects, (first, second), steps)
    effects = _filled(effects / np.maximum(counts, 1), counts, edges)
    whole = np.zeros((shape[0] + 1, shape[1] + 1))
    whole[1:, 1:] = effects.cumsum(axis=0).cumsum(axis=1)
    return _without_main_effects(whole, counts)


def _without_main_effects(whole: Array, counts: Array) -> Array:
    """The accumulated effects without those of each number alone, and with the mean 0 over the samples."""

    def main(whole: Array, counts: Array) -> Array:
        steps = np.diff(whole, axis=0)
        mean = (counts * (steps[:, 1:] + steps[:, :-1]) / 2).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
        return np.concatenate([[0], np.cumsum(mean)])

    rest = whole - main(whole, counts)[:, None] - main(whole.T, counts.T)[None]
    middles = (rest[1:, 1:] + rest[1:, :-1] + rest[:-1, 1:] + rest[:-1, :-1]) / 4
    return np.asarray(rest - (counts * middles).sum() / counts.sum())


def _filled(effects: Array, counts: Array, edges: tuple[Array, Array]) -> Array:
    """The effects, in cells without a sample those of the nearest cell with one, by the middles of the cells."""
    middles = [(one[1:] + one[:-1]) / (2 * max(one[-1] - one[0], 1e-300)) for one in edges]
    places = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1)
    full, empty = np.argwhere(counts > 0), np.argwhere(counts == 0)
    if not len(empty):
        return effects
    filled = effects.copy()
    for cell in empty:
        far = np.square(places[tuple(full.T)] - places[tuple(cell)]).sum(axis=1)
        filled[tuple(cell)] = effects[tuple(full[far.argmin()])]
    return filled
