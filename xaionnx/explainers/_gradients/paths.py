"""Straight paths from baselines to points, and what the gradients along them owe to each element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.explainers._gradients.gradient import Points
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import integer
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.baseline import Baseline
from xaionnx.typing import Array, BaselineLike


@dataclass(frozen=True, kw_only=True)
class FromBaseline:
    """What methods declare whose paths start at a baseline."""

    baseline: BaselineLike = baselines.parameter("where the path starts")
    seed: int = integer(0, "seed of a baseline that is drawn", low=0, high=2**63 - 1)


@final
@dataclass(frozen=True, eq=False)
class Paths:
    """Paths from the B baselines of a sample to each of its points.

    Attributes
    ----------
    slopes : TargetGradients
    points : Points
        J of them.
    starts : dict of arrays (J, B, ...) by input name
    """

    slopes: TargetGradients
    points: Points
    starts: dict[str, Array]

    @classmethod
    def of(cls, slopes: TargetGradients, points: Points, baseline: BaselineLike, seed: int) -> Paths:
        """From a baseline, or its shorthand."""
        drawn = slopes.path.baseline_values(Baseline.of(baseline), seed)
        return cls(slopes, points, {name: starts[points.sample] for name, starts in drawn.items()})

    @property
    def draws(self) -> int:
        """The number B of baselines."""
        return int(next(iter(self.starts.values())).shape[1])

    def begin(self, chosen: Array) -> Array:
        """The targets at the chosen of the B starts, averaged over them: (T, J)."""
        each, sample = len(chosen), self.points.sample
        values = self.slopes.values(
            np.repeat(sample, each),
            lambda rows: {name: start[rows // each, chosen[rows % each]] for name, start in self.starts.items()},
        )
        return np.asarray(values.reshape(len(values), len(sample), each).mean(axis=2))

    def walk(
        self, target: Array, which: Array, draw: Array, share: Array
    ) -> Iterator[tuple[Array, Array, Array, dict[str, Array]]]:
        """``(x - b) * df/dx (b + share (x - b))`` at R places of the paths of some points, for U targets each.

        Parameters
        ----------
        target : array of int (U,)
        which : array of int (P,)
            Numbers of points.
        draw, share : arrays (R,)
            The baseline of each place, and how far it lies on the way.

        Yields
        ------
        some : array of int (u,)
            Which of the U targets these are.
        number, place : arrays of int (m,)
            Which of the P points, and of the R places; the places of a point follow each other.
        owed : dict of arrays (u, m, ...) by input name
        """
        number, place = np.divmod(np.arange(len(which) * len(share)), len(share))

        def ends(name: str, rows: Array) -> tuple[Array, Array]:
            point = which[number[rows]]
            return self.starts[name][point, draw[place[rows]]], self.points.x[name][point]

        def at(rows: Array) -> dict[str, Array]:
            found = {}
            for name in self.points.x:
                start, x = ends(name, rows)
                way = share[place[rows]].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
                found[name] = start + way * (x - start)
            return found

        targets = np.repeat(target[:, None], len(number), axis=1)
        for some, rows, gradients in self.slopes.at(self.points.sample[which[number]], targets, at):
            owed = {}
            for name, slope in gradients.items():
                start, x = ends(name, rows)
                owed[name] = (x - start) * slope
            yield some, number[rows], place[rows], owed


def add_up(total: Array, which: Array, number: Array, parts: Array) -> None:
    """Add parts (u, m, ...) of targets ``which`` (u,) to the totals (U, P, ...) of their points ``number`` (m,).

    Those of a point stand together.
    """
    first = np.flatnonzero(np.diff(number, prepend=-1))
    total[np.ix_(which, number[first])] += np.add.reduceat(parts, first, axis=1)


def completeness(total: Array, change: Array) -> dict[str, Array]:
    """How far sums of values (T, J) are off the change of the targets: the gap, and its share of the change.

    Examples
    --------
    >>> completeness(np.array([[2.1, 0.0]]), np.array([[2.0, 0.0]]))["relative_gap"].round(3)
    array([[0.05, 0.  ]])
    """
    gap, size = total - change, np.abs(change)
    # No change and no gap is a gap of 0.
    relative = np.divide(np.abs(gap), size, out=np.where(gap == 0, 0.0, np.inf), where=size > 0)
    return {"completeness_gap": gap, "relative_gap": relative}
