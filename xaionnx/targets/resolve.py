"""ResolvedTargets: a target, as the user gave it, against a model and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.scores import refuse_rows
from xaionnx.targets.selection import TargetSet
from xaionnx.targets.target import Target
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class ResolvedTargets:
    """Targets resolved for a batch.

    Attributes
    ----------
    model : Model
        The model, with the internal tensors exposed that the targets read.
    selection : TargetSet
        T targets of N samples.
    several : bool
        Whether a list was given, so that results have a leading axis of targets.
    values : array of float64, (T + W, N)
        The targets at the input.
    own : int
        The first T targets are those asked for; a method watches the other W in the same evaluations.
    answers : dict of arrays (N, ...) by tensor name
        What the model answered: the tensors that the targets read, and those that were to be kept.
    """

    model: Model
    selection: TargetSet
    several: bool
    values: Array
    own: int
    answers: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


def resolve(
    given: Any, model: Model, x: Mapping[str, Array], watched: Sequence[Target] = (), keep: Sequence[str] = ()
) -> ResolvedTargets:
    """Resolve a target, or its shorthand, and further ``watched`` ones for the samples ``x``; each is evaluated once.

    ``keep`` names further tensors of the model whose values come out of the same run.

    Raises
    ------
    ParameterError, UnknownNameError
        There is no such class, label, tensor or element.
    OutputError
        The model answers NaN or infinity.
    """
    targets, several = Target.of(given)
    tensors = [target.tensor(model) for target in (*targets, *watched)]
    fetched = list(dict.fromkeys([*tensors, *keep]))
    exposed = model.with_outputs(fetched)
    outputs = exposed.run(x, fetched)
    picks = [t.picks(outputs[name], model) for t, name in zip((*targets, *watched), tensors, strict=True)]
    selection = TargetSet([pick for some in picks for pick in some])
    values = selection.select(outputs)
    refuse_rows(~np.isfinite(values).all(axis=1), model)
    own = sum(len(some) for some in picks[: len(targets)])
    return ResolvedTargets(exposed, selection, several, values.T, own, outputs)
