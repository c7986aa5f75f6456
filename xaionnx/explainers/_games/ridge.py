"""The ridge regression of LIME, KernelSHAP and Banzhaf values, by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array


def ridge(scales: Array, axes: Array, moments: Sequence[Array], alpha: float) -> list[Array]:
    """Return the coefficients of a ridge regression whose rows are known by their sums alone, (P, T) for each block.

    In the axes of the Gram matrix the regression is one of a diagonal table, with as many rows as unknowns, however
    many rows were evaluated. Each of its sums has one term, so that one fit of all blocks has the bits of a fit of
    each.

    Parameters
    ----------
    scales, axes : arrays (K,) and (P, K)
        Eigenvalues of the Gram matrix, none below zero, and their eigenvectors.
    moments : sequence of arrays (P, T)
        The products of the rows with the outputs, in blocks of as many columns.
    alpha : float
        Strength of the ridge.

    Examples
    --------
    >>> rows, outputs = np.array([[1.0, 0], [1, 1], [0, 1]]), np.array([[2.0], [3], [1]])
    >>> ridge(*np.linalg.eigh(rows.T @ rows), [rows.T @ outputs], 0.0)[0].round(12).tolist()
    [[2.0], [1.0]]
    """
    from sklearn.linear_model import Ridge

    roots = np.sqrt(scales)
    targets = [(axes.T @ moment) / np.maximum(roots, np.finfo(float).tiny)[:, None] for moment in moments]
    regression = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky")
    fitted = np.reshape(regression.fit(np.diag(roots), np.concatenate(targets, axis=1)).coef_, (-1, len(scales))).T
    return [axes @ np.ascontiguousarray(block) for block in np.split(fitted, len(moments), axis=1)]
