"""Recommendation: the methods to trust at each price, as scores tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.evaluation.joining import NO_TIME, why_without
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.standing import IGNORES_MODEL, turned
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import OUT_OF_TIME
from xaionnx.short_repr import short_repr

# The metric that says whether maps change with the weights.
_RANDOMISATION: Final = "parameter_randomisation"

_NOT_JUDGED: Final = "the time was too short for a score of faithfulness"
_NO_SCORE: Final = "without a score of faithfulness"
_NOT_RANDOMISED: Final = "the time was too short to see whether the maps change with the weights of the model"
_IGNORING: Final = "the maps hardly change when the weights of the model are randomised, so that they say little of it"


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
        said = "; ".join(f"at {_price(one.seconds)} an input: {one.method}" for one in self.choices)
        unjudged = {name for name, why in self.distrusted.items() if why in (_NOT_JUDGED, _NOT_RANDOMISED)}
        unjudged |= {name for name, why in self.table.refused.items() if why in OUT_OF_TIME and " by " not in name}
        judged = f" The time was too short to judge {counted(len(unjudged), 'method')}: raise the budget."
        more = judged if unjudged else ""
        none = "No method can be trusted by these metrics" if self.table.metrics else "No method has a score"
        return f"{f'Recommended {said}' if said else none}.{more}"


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


def by_price(table: ScoreTable, names: Sequence[str]) -> list[list[str]]:
    """Return the methods in groups of about the same price, within a factor of ten, the cheapest first."""
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(math.floor(math.log10(max(table.seconds[name], 1e-6))), []).append(name)
    return [groups[power] for power in sorted(groups)]


def samples_of(table: ScoreTable, name: str) -> int:
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
    unfaithful = {name: why for name in table.methods if (why := why_unfaithful(table, name, faithfulness))}
    distrusted = {name: _NOT_RANDOMISED for name in table.methods if _was_not_randomised(table, name)}
    distrusted |= unfaithful | ignoring
    # A method without scores is not known to be trustworthy, whatever was asked for.
    trusted = [name for name in table.methods if table.scores[name] and name not in distrusted]
    counts = {name: samples_of(table, name) for name in table.methods}
    most = max((counts[name] for name in trusted), default=0)
    # The time may end within a round: what it did not reach was judged on half as many samples.
    judged = [name for name in table.methods if 0 < most <= 2 * counts[name]]
    ranks = mean_ranks(table, judged, min((counts[name] for name in judged), default=0))
    choices = list[Choice]()
    for names in by_price(table, [name for name in judged if name in trusted]):
        best = min(names, key=lambda name: (-counts[name], ranks[name]))
        if not choices or ranks[best] < choices[-1].rank:
            choices.append(Choice(best, table.seconds[best], ranks[best], counts[best]))
    return Recommendation(tuple(choices), distrusted, table, _ranking(table, distrusted, ignoring))


def _ranking(table: ScoreTable, distrusted: Mapping[str, str], ignoring: Mapping[str, str]) -> tuple[str, ...]:
    counts = {name: samples_of(table, name) for name in table.methods}
    ranks = dict[str, float]()
    for count in set(counts.values()):
        ranks |= mean_ranks(table, [name for name, own in counts.items() if own == count])
    return tuple(
        sorted(table.methods, key=lambda name: (name in ignoring, name in distrusted, -counts[name], ranks[name]))
    )


def _was_not_randomised(table: ScoreTable, name: str) -> bool:
    """Whether nothing but the time stands against knowing whether the maps of a method change with the weights."""
    asked = _RANDOMISATION in table.provenance.get("metrics", {}) and _RANDOMISATION not in table.scores[name]
    return asked and why_without(name, _RANDOMISATION, table.refused) in (*OUT_OF_TIME, NO_TIME)


def _ignores_model(scores: Mapping[str, Scores]) -> bool:
    changes = scores.get(_RANDOMISATION)
    return changes is not None and changes.mean >= IGNORES_MODEL


def clearly_distrusted(scores: Mapping[str, Scores], faithfulness: Sequence[str]) -> bool:
    """Return whether a method is not to be trusted, however few samples there are: by the interval, not by the mean."""
    gains = [scores[name].gain() for name in faithfulness if name in scores]
    return _ignores_model(scores) or any(high < 0 for _, _, high in gains)


def why_unfaithful(table: ScoreTable, method: str, faithfulness: Sequence[str]) -> str:
    """Return why metrics of faithfulness, if any were asked for, do not let a method be trusted; empty if they do."""
    scores = table.scores[method]
    found = {name: scores[name].gain() for name in faithfulness if name in scores}
    gains = {name: gain for name, gain in found.items() if math.isfinite(gain[0])}
    if faithfulness and not gains:
        return _why_not_judged(table, method, faithfulness)
    worse = [name for name, (mean, _, _) in gains.items() if mean < 0]
    if worse:
        return f"worse than random values by {' and '.join(worse)}"
    if gains and not any(low > 0 for _, low, _ in gains.values()):
        return f"not clearly better than random values by {' or '.join(gains)}"
    return ""


def _why_not_judged(table: ScoreTable, method: str, faithfulness: Sequence[str]) -> str:
    """Why no metric of faithfulness compares a method with random values."""
    reasons = list[str]()
    for metric in faithfulness:
        one = table.scores[method].get(metric)
        if one is None:
            reasons.append(why_without(method, metric, table.refused))
        else:
            reasons += filter(None, [one.why_none, one.control.why_none if one.control else ""])
    if {*reasons} & {*OUT_OF_TIME, NO_TIME}:
        return _NOT_JUDGED
    return f"{_NO_SCORE} ({reasons[0].removesuffix('.')})" if reasons else _NO_SCORE


def _price(seconds: float) -> str:
    """Seconds to two digits, such as ``110 ms``."""
    value, unit = (1000 * seconds, "ms") if seconds < 1 else (seconds, "s")
    return f"{float(f'{value:.2g}'):g} {unit}"
