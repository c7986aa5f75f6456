"""Bounds on the mean of yes and no by the Kullback-Leibler divergence, and the arms with the highest means (KL-LUCB).

References
----------
Kaufmann and Kalyanakrishnan, Information complexity in bandit subset selection, COLT 2013.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, final

import numpy as np

from xaionnx.typing import Array

Anchor: TypeAlias = "frozenset[int]"

T = TypeVar("T")
# Yields arms to draw a batch of each, and is sent how often each was right; None if the budget does not allow it.
Drawing: TypeAlias = "Generator[list[Anchor], list[int] | None, T]"
# Steps of Newton's method, which needs fewer, and the relative size of the last one.
_STEPS: Final = 50
_CLOSE: Final = 1e-13
# Means are kept this far from 0 and 1, where logarithms end.
_LEAST: Final = 1e-15
SHARE: Final = 0.15
"""The share of the draws left that choosing the best anchors of a size may take, and that judging each of them may."""


def divergence(p: Array, q: Array) -> Array:
    """The Kullback-Leibler divergence of Bernoulli distributions with means p and q, in nats."""
    from scipy import special

    return np.asarray(special.rel_entr(p, q) + special.rel_entr(1 - np.asarray(p), 1 - np.asarray(q)))


def upper_bound(mean: Array, level: Array) -> Array:
    """The largest q with divergence(mean, q) <= level.

    Examples
    --------
    >>> upper_bound(np.array([0.5, 0.9]), np.array([0.3, 0.03])).round(6)
    array([0.835853, 0.957621])
    """
    from scipy import special

    mean, level = np.asarray(mean, dtype=np.float64), np.asarray(level, dtype=np.float64)
    rest = np.maximum(1 - mean, _LEAST)
    # By Pinsker's inequality, and by divergence >= mean ln mean + rest ln(rest / (1 - q)), neither is below the bound.
    room = rest * np.exp((special.xlogy(mean, mean) - level) / rest)
    q = np.minimum(mean + np.sqrt(level / 2), 1 - room)
    # The divergence is convex and increases in q: from above, Newton's method comes down to the bound.
    for _ in range(_STEPS):
        q = np.clip(q, mean, 1 - _LEAST)
        slope = np.maximum((q - mean) / (q * (1 - q)), _LEAST)
        step = (divergence(mean, q) - level) / slope
        q = q - step
        if (step <= _CLOSE * q).all():
            break
    return np.asarray(np.where(mean >= 1, 1.0, np.clip(q, mean, 1.0)))


def lower_bound(mean: Array, level: Array) -> Array:
    """The smallest q with divergence(mean, q) <= level.

    Examples
    --------
    >>> lower_bound(np.array([0.5, 1.0]), np.array([0.3, 0.15])).round(6)
    array([0.164147, 0.860708])
    """
    return 1 - upper_bound(1 - np.asarray(mean), level)


def exploration(arms: int, step: int, delta: float) -> float:
    """The exploration rate beta = u + ln u, u = ln(405.5 arms step^1.1 / delta).

    Examples
    --------
    >>> round(exploration(1, 1, 0.05), 6), round(exploration(30, 5, 0.05), 6)
    (11.198173, 16.823731)
    """
    u = math.log(405.5 * arms * step**1.1 / delta)
    return u + math.log(u)


@final
class Arms:
    """The counts of arms, which whoever runs these generators draws, so that many searches can share a run.

    Parameters
    ----------
    batch : int
        How often an arm is drawn at once.
    draws : int
        How many draws can be paid.
    """

    def __init__(self, batch: int, draws: float = math.inf) -> None:
        self._batch, self.left = batch, draws
        self._counts: dict[Anchor, tuple[int, int]] = {}

    def count(self, arm: Anchor) -> int:
        """How often an arm was drawn."""
        return self._counts.get(arm, (0, 0))[1]

    def means(self, arms: list[Anchor]) -> Array:
        """The mean of each arm."""
        return np.array([self._counts[arm][0] / self._counts[arm][1] for arm in arms])

    def bounds(self, arms: list[Anchor], rate: float) -> tuple[Array, Array]:
        """The lower and the upper bound of each arm's mean at an exploration rate."""
        right, drawn = np.array([self._counts[arm] for arm in arms], dtype=np.float64).T
        means = right / drawn
        # A lower bound is the upper one of the opposite.
        both = upper_bound(np.concatenate([1 - means, means]), np.tile(rate / drawn, 2))
        return 1 - both[: len(arms)], both[len(arms) :]

    def pull(self, arms: list[Anchor]) -> Drawing[bool]:
        """Draw a batch from each of the arms; False if the budget does not allow it."""
        right = yield arms
        if right is None:
            return False
        self.left -= len(arms) * self._batch
        for arm, more in zip(arms, right, strict=True):
            before = self._counts.get(arm, (0, 0))
            self._counts[arm] = before[0] + more, before[1] + self._batch
        return True

    def best(self, arms: list[Anchor], number: int, delta: float, gap: float) -> Drawing[list[Anchor]]:
        """The arms of the highest means, wrong by at most ``gap`` with probability 1 - delta if the budget allows.

        After a first batch of each, a share of the draws that are left is spent, so that larger anchors get some too.
        """
        new = [arm for arm in arms if not self.count(arm)]
        if new and not (yield from self.pull(new)):
            return []
        least = (1 - SHARE) * self.left
        if number >= len(arms):
            return arms
        step = 1
        while True:
            means = self.means(arms)
            order = np.argsort(-means, kind="stable")
            inside, outside = order[:number], order[number:]
            low, high = self.bounds(arms, exploration(len(arms), step, delta))
            weakest, strongest = inside[np.argmin(low[inside])], outside[np.argmax(high[outside])]
            sure = high[strongest] - low[weakest] <= gap
            if sure or self.left < least or not (yield from self.pull([arms[weakest], arms[strongest]])):
                return [arms[k] for k in inside]
            step += 1


@final
@dataclass(frozen=True)
class Found:
    """An anchor with the estimate of its precision, and whether it was accepted."""

    anchor: Anchor
    precision: float
    bounds: tuple[float, float]
    coverage: float
    accepted: bool


@final
@dataclass(frozen=True)
class BeamSearch:
    """Anchors that grow by one feature at a time; the accepted one of largest coverage.

    Attributes
    ----------
    arms : Arms
        Whether a prediction is the same, by anchor.
    coverage : callable
    precision, gap, delta : float
        An anchor is accepted if the lower bound of its mean is above precision - gap, with probability 1 - delta.
    epsilon : float
        By how much the best anchors of a size may be wrong.
    beam : int
        How many of each size are extended.
    """

    arms: Arms
    coverage: Callable[[Anchor], float]
    precision: float
    gap: float
    delta: float
    epsilon: float
    beam: int

    def over(self, players: int) -> Drawing[Found]:
        """The best anchor of ``players`` features; the most precise one if none is accepted."""
        rate = math.log((1 + (self.beam - 1) * players) / self.delta)
        nobody: Anchor = frozenset()
        yield from self.arms.pull([nobody])
        best = yield from self._judged(nobody, rate)
        closest = self._found(nobody, rate)
        beam = [nobody]
        for _ in range(players):
            # No row may meet a rule, such as a word that is only in the sample.
            known = -1.0 if best is None else best.coverage
            extended = {anchor | {k}: None for anchor in beam for k in range(players) if k not in anchor}
            wider = [anchor for anchor in extended if self.coverage(anchor) > known]
            if not wider:
                break
            beam = yield from self.arms.best(wider, self.beam, self.delta, self.epsilon)
            for anchor in beam:
                one = yield from self._judged(anchor, rate)
                if one and (best is None or (one.coverage, one.precision) > (best.coverage, best.precision)):
                    best = one
            closest = max([closest, *(self._found(anchor, rate) for anchor in beam)], key=lambda one: one.bounds[0])
            if not beam:
                break
        return closest if best is None else best

    def _judged(self, anchor: Anchor, rate: float) -> Drawing[Found | None]:
        """The anchor if it is accepted, after as many draws as that takes."""
        least = (1 - SHARE) * self.arms.left
        while True:
            found = self._found(anchor, rate)
            low, high = found.bounds
            precise = found.precision >= self.precision
            unsure = low <= self.precision - self.gap if precise else high > self.precision and high - low > self.gap
            # What is precise so far is worth all that is left.
            if not unsure or (not precise and self.arms.left < least) or not (yield from self.arms.pull([anchor])):
                break
        return found if found.accepted else None

    def _found(self, anchor: Anchor, rate: float) -> Found:
        mean = float(self.arms.means([anchor])[0])
        low, high = (float(bound[0]) for bound in self.arms.bounds([anchor], rate))
        accepted = mean >= self.precision and low > self.precision - self.gap
        return Found(anchor, mean, (low, high), self.coverage(anchor), accepted)
