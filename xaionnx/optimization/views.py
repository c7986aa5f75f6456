"""Views: random crops of a canvas, moved, scaled and turned, and the transpose of taking one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.typing import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@final
@dataclass(frozen=True, eq=False)
class View:
    """A linear map from pictures (B, C, H, W) to crops (B, C, h, w), by bilinear interpolation.

    Beyond its border the canvas is reflected. What excites a unit in all views is a form; what does in one is noise.
    """

    matrix: csr_array
    canvas: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def random(
        cls,
        canvas: tuple[int, int],
        size: tuple[int, int],
        rng: np.random.Generator,
        *,
        jitter: float,
        zoom: float,
        rotation: float,
    ) -> View:
        """Return a view moved by up to ``jitter`` of its side, scaled by up to ``zoom``, turned by up to degrees."""
        angle = np.deg2rad(rng.uniform(-rotation, rotation))
        scale = np.exp(rng.uniform(-1, 1) * np.log(zoom))
        return cls.at(canvas, size, angle, scale, rng.uniform(-1, 1, 2) * jitter * min(size))

    @classmethod
    def at(
        cls,
        canvas: tuple[int, int],
        size: tuple[int, int],
        angle: float = 0.0,
        zoom: float = 1.0,
        shift: Array | float = 0.0,
    ) -> View:
        """Return the view of the middle, turned by an angle in radians, enlarged and moved by pixels (down, right)."""
        from scipy.sparse import csr_array

        height, width = size
        rows, columns = np.meshgrid(
            np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij"
        )
        down, right = np.broadcast_to(np.asarray(shift, dtype=np.float64), 2)
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        y = (cosine * rows + sine * columns + down + (canvas[0] - 1) / 2).reshape(-1)
        x = (cosine * columns - sine * rows + right + (canvas[1] - 1) / 2).reshape(-1)
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        below, beside = y - top, x - left
        places, weights = [], []
        for i, wy in ((0, 1 - below), (1, below)):
            for j, wx in ((0, 1 - beside), (1, beside)):
                places.append(_reflected(top + i, canvas[0]) * canvas[1] + _reflected(left + j, canvas[1]))
                weights.append(wy * wx)
        count = height * width
        indices, data = np.stack(places, axis=1).reshape(-1), np.stack(weights, axis=1).reshape(-1).astype(np.float32)
        matrix = csr_array((data, indices, np.arange(0, 4 * count + 1, 4)), shape=(count, canvas[0] * canvas[1]))
        return cls(matrix, canvas, size)

    def crops(self, pictures: Array) -> Array:
        """Return the crops of pictures."""
        flat = pictures.reshape(-1, self.matrix.shape[1]).T
        return np.ascontiguousarray((self.matrix @ flat).T).reshape(*pictures.shape[:2], *self.size)

    def back(self, gradient: Array) -> Array:
        """Return the transpose of :meth:`crops`."""
        flat = gradient.reshape(-1, self.matrix.shape[0]).T
        return np.ascontiguousarray((self.matrix.T @ flat).T).reshape(*gradient.shape[:2], *self.canvas)


def _reflected(position: Array, size: int) -> Array:
    """Positions beyond either end, reflected there."""
    if size == 1:
        return np.zeros_like(position)
    turn = 2 * (size - 1)
    folded = np.abs(position) % turn
    return np.asarray(np.minimum(folded, turn - folded))
