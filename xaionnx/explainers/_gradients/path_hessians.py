"""Matrices of integrated Hessians: from second derivatives at points of a path, or from secants between points."""

from __future__ import annotations

from typing import Final

import numpy as np

from xaionnx.explainers._gradients.logarithmic_rule import logarithmic_rule
from xaionnx.explainers._gradients.path_players import members
from xaionnx.explainers._gradients.paths import Paths
from xaionnx.gradients.target_hessians import TargetHessians
from xaionnx.perturb.players import Players
from xaionnx.typing import Array

# Gradients tell where in a cell they change; one is cheap beside the products for all players.
_PARTS: Final = 4


def by_points(hessians: TargetHessians, paths: Paths, n: int, players: Players, steps: int) -> Array:
    """The matrices (T, P, P) of one sample from Hessians at ``steps`` points, averaged over the baselines."""
    shares, weights = logarithmic_rule(steps)
    count = players.count
    found = np.zeros((hessians.targets, count, count))
    for draw in range(paths.draws):
        moves = _moves(paths, n, draw, players)
        for piece in hessians.at(n, [_points(paths, n, draw, shares)], moves):
            weight, own = weights[piece.places] / paths.draws, found[piece.target]
            for name in piece.products:
                own[piece.some] += _curved(weight * shares[piece.places], piece.products[name], moves[name])
                if piece.some.start == 0:
                    sloped = np.tensordot(weight, piece.gradients[name].astype(np.float64), 1)
                    own[np.diag_indices(count)] += _flat(moves[name]) @ sloped.reshape(-1)
    return found


def by_secants(hessians: TargetHessians, paths: Paths, n: int, players: Players, steps: int) -> Array:
    """The matrices (T, P, P) of one sample from secants over ``steps`` cells, averaged over the baselines.

    Cells are narrow at both ends, as points of Gauss-Legendre. Gradients are taken at the ends of the parts of each
    cell too, and are linear between them. The weight ``-s ln s`` of a cell is the mean over its parts, by their shares
    in the change of the gradient over the cell, so that it is that of the part where all of the change is at one kink.
    """
    edges = np.sin(np.linspace(0, np.pi / 2, steps + 1)) ** 2
    fine = np.interp(np.arange(steps * _PARTS + 1) / _PARTS, np.arange(steps + 1), edges)
    low, high = fine[:-1], fine[1:]
    mean, first = np.diff(_integral(fine)), np.diff(_first_moment(fine))
    after = (first - low * mean) / (high - low)
    slope_weights = np.append(mean - after, 0.0) + np.insert(after, 0, 0.0)
    part_weights = first / (high - low)  # the means of - s ln s
    count = players.count
    found = np.zeros((hessians.targets, count, count))
    for draw in range(paths.draws):
        slopes = _slopes(paths, n, draw, players, fine)
        found[:, np.arange(count), np.arange(count)] += slope_weights @ slopes / paths.draws
        weights = _cell_weights(np.diff(slopes, axis=1), part_weights) * np.diff(edges) / paths.draws
        moves = _moves(paths, n, draw, players)
        ends = [_points(paths, n, draw, share) for share in (edges[:-1], edges[1:])]
        for piece in hessians.at(n, ends, moves):
            for name in piece.products:
                weight = weights[piece.target, piece.places]
                found[piece.target][piece.some] += _curved(weight, piece.products[name], moves[name])
    return found


def _cell_weights(changes: Array, part_weights: Array) -> Array:
    """The weights (T, M) of cells, from the changes (T, M * parts, P) of slopes and the weights of the parts."""
    parts = changes.reshape(len(changes), -1, _PARTS, changes.shape[-1])
    weights = part_weights.reshape(-1, _PARTS)
    total = parts.sum(axis=2)
    along = np.einsum("tmkp,tmp->tmk", parts, total)
    size = along.sum(axis=2)
    plain = np.broadcast_to(weights.mean(axis=1), size.shape)
    found = np.divide((along * weights).sum(axis=2), size, out=plain.copy(), where=size > 0)
    # Changes that cancel within a cell may lead anywhere.
    return np.asarray(np.clip(found, weights.min(axis=1), weights.max(axis=1)))


def _slopes(paths: Paths, n: int, draw: int, players: Players, shares: Array) -> Array:
    """The slopes (T, S, P) of the players: (x - b) times the gradient at shares (S,) of a path."""
    targets = np.arange(paths.gradients.targets)
    found = np.zeros((len(targets), len(shares), players.count))
    draws = np.full(len(shares), draw)
    for some, _, place, parts in paths.contributions(targets, np.array([n]), draws, shares):
        for name, values in parts.items():
            own = members(players, name, values.shape[2:]).reshape(players.count, -1)
            found[np.ix_(some, place)] += values.reshape(*values.shape[:2], -1).astype(np.float64) @ own.T
    return found


def _moves(paths: Paths, n: int, draw: int, players: Players) -> dict[str, Array]:
    """The way of each player alone from a baseline to the sample."""
    return {
        name: members(players, name, x.shape[1:]) * (x[n] - paths.starts[name][n, draw])
        for name, x in paths.points.x.items()
    }


def _points(paths: Paths, n: int, draw: int, shares: Array) -> dict[str, Array]:
    found = {}
    for name, x in paths.points.x.items():
        start = paths.starts[name][n, draw]
        column = shares.reshape(-1, *(1,) * start.ndim).astype(start.dtype)
        found[name] = start + column * (x[n] - start)
    return found


def _curved(weight: Array, products: Array, moves: Array) -> Array:
    """Weighted products (m, u, ...) of Hessians with the ways of u players, times those of all: (u, P)."""
    summed = np.tensordot(weight, products.astype(np.float64), 1)
    flat = _flat(moves)
    return np.asarray(summed.reshape(-1, flat.shape[1]) @ flat.T)


def _flat(moves: Array) -> Array:
    flat: Array = moves.reshape(len(moves), -1).astype(np.float64)
    return flat


def _integral(s: Array) -> Array:
    """The integral of - ln from 0."""
    return np.asarray(s - s * np.log(np.maximum(s, np.finfo(float).tiny)))


def _first_moment(s: Array) -> Array:
    """The integral of - s ln s from 0."""
    return np.asarray(s**2 / 4 - s**2 / 2 * np.log(np.maximum(s, np.finfo(float).tiny)))
