"""L-BFGS: steps by the curvature that the last gradients show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.optimisers import Optimiser
from xaionnx.parameters import integer
from xaionnx.registry import Form
from xaionnx.typing import Array

# The share of the slope that a step has to gain: Nocedal and Wright, equation 3.4.
_GAIN: Final = 1e-4
# Pairs of lower curvature are left out, and a step that was halved so far is given up.
_LEAST: Final = 1e-10


@final
@dataclass(frozen=True, kw_only=True)
class Lbfgs(Optimiser):
    """Steps along H g, where H is the inverse curvature of the last pairs of changes s and differences of gradients y.

    Each call is one evaluation: a step that gains less than 1e-4 of its slope is halved, and the gradient there is not
    used. Where no share of a step gains, its pairs are forgotten, and the gradient itself is followed; where no share
    of that does either, the problem stays as it is. All B problems step beside each other, each with its own H and
    size, and the state is arrays, so that a search may stop and go on. H begins as ``s.y / y.y`` of the newest pair.

    References
    ----------
    Nocedal and Wright, Numerical optimization, 2nd edition 2006, doi:10.1007/978-0-387-40065-5, algorithms 3.1 and 7.4.
    """

    compares: ClassVar[bool] = True
    forms: ClassVar[tuple[Form[Optimiser], ...]] = (
        Form("lbfgs", lambda pairs: Lbfgs() if pairs is None else Lbfgs(pairs=int(pairs)), "[:pairs]", "lbfgs:20"),
    )

    pairs: int = integer(10, "number of steps that tell the curvature", low=1, high=100)

    def step(self, state: dict[str, Array], gradient: Array, value: Array | None = None) -> Array:
        if value is None:
            raise ParameterError("L-BFGS compares values, and was given none. Use adam, momentum or fista.")
        slope = gradient.reshape(len(gradient), -1).astype(np.float64)
        value = np.asarray(value, dtype=np.float64)
        if not state:
            # The first step has the length 1.
            length = np.maximum(np.linalg.norm(slope, axis=1), 1e-30)
            state |= {
                "value": value,
                "slope": slope,
                "direction": slope / length[:, None],
                "size": np.ones(len(slope)),
                "ended": np.zeros(len(slope), dtype=bool),
                "changes": np.zeros((self.pairs, *slope.shape)),
                "differences": np.zeros((self.pairs, *slope.shape)),
            }
            return np.asarray(state["direction"].reshape(gradient.shape), dtype=gradient.dtype)
        before, size = state["direction"].copy(), state["size"].copy()
        gained = value - state["value"] >= _GAIN * size * _dot(before, state["slope"])
        self._keep(state, size[:, None] * before, slope, gained)
        new = np.where(gained, 1.0, size / 2)
        gone = ~gained & (new < _LEAST)
        plain = ~np.any(_dot(state["changes"], state["changes"]) > 0, axis=0)
        state["ended"] = state["ended"] | (gone & plain)
        for name in ("changes", "differences"):
            state[name] = np.where(gone[:, None], 0.0, state[name])
        ahead = self._direction(state)
        ahead = np.where((_dot(ahead, state["slope"]) > 0)[:, None], ahead, state["slope"])
        # Without pairs the curvature is not known: the length is 1, as that of the first step.
        length = np.maximum(np.linalg.norm(state["slope"], axis=1), 1e-30)
        ahead = np.where(gone[:, None], state["slope"] / length[:, None], ahead)
        state["value"] = np.where(gained, value, state["value"])
        state["direction"] = np.where((gained | gone)[:, None], ahead, before)
        state["size"] = np.where(state["ended"], 0.0, np.where(gone, 1.0, new))
        # A step that was not taken is taken back.
        change = state["size"][:, None] * state["direction"] - np.where(gained, 0.0, size)[:, None] * before
        return np.asarray(change.reshape(gradient.shape), dtype=gradient.dtype)

    @staticmethod
    def _keep(state: dict[str, Array], change: Array, slope: Array, gained: Array) -> None:
        """Keep the pairs of the problems whose step was taken, and their gradients."""
        difference = state["slope"] - slope  # of the descent that ascent is
        curved = _dot(change, difference) > _LEAST * np.linalg.norm(change, axis=1) * np.linalg.norm(difference, axis=1)
        kept = (gained & curved)[:, None]
        for name, new in (("changes", change), ("differences", difference)):
            state[name] = np.where(kept, np.concatenate([state[name][1:], new[None]]), state[name])
        state["slope"] = np.where(gained[:, None], slope, state["slope"])

    @staticmethod
    def _direction(state: dict[str, Array]) -> Array:
        """H g, by two loops over the pairs; empty ones change nothing."""
        changes, differences = state["changes"], state["differences"]
        product = _dot(changes, differences)
        inverse = np.divide(1.0, product, out=np.zeros_like(product), where=product > 0)
        found, shares = state["slope"].copy(), np.zeros_like(product)
        for k in reversed(range(len(changes))):
            shares[k] = inverse[k] * _dot(changes[k], found)
            found -= shares[k][:, None] * differences[k]
        square = _dot(differences[-1], differences[-1])
        found *= np.divide(product[-1], square, out=np.ones_like(square), where=square > 0)[:, None]
        for k in range(len(changes)):
            found += (shares[k] - inverse[k] * _dot(differences[k], found))[:, None] * changes[k]
        return found


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("...d,...d->...", a, b))
