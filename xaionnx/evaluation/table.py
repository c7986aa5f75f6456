"""ScoreTable: methods by metrics, beside controls, with paired tests of their differences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.counting import counted
from xaionnx.evaluation.scores import Scores
from xaionnx.typing import Array, Document, Floats

if TYPE_CHECKING:
    from xaionnx.data.block import Refused

LEVEL: Final = 0.05
"""The share of false alarms that the tests of one metric allow together."""

IGNORES_MODEL: Final = 0.95
"""A map of a model with random weights that is this similar to that of the model is made from the input."""

# Differences that are tested exactly, and whose numbers of signs a float64 counts.
_EXACT: Final = 50
# Between a method and the metric by which it has no score.
_BY: Final = " by "
# Samples below which nothing is tested, however few tests there are.
_FEWEST: Final = 6


@final
@dataclass(frozen=True)
class Standing:
    """How a method stands by one metric.

    Attributes
    ----------
    scores : Scores
    p_control : float
        The p value of the paired test that it is no better than the first control; NaN without a control, and for fewer
        samples than :func:`fewest_samples`.
    p_best : float
        The p value of the paired test that it is as good as the method with the best mean; NaN for that method itself,
        and for fewer samples than :func:`fewest_samples`.
    best : bool
        Whether it has the best mean, and every other method is significantly worse.
    """

    scores: Scores
    p_control: float
    p_best: float
    best: bool

    @property
    def beats_control(self) -> bool:
        """Whether it is significantly better than the control."""
        return self.p_control < LEVEL


@final
@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of several methods by several metrics, for the same samples and targets.

    Attributes
    ----------
    scores : dict of dicts of Scores
        By method, then by metric; each has its controls.
    refused : dict of str
        Why a method, or a method by one metric (``method by metric``), has no scores.
    seconds : dict of float
        Seconds that each method took for a sample.
    provenance : dict
        The record of the model and the samples.
    inputs : tuple of str
        The names of the samples, in the order of the scores.
    left_out : tuple of Refused
        Samples of a data set that cannot be read or run, with reasons: they are not among the inputs.
    stopped : str
        Why no further samples were scored, if there are any.
    """

    scores: Mapping[str, Mapping[str, Scores]]
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Document = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    left_out: tuple[Refused, ...] = ()
    stopped: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the samples, and what to do."""
        every = (one for each in self.scores.values() for one in each.values())
        return tuple(dict.fromkeys(words for one in every for words in one.provenance.get("warnings", ())))

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods."""
        return tuple(self.scores)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics by which any method has scores."""
        return tuple(dict.fromkeys(name for each in self.scores.values() for name in each))

    @property
    def samples(self) -> int:
        """The number of samples; what takes too long has scores of the first of them alone."""
        return max((len(one.values) for each in self.scores.values() for one in each.values()), default=0)

    def standings(self, metric: str) -> Mapping[str, Standing]:
        """How each method with scores stands by a metric.

        Differences of the same samples are compared by Wilcoxon's signed rank test, one-sided, and the p values of all
        methods are corrected for their number after Holm.

        References
        ----------
        Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.
        """
        return self._standings.get(metric, {})

    @cached_property
    def _standings(self) -> dict[str, dict[str, Standing]]:
        return {metric: self._by(metric) for metric in self.metrics}

    def _by(self, metric: str) -> dict[str, Standing]:
        found = {name: each[metric] for name, each in self.scores.items() if metric in each}
        values = {name: turned(one) for name, one in found.items()}
        means = {name: float(np.nanmean(v)) if np.isfinite(v).any() else -math.inf for name, v in values.items()}
        first = max(means, key=lambda name: means[name])
        others = [name for name in found if name != first]
        below = [_p_greater(values[first], values[other], len(others)) for other in others]
        worse = dict(zip(others, holm(below), strict=True))
        above = holm([_p_greater(values[name], _control(one), len(found)) for name, one in found.items()])
        alone = bool(others) and all(p < LEVEL for p in worse.values())
        return {
            name: Standing(one, p, worse.get(name, math.nan), name == first and alone)
            for (name, one), p in zip(found.items(), above, strict=True)
        }

    def without_scores(self) -> list[tuple[str, tuple[str, ...]]]:
        """What has no scores, by reason: each reason with the names that it applies to.

        Methods and metrics that have none at all are apart from single scores, ``method by metric``.

        Examples
        --------
        >>> refused = {"cam": "too slow", "lrp by road": "too slow", "lime": "too slow"}
        >>> ScoreTable({}, refused).without_scores()
        [('too slow', ('cam', 'lime')), ('too slow', ('lrp by road',))]
        """
        groups = dict[tuple[str, bool], list[str]]()
        for name, reason in self.refused.items():
            groups.setdefault((reason, _BY in name), []).append(name)
        return [(reason, tuple(names)) for (reason, _), names in groups.items()]

    def without_refusals_of_scored(self) -> ScoreTable:
        """Return the table without the reasons why methods and metrics that have scores have none for later samples.

        The reasons stay with those samples, see :attr:`Scores.reasons`.
        """
        scored = {*filter(self.scores.get, self.scores)}
        scored |= {f"{name}{_BY}{metric}" for name, each in self.scores.items() for metric in each}
        return dataclasses.replace(
            self, refused={name: why for name, why in self.refused.items() if name not in scored}
        )

    def to_dict(self) -> Document:
        """The table as JSON values, a list of rows, NaN as None."""
        rows = []
        for metric in self.metrics:
            for name, standing in self.standings(metric).items():
                one = standing.scores
                control = one.control
                numbers = {
                    "mean": one.mean,
                    "low": one.interval[0],
                    "high": one.interval[1],
                    "control": math.nan if control is None else control.mean,
                    "p_control": standing.p_control,
                    "p_best": standing.p_best,
                }
                rows.append(
                    {
                        "method": name,
                        "metric": metric,
                        "category": one.category,
                        "direction": one.direction,
                        **{key: None if math.isnan(value) else value for key, value in numbers.items()},
                        "best": standing.best,
                        "controls": {name: _of_control(one, name) for name in one.controls},
                        "samples": one.count,
                        "values": [None if math.isnan(value) else value for value in one.values.tolist()],
                        "reasons": {str(n): reason for n, reason in one.reasons.items()},
                    }
                )
        return {
            "scores": rows,
            "refused": dict(self.refused),
            "seconds": dict(self.seconds),
            "inputs": list(self.inputs),
            "left_out": [dataclasses.asdict(one) for one in self.left_out],
            "stopped": self.stopped,
            "warnings": list(self.warnings),
            "provenance": self.provenance,
        }

    def __repr__(self) -> str:
        """A line a method: its mean by each metric; ``*`` if it is the best, ``-`` if no better than the control."""
        wide = max(map(len, self.methods), default=0)
        lines = [f"ScoreTable of {counted(len(self.methods), 'method')} by {counted(len(self.metrics), 'metric')}"]
        standings = {metric: self.standings(metric) for metric in self.metrics}
        for name in self.methods:
            cells = [f"{metric} {_cell(each[name])}" for metric, each in standings.items() if name in each]
            lines.append(f"  {name:{wide}}  {', '.join(cells)}")
        return "\n".join(lines)


def _of_control(scores: Scores, name: str) -> Document:
    """The mean of a control, and how much better the scores are, as JSON values."""
    gain, low, high = scores.gain(name)
    numbers = {"mean": scores.controls[name].mean, "gain": gain, "low": low, "high": high}
    reasons = [*dict.fromkeys(scores.controls[name].reasons.values())]
    return {**{key: None if math.isnan(value) else value for key, value in numbers.items()}, "reasons": reasons}


def _cell(standing: Standing) -> str:
    mark = "*" if standing.best else "" if standing.beats_control or math.isnan(standing.p_control) else "-"
    return f"{standing.scores.mean:.3g}{mark}"


def turned(scores: Scores) -> Floats:
    """Return the values, of the other sign where lower ones are better."""
    return -scores.values if scores.direction == "lower" else scores.values


def _control(scores: Scores) -> Floats:
    control = scores.control
    return np.full(len(scores.values), np.nan) if control is None else turned(control)


def fewest_samples(tests: int) -> int:
    """Return how many samples tell anything apart by several tests: with fewer, the smallest p values are too large.

    Of n differences of one sign, Wilcoxon's test has the p value ``2 ** -n``, multiplied by the number of tests. A
    single test takes six samples too, though five of one sign would do.

    Examples
    --------
    >>> fewest_samples(1), fewest_samples(12), fewest_samples(39)
    (6, 8, 10)
    """
    return max(_FEWEST, math.floor(math.log2(tests / LEVEL)) + 1)


def _p_greater(one: Floats, other: Floats, tests: int) -> float:
    """The p value of the test that values of one are no greater than those of the other; NaN for too few pairs."""
    # Of a recommendation, some methods are judged on the first samples alone.
    count = min(len(one), len(other))
    differences = one[:count] - other[:count]
    differences = differences[np.isfinite(differences)]
    return p_of_signed_ranks(differences) if len(differences) >= fewest_samples(tests) else math.nan


def p_of_signed_ranks(differences: Floats) -> float:
    """Return the p value of Wilcoxon's signed rank test that differences (N,) are no greater than 0.

    Differences of 0 count half on each side. To 50 differences it is exact, with ties too, where scipy tries all signs
    one after another, for half a second of a test; for more it is that of the normal approximation.

    References
    ----------
    Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945.

    Examples
    --------
    >>> p_of_signed_ranks(np.array([1.0, 2.0, 3.0])), p_of_signed_ranks(np.array([1.0, -1.0]))
    (0.125, 0.75)
    """
    from scipy.stats import rankdata, wilcoxon

    if not differences.any():
        return 1.0
    if len(differences) > _EXACT:
        return float(wilcoxon(differences, zero_method="zsplit", alternative="greater").pvalue)
    # Twice the ranks are whole numbers with ties too.
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)
    signed = ranks[differences != 0]
    # How many of the 2^N ways to give signs lead to each sum of the positive ranks.
    ways = np.zeros(signed.sum() + 1)
    ways[0] = 1
    for rank in signed:
        ways[rank:] += ways[:-rank].copy()
    return float(ways[ranks[differences > 0].sum() :].sum() / ways.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number after Holm; NaN stay and do not count.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.001, 0.013, 0.02, 0.04, 0.3])]
    [0.005, 0.052, 0.06, 0.08, 0.3]
    """
    given: Array = np.array(p_values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(given))
    order, corrected = known[np.argsort(given[known])], given.copy()
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, float(given[place]) * (len(known) - rank)))
        corrected[place] = highest
    return [float(p) for p in corrected]
