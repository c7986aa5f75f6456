"""The scores of methods by metrics for all samples of some blocks, or for as many as a budget of time allows."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final, final

from xaionnx.data.block import Block
from xaionnx.errors import TimeLimitError
from xaionnx.evaluation.block_scoring import BlockScoring
from xaionnx.evaluation.first_scores import FirstScores
from xaionnx.evaluation.further_scores import FurtherScores
from xaionnx.evaluation.growing_table import GrowingTable
from xaionnx.evaluation.joining import beside
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Blocks, by_name
from xaionnx.evaluation.score_times import ANY, FIRST, Pair, ScoreTimes
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TOO_LONG, USED_UP, Limits, TimeShare
from xaionnx.explainer import Explainer
from xaionnx.runtime import progress
from xaionnx.typing import TargetLike

# One of so many parts of the time is kept for further samples.
_OF_FURTHER: Final = 4

OnTable = Callable[[Callable[[], ScoreTable]], object]
"""Called with a function that returns the table so far: joining it takes longer the more samples there are."""


def table_of(  # noqa: PLR0913 - what scores depend on
    blocks: Blocks,
    methods: Sequence[Explainer],
    metrics: Sequence[Metric],
    target: TargetLike,
    *,
    controls: Sequence[str],
    seed: int,
    time_left: TimeShare,
    times: ScoreTimes,
    at_most: TimeShare | None = None,
    on_progress: OnTable | None = None,
) -> ScoreTable:
    """Return the scores of methods by metrics for the samples of some blocks, by the ``times`` of samples before them.

    If nothing has a score when ``time_left`` is used up, the first samples have the time ``at_most``. See
    `score_table`.
    """
    scoring = BlockScoring(blocks, methods, metrics, target, controls=controls, seed=seed, times=times)
    table = GrowingTable(scoring.provenance, [*by_name(methods), *by_name(metrics)])
    scored = _ScoredBlocks(blocks, scoring, times, table, (time_left, at_most or time_left), on_progress or _ignore)
    if time_left.end is None:
        scored.all()
    else:
        try:
            scored.within()
        except TimeLimitError as error:
            table.stop(str(error))
            if not scoring.count:
                table.add(ScoreTable({}, {name: str(error) for name, _ in scoring.going}))
    table.add(ScoreTable({}, scoring.reasons()))
    progress.phase("")
    return table.so_far(scoring.going)()


def _ignore(so_far: Callable[[], ScoreTable]) -> None:
    del so_far


@final
class _ScoredBlocks:
    """The table of some blocks, which grows."""

    def __init__(
        self,
        blocks: Blocks,
        scoring: BlockScoring,
        times: ScoreTimes,
        table: GrowingTable,
        time: tuple[TimeShare, TimeShare],
        tell: OnTable,
    ) -> None:
        self._blocks, self._scoring, self._times, self._table = blocks, scoring, times, table
        self._tell = tell
        self._time_left, self._at_most = time

    def all(self) -> None:
        """Score all samples."""
        for block in self._blocks.found:
            self._add(block, self._scoring.going, Limits(self._time_left))

    def within(self) -> None:
        """Score as many samples as the time allows, in parts that grow: each tells what scores cost in the next.

        Raises
        ------
        TimeLimitError
            It ended before the last sample.
        """
        compared = self._scoring.comparing
        for block in self._blocks.found:
            if self._blocks.samples.dataset is None:
                # An error of one sample is one of all, and costs nothing yet.
                _ = self._scoring.asked(block)
            start = block.start
            while start < block.stop:
                _ = self._time_left.of(1)
                if not self._times.samples:
                    part = block.within(start, start + FIRST, self._blocks.model.shared)
                    self._add_first(part, self._to_come(block, part.stop), compared)
                    self._add_compared(block, compared & self._scoring.going)
                else:
                    part = self._next(block, start, self._scoring.going - compared)
                start = part.stop

    def _next(self, block: Block, start: int, going: Collection[Pair]) -> Block:
        """Add the scores of the next samples, by what has time for them, and return them."""
        plan, most, seconds = FurtherScores(self._times), block.stop - start, self._time_left.left()
        count, pairs = plan.next(going, seconds, self._to_come(block, start), most)
        if not count:
            raise TimeLimitError(USED_UP)
        self._scoring.give_up({*going} - pairs, TimeLimitError(TOO_LONG))
        part = block.within(start, start + count, self._blocks.model.shared)
        self._add(part, pairs, Limits(self._time_left, plan.limits(pairs, count, seconds)))
        return part

    def _to_come(self, block: Block, start: int) -> int:
        """The units from ``start`` on; of an iterable, whose end is not known, as many again as there were."""
        return max(block.stop, 2 * start) - start if self._blocks.stop is None else self._blocks.stop - start

    def _add(self, block: Block, pairs: Collection[Pair], limits: Limits) -> None:
        """Add the scores of further samples."""
        first, found = not self._scoring.count, ScoreTable({})
        for found in self._scoring.of(self._scoring.read(block), pairs, limits):
            if first:
                self._tell(self._table.so_far(self._scoring.going, found))
        self._table.add(found)
        self._scoring.count += len(found.inputs)
        self._times.end_part(pairs, len(found.inputs))
        if not first:
            self._tell(self._table.so_far(self._scoring.going))

    def _add_first(self, block: Block, to_come: int, compared: frozenset[Pair]) -> None:
        """Add the scores of the first samples, by all for which there is time.

        Some is kept for further samples, unless nothing has a score without it.
        """
        read, failed = self._scoring.read(block, keeps=True), set[Pair]()
        kept = self._time_left.left() / _OF_FURTHER if to_come else 0.0
        table = ScoreTable({}, inputs=read.names, left_out=read.left_out, labels=read.labels)
        plan = FirstScores(self._times, self._scoring.methods, len(read.names))

        def missing() -> frozenset[Pair]:
            return self._scoring.missing - compared - failed if read.names else frozenset()

        for time, unused in ((self._time_left, kept), (self._at_most, 0.0)):
            while limits := plan.next(missing(), time.left() - unused):
                *_, found = self._scoring.of(read, limits, Limits(time, limits))
                table = beside(table, found)
                failed |= plan.note(limits, self._scoring.missing, self._scoring.late)
                if any(metric != ANY for _, metric in limits):
                    self._tell(self._table.so_far(self._scoring.going, table))
            if any(table.scores.values()):
                break
            self._times.forget_unbegun()
        self._scoring.give_up(missing(), TimeLimitError(TOO_LONG))
        self._table.add(dataclasses.replace(table, refused={**table.refused, **self._scoring.reasons()}))
        self._scoring.count += len(read.names)
        self._times.end_part((), len(read.names))

    def _add_compared(self, block: Block, compared: Collection[Pair]) -> None:
        """Score all samples by what compares them with each other, as far as their share of the time is long enough."""
        if not compared or not self._times.samples:
            return
        share = self._time_left.of(len(self._scoring.going) / len(compared))
        own, count = share.left() / len(compared), len({*block.units})
        hopeless = {
            pair
            for pair in compared
            if self._times.building.get(pair[0], 0.0) + count * self._times.prices.get(pair[0], 0.0) > own
        }
        self._scoring.give_up(hopeless, TimeLimitError(TOO_LONG))
        limits = defaultdict[Pair, float](float)
        for name, metric in {*compared} - hopeless:
            limits[name, metric] = own
            limits[name, ANY] += own
        for found in self._scoring.of(self._scoring.read(block), {*compared} - hopeless, Limits(share, limits)):
            self._table.add_of_all(found)
            self._tell(self._table.so_far(self._scoring.going))
        self._times.end_part(compared, 0)
