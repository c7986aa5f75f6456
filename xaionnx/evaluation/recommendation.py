"""Recommend: the method to trust for a model and its inputs, at each price."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import numpy as np

from xaionnx import discovery
from xaionnx.counting import counted
from xaionnx.data.dataset import Dataset
from xaionnx.data.inputs import Inputs
from xaionnx.errors import DataError, ParameterError, TimeLimitError
from xaionnx.evaluation.joining import joined
from xaionnx.evaluation.metric import METRICS as METRICS_OF_ALL
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Samples, by_name
from xaionnx.evaluation.score_times import ScoreTimes
from xaionnx.evaluation.scored_blocks import table_of
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.standing import IGNORES_MODEL, turned
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import OUT_OF_TIME, TimeShare
from xaionnx.explainer import Explainer
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Facts, InputLike, ModelLike, TargetLike

METRICS: Final = ("deletion", "insertion", "max_sensitivity", "parameter_randomisation")
"""What methods are judged by, if nothing is named."""

_FIRST: Final = 2
_NOT_JUDGED: Final = "no metric of faithfulness judged it: the time was too short, or none applies"
_IGNORING: Final = "the maps hardly change when the weights of the model are randomised, so that they say little of it"
_CONTROLS: Final = ("random",)
COARSE: Final[Mapping[str, Facts]] = {
    "deletion": {"steps": 16},
    "insertion": {"steps": 16},
    "road": {"steps": 3},
    "max_sensitivity": {"draws": 4},
    "parameter_randomisation": {"steps": 3},
}
"""Settings of metrics that tell methods apart at a tenth of the cost: all methods share the time."""


@final
@dataclass(frozen=True)
class Choice:
    """A method that is worth its price.

    Attributes
    ----------
    method : str
    seconds : float
        Seconds for a sample.
    rank : float
        The mean rank by all metrics among the methods that were judged on the same samples, from 0, best, to 1.
    samples : int
        On how many samples it was judged.
    """

    method: str
    seconds: float
    rank: float
    samples: int


@final
@dataclass(frozen=True, eq=False)
class Recommendation:
    """The methods to trust, from the cheapest to the best, and the evidence.

    Attributes
    ----------
    choices : tuple of Choice
        The best at each price, within a factor of ten, by rising price; each ranks better than all cheaper ones.
    distrusted : dict of str
        Methods that are not recommended whatever their rank, and why.
    table : ScoreTable
        The scores, of each method on as many samples as it was judged on.
    ranking : tuple of str
        All methods with scores, the best first: those that were judged on most samples, by mean rank, then those that
        were left behind, then those that are not to be trusted, and last those that ignore the model.
    """

    choices: tuple[Choice, ...]
    distrusted: Mapping[str, str]
    table: ScoreTable
    ranking: tuple[str, ...] = ()

    __repr__ = short_repr

    def __str__(self) -> str:
        """One line: the method at each price, and how many were not judged."""
        said = "; ".join(f"{_price(one.seconds)} an input: {one.method}" for one in self.choices)
        unjudged = {name for name, why in self.distrusted.items() if why == _NOT_JUDGED}
        unjudged |= {name for name, why in self.table.refused.items() if why in OUT_OF_TIME and " by " not in name}
        judged = f" The time was too short to judge {counted(len(unjudged), 'method')}: raise the budget."
        more = judged if unjudged else ""
        return f"{said or 'No method can be trusted by these metrics'}.{more}"


def recommend(  # noqa: PLR0913 - options of a public function, by keyword
    model: ModelLike,
    x: InputLike | Inputs | Dataset,
    *,
    budget_s: float = 600.0,
    methods: Sequence[str | Explainer] | None = None,
    metrics: Sequence[str | Metric] = METRICS,
    target: TargetLike = None,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[Callable[[], Recommendation]], object] | None = None,
) -> Recommendation:
    """Recommend the methods to trust for a model and inputs, at each price, within a budget of time.

    Successive halving: all methods are scored on two samples; of those with about the same price, within a factor of
    ten, the better half by mean rank, those that may be trusted first, is scored on twice as many, until the samples or
    the time are used up. What took too long in the first round shares what the others left of its time.

    A method is recommended only if it may be trusted, whatever its rank:

    - its maps change when the weights of the model are randomised;
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
        Seconds. Each round may take half of what is left, and each score an equal share of that, see
        :func:`xaionnx.evaluation.score_table`; a score that needs longer gives the last rank.
    methods : sequence of str or Explainer, optional
        The candidates; all methods if None.
    metrics : sequence of str or Metric
        What they are judged by. Of those that are named, deletion and insertion take 16 steps, ROAD 3, max-sensitivity
        4 neighbours and parameter randomisation 3 layers, and others their defaults.
    clock : callable
        Returns the time in seconds.
    on_progress : callable, optional
        Called after each method of the first round and after each later round, with a function that returns the
        recommendation by what is scored so far: what is left if the rest is stopped.

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
    samples = Samples.of(opened, x)
    if (samples.count is not None and samples.count < _FIRST) or not budget_s > 0:
        raise ParameterError(
            f"A recommendation needs two samples and a positive budget. Got {samples.count} and {budget_s}."
        )
    names = discovery.methods() if methods is None else methods
    running = by_name(discovery.configured(name, {}) for name in names)
    judges = [
        METRICS_OF_ALL.configured(metric, COARSE.get(metric, {}) if isinstance(metric, str) else {})
        for metric in metrics
    ]
    time_left, read, table = TimeShare.starting(budget_s, clock), 0, ScoreTable({})
    times = ScoreTimes(clock, judges)
    faithfulness = [judge.name() for judge in judges if judge.category() == "faithfulness"]

    def tell(so_far: Callable[[], ScoreTable]) -> None:
        if on_progress is not None:
            # Recommending takes longer than many a method, for its intervals.
            on_progress(lambda: recommended(so_far(), faithfulness))

    with contextlib.suppress(TimeLimitError):
        while running and (samples.count is None or read < samples.count):
            start, read = read, max(_FIRST, 2 * read)
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
                on_progress=None if start else tell,
            )
            if not found.inputs and not found.left_out:
                # An iterable has ended.
                break
            table = joined(table, found).without_refusals_of_scored()
            tell(partial(_same, table))
            running = _better_halves(running, table, faithfulness) if found.inputs else running
    if len(table.inputs) < _FIRST and table.left_out:
        raise DataError(f"Fewer than two samples can be read. {table.left_out[0].reason}")
    return recommended(table, faithfulness)


def _same(table: ScoreTable) -> ScoreTable:
    return table


def mean_ranks(table: ScoreTable, methods: Sequence[str], samples: int | None = None) -> dict[str, float]:
    """Return the mean rank of each method over metrics and the first samples, or all, from 0 for the best to 1.

    A sample without a score, and a metric that does not apply, give the last rank.
    """
    from scipy.stats import rankdata

    ranks = []
    for metric in table.metrics:
        known = {name: table.scores[name][metric] for name in methods if metric in table.scores[name]}
        if not known:
            continue
        count = samples or max(len(one.values) for one in known.values())
        values = np.full((len(methods), count), -np.inf)
        for row, name in zip(values, methods, strict=True):
            if name in known:
                found = turned(known[name])[:count]
                row[: len(found)] = np.where(np.isfinite(found), found, -np.inf)
        ranks.append(rankdata(-values, axis=0).mean(axis=1))
    if len(methods) == 1 or not ranks:
        return dict.fromkeys(methods, 0.0)
    mean = (np.mean(ranks, axis=0) - 1) / (len(methods) - 1)
    return dict(zip(methods, mean.tolist(), strict=True))


def _better_halves(
    running: Mapping[str, Explainer], table: ScoreTable, faithfulness: Sequence[str]
) -> dict[str, Explainer]:
    """Of the methods of each price that were judged on all samples so far, the better half, those to trust first."""
    judged = [name for name in running if _samples(table, name) == len(table.inputs)]
    distrusted = recommended(table, faithfulness).distrusted
    kept = set[str]()
    for names in _by_price(table, judged):
        ranks = mean_ranks(table, names)
        kept |= set(sorted(names, key=lambda name: (name in distrusted, ranks[name]))[: math.ceil(len(names) / 2)])
    return {name: one for name, one in running.items() if name in kept}


def _by_price(table: ScoreTable, names: Sequence[str]) -> list[list[str]]:
    """The methods in groups of about the same price, within a factor of ten, the cheapest first."""
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(math.floor(math.log10(max(table.seconds[name], 1e-6))), []).append(name)
    return [groups[power] for power in sorted(groups)]


def _samples(table: ScoreTable, name: str) -> int:
    return max((len(one.values) for one in table.scores.get(name, {}).values()), default=0)


def recommended(table: ScoreTable, faithfulness: Sequence[str]) -> Recommendation:
    """Return the recommendation that scores lead to: at each price, of the methods to trust, that of the best rank.

    Those that were judged on fewer than half of the samples of the longest judged were left behind.

    Parameters
    ----------
    table : ScoreTable
    faithfulness : sequence of str
        The metrics of faithfulness that were asked for.
    """
    ignoring = {name: _IGNORING for name in table.methods if _ignores_model(table.scores[name])}
    unfaithful = {name: why for name in table.methods if (why := why_unfaithful(table.scores[name], faithfulness))}
    distrusted = unfaithful | ignoring
    # A method without scores is not known to be trustworthy, whatever was asked for.
    trusted = [name for name in table.methods if table.scores[name] and name not in distrusted]
    counts = {name: _samples(table, name) for name in table.methods}
    most = max((counts[name] for name in trusted), default=0)
    # The time may end within a round: what it did not reach was judged on half as many samples.
    judged = [name for name in table.methods if 0 < most <= 2 * counts[name]]
    ranks = mean_ranks(table, judged, min((counts[name] for name in judged), default=0))
    choices = list[Choice]()
    for names in _by_price(table, [name for name in judged if name in trusted]):
        best = min(names, key=lambda name: (-counts[name], ranks[name]))
        if not choices or ranks[best] < choices[-1].rank:
            choices.append(Choice(best, table.seconds[best], ranks[best], counts[best]))
    return Recommendation(tuple(choices), distrusted, table, _ranking(table, distrusted, ignoring))


def _ranking(table: ScoreTable, distrusted: Mapping[str, str], ignoring: Mapping[str, str]) -> tuple[str, ...]:
    counts = {name: _samples(table, name) for name in table.methods}
    ranks = dict[str, float]()
    for count in set(counts.values()):
        ranks |= mean_ranks(table, [name for name, own in counts.items() if own == count])
    return tuple(
        sorted(table.methods, key=lambda name: (name in ignoring, name in distrusted, -counts[name], ranks[name]))
    )


def _ignores_model(scores: Mapping[str, Scores]) -> bool:
    changes = scores.get("parameter_randomisation")
    return changes is not None and changes.mean >= IGNORES_MODEL


def why_unfaithful(scores: Mapping[str, Scores], faithfulness: Sequence[str]) -> str:
    """Return why metrics of faithfulness, if any were asked for, do not let a method be trusted; empty if they do."""
    found = {name: scores[name].gain() for name in faithfulness if name in scores}
    gains = {name: gain for name, gain in found.items() if math.isfinite(gain[0])}
    if faithfulness and not gains:
        return _NOT_JUDGED
    worse = [name for name, (mean, _, _) in gains.items() if mean < 0]
    if worse:
        return f"worse than random values by {' and '.join(worse)}"
    if gains and not any(low > 0 for _, low, _ in gains.values()):
        return f"not clearly better than random values by {' or '.join(gains)}"
    return ""


def _price(seconds: float) -> str:
    """Seconds to two digits, such as ``110 ms``."""
    value, unit = (1000 * seconds, "ms") if seconds < 1 else (seconds, "s")
    return f"{float(f'{value:.2g}'):g} {unit}"
