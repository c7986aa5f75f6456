"""The net of the oracle of class activation maps as a file, its pictures, and its maps."""

import numpy as np

import xaionnx
from tests import tiny
from tests.tiny import node, tensor
from xaionnx import Model

PICTURES = np.random.default_rng(8).normal(size=(3, 3, 11, 9)).astype(np.float32)


def opened(path, net, channels_last=False):
    """The oracle's net as a file, optionally with channels last in the input or the layer."""
    weights = {name: np.asarray(value, np.float32) for name, value in vars(net).items()}
    start, layer = ("x", "a") if not channels_last else ("first", "front")
    nodes = [
        node("Conv", [start, "first", "first_bias"], ["z"], pads=[1] * 4),
        node("Relu", ["z"], [layer]),
        node("Conv", [layer, "second", "second_bias"], ["z2"], strides=[2, 2]),
        node("Relu", ["z2"], ["a2"]),
        node("GlobalAveragePool", ["a2"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "head", "head_bias"], ["y"], transB=1),
    ]
    shape = ["N", 3, 11, 9]
    if channels_last:
        weights["kernel"] = weights.pop("first")
        nodes[0] = node("Conv", ["first", "kernel", "first_bias"], ["z"], pads=[1] * 4)
        nodes.insert(0, node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]))
        nodes.insert(3, node("Transpose", ["front"], ["a"], perm=[0, 2, 3, 1]))
        nodes.insert(4, node("Transpose", ["a"], ["back"], perm=[0, 3, 1, 2]))
        nodes[5] = node("Conv", ["back", "second", "second_bias"], ["z2"], strides=[2, 2])
        shape = ["N", 11, 9, 3]
    return Model.load(tiny.saved(path, nodes, [tensor("x", shape)], [tensor("y", ["N", 6])], weights))


def seen(model, x, method, target=0, **settings):
    return xaionnx.explain(model, x, method, target, **settings).maps["cam"]
