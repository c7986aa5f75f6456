"""Gauss quadrature with the weight -ln s: integrals over the product of two uniform shares of a path."""

from __future__ import annotations

from functools import cache

import numpy as np

from xaionnx.typing import Array


@cache
def logarithmic_rule(count: int) -> tuple[Array, Array]:
    """Nodes in (0, 1) and weights, (count,) each, of the integral of ``-ln(s) g(s)``; exact to degree 2 count - 1.

    The product s of two independent uniform numbers has the density -ln s, so that the sum is the mean of g(a b). The
    recurrence of the orthogonal polynomials comes from the moments of shifted Legendre polynomials, 1 and ``(-1)^n / (n
    (n + 1))`` times their leading coefficients, by the modified Chebyshev algorithm, which is stable; nodes are the
    eigenvalues of its Jacobi matrix.

    References
    ----------
    Golub and Welsch, Calculation of Gauss quadrature rules, Math. Comp. 23, 1969, doi:10.1090/S0025-5718-69-99647-1;
    Gautschi, On generating orthogonal polynomials, SIAM J. Sci. Stat. Comput. 3, 1982, doi:10.1137/0903018.

    Examples
    --------
    >>> nodes, weights = logarithmic_rule(4)
    >>> (weights @ nodes**3).round(6).item(), 1 / 16
    (0.0625, 0.0625)
    """
    order = np.arange(2 * count)
    # Monic shifted Legendre polynomials: p_{k+1} = (s - 1/2) p_k - b_k p_{k-1}.
    legendre = np.zeros(2 * count)
    legendre[1:] = 1 / (4 * (4 - 1 / order[1:].astype(float) ** 2))
    leading = np.cumprod([1.0, *(order[1:] / (2 * (2 * order[1:] - 1)))])
    moments = np.ones(2 * count)
    moments[1:] = (-1.0) ** order[1:] / (order[1:] * (order[1:] + 1))
    before, mixed = np.zeros(2 * count), moments * leading
    middle, off = np.zeros(count), np.zeros(count)
    middle[0], off[0] = 0.5 + mixed[1] / mixed[0], mixed[0]
    for k in range(1, count):
        following = np.zeros(2 * count)
        for n in range(k, 2 * count - k):
            following[n] = (
                mixed[n + 1] + (0.5 - middle[k - 1]) * mixed[n] - off[k - 1] * before[n] + legendre[n] * mixed[n - 1]
            )
        middle[k] = 0.5 + following[k + 1] / following[k] - mixed[k] / mixed[k - 1]
        off[k] = following[k] / mixed[k - 1]
        before, mixed = mixed, following
    values, vectors = np.linalg.eigh(np.diag(middle) + np.diag(np.sqrt(off[1:]), 1) + np.diag(np.sqrt(off[1:]), -1))
    return values, vectors[0] ** 2
