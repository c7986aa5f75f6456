"""Request: one batch to explain, as every method gets it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import final

import numpy as np

from xaionnx.data.inputs import Given
from xaionnx.data.sample import Sample, split
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import ResolvedTargets, resolve
from xaionnx.targets.selection import TargetSet
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds, TargetLike


@final
class Request:
    """A model, N samples, and the targets that are to be explained for them.

    The model is asked about the samples once, whoever needs its outputs: the method, the record, a report.

    Parameters
    ----------
    model : Model
    x : array (N, ...), mapping of arrays by input name, or files and pictures
        Made into arrays and checked against the model's inputs here; see :meth:`xaionnx.runtime.model.Model.read`.
    target : optional
        What is explained; see :meth:`xaionnx.targets.target.Target.of`.
    report : sequence of Target
        Further targets whose values at the samples are wanted; they come from the same run.

    Attributes
    ----------
    model : Model
    inputs : Inputs
        The samples as arrays, with the files that they were read from.
    feeds : dict of arrays by input name
    target : list of Target
    several : bool
        Whether a list of targets was given.
    evaluations : Evaluations
        The counter of all that this request costs.
    announce : function or None
        Called once, when the targets and the report are known, which may be long before the attribution is.

    Raises
    ------
    InputMismatchError
        The samples do not fit the model.
    """

    def __init__(self, model: Model, x: Given, target: TargetLike = None, report: Sequence[Target] = ()) -> None:
        self._began = time.perf_counter()
        self.model = model
        self.inputs = model.read(x)
        if self.inputs.guessed:
            # A guess may be wrong, and nothing later would tell.
            warnings.warn(self.inputs.notes[0], UserWarning, stacklevel=4)
        self.feeds = self.inputs.arrays
        self.target, self.several = Target.of(target)
        self.evaluations = Evaluations(len(self.samples))
        self.announce: Callable[[], None] | None = None
        self._report = tuple(report)
        self._resolved: ResolvedTargets | None = None
        self._reported: tuple[Array, Array] | None = None
        self._watched: Sequence[Target] = ()
        self._form = model

    @cached_property
    def samples(self) -> list[Sample]:
        """The N samples, one by one."""
        return split(self.feeds, self.main, self.model.spec, self.model.shared)

    @property
    def main(self) -> str:
        """Name of the input that is explained."""
        return self.model.input().name

    @property
    def tensors(self) -> list[str]:
        """Names of the tensors that the targets are read from."""
        return [target.tensor(self.model) for target in self.target]

    @property
    def seconds(self) -> float:
        """The time since the request was made."""
        return round(time.perf_counter() - self._began, 6)

    @property
    def resolved(self) -> ResolvedTargets:
        """The targets at the samples; the first use runs the model, and counts one evaluation a sample."""
        return self.resolve(form=self._form)

    def resolve(
        self, watched: Sequence[Target] = (), keep: Sequence[str] = (), form: Model | None = None
    ) -> ResolvedTargets:
        """The targets with ``watched`` ones besides, and the tensors ``keep``, from one run of the model.

        What an earlier run answered is not asked again. ``form`` is the model rewritten, with the same outputs.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        OutputError
            The model answers NaN or infinity.
        """
        known, form = self._resolved, self.model if form is None else form
        again = known is None or not known.answers.keys() >= {*keep} or form is not self._form
        if known is None or again or (watched and watched is not self._watched):
            found = resolve(
                self.target if self.several else self.target[0],
                form,
                self.feeds,
                [*watched, *(self._report if self._reported is None else ())],
                keep,
            )
            self.evaluations.add(np.arange(len(self.samples)))
            self._watched, self._form = watched, form
            first = self._reported is None
            self._resolved = known = self._without_report(found) if first else found
            if first and self.announce is not None:
                self.announce()
        return known

    @property
    def report(self) -> tuple[Target, ...]:
        """The further targets whose values are wanted."""
        return self._report

    @property
    def foreseen(self) -> bool:
        """Whether nothing was asked yet, and the tensors of the targets tell all that the report asks."""
        asked = {target.tensor(self.model) for target in self._report}
        return self._resolved is None and asked <= {*self.tensors}

    def take(self, outputs: Feeds) -> None:
        """Resolve the targets from what they read at the samples, (N, ...) by tensor name, which a run has told.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        OutputError
            The model answers NaN or infinity.
        """
        given = self.target if self.several else self.target[0]
        found = resolve(given, self.model, self.feeds, self._report, outputs=outputs)
        self._resolved = self._without_report(found)

    @property
    def reported(self) -> tuple[Array, Array]:
        """What the targets of the report resolved to, in words, and their values, (R, N) each."""
        if self._reported is None:
            _ = self.resolved
        assert self._reported is not None  # every run leaves one
        return self._reported

    def _without_report(self, found: ResolvedTargets) -> ResolvedTargets:
        """The targets alone, since a method asks all that are selected again and again."""
        last = len(found.sizes) - len(self._report)
        count = sum(found.sizes[:last])
        self._reported = found.selection.names[count:], found.values[count:]
        return replace(
            found,
            selection=TargetSet(found.selection.terms[:count]),
            values=found.values[:count],
            sizes=found.sizes[:last],
        )
