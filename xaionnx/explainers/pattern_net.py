"""PatternNet: an estimate of the signal in the input to which the model responds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer
from xaionnx.explainers._gradients.patterns import ByPatterns
from xaionnx.explanation import ValueKind


@final
@dataclass(frozen=True, kw_only=True)
class PatternNet(ByPatterns, AtLayer, GradientExplainer):
    """An estimate of the signal in the input on which the target depends::

        s_i = sum_j  a_ij s_j        from the target's value back, through the active rectifiers

    where a layer ``y_j = sum_i w_ij x_i + b_j`` has the pattern ``a_j``, the direction in which x moves with it.
    Weights alone do not show the signal, because they also cancel distractors. The values look like the input, but on
    an arbitrary scale: the estimates of all units that depend on an element are summed, so values grow with every
    layer. Compare them within a sample only. If they grow or shrink by more than half of the exponent range, which is
    2**64 in float32, values are those of the paper times a power of two, determined with the patterns for the model and
    the target and recorded in ``provenance["approximations"]``.

    Patterns are estimated from inputs and saved to a file: ``xaionnx patterns MODEL FOLDER -o FILE.npz``, or
    :func:`xaionnx.patterns.estimate_patterns`. ``patterns`` takes the file, or the inputs. Layers are convolutions and
    products with a matrix of weights; anything else keeps its derivative.

    Notes
    -----
    When to use: To see what the signal that a unit or a class responds to looks like in the input.

    When not to use: To compare amounts: values have no unit, and differ in scale from sample to sample. When there are
    no inputs from which to estimate patterns.

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
    >>> xaionnx.explain(model, np.float32([[3, 2]]), PatternNet(patterns=found)).values.round(1)
    array([[1., 0.]], dtype=float32)
    """

    value_kind: ClassVar[ValueKind] = "signal"
    reference: ClassVar[str] = "Kindermans et al. 2018, arXiv:1705.05598"
    weighted: ClassVar[bool] = False
