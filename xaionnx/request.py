"""Request: a batch of samples to explain, with the model and the targets."""

from __future__ import annotations

import copy
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, final

import numpy as np

from xaionnx.data.inputs import Given, Inputs
from xaionnx.data.sample import Sample
from xaionnx.data.spec import InputSpec
from xaionnx.errors import AbsentTargetError, ParameterError
from xaionnx.layers.branches import BranchGroup, branch_groups
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.kinds.continuation import Continuation
from xaionnx.targets.resolve import FixedTerms, ResolvedTargets, extended, resolve
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds, TargetLike

_PACKAGE: Final = f"{Path(__file__).parent}{os.sep}"


@final
class Request:
    """A model, N samples, and the targets to explain.

    The model runs once on the samples; the method, the record and a report share its outputs.

    Parameters
    ----------
    model : Model
    x : array (N, ...), mapping of arrays by input name, files and pictures, or Inputs
        Converted to arrays and checked against the model's inputs; see :meth:`xaionnx.runtime.model.Model.read`, whose
        result is taken as it is.
    target : optional
        What is explained; see :meth:`xaionnx.targets.target.Target.of`.
    report : sequence of Target
        Further targets to evaluate at the samples, in the same run.
    replaced : callable, optional
        Returns the target to explain in place of one that is bound to the model; it is bound, too.

    Attributes
    ----------
    model : Model
    inputs : Inputs
        The samples as arrays, and the files from which they were read.
    feeds : dict of arrays by input name
    target : list of Target
    several : bool
        Whether a list of targets was given.
    evaluations : Evaluations
        Counter of all evaluations of this request.
    rows_joined : bool
        Whether the rows were found to see each other, and are one sample together.
    announce : function or None
        Called once, as soon as the targets and the report are known, before the attribution.

    Raises
    ------
    InputMismatchError
        The samples do not match the model's inputs.
    """

    def __init__(
        self,
        model: Model,
        x: Given | Inputs,
        target: TargetLike = None,
        report: Sequence[Target] = (),
        replaced: Callable[[Target], Target] | None = None,
    ) -> None:
        self._began, self._ended = time.perf_counter(), 0.0
        # Tensors that targets add hide that a model reads text.
        self.model = self._reader = model
        self.inputs = x if isinstance(x, Inputs) else model.read(x)
        if self.inputs.guessed:
            # A guess may be wrong, and nothing later would detect it.
            warnings.warn(self.inputs.notes[0], UserWarning, stacklevel=_callers_level())
        self.feeds = self.inputs.arrays
        self._texts = self.inputs.texts
        model = self._with_true_ranks(model)
        targets, self.several = Target.of(target)
        replaced = replaced or (lambda bound: bound)
        self.target = [replaced(one.bind(model, self.feeds)).bind(model, self.feeds) for one in targets]
        probed = model.probed(self.feeds, self._outputs(model))
        self.rows_joined = probed.axes.rows != model.axes.rows
        # Outputs whose first axis may grow with the rows.
        self._open = {info.name for info in model.outputs if info.shape and not isinstance(info.shape[0], int)}
        if probed is not model:
            self.inputs = replace(self.inputs, arrays=probed.check(model.in_file_order(self.feeds)))
            self.feeds = self.inputs.arrays
            self.target = [replaced(one.bind(probed, self.feeds)).bind(probed, self.feeds) for one in targets]
        self.model = model = extended(probed, self.target)
        self.evaluations = Evaluations(len(self.samples))
        self.announce: Callable[[], None] | None = None
        self._report = tuple(report)
        self._run: _Run | None = None
        self._reported: tuple[Array, Array] | None = None

    def _with_true_ranks(self, model: Model) -> Model:
        """Return the model with the axes that its outputs have; warns if the file declares others."""
        found = model.with_true_ranks(self.feeds)
        declared = model.declared_outputs if found is not model else {}
        for name in declared.keys() & (found.true_shapes.keys() - model.true_shapes.keys()):
            warnings.warn(
                f"Output '{name}' of {model.name} is declared as {declared[name]}, but has "
                f"{len(found.true_shapes[name])} axes. It is explained as it is; to be sure what its axes mean, state "
                f"them with axes={{'{name}': ...}}.",
                UserWarning,
                stacklevel=_callers_level(),
            )
        return found

    def _outputs(self, model: Model) -> set[str]:
        """The outputs of the model that the targets read; all if they read none."""
        every = {info.name for info in model.outputs}
        return every & {target.tensor(model) for target in self.target} or every

    @cached_property
    def samples(self) -> Sequence[Sample]:
        """The N samples, one per entry."""
        samples, rate = self.model.samples(self.feeds).named(self.inputs.columns), self.inputs.rate
        texts = self._texts or self._reader.texts(self.feeds)
        for target in self.target:
            if isinstance(target, Continuation) and len(texts) == len(samples):
                texts = tuple(text.keeping(kept) for text, kept in zip(texts, target.kept_tokens(), strict=True))
        if len(texts) == len(samples):
            return [replace(sample, text=text) for sample, text in zip(samples, texts, strict=True)]
        if rate is None or (self.model.spec is not None and self.model.spec.rate is not None):
            return samples
        # The files know more of the time than the spec.
        spec = self.model.spec if self.model.spec is not None and self.model.spec.kind == "series" else None
        timed = replace(spec or InputSpec(kind="series", guessed=True), rate=rate, step=None)
        return [replace(sample, spec=timed) for sample in samples]

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
        """Seconds since the request was created, until it was closed."""
        return round((self._ended or time.perf_counter()) - self._began, 6)

    def close(self) -> None:
        """End the time, and let go of the outputs that no target reads; the record can still be made."""
        self._ended = time.perf_counter()
        if self._run is not None:
            self._run = _Run(self._run.targets.without_others(), (), self._run.form)

    @property
    def resolved(self) -> ResolvedTargets:
        """The targets at the samples; the first access runs the model, at one evaluation per sample."""
        return self.resolve(form=None if self._run is None else self._run.form)

    def resolve(
        self, also: Sequence[Target] = (), keep: Sequence[str] = (), form: Model | None = None
    ) -> ResolvedTargets:
        """The targets, the further targets ``also`` and the tensors ``keep``, from one run of the model.

        Results of an earlier run are reused. ``form`` is a rewritten model with the same outputs.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        OutputError
            The model returns NaN or infinity.
        """
        form = self.model if form is None else form
        if self._run is None or not self._run.serves(also, keep, form):
            targets = self._resolve(form, [*also, *self._unreported()], keep)
            self.evaluations.add(np.arange(len(self.samples)))
            self._keep(_Run(targets, also, form))
        assert self._run is not None  # kept above
        return self._run.targets

    def _keep(self, run: _Run) -> None:
        """Keep a run, without the report if it is the first that has one, and announce the first one."""
        first, report = self._run is None, self._unreported()
        if self._reported is None:
            last = len(run.targets.sizes) - len(report)
            count = sum(run.targets.sizes[:last])
            self._reported = run.targets.selection.names[count:], run.targets.values[count:]
            run = replace(run, targets=run.targets.first(last))
        self._run = run
        if first and self.announce is not None:
            self.announce()

    def _unreported(self) -> Sequence[Target]:
        """The further targets that no run has evaluated yet."""
        return self._report if self._reported is None else ()

    def by_branches(self) -> list[BranchPart]:
        """The request in parts, one for the samples that take the same branches of If; none without such branches.

        The targets of all samples are resolved from the parts.
        """
        groups = branch_groups(self.model, self.feeds)
        if not groups:
            return []
        tensors = list(dict.fromkeys([*self.tensors, *(target.tensor(self.model) for target in self._report)]))
        parts, outputs = [], dict[str, Array]()
        for group in groups:
            part = self._of_rows(group)
            part.evaluations.add(np.arange(len(group.rows)), 1 + group.runs)
            parts.append((part, group, part.model.with_outputs(tensors).run(part.feeds, tensors)))
        for _, group, found in parts:
            for name, array in found.items():
                shape = (len(self.samples), *array.shape[1:])
                outputs.setdefault(name, np.empty(shape, dtype=array.dtype))[group.rows] = array
        self.take(outputs)
        for part, group, found in parts:
            part.target = [*FixedTerms.of_rows(self.resolved, group.rows)]
            part.take(found)
        return [BranchPart(part, group) for part, group, _ in parts]

    def _of_rows(self, group: BranchGroup) -> Request:
        """The request for some of its samples, with the model of their branches."""
        part = copy.copy(self)
        part.__dict__.pop("samples", None)
        part.model, part._run = group.model, None
        part.feeds = {n: a if n in self.model.shared else a[group.rows] for n, a in self.feeds.items()}
        part._texts = tuple(self._texts[row] for row in group.rows) if self._texts else ()
        part.evaluations = Evaluations(len(group.rows))
        part.announce, part._report = None, ()
        return part

    def _resolve(
        self, form: Model, report: Sequence[Target], keep: Sequence[str] = (), outputs: Feeds | None = None
    ) -> ResolvedTargets:
        given = self.target if self.several else self.target[0]
        with self.naming_rows():
            found = resolve(given, form, self.feeds, report, keep, outputs)
            if self.rows_joined:
                self._check_rows_are_no_classes(found)
        return found

    @contextmanager
    def naming_rows(self) -> Iterator[None]:
        """Say why the rows are one sample, if they were found to be, where a target does not fit.

        Raises
        ------
        ParameterError
            A target inside does not fit.
        """
        try:
            yield
        except (ParameterError, AbsentTargetError) as error:
            if not self.rows_joined:
                raise
            other = "export it with a free number of samples" if self.model.axes.row_failure else "pass rows='alone'"
            raise type(error)(
                f"{self.model.joint_reason}, so the rows together are one sample, as with rows='joint': name the row "
                f"in the target, or {other}. {error}"
            ) from error

    def _check_rows_are_no_classes(self, found: ResolvedTargets) -> None:
        """Check that no class is taken from an output with an entry for each of the joined rows.

        Raises
        ------
        ParameterError
            One is.
        """
        for target in self.target:
            name = target.tensor(self.model)
            if target.of_classes and name in self._open and (shape := found.outputs[name].shape)[1:] > (1,):
                example = ", ".join("0" * (len(shape) - 1)) + ("," if len(shape) == 2 else "")
                raise ParameterError(
                    f"Output '{name}' has the shape {shape[1:]} for all rows, with no class in common. Use "
                    f"Target.index with one int per axis, such as Target.index(({example}))."
                )

    @property
    def report(self) -> tuple[Target, ...]:
        """The further targets to evaluate."""
        return self._report

    @property
    def is_pending(self) -> bool:
        """Whether the model has not run yet, and the report needs no tensors besides those of the targets."""
        needed = {target.tensor(self.model) for target in self._report}
        return self._run is None and needed <= {*self.tensors}

    def take(self, outputs: Feeds) -> None:
        """Resolve the targets from outputs (N, ...) at the samples, by tensor name, of a run made elsewhere.

        Raises
        ------
        ParameterError, UnknownNameError
            There is no such class, label, tensor or element.
        OutputError
            The model returns NaN or infinity.
        """
        self._keep(_Run(self._resolve(self.model, self._report, outputs=outputs), (), self.model))

    @property
    def reported(self) -> tuple[Array, Array]:
        """The names of the resolved report targets and their values, (R, N) each."""
        if self._reported is None:
            _ = self.resolved
        assert self._reported is not None  # every run leaves one
        return self._reported


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """The targets as one run of the model resolved them, with the further targets and the form of the model it had."""

    targets: ResolvedTargets
    also: Sequence[Target]
    form: Model

    __repr__ = short_repr

    def serves(self, also: Sequence[Target], keep: Sequence[str], form: Model) -> bool:
        """Whether no other run is needed for these; without further targets, those of the run do no harm."""
        return form is self.form and self.targets.outputs.keys() >= {*keep} and (not also or also is self.also)


@final
@dataclass(frozen=True, eq=False)
class BranchPart:
    """The part of a request whose samples take the same branches of If.

    Attributes
    ----------
    request : Request
        With the model that has these branches only.
    group : BranchGroup
        The samples, and the branches.
    """

    request: Request
    group: BranchGroup

    __repr__ = short_repr


def _callers_level() -> int:
    """The ``stacklevel`` of a warning raised by who calls this: the nearest line outside this package.

    A method may be called by `explain`, by a function of :mod:`xaionnx.methods` or by itself.
    """
    # From Python 3.12 on this is warnings.warn(..., skip_file_prefixes=...).
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
