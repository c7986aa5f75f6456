"""Which players a surrogate keeps: from the Gram matrix of centred, weighted rows and their products with the outputs.

References
----------
Ribeiro, Singh and Guestrin, "Why should I trust you?", KDD 2016, arXiv:1602.04938, algorithm 1 (K-Lasso).
Efron, Hastie, Johnstone and Tibshirani, Least angle regression, Annals of Statistics 32, 2004,
doi:10.1214/009053604000000067, arXiv:math/0406456.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from xaionnx.typing import Array

CHOICES: Final = ("forward", "lasso_path", "weights")
"""How players are chosen, by name."""

# A player with less of its variance left is a combination of those that were taken.
_LEFT: Final = 1e-9


def on_lasso_path(gram: Array, moment: Array, count: int, rows: int) -> Array:
    """Return the players at the last point of the Lasso's path (least angles) that has at most ``count`` of them.

    Parameters
    ----------
    gram : array (P, P)
    moment : array (P,)
    count : int
    rows : int
        The number of rows, by which the path is scaled.

    Examples
    --------
    >>> on_lasso_path(np.eye(3), np.array([1.0, -3.0, 2.0]), 2, 1)
    array([1, 2])
    """
    from sklearn.linear_model import lars_path_gram

    _, _, path = lars_path_gram(Xy=moment, Gram=gram, n_samples=rows, method="lasso")
    counts = np.count_nonzero(path, axis=0)
    selected = path[:, np.flatnonzero(counts <= count)[-1]]
    # If the game is zero everywhere the path has no step, and any player will do.
    return np.flatnonzero(selected) if selected.any() else np.arange(1)


def forward(gram: Array, moment: Array, count: int) -> Array:
    """Return ``count`` players: one after the other, that with which least squares leaves the smallest residual.

    Of equal ones it is the first.

    Parameters
    ----------
    gram : array (P, P)
    moment : array (P,)
    count : int

    Examples
    --------
    >>> forward(np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]), np.array([2.0, 1.9, 0.5]), 2)
    array([0, 2])
    """
    left, rest, whole = gram.copy(), moment.copy(), np.diag(gram)
    chosen: list[int] = []
    for _ in range(min(count, len(gram))):
        # What the players taken so far explain is swept out of all others.
        own = np.diag(left)
        useful = own > _LEFT * whole
        gains = np.where(useful, np.square(rest) / np.where(useful, own, 1), -1.0)
        gains[chosen] = -2.0
        best = int(gains.argmax())
        chosen.append(best)
        if useful[best]:
            share = left[:, best] / own[best]
            rest = rest - share * rest[best]
            left = left - np.outer(share, left[best])
    return np.sort(chosen)
