"""Adam: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.optimisers import Optimiser, learning_rate
from xaionnx.parameters import real
from xaionnx.registry import Form
from xaionnx.typing import Array

_EPSILON = 1e-8


@final
@dataclass(frozen=True, kw_only=True)
class Adam(Optimiser):
    r"""Steps ``rate * m / (sqrt(v) + 1e-8)``, with running means m of the gradient g and v of its square::

        m = b1 m + (1 - b1) g          v = b2 v + (1 - b2) g^2,         each divided by 1 - b^t at step t

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980, algorithm 1.
    """

    forms: ClassVar[tuple[Form[Optimiser], ...]] = (
        Form("adam", lambda rate: Adam() if rate is None else Adam(learning_rate=float(rate)), "[:rate]", "adam:0.05"),
    )

    learning_rate: float = learning_rate(0.02)
    beta1: float = real(0.9, "share of the earlier mean of gradients", low=0, high=0.999999)
    beta2: float = real(0.999, "share of the earlier mean of squares", low=0, high=0.999999)

    def step(self, state: dict[str, Array], gradient: Array, value: Array | None = None) -> Array:
        del value
        if not state:
            state |= {
                "mean": np.zeros_like(gradient),
                "square": np.zeros_like(gradient),
                "steps": np.zeros((), np.int64),
            }
        state["steps"] += 1
        mean, square, steps = state["mean"], state["square"], int(state["steps"])
        mean += np.float32(1 - self.beta1) * (gradient - mean)
        square += np.float32(1 - self.beta2) * (gradient * gradient - square)
        size = np.sqrt(square / np.float32(1 - self.beta2**steps)) + np.float32(_EPSILON)
        return np.asarray(np.float32(self.learning_rate / (1 - self.beta1**steps)) * mean / size)
