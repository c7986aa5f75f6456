"""Columns that depend on each other: groups of them, and subgroups of rows in which one is free of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array

# A column in all rows, as its number or that of its word, and whether it is a number.
Column = tuple[Array, bool]

# At most this many subgroups of rows, each with at least so many, and this share of all.
_MOST, _FEWEST, _SHARE = 16, 10, 0.02


def association(columns: Sequence[Column]) -> Array:
    """How far columns depend on each other in pairs, (P, P) from 0 to 1.

    The size of Spearman's rank correlation of two numbers; Cramer's V of two columns of words; of words and a number,
    the correlation ratio of its ranks, the square root of the share of their variance between words.

    Examples
    --------
    >>> number, word = np.arange(6.0), np.array([0, 0, 0, 1, 1, 1])
    >>> association([(number, True), (-(number**3), True), (word, False), (1 - word, False)]).round(3)
    array([[1.   , 1.   , 0.878, 0.878],
           [1.   , 1.   , 0.878, 0.878],
           [0.878, 0.878, 1.   , 1.   ],
           [0.878, 0.878, 1.   , 1.   ]])
    """
    count = len(columns)
    found = np.eye(count)
    made = [_ranks(values) if is_number else _one_hot(values) for values, is_number in columns]
    for i in range(count):
        for j in range(i):
            found[i, j] = found[j, i] = _pair(made[i], made[j], columns[i][1], columns[j][1])
    return found


def _ranks(values: Array) -> Array:
    """Standardised ranks (N, 1); those of missing numbers are in the middle."""
    from scipy.stats import rankdata

    known = np.isfinite(values)
    ranks = np.zeros(len(values))
    own = rankdata(values[known])
    ranks[known] = own - own.mean() if len(own) else own
    deviation = np.sqrt(np.mean(ranks**2))
    return (ranks / deviation if deviation > 0 else ranks)[:, None]


def _one_hot(values: Array) -> Array:
    return np.asarray(values[:, None] == np.unique(values)[None], dtype=np.float64)


def _pair(first: Array, second: Array, first_is_number: bool, second_is_number: bool) -> float:
    rows = len(first)
    if first_is_number and second_is_number:
        return float(min(1.0, abs((first * second).sum()) / rows))
    if first_is_number or second_is_number:
        number, words = (first, second) if first_is_number else (second, first)
        sums, sizes = (words.T @ number)[:, 0], words.sum(axis=0)
        between = (np.square(sums) / np.maximum(sizes, 1)).sum() / max(1e-300, float(np.square(number).sum()))
        return float(np.sqrt(min(1.0, between)))
    table = first.T @ second
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / rows
    smaller = min(table.shape) - 1
    return (
        0.0
        if smaller < 1
        else float(np.sqrt(min(1.0, (np.square(table - expected) / expected).sum() / rows / smaller)))
    )


def correlated_groups(columns: Sequence[Column], least: float) -> Array:
    """The group of each column, (P,): columns join while those of two groups are associated by ``least`` on average."""
    from scipy.cluster import hierarchy

    if len(columns) < 2:
        return np.zeros(len(columns), dtype=int)
    apart = 1 - association(columns)[np.triu_indices(len(columns), 1)]
    labels = hierarchy.fcluster(hierarchy.linkage(np.maximum(apart, 0), "average"), 1 - least, "distance")
    # Numbered in the order of the columns.
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[group])


def subgroups(columns: Sequence[Column], own: Sequence[int], seed: int) -> Array:
    """The subgroup of each row, (N,): a leaf of a tree that predicts some columns from the others.

    In a leaf the columns say little about each other, so that values that are permuted there stay likely ones.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    rows = len(columns[0][0])
    rest = [_filled(*columns[k]) for k in range(len(columns)) if k not in own]
    if not rest:
        return np.zeros(rows, dtype=int)
    settings = {
        "max_leaf_nodes": _MOST,
        "min_samples_leaf": max(_FEWEST, int(_SHARE * rows)),
        "random_state": seed % 2**32,
    }
    alone = len(own) == 1 and not columns[own[0]][1]
    target = np.concatenate(
        [_ranks(values) if number else _one_hot(values) for values, number in (columns[k] for k in own)], axis=1
    )
    tree = DecisionTreeClassifier(**settings) if alone else DecisionTreeRegressor(**settings)
    inputs = np.concatenate(rest, axis=1)
    tree.fit(inputs, columns[own[0]][0] if alone else target)
    return np.asarray(tree.apply(inputs))


def _filled(values: Array, is_number: bool) -> Array:
    if not is_number:
        return _one_hot(values)
    known = np.isfinite(values)
    middle = float(np.median(values[known])) if known.any() else 0.0
    # Trees divide by single numbers, so that the place of missing ones is a column too.
    return np.stack([np.where(known, values, middle), ~known], axis=1)
