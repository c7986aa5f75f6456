"""FirstScores: which scores of the first samples come next, so that as many as possible are within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, final

from xaionnx.evaluation.score_times import ANY, Pair, ScoreTimes
from xaionnx.short_repr import short_repr

# A score may take this many times what is expected.
_MARGIN: Final = 2
# The shares of the time for explaining, for learning what metrics cost, and for scores that take longer than expected.
_EXPLAINING, _LEARNING, _UNEXPECTED = 0.25, 0.5, 0.25


@final
@dataclass(frozen=True, eq=False)
class FirstScores:
    """Chooses the next scores of some samples that methods and metrics have in common.

    All methods explain the samples; the cheapest shows what each metric costs; then the others are scored by those
    metrics for which there is time for all of them, the cheapest scores first.

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
        unexplained = [name for name in methods if not self.times.explained(name)]
        if unexplained:
            return {(unexplained[0], ANY): _EXPLAINING * seconds / len(unexplained)}
        return self._by_unknown_metrics(missing, methods, seconds) or self._affordable(missing, methods, seconds)

    def _by_unknown_metrics(
        self, missing: Collection[Pair], methods: Sequence[str], seconds: float
    ) -> dict[Pair, float]:
        """Scores by metrics of which it is not known what they cost, of the cheapest method that they apply to."""
        unknown = {metric for _, metric in missing if not self.times.known(metric)}
        for name in sorted(methods, key=self._price):
            own = [pair for pair in missing if pair[0] == name and pair[1] in unknown]
            if own and name in self.times.prices:
                return dict.fromkeys(own, _LEARNING * seconds / len(unknown))
        return {}

    def _affordable(self, missing: Collection[Pair], methods: Sequence[str], seconds: float) -> dict[Pair, float]:
        """Scores of the cheapest method, of those that are cheap enough for all of them to be found in the time."""
        expected = {pair: cost * self.samples for pair, cost in self.times.foreseen(missing).items()}
        ordered = sorted(expected, key=expected.__getitem__)
        sums = accumulate(expected[pair] for pair in ordered)
        chosen = {pair for pair, total in zip(ordered, sums, strict=True) if total <= seconds}
        for name in sorted(methods, key=self._price):
            own = [pair for pair in ordered if pair in chosen and pair[0] == name]
            if own:
                least = _UNEXPECTED * seconds / len(missing)
                limits = {pair: max(self._margin(pair[1]) * expected[pair], least) for pair in own}
                return limits if name in self.times.prices else {(name, ANY): sum(limits.values()), **limits}
        return {}

    def _margin(self, metric: str) -> float:
        """How many times longer than expected a score may take; controls are scored with the first method."""
        return _MARGIN if self.times.known_of_controls(metric) else 2 * _MARGIN

    def _price(self, name: str) -> float:
        return self.times.prices.get(name, math.inf)
