"""Poolings from their definition, in float64 and any number of dimensions, as ops of ONNX's reference evaluator."""

from __future__ import annotations

import itertools
import math

import numpy as np
from onnx.reference.op_run import OpRun

from xaionnx.typing import Array


def _windows(x: Array, kernel, auto_pad, ceil_mode, dilations, pads, strides) -> tuple[Array, Array]:
    """The values of each window (N, C, ..., K), 0 outside the input; and 2 for positions inside, 1 in a pad, else 0."""
    rank = len(kernel)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    taps = []
    for axis, size in enumerate(x.shape[2:]):
        reach, step = (kernel[axis] - 1) * dilations[axis] + 1, strides[axis]
        if auto_pad.startswith("SAME"):
            total = max((-(-size // step) - 1) * step + reach - size, 0)
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        else:
            begin, end = (0, 0) if pads is None or auto_pad == "VALID" else (pads[axis], pads[axis + rank])
        count = (math.ceil if ceil_mode else math.floor)((size + begin + end - reach) / step) + 1
        if (count - 1) * step >= size + begin:
            count -= 1  # a window that starts after the input
        at = np.arange(count)[:, None] * step - begin + np.arange(kernel[axis]) * dilations[axis]
        kind = np.where((at >= 0) & (at < size), 2, np.where((at >= -begin) & (at < size + end), 1, 0))
        taps.append((np.clip(at, 0, size - 1), kind))
    found, kinds = [], []
    for at in itertools.product(*map(range, kernel)):
        places = np.ix_(*(index[:, k] for (index, _), k in zip(taps, at, strict=True)))
        kind = np.minimum.reduce(np.meshgrid(*(own[:, k] for (_, own), k in zip(taps, at, strict=True)), indexing="ij"))
        found.append(np.where(kind == 2, x[(slice(None), slice(None), *places)], 0.0))
        kinds.append(kind)
    return np.stack(found, axis=-1), np.stack(kinds, axis=-1)


class AveragePool(OpRun):
    """The mean of the values in a window; with ``count_include_pad`` pads count as zeros."""

    op_domain = ""

    def _run(
        self, x, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None, kernel_shape=None, pads=None,
        strides=None,
    ):  # fmt: skip
        met, kinds = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
        return (met.sum(axis=-1) / (kinds >= (1 if count_include_pad else 2)).sum(axis=-1),)


class LpPool(OpRun):
    """The p-norm of the values in a window."""

    op_domain = ""

    def _run(
        self, x, auto_pad="NOTSET", ceil_mode=0, dilations=None, kernel_shape=None, p=2, pads=None, strides=None
    ):  # fmt: skip
        met, _ = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
        return ((np.abs(met) ** p).sum(axis=-1) ** (1 / p),)


class GlobalAveragePool(OpRun):
    """The mean of each channel."""

    op_domain = ""

    def _run(self, x):
        return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalMaxPool(OpRun):
    """The maximum of each channel."""

    op_domain = ""

    def _run(self, x):
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    """The p-norm of each channel."""

    op_domain = ""

    def _run(self, x, p=2):
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


OPS = (AveragePool, LpPool, GlobalAveragePool, GlobalMaxPool, GlobalLpPool)
