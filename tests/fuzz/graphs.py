"""Random small graphs of ops that have gradients, and what must hold of every explanation of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.tiny import model, tensor

Array = npt.NDArray[Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
SHAPES: Final = ((6,), (1,), (2, 5), (5, 2), (2, 6, 6), (1, 4, 4), (6, 6, 2))
OUTPUTS: Final = 3
_MOST = 400

_SMOOTH: Final = (
    "Tanh",
    "Sigmoid",
    "Softplus",
    "Erf",
    "Sin",
    "Cos",
    "Mish",
    "Softsign",
    "Exp",
    "Identity",
    "Neg",
    "Gelu",
)
_BENT: Final = ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Abs", "HardSigmoid", "HardSwish", "ThresholdedRelu")
_REDUCING: Final = (
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceSumSquare",
)


@dataclass
class Growing:
    """A graph that grows: tensors with the shape of one sample each."""

    draw: Draw
    rng: np.random.Generator
    tensors: list[tuple[str, tuple[int, ...]]]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def weight(self, *shape: int) -> str:
        values = self.rng.normal(size=shape) / np.sqrt(max(1, math.prod(shape[:-1])))
        return self.constant(values.astype(np.float32))

    def constant(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(values)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...] | None, **attributes: Any) -> str:
        """Add a node; None for the shape if no other node may read the result, which has other axes or another type."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        if shape is not None:
            self.tensors.append((name, shape))
        return name


def _pointwise(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    op = g.pick(*_SMOOTH, *_BENT)
    if op == "Exp":  # of bounded values
        name = g.add("Tanh", [name], shape)
    g.add(op, [name], shape)


def _safe(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    """A function of a number away from its pole."""
    square = g.add("Mul", [name, name], shape)
    away = g.add("Add", [square, g.constant(np.float32(0.5))], shape)
    op = g.pick("Sqrt", "Log", "Reciprocal", "Pow")
    g.add(op, [away, g.constant(np.float32(g.pick(0.5, 2.0, 3.0, -1.0)))] if op == "Pow" else [away], shape)


def _binary(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    others = [other for other, size in g.tensors if size == shape]
    constant = g.weight(*shape[g.pick(*range(len(shape))) :])
    other = g.pick(*others, constant)
    op = g.pick("Add", "Sub", "Mul", "Max", "Min", "Div", "Where", "Sum")
    if op == "Div":
        square = g.add("Mul", [other, other], shape) if other != constant else g.constant(g.weights[constant] ** 2)
        other = (
            g.constant(g.weights[square] + 1)
            if square in g.weights
            else g.add("Add", [square, g.constant(np.float32(1))], shape)
        )
    if op == "Where":
        mask = g.constant(g.rng.random(shape) < 0.5)
        g.add("Where", [mask, name, other], shape)
    else:
        g.add(op, [name, other] if g.pick(True, False) else [other, name], shape)


def _linear(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    wide = g.pick(1, 3, 7)
    g.add("MatMul", [name, g.weight(shape[-1], wide)], (*shape[:-1], wide))


def _gemm(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    size, wide = math.prod(shape), g.pick(1, 4)
    flat = g.add("Flatten", [name], (size,))
    g.add("Gemm", [flat, g.weight(wide, size), g.weight(wide)], (wide,), transB=1, alpha=g.pick(1.0, 0.5))


def _reduce(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    axis, keep = g.pick(*range(len(shape))), g.pick(0, 1) if len(shape) > 1 else 1
    op = g.pick(*_REDUCING)
    if op == "ReduceL2":
        name = g.add("Add", [g.add("Mul", [name, name], shape), g.constant(np.float32(0.3))], shape)
    reduced = [size for at, size in enumerate(shape) if at != axis or keep]
    if keep:
        reduced[axis] = 1
    index = g.pick(axis + 1, axis - len(shape))
    g.add(op, [name, g.ints(index)], tuple(reduced), keepdims=keep)


def _move(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    kind = g.pick("Transpose", "Reshape", "Unsqueeze", "Flatten", "Tile", "Slice", "Gather", "Split", "Pad", "CumSum")
    last, size = len(shape), math.prod(shape)
    if kind == "Transpose":
        order = g.draw(st.permutations(range(last)))
        g.add(kind, [name], tuple(shape[axis] for axis in order), perm=[0, *(axis + 1 for axis in order)])
    elif kind == "Reshape":
        folded = g.pick((size,), (1, size), (size, 1), (-1, shape[-1]), (shape[0], -1))
        known = -math.prod(folded)
        shaped = tuple(size // known if one == -1 else one for one in folded)
        g.add(kind, [name, g.ints(g.pick(0, -1) if -1 not in folded else 0, *folded)], shaped)
    elif kind == "Unsqueeze" and last < 3:
        g.add(kind, [name, g.ints(1)], (1, *shape))
    elif kind == "Flatten":
        g.add(kind, [name], (size,))
    elif kind == "Tile" and 2 * size <= _MOST:
        g.add(kind, [name, g.ints(*[1] * last, 2)], (*shape[:-1], 2 * shape[-1]))
    elif kind == "Slice" and shape[-1] > 1:
        steps = g.pick(((1, 2**31, 1), shape[-1] - 1), ((-1, -(2**31), -1), shape[-1]), ((0, -1, 1), shape[-1] - 1))
        start, stop, step = steps[0]
        g.add(kind, [name, g.ints(start), g.ints(stop), g.ints(last), g.ints(step)], (*shape[:-1], steps[1]))
    elif kind == "Gather":
        rows = g.draw(st.lists(st.integers(-shape[-1], shape[-1] - 1), min_size=1, max_size=4))
        g.add(kind, [name, g.ints(*rows)], (*shape[:-1], len(rows)), axis=last)
    elif kind == "Split" and shape[-1] > 1:
        parts, outputs = (1, shape[-1] - 1), [f"s{len(g.nodes)}a", f"s{len(g.nodes)}b"]
        g.nodes.append(helper.make_node("Split", [name, g.ints(*parts)], outputs, axis=last))
        g.add("Concat", outputs[::-1], shape, axis=last)
    elif kind == "Pad":
        ends = g.ints(*[0] * last, 1, *[0] * last, 2)
        mode = g.pick("constant", "edge")
        g.add(
            kind,
            [name, ends, *([g.constant(np.float32(0.5))] if mode == "constant" else [])],
            (*shape[:-1], shape[-1] + 3),
            mode=mode,
        )
    elif kind == "CumSum":
        g.add(kind, [name, g.constant(np.int64(last))], shape, reverse=g.pick(0, 1), exclusive=g.pick(0, 1))


def _normalise(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    kind = g.pick("Softmax", "LogSoftmax", "LayerNormalization", "LpNormalization")
    if kind == "LayerNormalization":
        g.add(kind, [name, g.weight(shape[-1]), g.weight(shape[-1])], shape, epsilon=0.1)
    elif kind == "LpNormalization":
        away = g.add("Add", [g.add("Mul", [name, name], shape), g.constant(np.float32(0.3))], shape)
        g.add(kind, [away], shape, p=2, axis=-1)
    else:
        g.add(kind, [name], shape, axis=g.pick(-1, *range(1, len(shape) + 1)))


def _planes(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or min(shape[1:]) < 3:
        _pointwise(g, name, shape)
        return
    channels, height, width = shape
    kind = g.pick(
        "Conv",
        "ConvTranspose",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "BatchNormalization",
        "Resize",
        "InstanceNormalization",
    )
    if kind == "Conv":
        filters, stride = g.pick(1, 2), g.pick(1, 2)
        sides = tuple((side + 2 - 3) // stride + 1 for side in (height, width))
        g.add(
            kind,
            [name, g.weight(filters, channels, 3, 3), g.weight(filters)],
            (filters, *sides),
            pads=[1] * 4,
            strides=[stride] * 2,
        )
    elif kind == "ConvTranspose":
        g.add(kind, [name, g.weight(channels, 1, 2, 2)], (1, height + 1, width + 1))
    elif kind in ("MaxPool", "AveragePool"):
        more = {"count_include_pad": g.pick(0, 1)} if kind == "AveragePool" else {}
        sides = ((height + 1) // 2, (width + 1) // 2)
        g.add(kind, [name], (channels, *sides), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, **more)
    elif kind == "GlobalAveragePool":
        g.add(kind, [name], (channels, 1, 1))
    elif kind == "Resize":
        g.add(
            kind,
            [name, "", g.constant(np.float32([1, 1, 2, 2]))],
            (channels, 2 * height, 2 * width),
            mode=g.pick("nearest", "linear"),
        )
    elif kind == "BatchNormalization":
        moments = [
            g.weight(channels),
            g.weight(channels),
            g.weight(channels),
            g.constant(np.ones(channels, np.float32)),
        ]
        g.add(kind, [name, *moments], shape)
    else:
        g.add(kind, [name, g.weight(channels), g.weight(channels)], shape, epsilon=0.1)


def _mixed(g: Growing, name: str, shape: tuple[int, ...]) -> None:
    kind = g.pick("Clip", "Dropout", "Cast", "Einsum", "attention", "GRU")
    if kind == "Clip":
        g.add(kind, [name, g.constant(np.float32(-0.7)), g.constant(np.float32(0.9))], shape)
    elif kind == "Dropout":
        g.add(kind, [name], shape)
    elif kind == "Cast":
        g.add(kind, [g.add("Cast", [name], None, to=TensorProto.DOUBLE)], shape, to=TensorProto.FLOAT)
    elif len(shape) != 2:
        _pointwise(g, name, shape)
    elif kind == "Einsum":
        g.add(kind, [name, g.weight(shape[1], 3)], (shape[0], 3), equation="bij,jk->bik")
    elif kind == "attention":
        scores = g.add("MatMul", [name, g.add("Transpose", [name], shape[::-1], perm=[0, 2, 1])], (shape[0], shape[0]))
        g.add("MatMul", [g.add("Softmax", [scores], (shape[0], shape[0]), axis=-1), name], shape)
    else:
        first = g.add("Transpose", [name], None, perm=[1, 0, 2])
        hidden, outputs = 2, [f"r{len(g.nodes)}a", f"r{len(g.nodes)}b"]
        weights = [g.weight(1, 3 * hidden, shape[1]), g.weight(1, 3 * hidden, hidden)]
        g.nodes.append(helper.make_node("GRU", [first, *weights], outputs, hidden_size=hidden))
        g.add("Squeeze", [outputs[1], g.ints(0)], (hidden,))


STEPS: Final = (
    _pointwise,
    _pointwise,
    _safe,
    _binary,
    _binary,
    _linear,
    _gemm,
    _reduce,
    _move,
    _move,
    _normalise,
    _planes,
    _planes,
    _mixed,
)


@st.composite
def graphs(draw: Draw) -> tuple[onnx.ModelProto, tuple[int, ...], int]:
    """A model x (N, ...) to y (N, 3), the shape of a sample, and a seed for inputs."""
    shape, seed = draw(st.sampled_from(SHAPES)), draw(st.integers(0, 2**16))
    g = Growing(draw, np.random.default_rng(seed), [("x", shape)])
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=9)):
        # Mostly the last tensor, so that graphs grow deep.
        name, size = draw(st.sampled_from([*g.tensors, *[g.tensors[-1]] * 4]))
        if math.prod(size) <= _MOST:
            step(g, name, size)
    name, size = g.tensors[-1]
    if name == "x":
        g.add("Identity", [name], size)
        name = g.tensors[-1][0]
    # Each tensor is used, so that none is cut away.
    flat = g.add("Flatten", [name], (math.prod(size),))
    g.nodes.append(helper.make_node("MatMul", [flat, g.weight(math.prod(size), OUTPUTS)], ["y"], name="head"))
    proto = model(g.nodes, [tensor("x", ["N", *shape])], [tensor("y", ["N", OUTPUTS])], g.weights, opset=20)
    return proto, shape, seed
