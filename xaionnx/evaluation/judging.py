"""Judging: the scores of the attributions of some samples by a metric, beside those of controls."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

import numpy as np

from xaionnx import discovery
from xaionnx.caveats import warnings_of_inputs
from xaionnx.data.inputs import Inputs
from xaionnx.errors import ParameterError
from xaionnx.evaluation.controls import CONTROLS, Control
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.given_explanations import of_record, of_values
from xaionnx.evaluation.metric import Measure, Metric
from xaionnx.evaluation.score_times import ANY, ScoreTimes
from xaionnx.evaluation.scores import Scores, not_measured
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.record import recorded_parameters
from xaionnx.request import Request
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds, InputLike, TargetLike

# The metric, the control, the inputs that have values, and the target at the baseline of the method if it matters.
_KnownControl: TypeAlias = tuple[str, str, tuple[str, ...], tuple[float, ...]]

NO_MASKS: Final = "the metric needs ground-truth masks. Give masks, (N, ...) of bool."


def with_controls(judge: Metric, evidence: Evidence, controls: Sequence[str], seed: int) -> Scores:
    """Return the scores by a metric, beside those of controls.

    Raises
    ------
    ParameterError
        The metric needs ground-truth masks, and there are none, or a control says nothing of it or cannot be made.
    """
    kinds = [_kind(name, judge) for name in controls]
    if "masks" in judge.needs and evidence.masks is None:
        raise ParameterError(f"{judge.name()}: {NO_MASKS}")
    scores = _scores(judge, evidence)
    found = {kind.name(): _scores(judge, _control_evidence(kind, evidence, seed)) for kind in kinds}
    return dataclasses.replace(scores, controls=found)


@final
@dataclass(eq=False)
class KnownControls:
    """The controls of some samples: those that are the same whatever method is judged are scored once.

    Attributes
    ----------
    names : sequence of str
    seed : int
    times : ScoreTimes
        Measures what they cost.
    """

    names: Sequence[str]
    seed: int
    times: ScoreTimes
    known: dict[_KnownControl, Scores] = field(default_factory=dict, init=False)

    __repr__ = short_repr

    def of_others(self) -> KnownControls:
        """Return the same controls of other samples."""
        return KnownControls(self.names, self.seed, self.times)


@final
@dataclass(eq=False)
class Judging:
    """The attributions of a method that several metrics judge, no two of one name, beside those of the controls.

    Attributes
    ----------
    evidence : Evidence
    controls : KnownControls
    """

    evidence: Evidence
    controls: KnownControls
    _of_controls: dict[str, Evidence] = field(default_factory=dict, init=False)

    __repr__ = short_repr

    def prepare(self, judge: Metric) -> None:
        """Do what the metric shares with others."""
        with self.controls.times.charged(self.evidence.explanation.method, judge.shared_work):
            judge.prepare(self.evidence)

    def by(self, judge: Metric) -> Scores:
        """Return the scores by a metric.

        A control that says nothing of the metric, or that cannot be made, has no scores, with the reason: the scores of
        methods are not lost with it.
        """
        with self.controls.times.charged(self.evidence.explanation.method, judge.name()):
            scores = _scores(judge, self.evidence)
        controls = {name: self._control(name, judge, scores) for name in self.controls.names}
        return dataclasses.replace(scores, controls=controls)

    def _control(self, name: str, judge: Metric, like: Scores) -> Scores:
        """The scores of a control, which are charged to the method if they follow it."""
        follows, known = CONTROLS.find(name).follows_method, self.controls.known
        base = self.evidence.baseline_prediction if "baseline" in judge.needs else None
        key = judge.name(), name, tuple(self.evidence.attributions), () if base is None else tuple(base.tolist())
        if key in known:
            return known[key]
        with self.controls.times.charged(self.evidence.explanation.method if follows else ANY, judge.name()):
            try:
                found = _scores(judge, self._of_control(_kind(name, judge)))
            except ParameterError as error:
                found = dataclasses.replace(not_measured(like, len(like.values), str(error)), method=name)
        if not follows:
            known[key] = found
        return found

    def _of_control(self, kind: type[Control]) -> Evidence:
        if kind.name() not in self._of_controls:
            self._of_controls[kind.name()] = _control_evidence(kind, self.evidence, self.controls.seed)
        return self._of_controls[kind.name()]


def _kind(name: str, judge: Metric) -> type[Control]:
    """The control of a name, if it says something of a metric."""
    kind = CONTROLS.find(name)
    if name not in judge.controls:
        raise ParameterError(
            f"The control '{name}' says nothing of the metric '{judge.name()}', which is the same for any target. "
            f"Choose another control: {', '.join(judge.controls)}."
        )
    return kind


def _control_evidence(kind: type[Control], evidence: Evidence, seed: int) -> Evidence:
    control = kind(judged=evidence.explainer, inputs=tuple(evidence.attributions), seed=seed)
    explanation = control.explain(evidence.request).samples_first()
    return dataclasses.replace(evidence, explanation=explanation, explainer=control, judged=evidence.explanation)


def evidence_of(
    model: Model,
    x: InputLike | Inputs,
    method: str | Explainer | Explanation | Array | Feeds,
    target: TargetLike,
    masks: Array | None,
) -> Evidence:
    """Return what a metric judges: the samples, their target, and the explanation by a method, from a record or given.

    Raises
    ------
    ParameterError
        Several targets are given, or the record is of another target.
    DataError
        The record is of another number of samples, or has NaN or infinity among its values.
    InputMismatchError
        Values that are given have another shape than the inputs.
    """
    explainer = None
    if isinstance(method, Explanation | np.ndarray | Mapping):
        request = Request(model, x, target)
    else:
        explainer = discovery.configured(method, {}).bind(model)
        request = explainer.request(model, x, target)
    if request.several:
        raise ParameterError("A metric judges one target at a time. Got a list of targets instead.")
    if explainer is not None:
        explanation = explainer.explain(request).samples_first()
    elif isinstance(method, Explanation):
        explanation = of_record(request, method)
    else:
        assert isinstance(method, np.ndarray | Mapping)  # others are an explainer
        explanation = of_values(request, method)
    return Evidence(request, explanation, explainer, masks)


def _scores(judge: Metric, evidence: Evidence) -> Scores:
    began, before = time.perf_counter(), evidence.request.evaluations.rows.copy()
    measure = judge.measure(evidence)
    _check_bounds(judge, measure)
    return Scores(
        judge.name(),
        evidence.explanation.method,
        measure.values,
        judge.direction,
        judge.bounds,
        measure.reasons,
        measure.curves,
        diagnostics={
            "evaluations": (evidence.request.evaluations.rows - before).tolist(),
            "seconds": round(time.perf_counter() - began, 6),
        },
        provenance={
            "metric": {"name": judge.name(), **recorded_parameters(judge, measure.parameters)},
            **measure.facts,
            "target": evidence.explanation.target.tolist(),
            "explanation": dict(evidence.explanation.provenance),
            "warnings": warnings_of_inputs(evidence.explanation),
        },
        category=judge.category(),
        says=judge.says(),
        maps=measure.maps,
    )


def _check_bounds(judge: Metric, measure: Measure) -> None:
    """Check that scores are within the bounds that the metric declares: a fault of the metric otherwise."""
    known = measure.values[np.isfinite(measure.values)]
    low, high = judge.bounds
    assert ((known >= low - 1e-6) & (known <= high + 1e-6)).all(), f"{judge.name()} scored outside {judge.bounds}"
