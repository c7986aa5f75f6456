"""Tiny models with known attributions: each function builds one and returns it as an ``onnx.ModelProto``.

All models are float32 at opset 17, with a symbolic batch axis "N" first. The input is "x" (a second one "x2") and the
output is "y". Nets A to I come from published test suites; the letters are those of our reference cases.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from xaionnx import Model

Shape: TypeAlias = Sequence[int]
Constants: TypeAlias = Mapping[str, npt.ArrayLike]


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Constants,
) -> onnx.ModelProto:
    """Assemble and check a model. Shapes are without the batch axis; constants become float32 unless integers."""

    def value(tensor: str, shape: Shape) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["N", *shape])

    initializers = []
    for key, constant in constants.items():
        array = np.asarray(constant)
        kind = np.int64 if np.issubdtype(array.dtype, np.integer) else np.float32
        initializers.append(numpy_helper.from_array(array.astype(kind), key))
    graph = helper.make_graph(
        list(nodes), name, [value(*i) for i in inputs.items()], [value(*o) for o in outputs.items()], initializers
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="xaionnx.planted"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _node(
    op: str, inputs: str, outputs: str, attributes: Mapping[str, int | Sequence[int]] = MappingProxyType({})
) -> onnx.NodeProto:
    """A node; tensor names are separated by spaces."""
    node = helper.make_node(op, inputs.split(), outputs.split(), name=f"{op}_{outputs.split()[0]}")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node


def load(model: onnx.ModelProto, **options: Any) -> Model:
    """Load a planted model with ``Model.load(path, **options)``."""
    path = Path(_folder().name) / f"{model.graph.name}-{hashlib.sha256(model.SerializeToString()).hexdigest()[:8]}.onnx"
    if not path.exists():
        onnx.save(model, path)
    return Model.load(path, **options)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="planted-", ignore_cleanup_errors=True)


def net_a() -> onnx.ModelProto:
    """Net A, (N, 3) to (N, 2): s = x1 + x2 + x3, h = (s-10, s+1, s+1, s+1), y = (sum ReLU(h) - 1, sum ReLU(h) + 1).

    The layers are the tensors "linear0" (= x), "linear1" (= h), "relu" and "linear2" (= y; the output is a copy of it).
    """
    nodes = [
        _node("MatMul", "x w0", "linear0"),
        _node("Gemm", "linear0 w1 b1", "linear1"),
        _node("Relu", "linear1", "relu"),
        _node("Gemm", "relu w2 b2", "linear2"),
        _node("Identity", "linear2", "y"),
    ]
    constants: Constants = {
        "w0": np.eye(3),
        "w1": np.ones((3, 4)),
        "b1": [-10.0, 1.0, 1.0, 1.0],
        "w2": np.ones((4, 2)),
        "b2": [-1.0, 1.0],
    }
    return _model("net_a", nodes, {"x": [3]}, {"y": [2]}, constants)


def net_b(*, two_images: bool = False) -> onnx.ModelProto:
    """Net B, (N, 1, 4, 4) to (N, 4): two 3x3 filters of ones with biases -50 and -75, ReLU, four equal rows, ReLU.

    y_k = ReLU(sum of ReLU(conv) over channel 0 and the first cell of channel 1, less its other three cells).
    With ``two_images`` the model has the inputs "x" and "x2", and convolves x + x2.
    Tensors: "conv", "relu1", "flat", "linear", "y".
    """
    start = [_node("Add", "x x2", "both")] if two_images else []
    nodes = [
        *start,
        _node("Conv", f"{'both' if two_images else 'x'} filters biases", "conv", {"kernel_shape": [3, 3]}),
        _node("Relu", "conv", "relu1"),
        _node("Flatten", "relu1", "flat"),
        _node("Gemm", "flat weights zeros", "linear", {"transB": 1}),
        _node("Relu", "linear", "y"),
    ]
    constants: Constants = {
        "filters": np.ones((2, 1, 3, 3)),
        "biases": [-50.0, -75.0],
        "weights": np.tile([1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0], (4, 1)),
        "zeros": np.zeros(4),
    }
    inputs = {"x": [1, 4, 4], "x2": [1, 4, 4]} if two_images else {"x": [1, 4, 4]}
    return _model("net_b", nodes, inputs, {"y": [4]}, constants)


def net_c() -> onnx.ModelProto:
    """Net C, (N, 2) to (N, 1): ReLU(ReLU(x1) - 1 - ReLU(x2)); computes the same function as net D."""
    nodes = [
        _node("Relu", "x", "relu"),
        _node("Gemm", "relu w b", "difference"),
        _node("Relu", "difference", "y"),
    ]
    return _model("net_c", nodes, {"x": [2]}, {"y": [1]}, {"w": [[1.0], [-1.0]], "b": [-1.0]})


def net_d() -> onnx.ModelProto:
    """Net D, (N, 2) to (N, 1): ReLU(ReLU(x1 - 1) - ReLU(x2)); computes the same function as net C."""
    nodes = [
        _node("Add", "x shift", "shifted"),
        _node("Relu", "shifted", "relu"),
        _node("MatMul", "relu w", "difference"),
        _node("Relu", "difference", "y"),
    ]
    return _model("net_d", nodes, {"x": [2]}, {"y": [1]}, {"shift": [-1.0, 0.0], "w": [[1.0], [-1.0]]})


def net_f() -> onnx.ModelProto:
    """Net F, (N, 2) to (N, 1): 2 ReLU(x1) + 2 ReLU(x2 - 1.5)."""
    nodes = [_node("Add", "x shift", "linear"), _node("Relu", "linear", "relu"), _node("MatMul", "relu w", "y")]
    return _model("net_f", nodes, {"x": [2]}, {"y": [1]}, {"shift": [0.0, -1.5], "w": [[2.0], [2.0]]})


def net_g(*, negative: bool = False) -> onnx.ModelProto:
    """Net G, (N, 3) to (N, 1): 3 sum of ReLU(W1 x), W1 = 3x3 of twos; with ``negative`` (net G-) W1[0, 0] = -2."""
    w1 = np.full((3, 3), 2.0)
    if negative:
        w1[0, 0] = -2.0
    nodes = [
        _node("Gemm", "x w1", "linear1", {"transB": 1}),
        _node("Relu", "linear1", "relu"),
        _node("Gemm", "relu w2", "y", {"transB": 1}),
    ]
    return _model("net_g", nodes, {"x": [3]}, {"y": [1]}, {"w1": w1, "w2": np.full((1, 3), 3.0)})


def net_i() -> onnx.ModelProto:
    """Net I, (N, 4) to (N, 1): the maximum of the four inputs, by an identity layer "linear" and a MaxPool over 4."""
    nodes = [
        _node("MatMul", "x eye", "linear"),
        _node("Unsqueeze", "linear one", "channel"),
        _node("MaxPool", "channel", "pooled", {"kernel_shape": [4]}),
        _node("Squeeze", "pooled one", "y"),
    ]
    return _model("net_i", nodes, {"x": [4]}, {"y": [1]}, {"eye": np.eye(4), "one": np.array([1])})


def minimum() -> onnx.ModelProto:
    """(N, 2) to (N, 1): min(x1, x2) = x1 - ReLU(x1 - x2)."""
    nodes = [
        _node("MatMul", "x differing", "difference"),
        _node("Relu", "difference", "relu"),
        _node("MatMul", "x first", "chosen"),
        _node("Sub", "chosen relu", "y"),
    ]
    return _model("minimum", nodes, {"x": [2]}, {"y": [1]}, {"differing": [[1.0], [-1.0]], "first": [[1.0], [0.0]]})


def linear(weights: npt.ArrayLike, bias: npt.ArrayLike = 0.0) -> onnx.ModelProto:
    """y_k = sum over every input element of w_k x, plus b_k.

    ``weights`` has shape (K, ...), with the axes of the input after K: (K, F) for a table, (K, C, H, W) for pictures.
    """
    rows = np.asarray(weights, dtype=np.float32)
    count, shape = rows.shape[0], rows.shape[1:]
    nodes = [_node("Flatten", "x", "flat"), _node("Gemm", "flat w b", "y", {"transB": 1})]
    constants: Constants = {"w": rows.reshape(count, -1), "b": np.broadcast_to(np.asarray(bias, np.float32), (count,))}
    return _model("linear", nodes, {"x": shape}, {"y": [count]}, constants)


def pooled(filters: npt.ArrayLike, weights: npt.ArrayLike, size: Shape) -> onnx.ModelProto:
    """(N, C, H, W) to (N, K): a 1x1 convolution (D, C) and ReLU ("features"), spatial means, and weights (K, D)."""
    kernels, rows = np.asarray(filters, np.float32), np.asarray(weights, np.float32)
    nodes = [
        _node("Conv", "x filters", "conv"),
        _node("Relu", "conv", "features"),
        _node("GlobalAveragePool", "features", "means"),
        _node("Flatten", "means", "flat"),
        _node("Gemm", "flat w", "y", {"transB": 1}),
    ]
    constants: Constants = {"filters": kernels[:, :, None, None], "w": rows}
    return _model("pooled", nodes, {"x": [kernels.shape[1], *size]}, {"y": [len(rows)]}, constants)


def quadrants(size: int, classes: int = 4) -> onnx.ModelProto:
    """(N, 3, size, size) to (N, classes): logit k = 10 x the mean of quadrant k.

    Quadrants: 0 top left, 1 top right, 2 bottom left, 3 bottom right; with two classes, 0 top left and 1 bottom right.
    """
    if size % 2 or not 2 <= classes <= 4:
        raise ValueError(f"quadrants needs an even size and 2 to 4 classes. Got size {size} and {classes} classes.")
    corners = [(0, 0), (1, 1)] if classes == 2 else [(0, 0), (0, 1), (1, 0), (1, 1)][:classes]
    half = size // 2
    weights = np.zeros((classes, 3, size, size), np.float32)
    for k, (row, column) in enumerate(corners):
        area = (slice(row * half, (row + 1) * half), slice(column * half, (column + 1) * half))
        weights[k, :, area[0], area[1]] = 10 / (3 * half * half)
    return linear(weights)


def mean_picture(height: int, width: int, channels: int = 1) -> onnx.ModelProto:
    """(N, C, H, W) to (N, 1): the mean of all elements; equal segments of a uniform picture get equal attributions."""
    nodes = [_node("ReduceMean", "x", "mean", {"axes": [1, 2, 3], "keepdims": 0}), _node("Unsqueeze", "mean one", "y")]
    return _model("mean_picture", nodes, {"x": [channels, height, width]}, {"y": [1]}, {"one": np.array([1])})


def any_pixel(size: int) -> onnx.ModelProto:
    """(N, 1, size, size) to (N, 1): 1 if any pixel is not 0, else 0."""
    return _extreme("any_pixel", "ReduceMax", size)


def no_pixel_is_zero(size: int) -> onnx.ModelProto:
    """(N, 1, size, size) to (N, 1): 1 if no pixel is 0, else 0."""
    return _extreme("no_pixel_is_zero", "ReduceMin", size)


def _extreme(name: str, op: str, size: int) -> onnx.ModelProto:
    nodes = [
        _node("Abs", "x", "sizes"),
        _node(op, "sizes", "extreme", {"axes": [1, 2], "keepdims": 0}),
        _node(op, "extreme", "number", {"axes": [1], "keepdims": 1}),
        _node("Sign", "number", "y"),
    ]
    return _model(name, nodes, {"x": [1, size, size]}, {"y": [1]}, {})


def second_order() -> onnx.ModelProto:
    """(N, 5) to (N, 1): d0 d2 + d1 + d2 + d2 d3; d4 is a null player.

    At a binary d with baseline 0 the Shapley values are (d0 d2 / 2, d1, d0 d2 / 2 + d2 + d2 d3 / 2, d2 d3 / 2, 0).
    """
    form = np.zeros((5, 5))
    form[0, 2] = form[3, 2] = 1
    nodes = [
        _node("MatMul", "x form", "partners"),
        _node("Mul", "x partners", "products"),
        _node("MatMul", "products ones", "quadratic"),
        _node("MatMul", "x w", "linear"),
        _node("Add", "quadratic linear", "y"),
    ]
    constants: Constants = {"form": form.T, "ones": np.ones((5, 1)), "w": [[0.0], [1.0], [1.0], [0.0], [0.0]]}
    return _model("second_order", nodes, {"x": [5]}, {"y": [1]}, constants)


def polynomial(columns: int, terms: Mapping[tuple[int, ...], float]) -> onnx.ModelProto:
    """(N, columns) to (N, 1): the sum over terms of a weight times the product of some columns.

    At ones, with baseline 0, the weights are the dividends of the game.
    """
    nodes, constants = [], dict[str, npt.ArrayLike]()
    for k, term in enumerate(terms):
        constants[f"columns{k}"] = np.array(term, np.int64)
        nodes.append(_node("Gather", f"x columns{k}", f"factors{k}", {"axis": 1}))
        nodes.append(_node("ReduceProd", f"factors{k}", f"product{k}", {"axes": [1], "keepdims": 1}))
    products = " ".join(f"product{k}" for k in range(len(terms)))
    nodes += [_node("Concat", products, "products", {"axis": 1}), _node("MatMul", "products w", "y")]
    constants["w"] = np.array([*terms.values()], dtype=np.float64)[:, None]
    return _model("polynomial", nodes, {"x": [columns]}, {"y": [1]}, constants)


def ishigami(a: float = 7.0, b: float = 0.1) -> onnx.ModelProto:
    """(N, 3) to (N, 1): sin x1 + a sin^2 x2 + b x3^4 sin x1.

    On U(-pi, pi)^3 with a = 7, b = 0.1 the total Sobol indices are (0.55759, 0.44241, 0.24368).

    References
    ----------
    Ishigami and Homma (1990), An importance quantification technique in uncertainty analysis for computer models,
    doi:10.1109/ISUMA.1990.151285.
    """
    nodes = [
        _node("Split", "x", "x1 x2 x3", {"axis": 1}),
        _node("Sin", "x1", "sine1"),
        _node("Sin", "x2", "sine2"),
        _node("Mul", "sine2 sine2", "square2"),
        _node("Mul", "square2 a", "term2"),
        _node("Mul", "x3 x3", "square3"),
        _node("Mul", "square3 square3", "fourth3"),
        _node("Mul", "fourth3 b", "scaled3"),
        _node("Mul", "scaled3 sine1", "term3"),
        _node("Add", "sine1 term2", "first"),
        _node("Add", "first term3", "y"),
    ]
    return _model("ishigami", nodes, {"x": [3]}, {"y": [1]}, {"a": a, "b": b})


def attending(*, pooled: bool = False, layers: int = 2, leading: int = 1) -> onnx.ModelProto:
    """(N, 3, 12, 12) to (N, 3): a small vision transformer with 2 heads over a class token and 3 x 3 patches.

    The attention weights of layer l, (N, 2, 10, 10), are the tensor "attention_l". The head reads the class token, or
    the mean of all tokens if ``pooled``. ``leading`` is the number of tokens before the patches; the first is the class
    token. Weights are random with a fixed seed.
    """
    draw = np.random.default_rng(11)
    count = 9 + leading
    constants: dict[str, npt.ArrayLike] = {
        "patches": draw.normal(size=(4, 3, 4, 4)) / 4,
        "row": np.array([0, 4, 9]),
        "front": np.array([0, leading, 0, 0, 0, 0]),
        "position": draw.normal(size=(1, count, 4)),
        "parted": np.array([0, count, 2, 2]),
        "joined": np.array([0, count, 4]),
        "class": np.array(0),
        "head": draw.normal(size=(4, 3)),
    }
    nodes = [
        _node("Conv", "x patches", "grid", {"strides": [4, 4]}),
        _node("Reshape", "grid row", "flat"),
        _node("Transpose", "flat", "alone", {"perm": [0, 2, 1]}),
        _node("Pad", "alone front", "led"),
        _node("Add", "led position", "tokens_0"),
    ]
    for n in range(1, layers + 1):
        before = f"tokens_{n - 1}"
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            constants[f"{part}{n}"] = draw.normal(size=(4, 4))
            nodes += [
                _node("MatMul", f"{before} {part}{n}", f"{part}_{n}"),
                _node("Reshape", f"{part}_{n} parted", f"{part}_parted_{n}"),
                _node("Transpose", f"{part}_parted_{n}", f"{part}_heads_{n}", {"perm": order}),
            ]
        nodes += [
            _node("MatMul", f"q_heads_{n} k_heads_{n}", f"scores_{n}"),
            _node("Softmax", f"scores_{n}", f"attention_{n}", {"axis": -1}),
            _node("MatMul", f"attention_{n} v_heads_{n}", f"mixed_{n}"),
            _node("Transpose", f"mixed_{n}", f"ordered_{n}", {"perm": [0, 2, 1, 3]}),
            _node("Reshape", f"ordered_{n} joined", f"branch_{n}"),
            _node("Add", f"{before} branch_{n}", f"tokens_{n}"),
        ]
    last = f"tokens_{layers}"
    if pooled:
        nodes.append(_node("ReduceMean", last, "read", {"axes": [1], "keepdims": 0}))
    else:
        nodes.append(_node("Gather", f"{last} class", "read", {"axis": 1}))
    nodes.append(_node("MatMul", "read head", "y"))
    return _model("attending", nodes, {"x": [3, 12, 12]}, {"y": [3]}, constants)


def bag_of_patches(*, channels_last: bool = False) -> onnx.ModelProto:
    """(N, 3, H, W) to (N, 3), H and W free: the mean over all positions of "scores", which see 3 x 3 pixels each.

    "scores" has the shape (N, 3, h, w), or (N, h, w, 3) if ``channels_last``. Weights are random with a fixed seed.
    """
    draw = np.random.default_rng(12)
    last = [_node("Transpose", "local", "scores", {"perm": [0, 2, 3, 1]})] if channels_last else []
    nodes = [
        _node("Conv", "x first", "seen", {"strides": [2, 2]}),
        _node("Relu", "seen", "features"),
        _node("Conv", "features second", "local" if channels_last else "scores"),
        *last,
        _node("ReduceMean", "scores", "y", {"axes": [1, 2] if channels_last else [2, 3], "keepdims": 0}),
    ]
    constants = {"first": draw.normal(size=(5, 3, 3, 3)), "second": draw.normal(size=(3, 5, 1, 1))}
    size: list[Any] = [3, "H", "W"]
    return _model("bag_of_patches", nodes, {"x": size}, {"y": [3]}, constants)


def detector() -> onnx.ModelProto:
    """A detector (N, 1, 16, 16) to 16 boxes, the cells of 4 x 4 pixels, and their scores "scores" for two classes.

    The score of class 0 is the mean of the pixels in the box, that of class 1 half of it.
    """
    corner = np.mgrid[:4, :4].reshape(2, 16).T[:, ::-1] * 4
    nodes = [
        _node("Conv", "x kernel", "cells", {"strides": (4, 4), "kernel_shape": (4, 4)}),
        _node("Reshape", "cells shape", "mean"),
        _node("Mul", "mean half", "other"),
        _node("Concat", "mean other", "scores", {"axis": 2}),
        _node("Mul", "mean zero", "nothing"),
        _node("Add", "nothing corners", "boxes"),
    ]
    constants: Constants = {
        "kernel": np.full((1, 1, 4, 4), 1 / 16),
        "shape": np.array([-1, 16, 1]),
        "half": 0.5,
        "zero": 0.0,
        "corners": np.concatenate([corner, corner + 4], axis=1)[None].astype(np.float32),
    }
    return _model("detector", nodes, {"x": (1, 16, 16)}, {"boxes": (16, 4), "scores": (16, 2)}, constants)


def null(shape: Shape) -> onnx.ModelProto:
    """(N, \\*shape) to (N, 1): y = 0 for every input, computed from all of its elements."""
    return linear(np.zeros((1, *shape)))


def five_x1_x2sq_sinx3() -> onnx.ModelProto:
    """(N, 3) to (N, 1): 5 x1 + x2^2 + sin x3; integrated gradients from 0 are the three terms."""
    nodes = [
        _node("Split", "x", "x1 x2 x3", {"axis": 1}),
        _node("Mul", "x1 five", "term1"),
        _node("Mul", "x2 x2", "term2"),
        _node("Sin", "x3", "term3"),
        _node("Add", "term1 term2", "first"),
        _node("Add", "first term3", "y"),
    ]
    return _model("five_x1_x2sq_sinx3", nodes, {"x": [3]}, {"y": [1]}, {"five": 5.0})
