"""Counterfactual: the nearest row that has another answer, and searches for it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, final

import numpy as np

from xaionnx import parameters
from xaionnx.data.inputs import Given
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.feature_names import value_text
from xaionnx.hooks import hook
from xaionnx.optimization.change import Change, CounterfactualSearch
from xaionnx.optimization.contrast import Contrast, InputSearch, contrasts_of
from xaionnx.optimization.diversity import diversity, pairwise
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
        The distance to the nearest row of data other than the original; infinite if there is none.
    score : float
        The output of the wanted class less the highest other one.
    others : tuple of Counterfactual
        Further rows, of searches for several.
    diversity : float or None
        Of this row and the others: the determinant of 1 / (1 + distance), from 0 for equal ones to 1.
    diagnostics, provenance : dict
    """

    row: Array
    original: Array
    changes: list[Change]
    valid: bool
    distance: float
    plausibility: float
    score: float
    others: tuple[Counterfactual, ...] = ()
    diversity: float | None = None
    diagnostics: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    __repr__ = short_repr

    def __str__(self) -> str:
        if not self.valid:
            return "No row with the wanted answer was found."
        own = "\n".join(map(str, self.changes)) or "The row has the wanted answer already."
        return "\nor\n".join([own, *map(str, self.others)])

    @property
    def sparsity(self) -> float:
        """The share of variables that stay as they are."""
        return 1 - len(self.changes) / int(str(self.diagnostics["variables"]))

    def to_dict(self) -> Document:
        """Return the record for JSON."""
        return {
            "valid": self.valid,
            "changes": [vars(change) for change in self.changes],
            "distance": self.distance,
            "plausibility": self.plausibility,
            "score": self.score,
            **({} if self.diversity is None else {"diversity": self.diversity}),
            **({"others": [one.to_dict() for one in self.others]} if self.others else {}),
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


class RowSearch(Part, CounterfactualSearch):
    """A search for rows of a table, within what may change: a frozen dataclass whose fields are its parameters."""

    @abstractmethod
    def find(self, case: Case) -> Array | None:
        """The row that was found, (F,), with whole numbers where the data have them; None if there is none."""

    @hook
    def rows(self, case: Case) -> list[Array]:
        """All rows that were found, the first as of :meth:`find`."""
        found = self.find(case)
        return [] if found is None else [found]


COUNTERFACTUALS: Final[Registry[CounterfactualSearch]] = Registry(
    "counterfactual", "xaionnx.optimization.counterfactuals", CounterfactualSearch
)


def counterfactual(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: Given,
    search: str | CounterfactualSearch = "wachter",
    *,
    to: int | str | float | None = None,
    background: Given | None = None,
    immutable: Sequence[str] = (),
    ways: Mapping[str, Way] | None = None,
    distractor: Given | None = None,
    **settings: object,
) -> Counterfactual | Contrast | list[Counterfactual] | list[Contrast]:
    """Search for what would have changed the answer: an input nearby for which the model returns another one.

    Parameters
    ----------
    model : Model or path
        Of one table of numbers; for ``cem``, ``adversarial_distance`` and ``goyal`` of any float input, as pictures.
    x : array (N, ...), frame, picture or path
        The inputs.
    search : str or CounterfactualSearch
        For rows ``wachter``, ``growing_spheres``, ``diverse``, ``nearest_row``; for any input ``cem``,
        ``adversarial_distance``; for pictures ``goyal``; or the search with its parameters.
    to : int, str or float, optional
        The wanted class, by number or label; for a model that returns one number, that number at least (or at most, if
        the input is above it). Searches for any input take any other class than the predicted one if none is given.
    background : array (B, F), frame or path, optional
        Rows of data: they say what values occur, and in which units changes are large. Searches for rows need them.
    immutable : sequence of str
        Columns that must not change, by name.
    ways : mapping of str to str, optional
        Columns that may only go ``up`` or ``down``.
    distractor : array, picture or path, optional
        Of ``goyal``: the picture whose cells are taken.
    **settings
        Parameters of the search, if it is given by name.

    Returns
    -------
    Counterfactual, or Contrast of a search for any input; a list of them for several

    Raises
    ------
    UnknownNameError
        There is no such search, parameter, class or column.
    ParameterError
        A search for rows has no ``to`` or ``background``, ``goyal`` no ``distractor``, or a search does not take one.
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
    if isinstance(chosen, InputSearch):
        _refuse(chosen, background=background, immutable=immutable, ways=ways)
        with progress.bar():
            contrasts = contrasts_of(opened, x, chosen, to, distractor)
        return contrasts[0] if len(contrasts) == 1 else contrasts
    assert isinstance(chosen, RowSearch)
    _refuse(chosen, distractor=distractor)
    if to is None or background is None:
        raise ParameterError(
            f"{type(chosen).__name__} needs the wanted class, as in to=1, and rows of data, as in "
            "background='rows.csv'."
        )
    inputs, rows = opened.read(x), opened.read(background)
    name = opened.input().name
    table = rows.arrays[name]
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ParameterError("The 'background' parameter must be rows (B, F) of finite numbers.")
    space = RowSpace.of(table, opened.input_spec)
    with progress.bar():
        found = [_of_row(opened, row, chosen, to, space, immutable, ways or {}) for row in inputs.arrays[name]]
    return found[0] if len(found) == 1 else found


def _refuse(search: CounterfactualSearch, **given: object) -> None:
    for name, value in given.items():
        if value is not None and not (isinstance(value, Sequence) and len(value) == 0):
            raise ParameterError(f"{type(search).__name__} takes no '{name}'. Leave it out.")


def _of_row(
    model: Model,
    row: Array,
    search: RowSearch,
    to: int | str | float,
    space: RowSpace,
    immutable: Sequence[str],
    ways: Mapping[str, Way],
) -> Counterfactual:
    began = time.perf_counter()
    judge = Judge(model, row, to)
    if not judge.of_rows:
        raise UnsupportedModelError(
            f"{model.name} does not read one table of numbers: its input '{judge.name}' is {model.input()}. "
            "Counterfactuals of rows need one."
        )
    case = Case(row, space, space.limits(row, immutable, ways), judge)
    found = [row] if judge.valid(row[None])[0] else [one.astype(row.dtype) for one in search.rows(case)]
    provenance = {
        "model": model.name,
        "model_sha256": model.sha256,
        "search": search.name(),
        "parameters": {name: recorded_value(getattr(search, name)) for name in parameters.declared(type(search))},
        "to": to,
        "immutable": list(immutable),
        "ways": dict(ways),
    }
    first, *others = [_recorded(case, end, provenance) for end in found or [row]]
    spread = diversity(pairwise(space, np.stack(found))) if others else None
    cost = {"evaluations": judge.evaluations, "seconds": round(time.perf_counter() - began, 4)}
    return replace(first, others=tuple(others), diversity=spread, diagnostics={**first.diagnostics, **cost})


def _recorded(case: Case, end: Array, provenance: Mapping[str, object]) -> Counterfactual:
    row, space = case.row, case.space
    score = float(case.judge.scores(end[None])[0])
    # Near the original there is always a row, itself, which says nothing about the changes.
    apart = space.distance(space.background, row) > 0
    changed = sorted(space.changed(end, row), key=lambda one: -_size(one, end, row))
    return Counterfactual(
        end,
        row,
        [Change(one.name, _words(one, row), _words(one, end)) for one in changed],
        score >= case.judge.goal,
        float(space.distance(end[None], row)[0]),
        float(space.distance(space.background[apart], end).min(initial=np.inf)),
        score,
        diagnostics={"variables": len(space.variables)},
        provenance=provenance,
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
