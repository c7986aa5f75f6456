"""Ops of the NCHWc layout, in which channels are split into blocks: see `xaionnx.graph.blocked_layout`."""

from __future__ import annotations

import numpy as np

from xaionnx.graph.fused.convolution import channels_first, channels_last, convolved
from xaionnx.graph.fused_op import NCHWC, FusedNode, fused


@fused("ReorderInput", domain=NCHWC)
def reorder_input(f: FusedNode) -> str:
    """The input, with its channels as the second axis."""
    return channels_first(f, f.input(0)) if f.attribute("channels_last", 0) else f.input(0)


@fused("ReorderOutput", domain=NCHWC)
def reorder_output(f: FusedNode) -> str:
    """The input, with its channels as the last axis if so stated."""
    return channels_last(f, f.input(0)) if f.attribute("channels_last", 0) else f.input(0)


@fused("Conv", domain=NCHWC)
def conv(f: FusedNode) -> str:
    """FusedConv with the weights in their usual order, without the filters and inputs that fill up blocks."""
    weights = f.blocks.weights(f.node)
    bias = f.array(f.input(2)) if f.input(2) else None
    if weights is None or (f.input(2) and bias is None):
        raise f.refusal("its weights are computed")
    kept, group = slice(f.blocks.end(f.node.output[0], f.facts)), f.attribute("group", 1)
    shape = f.facts.shape(f.input(0))
    inputs = slice(None if group > 1 or shape is None else shape[1])
    if group == len(weights):  # each channel has its own filter
        group = len(weights[kept])
    names = f.constant(weights[kept, inputs]), "" if bias is None else f.constant(bias[kept])
    return convolved(f, f.input(0), *names, f.input(3), group)


@fused("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", domain=NCHWC)
def pool(f: FusedNode) -> str:
    """The op of the same name."""
    stated = {name: value for name, value in f.attributes.items() if name != "storage_order"}
    return f.op(f.node.op_type, f.input(0), **stated)


@fused("Upsample", domain=NCHWC)
def upsample(f: FusedNode) -> str:
    """Resize by whole numbers."""
    scales = f.constant(np.array(f.attribute("scales"), dtype=np.float32))
    return f.op(
        "Resize", f.input(0), "", scales,
        mode=f.attribute("mode", "nearest"),
        coordinate_transformation_mode=f.attribute("coordinate_transformation_mode", "asymmetric"),
        nearest_mode="floor" if f.attribute("mode", "nearest") == "nearest" else None,
    )  # fmt: skip
