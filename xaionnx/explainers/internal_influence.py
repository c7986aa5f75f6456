"""Internal influence: the gradient at a layer, averaged along the path from a baseline to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.gradient import GradientExplainer, Points
from xaionnx.explainers._gradients.layer_paths import AlongInputPath, LayerPaths
from xaionnx.explainers._gradients.paths import FromBaseline
from xaionnx.explainers.integrated_gradients import path
from xaionnx.explanation import ValueKind
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import choice, integer


@final
@dataclass(frozen=True, kw_only=True)
class InternalInfluence(FromBaseline, AlongInputPath, GradientExplainer):
    """The mean gradient of the target with respect to each unit j of a layer h, from the baseline b to the input x::

        value_j = integral over a from 0 to 1 of df/dh_j,      h at b + a (x - b)

    This is the influence of the paper with a uniform distribution over the path. It is not multiplied by the change of
    the unit: a unit that matters but is the same at b and x has an influence. The path runs in the input, or in the
    embedding of tokens. With several baselines, values are averaged over them.

    Notes
    -----
    When to use: To find the units of a layer to which a target is sensitive, whether or not they are active.

    When not to use: When values should sum to the change of the target; use ``conductance``.

    References
    ----------
    Leino, Sen, Datta, Fredrikson and Li, Influence-directed explanations for deep convolutional networks, ITC 2018,
    arXiv:1802.03788.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model, x = planted.load(planted.net_a()), np.float32([[0, 100, 0]])
    >>> xaionnx.explain(model, x, InternalInfluence(layer="linear1", steps=10, rule="middle"), 0).values
    array([[0.9, 1. , 1. , 1. ]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "slope"
    axioms: ClassVar[tuple[str, ...]] = ("null player", "symmetry")
    reference: ClassVar[str] = "Leino et al. 2018, arXiv:1802.03788"

    steps: int = integer(32, "number of points on the path", low=2, high=2**20)
    rule: str = choice(
        "gauss_legendre",
        ("gauss_legendre", "trapezoid", "left", "middle", "right"),
        "positions and weights of the points",
    )

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        paths = LayerPaths.of(target_gradients, points, self.replacement, self.seed)
        shares, weights = path(self.rule, self.steps)
        count = len(points.sample)
        (layer,) = target_gradients.names
        values = np.zeros((target_gradients.targets, *points.x[layer].shape))
        for point, draw in np.ndindex(count, paths.draws):
            for first, last in paths.pieces(self.steps):
                held = paths.layer_inputs(point, draw, shares[first:last])
                for some, number, gradient in paths.gradients_at(point, held, np.arange(last - first)):
                    weight = weights[first + number].reshape(-1, *(1,) * (gradient.ndim - 2)) / paths.draws
                    values[some, point] += (gradient * weight).sum(axis=1)
        return Attribution({layer: values})
