r"""Exact Shapley values of tree ensembles, at a cost linear in rows plus background rows.

The model is a sum of leaves, each a weight times a product of conditions along the path to it. Let d be the number of
different players on the path, and let the *pattern* of a row be the set of these players all of whose conditions the
row satisfies, as bits. In the game of a row with pattern p, a coalition S of the d players reaches the leaf if
:math:`S \subseteq p` and the background satisfies the conditions of all others, so its worth is

.. math:: v_p(S) = [S \subseteq p] \; g(S)

where g(S) is the share of background rows whose pattern contains the players outside S, or, for the path dependent
expectation, the product of the shares of training rows that go on at their splits. With
:math:`w(s) = s! (d - 1 - s)! / d!` and sums over subsets

.. math:: K(p) = \sum_{S \subseteq p} w(|S| - 1) \, g(S), \qquad N(p) = \sum_{S \subseteq p} w(|S|) \, g(S)

the Shapley value of player j is :math:`K(p) - (K + N)(p \setminus j)`. So background rows are counted by pattern,
three passes over 2^d numbers make the two tables of a leaf, and each row looks its values up. Interaction values need
three tables in the same way. Leaves with many players are computed for each pair of a row and a background pattern.

References
----------
Lundberg et al., From local explanations to global understanding with explainable AI for trees, Nature Machine
Intelligence 2, 2020, doi:10.1038/s42256-019-0138-9; Wettenstein, Nadel and Boker, From decision trees to Boolean logic:
a fast and unified SHAP algorithm, arXiv:2511.09376, which counts patterns too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import _leaf_tables as _tables
from xaionnx_kernels._threads import in_threads
from xaionnx_kernels.forests import MOST_PLAYERS, ROWS_OF_TASK, Floats, Ints, Paths

# A table for each pattern is made for leaves of at most this many players; always for those of at most `_SMALL`.
_LARGE, _SMALL = 18, 10
# Entries of tables that are held at once, of 8 bytes in each of up to four tables; kept for later rows if all fit.
_ENTRIES = 2**21
# Entries of tables that are worked on together.
_CACHED = 2**15
# Intervals of trees for which background rows are counted apart, by several threads.
_PARTS = 32
# Leaves with many players that are worked on together.
_DEEP = 4096
# Numbers of a block's results.
_NUMBERS = 2**19


@dataclass(frozen=True, eq=False)
class Background:
    """Rows (B, F) over which outcomes are averaged, and their weights (B,), which need not sum to 1."""

    rows: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class Cover:
    """The share of the training rows that reach its parent and go on to each node, (M,); anything for a root."""

    share: Floats


class _Part(NamedTuple):
    """Tables of some leaves: positions of the walk, beginning of each table or -1, and the tables."""

    interval: tuple[int, int]
    at: Ints
    tables: tuple[Floats, ...]


class ShapTables:
    """Tables of the leaves of a forest, from which the values of rows are looked up.

    Parameters
    ----------
    trees : Paths
    absent : Background or Cover
        What absent players do.
    rows : int
        About how many rows will be explained, which decides for which leaves a table pays.
    interactions : bool
        Whether interaction values are wanted, too.

    Raises
    ------
    ValueError
        A path has more than :data:`MOST_PLAYERS` players, or, with interactions, more than 18.
    """

    def __init__(self, trees: Paths, absent: Background | Cover, rows: int, *, interactions: bool = False) -> None:
        most = trees.most_players
        if most > (_LARGE if interactions else MOST_PLAYERS):
            raise ValueError(f"a path has {most} players, and at most {_LARGE if interactions else MOST_PLAYERS} fit")
        self._trees = trees
        self._absent = absent
        self._interactions = interactions
        leaf = trees.leaves & (trees.count > 0)
        tabled = leaf & (trees.count <= (_LARGE if interactions else self._most_for_table(rows)))
        self._deep = np.flatnonzero(leaf & ~tabled)
        self._plans = list(_plans(trees, tabled))
        self._kept: list[_Part] | None = None
        self._counted: dict[int, tuple[Ints, Floats, Ints]] = {}

    def _most_for_table(self, rows: int) -> int:
        """The largest number of players for which a table costs less than pairs of rows."""
        most = _SMALL
        while most < _LARGE:
            d = most + 1
            if isinstance(self._absent, Background):
                pairs = 2.0 * rows * min(len(self._absent.rows), 2**d)
            else:
                pairs = float(rows * d * d)
            if 6.0 * d * 2**d > pairs:
                break
            most = d
        return most

    @property
    def parts(self) -> int:
        """How many parts :meth:`add` works through."""
        return len(self._plans) + len(self._deep_blocks())

    def add(
        self,
        x: Floats,
        values: list[Floats],
        groups: list[Ints],
        out: Floats,
        pairs: Floats | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        """Add the Shapley values of the rows x (N, F) to out (N, T, P).

        Parameters
        ----------
        x : (N, F)
        values : list of (M, T)
            The weights of the leaves, by node, for each group of rows.
        groups : list of (n,)
            The rows of each group.
        out : (N, T, P)
        pairs : (N, T, P, P), optional
            The interaction values of the pairs i < j are added to it.
        done : callable
            Called after each part.
        """
        keep = sum(plan.size for plan in self._plans) <= 2 * _ENTRIES
        if self._kept is None and keep:
            self._kept = []
            for plan in self._plans:
                self._kept.append(self._tables(plan))
        parts = self._kept if self._kept is not None else (self._tables(plan) for plan in self._plans)
        chunks = [
            (g, rows[a : a + ROWS_OF_TASK]) for g, rows in enumerate(groups) for a in range(0, len(rows), ROWS_OF_TASK)
        ]
        for part in parts:

            def task(chunk: tuple[int, Ints], part: _Part = part) -> None:
                self._add_part(part, x, values[chunk[0]], chunk[1], out, pairs)

            in_threads(task, chunks)
            done()
        for block in self._deep_blocks():
            self._add_deep(block, x, values, chunks, out)
            done()

    def leaf_tables(self) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Yield the tables K and K + N of leaves, some at a time, with where those of each position begin, or -1.

        Raises
        ------
        ValueError
            A path has so many players that it has no table.
        """
        if len(self._deep):
            raise ValueError(f"a path has {self._trees.most_players} players, and tables are made for at most {_LARGE}")
        for plan in self._plans:
            part = self._tables(plan)
            yield part.at, part.tables[0], part.tables[1]

    def _add_part(self, part: _Part, x: Floats, values: Floats, rows: Ints, out: Floats, pairs: Floats | None) -> None:
        from xaionnx_kernels import _tree_loops

        trees = self._trees
        place, local = _own_rows(out, rows)
        some = slice(*part.interval)
        steps, members = trees.steps[some], trees.forest.members
        heads = (part.at[some], trees.count[some], trees.players_at[some], trees.players)
        block = min(len(rows), max(8, _NUMBERS // max(1, out.shape[1] * out.shape[2])))
        taken = x[rows]
        _tree_loops.add_values(
            taken, trees.used, steps, members, (*heads, *part.tables[:2]), values,
            *trees.buffers(block), local,
        )  # fmt: skip
        if place is not None:
            out[place] = local
        if pairs is not None:
            place, local = _own_rows(pairs, rows)
            block = min(len(rows), _NUMBERS // max(1, out.shape[1] * out.shape[2] ** 2))
            _tree_loops.add_interactions(
                taken, trees.used, steps, members, (*heads, *part.tables[2:]), values,
                *trees.buffers(block), local,
            )  # fmt: skip
            if place is not None:
                pairs[place] = local

    def _tables(self, plan: _Plan) -> _Part:
        trees, absent = self._trees, self._absent
        entries = np.zeros(plan.size)
        if isinstance(absent, Background):
            from xaionnx_kernels import _tree_loops

            def count(interval: tuple[int, int]) -> None:
                some = slice(*interval)
                _tree_loops.count_patterns(
                    absent.rows, absent.weights, trees.used, trees.steps[some], trees.forest.members,
                    (plan.at[some], trees.count[some], entries), *trees.buffers(len(absent.rows)),
                )  # fmt: skip

            in_threads(count, plan.parts())
        tables = tuple(np.empty(plan.size) for _ in range(5 if self._interactions else 2))

        def fill(block: tuple[int, Ints]) -> None:
            players, leaves = block
            size = 2**players
            first = int(plan.at[leaves[0]])
            part = slice(first, first + len(leaves) * size)
            if isinstance(absent, Background):
                shares = _tables.of_counts(entries[part].reshape(-1, size).T.copy(), float(absent.weights.sum()))
            else:
                at = trees.players_at[leaves] + np.arange(players)[:, None]
                shares = _tables.of_products(self._shares[at])
            pairs = _tables.of_interactions(shares) if self._interactions else ()
            for table, each in zip(tables, (*_tables.of_values(shares), *pairs), strict=True):
                table[part].reshape(-1, size)[:] = each.T

        in_threads(fill, plan.blocks(trees.count))
        return _Part((plan.intervals[0][0], plan.intervals[-1][1]), plan.at, tables)

    @cached_property
    def _shares(self) -> Floats:
        """The share of rows that go on at each player of each path, in the order of ``players``."""
        assert isinstance(self._absent, Cover)
        trees = self._trees
        shares = np.ones(len(trees.players))
        leaves = np.flatnonzero(trees.leaves)
        above: Ints = leaves
        at = trees.players_at[leaves]
        while len(above):
            inner = trees.parent[above] >= 0
            above, at = above[inner], at[inner]
            up = trees.parent[above]
            # Each leaf writes its own entries.
            shares[at + trees.bit[up]] *= self._absent.share[trees.node[above]]
            above = up
        return shares

    def _deep_blocks(self) -> list[slice]:
        """Some of the leaves with many players at a time."""
        rows = len(self._absent.rows) if isinstance(self._absent, Background) else 1
        some = max(1, min(_DEEP, _ENTRIES // max(1, rows)))
        return [slice(first, first + some) for first in range(0, len(self._deep), some)]

    def _add_deep(
        self, block: slice, x: Floats, values: list[Floats], chunks: list[tuple[int, Ints]], out: Floats
    ) -> None:
        """Add the values of some leaves whose paths have many players."""
        from xaionnx_kernels import _tree_loops

        trees, at = self._trees, self._deep[block]
        steps, members, count = trees.steps, trees.forest.members, trees.count[at]
        full = ~np.uint64(0) >> (64 - count).astype(np.uint64)
        leaves = at, full, count, trees.players_at[at]
        counted = self._patterns(block, full) if isinstance(self._absent, Background) else None

        def task(chunk: tuple[int, Ints]) -> None:
            group, rows = chunk
            place, local = _own_rows(out, rows)
            arguments = x[rows], leaves, steps, members, trees.players
            if counted is not None:
                _tree_loops.add_pairs(*arguments, counted, _beta(MOST_PLAYERS), values[group], local)
            else:
                _tree_loops.add_products(*arguments, self._shares, _rules(), values[group], local)
            if place is not None:
                out[place] = local

        in_threads(task, chunks)

    def _patterns(self, block: slice, full: Ints) -> tuple[Ints, Floats, Ints]:
        """The different patterns of the background rows for some leaves with many players, and their shares."""
        from xaionnx_kernels import _tree_loops

        assert isinstance(self._absent, Background)
        if block.start in self._counted:
            return self._counted[block.start]
        rows, weights, at = self._absent.rows, self._absent.weights, self._deep[block]
        steps, members, total = self._trees.steps, self._trees.forest.members, float(weights.sum())
        known, shares = np.empty((len(at), len(rows)), np.uint64), np.empty((len(at), len(rows)))
        kinds = np.empty(len(at), np.int64)

        def task(part: slice) -> None:
            found = known[part], shares[part], kinds[part]
            _tree_loops.count_paths(rows, weights, total, at[part], steps, members, full[part], found)

        size = -(-len(at) // _PARTS)
        in_threads(task, [slice(first, first + size) for first in range(0, len(at), size)])
        most = int(kinds.max())
        found = known[:, :most].copy(), shares[:, :most].copy(), kinds
        if len(self._deep) * len(rows) <= 2 * _ENTRIES:
            self._counted[block.start] = found
        return found


def _own_rows(out: Floats, rows: Ints) -> tuple[Ints | None, Floats]:
    """Rows of an array to add to: a view where they follow each other, else a copy and its place."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return None, out[rows[0] : rows[-1] + 1]
    return rows, out[rows]


class _Plan(NamedTuple):
    """Leaves whose tables are made together: intervals of the walk, where each table begins or -1, and their size.

    Tables of leaves with equally many players follow each other.
    """

    intervals: list[tuple[int, int]]
    at: Ints
    size: int

    def parts(self) -> list[tuple[int, int]]:
        """A few intervals, of several trees each."""
        some = -(-len(self.intervals) // _PARTS)
        firsts = self.intervals[::some]
        ends = [*(first for first, _ in firsts[1:]), self.intervals[-1][1]]
        return [(first, end) for (first, _), end in zip(firsts, ends, strict=True)]

    def blocks(self, count: Ints) -> Iterator[tuple[int, Ints]]:
        """Yield numbers of players, and some leaves with that many whose tables follow each other."""
        leaves = np.flatnonzero(self.at >= 0)
        leaves = leaves[np.argsort(self.at[leaves], kind="stable")]
        for players in np.unique(count[leaves]).tolist():
            alike = leaves[count[leaves] == players]
            some = max(1, _CACHED >> players)
            for first in range(0, len(alike), some):
                yield players, alike[first : first + some]


def _plans(trees: Paths, tabled: npt.NDArray[np.bool_]) -> Iterator[_Plan]:
    """Parts of the trees whose tables have about `_ENTRIES` entries."""
    sizes = np.where(tabled, 2 ** trees.count.astype(np.int64), 0)
    intervals: list[tuple[int, int]] = []
    chosen: list[Ints] = []
    total = 0

    def plan() -> _Plan:
        at = np.full(len(trees.node), -1, np.int64)
        leaves = np.concatenate(chosen)
        leaves = leaves[np.argsort(trees.count[leaves], kind="stable")]
        ends = np.cumsum(sizes[leaves])
        at[leaves] = ends - sizes[leaves]
        return _Plan(list(intervals), at, int(ends[-1]))

    for first, last in zip(trees.starts[:-1].tolist(), trees.starts[1:].tolist(), strict=True):
        leaves = first + np.flatnonzero(tabled[first:last])
        while len(leaves):
            ends = np.cumsum(sizes[leaves])
            if total and total + ends[-1] > _ENTRIES:
                yield plan()
                intervals, chosen, total = [], [], 0
            few = max(1, int(np.searchsorted(ends, _ENTRIES, side="right")))
            intervals.append((first, last))
            chosen.append(leaves[:few])
            total += int(ends[few - 1])
            leaves = leaves[few:]
    if total:
        yield plan()


@cache
def _beta(d: int) -> Floats:
    """a! b! / (a + b + 1)! for a + b < d."""
    return np.array([[1 / (math.comb(a + b, a) * (a + b + 1)) for b in range(d + 1)] for a in range(d + 1)])


@cache
def _rules() -> tuple[Floats, Floats, Ints]:
    """Gauss-Legendre points and weights on [0, 1], exact for each number of players, and how many they are."""
    sizes = np.array([(d + 1) // 2 for d in range(MOST_PLAYERS + 1)])
    points, weights = np.zeros((len(sizes), sizes[-1])), np.zeros((len(sizes), sizes[-1]))
    for d, size in enumerate(sizes.tolist()):
        if size:
            found, share = np.polynomial.legendre.leggauss(size)
            points[d, :size], weights[d, :size] = (found + 1) / 2, share / 2
    return points, weights, sizes
