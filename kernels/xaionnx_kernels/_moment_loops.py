"""Compiled loops of ``moments``; see ``_loops``."""

from __future__ import annotations

import numpy as np

from xaionnx_kernels._loops import _compile


@_compile
def adam(gradient, moments, shares, factors, out):  # type: ignore[no-untyped-def]  # Numba compiles it for the types of each call
    """gradient (N,), and moments and out, two and three arrays (N,)."""
    (mean, square), (new_mean, new_square, step) = moments, out
    scale, epsilon, rate = factors
    for i in range(gradient.shape[0]):
        g = gradient[i]
        m = (g - mean[i]) * shares[0] + mean[i]
        v = (g * g - square[i]) * shares[1] + square[i]
        new_mean[i], new_square[i] = m, v
        step[i] = m / (np.sqrt(v / scale) + epsilon) * rate
