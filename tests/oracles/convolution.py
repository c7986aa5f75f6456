"""Convolutions from their definition, in float64 and any number of dimensions, as ops of ONNX's reference evaluator.

The evaluator's own do not support all groups and pads.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun


def _places(kernel: Sequence[int], count: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """For each entry of the kernel: its index, and the slices of the positions that it reads."""
    along = list(zip(count, strides, dilations, strict=True))
    for at in itertools.product(*map(range, kernel)):
        yield at, tuple(slice(k * d, k * d + (n - 1) * s + 1, s) for k, (n, s, d) in zip(at, along, strict=True))


def _split(total: int, auto: str) -> tuple[int, int]:
    """Pads before and after: the odd one after for SAME_UPPER, before for SAME_LOWER."""
    return (total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2)


class Conv(OpRun):
    """y[m, o] = b[m] + sum over c, k of w[m, c, k] x[c, o s + k d - p]."""

    op_domain = ""

    def _run(
        self, x, w, b=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None
    ):
        kernel = w.shape[2:]
        rank = len(kernel)
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        if auto_pad.startswith("SAME"):
            short = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
            padding = [_split(total, auto_pad) for total in short]
        else:
            flat = [0] * 2 * rank if pads is None or auto_pad == "VALID" else list(pads)
            padding = list(zip(flat[:rank], flat[rank:], strict=True))
        x = np.pad(x, [(0, 0), (0, 0), *padding])
        out = [(n - r) // s + 1 for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
        grouped = x.reshape(len(x), group, -1, *x.shape[2:])
        own = w.reshape(group, -1, *w.shape[1:])
        y = np.zeros((len(x), group, own.shape[1], *out))
        for at, places in _places(kernel, out, strides, dilations):
            y += np.einsum("ngc...,gmc->ngm...", grouped[(..., *places)], own[(..., *at)])
        y = y.reshape(len(x), len(w), *out)
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class ConvTranspose(OpRun):
    """Each x[c, i] adds w[c, m, k] x[c, i] to y[m, i s + k d - p]."""

    op_domain = ""

    def _run(
        self, x, w, b=None, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, output_padding=None,
        output_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        kernel, size = w.shape[2:], x.shape[2:]
        rank = len(kernel)
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        added = output_padding or [0] * rank
        full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(size, strides, kernel, dilations, strict=True)]
        if auto_pad.startswith("SAME") or output_shape:
            out = list(output_shape or [n * s for n, s in zip(size, strides, strict=True)])
            begin = [_split(max(f + a - o, 0), auto_pad)[0] for f, a, o in zip(full, added, out, strict=True)]
        else:
            flat = [0] * 2 * rank if pads is None else list(pads)
            begin = flat[:rank]
            out = [f + a - p - q for f, a, p, q in zip(full, added, begin, flat[rank:], strict=True)]
        grouped = x.reshape(len(x), group, -1, *size)
        own = w.reshape(group, -1, *w.shape[1:])
        wide = [max(f, p + o) for f, p, o in zip(full, begin, out, strict=True)]
        y = np.zeros((len(x), group, w.shape[1], *wide))
        for at, places in _places(kernel, size, strides, dilations):
            y[(..., *places)] += np.einsum("ngc...,gcm->ngm...", grouped, own[(..., *at)])
        y = y.reshape(len(x), -1, *wide)[(..., *(slice(p, p + o) for p, o in zip(begin, out, strict=True)))]
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


OPS = (Conv, ConvTranspose)
