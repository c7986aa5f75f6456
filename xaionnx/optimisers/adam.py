"""Adam: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from xaionnx_kernels.moments import adam_step

from xaionnx.optimisers import Optimiser, learning_rate
from xaionnx.parameters import real
from xaionnx.registry import Form
from xaionnx.typing import Array


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
        steps = int(state.get("steps", 0)) + 1
        moments = (state["mean"], state["square"]) if state else (np.zeros_like(gradient), np.zeros_like(gradient))
        rate = self.learning_rate / (1 - self.beta1**steps)
        mean, square, change = adam_step(
            gradient, moments, (1 - self.beta1, 1 - self.beta2), 1 - self.beta2**steps, rate
        )
        state |= {"mean": mean, "square": square, "steps": np.array(steps)}
        return change
