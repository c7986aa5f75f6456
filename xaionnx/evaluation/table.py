"""ScoreTable: methods by metrics, beside controls."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

from xaionnx.counting import counted
from xaionnx.evaluation.label_matches import LabelMatches
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.standing import Standing, standings_of
from xaionnx.evaluation.table_text import means_of
from xaionnx.typing import Document

if TYPE_CHECKING:
    from xaionnx.data.block import Refused

# Between a method and the metric by which it has no score.
_BY: Final = " by "


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
    labels : LabelMatches
        How the labels of a data set compare with the top classes of these samples.
    stopped : str
        Why no further samples were scored, if there are any.
    """

    scores: Mapping[str, Mapping[str, Scores]]
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    provenance: Document = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    left_out: tuple[Refused, ...] = ()
    labels: LabelMatches = field(default_factory=LabelMatches)
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
        """How each method with scores stands by a metric: see :func:`.standings_of`."""
        return self.by_metric.get(metric, {})

    @cached_property
    def by_metric(self) -> Mapping[str, Mapping[str, Standing]]:
        """How the methods with scores stand by each metric, those of a category one after another."""
        found = {
            metric: standings_of({name: each[metric] for name, each in self.scores.items() if metric in each})
            for metric in self.metrics
        }
        categories = {metric: next(iter(each.values())).scores.category for metric, each in found.items()}
        order = [*dict.fromkeys(categories.values())]
        return {metric: found[metric] for metric in sorted(found, key=lambda one: order.index(categories[one]))}

    def in_order(self, methods: Sequence[str]) -> ScoreTable:
        """Return the table with all its methods in another order."""
        return dataclasses.replace(self, scores={name: self.scores[name] for name in methods})

    def without_scores(self) -> list[tuple[str, tuple[str, ...]]]:
        """What has no scores, or none of further samples, by reason: each reason with the names that it applies to.

        Methods and metrics are apart from single scores, ``method by metric``, and what :meth:`has_scores` of some
        samples is apart from what has none. A metric without any, for one reason of most methods, is named alone.

        Examples
        --------
        >>> refused = {"cam": "too slow", "cam by road": "too slow", "lrp by road": "too slow", "lime": "too slow"}
        >>> ScoreTable({}, refused).without_scores()
        [('too slow', ('cam', 'lime')), ('too slow', ('lrp by road',))]
        """
        groups = dict[tuple[str, bool, bool], list[str]]()
        for name, reason in self._refused_together().items():
            groups.setdefault((reason, _BY in name, self.has_scores(name)), []).append(name)
        return [(reason, tuple(names)) for (reason, *_), names in groups.items()]

    def _refused_together(self) -> dict[str, str]:
        """Why there are no scores; a metric that has none in place of the methods by it, if most have one reason.

        A method without any score is named alone too, if that is the reason of it.
        """
        by_metric, known = dict[str, Counter[str]](), {*self.metrics}
        named = dict[str, str]()
        for name, reason in self.refused.items():
            method = name.partition(_BY)[0]
            if method == name or self.has_scores(method) or reason != self.refused.get(method):
                named[name] = reason
        for name, reason in named.items():
            by_metric.setdefault(name.partition(_BY)[2], Counter())[reason] += 1
        found = dict[str, str]()
        for name, reason in named.items():
            metric = name.partition(_BY)[2]
            together = metric and metric not in known and _of_most(by_metric[metric], reason)
            found[metric if together else name] = reason
        return found

    def has_scores(self, name: str) -> bool:
        """Whether a method, a metric, or ``method by metric`` has scores."""
        method, _, metric = name.partition(_BY)
        own = self.scores.get(method, {})
        return metric in own if metric else bool(own) or name in self.metrics

    def without_refusals_of_scored(self) -> ScoreTable:
        """Return the table without the reasons why methods and metrics that have scores have none for later samples.

        The reasons stay with those samples, see :attr:`Scores.reasons`.
        """
        return dataclasses.replace(
            self, refused={name: why for name, why in self.refused.items() if not self.has_scores(name)}
        )

    def to_dict(self) -> Document:
        """The table as JSON values, a list of rows, NaN as None."""
        rows, missing = [], len(self.inputs) - self.labels.labelled
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
            "labels": {**dataclasses.asdict(self.labels), "missing": missing} if self.labels.labelled else None,
            "stopped": self.stopped,
            "warnings": list(self.warnings),
            "provenance": self.provenance,
        }

    def __repr__(self) -> str:
        """The mean of each method by each metric: see :func:`.means_of`."""
        title = f"ScoreTable of {counted(len(self.methods), 'method')} by {counted(len(self.metrics), 'metric')}"
        return "\n".join([title, *means_of(self.methods, self.by_metric)])


def _of_most(reasons: Counter[str], reason: str) -> bool:
    """Whether a reason is that of several, and of more than half."""
    return max(1, reasons.total() / 2) < reasons[reason]


def _of_control(scores: Scores, name: str) -> Document:
    """The mean of a control, and how much better the scores are, as JSON values."""
    gain, low, high = scores.gain(name)
    numbers = {"mean": scores.controls[name].mean, "gain": gain, "low": low, "high": high}
    reasons = [*dict.fromkeys(scores.controls[name].reasons.values())]
    return {**{key: None if math.isnan(value) else value for key, value in numbers.items()}, "reasons": reasons}
