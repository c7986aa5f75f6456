"""Views: random crops of a canvas, moved, scaled and turned, and the transpose of taking one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array


# Of what lies beyond a border that is not reflected.
_GRAY: Final = 0.5


@final
@dataclass(frozen=True)
class Moves:
    """How far random views are moved.

    Attributes
    ----------
    jitter : float
        As a share of their shorter side.
    zoom : float
        As a factor, up or down.
    rotation : float
        In degrees, to either side.
    reflect : bool
        Whether the canvas is reflected at its border; gray if not.
    fit : float
        How much larger a pixel of the canvas is than one of the view without a zoom.
    """

    jitter: float
    zoom: float
    rotation: float
    reflect: bool = True
    fit: float = 1.0


@final
@dataclass(frozen=True, eq=False)
class View:
    """A linear map from pictures (B, C, H, W) to crops (B, C, h, w), by bilinear interpolation.

    Beyond its border the canvas is reflected, or gray. What excites a unit in all views is a form; what does in one is
    noise.

    Attributes
    ----------
    matrix : sparse array (h w, H W)
    canvas, size : (int, int)
        (H, W) and (h, w).
    gray : array (h w,), optional
        How much of each pixel lies beyond the border, where that is gray.
    """

    matrix: csr_array
    canvas: tuple[int, int]
    size: tuple[int, int]
    gray: Array | None = None

    __repr__ = short_repr

    @classmethod
    def random(
        cls,
        canvas: tuple[int, int],
        size: tuple[int, int],
        rng: np.random.Generator,
        moves: Moves,
    ) -> View:
        """Return a random view within the limits of ``moves``."""
        angle = np.deg2rad(rng.uniform(-moves.rotation, moves.rotation))
        scale = np.exp(rng.uniform(-1, 1) * np.log(moves.zoom))
        shift = rng.uniform(-1, 1, 2) * moves.jitter * min(size) / moves.fit
        return cls.at(canvas, size, angle, scale * moves.fit, shift, reflect=moves.reflect)

    @classmethod
    def at(
        cls,
        canvas: tuple[int, int],
        size: tuple[int, int],
        angle: float = 0.0,
        zoom: float = 1.0,
        shift: Array | float = 0.0,
        *,
        reflect: bool = True,
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
        top, left = np.floor(y), np.floor(x)
        (rows0, below0, rows1, below1) = _taps(top, y - top, canvas[0], reflect)
        (columns0, beside0, columns1, beside1) = _taps(left, x - left, canvas[1], reflect)
        indices = np.empty((height * width, 4), dtype=np.int32)
        data = np.empty((height * width, 4), dtype=np.float32)
        pairs = (
            (rows0, below0, columns0, beside0),
            (rows0, below0, columns1, beside1),
            (rows1, below1, columns0, beside0),
            (rows1, below1, columns1, beside1),
        )
        for k, (row, wy, column, wx) in enumerate(pairs):
            indices[:, k] = row * canvas[1] + column
            data[:, k] = wy * wx
        count = height * width
        ends = np.arange(0, 4 * count + 1, 4, dtype=np.int32)
        matrix = csr_array((data.reshape(-1), indices.reshape(-1), ends), shape=(count, canvas[0] * canvas[1]))
        return cls(matrix, canvas, size, None if reflect else 1 - data.sum(axis=1))

    def crops(self, pictures: Array) -> Array:
        """Return the crops of pictures."""
        flat = pictures.reshape(-1, self.matrix.shape[1]).T
        crops = np.ascontiguousarray((self.matrix @ flat).T)
        if self.gray is not None:
            crops += np.float32(_GRAY) * self.gray
        return crops.reshape(*pictures.shape[:2], *self.size)

    def back(self, gradient: Array) -> Array:
        """Return the transpose of the linear part of :meth:`crops`."""
        flat = gradient.reshape(-1, self.matrix.shape[0]).T
        return np.ascontiguousarray((self.matrix.T @ flat).T).reshape(*gradient.shape[:2], *self.canvas)


def _taps(low: Array, share: Array, size: int, reflect: bool) -> tuple[Array, Array, Array, Array]:
    """The two pixels along one axis that a position lies between, with their weights."""
    found: list[Array] = []
    for position, weight in ((low.astype(np.int32), 1 - share), (low.astype(np.int32) + 1, share)):
        inside = reflect or (position >= 0) & (position < size)
        found += [_reflected(position, size), np.asarray(weight * inside, dtype=np.float32)]
    return found[0], found[1], found[2], found[3]


def _reflected(position: Array, size: int) -> Array:
    """Positions beyond either end, reflected there."""
    if size == 1:
        return np.zeros_like(position)
    turn = 2 * (size - 1)
    folded = np.abs(position)
    if folded.max(initial=0) >= turn:
        folded %= turn
    return np.asarray(np.minimum(folded, turn - folded))
