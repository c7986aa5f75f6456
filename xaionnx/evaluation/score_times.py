"""ScoreTimes: what each score of a method by a metric costs, and how many further samples a budget leaves it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np

from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.time_share import Clock
from xaionnx.short_repr import short_repr

Pair = tuple[str, str]
"""A method and a metric."""

ANY: Final = ""
"""In place of a method or a metric: what all of them have in common."""

FIRST: Final = 2
"""How many samples are scored first, by which the costs of others are foretold."""

# A score may take this many times what it took before, and at least this part of its equal share of the time.
_MARGIN: Final = 3
_UNEXPECTED: Final = 0.25
# What one part costs foretells the cost of one that is this many times as large.
_GROWTH: Final = 4


@final
@dataclass(eq=False)
class ScoreTimes:
    """The seconds that scores take, by which the samples are cut into parts within a budget.

    Each score has an equal share of the time, and what cheap scores do not need of theirs is shared by the others
    (max-min fairness): a score goes on for as many samples as its share lasts. What an explanation costs is shared by
    the metrics that judge it, work that metrics share by those that do, and what a control costs by the methods that
    are compared with it.

    Attributes
    ----------
    clock : callable or None
        Returns the time in seconds; nothing is measured if it is None.
    metrics : sequence of Metric
        Those whose work is shared, or that explain samples again.
    samples : int
        How many samples are scored.
    prices : dict of float by method
        Seconds of an explanation, without the time for building graphs.
    building : dict of float by method
        Seconds for building graphs.
    rates : dict of float by pair
        Seconds for a sample, of a score, or of what several have in common.
    work : dict of str by metric
        Names what it shares with others.
    explanations : dict of int by metric or shared work
        How many times it explains a sample again.

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
    metrics: Sequence[Metric] = ()
    samples: int = field(default=0, init=False)
    prices: dict[str, float] = field(default_factory=dict, init=False)
    building: dict[str, float] = field(default_factory=dict, init=False)
    _part: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)
    rates: dict[Pair, float] = field(default_factory=dict, init=False)
    _spent: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)
    work: dict[str, str] = field(init=False)
    explanations: dict[str, int] = field(init=False)

    __repr__ = short_repr

    def __post_init__(self) -> None:
        self.work = {one.name(): one.shared_work for one in self.metrics if one.shared_work}
        self.explanations = {one.shared_work or one.name(): one.explanations for one in self.metrics}

    @contextmanager
    def charged(self, method: str = ANY, metric: str = ANY) -> Iterator[None]:
        """Charge the time of the block to a score, to all of a method, or to all by a metric.

        In place of a metric there may be the work that several share.
        """
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
            for pair, seconds in self.costs(rates, pairs).items():
                self._spent[pair] += seconds * samples
            self.rates |= rates
        self._part.clear()
        self.samples += samples if further else 0

    def order(self, method: str) -> float:
        """Return by what methods are ordered within a budget, the cheapest first; all are equal without one."""
        return 0.0 if self.clock is None else self.prices.get(method, 0.0)

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
        most = min(most, _GROWTH * self.samples or FIRST)
        running = {*pairs}
        while running:
            costs = self.costs(self.rates, running)
            share = self._share({pair: cost * to_come for pair, cost in costs.items()}, seconds)
            lasts = {pair: (share - self._spent[pair]) / cost if cost else math.inf for pair, cost in costs.items()}
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
            (method, metric): self.rates.get((method, self.work.get(metric, metric)), 0.0)
            + self.rates.get((ANY, metric), 0.0)
            for method, metric in pairs
        }
        least = _UNEXPECTED * seconds / len(tasks)
        return {task: max(least, _MARGIN * count * (self.rates.get(task, 0.0) + shared[task])) for task in tasks}

    def _share(self, needs: Mapping[Pair, float], seconds: float) -> float:
        """The seconds of each score, from the start on, with which scores of these needs use up what is left."""
        spent, needed = np.array([self._spent[pair] for pair in needs]), np.array([*needs.values()])
        if needed.sum() < seconds:
            return math.inf
        shares = np.sort(np.concatenate([spent, spent + needed]))
        used = np.clip(shares[:, None] - spent, 0, needed).sum(axis=1)
        return float(np.interp(seconds, used, shares))

    def costs(self, rates: Mapping[Pair, float], pairs: Collection[Pair]) -> dict[Pair, float]:
        """Return the seconds of each score for a sample, if these scores share what they have in common."""
        of_method, of_metric = (Counter(pair[axis] for pair in pairs) for axis in (0, 1))
        of_work = Counter((method, self.work[metric]) for method, metric in pairs if metric in self.work)
        found = dict[Pair, float]()
        for method, metric in pairs:
            seconds = rates.get((method, metric), 0.0)
            seconds += rates.get((method, ANY), 0.0) / of_method[method]
            seconds += rates.get((ANY, metric), 0.0) / of_metric[metric]
            if (work := (method, self.work.get(metric, ANY))) in of_work:
                seconds += rates.get(work, 0.0) / of_work[work]
            found[method, metric] = seconds
        return found
