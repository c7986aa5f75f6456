"""Guided integrated gradients: along a path that moves first what matters least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import GradientExplainer, Points
from xaionnx.explainers._gradients.paths import FromBaseline, Paths, completeness
from xaionnx.explanation import ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import integer, real
from xaionnx.runtime import progress
from xaionnx.typing import Array

# The way that is left is met up to this share of the whole.
_CLOSE = 1e-9


@final
@dataclass(frozen=True, kw_only=True)
class GuidedIG(FromBaseline, GradientExplainer):
    """What each element owes to the change of the target along a path from a baseline b to the input x::

        value_i = sum over steps t of (df/dx_i (z_t) + df/dx_i (z_t+1)) / 2 * (z_t+1,i - z_t,i),   z_0 = b, z_steps = x

    Each of ``steps`` shortens the distance to x, the sum of |x_i - z_i|, by the same amount. It moves the ``fraction``
    of the elements whose gradient is smallest in size all the way that they may go, then the next, until the step is
    made; the last move by a share of their way. No element may be farther from the straight path than ``max_dist``,
    as shares of the way from b_i to x_i: 1 leaves the path free, 0 makes it straight, so that the values are those of
    integrated gradients. The path shuns large gradients that come from elsewhere than the target. The paper ties it to
    anchors on the straight line; a distance that holds all along, and the defaults, are the authors' implementation's.
    The paper takes the gradient at the start of a step alone; the mean of both ends costs one gradient more and brought
    the gap of EfficientNet-Lite0 on two photographs from 41 and 66 % to 1 and 8 %.

    Elements that do the same with the same values move together. Where the baseline holds several draws, values are
    averaged over them. ``diagnostics`` tell ``completeness_gap``, ``relative_gap`` and ``steps`` as those of
    integrated gradients.

    Notes
    -----
    When to use: When the map of ``integrated_gradients`` is noisy outside the object because of large gradients on the
    straight path.

    When not to use: When time matters: its steps depend on each other and cannot be run as one batch. When values of
    several models are added, because the path depends on the model.

    References
    ----------
    Kapishnikov, Venugopalan, Avci, Wedin, Terry and Bolukbasi, Guided integrated gradients: an adaptive path method
    for removing noise, CVPR 2021, arXiv:2106.09788.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[2.0, 1.0]]))
    >>> start = np.float32([-1, -3])
    >>> xaionnx.explain(model, np.float32([[10, 5]]), GuidedIG(baseline=start)).values.round(3)
    array([[22.,  8.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("null player", "symmetry")
    reference: ClassVar[str] = "Kapishnikov et al. 2021, arXiv:2106.09788"

    steps: int = integer(200, "steps of the path", low=1, high=2**20)
    fraction: float = real(0.25, "share of the elements that move at once", low=0, low_open=True, high=1)
    max_dist: float = real(0.02, "the most that an element may be ahead or behind the straight path", low=0, high=1)

    def trace(self, slopes: TargetGradients, points: Points) -> Attribution:
        paths = Paths.of(slopes, points, self.baseline, self.seed)
        count, targets, draws = len(points.sample), slopes.targets, paths.draws
        baseline = paths.begin(np.arange(draws))
        # One path for each target, point and draw, in this order; its elements are those of all inputs.
        target, which, draw = (index.ravel() for index in np.indices((targets, count, draws)))
        starts = {name: start[which, draw].astype(np.float64) for name, start in paths.starts.items()}
        ways = {name: x[which] - starts[name] for name, x in points.x.items()}
        way = _flat(ways)
        behind, gone, owed = (np.zeros(way.shape) for _ in range(3))

        def at(rows: Array) -> dict[str, Array]:
            found, first = {}, 0
            for name, whole in ways.items():
                size = whole[0].size
                share = gone[rows, first : first + size].reshape(len(rows), *whole.shape[1:])
                found[name] = (starts[name][rows] + share * whole[rows]).astype(points.x[name].dtype)
                first += size
            return found

        progress.expect((self.steps + 1) * len(way))
        for step in range(self.steps + 1):
            progress.expect(-len(way))  # announced before; the gradients announce themselves
            for _, rows, gradients in slopes.at(points.sample[which], target[None], at):
                flat = _flat({name: slope[0] for name, slope in gradients.items()})
                for row, slope in zip(rows, flat, strict=True):
                    there = step == self.steps
                    moved = gone[row] if there else self._moved(gone[row], np.abs(way[row]), np.abs(slope), step)
                    # Half of the step that led here, and half of the one that leads on.
                    owed[row] += (moved - behind[row]) / 2 * way[row] * slope
                    behind[row], gone[row] = gone[row], moved
        owed = owed.reshape(targets, count, draws, -1).mean(axis=2)
        return Attribution(
            _shaped(owed, points.x),
            baseline,
            diagnostics={
                **completeness(owed.sum(axis=2), points.values - baseline),
                "steps": np.full((targets, count), self.steps),
            },
        )

    def _moved(self, gone: Array, length: Array, slope: Array, step: int) -> Array:
        """How far each element has gone after a step, as shares of its way, whose length is given."""
        whole = length.sum()
        straight = (step + 1) / self.steps
        high = min(straight + self.max_dist, 1.0)
        gone = np.maximum(gone, straight - self.max_dist)
        while (missing := (length * (1 - gone)).sum() - whole * (1 - straight)) > _CLOSE * whole:
            # What cannot move comes last, and still counts in the fraction.
            order = np.where((gone < high) & (length > 0), slope, np.inf)
            last = int(self.fraction * (len(order) - 1))
            chosen = np.isfinite(order) & (order <= np.partition(order, last)[last])
            room = (length * (high - gone))[chosen].sum()
            if missing >= room:
                gone[chosen] = high
            else:
                gone[chosen] += missing / room * (high - gone[chosen])
        return gone


def _flat(arrays: dict[str, Array]) -> Array:
    return np.concatenate([array.reshape(len(array), -1) for array in arrays.values()], axis=1, dtype=np.float64)


def _shaped(flat: Array, like: dict[str, Array]) -> dict[str, Array]:
    """Values (T, J, S) in the shapes of the inputs."""
    ends = np.cumsum([array[0].size for array in like.values()])[:-1]
    parts = np.split(flat, ends, axis=2)
    return {name: part.reshape(*part.shape[:2], *like[name].shape[1:]) for name, part in zip(like, parts, strict=True)}
