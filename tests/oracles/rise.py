"""RISE from its paper, pixel by pixel: nothing here is fast, nothing is shared with the library."""

import numpy as np


def interpolated(cells, shift, cell, shape):
    """One mask (H, W): cells resized to one more cell a side, with centres at half-integers, then cropped."""
    mask = np.zeros(shape)
    for h in range(shape[0]):
        for w in range(shape[1]):
            value = 0.0
            for weight_y, y in _neighbours(h + shift[0], cells.shape[0], cell[0]):
                for weight_x, x in _neighbours(w + shift[1], cells.shape[1], cell[1]):
                    value += weight_y * weight_x * cells[y, x]
            mask[h, w] = value
    return mask


def _neighbours(pixel, count, cell):
    at = min(max((pixel + 0.5) * count / ((count + 1) * cell) - 0.5, 0.0), count - 1.0)
    low = int(at)
    return [(1 - (at - low), low), (at - low, min(low + 1, count - 1))]


def plain(answers, masks, keep):
    """Equation 6, and the standard error of that mean."""
    terms = answers[:, None, None] * masks / keep
    return terms.mean(axis=0), terms.std(axis=0, ddof=1) / np.sqrt(len(terms))


def second_moments(grid, cell, shape, keep):
    """The covariance (H W, H W) of two pixels of a mask, summed over every shift and cell."""
    total = np.zeros((shape[0] * shape[1],) * 2)
    for top in range(cell[0]):
        for left in range(cell[1]):
            for k in range(grid[0] * grid[1]):
                one = np.zeros(grid)
                one.flat[k] = 1
                effect = interpolated(one, (top, left), cell, shape).ravel()
                total += keep * (1 - keep) * np.outer(effect, effect)
    return total / (cell[0] * cell[1])


def centred(answers, masks, keep, moments):
    """The covariance with the outputs divided by the variance of the masks, and the error of that mean."""
    terms = (answers - answers.mean())[:, None, None] * (masks - keep)
    variance = np.diag(moments).reshape(masks.shape[1:])
    return terms.mean(axis=0) / variance, terms.std(axis=0, ddof=1) / np.sqrt(len(terms)) / variance


def regression(answers, masks, keep, moments, blocks, ridge):
    """The regression estimator with the means over blocks (D, H W) as its features."""
    count, flat = len(masks), masks.reshape(len(masks), -1) - keep
    features = flat @ blocks.T
    within = features - features.mean(axis=0)
    penalty = ridge * (within**2).sum() / count * np.eye(len(blocks))
    slope = np.linalg.solve(within.T @ within + penalty, within.T @ (answers - answers.mean()))
    rest = answers - answers.mean() - within @ slope
    covariance = moments @ blocks.T @ slope + (rest[:, None] * flat).mean(axis=0)
    return (covariance / np.diag(moments)).reshape(masks.shape[1:])
