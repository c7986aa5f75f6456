"""LIME from its paper: the normal equations with the intercept as an unpenalised column of ones."""

import itertools

import numpy as np


def coalitions(players):
    return np.array(list(itertools.product([0.0, 1.0], repeat=players)))


def cosine_weights(z, width):
    weights = []
    for row in z:
        norm = np.sqrt(row @ row) * np.sqrt(len(row))
        similarity = row.sum() / norm if norm else 0.0
        weights.append(np.sqrt(np.exp(-((1 - similarity) ** 2) / width**2)))
    return np.array(weights)


def l2_weights(z, width):
    distance = np.sqrt(((1 - z) ** 2).sum(axis=1) / z.shape[1])
    return np.sqrt(np.exp(-(distance**2) / width**2))


def ridge(z, answers, weights, alpha):
    """The intercept, the coefficients, and the explained share of the weighted variance."""
    design = np.column_stack([np.ones(len(z)), z])
    penalty = alpha * np.diag([0.0] + [1.0] * z.shape[1])
    solution = np.linalg.solve(design.T @ np.diag(weights) @ design + penalty, design.T @ (weights * answers))
    left = weights @ (answers - design @ solution) ** 2
    around = weights @ (answers - weights @ answers / weights.sum()) ** 2
    return solution[0], solution[1:], 1 - left / around
