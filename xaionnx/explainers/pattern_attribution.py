"""PatternAttribution: the contribution of the signal in each element to the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer
from xaionnx.explainers._gradients.patterns import ByPatterns
from xaionnx.explanation import ValueKind


@final
@dataclass(frozen=True, kw_only=True)
class PatternAttribution(ByPatterns, AtLayer, GradientExplainer):
    """The contribution of the signal in each element to the target, by weights and patterns::

        R_i = sum_j  w_ij a_ij R_j        from the target's value back, through the active rectifiers

    where a layer ``y_j = sum_i w_ij x_i + b_j`` has the pattern ``a_j``, the direction in which x moves with it.
    Weights alone do not show the signal, because they also cancel distractors. As w.a = 1 for every unit, the values of
    a linear model sum to its output; biases and residual connections are ignored.

    Patterns are estimated from inputs and saved to a file: ``xaionnx patterns MODEL FOLDER -o FILE.npz``, or
    :func:`xaionnx.patterns.estimate_patterns`. ``patterns`` takes the file, or the inputs. Layers are convolutions and
    products with a matrix of weights; anything else keeps its derivative.

    Notes
    -----
    When to use: Rectifier networks without residual connections, when there is a set of inputs from which to estimate
    patterns.

    When not to use: When there is no such set, for residual networks and for transformers: biases and residual
    connections are ignored.

    References
    ----------
    Kindermans, Schütt, Alber, Müller, Erhan, Kim and Dähne, Learning how to explain neural networks: PatternNet and
    PatternAttribution, ICLR 2018, arXiv:1705.05598.

    Examples
    --------
    A signal in the direction (1, 0) with a distractor in the direction (1, 1), which w = (1, -1) cancels:

    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> from xaionnx.patterns import estimate_patterns
    >>> signal, distractor = np.random.default_rng(0).normal(size=(2, 20000, 1))
    >>> model = planted.load(planted.linear([[1.0, -1.0]]))
    >>> found = estimate_patterns(model, np.float32(signal * [1, 0] + distractor * [1, 1]))
    >>> xaionnx.explain(model, np.float32([[3, 2]]), PatternAttribution(patterns=found)).values.round(1) + 0
    array([[1., 0.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "importance"
    reference: ClassVar[str] = "Kindermans et al. 2018, arXiv:1705.05598"
    weighted: ClassVar[bool] = True
