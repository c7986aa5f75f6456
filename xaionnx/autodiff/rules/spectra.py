"""Rules of Fourier transforms, which are linear maps, and of determinants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, unary


def _x(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


@unary("DFT")
def dft(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """The adjoint of the transform is the inverse times its length; that of the inverse, the transform divided by it.

    Complex numbers are pairs of reals, so the adjoint is the conjugate transpose.
    """
    x, y = _x(node), node.outputs[0]
    inverse = node.attributes.get_int("inverse", 0)
    onesided = node.attributes.get_int("onesided", 0)
    rank = g.rank(x)
    given, at = g.constant_input(node, 1), g.constant_input(node, 2)
    # Since opset 20 the axis is an input; the last axis holds real and imaginary parts.
    axis = (-2 if at is None else int(at.reshape(-1)[0])) % rank
    size = g.size(x, axis)
    length = g.size(y, axis) if inverse and onesided else size if given is None else int(given.reshape(-1)[0])
    dy = _sized(g, dy, rank, axis, g.size(y, axis), length)
    if inverse and onesided:
        # Half a spectrum of a real signal: each frequency also represents its mirror image, if it has one.
        half = length // 2 + 1
        twice = np.where((np.arange(half) == 0) | (2 * np.arange(half) == length), 1.0, 2.0) / length
        spectrum = g.op("DFT", dy, np.int64(length), np.int64(axis), onesided=1)
        scale = twice.reshape([-1 if a == axis else 1 for a in range(rank)])
        return _sized(g, g.op("Mul", spectrum, g.constant(scale, g.gradient_dtype(x))), rank, axis, half, size)
    back = g.op("DFT", dy, np.int64(length), np.int64(axis), inverse=1 - inverse)
    back = g.op("Mul", back, 1.0 / length if inverse else float(length))
    back = _sized(g, back, rank, axis, length, size)
    # The gradient of a real signal has no imaginary part.
    return g.op("Slice", back, [0], [1], [rank - 1]) if g.size(x, -1) == 1 else back


def _sized(g: GradientBuilder, value: ir.Value, rank: int, axis: int, size: int, wanted: int) -> ir.Value:
    """Pad an axis with zeros at its end, or crop it there."""
    return g.pad(value, [0] * rank, [wanted - size if a == axis else 0 for a in range(rank)])


@unary("STFT")
def stft(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """A strided convolution with windowed waves, so its adjoint is the transposed convolution."""
    x, y = _x(node), node.outputs[0]
    step, given = g.constant_input(node, 1), g.constant_input(node, 3)
    window = node.inputs[2] if len(node.inputs) > 2 else None
    if step is None:
        raise g.refusal(node, "its step is missing")
    frames, bins = g.size(y, 1), g.size(y, 2)
    length = g.size(window, 0) if given is None and window is not None else 0 if given is None else int(given)
    if not length:
        raise g.refusal(node, "its frames have no length")
    parts = g.size(x, 2) if g.rank(x) == 3 else 1
    angle = 2 * np.pi / length * (np.arange(bins)[:, None] * np.arange(length) % length)
    cosine, sine = np.cos(angle), np.sin(angle)
    # For each frequency the real and imaginary part, of the real and imaginary part of the signal.
    waves = np.stack([np.stack([cosine, sine], axis=1), np.stack([-sine, cosine], axis=1)], axis=1)[:, :, :parts]
    kind = g.gradient_dtype(x)
    filters = g.constant(waves.reshape(2 * bins, parts, length), kind)
    if window is not None:
        filters = g.op("Mul", filters, window)
    columns = g.reshape(g.op("Transpose", dy, perm=[0, 2, 3, 1]), g.ints(-1, 2 * bins, frames))
    hop = int(step)
    signal = g.op("ConvTranspose", columns, filters, strides=[hop])
    rest = g.size(x, 1) - (frames - 1) * hop - length
    signal = g.pad(signal, [0, 0, 0], [0, 0, rest])
    return g.reshape_like(g.op("Transpose", signal, perm=[0, 2, 1]), x)


@unary("Det")
def determinant(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """The derivative is the cofactor matrix, which exists for singular matrices too."""
    x = _x(node)
    rank, n = g.rank(x), g.size(x, -1)
    dy = g.op("Unsqueeze", dy, g.ints(-1, -2)) if n > 1 else dy
    if n == 1:
        return g.reshape_like(dy, x)
    rows = np.array([[i for i in range(n) if i != left_out] for left_out in range(n)])
    positions = rows[:, None, :, None] * n + rows[None, :, None, :]
    flat = g.reshape(x, g.ints(*[0] * (rank - 2), n * n))
    minors = g.op("Det", g.op("Gather", flat, g.constant(positions), axis=rank - 2))
    signs = g.constant((-1.0) ** np.add.outer(np.arange(n), np.arange(n)), g.gradient_dtype(x))
    return g.op("Mul", dy, g.op("Mul", minors, signs))
