"""Contrast: an input beside a changed one, for searches that take any float input."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx import parameters
from xaionnx.data.display import as_picture
from xaionnx.data.inputs import Given
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.feature_names import value_text
from xaionnx.optimization.change import Change, CounterfactualSearch
from xaionnx.optimization.judge import Judge
from xaionnx.part import Part
from xaionnx.record import recorded_value
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from numpy.typing import NDArray


@final
@dataclass(frozen=True, eq=False)
class Contrast:
    """An input, a changed one, and what the model says about both.

    Attributes
    ----------
    kind : str
        What the changed input is, such as ``pertinent negative``.
    found, original : arrays (...)
    after, before : str
        The answers of the model: the predicted classes, or numbers.
    valid : bool
        Whether the model itself gives the wanted answer.
    distance : float
        As ``measure`` says; infinity where none was found.
    measure : str
    score : float
        The output of the wanted class less the highest other one, at ``found``.
    changes : list of Change
        Of a row, in the order of their size.
    pictures : dict of uint8 arrays (h, w, 3)
        Of a picture: by name, in the order in which they are read.
    diagnostics, provenance : dict
    """

    kind: str
    found: Array
    original: Array
    after: str
    before: str
    valid: bool
    distance: float
    measure: str
    score: float
    changes: list[Change] = field(default_factory=list)
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    diagnostics: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    __repr__ = short_repr

    def __str__(self) -> str:
        if not self.valid:
            return f"{self.kind}: none with the wanted answer was found."
        lines = [f"{self.kind}: {self.before} becomes {self.after}, {self.measure} {self.distance:.4g}."]
        if self.before == self.after:
            lines = [f"{self.kind}: already these parts are {self.after}, {self.measure} {self.distance:.4g}."]
        return "\n".join([*lines, *map(str, self.changes)])

    def to_dict(self) -> Document:
        """Return the record without the pictures, for JSON."""
        return {
            "kind": self.kind,
            "valid": self.valid,
            "before": self.before,
            "after": self.after,
            "distance": self.distance,
            "measure": self.measure,
            "score": self.score,
            "changes": [vars(change) for change in self.changes],
            "found": self.found.tolist(),
            "diagnostics": dict(self.diagnostics),
            "provenance": dict(self.provenance),
        }


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """What a search for any input gets.

    Attributes
    ----------
    model : Model
    sample : Sample
        The input, as arrays by name.
    to : int, str, float or None
        The wanted class or number; any other class than the predicted one if None.
    distractor : Sample or None
        Another input, of searches that take parts of it.
    """

    model: Model
    sample: Sample
    to: int | str | float | None
    distractor: Sample | None = None

    __repr__ = short_repr

    @property
    def x(self) -> Array:
        """The input (...)."""
        return self.sample.array

    def judge(self, to: int | str | float | None = None, *, keep: bool = False) -> Judge:
        """Return the judge of a class, by default of the wanted one."""
        return Judge(self.model, self.x, self.to if to is None else to, keep)

    def bounds(self) -> tuple[Array, Array]:
        """Return the lowest and the highest values of a picture, black and white; without a spec there are none."""
        spec = self.sample.pixels_of(self.sample.main)
        if spec is None:
            return np.array(-np.inf), np.array(np.inf)
        black, white = spec.pixel(0.0), spec.pixel(255.0)
        return np.minimum(black, white), np.maximum(black, white)

    def contrast(self, kind: str, found: Array | None, judge: Judge, distance: float, measure: str) -> Contrast:
        """Return the record of an input that was found; None if there is none."""
        end = self.x if found is None else found.astype(self.x.dtype)
        score = float(judge.scores(end[None])[0])
        valid = found is not None and score >= judge.goal
        before, after = judge.words(self.x), judge.words(end)
        pictures = {}
        if self.sample.pixels_of(self.sample.main) is not None:
            pictures = {
                f"input, {before}": as_picture(self.sample),
                f"{kind}, {after}": as_picture(self.sample, None, end),
            }
        diagnostics = {"evaluations": judge.evaluations}
        return Contrast(
            kind,
            end,
            self.x,
            after,
            before,
            valid,
            distance,
            measure,
            score,
            self._changes(end),
            pictures,
            diagnostics,
        )

    def _changes(self, end: Array) -> list[Change]:
        """The changes of a row in the words of its columns; none of other inputs."""
        spec = self.model.input_spec
        if self.x.ndim != 1:
            return []
        names = tuple(spec.columns) or tuple(f"column {k}" for k in range(len(self.x)))
        moved = np.abs(end.astype(np.float64) - self.x)
        order = np.argsort(-moved, kind="stable")
        return [
            Change(
                names[k],
                *(value_text(float(row[k]), spec.units.get(names[k], "")) for row in (self.x, end)),
            )
            for k in order[moved[order] > 0].tolist()
        ]


class InputSearch(Part, CounterfactualSearch):
    """A search that takes any float input: a frozen dataclass whose fields are its parameters."""

    takes_distractor: ClassVar[bool] = False

    @abstractmethod
    def search(self, problem: Problem) -> list[Contrast]:
        """The inputs that were found, one of each kind; with ``found`` equal to the input where there is none."""


def contrasts_of(
    model: Model, x: Given, search: InputSearch, to: int | str | float | None, distractor: Given | None
) -> list[Contrast]:
    """Return what a search finds for each of N inputs.

    Raises
    ------
    ParameterError
        The search needs a distractor and there is none or more than one, or it takes none.
    """
    if (distractor is not None) != search.takes_distractor:
        needs = "needs one 'distractor', another picture" if search.takes_distractor else "takes no 'distractor'"
        raise ParameterError(f"{type(search).__name__} {needs}.")
    inputs = model.read(x)
    other = None
    if distractor is not None:
        others = model.samples(model.check(model.read(distractor).arrays))
        if len(others) != 1:
            raise ParameterError(f"The 'distractor' must be one input. Got {len(others)} instead.")
        other = others[0]
    found = []
    for number, sample in enumerate(model.samples(model.check(inputs.arrays))):
        began = time.perf_counter()
        for one in search.search(Problem(model, sample, to, other)):
            cost = {"seconds": round(time.perf_counter() - began, 4)}
            provenance = {
                "model": model.name,
                "model_sha256": model.sha256,
                "search": search.name(),
                "parameters": {
                    name: recorded_value(getattr(search, name)) for name in parameters.declared(type(search))
                },
                "to": to,
                "input": number,
            }
            found.append(
                replace(one, diagnostics={**one.diagnostics, **cost}, provenance={**one.provenance, **provenance})
            )
    return found
