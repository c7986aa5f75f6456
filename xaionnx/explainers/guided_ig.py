"""Guided integrated gradients: integrated along a path that changes elements with small gradients first."""

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

# Tolerance of the remaining distance, as a share of the whole.
_CLOSE = 1e-9


@final
@dataclass(frozen=True, kw_only=True)
class GuidedIG(FromBaseline, GradientExplainer):
    """The contribution of each element to the change of the target along an adaptive path from a baseline b to x::

        value_i = sum over steps t of (df/dx_i (z_t) + df/dx_i (z_t+1)) / 2 * (z_t+1,i - z_t,i),   z_0 = b, z_steps = x

    Each of the ``steps`` reduces the distance to x, the sum of |x_i - z_i|, by the same amount. It moves the
    ``fraction`` of the elements with the smallest gradients as far as allowed, then the next, until the step is
    complete; the last elements move part of the way. No element may be farther from the straight path than
    ``max_dist``, as a share of the distance from b_i to x_i: with 1 the path is free, with 0 it is straight and the
    values are those of integrated gradients. The path avoids large gradients that do not come from the target. The
    paper constrains it by anchors on the straight line; the distance limit and the defaults are those of the authors'
    implementation. The paper uses only the gradient at the start of a step; the mean of both ends costs one more
    gradient and reduced the gap of EfficientNet-Lite0 on two photographs from 41 and 66 % to 1 and 8 %.

    Elements with the same values and the same effect move together. With several baselines, values are averaged over
    them. Diagnostics: ``completeness_gap``, ``relative_gap`` and ``steps``, as for integrated gradients.

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
    fraction: float = real(0.25, "share of the elements that move together", low=0, low_open=True, high=1)
    max_dist: float = real(0.02, "how far an element may be ahead of or behind the straight path", low=0, high=1)

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        paths = Paths.of(target_gradients, points, self.replacement, self.seed)
        count, targets, draws = len(points.sample), target_gradients.targets, paths.draws
        baseline = paths.baseline_targets(np.arange(draws))
        # One path for each target, point and draw, in this order; its elements are those of all inputs.
        target, which, draw = (index.ravel() for index in np.indices((targets, count, draws)))
        starts = {name: start[which, draw].astype(np.float64) for name, start in paths.starts.items()}
        ways = {name: x[which] - starts[name] for name, x in points.x.items()}
        way = _flatten(ways)
        previous, shares, contributions = (np.zeros(way.shape) for _ in range(3))

        def at(rows: Array) -> dict[str, Array]:
            x_at, first = {}, 0
            for name, whole in ways.items():
                size = whole[0].size
                share = shares[rows, first : first + size].reshape(len(rows), *whole.shape[1:])
                x_at[name] = (starts[name][rows] + share * whole[rows]).astype(points.x[name].dtype)
                first += size
            return x_at

        progress.expect((self.steps + 1) * len(way))
        for step in range(self.steps + 1):
            progress.expect(-len(way))  # announced before; the gradients announce themselves
            for _, rows, gradients in target_gradients.at(points.sample[which], target[None], at):
                flat = _flatten({name: slope[0] for name, slope in gradients.items()})
                for row, slope in zip(rows, flat, strict=True):
                    is_last = step == self.steps
                    next_shares = (
                        shares[row]
                        if is_last
                        else self._next_shares(shares[row], np.abs(way[row]), np.abs(slope), step)
                    )
                    # Half of the step to this point and half of the step from it.
                    contributions[row] += (next_shares - previous[row]) / 2 * way[row] * slope
                    previous[row], shares[row] = shares[row], next_shares
        contributions = contributions.reshape(targets, count, draws, -1).mean(axis=2)
        return Attribution(
            _unflatten(contributions, points.x),
            baseline,
            diagnostics={
                **completeness(contributions.sum(axis=2), points.values - baseline),
                "steps": np.full((targets, count), self.steps),
            },
        )

    def _next_shares(self, shares: Array, length: Array, slope: Array, step: int) -> Array:
        """The position of each element after a step, as a share of its path of the given length."""
        whole = length.sum()
        straight = (step + 1) / self.steps
        high = min(straight + self.max_dist, 1.0)
        shares = np.maximum(shares, straight - self.max_dist)
        while (missing := (length * (1 - shares)).sum() - whole * (1 - straight)) > _CLOSE * whole:
            # Elements that cannot move are sorted last but still count in the fraction.
            order = np.where((shares < high) & (length > 0), slope, np.inf)
            last = int(self.fraction * (len(order) - 1))
            smallest = np.isfinite(order) & (order <= np.partition(order, last)[last])
            room = (length * (high - shares))[smallest].sum()
            if missing >= room:
                shares[smallest] = high
            else:
                shares[smallest] += missing / room * (high - shares[smallest])
        return shares


def _flatten(arrays: dict[str, Array]) -> Array:
    return np.concatenate([array.reshape(len(array), -1) for array in arrays.values()], axis=1, dtype=np.float64)


def _unflatten(flat: Array, like: dict[str, Array]) -> dict[str, Array]:
    """Values (T, J, S) in the shapes of the inputs."""
    ends = np.cumsum([array[0].size for array in like.values()])[:-1]
    parts = np.split(flat, ends, axis=2)
    return {name: part.reshape(*part.shape[:2], *like[name].shape[1:]) for name, part in zip(like, parts, strict=True)}
