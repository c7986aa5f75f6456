"""ScoreTimes: what each score of a method by a metric took, and what it is expected to take."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final, final

from xaionnx.evaluation.metric import Metric
from xaionnx.evaluation.time_share import Clock
from xaionnx.short_repr import short_repr

Pair = tuple[str, str]
"""A method and a metric."""

ANY: Final = ""
"""In place of a method or a metric: what all of them have in common."""

FIRST: Final = 2
"""How many samples are scored first, by which the costs of others are foretold."""

LEAST: Final = 0.25
"""A score may take at least this part of its equal share of the time, whatever is expected."""

# What is stopped again is expected to take this many times as long as before.
_LONGER: Final = 2


@final
@dataclass(eq=False)
class ScoreTimes:
    """The seconds that scores take for a sample, measured or expected.

    What an explanation costs is shared by the metrics that judge it, work that metrics share by those that do, and what
    a control costs by the methods that are compared with it.

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
    stopped : dict of float by pair
        The same of what was stopped, which would have taken at least so long.
    spent : dict of float by pair
        Seconds of a score in all, with its share of what it has in common with others.
    work : dict of str by metric
        Names what it shares with others.
    explanations : dict of int by metric or shared work
        How many times it explains a sample again.

    Examples
    --------
    An explanation of two samples takes 4 s, which the metrics share that judge it:

    >>> now = [0.0]
    >>> times = ScoreTimes(lambda: now[0])
    >>> for metric, seconds in ((ANY, 4.0), ("fast", 0.2), ("slow", 2.0)):
    ...     with times.charged("lrp", metric):
    ...         now[0] += seconds
    >>> scores = [("lrp", "fast"), ("lrp", "slow")]
    >>> times.end_part(scores, samples=2)
    >>> [round(seconds, 2) for seconds in times.costs(scores).values()]
    [1.1, 2.0]
    """

    clock: Clock | None = None
    metrics: Sequence[Metric] = ()
    samples: int = field(default=0, init=False)
    prices: dict[str, float] = field(default_factory=dict, init=False)
    building: dict[str, float] = field(default_factory=dict, init=False)
    _part: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)
    rates: dict[Pair, float] = field(default_factory=dict, init=False)
    stopped: dict[Pair, float] = field(default_factory=dict, init=False)
    spent: dict[Pair, float] = field(default_factory=lambda: defaultdict(float), init=False)
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
            for pair, seconds in self._shared(rates, pairs).items():
                self.spent[pair] += seconds * samples
            self.rates |= rates
        self._part.clear()
        self.samples += samples if further else 0

    def order(self, method: str) -> float:
        """Return by what methods are ordered within a budget, the cheapest first; all are equal without one."""
        return 0.0 if self.clock is None else self.prices.get(method, 0.0)

    def costs(self, pairs: Collection[Pair]) -> dict[Pair, float]:
        """Return what each score took for a sample, if these scores share what they have in common."""
        return self._shared(self.rates, pairs)

    @property
    def known(self) -> dict[Pair, float]:
        """What scores, shared work and explanations took, or would have taken, for a sample."""
        return {**self.rates, **self.stopped}

    def note_stopped(self, seconds: Mapping[Pair, float], samples: int) -> None:
        """Note that scores were stopped; those that share work have the same seconds, and take them together.

        Parameters
        ----------
        seconds : dict of float by pair
            What each, or with ANY an explanation, would have taken for all samples.
        samples : int
        """
        sharing = Counter(self._work_of(pair) for pair in seconds)
        for pair, all_seconds in seconds.items():
            expected = all_seconds / (samples * sharing[self._work_of(pair)])
            self.stopped[pair] = max(expected, _LONGER * self.stopped.get(pair, 0.0))
            for task in (pair, self._work_of(pair)):
                self.rates.pop(task, None)

    def forget_unbegun(self) -> None:
        """Forget scores that were not begun when the time ended: nobody knows what they would have taken."""
        self.stopped = {pair: seconds for pair, seconds in self.stopped.items() if math.isfinite(seconds)}

    def foreseen(self, pairs: Collection[Pair]) -> dict[Pair, float]:
        """Return what scores are expected to take for a sample, beside explanations that are done already.

        A metric takes about the same with all methods, beside what the explanations take that it asks for. Where
        nothing is known it is 0.
        """
        known = defaultdict[str, list[Pair]](list)
        for pair in self.known:
            known[pair[1]].append(pair)
        tasks = {task for pair in pairs for task in (pair, self._work_of(pair), (pair[0], ANY))}
        rates = {
            task: self._expected(*task, known[task[1]]) for task in tasks if task[1] != ANY or task not in self.rates
        }
        return self._shared(rates, pairs)

    def _expected(self, method: str, metric: str, known: Sequence[Pair]) -> float:
        """The expected seconds of a score, of work, or with ANY of an explanation, by what is known of some methods."""
        own = self.stopped.get((method, metric), 0.0)
        if metric == ANY:
            return own
        again = self.explanations.get(metric, 0)
        others = [
            self.rates[one] - again * self.prices[one[0]]
            for one in known
            if one in self.rates and one[0] in self.prices
        ]
        if others:
            price = self.prices.get(method, self.stopped.get((method, ANY), 0.0))
            return max(own, max(0.0, median(others)) + again * price)
        return max([own, *(self.stopped[one] for one in known if one in self.stopped)])

    def _work_of(self, pair: Pair) -> Pair:
        return pair[0], self.work.get(pair[1], pair[1])

    def _shared(self, rates: Mapping[Pair, float], pairs: Collection[Pair]) -> dict[Pair, float]:
        """The seconds of each score for a sample at these rates, if scores share what they have in common."""
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
