"""MethodScoring: the scores of one method by some metrics, for one block of samples after another."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np

from xaionnx.data.block import Block
from xaionnx.errors import ParameterError, TimeLimitError, XaionnxError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.joining import joined
from xaionnx.evaluation.judging import KnownControls, evidence_of
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Attempts
from xaionnx.evaluation.score_times import ScoreTimes
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TimeShare
from xaionnx.explainer import Explainer
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import FixedTerms

OF_ONE: Final = (XaionnxError, MemoryError, OSError)
"""Errors that cost one method or one score, and not the others."""

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
    _price: float | None = field(default=None, init=False)

    __repr__ = short_repr

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.method.name()

    def of(
        self,
        block: Block,
        asked: Request,
        judges: Sequence[Metric],
        controls: KnownControls,
        share: TimeShare,
        place: str,
    ) -> tuple[ScoreTable, dict[str, Exception]]:
        """Return the scores of the samples of a block, and why there are none by some metrics.

        Parameters
        ----------
        block : Block
            Its units are numbered from 0.
        asked : Request
            The samples and their target.
        judges : sequence of Metric
        controls : KnownControls
            Those of the same samples.
        share : TimeShare
            Half of it is for the explanation, and each score has an equal share of the rest.
        place : str
            Which method and which samples these are, in words.

        Raises
        ------
        XaionnxError
            The method explains none of the samples.
        TimeLimitError
            The explanation takes too long.
        """

        def explained(some: Block) -> Evidence:
            assert some.inputs is not None  # each part has samples
            fixed = FixedTerms.of_rows(asked.resolved, np.unique(some.units))[0]
            with share.of(2).limit():
                found = evidence_of(asked.model, some.inputs, self.method, fixed, some.masks)
            found.check_of_inputs()
            return found

        with self.times.charged(self.name):
            parts = self.attempts.of(block, explained, asked.model)
        table, failed = ScoreTable({}), dict[str, Exception]()
        for some, evidence in parts:
            if isinstance(evidence, XaionnxError):
                found = ScoreTable({self.name: {}}, {self.name: str(evidence)})
            else:
                left = [judge for judge in judges if judge.name() not in failed]
                same = controls if len(parts) == 1 else controls.of_others()
                found, why = self._judged(evidence, left, same, share, place, len(parts) == 1)
                failed |= why
            table = joined(table, dataclasses.replace(found, inputs=("",) * len({*some.units})))
        if self.name in table.seconds:
            first = block.within(block.units[0], block.units[0] + 1, asked.model.shared)
            price = self._priced(table.seconds[self.name], len({*block.units}), lambda: explained(first))
            table = dataclasses.replace(table, seconds={self.name: price})
        return table, failed

    def _judged(
        self,
        evidence: Evidence,
        judges: Sequence[Metric],
        controls: KnownControls,
        share: TimeShare,
        place: str,
        whole: bool,
    ) -> tuple[ScoreTable, dict[str, Exception]]:
        """The scores by all metrics; ``whole`` is whether the evidence is that of all samples of the block."""
        scores, failed = dict[str, Scores](), dict[str, Exception]()
        for done, judge in enumerate(sorted(judges, key=_cost)):
            progress.phase(f"{self.name} by {judge.name()}, {place}")
            try:
                if judge.compares_samples and not whole:
                    raise ParameterError("It compares all samples with each other, and some have no explanation.")
                with share.of(len(judges) - done).limit():
                    scores[judge.name()] = controls.beside(judge, evidence)
            except OF_ONE as error:
                failed[judge.name()] = error
        price = evidence.explanation.diagnostics["seconds"] / len(evidence.samples)
        ordered = {one.name(): scores[one.name()] for one in judges if one.name() in scores}
        return ScoreTable({self.name: ordered}, seconds={self.name: price}), failed

    def _priced(self, seconds: float, count: int, explained: Callable[[], Evidence]) -> float:
        """Seconds for one of some samples, of which the first ones paid for building the graphs too."""
        known = seconds if self._price is None else self._price
        if self._price is None and count * seconds <= _BUILDING and not self.method.compares_samples:
            with contextlib.suppress(TimeLimitError):
                known = explained().explanation.diagnostics["seconds"]
        self._price = min(known, seconds)
        return self._price


def _cost(judge: Metric) -> tuple[bool, bool]:
    """An order of metrics by what they cost: without evaluations, with some, and those that explain again."""
    return "method" in judge.needs, judge.category() not in ("complexity", "localisation")
