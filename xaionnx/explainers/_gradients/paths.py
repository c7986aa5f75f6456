"""Straight paths from baselines to points, and the contributions of each element along them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.caveats import GAP
from xaionnx.explainers._gradients.gradient import Points
from xaionnx.explanation import ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.hooks import hook
from xaionnx.parameters import choice, random_seed
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import check_none_missing
from xaionnx.typing import Array, BaselineLike

# Numbers of parts that are added up at once.
_NUMBERS: Final = 2**20
NEAR: Final = 1e-3
"""The share of a path, from the baseline, over which a change counts as a jump."""


@dataclass(frozen=True, kw_only=True)
class FromBaseline(FromBackground):
    """Adds the parameters ``baseline``, ``background`` and ``seed`` of methods whose paths start at a baseline."""

    baseline: BaselineLike = baselines.parameter("start of the path")
    seed: int = random_seed("seed of a random baseline")


@dataclass(frozen=True, kw_only=True)
class ByDifference:
    """Adds the parameter ``factor`` of methods whose values are slopes times the difference x - b from a baseline."""

    factor: str = choice(
        "difference", ("difference", "none"), "what slopes are multiplied by: the input less the baseline, or nothing"
    )

    @property
    @hook
    def value_kind(self) -> ValueKind:
        return "contribution" if self.factor == "difference" else "slope"


@final
@dataclass(frozen=True, eq=False)
class Paths:
    """Paths from the B baselines of a sample to each of its points.

    Attributes
    ----------
    gradients : TargetGradients
    points : Points
        The J end points.
    starts : dict of arrays (J, B, ...) by input name
    """

    gradients: TargetGradients
    points: Points
    starts: dict[str, Array]

    @classmethod
    def of(cls, gradients: TargetGradients, points: Points, baseline: BaselineLike, seed: int) -> Paths:
        """The paths from a baseline, or its shorthand."""
        baselines_by_name = gradients.path.baseline_values(Baseline.of(baseline), seed)
        check_none_missing({name: points.x[name] for name in baselines_by_name}, baselines_by_name)
        every = np.array_equal(points.sample, np.arange(len(gradients.samples)))
        starts = {name: each if every else each[points.sample] for name, each in baselines_by_name.items()}
        return cls(gradients, points, starts)

    @property
    def draws(self) -> int:
        """The number B of baselines."""
        return int(next(iter(self.starts.values())).shape[1])

    def baseline_targets(self, draws: Array, share: float = 0.0) -> Array:
        """The mean of the targets over the baselines ``draws``, (T, J), or at a ``share`` of the paths from there."""
        each, sample = len(draws), self.points.sample

        def at(rows: Array) -> dict[str, Array]:
            starts = {name: start[rows // each, draws[rows % each]] for name, start in self.starts.items()}
            if not share:
                return starts
            ends = {name: self.points.x[name][rows // each] for name in starts}
            return {name: start + start.dtype.type(share) * (ends[name] - start) for name, start in starts.items()}

        values = self.gradients.values(np.repeat(sample, each), at)
        return np.asarray(values.reshape(len(values), len(sample), each).mean(axis=2))

    def jumps(self, gaps: Mapping[str, Array], baseline: Array) -> dict[str, Array]:
        """The changes of the targets over the first :data:`NEAR` of the paths, (T, J), where sums miss their change.

        A model that divides by the range or the size of its input jumps where these are 0. No number of steps sees it.
        """
        if not (gaps["relative_gap"] > GAP).any():
            return {}
        return {"jump_at_baseline": self.baseline_targets(np.arange(self.draws), NEAR) - baseline}

    def contributions(
        self, target: Array, which: Array, draw: Array, share: Array, factor: str = "difference"
    ) -> Iterator[tuple[Array, Array, Array, dict[str, Array]]]:
        """Batches of ``(x - b) * df/dx (b + share (x - b))`` for U targets, P points and R positions on each path.

        With ``factor="none"`` the slopes ``df/dx`` alone.

        Parameters
        ----------
        target : array of int (U,)
        which : array of int (P,)
            The points.
        draw, share : arrays (R,)
            The baseline of each position, and its share of the path.

        Yields
        ------
        some : array of int (u,)
            Indices among the U targets.
        number, place : arrays of int (m,)
            Indices among the P points and the R positions; positions of one point are contiguous.
        contributions : dict of arrays (u, m, ...) by input name
        """
        number, place = np.divmod(np.arange(len(which) * len(share)), len(share))

        def ends(name: str, rows: Array) -> tuple[Array, Array]:
            point = which[number[rows]]
            return self.starts[name][point, draw[place[rows]]], self.points.x[name][point]

        def at(rows: Array) -> dict[str, Array]:
            x_at = {}
            for name in self.points.x:
                start, x = ends(name, rows)
                way = share[place[rows]].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
                x_at[name] = start + way * (x - start)
            return x_at

        targets = np.repeat(target[:, None], len(number), axis=1)
        for some, rows, gradients in self.gradients.at(self.points.sample[which[number]], targets, at):
            contributions = {}
            for name, slope in gradients.items():
                start, x = ends(name, rows)
                contributions[name] = slope if factor == "none" else (x - start) * slope
            yield some, number[rows], place[rows], contributions


def add_up(total: Array, which: Array, number: Array, parts: Array) -> None:
    """Add parts (u, m, ...) of targets ``which`` (u,) to the totals (U, P, ...) of their points ``number`` (m,).

    Parts of one point are contiguous, and are added one after the other: the sums are the same for any batch size.
    """
    for at, piece, _ in in_turn(which, number, parts):
        total[at] += parts[piece]


def in_turn(
    which: Array, number: Array, parts: Array
) -> Iterator[tuple[tuple[slice | Array, ...], tuple[slice, slice | Array], slice | Array]]:
    """Yield where parts (u, m, ...) belong in totals (U, P, ...), so that each point has at most one at a time.

    Yields
    ------
    at : index
        Of the totals.
    piece : index
        Of the parts.
    rows : index
        Of the m parts, the second one in ``piece``.
    """
    first = np.flatnonzero(np.diff(number, prepend=-1))
    counts = np.diff(first, append=len(number))
    blocks = [(some, _span(which[some])) for some in target_blocks(parts[:, : len(first)])]
    for k in range(int(counts.max())):
        begun = first[counts > k]
        rows, points = _span(begun + k), _span(number[begun])
        for some, at in blocks:
            if isinstance(at, slice) or isinstance(points, slice):
                yield (at, points), (some, rows), rows
            else:
                yield np.ix_(at, points), (some, rows), rows


def _span(indices: Array) -> slice | Array:
    """Increasing indices as a slice if there is none between them, so that they select without a copy."""
    first, last = int(indices[0]), int(indices[-1])
    return slice(first, last + 1) if last - first == len(indices) - 1 else indices


def target_blocks(parts: Array) -> Iterator[slice]:
    """Slices of the first axis of parts (u, m, ...) that hold about a million numbers each, or one target."""
    size = max(1, _NUMBERS // max(1, parts[0].size))
    for start in range(0, len(parts), size):
        yield slice(start, start + size)


def completeness(total: Array, change: Array) -> dict[str, Array]:
    """The completeness gap, sums of values (T, J) minus the change of the targets, and its share of the change.

    Examples
    --------
    >>> completeness(np.array([[2.1, 0.0]]), np.array([[2.0, 0.0]]))["relative_gap"].round(3)
    array([[0.05, 0.  ]])
    """
    gap, size = total - change, np.abs(change)
    # If there is neither change nor gap, the relative gap is 0.
    relative = np.divide(np.abs(gap), size, out=np.where(gap == 0, 0.0, np.inf), where=size > 0)
    return {"completeness_gap": gap, "relative_gap": relative}
