"""FISTA: accelerated proximal gradient steps."""

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
class Fista(Optimiser):
    """Steps along the gradient ahead of the last point, then a soft threshold of the change x since the start::

        x_k = soft(y_k + rate g(y_k), rate shrink)        y_{k+1} = x_k + (t_k - 1) / t_{k+1} (x_k - x_{k-1})
        t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2

    It maximises ``f(start + x) - shrink |x|_1``: with ``shrink`` above 0, most of what the search could change stays as
    it was. Where the last step leads downhill, t begins anew at 1 (O'Donoghue and Candès 2015, arXiv:1204.3982).

    References
    ----------
    Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems, SIAM Journal on
    Imaging Sciences 2(1), 2009, doi:10.1137/080716542, section 4.
    """

    compares: ClassVar[bool] = True
    forms: ClassVar[tuple[Form[Optimiser], ...]] = (
        Form("fista", lambda rate: Fista() if rate is None else Fista(learning_rate=float(rate)), "[:rate]", "fista:1"),
    )

    learning_rate: float = learning_rate(1.0)
    shrink: float = real(0.0, "weight of the sum of the sizes of all changes, which is subtracted", low=0)

    def step(self, state: dict[str, Array], gradient: Array, value: Array | None = None) -> Array:
        del value  # the restart asks the gradient
        zero, count = np.zeros_like(gradient), (len(gradient), *(1,) * (gradient.ndim - 1))
        point, ahead = state.get("point", zero), state.get("ahead", zero)
        turn = state.get("turn", np.ones(count, dtype=np.float32))
        moved = ahead + np.float32(self.learning_rate) * gradient
        new = soft_threshold(moved, np.asarray(self.learning_rate * self.shrink, dtype=np.float32))
        uphill = ((new - ahead) * (new - point)).reshape(len(new), -1).sum(axis=1).reshape(count) >= 0
        there, following = accelerated(new, point, uphill, turn)
        state |= {"point": new, "ahead": there, "turn": following}
        return np.asarray(there - ahead)


def soft_threshold(x: Array, threshold: Array | float) -> Array:
    """Return x moved towards 0 by a threshold, and 0 where it is smaller: the proximal map of the sum of sizes.

    Examples
    --------
    >>> soft_threshold(np.array([-3.0, 0.5, 2.0]), 1)
    array([-2.,  0.,  1.])
    """
    return np.asarray(np.sign(x) * np.maximum(np.abs(x) - threshold, 0))


def accelerated(new: Array, last: Array, better: Array | bool, turn: Array | float) -> tuple[Array, Array]:
    """Return the point ahead of a new one, along the way from the last, and the next t of FISTA.

    Where the last step was not ``better``, t begins anew at 1, and the point is the new one.
    """
    now = np.where(better, turn, 1).astype(new.dtype)
    following = (1 + np.sqrt(1 + 4 * now**2)) / 2
    return np.asarray(new + (now - 1) / following * (new - last)), np.asarray(following)
