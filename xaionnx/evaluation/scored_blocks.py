"""The scores of methods by metrics for all samples of some blocks, or for as many as a budget of time allows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, final

from xaionnx.data.block import Block
from xaionnx.errors import TimeLimitError
from xaionnx.evaluation.block_scoring import BlockScoring
from xaionnx.evaluation.growing_table import GrowingTable
from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.samples import Blocks, by_name
from xaionnx.evaluation.score_times import Pair, ScoreTimes
from xaionnx.evaluation.table import ScoreTable
from xaionnx.evaluation.time_share import TOO_LONG, USED_UP, TimeShare
from xaionnx.explainer import Explainer
from xaionnx.runtime import progress
from xaionnx.typing import TargetLike

# The first part has one of so many parts of the time: it tells what each score costs.
_OF_FIRST: Final = 4

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
    on_progress: OnTable | None = None,
) -> ScoreTable:
    """Return the scores of methods by metrics for the samples of some blocks, by the ``times`` of samples before them.

    See `score_table`.
    """
    scoring = BlockScoring(blocks, methods, metrics, target, controls=controls, seed=seed, times=times)
    table = GrowingTable(scoring.provenance, [*by_name(methods), *by_name(metrics)])
    scored = _ScoredBlocks(blocks, scoring, times, table, on_progress or _ignore)
    if time_left.end is None:
        scored.all(time_left)
    else:
        try:
            scored.within(time_left)
        except TimeLimitError as error:
            table.stop(str(error))
            if not scoring.count:
                table.add(ScoreTable({}, {name: str(error) for name, _ in scoring.going}))
    progress.phase("")
    return table.so_far(scoring.going)()


def _ignore(so_far: Callable[[], ScoreTable]) -> None:
    del so_far


@final
class _ScoredBlocks:
    """The table of some blocks, which grows."""

    def __init__(
        self, blocks: Blocks, scoring: BlockScoring, times: ScoreTimes, table: GrowingTable, tell: OnTable
    ) -> None:
        self._blocks, self._scoring, self._times, self._table, self._tell = blocks, scoring, times, table, tell

    def all(self, time_left: TimeShare) -> None:
        """Score all samples."""
        for block in self._blocks.found:
            self._add(block, self._scoring.going, time_left)

    def within(self, time_left: TimeShare) -> None:
        """Score as many samples as the time allows, in parts that grow: each tells what scores cost in the next.

        Raises
        ------
        TimeLimitError
            It ended before the last sample.
        """
        compared = frozenset[Pair]()
        for block in self._blocks.found:
            if self._blocks.samples.dataset is None:
                # An error of one sample is one of all, and costs nothing yet.
                _ = self._scoring.asked(block)
            if not self._blocks.several:
                compared = self._of_all(block, time_left)
            start = block.start
            while start < block.stop:
                time_left.of(1)
                going, first = self._scoring.going - compared, not self._times.samples
                to_come = self._to_come(block, start)
                count, pairs = self._times.next_part(going, time_left.left(), to_come, block.stop - start)
                if not count:
                    raise TimeLimitError(USED_UP)
                self._scoring.give_up(going - pairs, TimeLimitError(TOO_LONG))
                part = block.within(start, start + count, self._blocks.model.shared)
                start = part.stop
                self._add(part, pairs, time_left.of(_OF_FIRST) if first else time_left.undivided())
                if first:
                    self._try_again(part, going, time_left, self._to_come(block, start))

    def _to_come(self, block: Block, start: int) -> int:
        """The units from ``start`` on; of an iterable, whose end is not known, as many again as there were."""
        return max(block.stop, 2 * start) - start if self._blocks.stop is None else self._blocks.stop - start

    def _add(self, block: Block, pairs: Collection[Pair], time_left: TimeShare) -> None:
        """Add the scores of further samples."""
        first, found = not self._scoring.count, ScoreTable({})
        for found in self._scoring.of(block, pairs, time_left):
            if first:
                self._tell(self._table.so_far(self._scoring.going, found))
        self._table.add(found)
        self._scoring.count += len(found.inputs)
        self._times.end_part(pairs, len(found.inputs))
        if not first:
            self._tell(self._table.so_far(self._scoring.going))

    def _of_all(self, block: Block, time_left: TimeShare) -> frozenset[Pair]:
        """Score all samples by what compares them with each other, and return these methods and metrics."""
        compared = self._scoring.comparing
        if compared:
            share = time_left.of(len(self._scoring.going) / len(compared))
            for found in self._scoring.of(block, compared, share):
                self._table.add_of_all(found)
                self._tell(self._table.so_far(self._scoring.going))
            self._times.end_part(compared, 0)
        return compared

    def _try_again(self, part: Block, going: Collection[Pair], time_left: TimeShare, to_come: int) -> None:
        """Score the first samples by what took longer than its share, in the time that the others left."""
        while time_left.left() > 0:
            late = self._scoring.late & {*going}
            again, seconds = self._times.second_try(late, going, time_left.left(), to_come)
            if not again:
                break
            *_, found = self._scoring.of(part, again, time_left.of(time_left.left() / seconds))
            self._table.add_beside(found)
            self._times.end_part(again, len(found.inputs), further=False)
            if to_come:
                break
