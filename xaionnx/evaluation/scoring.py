"""Scoring: the scores of one method by one metric."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from xaionnx import discovery
from xaionnx.data.inputs import Inputs
from xaionnx.errors import DataError, ParameterError, XaionnxError
from xaionnx.evaluation.controls import CONTROLS
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import METRICS, Measure, Metric
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.layers.dry_run import DryRun
from xaionnx.record import recorded_parameters
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.resolve import FixedTerms
from xaionnx.typing import Array, InputLike, ModelLike, TargetLike

# What costs one method or one score, and not the others.
_OF_ONE: Final = (XaionnxError, MemoryError, OSError)
_NO_MASKS: Final = "the metric needs the true places. Give masks, (N, ...) of bool."


def metrics() -> list[str]:
    """Return the names of all metrics, including those of other packages (entry points ``xaionnx.metrics``)."""
    return METRICS.names()


def evaluate(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: InputLike,
    method: str | Explainer | Explanation,
    metric: str | Metric,
    target: TargetLike = None,
    *,
    masks: Array | None = None,
    controls: Sequence[str] = ("random",),
    seed: int = 0,
    **settings: object,
) -> Scores:
    """Score the explanations of a batch of samples by a metric, beside controls that explain nothing.

    Parameters
    ----------
    model : Model or path
    x : array (N, ...) or anything that :func:`xaionnx.explain` reads
    method : str, Explainer or Explanation
        The method, or its record for the same samples and target.
    metric : str or Metric
        The name of a metric, or the metric with its parameters.
    target : optional
        One target, as in :func:`xaionnx.explain`.
    masks : array of bool (N, ...), optional
        The true places, for metrics of localisation: broadcasts to the positions of the explained input.
    controls : sequence of str
        The controls: ``random`` values, the input's own ``edges``, the map of ``other_class``.
    seed : int
        The seed of the controls.
    **settings
        Parameters of the metric, if it is given by name.

    Returns
    -------
    Scores
        With ``values`` (N,), the ``interval`` of their mean, and ``controls``.

    Raises
    ------
    UnknownNameError
        There is no such method, metric, control or parameter.
    ParameterError
        A parameter is invalid, several targets are given, or the record is of other samples or another target.
    XaionnxError
        See :mod:`xaionnx.errors`.

    Examples
    --------
    >>> from models import planted
    >>> linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> scores = evaluate(linear, np.ones((1, 4), np.float32), "input_x_gradient", "deletion")
    >>> scores.values.tolist(), scores.curves["target"].tolist()
    ([3.75], [[10.0, 6.0, 3.0, 1.0, 0.0]])
    """
    judge = METRICS.configured(metric, settings)
    opened = model if isinstance(model, Model) else Model.load(model)
    with progress.bar():
        evidence = _evidence(opened, x, method, target, masks)
        return _with_controls(judge, evidence, controls, seed)


def score_table(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: InputLike | Inputs,
    methods: Sequence[str | Explainer],
    metrics: Sequence[str | Metric],
    target: TargetLike = None,
    *,
    masks: Array | None = None,
    controls: Sequence[str] = ("random",),
    seed: int = 0,
    budget_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[ScoreTable], object] | None = None,
) -> ScoreTable:
    """Score several methods by several metrics, for the same samples and the same target.

    A method or metric that does not apply to the model or the inputs is left out, and the table says why.

    Parameters
    ----------
    model, x, target, masks, controls, seed
        As in :func:`evaluate`. Without a target all methods explain the score of the top class, whatever their own
        default.
    methods : sequence of str or Explainer
    metrics : sequence of str or Metric
    budget_s : float, optional
        Seconds. Each method may take an equal share of what is left of it, of which its explanation gets half, and each
        of its scores an equal share of the rest, cheap metrics first; what takes longer is left out. It is checked
        between evaluations.
    clock : callable
        Returns the time in seconds.
    on_progress : callable, optional
        Called after each method with the table so far, which is what is left if the rest is stopped.

    Raises
    ------
    UnknownNameError
        There is no such method, metric or control.
    ParameterError
        Several targets are given.

    Examples
    --------
    >>> from models import planted
    >>> linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    >>> score_table(linear, x, ["saliency", "input_x_gradient"], ["infidelity", "sparseness"])  # doctest: +ELLIPSIS
    ScoreTable of 2 methods by 2 metrics
      saliency          infidelity 2.76-, sparseness 0.25-
      input_x_gradient  infidelity ...*, sparseness 0.376*
    """
    opened = model if isinstance(model, Model) else Model.load(model)
    judges = [METRICS.configured(metric, {}) for metric in metrics]
    explainers = [discovery.configured(method, {}) for method in methods]
    for name in controls:
        CONTROLS.find(name)
    asked = Request(opened, x, target)
    if asked.several:
        raise ParameterError("A metric judges one target at a time. Got a list of targets instead.")
    fixed = FixedTerms.of_rows(asked.resolved, np.arange(len(asked.samples)))[0]
    scores: dict[str, dict[str, Scores]] = {}
    refused: dict[str, str] = {}
    seconds: dict[str, float] = {}
    known: dict[tuple[str, str], Scores] = {}

    def table() -> ScoreTable:
        facts = {"model": opened.name, "model_sha256": opened.sha256}
        return ScoreTable(dict(scores), dict(refused), dict(seconds), facts)

    if masks is None:
        refused = {judge.name(): _NO_MASKS for judge in judges if "masks" in judge.needs}
        judges = [judge for judge in judges if "masks" not in judge.needs]
    time_left = TimeShare(None if budget_s is None else clock() + budget_s, clock)
    applicable = [] if budget_s is None else _applicable(explainers, opened)
    for number, explainer in enumerate(explainers):
        name, place = explainer.name(), f"method {number + 1} of {len(explainers)}"
        progress.phase(f"{name}, {place}")
        try:
            share = time_left.of(max(1, sum(applicable[number:])))
            with share.of(2).limit():
                evidence = _evidence(opened, asked.inputs, explainer, fixed, masks)
            evidence.check_of_inputs()
        except _OF_ONE as error:
            refused[name] = str(error)
            continue
        seconds[name] = evidence.explanation.diagnostics["seconds"] / len(asked.samples)
        found: dict[str, Scores] = {}
        for done, judge in enumerate(sorted(judges, key=_cost)):
            progress.phase(f"{name} by {judge.name()}, {place}")
            try:
                with share.of(len(judges) - done).limit():
                    found[judge.name()] = _with_known_controls(judge, evidence, controls, seed, known)
            except _OF_ONE as error:
                refused[f"{name} by {judge.name()}"] = str(error)
        scores[name] = {judge.name(): found[judge.name()] for judge in judges if judge.name() in found}
        if on_progress is not None:
            on_progress(table())
    progress.phase("")
    return table()


def _with_controls(judge: Metric, evidence: Evidence, controls: Sequence[str], seed: int) -> Scores:
    if "masks" in judge.needs and evidence.masks is None:
        raise ParameterError(f"{judge.name()}: {_NO_MASKS}")
    return dataclasses.replace(_scores(judge, evidence), controls=_controls(judge, evidence, controls, seed))


def _cost(judge: Metric) -> tuple[bool, bool]:
    """An order of metrics by what they cost: without evaluations, with some, and those that explain again."""
    return "method" in judge.needs, judge.category() not in ("complexity", "localisation")


def _applicable(explainers: Sequence[Explainer], model: Model) -> list[bool]:
    """Which methods the model seems to allow: the others will take no time."""
    dry_run, found = DryRun.of(model), []
    for explainer in explainers:
        try:
            explainer.validate(dry_run)
        except XaionnxError:
            found.append(False)
        else:
            found.append(True)
    return found


def _with_known_controls(
    judge: Metric, evidence: Evidence, names: Sequence[str], seed: int, known: dict[tuple[str, str], Scores]
) -> Scores:
    """The scores, with controls that are the same whatever method is judged from those that are known."""
    scores, metric = _scores(judge, evidence), repr(judge)
    found = {name: known[metric, name] for name in names if (metric, name) in known}
    found |= _controls(judge, evidence, [name for name in names if name not in found], seed)
    known |= {(metric, name): found[name] for name in names if not CONTROLS.find(name).follows_method}
    return dataclasses.replace(scores, controls={name: found[name] for name in names})


def _controls(judge: Metric, evidence: Evidence, names: Sequence[str], seed: int) -> dict[str, Scores]:
    """The scores of the controls with these names."""
    found = {}
    for name in names:
        control = CONTROLS.find(name)(judged=evidence.explainer, seed=seed)
        explanation = control.explain(evidence.request).samples_first()
        found[name] = _scores(judge, dataclasses.replace(evidence, explanation=explanation, explainer=control))
    return found


def _evidence(
    model: Model,
    x: InputLike | Inputs,
    method: str | Explainer | Explanation,
    target: TargetLike,
    masks: Array | None,
) -> Evidence:
    if isinstance(method, Explanation):
        if method.several_targets:
            raise ParameterError(
                "A metric judges one target, and this Explanation has several. Take one: result['name']."
            )
        request, explainer, explanation = Request(model, x, target), None, method.samples_first()
        _check_same(request, explanation)
    else:
        explainer = discovery.configured(method, {}).bind(model)
        request = explainer.request(model, x, target)
        if request.several:
            raise ParameterError("A metric judges one target at a time. Got a list of targets instead.")
        explanation = explainer.explain(request).samples_first()
    return Evidence(request, explanation, explainer, masks)


def _check_same(request: Request, explanation: Explanation) -> None:
    """Check that a record explains the samples and the target of a request."""
    if explanation.samples != len(request.samples):
        raise DataError(f"The Explanation has {explanation.samples} samples, and x has {len(request.samples)}.")
    for array in explanation.values.values() if isinstance(explanation.values, dict) else [explanation.values]:
        broken = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        if len(broken):
            raise DataError(
                f"The values of sample {broken[0]} hold NaN or infinity, which have no order. Explain it again."
            )
    close = np.isclose(explanation.prediction, request.resolved.prediction[0], rtol=1e-3, atol=1e-5)
    if (explanation.target == request.resolved.names[0]).all() and close.all():
        return
    n = int(np.flatnonzero((explanation.target != request.resolved.names[0]) | ~close)[0])
    raise ParameterError(
        f"The Explanation is of {explanation.target[n]} = {explanation.prediction[n]:.4g} at sample {n}, and this call "
        f"of {request.resolved.names[0][n]} = {request.resolved.prediction[0][n]:.4g}. Give the same model, samples "
        "and target."
    )


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
            "metric": _settings(judge),
            **measure.facts,
            "target": evidence.explanation.target.tolist(),
            "explanation": dict(evidence.explanation.provenance),
        },
        category=judge.category(),
        maps=measure.maps,
    )


def _check_bounds(judge: Metric, measure: Measure) -> None:
    """Check that scores are within the bounds that the metric declares: a fault of the metric otherwise."""
    known = measure.values[np.isfinite(measure.values)]
    low, high = judge.bounds
    assert ((known >= low - 1e-6) & (known <= high + 1e-6)).all(), f"{judge.name()} scored outside {judge.bounds}"


def _settings(judge: Metric) -> Mapping[str, object]:
    return {"name": judge.name(), **recorded_parameters(judge, {})}
