"""The cells of a column: the values between which some comparisons with it do not differ, and how a cell is found.

Columns have few comparisons each, and there are many of them: lists of Python are faster here than arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, final

import numpy as np
from xaionnx_kernels.forests import Forest

from xaionnx.graph.tree_ensembles import MODES
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

LEQ: Final = MODES.index("BRANCH_LEQ")
EQ: Final = MODES.index("BRANCH_EQ")
NEQ: Final = MODES.index("BRANCH_NEQ")
_MEMBER: Final = MODES.index("BRANCH_MEMBER")
# Their outcomes change behind the threshold only, and ahead of it only.
_AFTER: Final = (LEQ, MODES.index("BRANCH_GT"))
_AHEAD: Final = (MODES.index("BRANCH_LT"), MODES.index("BRANCH_GTE"))
_COMPARE: Final = (operator.le, operator.lt, operator.ge, operator.gt, operator.eq, operator.ne)


class Test(NamedTuple):
    """One comparison: the column, a number of :data:`MODES`, the threshold, and whether NaN goes to the true child."""

    column: int
    mode: int
    threshold: float
    missing_true: bool


# Some of these tests in turn, of which any has to hold; what follows if so and if not; a number stands for a cell.
Decision: TypeAlias = "int | tuple[tuple[Test, ...], Decision, Decision]"


@final
@dataclass(frozen=True, eq=False)
class Column:
    """The cells of a column: what the comparisons of a subtree distinguish.

    Attributes
    ----------
    column : int
    cells : int
    inside : array of bool, (cells,)
        Whether all comparisons on the path to the subtree come out as on the path.
    outcomes : dict of arrays of bool, (cells,)
        The outcome of each comparison inside the subtree, by its number.
    decision : nested tuples
        Which comparisons find the cell of a value.
    """

    column: int
    cells: int
    inside: Array
    outcomes: dict[int, Array]
    decision: Decision

    __repr__ = short_repr


@final
class Cells:
    """The columns of a forest, whose comparisons are numbered.

    Attributes
    ----------
    number : array of int, (M,)
        The number of the comparison at each node, equal for equal ones.
    """

    def __init__(self, forest: Forest, dtype: np.dtype[np.floating]) -> None:
        sets = np.where(forest.mode == _MEMBER, forest.member_start[:-1], -1)
        keys = np.stack([forest.feature, forest.mode, forest.missing_true, sets, forest.threshold], axis=1)
        _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        self.number: Array = number.reshape(-1)
        self._forest = forest
        self._nodes = first.tolist()
        self._dtype = dtype
        self._known: dict[tuple[int, tuple[tuple[int, bool], ...], tuple[int, ...]], Column] = {}
        self._conditions: dict[int, _Condition] = {}

    def column(self, column: int, above: tuple[tuple[int, bool], ...], inside: tuple[int, ...]) -> Column:
        """Return the cells of a column.

        Parameters
        ----------
        column : int
        above : tuple of (int, bool)
            The comparisons on the path to a subtree, and how they come out on the path.
        inside : tuple of int
            The comparisons in the subtree.
        """
        key = column, above, inside
        if key not in self._known:
            self._known[key] = self._found(column, above, inside)
        return self._known[key]

    def _found(self, column: int, above: tuple[tuple[int, bool], ...], inside: tuple[int, ...]) -> Column:
        conditions = [self._condition(number) for number in (*(number for number, _ in above), *inside)]
        near = {value for condition in conditions for value in condition.near}
        values = sorted(near | {np.inf})
        # The outcomes of all comparisons, of which values with the same are one.
        kinds = list(dict.fromkeys(tuple(c.holds(value) for c in conditions) for value in (*values, np.nan)))
        sides = tuple(side for _, side in above)
        on_path = [kind[: len(sides)] == sides for kind in kinds]
        signatures = [(ok, kind[len(sides) :] if ok else ()) for ok, kind in zip(on_path, kinds, strict=True)]
        cells = {signature: cell for cell, signature in enumerate(dict.fromkeys(signatures))}
        example = dict(zip(map(cells.__getitem__, signatures), kinds, strict=True))
        ordered = [example[cell] for cell in range(len(cells))]
        outcomes = {
            number: np.array([kind[len(sides) + place] for kind in ordered]) for place, number in enumerate(inside)
        }
        decision = _decision(
            [(kind, cells[signature]) for kind, signature in zip(kinds, signatures, strict=True)],
            [condition.tests for condition in conditions],
        )
        return Column(column, len(cells), np.array([ok for ok, _ in cells]), outcomes, decision)

    def _condition(self, number: int) -> _Condition:
        if number not in self._conditions:
            self._conditions[number] = self._read(self._nodes[number])
        return self._conditions[number]

    def _read(self, node: int) -> _Condition:
        f = self._forest
        column, mode, missing = int(f.feature[node]), int(f.mode[node]), bool(f.missing_true[node])
        threshold = float(f.threshold[node])
        members = f.members[f.member_start[node] : f.member_start[node + 1]] if mode == _MEMBER else np.zeros(0)
        tests: tuple[Test, ...] = (Test(column, mode, threshold, missing),)
        before, at, after = self._around(threshold)
        near: tuple[float, ...] = (at,) if mode in _AFTER else (before,) if mode in _AHEAD else (before, at)
        if at != threshold:  # which lies between two numbers of the columns
            near = before, at, after
        if mode == _MEMBER:
            tests = tuple(Test(column, EQ, float(member), missing) for member in members)
            near = tuple(value for member in members for value in self._around(member))
        return _Condition(tests, near, mode, threshold, missing, frozenset(members.tolist()))

    def _around(self, value: float) -> tuple[float, float, float]:
        """A number in the type of the columns, with the one before and the one after it."""
        number, infinite = self._dtype.type(value), self._dtype.type(np.inf)
        with np.errstate(over="ignore"):  # beyond the largest number is infinity
            return float(np.nextafter(number, -infinite)), float(number), float(np.nextafter(number, infinite))


class _Condition(NamedTuple):
    """A comparison, as one or more tests of which any has to hold, and the last values ahead of changes of its outcome.

    So each range of values in which no outcome changes ends with one of them, or with infinity.
    """

    tests: tuple[Test, ...]
    near: tuple[float, ...]
    mode: int
    threshold: float
    missing_true: bool
    members: frozenset[float]

    def holds(self, value: float) -> bool:
        """Whether it holds, as the kernels and onnxruntime decide it."""
        if value != value:
            return self.missing_true or self.mode == NEQ
        if self.mode == _MEMBER:
            return value in self.members
        return bool(_COMPARE[self.mode](value, self.threshold))


def _decision(kinds: Sequence[tuple[tuple[bool, ...], int]], tests: Sequence[tuple[Test, ...]]) -> Decision:
    """The comparisons that find the cell of each kind of values, given by the outcomes of all comparisons."""
    cells = {cell for _, cell in kinds}
    if len(cells) == 1:
        return cells.pop()
    best, asked = (len(kinds) * 2, 0), -1
    for number in range(len(tests)):
        true = {cell for kind, cell in kinds if kind[number]}
        false = {cell for kind, cell in kinds if not kind[number]}
        if true and false:
            cost = len(true) + len(false), max(len(true), len(false))
            if asked < 0 or cost < best:
                best, asked = cost, number
    # Kinds of different cells differ in a comparison.
    return (
        tests[asked],
        _decision([each for each in kinds if each[0][asked]], tests),
        _decision([each for each in kinds if not each[0][asked]], tests),
    )
