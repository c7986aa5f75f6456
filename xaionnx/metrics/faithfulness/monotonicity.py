"""Monotonicity: whether the target rises with every feature that enters, the least relevant first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Monotonicity(RemovalCurve, ByRemoval):
    """The share of steps at which the target does not fall while features enter the baseline, the least relevant first.

    It is 1 where every step keeps or raises the target, which the paper calls monotonic. Steps are compared to a
    relative 1e-6, the rounding of single precision.

    References
    ----------
    Arya et al., One explanation does not fit all: a toolkit and taxonomy of AI explainability techniques, 2019,
    arXiv:1909.03012; Luss et al., Leveraging latent features for local explanations, 2021, arXiv:1905.12698.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, -2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "monotonicity").values
    array([0.75])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Arya et al. 2019, arXiv:1909.03012"

    def summary(self, counts: Array, curve: Array) -> tuple[float, str]:
        # Removing the most relevant first passes the same coalitions from the other end.
        rises = curve[:-1] - curve[1:]
        return float((rises >= -1e-6 * np.abs(curve).max()).mean()), ""
