"""Rules of normalisation: over batches, layers, instances and groups, by norms, and across channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary

# Since this opset GroupNormalization has a scale for each channel, before one for each group.
SCALE_A_CHANNEL = 21
# MeanVarianceNormalization divides by the deviation plus this.
_MVN_EPSILON = 1e-9


@rule("BatchNormalization")
def batch_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    if node.attributes.get_int("training_mode", 0):
        raise g.refusal(node, "it is in training mode, where samples mix; export the model for inference")
    x, scale, _, mean, variance = _operands(node, 5)
    dy = cotangents[0]
    assert dy is not None
    rank = g.rank(x)
    column = g.ints(-1, *[1] * (rank - 2)) if rank > 1 else g.ints(-1)
    rest = g.ints(0, *range(2, rank))
    inverse = g.op("Reciprocal", g.op("Sqrt", g.op("Add", variance, node.attributes.get_float("epsilon", 1e-5))))
    slope = g.op("Mul", scale, inverse)
    gradients: list[Gradient] = [None] * 5
    if needed[0]:
        gradients[0] = g.op("Mul", dy, g.reshape(slope, column))
    if any(needed[1:]):
        total = g.op("ReduceSum", dy, rest, keepdims=0)
        centred = g.op("Sub", x, g.reshape(mean, column))
        h = g.op("Mul", g.op("ReduceSum", g.op("Mul", dy, centred), rest, keepdims=0), inverse)
        squared = g.op("Mul", inverse, inverse)
        gradients[1:] = [
            h if needed[1] else None,
            total if needed[2] else None,
            g.op("Neg", g.op("Mul", total, slope)) if needed[3] else None,
            g.op("Mul", g.op("Mul", h, g.op("Mul", scale, squared)), -0.5) if needed[4] else None,
        ]
    return gradients


@rule("LayerNormalization")
def layer_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """With h = (x - mean) / deviation and u = dy * scale: (u - mean(u) - h mean(u h)) / deviation.

    The statistics of n elements are outputs too: d mean / dx = 1 / n and d (1 / deviation) / dx = -h / (n deviation^2).
    """
    dy, *statistics = (*cotangents, None, None)[:3]
    x, scale = _operands(node, 2)
    rank = g.rank(x)
    axes = range(node.attributes.get_int("axis", -1) % rank, rank)
    wide = widen(g, x, x)
    if wide.dtype == ir.DataType.FLOAT:
        mean, inverse = (g.optional_output(node, index, ir.DataType.FLOAT) for index in (1, 2))
        h = g.op("Mul", g.op("Sub", wide, mean), inverse)
    else:
        # Runtimes differ in the data type, and so the precision, of the statistics of float64.
        h, inverse = standardise(g, wide, axes, node.attributes.get_float("epsilon", 1e-5))
    dy = None if dy is None else widen(g, dy, x)
    gradients: list[Gradient] = [None] * len(node.inputs)
    if needed[0]:
        parts = _statistics_back(g, statistics, h, inverse, math.prod(g.sizes(x)[axis] for axis in axes))
        if dy is not None:
            parts.append(_standardise_back(g, g.op("Mul", dy, widen(g, scale, x)), h, inverse, axes))
        gradients[0] = narrow(
            g,
            g.expand_like(parts[0], x)
            if len(parts) == 1 and dy is None
            else (parts[0] if len(parts) == 1 else g.op("Sum", *parts)),
            x,
        )
    if needed[1] and dy is not None:
        gradients[1] = narrow(g, _sum_to_shape(g, g.op("Mul", dy, h), x, scale), scale)
    if len(node.inputs) > 2 and needed[2] and dy is not None:
        bias = _operands(node, 3)[2]
        gradients[2] = narrow(g, _sum_to_shape(g, dy, x, bias), bias)
    return gradients


def _statistics_back(
    g: GradientBuilder, cotangents: Sequence[Gradient], h: ir.Value, inverse: ir.Value, count: int
) -> list[ir.Value]:
    """The gradients of the mean and of the inverse deviation of ``count`` elements, which broadcast to ``h``."""
    mean, deviation = cotangents
    parts = [] if mean is None else [g.op("Div", mean, float(count))]
    if deviation is not None:
        slope = g.op("Mul", g.op("Mul", inverse, inverse), -1.0 / count)
        parts.append(g.op("Mul", g.op("Mul", deviation, slope), h))
    return parts


@rule("InstanceNormalization")
def instance_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    x, scale, bias = _operands(node, 3)
    dy = cotangents[0]
    assert dy is not None
    rank = g.rank(x)
    axes, rest = range(2, rank), g.ints(0, *range(2, rank))
    h, inverse = standardise(g, widen(g, x, x), axes, node.attributes.get_float("epsilon", 1e-5))
    dy = widen(g, dy, x)
    gradients: list[Gradient] = [None, None, None]
    if needed[0]:
        u = g.op("Mul", dy, g.reshape(widen(g, scale, x), g.ints(-1, *[1] * (rank - 2))))
        gradients[0] = narrow(g, _standardise_back(g, u, h, inverse, axes), x)
    if needed[1]:
        gradients[1] = narrow(g, g.op("ReduceSum", g.op("Mul", dy, h), rest, keepdims=0), scale)
    if needed[2]:
        gradients[2] = narrow(g, g.op("ReduceSum", dy, rest, keepdims=0), bias)
    return gradients


@rule("GroupNormalization")
def group_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    x, scale, bias = _operands(node, 3)
    dy = cotangents[0]
    assert dy is not None
    # Three axes, N, G and the entries of a group, cover any rank.
    groups = node.attributes.get_int("num_groups", 1)
    grouped = g.ints(0, groups, -1)
    h, inverse = standardise(g, g.reshape(widen(g, x, x), grouped), [2], node.attributes.get_float("epsilon", 1e-5))
    wide = widen(g, dy, x)
    by_channel = (g.graph.opset_imports.get("") or 0) >= SCALE_A_CHANNEL
    # The same entries with the axis of the scale second: channels, or groups.
    counted = g.ints(0, g.size(x, 1) if by_channel else groups, -1)
    wide = g.reshape(wide, counted)
    gradients: list[Gradient] = [None, None, None]
    if needed[0]:
        u = g.op("Mul", wide, g.reshape(widen(g, scale, x), g.ints(-1, 1)))
        if by_channel:
            u = g.reshape(u, grouped)
        gradients[0] = g.reshape_like(narrow(g, _standardise_back(g, u, h, inverse, [2]), x), x)
    if needed[1]:
        along = g.op("Mul", wide, g.reshape(h, counted) if by_channel else h)
        gradients[1] = narrow(g, g.op("ReduceSum", along, g.ints(0, 2), keepdims=0), scale)
    if needed[2]:
        gradients[2] = narrow(g, g.op("ReduceSum", wide, g.ints(0, 2), keepdims=0), bias)
    return gradients


@rule("RMSNormalization")
def rms_normalization(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    """With h = x / rms and u = dy * scale: (u - h mean(u h)) / rms."""
    x, scale = _operands(node, 2)
    dy = cotangents[0]
    assert dy is not None
    rank = g.rank(x)
    axes = g.ints(*range(node.attributes.get_int("axis", -1) % rank, rank))
    wide, dy = widen(g, x, x), widen(g, dy, x)
    square = g.op("ReduceMean", g.op("Mul", wide, wide), axes, keepdims=1)
    inverse = g.op("Reciprocal", g.op("Sqrt", g.op("Add", square, node.attributes.get_float("epsilon", 1e-5))))
    h = g.op("Mul", wide, inverse)
    gradients: list[Gradient] = [None, None]
    if needed[0]:
        u = g.op("Mul", dy, widen(g, scale, x))
        along = g.op("ReduceMean", g.op("Mul", u, h), axes, keepdims=1)
        gradients[0] = narrow(g, g.op("Mul", g.op("Sub", u, g.op("Mul", h, along)), inverse), x)
    if needed[1]:
        gradients[1] = narrow(g, _sum_to_shape(g, g.op("Mul", dy, h), x, scale), scale)
    return gradients


@unary("LpNormalization")
def lp_normalization(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    (x,) = _operands(node, 1)
    axis, p = g.ints(node.attributes.get_int("axis", -1)), node.attributes.get_int("p", 2)
    y = node.outputs[0]
    norm = g.op("ReduceL1" if p == 1 else "ReduceL2", x, axis, keepdims=1)
    along = g.op("ReduceSum", g.op("Mul", dy, y), axis, keepdims=1)
    rest = g.op("Sub", dy, g.op("Mul", g.op("Sign", x) if p == 1 else y, along))
    # At the origin the output has no derivative; 0 is the subgradient of least norm.
    return g.op("Where", g.op("Greater", norm, 0.0), g.op("Div", rest, norm), 0.0)


@unary("MeanVarianceNormalization")
def mean_variance_normalization(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    (x,) = _operands(node, 1)
    axes = g.ints(*node.attributes.get_ints("axes", (0, 2, 3)))
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes, keepdims=1))
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), axes, keepdims=1)
    inverse = g.op("Reciprocal", g.op("Add", g.op("Sqrt", variance), _MVN_EPSILON))
    h = g.op("Mul", centred, inverse)
    average = g.op("ReduceMean", dy, axes, keepdims=1)
    along = g.op("ReduceMean", g.op("Mul", dy, h), axes, keepdims=1)
    return g.op("Mul", g.op("Sub", g.op("Sub", dy, average), g.op("Mul", h, along)), inverse)


@unary("LRN")
def local_response_normalization(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """The gradient is t - 2 alpha beta / size * x * B'(x t / d).

    Here B sums a band of neighbouring channels, d = bias + alpha/size * (B x²) and t = dy d^-beta.
    """
    (x,) = _operands(node, 1)
    size = node.attributes["size"].as_int()
    alpha, beta = node.attributes.get_float("alpha", 1e-4), node.attributes.get_float("beta", 0.75)
    channels = g.size(x, 1)
    offset = np.arange(channels)[None] - np.arange(channels)[:, None]
    band = (offset >= -((size - 1) // 2)) & (offset <= size // 2)
    kind = x.dtype or ir.DataType.FLOAT
    ones = [1] * (g.rank(x) - 2)

    def neighbours(value: ir.Value, weights: np.ndarray) -> ir.Value:
        # A 1x1 convolution keeps the memory layout of the neighbouring convolutions.
        kernel = g.constant(weights.astype(kind.numpy()).reshape(channels, channels, *ones), kind)
        return g.op("Conv", value, kernel)

    total = neighbours(g.op("Mul", x, x), band)
    denominator = g.op("Add", g.op("Mul", total, alpha / size), node.attributes.get_float("bias", 1.0))
    scaled = g.op("Mul", dy, g.op("Pow", denominator, -beta))
    spread = neighbours(g.op("Div", g.op("Mul", x, scaled), denominator), band.T)
    return g.op("Sub", scaled, g.op("Mul", g.op("Mul", x, spread), 2 * alpha * beta / size))


def _operands(node: ir.Node, count: int) -> list[ir.Value]:
    found = [value for value in node.inputs[:count] if value is not None]
    assert len(found) == count, "the schema requires these inputs"
    return found


def scale_back(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> tuple[ir.Value, list[int], ir.Value | None]:
    """Propagate back through the scale of a layer, instance, group or RMS normalisation, in the op's precision.

    Returns
    -------
    ``dy`` times the scale, the normalised axes, and the shape to which both refer, None for that of the input.
    """
    x, scale = _operands(node, 2)
    rank, u, scale = g.rank(x), widen(g, dy, x), widen(g, scale, x)
    if node.op_type in ("LayerNormalization", "RMSNormalization"):
        axes = list(range(node.attributes.get_int("axis", -1) % rank, rank))
        return g.op("Mul", u, scale), axes, None
    if node.op_type == "InstanceNormalization":
        return g.op("Mul", u, g.reshape(scale, g.ints(-1, *[1] * (rank - 2)))), list(range(2, rank)), None
    groups = node.attributes.get_int("num_groups", 1)
    a_channel = (g.graph.opset_imports.get("") or 0) >= SCALE_A_CHANNEL
    counted, grouped = g.ints(0, g.size(x, 1) if a_channel else groups, -1), g.ints(0, groups, -1)
    u = g.op("Mul", g.reshape(u, counted), g.reshape(scale, g.ints(-1, 1)))
    return g.reshape(u, grouped), [2], grouped


def standardise(g: GradientBuilder, x: ir.Value, axes: Sequence[int], epsilon: float) -> tuple[ir.Value, ir.Value]:
    """Emit ``(x - mean) / deviation`` along axes, and the inverse of the deviation."""
    over = g.ints(*axes)
    centred = g.op("Sub", x, g.op("ReduceMean", x, over, keepdims=1))
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), over, keepdims=1)
    inverse = g.op("Reciprocal", g.op("Sqrt", g.op("Add", variance, epsilon)))
    return g.op("Mul", centred, inverse), inverse


def _standardise_back(g: GradientBuilder, u: ir.Value, h: ir.Value, inverse: ir.Value, axes: Sequence[int]) -> ir.Value:
    """(u - mean(u) - h mean(u h)) / deviation: the backward of :func:`standardise`."""
    over = g.ints(*axes)
    along = g.op("ReduceMean", g.op("Mul", u, h), over, keepdims=1)
    rest = g.op("Sub", g.op("Sub", u, g.op("ReduceMean", u, over, keepdims=1)), g.op("Mul", h, along))
    return g.op("Mul", rest, inverse)


def widen(g: GradientBuilder, value: ir.Value, x: ir.Value) -> ir.Value:
    """Cast to the precision in which the op computes: at least float32, since squares overflow in narrower types."""
    kind = ir.DataType.DOUBLE if x.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    return value if value.dtype == kind else g.op("Cast", value, to=kind)


def narrow(g: GradientBuilder, value: ir.Value, like: ir.Value) -> ir.Value:
    return value if value.dtype == like.dtype else g.op("Cast", value, to=like.dtype or ir.DataType.FLOAT)


def _sum_to_shape(g: GradientBuilder, gradient: ir.Value, x: ir.Value, parameter: ir.Value) -> ir.Value:
    """Sum a gradient in the shape of ``x`` to the shape of a parameter that is broadcast to it."""
    large, small = g.shape(x), g.shape(parameter)
    extra = len(large) - len(small)
    repeated = [extra + a for a, size in enumerate(small) if size == 1 and large[extra + a] != 1]
    if repeated:
        gradient = g.op("ReduceSum", gradient, g.ints(*repeated), keepdims=1)
    return g.op("ReduceSum", gradient, g.ints(*range(extra)), keepdims=0) if extra else gradient
