"""Recommend: the method to trust for a model and its inputs, at each price, by successive halving."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from xaionnx import discovery
from xaionnx.data.dataset import Dataset
from xaionnx.data.inputs import Inputs
from xaionnx.errors import DataError, ParameterError, TimeLimitError
from xaionnx.evaluation.joining import joined
from xaionnx.evaluation.metric import METRICS, Metric
from xaionnx.evaluation.recommendation import (
    Recommendation,
    by_price,
    clearly_distrusted,
    mean_ranks,
    recommended,
    samples_of,
)
from xaionnx.evaluation.samples import Samples, by_name
from xaionnx.evaluation.score_times import FIRST, ScoreTimes
from xaionnx.evaluation.scored_blocks import table_of
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Facts, InputLike, ModelLike, TargetLike

USUAL: Final = ("deletion", "insertion", "max_sensitivity", "parameter_randomisation")
"""What methods are judged by, if nothing is named."""

COARSE: Final[Mapping[str, Facts]] = {
    "deletion": {"steps": 16},
    "insertion": {"steps": 16},
    "road": {"steps": 3},
    "max_sensitivity": {"draws": 4},
    "parameter_randomisation": {"steps": 3},
}
"""Settings of metrics that tell methods apart at a tenth of the cost: all methods share the time."""

_CONTROLS: Final = ("random",)


def recommend(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: InputLike | Inputs | Dataset,
    *,
    budget_s: float = 600.0,
    methods: Sequence[str | Explainer] | None = None,
    metrics: Sequence[str | Metric] = USUAL,
    target: TargetLike = None,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[Callable[[], Recommendation]], object] | None = None,
) -> Recommendation:
    """Recommend the methods to trust for a model and inputs, at each price, within a budget of time.

    Successive halving: all methods are scored on two samples; of those with about the same price, within a factor of
    ten, the better half by mean rank is scored on twice as many, until the samples or the time are used up. Those go
    last that ignore the model, or of which the interval says that they are worse than random values: the mean of a few
    samples does not. What took too long in the first round has what the others left of its time.

    A method is recommended only if it may be trusted, whatever its rank:

    - its maps change when the weights of the model are randomised, if that can be told and was asked for;
    - by no metric of faithfulness is it worse than random values, on the mean over samples;
    - by one of them at least it is better, with a 95 % interval of the mean gain above 0.

    Every metric of faithfulness shows the model inputs that it never saw, and errs in a way of its own: deletion
    rewards maps of scattered pixels, whose removal breaks any picture, and insertion smooth ones, which leave whole
    regions to see. A map that is better than random by one and worse by another has its score from the way of removal,
    and not from what the model reads. That each gain is significant is not asked, because a coarse map of a few samples
    would fail by deletion whatever it shows; that one is keeps out maps of noise, which lie on either side of random
    values.

    Parameters
    ----------
    model, x, target, seed
        As in :func:`xaionnx.evaluate`.
    budget_s : float
        Seconds. Each round may take half of what is left, and the first one more if nothing has a score by then; each
        score has an equal share of that, see :func:`xaionnx.evaluation.score_table`, and one that needs longer gives
        the last rank.
    methods : sequence of str or Explainer, optional
        The candidates; all methods if None.
    metrics : sequence of str or Metric
        What they are judged by. Of those that are named, deletion and insertion take 16 steps, ROAD 3, max-sensitivity
        4 neighbours and parameter randomisation 3 layers, and others their defaults.
    clock : callable
        Returns the time in seconds.
    on_progress : callable, optional
        Called after the scores of each method of the first round, and after each later round, with a function that
        returns the recommendation by what is scored so far: what is left if the rest is stopped.

    Raises
    ------
    ParameterError
        There are fewer than two samples, the budget is not positive, or two methods or two metrics have the same name.
    DataError
        Fewer than two samples of a data set can be read.

    References
    ----------
    Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016,
    arXiv:1502.07943.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> linear = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    >>> found = recommend(linear, x, methods=["saliency", "input_x_gradient"], metrics=["infidelity"])
    >>> found.choices[-1].method
    'input_x_gradient'
    """
    opened = model if isinstance(model, Model) else Model.load(model)
    Target.check_samples(target, x, opened)
    samples = Samples.of(opened, x)
    if (samples.count is not None and samples.count < FIRST) or not budget_s > 0:
        raise ParameterError(
            f"A recommendation needs two samples and a positive budget. Got {samples.count} and {budget_s}."
        )
    names = discovery.methods() if methods is None else methods
    running = by_name(discovery.configured(name, {}) for name in names)
    judges = [
        METRICS.configured(metric, COARSE.get(metric, {}) if isinstance(metric, str) else {}) for metric in metrics
    ]
    time_left, read, table = TimeShare.starting(budget_s, clock), 0, ScoreTable({})
    times = ScoreTimes(clock, judges)
    faithfulness = [judge.name() for judge in judges if judge.category() == "faithfulness"]

    def tell(so_far: Callable[[], ScoreTable]) -> None:
        if on_progress is not None:
            # Recommending takes longer than many a method, for its intervals.
            on_progress(lambda: recommended(so_far(), faithfulness))

    try:
        while running and (samples.count is None or read < samples.count):
            start, read = read, max(FIRST, 2 * read)
            share = time_left.of(1 if samples.count is not None and read >= samples.count else 2)
            found = table_of(
                samples.blocks(start=start, stop=read),
                [*running.values()],
                judges,
                target,
                controls=_CONTROLS,
                seed=seed,
                time_left=share,
                times=times,
                at_most=time_left,
                on_progress=None if start else tell,
            )
            table = joined(table, found).without_refusals_of_scored()
            if not found.inputs and not found.left_out:
                # An iterable, or the time, has ended.
                break
            tell(partial(_same, table))
            running = _better_halves(running, table, faithfulness) if found.inputs else running
    except TimeLimitError as error:
        if not table.inputs:
            table = dataclasses.replace(table, refused={**dict.fromkeys(running, str(error)), **table.refused})
    if samples.count is not None and len(table.inputs) + len(table.left_out) >= samples.count:
        # A round ended early, but no input is without scores.
        table = dataclasses.replace(table, stopped="")
    if len(table.inputs) < FIRST and table.left_out:
        raise DataError(f"Fewer than two samples can be read. {table.left_out[0].reason}")
    return recommended(table, faithfulness)


def _same(table: ScoreTable) -> ScoreTable:
    return table


def _better_halves(
    running: Mapping[str, Explainer], table: ScoreTable, faithfulness: Sequence[str]
) -> dict[str, Explainer]:
    """Of the methods of each price that were judged on all samples so far, the better half."""
    judged = [name for name in running if samples_of(table, name) == len(table.inputs)]
    behind = {name for name in judged if clearly_distrusted(table.scores[name], faithfulness)}
    kept = set[str]()
    for names in by_price(table, judged):
        ranks = mean_ranks(table, names)
        kept |= set(sorted(names, key=lambda name: (name in behind, ranks[name]))[: math.ceil(len(names) / 2)])
    return {name: one for name, one in running.items() if name in kept}
