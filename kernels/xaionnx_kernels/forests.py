"""Forests of decision trees as arrays: the leaves that rows reach, and the players on the path to each leaf."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from xaionnx_kernels._threads import in_threads

# Any: single and double precision.
Floats = npt.NDArray[np.floating[Any]]
# Any: whole numbers of any width.
Ints = npt.NDArray[np.integer[Any]]
Records = npt.NDArray[np.void]

LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)

MOST_PLAYERS = 64
"""The most players on the path to one leaf."""

# Rows whose patterns are followed together.
_BLOCK = 128
ROWS_OF_TASK: Final = 1024
"""Rows that one thread takes at once."""


class Forest(NamedTuple):
    """Nodes of trees as arrays (M,).

    Attributes
    ----------
    feature : int32
        -1 for a leaf.
    mode : int8
        0 to 6 for <=, <, >=, >, ==, != and membership.
    threshold : float64
    missing_true : bool
        Whether NaN goes to the true child.
    true, false : int32
        The children; -1 for a leaf.
    member_start : int32, (M + 1,)
    members : float64
        The set of node i is ``members[member_start[i]:member_start[i + 1]]``.
    """

    feature: Ints
    mode: Ints
    threshold: Floats
    missing_true: npt.NDArray[np.bool_]
    true: Ints
    false: Ints
    member_start: Ints
    members: Floats


STEP: Final = np.dtype(
    [("low", "f8"), ("high", "f8"), ("feature", "i4"), ("first_member", "i4"), ("last_member", "i4"), ("true", "i4"),
     ("false", "i4"), ("node", "i4"), ("parent", "i4"), ("level", "i4"), ("column", "i4"), ("outside", "?"),
     ("missing_true", "?"), ("side", "i1"), ("bit", "i1"), ("parent_bit", "i1")]
)  # fmt: skip
"""A node of a forest or a position of its paths, as the loops read it.

A value of the feature goes to the true child if it lies between low and high (or not, if outside), is in the set
``members[first_member:last_member]``, or is NaN and missing_true. The fields from ``node`` on belong to positions, and
are the arrays of :class:`Paths`; the column of a leaf is -1, and ``parent_bit`` the bit of the parent.
"""


def records(forest: Forest, at: Ints | slice = slice(None)) -> Records:
    """Some nodes of a forest as records."""
    threshold, mode = forest.threshold[at], forest.mode[at]
    nodes = np.zeros(len(mode), STEP)
    low = np.where((mode == LEQ) | (mode == LT) | (mode == MEMBER), -np.inf, threshold)
    high = np.where((mode == GTE) | (mode == GT), np.inf, threshold)
    for strict, ends, end in ((LT, high, -np.inf), (GT, low, np.inf)):
        beyond = mode == strict
        ends[beyond] = np.nextafter(threshold[beyond], end)
        # Nothing is beyond infinity.
        ends[beyond & (threshold == end)] = np.nan
    high[mode == MEMBER] = np.nan
    nodes["low"], nodes["high"], nodes["outside"] = low, high, mode == NEQ
    nodes["first_member"], nodes["last_member"] = forest.member_start[:-1][at], forest.member_start[1:][at]
    for name in ("feature", "missing_true", "true", "false"):
        nodes[name] = getattr(forest, name)[at]
    # Whose fields are attributes in Python, too.
    return nodes.view(np.recarray)


@dataclass(frozen=True, eq=False)
class Paths:
    """The paths of a forest, whose nodes are listed tree by tree, parents first.

    Attributes
    ----------
    forest : Forest
    node : int32, (M,)
        The node at each position.
    parent, side, level, bit, column : int32, (M,)
        Position of the parent (-1 for a root); whether the node is the true child; its depth; the number of the split's
        player on its path; and of its feature among ``used``.
    count, players_at : (M,)
        Number of different players on the path to a leaf, and where they begin in ``players``.
    players : int32
    used : int32
        The features that are compared.
    starts : int64, (R + 1,)
        The first position of each tree.
    """

    forest: Forest
    node: Ints
    parent: Ints
    side: Ints
    level: Ints
    bit: Ints
    column: Ints
    count: Ints
    players_at: Ints
    players: Ints
    used: Ints
    starts: Ints

    @cached_property
    def steps(self) -> Records:
        """The positions as records (M,)."""
        steps = records(self.forest, self.node)
        for name in ("node", "parent", "level", "side", "bit"):
            steps[name] = getattr(self, name)
        steps["column"] = np.where(self.leaves, -1, self.column)
        steps["parent_bit"] = self.bit[self.parent]
        return steps

    @property
    def leaves(self) -> npt.NDArray[np.bool_]:
        """Which positions are leaves."""
        leaf: npt.NDArray[np.bool_] = self.forest.true[self.node] < 0
        return leaf

    @cached_property
    def most_players(self) -> int:
        """The largest number of players on a path."""
        return int(self.count.max(initial=0))

    @cached_property
    def _depth(self) -> int:
        return int(self.level.max(initial=0)) + 1

    # Any: arrays of the kind that a loop needs.
    def buffers(self, rows: int) -> tuple[Any, Any]:
        """Scratch for the patterns of at most ``rows`` rows at once."""
        shape = self._depth, max(1, min(rows, _BLOCK))
        kind = np.uint32 if self.most_players <= 31 else np.uint64
        return np.empty(shape, kind), np.empty(shape, kind)


def raw_sums(x: Floats, forest: Forest, roots: Ints, weights: Floats) -> Floats:
    """Return the sums over all trees of the weights (M, T) of the leaf that each row of x (N, F) reaches, (N, T).

    Examples
    --------
    >>> leaf, none = np.array([-1]), np.array([-1])
    >>> tree = Forest(np.array([0, -1, -1]), np.zeros(3, np.int8), np.array([0.5, 0, 0]), np.zeros(3, bool),
    ...     np.array([1, -1, -1]), np.array([2, -1, -1]), np.zeros(4, np.int32), np.zeros(0))
    >>> raw_sums(np.array([[0.5], [0.6]]), tree, np.array([0]), np.array([[0.0], [3.0], [4.0]]))
    array([[3.],
           [4.]])
    """
    from xaionnx_kernels import _tree_loops

    nodes, out = records(forest), np.zeros((len(x), weights.shape[1]))

    def task(first: int) -> None:
        part = slice(first, first + ROWS_OF_TASK)
        _tree_loops.raw_sums(x[part], nodes, forest.members, roots, weights, out[part])

    in_threads(task, range(0, len(x), ROWS_OF_TASK))
    return out


def reached(x: Floats, forest: Forest, roots: Ints, weights: Floats) -> Floats:
    """Return the sum of the weights (N,) of the rows of x (N, F) that reach each node, (M,).

    Examples
    --------
    >>> tree = Forest(np.array([0, -1, -1]), np.zeros(3, np.int8), np.array([0.5, 0, 0]), np.zeros(3, bool),
    ...     np.array([1, -1, -1]), np.array([2, -1, -1]), np.zeros(4, np.int32), np.zeros(0))
    >>> reached(np.array([[0.5], [0.6], [0.7]]), tree, np.array([0]), np.ones(3))
    array([3., 1., 2.])
    """
    from xaionnx_kernels import _tree_loops

    out = np.zeros(len(forest.feature))
    _tree_loops.reached(x, records(forest), forest.members, roots, weights, out)
    return out


def paths(forest: Forest, roots: Ints, players: Ints) -> Paths:
    """Return the paths of trees, with the players on each.

    Parameters
    ----------
    forest : Forest
    roots : (R,)
    players : (F,)
        The player of each feature.

    Examples
    --------
    >>> leaf, none = np.array([-1]), np.array([-1])
    >>> tree = Forest(np.array([7, -1, -1]), np.zeros(3, np.int8), np.array([0.5, 0, 0]), np.zeros(3, bool),
    ...     np.array([2, -1, -1]), np.array([1, -1, -1]), np.zeros(4, np.int32), np.zeros(0))
    >>> found = paths(tree, np.array([0]), np.arange(8))
    >>> found.node.tolist(), found.side.tolist(), found.count.tolist(), found.players.tolist()
    ([0, 2, 1], [0, 1, 0], [0, 1, 1], [7, 7])
    """
    levels = _levels(forest, roots)
    node, parent, side, level = _preorder(forest, levels)
    inner = forest.feature >= 0
    own = np.zeros(len(forest.feature), np.int32)
    own[inner] = players[forest.feature[inner]]
    bit, counts, at, listed = _players_of_paths(forest, levels, node, own)
    used = np.unique(forest.feature[inner]).astype(np.int32)
    column = np.searchsorted(used, np.maximum(forest.feature[node], 0)).astype(np.int32)
    starts = np.append(np.flatnonzero(parent < 0), len(node)).astype(np.int64)
    return Paths(forest, node, parent, side, level, bit, column, counts, at, listed, used, starts)


def _levels(forest: Forest, roots: Ints) -> list[Ints]:
    """The nodes by depth; the true children of a level come first, then the false ones, each in the level's order."""
    levels: list[Ints] = [np.asarray(roots, np.int64)]
    while len(inner := levels[-1][forest.true[levels[-1]] >= 0]):
        levels.append(np.concatenate([forest.true[inner], forest.false[inner]]).astype(np.int64))
    return levels


def _preorder(forest: Forest, levels: list[Ints]) -> tuple[Ints, Ints, Ints, Ints]:
    """List the nodes of each tree, parents first and the true child before the false one.

    Returns the node at each position, the position of its parent (-1 for a root), whether it is the true child, and
    its depth.
    """
    size = np.ones(len(forest.feature), np.int64)
    for nodes in reversed(levels):
        inner = nodes[forest.true[nodes] >= 0]
        size[inner] += size[forest.true[inner]] + size[forest.false[inner]]
    ends = np.cumsum(size[levels[0]])
    place = np.empty(len(size), np.int64)
    place[levels[0]] = ends - size[levels[0]]
    node, parent, side, level = (np.full(int(ends[-1]), start, np.int32) for start in (0, -1, 0, 0))
    for depth, nodes in enumerate(levels):
        node[place[nodes]], level[place[nodes]] = nodes, depth
        inner = nodes[forest.true[nodes] >= 0]
        true, false, here = forest.true[inner], forest.false[inner], place[inner]
        place[true] = here + 1
        place[false] = here + 1 + size[true]
        parent[place[true]] = parent[place[false]] = here
        side[place[true]] = 1
    return node, parent, side, level


def _players_of_paths(forest: Forest, levels: list[Ints], node: Ints, own: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Number the players of each path in the order in which they occur.

    Returns, by position, the number of a split's player on its path, the number of players on the path to a leaf, and
    where they begin in the last array, which lists them.
    """
    place = np.empty(len(forest.feature), np.int64)
    place[node] = np.arange(len(node))
    bit, counts = np.zeros(len(node), np.int32), np.zeros(len(node), np.int32)
    # The players on the path to each node of a level, and how many.
    known: Ints = np.full((len(levels[0]), 0), -1, np.int32)
    many: Ints = np.zeros(len(levels[0]), np.int32)
    leaves: list[tuple[Ints, Ints]] = []
    for nodes in levels:
        split = forest.true[nodes] >= 0
        here = place[nodes[~split]]
        counts[here] = many[~split]
        leaves.append((here, known[~split]))
        known, many, added = known[split], many[split], own[nodes[split]]
        met = known == added[:, None]
        new = ~met.any(axis=1)
        number = np.where(new, many, np.argmax(met, axis=1) if known.shape[1] else 0)
        bit[place[nodes[split]]] = number
        if (many[new] == known.shape[1]).any():
            known = np.concatenate([known, np.full((len(known), 1), -1, np.int32)], axis=1)
        known[new, many[new]] = added[new]
        many = many + new
        known, many = np.concatenate([known, known]), np.concatenate([many, many])
    at = np.where(forest.true[node] < 0, np.cumsum(counts) - counts, 0)
    listed = np.zeros(max(1, int(counts.sum())), np.int32)
    for ends, on_path in leaves:
        filled = np.arange(on_path.shape[1]) < counts[ends][:, None]
        listed[(at[ends][:, None] + np.arange(on_path.shape[1]))[filled]] = on_path[filled]
    return bit, counts, at, listed
