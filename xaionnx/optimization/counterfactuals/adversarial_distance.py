"""Adversarial distance: the smallest change of the input that changes the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.optimization.contrast import Contrast, InputSearch, Problem
from xaionnx.optimization.judge import Judge
from xaionnx.parameters import choice, integer
from xaionnx.typing import Array

# A segment is divided into so many parts, so many times: to 16^-5 of its length.
_PARTS: Final = 16
_TURNS: Final = 5
# Shares of a step to the plane of the border that are tried.
_SHARES: Final = np.linspace(0, 3, 49)[1:]
_BETTER: Final = 1e-6


@final
@dataclass(frozen=True, kw_only=True)
class AdversarialDistance(InputSearch):
    """The nearest input with another answer: the distance of a sample from the border, for a class k of score s::

        x <- x + (aim - s(x)) g / |g|^2                  (l2; g the gradient of s)
        x <- x + (aim - s(x)) sign(g) / |g|_1            (linf)

    Such steps lead across the border. The segment from the input is divided to where the answer changes. From there the
    input is projected onto the plane that touches the border, and the segment through that point is divided again, for
    as long as the distance falls. This is done for each of the ``classes`` with the highest outputs, or for the wanted
    one, and the nearest point counts. Pictures stay within black and white. The distance is an upper bound, and exact
    for linear models: ``|s(x)| / |w|_2``, or ``|s(x)| / |w|_1`` for ``linf``.

    References
    ----------
    Moosavi-Dezfooli, Fawzi and Frossard, DeepFool, CVPR 2016, arXiv:1511.04599, algorithm 2; Brendel, Rauber, Kümmerer,
    Ustyuzhaninov and Bethge, Accurate, reliable and fast robustness evaluation, NeurIPS 2019, arXiv:1907.01003.
    """

    reference: ClassVar[str] = "Moosavi-Dezfooli, Fawzi and Frossard 2016, arXiv:1511.04599"

    norm: str = choice("l2", ("l2", "linf"), "size of a change: root of the sum of squares, or the largest")
    classes: int = integer(5, "number of classes that are tried, those with the highest outputs", low=1)
    steps: int = integer(50, "most steps to the border, and from there along it", low=1)

    def search(self, problem: Problem) -> list[Contrast]:
        judge = problem.judge()
        if judge.slope(problem.x) is None:
            raise UnsupportedModelError(
                f"{problem.model.name} has no gradient, along which adversarial_distance searches. Use growing_spheres "
                "for rows."
            )
        wanted = judge.rivals(problem.x, self.classes) if problem.to is None and judge.own >= 0 else [problem.to]
        best, nearest = None, np.inf
        for one in wanted:
            each = problem.judge(one)
            found = self.nearest(problem, each)
            judge.evaluations += each.evaluations
            if found is not None and self.size(found - problem.x) < nearest:
                best, nearest = found, self.size(found - problem.x)
        distance = nearest if best is not None else float("inf")
        return [problem.contrast("nearest other", best, judge, distance, f"{self.norm} distance")]

    def size(self, moved: Array) -> float:
        """Return the norm of a change."""
        flat = np.abs(moved.astype(np.float64)).reshape(-1)
        return float(np.sqrt(flat @ flat) if self.norm == "l2" else flat.max())

    def nearest(self, problem: Problem, judge: Judge) -> Array | None:
        """Return the nearest valid input of one class, (...); None if the steps do not reach one."""
        x, (low, high) = problem.x.astype(np.float64), problem.bounds()
        low, high = np.minimum(low, x), np.maximum(high, x)
        found = x
        for _ in range(self.steps):
            score = float(judge.scores(_as(found, problem.x))[0])
            if score >= judge.goal:
                break
            step = self._step(judge, found, judge.aim - score)
            if step is None:
                return None
            found = np.clip(found + step, low, high)
        else:
            return None
        found = self._divided(judge, problem.x, x, found)
        for _ in range(self.steps):
            step = self._step(judge, found, 0.0, x - found)
            if step is None:
                break
            # From the input to the plane, and on.
            ends = np.clip(x + _SHARES.reshape(-1, *(1,) * x.ndim) * step, low, high)
            valid = np.flatnonzero(judge.scores(_as(ends, problem.x)) >= judge.goal)
            if not len(valid):
                break
            near = self._divided(judge, problem.x, x, ends[valid[0]])
            if self.size(near - x) > self.size(found - x) * (1 - _BETTER):
                break
            found = near
        return found.astype(problem.x.dtype)

    def _step(self, judge: Judge, at: Array, rise: float, back: Array | None = None) -> Array | None:
        """The smallest change that raises the linearised score by ``rise`` (and by what the way ``back`` loses)."""
        slope = judge.slope(at)
        assert slope is not None  # it has been asked before
        size = float(np.square(slope).sum() if self.norm == "l2" else np.abs(slope).sum())
        if not np.isfinite(size) or size <= np.finfo(np.float64).tiny:
            return None
        if back is not None:
            rise -= float((slope * back).sum())
        return np.asarray(rise * (slope if self.norm == "l2" else np.sign(slope)) / size)

    @staticmethod
    def _divided(judge: Judge, like: Array, start: Array, end: Array) -> Array:
        """The first valid input on the way from one that is not to one that is."""
        low, high = 0.0, 1.0
        for _ in range(_TURNS):
            shares = np.linspace(low, high, _PARTS + 1)
            ways = start + shares.reshape(-1, *(1,) * start.ndim) * (end - start)
            valid = judge.scores(_as(ways, like)) >= judge.goal
            valid[-1] = True
            first = int(valid[1:].argmax()) + 1
            low, high = float(shares[first - 1]), float(shares[first])
        return np.asarray(start + high * (end - start))


def _as(points: Array, like: Array) -> Array:
    """Points (M, ...) in the type of an input (...)."""
    return points.reshape(-1, *like.shape).astype(like.dtype)
