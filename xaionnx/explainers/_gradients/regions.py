"""Regions of a picture: over-segmentations, and which of their segments hold the most."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xaionnx.typing import Array

# Of the paper. The scales are for a picture of this side, to which any other is brought.
SIDE = 224
_SCALES = (50, 100, 150, 250, 500, 1200)
_DILATION = 5
# Of the authors' implementation: deviation of the blur before, and the pixels of the smallest segment.
_SIGMA = 0.8
_LEAST = 150


def segments(picture: Array) -> list[Array]:
    """Overlapping segments of a picture of SIDE x SIDE pixels: the numbers of their pixels.

    Parameters
    ----------
    picture : uint8 array (SIDE, SIDE, 3)

    References
    ----------
    Felzenszwalb and Huttenlocher, Efficient graph-based image segmentation, IJCV 2004,
    doi:10.1023/B:VISI.0000022288.19776.77.
    """
    from scipy.ndimage import binary_dilation, find_objects
    from skimage import morphology
    from skimage.segmentation import felzenszwalb

    numbers = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    disk: Callable[[int], Array] = morphology.disk  # untyped
    around, found = disk(_DILATION), []
    for scale in _SCALES:
        labels = felzenszwalb(picture, scale=scale, sigma=_SIGMA, min_size=_LEAST) + 1
        for label, box in enumerate(find_objects(labels), start=1):
            reach = tuple(slice(max(0, part.start - _DILATION), part.stop + _DILATION) for part in box)
            found.append(numbers[reach][binary_dilation(labels[reach] == label, around)])
    return found


def rank(regions: Sequence[Array], mass: Array, size: Array, smallest: int) -> tuple[Array, Array]:
    """Regions by their density, each without what came in before it, the densest first.

    Parameters
    ----------
    regions : sequence of arrays of int
        Numbers of cells.
    mass, size : arrays (cells,)
        What each cell holds, and how much of it there is to hold it.
    smallest : int
        Cells that a region must add.

    Returns
    -------
    order : array of int (cells,)
        With which region each cell came in. What is left for none comes last.
    density : array (regions that came in,)
    """
    from scipy.sparse import csc_array

    cells = np.concatenate(regions)
    rows = np.repeat(np.arange(len(regions)), [len(region) for region in regions])
    held = csc_array((np.ones(len(cells)), (rows, cells)), shape=(len(regions), len(mass)))
    sums = held @ np.stack([mass, size, np.ones(len(mass))], axis=1)
    order, free = np.zeros(len(mass), dtype=np.int64), np.ones(len(mass), dtype=bool)
    density: list[float] = []

    def enter(new: Array) -> None:
        order[new] = len(density)
        density.append(mass[new].sum() / size[new].sum())
        free[new] = False

    while (able := (sums[:, 2] >= smallest) & (sums[:, 1] > 0)).any():
        gain = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), -np.inf), where=able)
        chosen = regions[int(gain.argmax())]
        new = chosen[free[chosen]]
        enter(new)
        sums -= held[:, new] @ np.stack([mass[new], size[new], np.ones(len(new))], axis=1)
    if size[free].any():
        enter(np.flatnonzero(free))
    return order, np.array(density)


def ranking(picture: Array, attribution: Array, smallest: int) -> tuple[Array, Array]:
    """The rank of the region of each pixel, (H, W), and the density of each region, (T, P).

    For several targets the regions are divided where those of another end.

    Parameters
    ----------
    picture : uint8 array (H, W, 3)
    attribution : array (T, H, W)
    smallest : int
        Pixels, of SIDE x SIDE, that a region must add.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    squared = Image.fromarray(np.ascontiguousarray(picture)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    regions = segments(np.asarray(squared))
    # The cell of SIDE x SIDE in which the middle of a pixel lies.
    rows, columns = (((np.arange(n) + 0.5) * SIDE / n).astype(np.int64) for n in (height, width))
    cell = (rows[:, None] * SIDE + columns).ravel()
    size = np.bincount(cell, minlength=SIDE * SIDE).astype(np.float64)
    orders, densities = [], []
    for mine in attribution:
        mass = np.bincount(cell, mine.ravel(), minlength=SIDE * SIDE)
        order, density = rank(regions, mass, size, smallest)
        orders.append(order[cell])
        densities.append(density)
    parts, labels = np.unique(np.stack(orders), axis=1, return_inverse=True)
    gains = [density[part] for density, part in zip(densities, parts, strict=True)]
    return labels.reshape(height, width).astype(np.int32), np.stack(gains)
