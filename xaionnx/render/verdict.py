"""Verdict: what scores say of methods, in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from xaionnx.counting import counted
from xaionnx.evaluation.signed_ranks import fewest_samples
from xaionnx.evaluation.standing import IGNORES_MODEL

if TYPE_CHECKING:
    from xaionnx.evaluation.standing import Standing
    from xaionnx.evaluation.table import ScoreTable


# The share of the samples below which a method's scores are of few.
_FEW: Final = 0.9
# Metrics that a sentence about all of them names.
_NAMED: Final = 6


def verdict(table: ScoreTable) -> list[str]:
    """What the labels and the scores say, in sentences: of the methods by all metrics, then by each.

    A method is better, or the best, only if a paired test that is corrected for the number of methods says so.
    """
    standings = {metric: table.standings(metric) for metric in table.metrics}
    said = dict[str, list[str]]()
    for metric, each in standings.items():
        for sentence in _of_metric(each):
            said.setdefault(sentence, []).append(metric)
    return [
        *table.labels.sentences(of=len(table.inputs)),
        *_of_methods(standings),
        *_of_ended(table),
        *(f"{', '.join(metrics)}: {sentence}" for sentence, metrics in said.items()),
    ]


def _of_ended(table: ScoreTable) -> Iterator[str]:
    """How many scores were left out of further samples, such as those for which the time was too short."""
    lengths = [len(one.values) for each in table.scores.values() for one in each.values()]
    ended = sum(length < table.samples for length in lengths)
    if ended:
        yield (
            f"{ended:,} of {len(lengths):,} scores of a method by a metric are of the first samples alone, the fewest "
            f"of {min(lengths):,}, and not of all {table.samples:,}."
        )


def _of_methods(standings: Mapping[str, Mapping[str, Standing]]) -> Iterator[str]:
    """Who is better than the control by all metrics of faithfulness, who by none, and whose maps ignore the model."""
    better = dict[str, list[bool]]()
    faithful = list[str]()
    for metric, each in standings.items():
        tested = _tested(each)
        if tested and all(one.scores.category == "faithfulness" for one in tested.values()):
            faithful.append(metric)
            for name, one in tested.items():
                better.setdefault(name, []).append(one.beats_control)
    if faithful:
        yield from _of_faithfulness(better, faithful)
    changes = standings.get("parameter_randomisation", {})
    same = [name for name, one in changes.items() if one.scores.mean >= IGNORES_MODEL]
    if same:
        yield (
            f"Nearly the same maps when the weights of the model are random, so that they say little of the model: "
            f"{', '.join(same)}."
        )


def _of_faithfulness(better: Mapping[str, Sequence[bool]], metrics: Sequence[str]) -> Iterator[str]:
    """Who is better than the control by all metrics, or by the most of them, and who by none."""
    won = {name: sum(each) for name, each in better.items()}
    # A method that some metrics did not score is not better by all.
    always = [name for name, count in won.items() if count == len(metrics)]
    every = (
        f"all of {', '.join(metrics)}"
        if len(metrics) <= _NAMED
        else f"all {len(metrics)} tested metrics of faithfulness"
    )
    by = metrics[0] if len(metrics) == 1 else every
    yield f"Better than the control by {by}: {', '.join(always) or 'none'}."
    if len(metrics) == 1:
        # Who is not is said of each metric.
        return
    most = max(won.values())
    if 0 < most < len(metrics):
        yield f"By {most} of {len(metrics)}, and none by more: {', '.join(name for name in won if won[name] == most)}."
    never = [name for name, count in won.items() if not count]
    if never:
        yield f"Better by none of those that scored them: {', '.join(never)}."


def _of_metric(standings: Mapping[str, Standing]) -> Iterator[str]:
    best = next((name for name, one in standings.items() if one.best), None)
    tested = _tested(standings)
    lost = [name for name, one in tested.items() if not one.beats_control]
    if best is not None and best not in lost:
        yield f"{best} is better than every other method."
    if lost:
        yield _against_control(lost, [name for name in tested if name not in lost])
    yield from _of_few(standings)
    if not tested:
        yield _untested(standings)


def _untested(standings: Mapping[str, Standing]) -> str:
    """Why no method is tested: no sample has a score, or too few have one."""
    reasons = Counter(why for one in standings.values() for why in one.scores.reasons.values())
    if reasons and not any(one.scores.count for one in standings.values()):
        (most, _), *others = reasons.most_common()
        further = f", and for {counted(len(others), 'other reason')}" if others else ""
        return f"no sample has a score: {most.removesuffix('.')}{further}."
    needed, methods = fewest_samples(len(standings)), counted(len(standings), "method")
    return f"too few samples have a score for a test of {methods}; at least {needed} are needed."


def _of_few(standings: Mapping[str, Standing]) -> Iterator[str]:
    """Methods that have no score on samples they were tried on, such as those whose values are all 0."""
    counts = {name: (one.scores.count, len(one.scores.values)) for name, one in standings.items()}
    if not any(count for count, _ in counts.values()):
        # That no sample has a score is said instead.
        return
    for count, tried in sorted({(count, tried) for count, tried in counts.values() if count < tried * _FEW}):
        names = [name for name, own in counts.items() if own == (count, tried)]
        if not count:
            yield from _without_score(names, standings)
            continue
        verb = "has" if len(names) == 1 else "have"
        yield f"{', '.join(names)} {verb} a score on {count:,} of {tried:,} samples alone."


def _without_score(names: Sequence[str], standings: Mapping[str, Standing]) -> Iterator[str]:
    """Methods that have no score on any sample, those of each reason together."""
    reasons = {name: standings[name].scores.why_none.removesuffix(".") or "no sample has one" for name in names}
    for why in dict.fromkeys(reasons.values()):
        some = [name for name in names if reasons[name] == why]
        yield f"{', '.join(some)} {'has' if len(some) == 1 else 'have'} no score: {why}."


def _against_control(lost: Sequence[str], better: Sequence[str]) -> str:
    """Which methods are no better than the control, by the shorter of the two lists of names."""
    if len(lost) == 1:
        return f"{lost[0]} is no better than the control."
    if not better:
        return "no method is better than the control."
    if len(better) < len(lost):
        return f"only {', '.join(better)} {'is' if len(better) == 1 else 'are'} better than the control."
    return f"{', '.join(lost)} are no better than the control."


def _tested(standings: Mapping[str, Standing]) -> dict[str, Standing]:
    """The methods with enough samples for a test."""
    return {name: one for name, one in standings.items() if not math.isnan(one.p_control)}
