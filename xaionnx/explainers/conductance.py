"""Conductance: the share of the change from a baseline to the input that flows through each unit of a layer."""

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
    """The contribution of each unit j of a layer h to the change of the target from the baseline b to the input x::

        value_j = integral over a from 0 to 1 of df/dh_j * dh_j/da,      h along b + a (x - b)

    The path runs in the input, or in the embedding of tokens. It is divided into ``steps``; over each, the gradient is
    taken by the ``rule`` and multiplied by the change of h, so no derivative of h is needed. If all connections from
    the input to the target pass through the layer, exact values sum to f(x) - f(b). Diagnostics, for each target and
    sample: ``completeness_gap``, the sum of the values minus that change, in units of the target; ``relative_gap``, the
    size of the gap relative to the size of the change. At the input the values equal integrated gradients.

    With several baselines, the values and f(b) are averaged over them.

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
    rule: str = choice("trapezoid", ("trapezoid", "left", "middle", "right"), "point of each step for the gradient")

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        paths = LayerPaths.of(target_gradients, points, self.replacement, self.seed)
        count, targets = len(points.sample), target_gradients.targets
        (layer,) = target_gradients.names
        values = np.zeros((targets, *points.x[layer].shape))
        baseline = np.zeros((targets, count))
        for point, draw in np.ndindex(count, paths.draws):
            for first, last in paths.pieces(self.steps):
                held = paths.layer_inputs(point, draw, self._shares(first, last) / self.steps)
                if first == 0:
                    baseline[:, point] += paths.value(point, held, 0) / paths.draws
                position, change = self._changes(held[layer].astype(np.float64), last - first)
                for some, number, gradient in paths.gradients_at(point, held, position):
                    values[some, point] += (gradient * change[number]).sum(axis=1) / paths.draws
        total = values.reshape(targets, count, -1).sum(axis=2)
        return Attribution({layer: values}, baseline, diagnostics=completeness(total, points.values - baseline))

    def _shares(self, first: int, last: int) -> Array:
        """Positions of a piece of the path, in steps: the edges, followed by the midpoints if the rule needs them."""
        edges = np.arange(first, last + 1.0)
        return np.concatenate([edges, edges[:-1] + 0.5]) if self.rule == "middle" else edges

    def _changes(self, h: Array, steps: int) -> tuple[Array, Array]:
        """Indices into :meth:`_shares` at which gradients are taken, and the change of the layer for each."""
        change = np.diff(h[: steps + 1], axis=0)
        if self.rule == "trapezoid":
            zero = np.zeros_like(change[:1])
            return np.arange(steps + 1), (np.concatenate([zero, change]) + np.concatenate([change, zero])) / 2
        return np.arange(steps) + {"left": 0, "right": 1, "middle": steps + 1}[self.rule], change
