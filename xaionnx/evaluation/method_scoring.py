"""MethodScoring: the scores of one method by some metrics, for one block of samples after another."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np

from xaionnx.data.block import Block
from xaionnx.errors import ParameterError, TimeLimitError, XaionnxError
from xaionnx.evaluation.attempts import Attempts
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.joining import joined
from xaionnx.evaluation.judging import Judging, KnownControls, evidence_of
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.score_times import ANY, ScoreTimes
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import Limits
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import FixedTerms

OF_ONE: Final = (XaionnxError, MemoryError, OSError)
"""Errors that cost one method or one score, and not the others."""

Explained: TypeAlias = list[tuple[Block, Evidence | XaionnxError]]
"""The attributions of samples, in parts, or why a sample that is a part of its own has none."""

Kept: TypeAlias = list[tuple[Block, Explanation | XaionnxError]]
"""The same without the request, which may hold a copy of the model."""

# Seconds that building the graphs of a method may take, which its first samples pay for.
_BUILDING: Final = 10.0


@final
@dataclass(eq=False)
class MethodScoring:
    """Scores one method.

    Attributes
    ----------
    method : Explainer
    attempts : Attempts
        Leaves out the samples that it cannot explain.
    times : ScoreTimes
        Measures what it costs.
    """

    method: Explainer
    attempts: Attempts
    times: ScoreTimes

    __repr__ = short_repr

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.method.name()

    def explained(self, block: Block, asked: Request, limits: Limits) -> Explained:
        """Return the attributions of the samples of a block.

        Parameters
        ----------
        block : Block
            Its units are numbered from 0.
        asked : Request
            The samples and their target.
        limits : Limits

        Raises
        ------
        XaionnxError
            The method explains none of the samples.
        TimeLimitError
            The explanation takes too long.
        """

        def explained(some: Block) -> Evidence:
            assert some.inputs is not None  # each part has samples
            with limits.of(self.name, [ANY]).limit():
                found = evidence_of(asked.model, some.inputs, self.method, _target(some, asked), some.masks)
            found.check_of_inputs()
            return found

        with self.times.charged(self.name):
            parts = self.attempts.of(block, explained, asked.model)
        first = next(((some, found) for some, found in parts if isinstance(found, Evidence)), None)
        if first is not None and self.name not in self.times.prices:
            self._price(*first, explained)
        return parts

    def of_kept(self, kept: Kept, asked: Request) -> Explained:
        """Return the attributions of samples that were explained before, of which the explanations were kept."""
        explainer, found = self.method.bind(asked.model), Explained()
        for some, explanation in kept:
            if isinstance(explanation, XaionnxError):
                found.append((some, explanation))
            else:
                assert some.inputs is not None  # each part has samples
                request = explainer.request(asked.model, some.inputs, _target(some, asked))
                found.append((some, Evidence(request, explanation, explainer, some.masks)))
        return found

    def _price(self, some: Block, found: Evidence, explained: Callable[[Block], Evidence]) -> None:
        """Note what an explanation takes: that of the first sample is done again, once the graphs are built."""
        count, first = len(found.samples), _seconds(found)
        price = first / count
        if first <= _BUILDING and not self.method.compares_samples:
            one = some.within(some.units[0], some.units[0] + 1, found.model.shared)
            with contextlib.suppress(TimeLimitError):
                price = min(price, _seconds(explained(one)))
        self.times.prices[self.name], self.times.building[self.name] = price, first - count * price

    def judged(
        self, parts: Explained, judges: Sequence[Metric], controls: KnownControls, limits: Limits, place: str
    ) -> tuple[ScoreTable, dict[str, Exception]]:
        """Return the scores of explained samples, and why there are none by some metrics.

        Parameters
        ----------
        parts : list of pairs
            As :meth:`explained` returns them.
        judges : sequence of Metric
        controls : KnownControls
            Those of the same samples.
        limits : Limits
        place : str
            Which method and which samples these are, in words.
        """
        table, failed = ScoreTable({}), dict[str, Exception]()
        for some, evidence in parts:
            if isinstance(evidence, XaionnxError):
                found = ScoreTable({self.name: {}}, {self.name: str(evidence)})
            else:
                left = [judge for judge in judges if judge.name() not in failed]
                judging = Judging(evidence, controls if len(parts) == 1 else controls.of_others())
                found, why = self._by_metrics(judging, left, limits, place, len(parts) == 1)
                failed |= why
            table = joined(table, dataclasses.replace(found, inputs=("",) * len({*some.units})))
        return table if judges else dataclasses.replace(table, scores={}), failed

    def _by_metrics(
        self, judging: Judging, judges: Sequence[Metric], limits: Limits, place: str, whole: bool
    ) -> tuple[ScoreTable, dict[str, Exception]]:
        """The scores by all metrics; ``whole`` is whether the evidence is that of all samples of the block."""
        scores, failed = dict[str, Scores](), dict[str, Exception]()
        for judge in sorted(judges, key=_cost):
            progress.phase(f"{self.name} by {judge.name()}, {place}")
            try:
                if judge.compares_samples and not whole:
                    raise ParameterError("It compares all samples with each other, and some have no explanation.")
                if judge.shared_work:
                    sharing = [one.name() for one in judges if one.shared_work == judge.shared_work]
                    with limits.of(self.name, sharing).limit():
                        judging.prepare(judge)
                with limits.of(self.name, [judge.name()]).limit():
                    scores[judge.name()] = judging.by(judge)
            except OF_ONE as error:
                failed[judge.name()] = error
        price = min(self.times.prices[self.name], _seconds(judging.evidence) / len(judging.evidence.samples))
        ordered = {one.name(): scores[one.name()] for one in judges if one.name() in scores}
        return ScoreTable({self.name: ordered}, seconds={self.name: price}), failed


def _target(some: Block, asked: Request) -> FixedTerms:
    """The targets of some of the samples of a request."""
    return FixedTerms.of_rows(asked.resolved, np.unique(some.units))[0]


def _seconds(evidence: Evidence) -> float:
    """Seconds of the explanation."""
    return float(evidence.explanation.diagnostics["seconds"])


def _cost(judge: Metric) -> tuple[bool, bool]:
    """An order of metrics by what they cost: without evaluations, with some, and those that explain again."""
    return "method" in judge.needs, judge.category() not in ("complexity", "localisation")
