"""Scoring: the scores of one method by one metric, and of several by several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from xaionnx import discovery
from xaionnx.data.block import Block
from xaionnx.data.dataset import MASKS_INSTEAD, Dataset, order_check
from xaionnx.data.whole_arrays import whole_array
from xaionnx.errors import ParameterError
from xaionnx.evaluation.controls import CONTROLS
from xaionnx.evaluation.given_explanations import refuse_frames
from xaionnx.evaluation.judging import evidence_of, with_controls
from xaionnx.evaluation.metric import METRICS, Metric
from xaionnx.evaluation.samples import (
    Samples,
    SamplesLike,
    check_listed,
    explained_together,
    in_parts,
    refused_in_parts,
)
from xaionnx.evaluation.score_times import ScoreTimes
from xaionnx.evaluation.scored_blocks import OnTable, table_of
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.scores_in_parts import scores_in_parts
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds, ModelLike, TargetLike


def metrics() -> list[str]:
    """Return the names of all metrics, including those of other packages (entry points ``xaionnx.metrics``)."""
    return METRICS.names()


def evaluate(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: SamplesLike,
    method: str | Explainer | Explanation | Array | Feeds,
    metric: str | Metric,
    target: TargetLike = None,
    *,
    masks: Array | None = None,
    controls: Sequence[str] = ("random",),
    seed: int = 0,
    batch_size: int | None = None,
    **settings: object,
) -> Scores:
    """Score the explanations of samples by a metric, beside controls that explain nothing.

    Parameters
    ----------
    model : Model or path
    x : array (N, ...), anything that :func:`xaionnx.explain` reads, Dataset, or iterable of samples
        A data set or iterable is read in parts, so that it may be larger than memory. Its samples that cannot be
        explained have no score, and ``reasons`` says why; those that cannot be read are not among the N, and
        ``provenance["left_out"]`` lists them.
    method : str, Explainer, Explanation, array (N, ...) or dict of arrays by input name
        The method, or its record for the same samples and target; or values of your own in the shape of the input, such
        as maps of another package, of which positive ones raise the target.
    metric : str or Metric
        The name of a metric, or the metric with its parameters.
    target : optional
        One target, as in :func:`xaionnx.explain`.
    masks : array of bool (N, ...), optional
        Ground truth, for metrics of localisation: broadcasts to the positions of the explained input. A data set has
        its own.
    controls : sequence of str
        The controls: ``random`` values, the input's own ``edges``, the map of ``other_class``. Which of them say
        something of a metric is in its attribute ``controls``.
    seed : int
        The seed of the controls.
    batch_size : int, optional
        How many units of a data set are in memory at once, which changes no score; as many as fit well if None.
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
        A parameter is invalid, several methods, metrics or targets are given, the record is of another model, other
        samples or another target, a control says nothing of the metric or does not apply, or what compares all samples
        is asked of a data set in parts.
    XaionnxError
        See :mod:`xaionnx.errors`.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> scores = evaluate(linear, np.ones((1, 4), np.float32), "input_x_gradient", "deletion")
    >>> scores.values.tolist(), scores.curves["target"].tolist()
    ([3.75], [[10.0, 6.0, 3.0, 1.0, 0.0]])
    """
    for given, parameter in ((method, "method"), (metric, "metric")):
        if isinstance(given, list | tuple):
            raise ParameterError(
                f"The '{parameter}' parameter of evaluate must be a single {parameter}. Got {given!r} instead; "
                "xaionnx.evaluation.score_table scores several."
            )
    judge = METRICS.configured(metric, settings)
    check_listed(controls, "controls")
    opened = model if isinstance(model, Model) else Model.load(model)
    refuse_frames(method)
    judged = discovery.configured(method, {}) if isinstance(method, str) else method
    for why in explained_together([judged]).values():
        raise ParameterError(why)
    samples = in_parts(x)
    _check_samples(samples, target, masks, opened)
    with progress.bar():
        if not isinstance(samples, Dataset):
            return with_controls(judge, evidence_of(opened, samples, judged, target, masks), controls, seed)
        if isinstance(judged, Explanation | np.ndarray | Mapping):
            raise ParameterError(
                "A record, or values, are of samples in memory. Give these in place of the data set, or a method."
            )
        explainer = discovery.configured(judged, {}).bind(opened)
        blocks = Samples.of(opened, samples, masks).blocks(batch_size)
        for why in refused_in_parts([explainer, judge], blocks).values():
            raise ParameterError(why)

        def scored(some: Block) -> Scores:
            assert some.inputs is not None  # others are not scored
            asked = Target.of_block(target, some, blocks.samples.count)
            evidence = evidence_of(opened, some.inputs, explainer, asked, some.masks)
            return with_controls(judge, evidence, controls, seed)

        return scores_in_parts(blocks, scored)


def score_table(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: SamplesLike,
    methods: Sequence[str | Explainer],
    metrics: Sequence[str | Metric],
    target: TargetLike = None,
    *,
    masks: Array | None = None,
    controls: Sequence[str] = ("random",),
    seed: int = 0,
    budget_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    batch_size: int | None = None,
    on_progress: OnTable | None = None,
) -> ScoreTable:
    """Score several methods by several metrics, for the same samples and the same target.

    A method or metric that does not apply to the model or the inputs is left out, and the table says why. A control
    that does not has NaN. Samples that a method cannot explain have no score of it, and those that cannot be read or
    run are listed.

    Parameters
    ----------
    model, x, target, masks, controls, seed, batch_size
        As in :func:`evaluate`. Without a target all methods explain the score of the top class, whatever their own
        default.
    methods : sequence of str or Explainer
    metrics : sequence of str or Metric
    budget_s : float, optional
        Seconds. Two samples are scored first, by as many metrics as there is time for: the cheapest method shows what
        each costs, and the cheapest scores come first. Further samples follow in parts that grow. Each score of a
        method by a metric has an equal share of the time, and what cheap ones do not need of theirs is shared by the
        others; one whose share is used up is left out of the further parts, so that slow scores are of fewer samples.
        The time is checked between evaluations, and what will clearly take too long is stopped early.
    clock : callable
        Returns the time in seconds.
    on_progress : callable, optional
        Called after each method of the first part of the samples, and after each further part, with a function that
        returns the table so far, which is what is left if the rest is stopped.

    Raises
    ------
    UnknownNameError
        There is no such method, metric or control.
    ParameterError
        Several targets are given, two methods or two metrics have the same name, or the budget is no number.
    DataError
        No sample can be read.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    >>> score_table(linear, x, ["saliency", "input_x_gradient"], ["infidelity", "sparseness"])  # doctest: +ELLIPSIS
    ScoreTable of 2 methods by 2 metrics
                        infidelity   sparseness
      saliency                2.76-        0.25-
      input_x_gradient    ...*       0.376*
    *: better than every other method; -: no better than the control
    """
    for given, parameter in ((methods, "methods"), (metrics, "metrics"), (controls, "controls")):
        check_listed(given, parameter)
    opened = model if isinstance(model, Model) else Model.load(model)
    judges = [METRICS.configured(metric, {}) for metric in metrics]
    explainers = [discovery.configured(method, {}) for method in methods]
    for name in controls:
        CONTROLS.find(name)
    _check_samples(x, target, masks, opened)
    time_left = TimeShare.starting(budget_s, clock)
    return table_of(
        Samples.of(opened, x, masks).blocks(batch_size),
        explainers,
        judges,
        target,
        controls=controls,
        seed=seed,
        time_left=time_left,
        times=ScoreTimes(None if budget_s is None else clock, judges),
        on_progress=on_progress,
    )


def _check_samples(x: SamplesLike, target: TargetLike, masks: Array | None, model: Model) -> None:
    """Check that samples have one order if targets or masks are given in it, labels fit, and no mask is hidden."""
    Target.check_samples(target, x, model)
    if masks is not None:
        _ = whole_array(masks)
        order_check(x)("Masks", MASKS_INSTEAD)
