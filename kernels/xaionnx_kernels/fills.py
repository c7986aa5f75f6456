"""Batches in which some players of a sample are replaced by a baseline.

All functions write into a buffer that the caller owns and reuses. A sample is passed as a view whose axes are

``A``
    the axes before those of the players: the channels of NCHW, 1 for NHWC;
``L``, ``H, W`` or ``D, H, W``
    the axes that are divided among the players;
``B``
    the axes after them: 1 for NCHW, the channels of NHWC.

A picture x of shape (C, H, W) is passed as ``x.reshape(C, H * W, 1)``, one of shape (H, W, C) as
``x.reshape(1, H * W, C)``, and a table's row or an input with a label for each element as ``x.reshape(1, -1, 1)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from xaionnx_kernels._tier import compiled_pays
from xaionnx_kernels.masks import mask_taps, rise_masks

__all__ = ["fill_blend", "fill_interpolated", "fill_rise", "fill_select", "fill_windows", "restore_windows"]

# Any: elements are copied, so their type does not matter.
AnyArray = npt.NDArray[Any]
_PICTURE = 2
_SERIES = 3
_VOLUME = 3


def fill_select(
    x: AnyArray, baseline: AnyArray, labels: npt.NDArray[np.integer], coalitions: npt.NDArray[np.bool_], out: AnyArray
) -> None:
    """Write one copy of x for each coalition, with the absent players replaced by the baseline.

    ``out[m, a, l, b] = x[a, l, b]`` where ``labels[l] < 0`` or ``coalitions[m, labels[l]]``, else
    ``baseline[a, l, b]``. Values are copied, not computed: exact for every type, infinities and NaN included.

    Parameters
    ----------
    x : (A, L, B)
        One sample, of any numeric type up to 8 bytes an element.
    baseline : broadcasts to (A, L, B), or (R, A, L, B)
        Values of removed players, of x's type; with R baselines, each coalition is written R times.
    labels : (L,) int
        The player at each position; positions with a negative label are never removed.
    coalitions : (M, P) bool
        True where the player is present.
    out : (M, A, L, B), or (M, R, A, L, B) for R baselines
        C-contiguous, of x's type; overwritten.

    Raises
    ------
    ValueError
        A shape does not fit, a label is not below P, or ``out`` is not contiguous.
    TypeError
        The types of x, baseline and out differ, or have no fixed width up to 8 bytes.

    Examples
    --------
    >>> out = np.empty((2, 1, 3, 1))
    >>> x, zeros = np.array([10.0, 20.0, 30.0]).reshape(1, 3, 1), np.zeros((1, 3, 1))
    >>> fill_select(x, zeros, np.array([0, 1, -1]), np.array([[True, False], [False, False]]), out)
    >>> out[:, 0, :, 0]
    array([[10.,  0., 30.],
           [ 0.,  0., 30.]])
    """
    _check_types(x, baseline, out)
    if x.ndim != 3:
        raise ValueError(f"'x' must have the shape (A, L, B). Got {x.shape} instead.")
    outer, length, inner = x.shape
    several = baseline.ndim == 4
    count = len(coalitions)
    repeats = len(baseline) if several else 1
    _check_out(out, (count, repeats, *x.shape) if several else (count, *x.shape))
    _check_labels(labels, length, coalitions)
    baselines = np.ascontiguousarray(np.broadcast_to(baseline if several else baseline[None], (repeats, *x.shape)))
    members, players = coalitions, labels
    if length and labels.min() < 0:
        # Positions that are never removed belong to an extra player that is always present: no branch in the loop.
        members = np.concatenate([coalitions, np.ones((count, 1), np.bool_)], axis=1)
        players = np.where(labels < 0, coalitions.shape[1], labels)
    if compiled_pays(out.size):
        from xaionnx_kernels import _loops  # loads Numba

        word = np.dtype(f"u{x.itemsize}")  # bits are copied, so one loop for each width serves every type
        row = length * inner
        _loops.select(
            np.ascontiguousarray(x).view(word).reshape(outer, row),
            baselines.view(word).reshape(repeats, outer, row),
            np.ascontiguousarray(players, np.int32),
            np.ascontiguousarray(members),
            inner,
            np.empty(row, np.bool_),
            out.view(word).reshape(count, repeats, outer, row),
        )
        return
    keep = members[:, players]
    target = out.reshape(count, repeats, *x.shape)
    np.copyto(target, baselines)
    np.copyto(target, x, where=keep[:, None, None, :, None])


@np.errstate(invalid="ignore", over="ignore")  # infinities mix as IEEE 754 says, in silence
def fill_interpolated(x: AnyArray, baseline: AnyArray, present: npt.NDArray[np.bool_], out: AnyArray) -> None:
    """Write one copy of x for each mask, with absent steps on a straight line between their nearest present neighbours.

    Absent steps next to each other are one gap, whatever players they belong to. At an end they hold the value of the
    nearest present step. A series without any present step takes the baseline.

    Parameters
    ----------
    x : (A, L, B)
        A series of L steps for each of A and B. float32 and float64 are interpolated in that precision; other types in
        float32, then rounded to the nearest value of an integer type.
    baseline : broadcasts to x
    present : (M, A or 1, L, B or 1) bool
        True where a step is present.
    out : (M, A, L, B)
        C-contiguous, of x's type; overwritten.

    Raises
    ------
    ValueError
        A shape does not fit, or ``out`` is not contiguous.
    TypeError
        The types of x, baseline and out differ.

    Examples
    --------
    >>> x = np.array([4.0, 0.0, 8.0, 9.0]).reshape(1, 4, 1)
    >>> out = np.empty((2, 1, 4, 1))
    >>> present = np.array([[True, False, True, False], [False, False, False, False]]).reshape(2, 1, 4, 1)
    >>> fill_interpolated(x, np.full_like(x, 5), present, out)
    >>> out[:, 0, :, 0]
    array([[4., 6., 8., 8.],
           [5., 5., 5., 5.]])
    """
    _check_types(x, baseline, out)
    if x.ndim != _SERIES or present.ndim != _SERIES + 1:
        raise ValueError(
            f"'x' must have the shape (A, L, B), and 'present' (M, A, L, B). Got {x.shape} and {present.shape} instead."
        )
    _check_out(out, (len(present), *x.shape))
    length = x.shape[1]
    steps = np.arange(length).reshape(1, 1, -1, 1)
    before = np.maximum.accumulate(np.where(present, steps, -1), axis=2)
    after = np.minimum.accumulate(np.where(present, steps, length)[:, :, ::-1], axis=2)[:, :, ::-1]
    first, last = np.where(before < 0, after, before), np.where(after >= length, before, after)
    work = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    share = ((steps - first) / np.maximum(last - first, 1)).astype(work)
    shape = (len(present), *x.shape)
    wide = np.broadcast_to(x.astype(work), shape)
    low, high = (
        np.take_along_axis(wide, np.broadcast_to(np.clip(place, 0, length - 1), shape), axis=2)
        for place in (first, last)
    )
    line = low + (high - low) * share
    np.copyto(out, np.rint(line) if x.dtype.kind in "iu" else line, casting="unsafe")
    np.copyto(out, x, where=present)
    np.copyto(out, baseline, where=~present.any(axis=2, keepdims=True))


def fill_windows(baseline: AnyArray, corners: npt.NDArray[np.integer], window: tuple[int, ...], out: AnyArray) -> None:
    """Write the baseline into one window of each picture or volume of a batch, and nothing else.

    Together with :func:`restore_windows`, a batch of copies of x serves a whole occlusion: only a patch is written and
    restored, not the picture.

    Parameters
    ----------
    baseline : (A, H, W, B) or (A, D, H, W, B)
    corners : (M, 2) or (M, 3) int
        First corner of each window; it may overhang the picture on any side and is clipped there.
    window : (int, int) or (int, int, int)
        Size in pixels along each axis. For a sequence or a table use H = 1 and height 1.
    out : (M or more, *baseline.shape)
        Its first M pictures are written.

    Raises
    ------
    ValueError
        A shape does not fit.
    TypeError
        The types of baseline and out differ.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 2, 3, 1)
    >>> batch = np.stack([x, x])
    >>> fill_windows(np.zeros_like(x), np.array([[0, 1], [1, 2]]), (1, 2), batch)
    >>> batch[:, 0, :, :, 0]
    array([[[0., 0., 0.],
            [3., 4., 5.]],
    <BLANKLINE>
           [[0., 1., 2.],
            [3., 4., 0.]]])
    """
    _write_windows(baseline, corners, window, out)


def restore_windows(x: AnyArray, corners: npt.NDArray[np.integer], window: tuple[int, ...], out: AnyArray) -> None:
    """Restore x where :func:`fill_windows` wrote the baseline: same parameters, with x in place of the baseline.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 2, 3, 1)
    >>> batch = np.stack([x, x])
    >>> windows = np.array([[0, 1], [1, 2]]), (1, 2)
    >>> fill_windows(np.zeros_like(x), *windows, batch)
    >>> restore_windows(x, *windows, batch)
    >>> np.array_equal(batch, [x, x])
    True
    """
    _write_windows(x, corners, window, out)


@np.errstate(invalid="ignore", over="ignore")  # infinities mix as IEEE 754 says, in silence
def fill_blend(x: AnyArray, baseline: AnyArray, masks: npt.NDArray[np.floating], out: AnyArray) -> None:
    """Write one copy of x for each mask, mixed with the baseline: ``x * mask + baseline * (1 - mask)``.

    The result is exactly x where the mask is 1 and exactly the baseline where it is 0, even if the other is not finite.

    Parameters
    ----------
    x : (A, H, W, B) or (A, D, H, W, B)
        float32 and float64 are mixed in that precision; float16 and 8 and 16 bit integers in float32, then
        rounded to the nearest value of the type.
    baseline : broadcasts to x
    masks : (M, H, W) or (M, D, H, W)
        The weight of x, in [0, 1].
    out : (M, *x.shape)
        C-contiguous, of x's type; overwritten.

    Raises
    ------
    ValueError
        A shape does not fit, or ``out`` is not contiguous.
    TypeError
        The types of x, baseline and out differ, or cannot be mixed.

    Examples
    --------
    >>> out = np.empty((1, 1, 1, 3, 1))
    >>> x = np.array([8.0, 8.0, np.inf]).reshape(1, 1, 3, 1)
    >>> fill_blend(x, np.zeros_like(x), np.array([[[1.0, 0.25, 0.0]]]), out)
    >>> out.ravel()
    array([8., 2., 0.])
    """
    x, baseline, work = _blend_operands(x, baseline, len(masks), out)
    outer, *extent, inner = x.shape
    if masks.shape[1:] != (*extent,):
        raise ValueError(f"'masks' must have the shape (M, {', '.join(map(str, extent))}). Got {masks.shape} instead.")
    if compiled_pays(out.size):
        from xaionnx_kernels import _loops  # loads Numba

        row = math.prod(extent) * inner
        _loops.blend(
            x.reshape(outer, row),
            baseline.reshape(outer, row),
            np.ascontiguousarray(masks, x.dtype).reshape(len(masks), math.prod(extent)),
            inner,
            np.empty(row, x.dtype),
            work.reshape(len(masks), outer, row),
        )
    else:
        for m, mask in enumerate(masks):
            _blend_one(x, baseline, mask, work[m])
    _round_into(out, work)


@np.errstate(invalid="ignore", over="ignore")  # infinities mix as IEEE 754 says, in silence
def fill_rise(
    x: AnyArray,
    baseline: AnyArray,
    cells: AnyArray,
    shifts: npt.NDArray[np.integer],
    cell: tuple[int, ...],
    out: AnyArray,
) -> None:
    """Write one copy of x for each RISE mask, without storing the masks.

    Equal, bit for bit, to ``fill_blend(x, baseline, rise_masks(cells, shifts, cell, (H, W)), out)``.

    Parameters
    ----------
    x : (A, H, W, B) or (A, D, H, W, B)
        As in :func:`fill_blend`.
    baseline : broadcasts to x
    cells : (M, s_h, s_w) or (M, s_d, s_h, s_w), bool or float
        The weight of x in each cell of the coarse grid, in [0, 1].
    shifts : (M, 2) or (M, 3) int
        The pixel of the enlarged grid at which the picture or volume begins.
    cell : (int, int) or (int, int, int)
        Size of a cell in pixels along each axis.
    out : (M, *x.shape)
        C-contiguous, of x's type; overwritten.

    Raises
    ------
    ValueError
        A shape does not fit, a shifted picture leaves the enlarged grid, or ``out`` is not contiguous.
    TypeError
        The types of x, baseline and out differ, or cannot be mixed.

    Examples
    --------
    >>> x = np.full((1, 2, 2, 1), 8.0, np.float32)
    >>> out = np.empty((1, 1, 2, 2, 1), np.float32)
    >>> fill_rise(x, np.zeros_like(x), np.array([[[True, False]]]), np.array([[0, 2]]), (2, 2), out)
    >>> out[0, 0, :, :, 0].round(2).tolist()
    [[5.329999923706055, 2.6700000762939453], [5.329999923706055, 2.6700000762939453]]
    """
    x, baseline, work = _blend_operands(x, baseline, len(cells), out)
    outer, *extent, inner = x.shape
    shape = (*extent,)
    if not compiled_pays(out.size):
        for m in range(len(cells)):
            mask = rise_masks(cells[m : m + 1], shifts[m : m + 1], cell, shape)[0]
            _blend_one(x, baseline, mask, work[m])
    else:
        from xaionnx_kernels import _loops  # loads Numba

        taps = mask_taps(cells, shifts, cell, shape)
        if len(shape) == _PICTURE:
            # A volume of depth 1, with one cell along it.
            shape, cells, shifts = (1, *shape), cells[:, None], np.insert(shifts, 0, 0, axis=1)
            taps = (*mask_taps(cells[:0], shifts[:0], (1, *cell), shape)[:1], *taps)
        view = (*shape[:-1], shape[-1] * inner)
        _loops.rise(
            x.reshape(outer, *view),
            baseline.reshape(outer, *view),
            np.ascontiguousarray(cells, np.float32),
            np.ascontiguousarray(shifts, np.int64),
            taps,
            inner,
            work.reshape(len(shifts), outer, *view),
        )
    _round_into(out, work)


def _write_windows(source: AnyArray, corners: npt.NDArray[np.integer], window: tuple[int, ...], out: AnyArray) -> None:
    rank = len(window)
    if source.ndim != rank + 2 or out.shape[1:] != source.shape or len(out) < len(corners):
        raise ValueError(
            f"'out' must have at least {len(corners)} pictures of the source's shape (A, H, W, B) or (A, D, H, W, B). "
            f"Got {out.shape} for a source of {source.shape} and a window of {window} instead."
        )
    if source.dtype != out.dtype:
        raise TypeError(f"'out' must have the source's type {source.dtype}. Got {out.dtype} instead.")
    # numpy copies slices at the speed of memory; a compiled loop was not faster.
    for m, corner in enumerate(corners.tolist()):
        bounds = zip(corner, window, strict=True)
        inside: tuple[slice, ...] = tuple(slice(max(first, 0), max(first + size, 0)) for first, size in bounds)
        place = (slice(None), *inside)
        out[m][place] = source[place]


def _blend_operands(x: AnyArray, baseline: AnyArray, count: int, out: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return x and baseline, contiguous and of the type to compute in, and the array to compute into."""
    _check_types(x, baseline, out)
    if x.ndim - _PICTURE not in (_PICTURE, _VOLUME):
        raise ValueError(f"'x' must have the shape (A, H, W, B) or (A, D, H, W, B). Got {x.shape} instead.")
    _check_out(out, (count, *x.shape))
    if x.dtype in (np.float32, np.float64):
        return np.ascontiguousarray(x), np.ascontiguousarray(np.broadcast_to(baseline, x.shape)), out
    if x.dtype != np.float16 and x.dtype.kind not in "iu":
        raise TypeError(f"A mask cannot mix {x.dtype}. Use a floating type, or integers.")
    wide = np.float32 if x.itemsize <= 2 else np.float64  # which hold all integers of so many bytes, or most
    return (
        np.ascontiguousarray(x, wide),
        np.ascontiguousarray(np.broadcast_to(baseline, x.shape), wide),
        np.empty(out.shape, wide),
    )


def _blend_one(x: AnyArray, baseline: AnyArray, mask: AnyArray, out: AnyArray) -> None:
    weight = mask.astype(x.dtype, copy=False)[None, ..., None]
    np.copyto(out, x * weight + baseline * (1 - weight))
    np.copyto(out, x, where=weight == 1)
    np.copyto(out, baseline, where=weight == 0)


def _round_into(out: AnyArray, work: AnyArray) -> None:
    if work is out:
        return
    if out.dtype.kind in "iu":
        np.rint(work, out=work)
    np.copyto(out, work, casting="unsafe")


def _check_types(x: AnyArray, baseline: AnyArray, out: AnyArray) -> None:
    if not x.dtype == baseline.dtype == out.dtype:
        raise TypeError(
            f"'x', 'baseline' and 'out' must have one type. Got {x.dtype}, {baseline.dtype} and {out.dtype} instead."
        )
    if x.dtype.kind not in "biufc" or x.itemsize not in (1, 2, 4, 8):
        raise TypeError(f"'x' must have a numeric type of 1, 2, 4 or 8 bytes. Got {x.dtype} instead.")


def _check_out(out: AnyArray, shape: tuple[int, ...]) -> None:
    if out.shape != shape:
        raise ValueError(f"'out' must have the shape {shape}. Got {out.shape} instead.")
    if not out.flags.c_contiguous:
        raise ValueError("'out' must be C-contiguous. Pass a whole buffer, or its first M rows.")


def _check_labels(labels: npt.NDArray[np.integer], length: int, coalitions: npt.NDArray[np.bool_]) -> None:
    if coalitions.ndim != 2 or coalitions.dtype != np.bool_:
        raise ValueError(f"'coalitions' must be (M, P) bool. Got {coalitions.shape} {coalitions.dtype} instead.")
    if labels.shape != (length,) or labels.dtype.kind not in "iu":
        raise ValueError(f"'labels' must be ({length},) int. Got {labels.shape} {labels.dtype} instead.")
    if length and int(labels.max()) >= coalitions.shape[1]:
        raise ValueError(
            f"'labels' must be below the number of players, {coalitions.shape[1]}. Got {int(labels.max())} instead."
        )
