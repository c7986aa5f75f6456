"""Deletion: the area under the curve of the target while features are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval, quantity_parameter


@final
@dataclass(frozen=True, kw_only=True)
class Deletion(RemovalCurve, ByRemoval):
    """The area under the curve of the target while features are removed, the most relevant first.

    With s_k the share of the features that are removed at step k and f_k the target there, by the trapezoidal rule::

        deletion = sum over k of (s_{k+1} - s_k) (f_k + f_{k+1}) / 2

    As published, removed pixels become 0 after normalisation (``baseline``), and the target is the probability of the
    class (``quantity``) if the InputSpec says what the output holds. The start, where nothing is removed, belongs to
    the curve.

    The score depends on how the model responds to inputs unlike any it was trained on, so compare maps of one model
    only, and beside a control: a random order may lower the target as fast.

    References
    ----------
    Petsiuk, Das and Saenko, RISE: randomized input sampling for explanation of black-box models, BMVC 2018,
    arXiv:1806.07421.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "deletion").values
    array([3.75])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Petsiuk et al. 2018, arXiv:1806.07421"

    quantity: str = quantity_parameter("probability")
