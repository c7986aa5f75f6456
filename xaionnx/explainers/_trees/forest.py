"""The trees of several ensembles as one forest, and the sums and values of rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from xaionnx_kernels.forests import MOST_PLAYERS, Forest, Paths, paths, raw_sums, reached
from xaionnx_kernels.trees import Background, Cover, ShapTables

from xaionnx.errors import InputMismatchError, UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.explainers._trees.source import TreeSource
from xaionnx.graph.tree_ensembles import MEMBER
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

# Numbers of leaf weights by target that are held at once.
_NUMBERS: Final = 2**24
# Seconds between two reports of progress.
_PAUSE: Final = 0.5


@final
@dataclass(frozen=True, eq=False)
class JoinedForest:
    """The trees of a source, with the features of its ensembles beside each other.

    Attributes
    ----------
    forest : Forest
    roots : array
    weight_node, weight_sum, weight : arrays (L,)
        The node, the number of the sum 0..C-1 and the value of each leaf weight, divided for averages.
    sums : int
        The number C of sums.
    inputs : tuple of str
        The tensors of features, one for each ensemble.
    used : tuple of arrays
        The features that each ensemble compares; only these are columns.
    covers : array (M,) or None
        The training rows that reach each node.
    """

    forest: Forest
    roots: Array
    weight_node: Array
    weight_sum: Array
    weight: Array
    sums: int
    inputs: tuple[str, ...]
    used: tuple[Array, ...]
    covers: Array | None

    __repr__ = short_repr

    @classmethod
    def of(cls, source: TreeSource) -> JoinedForest:
        """Join the ensembles of a source."""
        parts = source.ensembles
        nodes = np.cumsum([0, *(len(part.feature) for part in parts)])
        columns = np.cumsum([0, *(len(part.features) for part in parts)])
        sums = np.cumsum([0, *(part.targets for part in parts)])
        members = np.cumsum([0, *(len(part.members) for part in parts)])

        def shifted(name: str, by: Array) -> Array:
            arrays = [getattr(part, name) for part in parts]
            return np.concatenate([np.where(a < 0, -1, a + by[n]) for n, a in enumerate(arrays)]).astype(np.int32)

        def joined(name: str) -> Array:
            return np.concatenate([getattr(part, name) for part in parts])

        places = [np.searchsorted(part.features, part.feature) + columns[n] for n, part in enumerate(parts)]
        feature = [np.where(part.feature < 0, -1, place) for part, place in zip(parts, places, strict=True)]
        starts = [part.member_start[:-1] + members[n] for n, part in enumerate(parts)]
        shares = [np.full(len(p.weight), 1 / len(p.roots) if p.aggregate == "AVERAGE" else 1.0) for p in parts]
        covers = [part.cover for part in parts]
        forest = Forest(
            np.concatenate(feature).astype(np.int32),
            joined("mode"),
            joined("threshold"),
            joined("missing_true"),
            shifted("true", nodes),
            shifted("false", nodes),
            np.concatenate([*starts, members[-1:]]).astype(np.int32),
            joined("members"),
        )
        return cls(
            forest,
            shifted("roots", nodes),
            shifted("weight_node", nodes),
            shifted("weight_target", sums),
            joined("weight") * np.concatenate(shares),
            int(sums[-1]),
            tuple(part.input for part in parts),
            tuple(part.features for part in parts),
            None if any(cover is None for cover in covers) else np.concatenate([c for c in covers if c is not None]),
        )

    def table(self, tensors: Feeds) -> Array:
        """Return the features that are compared, (N, F), from the tensors of features.

        Whole numbers become float32, as onnxruntime compares them.

        Raises
        ------
        UnsupportedModelError
            A feature that is compared is not there.
        InputMismatchError
            A feature that is compared with a set of numbers is not a whole number.
        """
        parts = []
        for name, used in zip(self.inputs, self.used, strict=True):
            array = tensors[name]
            table = array.reshape(len(array), -1)
            if len(used) and used[-1] >= table.shape[1]:
                raise UnsupportedModelError(
                    f"The trees compare feature {used[-1]} of '{name}', which has {table.shape[1]}. Export the model "
                    "again."
                )
            taken = table[:, used]
            parts.append(taken if taken.dtype.kind == "f" and taken.itemsize >= 4 else taken.astype(np.float32))
        table = np.ascontiguousarray(np.concatenate(parts, axis=1))
        self._check_members(table)
        return table

    def _check_members(self, table: Array) -> None:
        columns = np.unique(self.forest.feature[self.forest.mode == MEMBER])
        with np.errstate(invalid="ignore"):
            broken = np.isfinite(table[:, columns]) & (table[:, columns] != np.floor(table[:, columns]))
        if broken.any():
            row, column = np.argwhere(broken)[0]
            ends = np.cumsum([len(used) for used in self.used])
            at = int(np.searchsorted(ends, columns[column], side="right"))
            feature = np.concatenate(self.used)[columns[column]]
            raise InputMismatchError(
                f"The trees compare feature {feature} of '{self.inputs[at]}' with sets of whole numbers, and row {row} "
                f"has {table[row, columns[column]]:.6g} there, of which onnxruntime finds some in sets that lack them. "
                "Give the number of a category."
            )

    def leaf_values(self, combined: Array) -> Array:
        """Return the weights of the leaves, (M, T), of combinations (C, T) of the sums."""
        values = np.empty((len(self.forest.feature), combined.shape[1]))
        for t in range(combined.shape[1]):
            weights = self.weight * combined[self.weight_sum, t]
            values[:, t] = np.bincount(self.weight_node, weights, len(values))
        return values

    def raw(self, table: Array) -> Array:
        """Return the sums (N, C) of rows."""
        out = np.empty((len(table), self.sums))
        some = max(1, _NUMBERS // len(self.forest.feature))
        for first in range(0, self.sums, some):
            combined = np.eye(self.sums)[:, first : first + some]
            out[:, first : first + some] = raw_sums(table, self.forest, self.roots, self.leaf_values(combined))
        return out

    def paths(self, players: Array) -> Paths:
        """Return the paths, with the player of each column.

        Raises
        ------
        UnsupportedModelError
            A path has too many players.
        """
        found = paths(self.forest, self.roots, players)
        if found.most_players > MOST_PLAYERS:
            raise UnsupportedModelError(
                f"A path of the trees compares {found.most_players} features, and tree_shap takes at most "
                f"{MOST_PLAYERS}. Group features (features=), or use {GAMES}."
            )
        return found

    def going(self, covers: Array) -> Array:
        """Return the share of the rows at the parent that go on to each node, from the rows that reach each.

        Children of nodes that no row reaches share equally.
        """
        share = np.ones(len(covers))
        inner = self.forest.true >= 0
        for side in (self.forest.true[inner], self.forest.false[inner]):
            above = covers[inner]
            share[side] = np.divide(covers[side], above, out=np.full(len(above), 0.5), where=above > 0)
        return share

    def covers_of(self, table: Array, weights: Array | None) -> Array:
        """Return how many background rows reach each node."""
        return reached(table, self.forest, self.roots, np.ones(len(table)) if weights is None else weights)


def mean_by_share(trees: Paths, going: Array, values: Array) -> Array:
    """Return the mean (T,) of the leaf values (M, T), each weighed by the share of rows that reach it."""
    share = np.ones(len(trees.node))
    for level in range(1, int(trees.level.max(initial=0)) + 1):
        at = np.flatnonzero(trees.level == level)
        share[at] = share[trees.parent[at]] * going[trees.node[at]]
    mean: Array = (share[:, None] * values[trees.node])[trees.leaves].sum(axis=0)
    return mean


@final
@dataclass(frozen=True, eq=False)
class RowGroups:
    """Rows that explain the same combination of the sums.

    Attributes
    ----------
    rows : list of arrays of int
    combined : list of arrays (C, T)
    """

    rows: list[Array]
    combined: list[Array]

    @classmethod
    def of(cls, weights: Array) -> RowGroups:
        """Group rows by their combinations (N, C, T)."""
        flat = np.ascontiguousarray(weights.reshape(len(weights), -1))
        keys = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize))).reshape(-1)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(np.bincount(group))[:-1]
        return cls(np.split(order, ends), [weights[n] for n in first])

    def parts(self, nodes: int) -> Iterator[tuple[list[Array], list[Array]]]:
        """Yield some groups at a time, so that their leaf values fit into memory."""
        some = max(1, _NUMBERS // max(1, nodes * self.combined[0].shape[1]))
        for first in range(0, len(self.rows), some):
            yield self.rows[first : first + some], self.combined[first : first + some]


def shap_values(
    joined: JoinedForest, tables: ShapTables, table: Array, groups: RowGroups, players: int, interactions: bool
) -> tuple[Array, Array | None]:
    """Return the Shapley values (N, T, P + 1), and the interaction values (N, T, P + 1, P + 1) of pairs i < j.

    The last player stands for columns that are the same for every row.
    """
    targets = groups.combined[0].shape[1]
    out = np.zeros((len(table), targets, players + 1))
    pairs = np.zeros((*out.shape, players + 1)) if interactions else None
    parts = list(groups.parts(len(joined.forest.feature)))
    report = _Report(tables.parts * len(parts), len(table))
    for rows, combined in parts:
        values = [joined.leaf_values(each) for each in combined]
        tables.add(table, values, rows, out, pairs, report.done)
    report.end()
    return out, pairs


@final
class _Report:
    """Says how far the trees are, at most twice a second."""

    def __init__(self, total: int, rows: int) -> None:
        self._total, self._rows, self._done, self._last = total, rows, 0, time.perf_counter()

    def done(self) -> None:
        """Count one part."""
        self._done += 1
        now = time.perf_counter()
        if now - self._last > _PAUSE:
            self._last = now
            progress.phase(f"trees of {self._rows:,} rows, {self._done / self._total:.0%}")

    def end(self) -> None:
        """Stop reporting."""
        progress.phase("")


def combine(pairs: Array, values: Array) -> Array:
    """Return symmetric matrices (N, T, P, P) whose rows sum to the values (N, T, P), from pairs i < j.

    Half of each interaction value is on either side of the diagonal, and the rest of a player's value on it.
    """
    whole = (pairs + np.swapaxes(pairs, -1, -2)) / 2
    diagonal = np.arange(values.shape[-1])
    whole[..., diagonal, diagonal] = values - whole.sum(axis=-1)
    return np.asarray(whole)


def absent(background: Array | None, weights: Array | None, going: Array | None) -> Background | Cover:
    """Return what absent players do: take background rows, or follow shares."""
    if going is not None:
        return Cover(going)
    assert background is not None
    return Background(background, np.ones(len(background)) if weights is None else np.asarray(weights, np.float64))
