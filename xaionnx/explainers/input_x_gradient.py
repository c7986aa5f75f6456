"""Input times gradient: the first-order Taylor estimate of the change from zero to the input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.compilable import Emitted, Traced
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points, gradients
from xaionnx.gradients.target_gradients import TargetGradients

if TYPE_CHECKING:
    from xaionnx.explanation import ValueKind
    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True, kw_only=True)
class InputXGradient(AtLayer, GradientExplainer):
    """The gradient times the input::

        value_i = x_i * df / dx_i

    For a linear model these are the contributions of the elements relative to zero in the model's input.

    Notes
    -----
    When to use: A fast first estimate of contributions, at the cost of one gradient; exact for linear models.

    When not to use: Saturated models, and inputs for which zero is not a neutral value: an element at zero always gets
    0. Use ``integrated_gradients`` with a baseline.

    References
    ----------
    Shrikumar, Greenside, Shcherbina and Kundaje, Not just a black box: learning important features through propagating
    activation differences, 2016, arXiv:1605.01713, section 2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> xaionnx.explain(model, np.float32([[3, 2, 1]]), InputXGradient()).values
    array([[ 3.,  4., -3.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "contribution"
    at_samples: ClassVar[bool] = True
    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player", "symmetry")
    reference: ClassVar[str] = "Shrikumar et al. 2016, arXiv:1605.01713"

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        result = gradients(target_gradients, points)
        values = {name: array * points.x[name] for name, array in result.values.items()}
        errors = {name: array * np.abs(points.x[name]) for name, array in (result.standard_error or {}).items()}
        return replace(result, values=values, standard_error=errors or None)

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        return Emitted(
            {name: g.op("Mul", gradient, traced.tensors[name]) for name, gradient in traced.gradients.items()}
        )
