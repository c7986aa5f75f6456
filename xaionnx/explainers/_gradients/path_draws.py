"""Draws of a baseline and of a position on the path from it, spread evenly over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class PathDraws:
    """n draws of one of B baselines and of a position in [0, 1], whose weighted mean estimates the mean over both.

    With fewer draws than baselines each draw takes another baseline. With more, all baselines are taken k or k + 1
    times and weigh equally, so that the mean does not vary by the baseline alone. The positions of those taken k times
    come from as many equal parts of [0, 1] as there are such draws, one from each, and so do those of the others: so
    the mean hardly varies by the position alone.

    Attributes
    ----------
    baseline, position, weight : arrays (n,)
        Any B draws from a multiple of B on have all baselines. With a single one the positions increase.
    baselines : int
        B.
    """

    baseline: Array
    position: Array
    weight: Array
    baselines: int

    __repr__ = short_repr

    @classmethod
    def of(cls, draws: int, baselines: int, rng: np.random.Generator) -> PathDraws:
        """Draw.

        Examples
        --------
        >>> found = PathDraws.of(5, 2, np.random.default_rng(0))
        >>> found.baseline.tolist(), found.weight.round(3).tolist()
        ([0, 1, 0, 1, 0], [0.167, 0.25, 0.167, 0.25, 0.167])
        """
        place = np.arange(draws) % baselines
        each, more = divmod(draws, baselines)
        order, position = rng.permutation(baselines), np.empty(draws)
        for some in (place < more, place >= more):
            count = int(some.sum())
            position[some] = (rng.permutation(count) + rng.random(count)) / max(count, 1)
        if baselines == 1:
            position.sort()
        times = np.where(place < more, each + 1, each)
        return cls(order[place], position, 1 / (min(draws, baselines) * times), baselines)
