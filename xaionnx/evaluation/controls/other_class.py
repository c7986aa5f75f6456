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
from xaionnx.targets.resolve import FixedTerms
from xaionnx.targets.scores import flat


@final
@dataclass(frozen=True, kw_only=True)
class OtherClass(Control):
    """The map of the same method for the class with the highest score among the others.

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
        term = request.resolved.terms[0]
        scores = flat(request.resolved.outputs[term.tensor]).astype(np.float64)
        if self.judged is None or term.indices.shape[1] != 1 or scores.shape[1] < 2:
            raise ParameterError(
                "The control 'other_class' needs a method, not a record, and a target that is the score of one of "
                "several classes. Choose another control: random, edges."
            )
        np.put_along_axis(scores, term.indices, -np.inf, axis=1)
        chosen = scores.argmax(axis=1)
        names = tuple(f"{term.tensor}[{k}]" for k in chosen)
        other = FixedTerms((replace(term, indices=chosen[:, None], names=names, disagrees=None),))
        return self.judged.compute(Request(request.model, Inputs(dict(request.feeds)), other))
