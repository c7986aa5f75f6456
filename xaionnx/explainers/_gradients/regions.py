"""Regions of a picture or volume: over-segmentations, and a ranking of their segments by attribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from xaionnx.typing import Array

# From the paper. The scales are for pictures of this side, to which others are resized.
SIDE = 224
_SCALES = (50, 100, 150, 250, 500, 1200)
_DILATION = 5
# From the authors' implementation: deviation of the initial blur, and pixels of the smallest segment.
_SIGMA = 0.8
_LEAST = 150
_PICTURE = 2
# Supervoxels of volumes: how many, how compact, and the longest side, to which longer ones are resized.
_COUNTS = (400, 200, 130, 80, 40, 16)
_COMPACTNESS = 0.1
_LONGEST = 64


def segments(picture: Array) -> list[Array]:
    """The pixel numbers of overlapping segments of a picture of SIDE x SIDE pixels.

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
    footprint, pixels = disk(_DILATION), []
    for scale in _SCALES:
        labels = felzenszwalb(picture, scale=scale, sigma=_SIGMA, min_size=_LEAST) + 1
        for label, box in enumerate(find_objects(labels), start=1):
            region = tuple(slice(max(0, part.start - _DILATION), part.stop + _DILATION) for part in box)
            pixels.append(numbers[region][binary_dilation(labels[region] == label, footprint)])
    return pixels


def supervoxels(volume: Array) -> list[Array]:
    """The voxel numbers of overlapping segments of a volume.

    The algorithm of :func:`segments` is one of pictures, so these are SLIC supervoxels, of as many sizes, and dilated
    by the same share of the longest side.

    Parameters
    ----------
    volume : float array (D, H, W, C)
        Channels in [0, 1].

    References
    ----------
    Achanta et al., SLIC superpixels, TPAMI 2012, doi:10.1109/TPAMI.2012.120.
    """
    from scipy.ndimage import binary_dilation, find_objects
    from skimage.segmentation import slic

    shape = volume.shape[:-1]
    numbers = np.arange(math.prod(shape)).reshape(shape)
    radius = max(1, round(_DILATION * max(shape) / SIDE))
    ball = sum(axis**2 for axis in np.ogrid[(slice(-radius, radius + 1),) * len(shape)]) <= radius**2
    voxels = []
    for count in _COUNTS:
        labels = slic(
            volume, n_segments=count, compactness=_COMPACTNESS, sigma=_SIGMA, start_label=1, convert2lab=False
        )
        for label, box in enumerate(find_objects(labels), start=1):
            if box is None:
                continue
            region = tuple(slice(max(0, part.start - radius), part.stop + radius) for part in box)
            voxels.append(numbers[region][binary_dilation(labels[region] == label, ball)])
    return voxels


def rank(regions: Sequence[Array], mass: Array, size: Array, smallest: int) -> tuple[Array, Array]:
    """Rank regions by density, the densest first, each without the cells of those ranked before.

    Parameters
    ----------
    regions : sequence of arrays of int
        The cells of each region.
    mass, size : arrays (cells,)
        The attribution and the number of pixels of each cell.
    smallest : int
        The smallest number of new cells for a region to be added.

    Returns
    -------
    order : array of int (cells,)
        The rank of each cell's region; cells without a region come last.
    density : array (regions added,)
    """
    from scipy.sparse import csc_array

    cells = np.concatenate(regions)
    rows = np.repeat(np.arange(len(regions)), [len(region) for region in regions])
    membership = csc_array((np.ones(len(cells)), (rows, cells)), shape=(len(regions), len(mass)))
    sums = membership @ np.stack([mass, size, np.ones(len(mass))], axis=1)
    order, free = np.zeros(len(mass), dtype=np.int64), np.ones(len(mass), dtype=bool)
    density: list[float] = []

    def add_region(new: Array) -> None:
        order[new] = len(density)
        density.append(mass[new].sum() / size[new].sum())
        free[new] = False

    while (eligible := (sums[:, 2] >= smallest) & (sums[:, 1] > 0)).any():
        gain = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), -np.inf), where=eligible)
        densest = regions[int(gain.argmax())]
        new = densest[free[densest]]
        add_region(new)
        sums -= membership[:, new] @ np.stack([mass[new], size[new], np.ones(len(new))], axis=1)
    if size[free].any():
        add_region(np.flatnonzero(free))
    return order, np.array(density)


def ranking(picture: Array, attribution: Array, smallest: int) -> tuple[Array, Array]:
    """The rank of the region of each pixel, (*extent), and the density of each region, (T, P).

    For several targets the regions are intersected.

    Parameters
    ----------
    picture : uint8 array (H, W, 3), or float array (D, H, W, C)
        A picture, or a volume with channels in [0, 1].
    attribution : array (T, *extent)
    smallest : int
        The smallest number of new pixels, of SIDE x SIDE, for a region to be added; of a volume the same share.
    """
    extent = picture.shape[:-1]
    regions, sides = _regions(picture)
    # The cell that contains the centre of each pixel.
    places = [((np.arange(n) + 0.5) * side / n).astype(np.int64) for n, side in zip(extent, sides, strict=True)]
    cell = np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), sides).ravel()
    cells = math.prod(sides)
    least = max(1, round(smallest * cells / SIDE**2))
    size = np.bincount(cell, minlength=cells).astype(np.float64)
    orders, densities = [], []
    for values in attribution:
        mass = np.bincount(cell, values.ravel(), minlength=cells)
        order, density = rank(regions, mass, size, least)
        orders.append(order)
        densities.append(density)
    # Of a picture with fewer pixels than cells, some cells have none.
    filled = size > 0
    parts, labels = np.unique(np.stack(orders)[:, filled], axis=1, return_inverse=True)
    gains = [density[part] for density, part in zip(densities, parts, strict=True)]
    of_cell = np.zeros(cells, dtype=np.int32)
    of_cell[filled] = labels.reshape(-1)
    return of_cell[cell].reshape(extent), np.stack(gains)


def _regions(picture: Array) -> tuple[list[Array], tuple[int, ...]]:
    """The cells of each region, and the number of cells along each axis."""
    *extent, channels = picture.shape
    if len(extent) == _PICTURE:
        from PIL import Image

        resized = Image.fromarray(np.ascontiguousarray(picture)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return segments(np.asarray(resized)), (SIDE, SIDE)
    sides = tuple(min(size, _LONGEST) for size in extent)
    if sides == tuple(extent):
        return supervoxels(picture), sides
    from skimage import transform

    resize: Callable[..., Array] = transform.resize  # untyped
    return supervoxels(resize(picture, (*sides, channels), order=1, anti_aliasing=True)), sides
