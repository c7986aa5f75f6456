"""The ridge regression of LIME, KernelSHAP and Banzhaf values, by scikit-learn."""

from __future__ import annotations

import numpy as np

from xaionnx.typing import Array


def ridge(scales: Array, axes: Array, moment: Array, alpha: float) -> Array:
    """Return the coefficients (P, T) of a ridge regression whose rows are known by their sums alone.

    In the axes of the Gram matrix the regression is one of a diagonal table, with as many rows as unknowns, however
    many rows were evaluated.

    Parameters
    ----------
    scales, axes : arrays (K,) and (P, K)
        Eigenvalues of the Gram matrix, none below zero, and their eigenvectors.
    moment : array (P, T)
        The products of the rows with the outputs.
    alpha : float
        Strength of the ridge.

    Examples
    --------
    >>> rows, outputs = np.array([[1.0, 0], [1, 1], [0, 1]]), np.array([[2.0], [3], [1]])
    >>> ridge(*np.linalg.eigh(rows.T @ rows), rows.T @ outputs, 0.0).round(12).tolist()
    [[2.0], [1.0]]
    """
    from sklearn.linear_model import Ridge

    roots = np.sqrt(scales)
    target = (axes.T @ moment) / np.maximum(roots, np.finfo(float).tiny)[:, None]
    fitted = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(np.diag(roots), target).coef_
    coefficients: Array = axes @ np.reshape(fitted, (-1, len(scales))).T
    return coefficients
