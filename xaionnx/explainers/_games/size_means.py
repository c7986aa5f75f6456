"""The variance of sums over coalitions that are drawn by size, every player as often as the others.

Such a draw adds up without error what is linear in the players, such as the mean residual r(t) of the coalitions of
size t times a score that is linear in them. These means are therefore taken off the residuals (the variance
approximation of Deville and Tille 2005, Journal of Statistical Planning and Inference 128, for balanced samples). How
far the draw was not balanced, the sum of the scores minus its expectation, is known, and its square is part of the
variance::

    V = sum over draws of (score (r - r(t)))^2  +  sum over h of (sum over t in h, P - h of r(t) shift(t))^2
"""

from __future__ import annotations

import numpy as np

from xaionnx.typing import Array


def about_size_means(residuals: Array, sizes: Array, is_random: Array, players: int) -> tuple[Array, Array]:
    """The residuals minus their mean at each size, and these means.

    Parameters
    ----------
    residuals : array (R, T)
    sizes : array of int (R,)
        The size of each row's coalition.
    is_random : array of bool (R,)
        Whether a row was drawn; the others are left as they are.

    Returns
    -------
    centred : array (R, T)
        Scaled so that their squares add up to the variance times the number of rows.
    means : array (P + 1, T)
        By size; 0 where fewer than two rows were drawn.

    Examples
    --------
    >>> residuals = np.array([[1.0], [3.0], [5.0]])
    >>> centred, means = about_size_means(residuals, np.array([2, 2, 1]), np.ones(3, bool), players=4)
    >>> centred.round(2).ravel().tolist(), means.ravel().tolist()
    ([-1.41, 1.41, 5.0], [0.0, 0.0, 2.0, 0.0, 0.0])
    """
    counts = np.bincount(sizes[is_random], minlength=players + 1)
    several = counts > 1
    means = np.zeros((players + 1, residuals.shape[1]))
    # Target by target, so that the bits are the same for any number of them.
    for t in range(residuals.shape[1]):
        sums = np.bincount(sizes, np.where(is_random, residuals[:, t], 0.0), players + 1)
        means[several, t] = sums[several] / counts[several]
    scale = np.ones(players + 1)
    scale[several] = np.sqrt(counts[several] / (counts[several] - 1))
    return (residuals - np.where(is_random[:, None], means[sizes], 0.0)) * scale[sizes, None], means


def imbalance(means: Array, shifts: Array) -> Array:
    """The part (K, T) of the variance that the draw did not balance.

    Parameters
    ----------
    means : array (P + 1, T)
        The mean residual of each size.
    shifts : array (P + 1, K)
        The sum of the scores of a size minus its expectation.
    """
    players = len(means) - 1
    found = np.zeros((shifts.shape[1], means.shape[1]))
    for size in range(1, players // 2 + 1):
        # A coalition and its complement are drawn together.
        both = sorted({size, players - size})
        found += np.square(sum((np.multiply.outer(shifts[t], means[t]) for t in both), start=np.zeros_like(found)))
    return found


def sums_by_size(scores: Array, sizes: Array, players: int) -> Array:
    """The sums (P + 1, K) of scores (R, K) of each size."""
    found = np.zeros((players + 1, scores.shape[1]))
    for size in np.unique(sizes).tolist():
        found[size] = scores[sizes == size].sum(axis=0)
    return found
