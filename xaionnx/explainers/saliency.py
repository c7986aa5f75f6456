"""Saliency: the gradient of the target with respect to the input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._gradients.compilable import Emitted, Traced
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer, Points, gradients
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.parameters import flag

if TYPE_CHECKING:
    from xaionnx.explanation import ValueKind
    from xaionnx.graph.builder import Builder


@final
@dataclass(frozen=True, kw_only=True)
class Saliency(AtLayer, GradientExplainer):
    """The gradient of the target with respect to each element of the input::

        value_i = |df / dx_i|      (absolute=True)
                =  df / dx_i       (absolute=False)

    The paper takes the absolute value and the maximum over the channels of a picture; here the channels are kept. The
    derivative of a ReLU at 0 is 0.

    Gradients by random directions of finite differences have a ``standard_error`` with ``absolute=False``. An absolute
    value has none, as it is never further than 0 from a gradient of the other sign: diagnostic ``no_standard_error``.

    Notes
    -----
    When to use: The cheapest check of where a differentiable model is sensitive: one gradient.

    When not to use: As contributions: a gradient is the effect of a small change, not the contribution of the element.
    On pictures the map is grainy, and it vanishes where the model is saturated.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks: visualising image classification models and
    saliency maps, ICLR workshop 2014, arXiv:1312.6034, section 3.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> x = np.ones((1, 3), np.float32)
    >>> xaionnx.explain(model, x, Saliency()).values
    array([[1., 2., 3.]], dtype=float32)
    >>> xaionnx.explain(model, x, "saliency", absolute=False).values
    array([[ 1.,  2., -3.]], dtype=float32)
    """

    at_samples: ClassVar[bool] = True
    axioms: ClassVar[tuple[str, ...]] = ("null player", "symmetry")
    reference: ClassVar[str] = "Simonyan, Vedaldi and Zisserman 2014, arXiv:1312.6034"

    absolute: bool = flag(True, "take the absolute value, as in the paper; False gives the signed gradient")

    @property
    def value_kind(self) -> ValueKind:
        return "sensitivity" if self.absolute else "slope"

    def explain_points(self, target_gradients: TargetGradients, points: Points) -> Attribution:
        result = gradients(target_gradients, points)
        if not self.absolute:
            return result
        values = {name: np.abs(array) for name, array in result.values.items()}
        if result.standard_error is None:
            return replace(result, values=values)
        why = ["an absolute value of a random gradient is folded at 0; absolute=False has errors"] * len(points.sample)
        return replace(result, values=values, standard_error=None, diagnostics={"no_standard_error": why})

    def emit(self, g: Builder, traced: Traced) -> Emitted:
        if not self.absolute:
            return Emitted(traced.gradients)
        return Emitted({name: g.op("Abs", gradient) for name, gradient in traced.gradients.items()})
