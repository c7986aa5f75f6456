"""Conductance: what of the change from a baseline to the input flows through each unit of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import GradientExplainer, Points
from xaionnx.explainers._gradients.layer_paths import AlongInputPath, LayerPaths
from xaionnx.explainers._gradients.paths import FromBaseline, completeness
from xaionnx.explanation import ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import choice, integer
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Conductance(FromBaseline, AlongInputPath, GradientExplainer):
    """What each unit j of a layer h owes to the change of the target from the baseline b to the input x::

        value_j = integral over a from 0 to 1 of df/dh_j * dh_j/da,      h along b + a (x - b)

    The path runs in the input, or in the embedding of tokens. It is cut into ``steps``, over each of which the slope is
    that of the ``rule`` and the change of h is taken as it is, so that no derivative of h is asked for. Where every way
    from the input to the target leads through the layer, exact values add up to f(x) - f(b). ``diagnostics`` tell for
    each target and sample the ``completeness_gap``, their sum less that change, in units of the target, and the
    ``relative_gap``, its size as a share of the size of the change. At the input it equals integrated gradients.

    Where the baseline holds several draws, values are averaged over them and f(b) is their mean.

    Notes
    -----
    When to use: To find the units or channels of a layer that carry a decision, in units of the target.

    When not to use: At the input, where it is ``integrated_gradients``. Layers that a skip connection passes by: the
    values then do not sum to the change of the target.

    References
    ----------
    Dhamdhere, Sundararajan and Yan, How important is a neuron?, ICLR 2019, arXiv:1805.12233.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model, x = planted.load(planted.net_a()), np.float32([[0, 100, 0]])
    >>> xaionnx.explain(model, x, Conductance(layer="linear1", steps=10, rule="middle"), 0).values.round(2)
    array([[ 90., 100., 100., 100.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Dhamdhere, Sundararajan and Yan 2019, arXiv:1805.12233"

    steps: int = integer(32, "steps of the path", low=1, high=2**20)
    rule: str = choice("trapezoid", ("trapezoid", "left", "middle", "right"), "where in each step the slope is taken")

    def trace(self, slopes: TargetGradients, points: Points) -> Attribution:
        paths = LayerPaths.of(slopes, points, self.baseline, self.seed)
        count, targets = len(points.sample), slopes.targets
        (layer,) = slopes.names
        values = np.zeros((targets, *points.x[layer].shape))
        baseline = np.zeros((targets, count))
        for point, draw in np.ndindex(count, paths.draws):
            for first, last in paths.pieces(self.steps):
                held = paths.held(point, draw, self._shares(first, last) / self.steps)
                if first == 0:
                    baseline[:, point] += paths.value(point, held, 0) / paths.draws
                place, change = self._changes(held[layer].astype(np.float64), last - first)
                for some, number, slope in paths.slopes_at(point, held, place):
                    values[some, point] += (slope * change[number]).sum(axis=1) / paths.draws
        total = values.reshape(targets, count, -1).sum(axis=2)
        return Attribution({layer: values}, baseline, diagnostics=completeness(total, points.values - baseline))

    def _shares(self, first: int, last: int) -> Array:
        """Where a piece of the path is looked at, in steps: at its edges, and behind them its middles if asked for."""
        edges = np.arange(first, last + 1.0)
        return np.concatenate([edges, edges[:-1] + 0.5]) if self.rule == "middle" else edges

    def _changes(self, h: Array, steps: int) -> tuple[Array, Array]:
        """The places among :meth:`_shares` whose slopes are taken, and the change of the layer that each stands for."""
        change = np.diff(h[: steps + 1], axis=0)
        if self.rule == "trapezoid":
            none = np.zeros_like(change[:1])
            return np.arange(steps + 1), (np.concatenate([none, change]) + np.concatenate([change, none])) / 2
        return np.arange(steps) + {"left": 0, "right": 1, "middle": steps + 1}[self.rule], change
