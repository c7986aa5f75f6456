"""Momentum: gradient ascent with a running sum of gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.optimisers import Optimiser, learning_rate
from xaionnx.parameters import real
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Momentum(Optimiser):
    """Steps ``rate * m`` with ``m = decay m + g``; with ``decay=0``, or as ``ascent``, it is gradient ascent.

    References
    ----------
    Polyak, Some methods of speeding up the convergence of iteration methods, 1964, doi:10.1016/0041-5553(64)90137-5.
    """

    forms: ClassVar[tuple[Form[Optimiser], ...]] = (
        Form("momentum", lambda rate: Momentum(**_rate(rate)), "[:rate]", "momentum:0.1"),
        Form("ascent", lambda rate: Momentum(decay=0.0, **_rate(rate)), "[:rate]", "ascent:0.1", "plain gradient"),
    )

    learning_rate: float = learning_rate(0.05)
    decay: float = real(0.9, "share of the earlier sum", low=0, high=0.999999)

    def step(self, state: dict[str, Array], gradient: Array, value: Array | None = None) -> Array:
        del value
        state["sum"] = gradient + np.float32(self.decay) * state.get("sum", np.zeros_like(gradient))
        return np.asarray(np.float32(self.learning_rate) * state["sum"])


def _rate(text: str | None) -> dict[str, float]:
    return {} if text is None else {"learning_rate": float(text)}
