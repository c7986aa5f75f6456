"""Games small enough to ask for every coalition."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from xaionnx_kernels.coalitions import all_coalitions

from xaionnx.explainers._games.sampling import Answering, evaluate
from xaionnx.perturb.game import Game
from xaionnx.typing import Array


def shapley_weights(players: int) -> Array:
    """What :func:`semivalue` weighs a coalition of s others by for the Shapley value, s = 0 .. P - 1."""
    return np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])


def every_value(game: Game, answer: Answering | None = None) -> Array:
    """The targets for all coalitions, (2^P, T); player j is in row r where bit j of r is set.

    ``answer`` takes the place of :func:`evaluate`, if some coalitions were asked before.
    """
    answer = answer or partial(evaluate, game)
    values = np.empty((2**game.players, game.targets))
    values[0], values[-1] = game.empty, game.full
    values[1:-1] = answer(partial(all_coalitions, game.players), 1, len(values) - 1)
    return values


def semivalue(values: Array, weights: Array) -> Array:
    """What each player adds to the coalitions of the others, weighed by their size.

    Parameters
    ----------
    values : array (2^P, T)
        From :func:`every_value`.
    weights : array (P,)
        Of a coalition of s others, s = 0 .. P - 1.

    Returns
    -------
    array (T, P)
        sum over S without i of weights[|S|] (v(S + i) - v(S))
    """
    players = len(weights)
    sizes = np.array([row.bit_count() for row in range(2 ** (players - 1))])
    found = np.empty((values.shape[1], players))
    for i in range(players):
        # Bit i is the middle axis: rows that differ in it alone lie beside each other.
        halves = values.reshape(2 ** (players - 1 - i), 2, 2**i, -1)
        gains = (halves[:, 1] - halves[:, 0]).reshape(2 ** (players - 1), -1)
        found[:, i] = weights[sizes] @ gains
    return found
