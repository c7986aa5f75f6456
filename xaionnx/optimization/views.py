"""Views: random crops of a canvas, moved, scaled and turned, and the transpose of taking one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from xaionnx_kernels.views import crop_planes, crop_planes_back

from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Of what lies beyond a border that is not reflected.
_GRAY: Final = np.float32(0.5)


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
    affine : array (2, 3)
        The pixel (i, j) of a crop, from its middle, lies at ``affine @ (i, j, 1)``, from the middle of the canvas.
    canvas, size : (int, int)
        (H, W) and (h, w).
    reflect : bool
    """

    affine: Array
    canvas: tuple[int, int]
    size: tuple[int, int]
    reflect: bool = True

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
        turn, enlarged, *shift = rng.uniform(-1, 1, 4)
        most = moves.jitter * min(size) / moves.fit
        angle, zoom = math.radians(turn * moves.rotation), moves.zoom**enlarged * moves.fit
        return cls.at(canvas, size, angle, zoom, (shift[0] * most, shift[1] * most), reflect=moves.reflect)

    @classmethod
    def at(
        cls,
        canvas: tuple[int, int],
        size: tuple[int, int],
        angle: float = 0.0,
        zoom: float = 1.0,
        shift: Sequence[float] | Array = (0.0, 0.0),
        *,
        reflect: bool = True,
    ) -> View:
        """Return the view of the middle, turned by an angle in radians, enlarged and moved by pixels (down, right)."""
        down, right = shift
        cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
        return cls(np.array([[cosine, sine, down], [-sine, cosine, right]]), canvas, size, reflect)

    def crops(self, pictures: Array) -> Array:
        """Return the crops of pictures."""
        planes = pictures.reshape(-1, *self.canvas)
        if self.reflect:
            found = crop_planes(planes, self.affine, self.size)
        else:
            found = crop_planes(planes - _GRAY, self.affine, self.size, reflect=False) + _GRAY
        return found.reshape(*pictures.shape[:2], *self.size)

    def back(self, gradient: Array) -> Array:
        """Return the transpose of the linear part of :meth:`crops`."""
        found = crop_planes_back(gradient.reshape(-1, *self.size), self.affine, self.canvas, reflect=self.reflect)
        return found.reshape(*gradient.shape[:2], *self.canvas)
