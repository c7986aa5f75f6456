"""Small nets for tests of several methods: a nonlinear one with gradients in float64, and a mobile one."""

import numpy as np

from models import planted
from tests import tiny
from tests.tiny import node, tensor

# A net that is nonlinear before and after its layer h: f = v . tanh(U h), h = tanh(W x).
W, U, V = tiny.normal(3, 4), tiny.normal(4, 5), tiny.normal(5, 2)
CURVED = """g (float[N, 3] x) => (float[N, 2] y) {
  a = MatMul(x, W)  h = Tanh(a)  b = MatMul(h, U)  c = Tanh(b)  y = MatMul(c, V) }"""


def curved(batch="N"):
    return tiny.loaded(CURVED.replace("N", batch), W=W, U=U, V=V)


def layer_of(x):
    return np.tanh(x @ W.astype(np.float64))


def target_of(h, k):
    return (np.tanh(h @ U.astype(np.float64)) @ V.astype(np.float64))[..., k]


def slopes_of(h, k, step=1e-6):
    """Central differences of the target at the layer, (points, 4)."""
    moves = step * np.eye(h.shape[1])
    return np.stack([(target_of(h + m, k) - target_of(h - m, k)) / (2 * step) for m in moves], axis=1)


def mobile():
    """A net like mobile nets, with separable convolutions, squeeze-and-excitation and a residual sum; 3 classes."""
    nodes = [
        node("Conv", ["x", "stem"], ["c0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["c0", "zero", "six"], ["r0"]),
        node("Conv", ["r0", "deep"], ["c1"], group=6, pads=[1, 1, 1, 1]),
        node("HardSwish", ["c1"], ["r1"]),
        node("GlobalAveragePool", ["r1"], ["pool"]),
        node("Conv", ["pool", "squeeze"], ["s"]),
        node("Sigmoid", ["s"], ["gate"]),
        node("Mul", ["r1", "gate"], ["gated"]),
        node("Conv", ["gated", "point"], ["c2"]),
        node("Add", ["c2", "r0"], ["sum"]),
        node("GlobalAveragePool", ["sum"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("MatMul", ["flat", "head"], ["y"]),
    ]
    rng = np.random.default_rng(2)
    sizes = {"stem": (6, 3, 3, 3), "deep": (6, 1, 3, 3), "squeeze": (6, 6, 1, 1), "point": (6, 6, 1, 1), "head": (6, 3)}
    weights = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    weights |= {"zero": np.float32(0), "six": np.float32(6)}
    return planted.load(tiny.model(nodes, [tensor("x", ["N", 3, 17, 13])], [tensor("y", ["N", 3])], weights))
