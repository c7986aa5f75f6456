"""Normalisations, with the sums that are fused with them."""

from __future__ import annotations

import numpy as np

from xaionnx.graph.fused.activations import scaled_silu
from xaionnx.graph.fused.convolution import channels_first, channels_last
from xaionnx.graph.fused_op import FusedNode, fused

_EPSILON = 1e-12


@fused("SkipLayerNormalization")
def skip_layer_normalization(f: FusedNode) -> tuple[str, ...]:
    """LayerNormalization of a sum, which is an output too."""
    summed = _residual_sum(f, 4)
    y, mean, inverse = layer_normalized(f, summed, f.input(2), f.input(3), f.attribute("epsilon", _EPSILON))
    return y, mean, inverse, summed


@fused("SkipSimplifiedLayerNormalization")
def skip_rms_normalization(f: FusedNode) -> tuple[str, ...]:
    """Division of a sum, which is an output too, by its root mean square."""
    summed = _residual_sum(f, 3)
    y, inverse = rms_normalized(f, summed, f.input(2), f.attribute("epsilon", _EPSILON))
    return y, "", inverse, summed


@fused("SimplifiedLayerNormalization", domain="")
def rms_normalization(f: FusedNode) -> tuple[str, ...]:
    """Division by the root mean square over all axes from ``axis`` on."""
    axis, rank = f.attribute("axis", -1), f.rank(f.input(0))
    return rms_normalized(f, f.input(0), f.input(1), f.attribute("epsilon", 1e-5), axis % rank - rank)


def _residual_sum(f: FusedNode, bias: int) -> str:
    """Write the sum of two inputs and a bias, which is added to a product first, as in the source of the file."""
    given = [f.input(0), f.input(1)]
    products = [index for index in (0, 1) if f.facts.made_by(given[index]) in ("MatMul", "Gemm")]
    if f.input(bias) and len(products) == 1:
        given[products[0]] = f.op("Add", given[products[0]], f.input(bias))
    summed = f.op("Add", *given)
    return f.op("Add", summed, f.input(bias)) if f.input(bias) and len(products) != 1 else summed


def layer_normalized(f: FusedNode, x: str, scale: str, bias: str, epsilon: float) -> list[str]:
    """Write LayerNormalization over the last axis; return its output, the mean and the inverse of the deviation."""
    f.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)
    made = f.nodes[-1]
    made.output.extend(f.writer.name(f"{made.output[0]}_{index}") for index in (1, 2))
    return list(made.output)


def rms_normalized(f: FusedNode, x: str, scale: str, epsilon: float, axis: int = -1) -> tuple[str, str]:
    """Write the division by the root mean square; return the result and the inverse of the root."""
    axes = f.integers(list(range(axis, 0)))
    squares = f.op("ReduceMean", f.op("Mul", x, x), axes, keepdims=1)
    inverse = f.op("Reciprocal", f.op("Sqrt", f.op("Add", squares, epsilon)))
    return f.op("Mul", f.op("Mul", x, inverse), scale), inverse


@fused("GroupNorm")
def group_norm(f: FusedNode) -> str:
    """Normalisation within groups of channels, and SiLU if so stated."""
    return _group_normalized(f, f.input(0))


@fused("SkipGroupNorm")
def skip_group_norm(f: FusedNode) -> tuple[str, str]:
    """GroupNorm of a sum, which is an output too."""
    skip = f.input(3)
    if f.rank(skip) == 2:  # (N, C)
        skip = f.op("Unsqueeze", skip, f.integers([1, 2]))
        skip = skip if f.attribute("channels_last", 1) else channels_first(f, skip)
    summed = f.op("Add", f.input(0), skip)
    if f.input(4):
        per_channel = f.input(4) if f.attribute("channels_last", 1) else _per_channel(f, f.input(4))
        summed = f.op("Add", summed, per_channel)
    return _group_normalized(f, summed), summed


def _group_normalized(f: FusedNode, x: str) -> str:
    last, groups = f.attribute("channels_last", 1), f.attribute("groups")
    value = channels_first(f, x) if last else x
    shape = f.op("Shape", value)
    # As an exporter of opset 20 writes it: each group is an instance.
    grouped = f.op("Reshape", value, f.integers([0, groups, -1]))
    ones, zeros = (f.numbers(np.full(groups, number), value) for number in (1.0, 0.0))
    normal = f.op("InstanceNormalization", grouped, ones, zeros, epsilon=f.attribute("epsilon", 1e-5))
    value = f.op("Reshape", normal, shape)
    scale, shift = (_per_channel(f, _same_type(f, f.input(index), value)) for index in (1, 2))
    value = f.op("Add", f.op("Mul", value, scale), shift)
    if f.attribute("activation"):
        value = scaled_silu(f, value, 1.0)
    return channels_last(f, value) if last else value


def _per_channel(f: FusedNode, values: str) -> str:
    """Write (C,) as (C, 1, 1)."""
    return f.op("Reshape", values, f.integers([-1, 1, 1]))


def _same_type(f: FusedNode, value: str, like: str) -> str:
    kind = f.dtype(like)
    return value if f.dtype(value) == kind else f.op("Cast", value, to=kind)
