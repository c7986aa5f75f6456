"""The map of another class: what a metric says of a map that knows the model and not the target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.data.inputs import Inputs
from xaionnx.errors import ParameterError
from xaionnx.evaluation.controls import Control
from xaionnx.request import Request
from xaionnx.targets.resolve import FixedTerms, ResolvedTargets
from xaionnx.targets.scores import flat


@final
@dataclass(frozen=True, kw_only=True)
class OtherClass(Control):
    """The map of the same method for the class with the highest score among the others, ``other_target`` in the record.

    Raises
    ------
    ParameterError
        The target is not the score of a class, or the method is not known.
    """

    follows_method: ClassVar[bool] = True

    @property
    def words(self) -> str:
        return "the map of another class"

    def compute(self, request: Request) -> Attribution:
        if self.judged is None:
            raise ParameterError(
                "The control 'other_class' explains another class, and there is only a record. Give the method in "
                "place of its Explanation, or choose another control: random, edges."
            )
        other = next_class(request.resolved, "The control 'other_class' takes the map of another class")
        asked = Request(request.model, Inputs(dict(request.feeds)), other)
        attribution = self.judged.compute(asked)
        request.evaluations.add_all(asked.evaluations)
        return replace(attribution, facts={**attribution.facts, "other_target": list(other.fixed[0].names)})


def next_class(resolved: ResolvedTargets, use: str) -> FixedTerms:
    """Return the class with the highest score among those that are not explained, for each sample.

    Parameters
    ----------
    resolved : ResolvedTargets
    use : str
        What the class is for, the beginning of an error's sentence.

    Raises
    ------
    ParameterError
        The target is not the score of one class, or there is no other.

    Examples
    --------
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> request = Request(model, np.ones((1, 2), np.float32), 2)
    >>> next_class(request.resolved, "An example takes another class").fixed[0].names
    ('y[1]',)
    """
    term = resolved.terms[0]
    scores = flat(resolved.outputs[term.tensor]).astype(np.float64)
    if term.indices.shape[1] != 1:
        raise ParameterError(f"{use}, but the target {term.names[0]} is not the score of one class. Give a class.")
    if scores.shape[1] == 1:
        raise ParameterError(
            f"{use}, but '{term.tensor}' of {resolved.model.name} is a single number: a regression, or a score of one "
            "class, has no other class."
        )
    np.put_along_axis(scores, term.indices, -np.inf, axis=1)
    chosen = scores.argmax(axis=1)
    names = tuple(f"{term.tensor}[{k}]" for k in chosen)
    return FixedTerms((replace(term, indices=chosen[:, None], names=names, disagrees=None),))
