"""The Shapley values of a forest as another forest, whose leaves hold the values of all rows that reach them.

The values of a row for a leaf depend on which conditions of its path the row satisfies. A few leaves that are near each
other in a tree, those of a small subtree, share most conditions: one new tree tests these, and each of its leaves holds
the summed values of these few leaves for all players at once. Which subtrees are taken is chosen by their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias, final

import numpy as np
from xaionnx_kernels.forests import Paths

from xaionnx.explainers._trees.cells import EQ, LEQ, NEQ, Cells, Column, Decision, Test
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# About the bytes of a file for the two nodes of a cell and for each number in it; measured.
CELL_BYTES: Final = 56
NUMBER_BYTES: Final = 13
# What a player of a subtree may add to the file to save a look-up, in bytes; and the highest subtrees. Measured: of 0,
# 1,200 and 6,000 bytes the middle is half as large again as the first and takes 0.4 of its time.
_LOOKUP: Final = 1_200
_HIGHEST: Final = 4


# A row of the table of a subtree, or a test and what follows it if it holds and if not.
Tree: TypeAlias = "int | tuple[Test, Tree, Tree]"


@final
@dataclass(frozen=True, eq=False)
class SubtreeValues:
    """The values of the leaves of one subtree, as a tree of its own.

    Attributes
    ----------
    tree : Tree
        Its leaves are rows of ``values``.
    values : array of float32 (rows, J * R)
    players : array of int, (J,)
    """

    tree: Tree
    values: Array
    players: Array

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Subtrees:
    """How the trees of a forest are divided into subtrees.

    Attributes
    ----------
    trees : Paths
    numbers : int
        The numbers R that each leaf and player have.
    dtype : dtype
        In which rows are compared.
    """

    trees: Paths
    numbers: int
    dtype: np.dtype[np.floating]

    __repr__ = short_repr

    @cached_property
    def children(self) -> tuple[Array, Array]:
        """The positions of the true and of the false children, (M,); -1 for a leaf."""
        trees = self.trees
        true, false = (np.full(len(trees.node), -1, np.int64) for _ in range(2))
        below = np.flatnonzero(trees.parent >= 0)
        for side, child in ((1, true), (0, false)):
            at = below[trees.side[below] == side]
            child[trees.parent[at]] = at
        return true, false

    @cached_property
    def column(self) -> Array:
        """The column that is compared at each position, (M,); -1 for a leaf."""
        return np.asarray(self.trees.forest.feature[self.trees.node])

    @cached_property
    def condition(self) -> Array:
        """A number for the comparison at each position, equal for equal ones, (M,)."""
        return self.cells.number[self.trees.node]

    @cached_property
    def cells(self) -> Cells:
        """What the comparisons of columns distinguish."""
        return Cells(self.trees.forest, self.dtype)

    def chosen(self, first: int, last: int) -> tuple[list[int], int]:
        """Return the roots of the subtrees of a tree, at positions from first to last, and about their bytes."""
        true, false = self.children
        column, parent = self.column, self.trees.parent
        above: list[frozenset[int]] = []
        for i in range(first, last):
            over = parent[i]
            above.append(above[over - first] | {int(column[over])} if over >= 0 else frozenset())
        count = last - first
        best, size, alone, height = [0.0] * count, [0] * count, [True] * count, [0] * count
        inner: list[dict[int, frozenset[int]]] = [{} for _ in range(count)]
        for i in range(count - 1, -1, -1):
            at = first + i
            t, f = int(true[at]) - first, int(false[at]) - first
            leaf = true[at] < 0
            if not leaf:
                height[i] = max(height[t], height[f]) + 1
            if height[i] <= _HIGHEST:
                if not leaf:
                    inner[i] = _joined(inner[t], inner[f], int(column[at]), int(self.condition[at]))
                size[i], players = self._size(above[i], inner[i])
                best[i] = size[i] + _LOOKUP * players
            if not leaf and (height[i] > _HIGHEST or best[t] + best[f] < best[i]):
                best[i], size[i], alone[i] = best[t] + best[f], size[t] + size[f], False
        roots, waiting = list[int](), [0]
        while waiting:
            i = waiting.pop()
            if alone[i]:
                roots.append(first + i)
            else:
                waiting += [int(false[first + i]) - first, int(true[first + i]) - first]
        return roots, size[0]

    def _size(self, above: frozenset[int], inner: dict[int, frozenset[int]]) -> tuple[int, int]:
        """About the bytes of a subtree, and how many columns it has."""
        cells = 1
        for column in above | inner.keys():
            cells *= len(inner.get(column, ())) + 1 + (column in above)
        players = len(above | inner.keys())
        return cells * (CELL_BYTES + NUMBER_BYTES * players * self.numbers), players

    def values(self, root: int, leaves: LeafTables, owner: Array, nobody: int) -> SubtreeValues:
        """Return the values of a subtree.

        Parameters
        ----------
        root : int
            The position of its root.
        leaves : LeafTables
        owner : array of int
            The player of each column.
        nobody : int
            The player that stands for columns which are the same for every row.
        """
        columns = self._columns(root)
        sizes = [column.cells for column in columns]
        strides = np.cumprod([1, *sizes])
        grid = np.arange(strides[-1])
        cells = {c.column: grid // stride % c.cells for c, stride in zip(columns, strides[:-1], strict=True)}
        known = {c.column: c for c in columns}
        players = np.unique([p for p in (int(owner[c.column]) for c in columns) if p != nobody]).astype(np.int64)
        slot = {int(player): number for number, player in enumerate(players)}
        table = np.zeros((len(grid), len(players), self.numbers))
        for leaf in self._leaves(root):
            found, gains = self._gains(root, leaf, leaves, known, cells)
            for player, gain in zip(found, gains, strict=True):
                if player != nobody:
                    table[:, slot[player]] += gain[:, None] * leaves.weights[self.trees.node[leaf]]
        # Adding 0 makes the two zeros one.
        rows = table.reshape(len(grid), -1).astype(np.float32) + np.float32(0)
        known_rows: dict[bytes, int] = {}
        number = [known_rows.setdefault(row.tobytes(), len(known_rows)) for row in rows]
        first = np.unique(number, return_index=True)[1]
        tree = _Writing(columns, strides.tolist(), number).tree(0, 0)
        return SubtreeValues(tree, rows[first], players)

    def _gains(
        self, root: int, leaf: int, leaves: LeafTables, known: dict[int, Column], cells: dict[int, Array]
    ) -> tuple[list[int], list[Array]]:
        """The players of a leaf, and the value of each per weight of the leaf, in each cell."""
        trees = self.trees
        count, begin = int(trees.count[leaf]), int(trees.players_at[leaf])
        size = len(next(iter(cells.values()))) if cells else 1
        fits = np.ones((count, size), dtype=bool)
        column, at = self.column, leaf
        while at != root:
            side, at = bool(trees.side[at]), int(trees.parent[at])
            outcome = known[int(column[at])].outcomes[int(self.condition[at])]
            fits[trees.bit[at]] &= (outcome == side)[cells[int(column[at])]]
        while trees.parent[at] >= 0:
            at = int(trees.parent[at])
            fits[trees.bit[at]] &= known[int(column[at])].inside[cells[int(column[at])]]
        pattern = (fits << np.arange(count)[:, None]).sum(axis=0)
        whole, without = leaves.of(leaf, count)
        gains = [whole[pattern] - without[pattern & ~(1 << k)] for k in range(count)]
        return trees.players[begin : begin + count].tolist(), gains

    def _leaves(self, root: int) -> list[int]:
        true, false = self.children
        found, waiting = list[int](), [root]
        while waiting:
            at = waiting.pop()
            if true[at] < 0:
                found.append(at)
            else:
                waiting += [int(false[at]), int(true[at])]
        return found

    def _columns(self, root: int) -> list[Column]:
        """The columns that a subtree and the path to it compare, those of the path first."""
        true, _ = self.children
        trees, column = self.trees, self.column
        above: dict[int, list[tuple[int, bool]]] = {}
        inside: dict[int, list[int]] = {}
        at = root
        while trees.parent[at] >= 0:
            side, at = bool(trees.side[at]), int(trees.parent[at])
            above.setdefault(int(column[at]), []).append((int(self.condition[at]), side))
        waiting = [root] if true[root] >= 0 else []
        while waiting:
            at = waiting.pop()
            inside.setdefault(int(column[at]), []).append(int(self.condition[at]))
            waiting += [int(child[at]) for child in self.children if true[child[at]] >= 0]
        names = [*above, *(name for name in inside if name not in above)]
        return [
            self.cells.column(name, tuple(above.get(name, ())), tuple(dict.fromkeys(inside.get(name, ()))))
            for name in names
        ]


@final
@dataclass(frozen=True, eq=False)
class LeafTables:
    """The tables of leaves, from which values are looked up by pattern.

    Attributes
    ----------
    at : array (M,)
        Where the tables of each position begin.
    whole, without : arrays
        K and K + N of :mod:`xaionnx_kernels.trees`.
    weights : array (M, R)
        The weights of the leaves, by node.
    """

    at: Array
    whole: Array
    without: Array
    weights: Array

    __repr__ = short_repr

    @classmethod
    def joined(cls, parts: Iterator[tuple[Array, Array, Array]], weights: Array, positions: int) -> LeafTables:
        """Join the parts of :meth:`xaionnx_kernels.trees.ShapTables.leaf_tables`."""
        where, first = np.full(positions, -1, np.int64), 0
        whole, without = [np.zeros(0)], [np.zeros(0)]
        for at, one, other in parts:
            here = at >= 0
            where[here] = at[here] + first
            first += len(one)
            whole.append(one)
            without.append(other)
        return cls(where, np.concatenate(whole), np.concatenate(without), weights)

    def of(self, position: int, count: int) -> tuple[Array, Array]:
        """Return the two tables of a leaf with some number of players."""
        part = slice(self.at[position], self.at[position] + (1 << count))
        return self.whole[part], self.without[part]


def _joined(
    one: dict[int, frozenset[int]], other: dict[int, frozenset[int]], column: int, condition: int
) -> dict[int, frozenset[int]]:
    """The conditions by column of two subtrees and of the split above them."""
    both = {key: one.get(key, frozenset()) | other.get(key, frozenset()) for key in one.keys() | other.keys()}
    both[column] = both.get(column, frozenset()) | {condition}
    return both


@final
@dataclass(frozen=True, eq=False)
class _Writing:
    """The decisions of several columns, one after the other, as one tree without tests that decide nothing."""

    columns: Sequence[Column]
    strides: Sequence[int]
    number: Sequence[int]
    known: dict[tuple[int, int], Tree] = field(default_factory=dict)
    same: dict[tuple[Test, int, int], Tree] = field(default_factory=dict)

    __repr__ = short_repr

    def tree(self, column: int, offset: int) -> Tree:
        if column == len(self.columns):
            return self.number[offset]
        key = column, offset
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = self._decide(self.columns[column].decision, column, offset)
        return found

    def _decide(self, decision: Decision, column: int, offset: int) -> Tree:
        if isinstance(decision, int):
            return self.tree(column + 1, offset + decision * self.strides[column])
        tests, true, false = decision
        yes, no = self._decide(true, column, offset), self._decide(false, column, offset)
        for test in reversed(tests):
            no = self._branch(test, yes, no) if test.mode != EQ else self._split(test, yes, no)
        return no

    def _split(self, test: Test, yes: Tree, no: Tree) -> Tree:
        """A test for equality and what follows it.

        onnxruntime joins BRANCH_EQ with one below it if the first numbers of their leaves are equal, whatever the
        others are, so equality is written as BRANCH_NEQ with exchanged children.
        """
        other = self._branch(test._replace(mode=NEQ, missing_true=False), no, yes)
        return self._branch(Test(test.column, LEQ, np.inf, False), other, yes) if test.missing_true else other

    def _branch(self, test: Test, yes: Tree, no: Tree) -> Tree:
        """A branch; equal ones are one object, so that a test before two of them is left out."""
        if yes is no or (yes == no and isinstance(yes, int)):
            return yes
        key = test, yes if isinstance(yes, int) else -id(yes), no if isinstance(no, int) else -id(no)
        return self.same.setdefault(key, (test, yes, no))
