"""Games that are small enough to evaluate every coalition."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from xaionnx_kernels.coalitions import all_coalitions

from xaionnx.explainers._games.blas import column_blocks, joined_columns
from xaionnx.explainers._games.sampling import Evaluator, evaluate
from xaionnx.perturb.game import Game
from xaionnx.typing import Array


def shapley_weights(players: int) -> Array:
    """Weights that make :func:`semivalue` the Shapley value, for coalitions of s = 0 .. P - 1 other players."""
    return np.array([1 / (players * math.comb(players - 1, size)) for size in range(players)])


def coalition_values(game: Game, evaluator: Evaluator | None = None) -> Array:
    """The targets for all coalitions, (2^P, T); player j is present in row r if bit j of r is set.

    ``evaluator`` replaces :func:`evaluate`, for example to reuse earlier evaluations.
    """
    evaluator = evaluator or partial(evaluate, game)
    values = np.empty((2**game.players, game.targets))
    values[0], values[-1] = game.empty, game.full
    values[1:-1] = evaluator(partial(all_coalitions, game.players), 1, len(values) - 1)
    return values


def semivalue(values: Array, weights: Array) -> Array:
    """The sum over coalitions of what each player adds, weighted by the size of the coalition.

    Parameters
    ----------
    values : array (2^P, T)
        From :func:`every_value`.
    weights : array (P,)
        The weight of a coalition of s other players, s = 0 .. P - 1.

    Returns
    -------
    array (T, P)
        sum over S without i of weights[|S|] (v(S + i) - v(S))
    """
    players = len(weights)
    sizes = np.array([row.bit_count() for row in range(2 ** (players - 1))])
    totals = np.empty((values.shape[1], players))
    for i in range(players):
        # The middle axis is bit i, so it pairs the rows that differ in this bit only.
        halves = values.reshape(2 ** (players - 1 - i), 2, 2**i, -1)
        gains = (halves[:, 1] - halves[:, 0]).reshape(2 ** (players - 1), -1)
        totals[:, i] = joined_columns([weights[sizes] @ block for block in column_blocks(gains)], len(totals))
    return totals
