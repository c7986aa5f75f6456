"""FirstScores: which scores of the first samples come next, so that as many as possible are within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, final

from xaionnx.evaluation.score_times import ANY, LEAST, Pair, ScoreTimes
from xaionnx.short_repr import short_repr

# A score may take this many times what is expected.
_MARGIN: Final = 2
# The shares of the time for explaining, and for learning what metrics cost.
_EXPLAINING, _LEARNING = 0.25, 0.5


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
        explained = {method for method, metric in self.times.known if metric == ANY}
        unexplained = [name for name in methods if name not in explained]
        if unexplained and explaining > 0:
            return {(unexplained[0], ANY): explaining / len(unexplained)}
        named = [name for name in methods if name in explained]
        scores = [pair for pair in missing if pair[0] in explained]
        found = self._by_unknown_metrics(scores, named, seconds) or self._affordable(scores, named, seconds)
        return found or {(name, ANY): seconds / len(unexplained) for name in unexplained[:1]}

    def _by_unknown_metrics(
        self, missing: Collection[Pair], methods: Sequence[str], seconds: float
    ) -> dict[Pair, float]:
        """Scores by metrics of which it is not known what they cost, of the cheapest method that they apply to."""
        known = {metric for method, metric in self.times.known if method != ANY}
        unknown = {metric for _, metric in missing} - known
        for name in sorted(methods, key=self._price):
            own = [pair for pair in missing if pair[0] == name and pair[1] in unknown]
            if own and name in self.times.prices:
                return dict.fromkeys(own, _LEARNING * seconds / len(unknown))
        return {}

    def _affordable(self, missing: Collection[Pair], methods: Sequence[str], seconds: float) -> dict[Pair, float]:
        """Scores of the cheapest method, of those that are cheap enough for all of them to be found in the time."""
        expected = {pair: cost * self.samples for pair, cost in self.times.foreseen(missing).items()}
        ordered = sorted(expected, key=lambda pair: (expected[pair], pair))
        sums = accumulate(expected[pair] for pair in ordered)
        chosen = {pair for pair, total in zip(ordered, sums, strict=True) if total <= seconds}
        for name in sorted(methods, key=self._price):
            own = [pair for pair in ordered if pair in chosen and pair[0] == name]
            if own:
                least = LEAST * seconds / len(missing)
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
        self.times.note_stopped({pair: stopped[pair] for pair in explained & {*stopped}} or stopped, self.samples)
        failed = ({*limits} & {*missing}) - {*stopped}
        for pair in failed:
            # It says nothing of what the metric costs with other methods.
            self.times.rates.pop(pair, None)
        return failed

    def _margin(self, metric: str) -> float:
        """How many times longer than expected a score may take; controls are scored with the first method."""
        return _MARGIN if (ANY, metric) in self.times.rates else 2 * _MARGIN

    def _price(self, name: str) -> float:
        return self.times.prices.get(name, math.inf)
