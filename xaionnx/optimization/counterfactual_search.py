"""Counterfactual: the nearest row that has another answer, and searches for it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.data.inputs import Given
from xaionnx.errors import ParameterError
from xaionnx.feature_names import value_text
from xaionnx.optimization.judge import Judge
from xaionnx.optimization.row_space import Limits, RowSpace, Variable, Way
from xaionnx.part import Part
from xaionnx.record import recorded_value
from xaionnx.registry import Registry
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document, ModelLike


@final
@dataclass(frozen=True)
class Change:
    """One change of a row, in the words and units of its column."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}"


@final
@dataclass(frozen=True, eq=False)
class Counterfactual:
    """A row near another one with the wanted answer.

    Attributes
    ----------
    row, original : arrays (F,)
    changes : list of Change
        In the order of their size.
    valid : bool
        Whether the model itself gives the wanted answer for the row.
    distance : float
        Changes of numbers in median absolute deviations, plus one a changed category.
    plausibility : float
        The distance to the nearest row of data; that of the nearest such row is 0.
    score : float
        The output of the wanted class less the highest other one.
    diagnostics, provenance : dict
    """

    row: Array
    original: Array
    changes: list[Change]
    valid: bool
    distance: float
    plausibility: float
    score: float
    diagnostics: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    __repr__ = short_repr

    def __str__(self) -> str:
        if not self.valid:
            return "No row with the wanted answer was found."
        return "\n".join(map(str, self.changes)) or "The row has the wanted answer already."

    def to_dict(self) -> Document:
        """Return the record for JSON."""
        return {
            "valid": self.valid,
            "changes": [vars(change) for change in self.changes],
            "distance": self.distance,
            "plausibility": self.plausibility,
            "score": self.score,
            "row": self.row.tolist(),
            "original": self.original.tolist(),
            "diagnostics": dict(self.diagnostics),
            "provenance": dict(self.provenance),
        }


@final
@dataclass(frozen=True, eq=False)
class Case:
    """What a search gets: a row, what may change of it, and who judges."""

    row: Array
    space: RowSpace
    limits: Limits
    judge: Judge

    __repr__ = short_repr


class CounterfactualSearch(Part, ABC):
    """A search for counterfactuals: a frozen dataclass whose fields are its parameters.

    Attributes
    ----------
    reference : str
        The publication that it follows.
    """

    reference: ClassVar[str]

    @abstractmethod
    def find(self, case: Case) -> Array | None:
        """The row that was found, (F,), with whole numbers where the data have them; None if there is none."""


COUNTERFACTUALS: Final[Registry[CounterfactualSearch]] = Registry(
    "counterfactual", "xaionnx.optimization.counterfactuals", CounterfactualSearch
)


def counterfactual(
    model: ModelLike,
    x: Given,
    search: str | CounterfactualSearch = "wachter",
    *,
    to: int | str | float,
    background: Given,
    immutable: Sequence[str] = (),
    ways: Mapping[str, Way] | None = None,
    **settings: object,
) -> Counterfactual | list[Counterfactual]:
    """Search for what would have changed the answer: a row nearby for which the model returns another one.

    Parameters
    ----------
    model : Model or path
        Of one table of numbers.
    x : array (N, F), frame or path
        The rows.
    search : str or CounterfactualSearch
        ``wachter``, ``growing_spheres``, ``nearest_row``, or the search with its parameters.
    to : int, str or float
        The wanted class, by number or label; for a model that returns one number, that number at least (or at most, if
        the row is above it).
    background : array (B, F), frame or path
        Rows of data: they say what values occur, and in which units changes are large.
    immutable : sequence of str
        Columns that must not change, by name.
    ways : mapping of str to str, optional
        Columns that may only go ``up`` or ``down``.
    **settings
        Parameters of the search, if it is given by name.

    Returns
    -------
    Counterfactual, or a list of them for several rows

    Raises
    ------
    UnknownNameError
        There is no such search, parameter, class or column.
    XaionnxError
        The model or the data do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0]], -1.0))      # x0 + 2 x1 - 1
    >>> rows = np.float32([[-1.5, -1.5], [-0.5, 0.5], [0.5, -0.5], [1.5, 1.5]])
    >>> found = counterfactual(model, np.zeros((1, 2), np.float32), "wachter", to=0.0, background=rows)
    >>> found.valid, found.row.round(3).tolist()
    (True, [0.0, 0.5])
    """
    chosen = COUNTERFACTUALS.configured(search, settings)
    opened = model if isinstance(model, Model) else Model.load(model)
    inputs, rows = opened.read(x), opened.read(background)
    name = opened.input().name
    table = rows.arrays[name]
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ParameterError("The 'background' must be rows (B, F) of finite numbers.")
    space = RowSpace.of(table, opened.input_spec)
    with progress.bar():
        found = [_of_row(opened, row, chosen, to, space, immutable, ways or {}) for row in inputs.arrays[name]]
    return found[0] if len(found) == 1 else found


def _of_row(
    model: Model,
    row: Array,
    search: CounterfactualSearch,
    to: int | str | float,
    space: RowSpace,
    immutable: Sequence[str],
    ways: Mapping[str, Way],
) -> Counterfactual:
    began = time.perf_counter()
    judge = Judge(model, row, to)
    case = Case(row, space, space.limits(row, immutable, ways), judge)
    found = row if judge.valid(row[None])[0] else search.find(case)
    end = row if found is None else found.astype(row.dtype)
    score = float(judge.scores(end[None])[0])
    changed = sorted(space.changed(end, row), key=lambda one: -_size(one, end, row))
    return Counterfactual(
        end,
        row,
        [Change(one.name, _words(one, row), _words(one, end)) for one in changed],
        score >= judge.goal,
        float(space.distance(end[None], row)[0]),
        float(space.distance(space.background, end).min()),
        score,
        {"evaluations": judge.evaluations, "seconds": round(time.perf_counter() - began, 4)},
        {
            "model": model.name,
            "model_sha256": model.sha256,
            "search": search.name(),
            "parameters": {name: recorded_value(getattr(search, name)) for name in parameters.declared(type(search))},
            "to": to,
            "immutable": list(immutable),
            "ways": dict(ways),
        },
    )


def rounded(case: Case, found: Array) -> Array:
    """Return a row whose whole numbers are whole: each goes to the side that keeps the answer and changes less."""
    row = found.copy()
    limits = case.limits
    for k, column in enumerate(limits.at):
        value = float(row[column])
        if not limits.whole[k] or value.is_integer():
            continue
        sides = np.array([np.floor(value), np.ceil(value)])
        near = sides[np.argsort(np.abs(sides - limits.start[k]), kind="stable")].tolist()
        near = [whole for whole in near if limits.low[k] <= whole <= limits.high[k]] or [float(limits.start[k])]
        tried = np.repeat(row[None], len(near), axis=0)
        tried[:, column] = near
        scores = case.judge.scores(tried)
        valid = scores >= case.judge.goal
        row[column] = near[int(valid.argmax()) if valid.any() else int(scores.argmax())]
    return row


def sparser(case: Case, found: Array) -> Array:
    """Return a valid row with as few changes as can be taken back one by one, the largest first."""
    row = found.copy()
    if not case.judge.valid(row[None])[0]:
        return row
    while changed := case.space.changed(row, case.row):
        tried = np.repeat(row[None], len(changed), axis=0)
        for k, one in enumerate(changed):
            tried[k, list(one.columns)] = case.row[list(one.columns)]
        valid = np.flatnonzero(case.judge.valid(tried))
        if not len(valid):
            return row
        row = tried[valid[int(case.space.distance(tried[valid], case.row).argmin())]]
    return row


def _size(one: Variable, end: Array, row: Array) -> float:
    moved = np.abs(end[list(one.columns)].astype(np.float64) - row[list(one.columns)])
    return 1.0 if one.kind == "category" else float(moved[0]) / one.scale


def _words(one: Variable, row: Array) -> str:
    values = row[list(one.columns)]
    if len(values) == 1:
        return value_text(float(values[0]), one.unit, one.words)
    return ", ".join(one.words[number] for number in np.flatnonzero(values)) or "none"
