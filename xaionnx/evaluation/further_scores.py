"""FurtherScores: which scores go on for how many further samples, so that each has an equal share of a budget."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.evaluation.score_times import ANY, FIRST, LEAST, Pair, ScoreTimes
from xaionnx.short_repr import short_repr

# A score may take this many times what it took before.
_MARGIN: Final = 3
# What one part costs foretells the cost of one that is this many times as large.
_GROWTH: Final = 4


@final
@dataclass(frozen=True, eq=False)
class FurtherScores:
    """Chooses the scores of the next samples by what those of the samples before took.

    Each score has an equal share of the time, and what cheap scores do not need of theirs is shared by the others
    (max-min fairness): a score goes on for as many samples as its share lasts.

    Attributes
    ----------
    times : ScoreTimes
        What scores cost so far.

    References
    ----------
    Bertsekas and Gallager, Data Networks, 2nd edition, Prentice Hall 1992, section 6.5.2.

    Examples
    --------
    Of 30 s, the fast score needs 10 s for all of 100 samples, and the slow one goes on with what is left:

    >>> now = [0.0]
    >>> times = ScoreTimes(lambda: now[0])
    >>> for metric, seconds in (("fast", 0.2), ("slow", 2.0)):
    ...     with times.charged("lrp", metric):
    ...         now[0] += seconds
    >>> scores = [("lrp", "fast"), ("lrp", "slow")]
    >>> times.end_part(scores, samples=2)
    >>> count, pairs = FurtherScores(times).next(scores, seconds=30, to_come=98, most=98)
    >>> count, sorted(pairs)
    (8, [('lrp', 'fast'), ('lrp', 'slow')])
    """

    times: ScoreTimes

    __repr__ = short_repr

    def next(self, pairs: Collection[Pair], seconds: float, to_come: int, most: int) -> tuple[int, frozenset[Pair]]:
        """Return how many samples come next, and the scores that go on for them.

        Parameters
        ----------
        pairs : collection of pairs
            The scores that went on so far.
        seconds : float
            What is left of the budget.
        to_come : int
            How many samples are still to come.
        most : int
            How many may come next.

        Returns
        -------
        count : int
            At most four times as many as are scored; 0 if the time is too short for one.
        pairs : frozenset of pairs
        """
        most = min(most, _GROWTH * self.times.samples or FIRST)
        running = {*pairs}
        while running:
            costs = self.times.costs(running)
            share = self._share({pair: cost * to_come for pair, cost in costs.items()}, seconds)
            lasts = {
                pair: (share - self.times.spent[pair]) / cost if cost else math.inf for pair, cost in costs.items()
            }
            count = math.floor(min(most, max(lasts.values())))
            if count:
                # A part of half as many samples lets more scores use up their shares.
                going = frozenset(pair for pair in running if 2 * lasts[pair] >= count)
                return max(1, math.floor(min(count, *(lasts[pair] for pair in going)))), going
            running = {*sorted(running, key=lambda pair: costs[pair])[: len(running) // 2]}
        return 0, frozenset()

    def limits(self, pairs: Collection[Pair], count: int, seconds: float) -> dict[Pair, float]:
        """Return how many seconds scores, and with ANY explanations, of ``count`` samples may take.

        It is a multiple of what they took so far, so that one that takes longer than before costs no other its time.
        """
        tasks = {task for pair in pairs for task in (pair, (pair[0], ANY))}
        shared = dict.fromkeys(tasks, 0.0) | {
            (method, metric): self.times.rates.get((method, self.times.work.get(metric, metric)), 0.0)
            + self.times.rates.get((ANY, metric), 0.0)
            for method, metric in pairs
        }
        least = LEAST * seconds / len(tasks)
        return {task: max(least, _MARGIN * count * (self.times.rates.get(task, 0.0) + shared[task])) for task in tasks}

    def _share(self, needs: Mapping[Pair, float], seconds: float) -> float:
        """The seconds of each score, from the start on, with which scores of these needs use up what is left."""
        spent, needed = np.array([self.times.spent[pair] for pair in needs]), np.array([*needs.values()])
        if needed.sum() < seconds:
            return math.inf
        shares = np.sort(np.concatenate([spent, spent + needed]))
        used = np.clip(shares[:, None] - spent, 0, needed).sum(axis=1)
        return float(np.interp(seconds, used, shares))
