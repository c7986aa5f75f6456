"""FirstScores: which scores of the first samples come next, so that as many as possible are within a budget of time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import Final, final

from xaionnx.evaluation.score_times import ANY, Pair, ScoreTimes
from xaionnx.short_repr import short_repr

# A score may take this many times what is expected.
_MARGIN: Final = 2
# What is stopped again is expected to take this many times as long as before.
_LONGER: Final = 2
# The shares of the time for explaining, for learning what metrics cost, and for scores that take longer than expected.
_EXPLAINING, _LEARNING, _UNEXPECTED = 0.25, 0.5, 0.25


@final
@dataclass(eq=False)
class FirstScores:
    """Chooses the next scores of some samples that methods and metrics have in common.

    All methods explain the samples, or as many as a part of the time is enough for; the cheapest shows what each metric
    costs; then the others are scored by those metrics for which there is time for all of them, the cheapest scores
    first.

    Attributes
    ----------
    times : ScoreTimes
        What scores cost so far.
    methods : sequence of str
    samples : int
        How many samples there are.
    """

    times: ScoreTimes
    methods: Sequence[str]
    samples: int
    _stopped: dict[Pair, float] = field(default_factory=dict, init=False)
    _whole: float = field(default=0.0, init=False)

    __repr__ = short_repr

    def next(self, missing: Collection[Pair], seconds: float) -> dict[Pair, float]:
        """Return the scores of one method that come next, with the seconds that each may take; none if there are none.

        With ANY in place of a metric it is the explanation.

        Parameters
        ----------
        missing : collection of pairs
            The scores to choose from.
        seconds : float
            What is left of the time.
        """
        methods = [name for name in self.methods if any(name == method for method, _ in missing)]
        if seconds <= 0 or not methods:
            return {}
        self._whole = max(self._whole, seconds)
        explaining = seconds - (1 - _EXPLAINING) * self._whole
        unexplained = [name for name in methods if (name, ANY) not in self._known()]
        if unexplained and explaining > 0:
            return {(unexplained[0], ANY): explaining / len(unexplained)}
        explained = [name for name in methods if name not in unexplained]
        known = [pair for pair in missing if pair[0] in explained]
        found = self._by_unknown_metrics(known, explained, seconds) or self._affordable(known, explained, seconds)
        return found or {(name, ANY): seconds / len(unexplained) for name in unexplained[:1]}

    def _by_unknown_metrics(
        self, missing: Collection[Pair], methods: Sequence[str], seconds: float
    ) -> dict[Pair, float]:
        """Scores by metrics of which it is not known what they cost, of the cheapest method that they apply to."""
        known = {metric for method, metric in self._known() if method != ANY}
        unknown = {metric for _, metric in missing} - known
        for name in sorted(methods, key=self._price):
            own = [pair for pair in missing if pair[0] == name and pair[1] in unknown]
            if own and name in self.times.prices:
                return dict.fromkeys(own, _LEARNING * seconds / len(unknown))
        return {}

    def _affordable(self, missing: Collection[Pair], methods: Sequence[str], seconds: float) -> dict[Pair, float]:
        """Scores of the cheapest method, of those that are cheap enough for all of them to be found in the time."""
        expected = self._foreseen(missing)
        ordered = sorted(expected, key=lambda pair: (expected[pair], pair))
        sums = accumulate(expected[pair] for pair in ordered)
        chosen = {pair for pair, total in zip(ordered, sums, strict=True) if total <= seconds}
        for name in sorted(methods, key=self._price):
            own = [pair for pair in ordered if pair in chosen and pair[0] == name]
            if own:
                least = _UNEXPECTED * seconds / len(missing)
                limits = {pair: max(self._margin(pair[1]) * expected[pair], least) for pair in own}
                return limits if name in self.times.prices else {(name, ANY): sum(limits.values()), **limits}
        return {}

    def note(self, limits: Mapping[Pair, float], missing: Collection[Pair], late: Mapping[Pair, float]) -> set[Pair]:
        """Note what the scores took that were chosen last, and return those that failed for another reason than time.

        Parameters
        ----------
        limits : dict of float by pair
            What :meth:`next` returned.
        missing : collection of pairs
            The scores that are not found yet.
        late : dict of float by pair
            Those that were stopped, and the seconds that they would have taken.
        """
        explained = {pair for pair in limits if pair[1] == ANY}
        names = {name for name, _ in explained}
        charged = {*limits} - explained or {pair for pair in missing if pair[0] in names}
        self.times.end_part(charged, self.samples, further=False)
        stopped = {pair: late[pair] for pair in limits if pair in late}
        self._note_stopped({pair: stopped[pair] for pair in explained & {*stopped}} or stopped)
        failed = ({*limits} & {*missing}) - {*stopped}
        for pair in failed:
            # It says nothing of what the metric costs with other methods.
            self.times.rates.pop(pair, None)
        return failed

    def _note_stopped(self, seconds: Mapping[Pair, float]) -> None:
        """Note what scores would have taken; those that share work have the same seconds, and take them together."""
        sharing = Counter(self._work_of(pair) for pair in seconds)
        for pair, all_seconds in seconds.items():
            expected = all_seconds / (self.samples * sharing[self._work_of(pair)])
            self._stopped[pair] = max(expected, _LONGER * self._stopped.get(pair, 0.0))
            for task in (pair, self._work_of(pair)):
                self.times.rates.pop(task, None)

    def _work_of(self, pair: Pair) -> Pair:
        return pair[0], self.times.work.get(pair[1], pair[1])

    def _foreseen(self, pairs: Collection[Pair]) -> dict[Pair, float]:
        """The seconds that scores are expected to take for all samples, beside explanations that are done already.

        A metric takes about the same with all methods, beside what the explanations take that it asks for. Where
        nothing is known it is 0.
        """
        known = defaultdict[str, list[Pair]](list)
        for pair in self._known():
            known[pair[1]].append(pair)
        tasks = {task for pair in pairs for task in (pair, self._work_of(pair), (pair[0], ANY))}
        rates = {
            task: self._expected(*task, known[task[1]])
            for task in tasks
            if task[1] != ANY or task not in self.times.rates
        }
        return {pair: cost * self.samples for pair, cost in self.times.costs(rates, pairs).items()}

    def _expected(self, method: str, metric: str, known: Sequence[Pair]) -> float:
        """The expected seconds of a score, of work, or with ANY of an explanation, by what is known of some methods."""
        own, rates, prices = self._stopped.get((method, metric), 0.0), self.times.rates, self.times.prices
        if metric == ANY:
            return own
        again = self.times.explanations.get(metric, 0)
        others = [rates[one] - again * prices[one[0]] for one in known if one in rates and one[0] in prices]
        if others:
            price = prices.get(method, self._stopped.get((method, ANY), 0.0))
            return max(own, max(0.0, median(others)) + again * price)
        return max([own, *(self._stopped[one] for one in known if one in self._stopped)])

    def _known(self) -> dict[Pair, float]:
        """What scores, work and explanations take, or would have taken."""
        return {**self.times.rates, **self._stopped}

    def _margin(self, metric: str) -> float:
        """How many times longer than expected a score may take; controls are scored with the first method."""
        return _MARGIN if (ANY, metric) in self.times.rates else 2 * _MARGIN

    def _price(self, name: str) -> float:
        return self.times.prices.get(name, math.inf)
