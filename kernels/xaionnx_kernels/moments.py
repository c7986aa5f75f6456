"""Running means of a gradient and of its square, and the step of Adam by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xaionnx_kernels._tier import compiled_pays

__all__ = ["adam_step"]

Floats = npt.NDArray[np.floating[Any]]  # Any: of either precision
# Arrays that numpy writes beyond the compiled loop.
_WORK = 6


def adam_step(
    gradient: Floats, moments: tuple[Floats, Floats], new: tuple[float, float], scale: float, rate: float
) -> tuple[Floats, Floats, Floats]:
    """Return the next running means m and v, and the step ``rate * m / (sqrt(v / scale) + 1e-8)``.

    Parameters
    ----------
    gradient : array of float
    moments : two arrays of the same shape and type
        The running means so far, of the gradient and of its square.
    new : (float, float)
        The share of what is new in each.
    scale, rate : float

    Returns
    -------
    three arrays
        m, v and the step.

    Examples
    --------
    >>> zero = np.zeros(1, np.float32)
    >>> [each.tolist() for each in adam_step(np.float32([4]), (zero, zero), (0.5, 0.25), 0.25, 0.5)]
    [[2.0], [4.0], [0.25]]
    """
    gradient, mean, square = (np.asarray(each, order="C") for each in (gradient, *moments))
    shares = np.float32(new[0]), np.float32(new[1])
    factors = np.float32(scale), np.float32(1e-8), np.float32(rate)
    if compiled_pays(_WORK * gradient.size):
        from xaionnx_kernels import _moment_loops  # loads Numba

        out = np.empty_like(gradient), np.empty_like(gradient), np.empty_like(gradient)
        before = mean.reshape(-1), square.reshape(-1)
        _moment_loops.adam(gradient.reshape(-1), before, shares, factors, tuple(each.reshape(-1) for each in out))
        return out
    mean = _towards(mean, gradient, shares[0])
    square = _towards(square, gradient * gradient, shares[1])
    step = square / factors[0]
    np.sqrt(step, out=step)
    step += factors[1]
    np.divide(mean, step, out=step)
    step *= factors[2]
    return mean, square, step


def _towards(mean: Floats, new: Floats, share: np.float32) -> Floats:
    moved = new - mean
    moved *= share
    moved += mean
    return moved
