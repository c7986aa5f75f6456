"""Total Sobol indices by their definition, on a grid of midpoints."""

import itertools

import numpy as np


def total_indices(f, players, steps):
    """E[Var(f | all but i)] / Var(f) over the full grid of midpoints of [0, 1]^P."""
    levels = (np.arange(steps) + 0.5) / steps
    points = np.array(list(itertools.product(levels, repeat=players)))
    table = f(points).reshape((steps,) * players)
    return np.array([table.var(axis=i).mean() / table.var() for i in range(players)])
