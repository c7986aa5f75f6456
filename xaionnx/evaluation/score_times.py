"""ScoreTimes: what each score of a method by a metric costs, and how many further samples a budget leaves it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np

from xaionnx.evaluation.time_share import Clock
from xaionnx.short_repr import short_repr

Pair = tuple[str, str]
"""A method and a metric."""

ANY: Final = ""
"""In place of a method or a metric: what all of them have in common."""

_FIRST: Final = 2
# What one part costs foretells the cost of one that is this many times as large.
_GROWTH: Final = 4


@final
@dataclass(eq=False)
class ScoreTimes:
    """The seconds that scores take, by which the samples are cut into parts within a budget.

    Each score has an equal share of the time, and what cheap scores do not need of theirs is shared by the others
    (max-min fairness): a score goes on for as many samples as its share lasts. What an explanation costs is shared by
    the metrics that judge it, and what a control costs by the methods that are compared with it.

    Attributes
    ----------
    clock : callable or None
        Returns the time in seconds; nothing is measured if it is None.
    samples : int
        How many samples are scored.

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
    >>> count, pairs = times.next_part(scores, seconds=30, to_come=98, most=98)
    >>> count, sorted(pairs)
    (8, [('lrp', 'fast'), ('lrp', 'slow')])
    """

    clock: Clock | None = None
    samples: int = field(default=0, init=False)
    _part: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)
    _per_sample: dict[Pair, float] = field(default_factory=dict, init=False)
    _spent: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)

    __repr__ = short_repr

    @contextmanager
    def charged(self, method: str = ANY, metric: str = ANY) -> Iterator[None]:
        """Charge the time of the block to a score, to all of a method, or to all by a metric."""
        if self.clock is None:
            yield
            return
        began = self.clock()
        try:
            yield
        finally:
            self._part[method, metric] += self.clock() - began

    def end_part(self, pairs: Collection[Pair], samples: int, further: bool = True) -> None:
        """End a part, by whose costs the next one is planned.

        Parameters
        ----------
        pairs : collection of pairs
            The scores that were tried.
        samples : int
        further : bool
            Whether these are further samples, or the same again.
        """
        if samples:
            rates = {one: seconds / samples for one, seconds in self._part.items()}
            for pair, seconds in _costs(rates, pairs).items():
                self._spent[pair] += seconds * samples
            self._per_sample |= rates
        self._part.clear()
        self.samples += samples if further else 0

    def next_part(
        self, pairs: Collection[Pair], seconds: float, to_come: int, most: int
    ) -> tuple[int, frozenset[Pair]]:
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
        most = min(most, _GROWTH * self.samples or _FIRST)
        running = {*pairs}
        while running:
            costs = _costs(self._per_sample, running)
            share = self._share({pair: cost * to_come for pair, cost in costs.items()}, seconds)
            lasts = {pair: (share - self._spent[pair]) / cost if cost else math.inf for pair, cost in costs.items()}
            count = math.floor(min(most, max(lasts.values())))
            if count:
                # A part of half as many samples lets more scores use up their shares.
                going = frozenset(pair for pair in running if 2 * lasts[pair] >= count)
                return max(1, math.floor(min(count, *(lasts[pair] for pair in going)))), going
            running = {*sorted(running, key=lambda pair: costs[pair])[: len(running) // 2]}
        return 0, frozenset()

    def second_try(
        self, late: Collection[Pair], others: Collection[Pair], seconds: float, to_come: int
    ) -> tuple[frozenset[Pair], float]:
        """Return the scores that can be tried again for longer than before, and the seconds that they have together.

        Where there are further samples, half of what is left is kept for them.

        Parameters
        ----------
        late, others : collections of pairs
            The scores that took longer than their first share, and all that share the time with them.
        seconds : float
            What is left of the budget.
        to_come : int
            How many samples are still to come.
        """
        needs = {pair: cost * to_come for pair, cost in _costs(self._per_sample, {*others} - {*late}).items()}
        share = self._share(needs | dict.fromkeys(late, seconds), seconds)
        again = frozenset(pair for pair in late if share > 2 * self._spent[pair])
        most = seconds / 2 if to_come and needs else seconds
        return again, min(most, sum(share - self._spent[pair] for pair in again))

    def _share(self, needs: Mapping[Pair, float], seconds: float) -> float:
        """The seconds of each score, from the start on, with which scores of these needs use up what is left."""
        spent, needed = np.array([self._spent[pair] for pair in needs]), np.array([*needs.values()])
        if needed.sum() < seconds:
            return math.inf
        shares = np.sort(np.concatenate([spent, spent + needed]))
        used = np.clip(shares[:, None] - spent, 0, needed).sum(axis=1)
        return float(np.interp(seconds, used, shares))


def _costs(rates: Mapping[Pair, float], pairs: Collection[Pair]) -> dict[Pair, float]:
    """Seconds of each score for a sample, if these scores share what they have in common."""
    of_method, of_metric = (Counter(pair[axis] for pair in pairs) for axis in (0, 1))
    return {
        (method, metric): rates.get((method, metric), 0.0)
        + rates.get((method, ANY), 0.0) / of_method[method]
        + rates.get((ANY, metric), 0.0) / of_metric[metric]
        for method, metric in pairs
    }
