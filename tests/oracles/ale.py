"""Accumulated local effects by loops over samples and bins, after Apley and Zhu 2020 and their package ALEPlot."""

import numpy as np


def cell(edges, value):
    """The bin (edges[k], edges[k + 1]] of a number; the lowest edge is in the first."""
    for k in range(len(edges) - 1):
        if value <= edges[k + 1]:
            return k
    return len(edges) - 2


def one(f, rows, j, edges):
    """Equation 16 of the paper, centred over the middles of the bins as in ALEPlot."""
    effects, counts = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for row in rows:
        k = cell(edges, row[j])
        low, high = row.copy(), row.copy()
        low[j], high[j] = edges[k], edges[k + 1]
        effects[k] += f(high) - f(low)
        counts[k] += 1
    curve = [0.0]
    for k in range(len(effects)):
        curve.append(curve[-1] + effects[k] / counts[k])
    centre = sum(counts[k] * (curve[k] + curve[k + 1]) / 2 for k in range(len(effects))) / len(rows)
    return np.array(curve) - centre


def two(f, rows, i, j, first, second):
    """Equations 18 to 20 of the paper: second-order effects, without those of each feature alone."""
    g, h = len(first) - 1, len(second) - 1
    sums, counts = np.zeros((g, h)), np.zeros((g, h))
    for row in rows:
        k, m = cell(first, row[i]), cell(second, row[j])
        corners = {}
        for a in (0, 1):
            for b in (0, 1):
                moved = row.copy()
                moved[i], moved[j] = first[k + a], second[m + b]
                corners[a, b] = f(moved)
        sums[k, m] += corners[1, 1] - corners[0, 1] - corners[1, 0] + corners[0, 0]
        counts[k, m] += 1
    means = np.zeros((g, h))
    for k in range(g):
        for m in range(h):
            means[k, m] = sums[k, m] / counts[k, m] if counts[k, m] else np.nan
    filled = means.copy()
    centres = [(np.array(e[1:]) + e[:-1]) / 2 / (e[-1] - e[0]) for e in (first, second)]
    for k, m in np.argwhere(counts == 0):
        far = {
            (p, q): (centres[0][k] - centres[0][p]) ** 2 + (centres[1][m] - centres[1][q]) ** 2
            for p, q in np.argwhere(counts > 0)
        }
        filled[k, m] = means[min(far, key=far.get)]
    whole = np.zeros((g + 1, h + 1))
    for k in range(g):
        for m in range(h):
            whole[k + 1, m + 1] = filled[: k + 1, : m + 1].sum()
    along_first, along_second = [0.0], [0.0]
    for k in range(g):
        step = sum(
            counts[k, m] * (whole[k + 1, m] - whole[k, m] + whole[k + 1, m + 1] - whole[k, m + 1]) / 2 for m in range(h)
        )
        along_first.append(along_first[-1] + step / counts[k].sum())
    for m in range(h):
        step = sum(
            counts[k, m] * (whole[k, m + 1] - whole[k, m] + whole[k + 1, m + 1] - whole[k + 1, m]) / 2 for k in range(g)
        )
        along_second.append(along_second[-1] + step / counts[:, m].sum())
    rest = whole - np.array(along_first)[:, None] - np.array(along_second)[None]
    middle = (rest[1:, 1:] + rest[1:, :-1] + rest[:-1, 1:] + rest[:-1, :-1]) / 4
    return rest - (counts * middle).sum() / counts.sum()
