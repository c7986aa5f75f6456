"""Positions of occlusion windows, and the random masks of RISE."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xaionnx_kernels import counter

__all__ = ["Taps", "bilinear_matrix", "mask_taps", "rise_cells", "rise_masks", "rise_shifts", "window_corners"]

_CELLS_STREAM = 0x01
_SHIFTS_STREAM = 0x02
_PICTURE = 2
_VOLUME = 3

# The two cells that each pixel of an axis of the enlarged grid mixes, and their weights: (2, (s + 1) * cell) each.
Taps = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


def window_corners(shape: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Return the first corners of the windows that cover a picture or a volume, row by row.

    On each axis the windows begin at 0, stride, 2 * stride, ... until one reaches the border. The last may extend
    beyond it; the function that writes it clips it. The stride is at most the window, so every pixel is covered. A
    window at least as large as the picture has the single position 0.

    Parameters
    ----------
    shape : (H, W) or (D, H, W)
    window, stride : one int an axis
        In pixels. A sequence or a table's row is (1, T) with window (1, w) and stride (1, s).

    Returns
    -------
    (M, 2) or (M, 3) int32

    Raises
    ------
    ValueError
        A size is below 1, or the stride exceeds the window, which would leave pixels uncovered.

    Examples
    --------
    >>> window_corners((1, 7), (1, 3), (1, 2)).tolist()
    [[0, 0], [0, 2], [0, 4]]
    >>> len(window_corners((224, 224), (16, 16), (8, 8)))
    729
    """
    axes = []
    names = ("depth", "height", "width")[-len(shape) :]
    for name, size, extent, step in zip(names, shape, window, stride, strict=True):
        if size < 1 or extent < 1 or not 1 <= step <= extent:
            raise ValueError(
                f"The {name} of 'shape' and 'window' must be in [1, inf) and that of 'stride' in [1, window]. "
                f"Got {size}, {extent} and {step} instead."
            )
        count = 1 + max(0, -(-(size - extent) // step))
        axes.append(np.arange(count, dtype=np.int32) * np.int32(step))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape))


def rise_cells(seed: int, start: int, stop: int, grid: tuple[int, ...], p: float) -> npt.NDArray[np.bool_]:
    """Return the coarse grids of RISE masks start to stop: each cell is kept with probability p.

    Parameters
    ----------
    seed : int
        In [0, 2^64). Mask i depends only on (seed, i, grid, p).
    start, stop : int
        The masks to return.
    grid : (s_h, s_w) or (s_d, s_h, s_w)
        Cells along each axis.
    p : float
        In (0, 1).

    Returns
    -------
    (M, *grid) bool, with M = stop - start

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    References
    ----------
    .. [1] V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
           BMVC 2018, arXiv:1806.07421

    Examples
    --------
    >>> cells = rise_cells(seed=0, start=0, stop=100, grid=(7, 7), p=0.5)
    >>> np.array_equal(cells[40:], rise_cells(seed=0, start=40, stop=100, grid=(7, 7), p=0.5))
    True
    """
    if not _PICTURE <= len(grid) <= _VOLUME or min(grid) < 1:
        raise ValueError(f"'grid' must be two or three ints in [1, inf). Got {grid!r} instead.")
    return counter.happens(seed, _CELLS_STREAM, start, stop, math.prod(grid), p).reshape(-1, *grid)


def rise_shifts(seed: int, start: int, stop: int, cell: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Return the position of the picture or volume in the enlarged grid, for RISE masks start to stop.

    Parameters
    ----------
    seed, start, stop : int
        As in :func:`rise_cells`; the two use different streams of one seed.
    cell : (int, int) or (int, int, int)
        Size of a cell in pixels along each axis; the shift is uniform on [0, size) for each.

    Returns
    -------
    (M, 2) or (M, 3) int32, with M = stop - start

    Raises
    ------
    ValueError
        A parameter is outside its interval.

    Examples
    --------
    >>> rise_shifts(seed=0, start=0, stop=1000, cell=(32, 8)).max(axis=0)
    array([31,  7], dtype=int32)
    """
    return counter.below(seed, _SHIFTS_STREAM, start, stop, cell).astype(np.int32)


def bilinear_matrix(s: int, cell: int) -> npt.NDArray[np.float32]:
    r"""Return the matrix that enlarges s cells to (s + 1) * cell pixels by linear interpolation.

    Pixel centres lie at half-integers, and border values extend beyond the outermost centres: pixel i reads the
    position u = (i + 1/2) s / ((s + 1) cell) - 1/2, clipped to [0, s - 1], and mixes the cells floor(u) and
    floor(u) + 1 with the weights 1 - (u - floor(u)) and u - floor(u). This is the ``half_pixel`` mode of ONNX Resize,
    and ``align_corners=False`` elsewhere. Each row has at most two entries and sums to 1.

    The mask of a coarse grid G with the shift (t, l) is the product

    .. math:: mask = A_y[t : t + H] \; G \; A_x[l : l + W]^T

    Parameters
    ----------
    s : int
        Cells, in [1, inf).
    cell : int
        Pixels a cell, in [1, inf).

    Returns
    -------
    ((s + 1) * cell, s) float32

    Raises
    ------
    ValueError
        A parameter is below 1.

    Examples
    --------
    >>> bilinear_matrix(2, 2).round(3).tolist()[1:4]
    [[1.0, 0.0], [0.6669999957084656, 0.3330000042915344], [0.3330000042915344, 0.6669999957084656]]
    """
    taps, weights = _axis_taps(s, cell)
    matrix = np.zeros(((s + 1) * cell, s), np.float32)
    rows = np.arange(len(matrix))
    matrix[rows, taps[1]] = weights[1]
    matrix[rows, taps[0]] += weights[0]  # at the far border both taps are the same cell, and the second has weight 0
    return matrix


def rise_masks(
    cells: npt.NDArray[np.bool_] | npt.NDArray[np.floating],
    shifts: npt.NDArray[np.integer],
    cell: tuple[int, ...],
    shape: tuple[int, ...],
) -> npt.NDArray[np.float32]:
    r"""Return RISE masks: coarse grids enlarged by linear interpolation and cropped at their shifts.

    .. math:: mask_m = A_y[t_m : t_m + H] \; cells_m \; A_x[l_m : l_m + W]^T, \qquad (t_m, l_m) = shifts_m

    with the matrices of :func:`bilinear_matrix`. Interpolation runs down the columns first, then across, in float32.
    Masks of volumes are interpolated along the depth before that; a volume of depth 1 has the masks of a picture.

    Parameters
    ----------
    cells : (M, s_h, s_w) or (M, s_d, s_h, s_w) bool or float
        The weight of each cell, in [0, 1].
    shifts : (M, 2) or (M, 3) int
    cell : (int, int) or (int, int, int)
        Size of a cell in pixels along each axis.
    shape : (H, W) or (D, H, W)
        Shape of the picture or volume; it must fit into the enlarged grid at every shift.

    Returns
    -------
    (M, *shape) float32

    Raises
    ------
    ValueError
        A shape does not fit, or a shifted picture leaves the enlarged grid.

    References
    ----------
    .. [1] V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
           BMVC 2018, arXiv:1806.07421, section 3.3: cells of floor(H / s) pixels there.

    Examples
    --------
    >>> cells = np.array([[[True, False]]])
    >>> rise_masks(cells, np.array([[0, 1]]), (1, 2), (1, 4)).round(3).tolist()
    [[[1.0, 0.6669999957084656, 0.3330000042915344, 0.0]]]
    """
    taps = mask_taps(cells, shifts, cell, shape)
    grids = np.asarray(cells, np.float32)
    masks = np.empty((len(grids), *shape), np.float32)
    for m, starts in enumerate(shifts.tolist()):
        mixed = grids[m]
        for axis, (start, size) in enumerate(zip(starts, shape, strict=True)):
            (first, second), weights = taps[axis]
            here = slice(start, start + size)
            # A column along this axis, whatever comes after it.
            column = (-1, *(1,) * (len(shape) - 1 - axis))
            near = mixed.take(first[here], axis=axis) * weights[0, here].reshape(column)
            far = mixed.take(second[here], axis=axis) * weights[1, here].reshape(column)
            mixed = np.add(near, far, out=masks[m] if axis == len(shape) - 1 else None)
    return masks


def mask_taps(
    cells: npt.NDArray[np.bool_] | npt.NDArray[np.floating],
    shifts: npt.NDArray[np.integer],
    cell: tuple[int, ...],
    shape: tuple[int, ...],
) -> tuple[Taps, ...]:
    """Check the parameters of :func:`rise_masks` and return the nonzero entries of the matrix of each axis.

    Returns
    -------
    tuple of (cells, weights) an axis, (2, (s + 1) * cell) each
        The two cells that each pixel of the enlarged grid mixes, and their weights.

    Raises
    ------
    ValueError
        As in :func:`rise_masks`.

    Examples
    --------
    >>> (rows, _), _ = mask_taps(np.ones((1, 2, 2)), np.array([[0, 0]]), (2, 2), (4, 4))
    >>> rows.tolist()
    [[0, 0, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1]]
    """
    rank = len(shape)
    if not _PICTURE <= rank <= _VOLUME or cells.ndim != rank + 1 or shifts.shape != (len(cells), rank):
        raise ValueError(
            "'cells' must be (M, s_h, s_w) and 'shifts' (M, 2), or (M, s_d, s_h, s_w) and (M, 3) for a volume. "
            f"Got {cells.shape}, {shifts.shape} and the shape {shape} instead."
        )
    enlarged = [(s + 1) * extent for s, extent in zip(cells.shape[1:], cell, strict=True)]
    if len(shifts) and (int(shifts.min()) < 0 or (shifts.max(axis=0) + shape > enlarged).any()):
        raise ValueError(
            f"A picture of {shape} must fit into the enlarged grid of {tuple(enlarged)} at every shift. "
            f"Got shifts from {shifts.min(axis=0).tolist()} to {shifts.max(axis=0).tolist()} instead."
        )
    return tuple(_axis_taps(s, extent) for s, extent in zip(cells.shape[1:], cell, strict=True))


def _axis_taps(s: int, cell: int) -> Taps:
    if s < 1 or cell < 1:
        raise ValueError(
            f"The cells of an axis and their size must be ints in [1, inf). Got {s!r} and {cell!r} instead."
        )
    pixels = (s + 1) * cell
    position = np.clip((np.arange(pixels) + 0.5) * s / pixels - 0.5, 0, s - 1)
    first = np.floor(position).astype(np.int32)
    second_weight = (position - first).astype(np.float32)
    taps = np.stack([first, np.minimum(first + 1, np.int32(s - 1))])
    return taps, np.stack([np.float32(1) - second_weight, second_weight])
