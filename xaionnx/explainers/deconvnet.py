"""Deconvnet: an activation projected back to the input through the transposed model."""

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
class Deconvnet(Propagation, AtLayer, GradientExplainer):
    """Backpropagation that rectifies the backward signal wherever the model rectifies::

        R_in = max(R_out, 0)       for ReLU, whatever its input was

    Convolutions are transposed, and max pooling passes the signal to the maximum (the switches of the paper).
    Rectifiers are those of ``guided_backprop``; smooth activations and gates keep their derivative.

    The paper reconstructs from a feature map: ``Target.channel("relu5", 3, peak=True)`` is the strongest activation of
    channel 3 of each sample, ``Target.channel("relu5")`` the whole of the strongest channel, and
    ``Target.neuron("relu5", (3, 7, 7))`` one activation. The paper propagates the activation and this method 1, as a
    gradient does: for a single activation the picture is the same up to scale.

    Notes
    -----
    When to use: To see which pattern a channel or a neuron of a rectifier network responds to.

    When not to use: To tell classes apart: the picture hardly depends on the class that is explained.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, arXiv:1311.2901, section 2.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> xaionnx.explain(planted.load(planted.net_b()), x, "deconvnet", 0).values[0, 0]
    array([[2., 3., 3., 1.],
           [3., 5., 5., 2.],
           [3., 5., 5., 2.],
           [1., 2., 2., 1.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "signal"
    axioms: ClassVar[tuple[str, ...]] = ("null player", "symmetry")
    reference: ClassVar[str] = "Zeiler and Fergus 2014, arXiv:1311.2901"

    def rules(self, model: Model) -> Table:
        from xaionnx.autodiff.guided import DECONVNET

        return DECONVNET
