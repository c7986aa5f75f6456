"""Convolutions with an activation and a sum, and ops whose channels are the last axis."""

from __future__ import annotations

from xaionnx.graph.fused.activations import activate
from xaionnx.graph.fused_op import NHWC, FusedNode, fused

# Attributes of ops that slide a window.
WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_OWN = ("activation", "activation_params")


@fused("FusedConv")
def fused_conv(f: FusedNode) -> str:
    """Conv, plus a residual if there is one, and then an activation."""
    return convolved(f, f.input(0), f.input(1), f.input(2), f.input(3))


def convolved(f: FusedNode, x: str, weights: str, bias: str = "", residual: str = "", group: int | None = None) -> str:
    """Write Conv with the attributes of a node, a residual, and an activation."""
    stated = {name: f.attribute(name) for name in WINDOW}
    value = f.op("Conv", x, weights, bias, group=group or f.attribute("group", 1), **stated)
    if residual:
        value = f.op("Add", value, residual)
    return activate(f, value, tuple(f.attribute("activation_params", ())))


@fused("NhwcConv")
def nhwc_conv(f: FusedNode) -> str:
    """Conv of tensors and weights whose channels are the last axis."""
    weights = f.transpose(f.input(1), 0, 3, 1, 2)
    return channels_last(f, convolved(f, channels_first(f, f.input(0)), weights, f.input(2)))


@fused("NhwcFusedConv")
def nhwc_fused_conv(f: FusedNode) -> str:
    """FusedConv of tensors, but not weights, whose channels are the last axis."""
    x, residual = (channels_first(f, f.input(index)) if f.input(index) else "" for index in (0, 3))
    return channels_last(f, convolved(f, x, f.input(1), f.input(2), residual))


@fused("NhwcMaxPool")
def nhwc_max_pool(f: FusedNode) -> str:
    """MaxPool of a tensor whose channels are the last axis."""
    stated = {name: f.attribute(name) for name in (*WINDOW, "ceil_mode")}
    return channels_last(f, f.op("MaxPool", channels_first(f, f.input(0)), **stated))


@fused(
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "GridSample", "InstanceNormalization", "LRN", "LpPool", "MaxPool", "SpaceToDepth",
    domain=NHWC,
)  # fmt: skip
def with_channels_last(f: FusedNode) -> str:
    """The op of the same name, of a tensor whose channels are the last axis."""
    stated = {name: value for name, value in f.attributes.items() if name not in (*_OWN, "storage_order")}
    value = f.op(f.node.op_type, channels_first(f, f.input(0)), *f.node.input[1:], **stated)
    return channels_last(f, activate(f, value, tuple(f.attribute("activation_params", ()))))


def channels_first(f: FusedNode, value: str) -> str:
    """Write a Transpose that moves the last axis after the first."""
    rank = f.rank(value)
    return f.transpose(value, 0, rank - 1, *range(1, rank - 1))


def channels_last(f: FusedNode, value: str) -> str:
    """Write a Transpose that moves the second axis to the end."""
    rank = f.rank(value)
    return f.transpose(value, 0, *range(2, rank), 1)
