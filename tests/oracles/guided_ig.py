"""Guided integrated gradients by the paper's Algorithm 1, element by element, with the distance to the straight path
instead of anchors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from xaionnx.typing import Array


def path(
    gradient: Callable[[Array], Array], start: Array, end: Array, steps: int, fraction: float, max_dist: float
) -> Array:
    """The points z_0 .. z_steps, (steps + 1, F)."""
    start, end = start.astype(float), end.astype(float)
    z, points = start.copy(), [start.copy()]
    total = sum(abs(end[i] - start[i]) for i in range(len(end)))
    for t in range(1, steps + 1):
        y = [abs(slope) for slope in gradient(z)]
        near, far = max(t / steps - max_dist, 0.0), min(t / steps + max_dist, 1.0)
        bound = start + far * (end - start)
        # Elements too far behind the straight path catch up.
        for i in range(len(z)):
            if end[i] != start[i] and (z[i] - start[i]) / (end[i] - start[i]) < near:
                z[i] = start[i] + near * (end[i] - start[i])
        target = total * (1 - t / steps)
        while True:
            current = sum(abs(end[i] - z[i]) for i in range(len(z)))
            if current <= target or math.isclose(current, target, abs_tol=1e-9 * total):
                break
            for i in range(len(z)):
                if math.isclose(z[i], bound[i], rel_tol=0, abs_tol=1e-12):
                    y[i] = math.inf
            threshold = sorted(y)[int(fraction * (len(y) - 1))]
            chosen = [i for i in range(len(y)) if y[i] <= threshold and y[i] < math.inf]
            room = sum(abs(bound[i] - z[i]) for i in chosen)
            delta = (current - target) / room
            for i in chosen:
                z[i] = bound[i] if delta > 1 else (1 - delta) * z[i] + delta * bound[i]
        points.append(z.copy())
    return np.stack(points)
