"""Guided backpropagation: the gradient without negative signals at rectifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer
from xaionnx.explainers._gradients.propagation import Propagation

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.explanation import ValueKind
    from xaionnx.runtime.model import Model


@final
@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(Propagation, AtLayer, GradientExplainer):
    """Backpropagation that passes a rectifier only if its input and the signal are positive::

        R_in = 1[x > 0] * 1[R_out > 0] * R_out       for ReLU
             = f'(x) * max(R_out, 0)                 for a rectifier f

    Rectifiers are the activations with a kink: Relu, LeakyRelu, PRelu, ThresholdedRelu, Elu, Celu, Selu, Clip (Relu6),
    HardSwish, Max and Min with a constant. Smooth activations and gates keep their derivative, so for a model without
    rectifiers this is the gradient. The pictures are sharp and show what a model can respond to rather than what a
    class depends on: they change little if the upper layers are randomised (Adebayo et al. 2018, arXiv:1810.03292).

    Any element of the model can be the target: ``Target.neuron("relu5", (3, 7, 7))``, ``Target.channel("relu5", 3)``.

    Notes
    -----
    When to use: A sharp picture of the structures that a unit or a class of a rectifier network can respond to.

    When not to use: To judge what a decision depends on: the picture depends little on the class and on the weights of
    the upper layers.

    References
    ----------
    Springenberg, Dosovitskiy, Brox and Riedmiller, Striving for simplicity: the all convolutional net, ICLR workshop
    2015, arXiv:1412.6806, section 3.4.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> xaionnx.explain(planted.load(planted.net_b()), x, "guided_backprop", 0).values[0, 0]
    array([[0., 1., 1., 1.],
           [1., 3., 3., 2.],
           [1., 3., 3., 2.],
           [1., 2., 2., 1.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "signal"
    axioms: ClassVar[tuple[str, ...]] = ("null player", "symmetry")
    reference: ClassVar[str] = "Springenberg et al. 2014, arXiv:1412.6806"

    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.guided import GUIDED

        return GUIDED
