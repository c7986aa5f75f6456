"""Nets for relevance propagation: each as a model, as layers of the oracle, and with samples."""

import numpy as np

from tests.oracles import lrp as oracle
from tests.tiny import node, opened

# Bounds of the samples.
LOW, HIGH = -1.5, 2.0


def dense(w, b):
    return ("linear", (w, b, np.ones(w.shape, bool)))


def pictures_of(rng, count, shape):
    return rng.uniform(LOW, HIGH, (count, *shape)).astype(np.float32)


def mlp(rng, bias=True):
    """Gemm with transposed weights, MatMul and Add, Gemm with a factor."""
    w = [rng.normal(size=s).astype(np.float32) for s in ((7, 6), (6, 5), (5, 3))]
    b = [(rng.normal(size=s) * bias).astype(np.float32) for s in (6, 5, 3)]
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["h0"], transB=1),
        node("Relu", ["h0"], ["r0"]),
        node("Gemm", ["r0", "w1", "b1"], ["h1"]),
        node("Relu", ["h1"], ["r1"]),
        node("Gemm", ["r1", "w2", "b2"], ["y"], beta=2.0),
    ]
    weights = {"w0": w[0].T, "b0": b[0], "w1": w[1], "b1": b[1], "w2": w[2], "b2": b[2]}
    net = [dense(w[0], b[0]), ("relu", None), dense(w[1], b[1]), ("relu", None), dense(w[2], 2 * b[2])]
    return opened(nodes, [7], [3], weights), net, pictures_of(rng, 3, (7,))


def convolutional(rng, bias=True):
    """Strides, pads, groups, dilation and max pooling."""
    shape, net, weights, nodes = (2, 9, 9), [], {}, []
    layers = [
        ({"stride": 2, "pad": 1}, (4, 2, 3, 3)),
        ({"pad": 1, "group": 2}, (4, 2, 3, 3)),
        ({"group": 4, "dilation": 2}, (4, 1, 2, 2)),
    ]
    value = "x"
    for number, (how, size) in enumerate(layers):
        kernel = rng.normal(size=size).astype(np.float32)
        b = (rng.normal(size=size[0]) * bias).astype(np.float32)
        matrix, shape = oracle.unrolled(kernel, b, shape, **how)
        net += [("linear", matrix), ("relu", None)]
        weights |= {f"k{number}": kernel, f"b{number}": b}
        stride, pad, dilation = (
            how.get(name, default) for name, default in (("stride", 1), ("pad", 0), ("dilation", 1))
        )
        nodes += [
            node(
                "Conv", [value, f"k{number}", f"b{number}"], [f"h{number}"],
                strides=[stride] * 2, pads=[pad] * 4, group=how.get("group", 1), dilations=[dilation] * 2,
            ),
            node("Relu", [f"h{number}"], [f"r{number}"]),
        ]  # fmt: skip
        value = f"r{number}"
        if number == 1:
            inputs, shape = oracle.windows(shape, 2) if shape[1] % 2 == 0 else oracle.windows(shape, 1)
            net.append(("max", inputs))
            nodes.append(node("MaxPool", [value], ["pooled"], kernel_shape=[2 if shape[1] == 2 else 1] * 2))
            value = "pooled"
    w, b = rng.normal(size=(int(np.prod(shape)), 3)).astype(np.float32), (rng.normal(size=3) * bias).astype(np.float32)
    nodes += [node("Flatten", [value], ["flat"]), node("Gemm", ["flat", "w", "b"], ["y"])]
    net.append(dense(w, b))
    return opened(nodes, [2, 9, 9], [3], weights | {"w": w, "b": b}), net, pictures_of(rng, 2, (2, 9, 9))


def residual(rng, bias=True):
    """A convolution, a residual block, the mean of each channel, a linear layer."""
    kernels = [rng.normal(size=s).astype(np.float32) for s in ((3, 2, 3, 3), (3, 3, 3, 3), (3, 3, 1, 1))]
    b = [(rng.normal(size=3) * bias).astype(np.float32) for _ in range(4)]
    shape = (2, 5, 5)
    first, shape = oracle.unrolled(kernels[0], b[0], shape)
    inner, _ = oracle.unrolled(kernels[1], b[1], shape, pad=1)
    outer, _ = oracle.unrolled(kernels[2], b[2], shape)
    w = rng.normal(size=(3, 3)).astype(np.float32)
    mean = np.kron(np.eye(3), np.full((9, 1), 1 / 9))
    net = [
        ("linear", first), ("relu", None),
        ("skip", [("linear", inner), ("relu", None), ("linear", outer)]), ("relu", None),
        ("linear", (mean, np.zeros(3), mean > 0)), dense(w, b[3]),
    ]  # fmt: skip
    nodes = [
        node("Conv", ["x", "k0", "b0"], ["h0"]),
        node("Relu", ["h0"], ["r0"]),
        node("Conv", ["r0", "k1", "b1"], ["h1"], pads=[1] * 4),
        node("Relu", ["h1"], ["r1"]),
        node("Conv", ["r1", "k2", "b2"], ["h2"]),
        node("Add", ["h2", "r0"], ["sum"]),
        node("Relu", ["sum"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "w", "b3"], ["y"]),
    ]
    weights = {f"k{i}": k for i, k in enumerate(kernels)} | {f"b{i}": one for i, one in enumerate(b)} | {"w": w}
    return opened(nodes, [2, 5, 5], [3], weights), net, pictures_of(rng, 2, (2, 5, 5))


def beside(rng, bias=True):
    """A product plus its input, as MatMul and Add, which onnxruntime fuses, or already fused in a Gemm."""
    w = [rng.normal(size=s).astype(np.float32) for s in ((7, 12), (12, 12), (12, 12), (12, 3))]
    b = [(rng.normal(size=s) * bias).astype(np.float32) for s in (12, 3)]
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["h0"]),
        node("Relu", ["h0"], ["r0"]),
        node("MatMul", ["r0", "w1"], ["m1"]),
        node("Add", ["m1", "r0"], ["h1"]),
        node("Relu", ["h1"], ["r1"]),
        node("Gemm", ["r1", "w2", "r1"], ["h2"]),
        node("Relu", ["h2"], ["r2"]),
        node("Gemm", ["r2", "w3", "b1"], ["y"]),
    ]
    skips = [("skip", [dense(one, np.zeros(12))]) for one in w[1:3]]
    relu = ("relu", None)
    net = [dense(w[0], b[0]), relu, skips[0], relu, skips[1], relu, dense(w[3], b[1])]
    weights = {f"w{k}": one for k, one in enumerate(w)} | {f"b{k}": one for k, one in enumerate(b)}
    return opened(nodes, [7], [3], weights), net, pictures_of(rng, 3, (7,))


NETS = {"beside": beside, "mlp": mlp, "convolutional": convolutional, "residual": residual}
# The linear layer of the residual net without weights (the mean).
MEAN = {"residual": 3}
