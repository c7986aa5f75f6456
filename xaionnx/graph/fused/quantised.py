"""Ops on integers that stand for floats, written as the op on floats between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import helper

from xaionnx.graph.fused.convolution import WINDOW, channels_first, channels_last
from xaionnx.graph.fused_op import MICROSOFT, NHWC, FusedNode, fused

# Attributes of an LSTM.
_LSTM = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget")


def floats(f: FusedNode, index: int, scale: int, zero: int, axis: int | None = None) -> str:
    """Write an input as floats; ``scale`` and ``zero`` are the numbers of the inputs with its parameters."""
    return f.op("DequantizeLinear", f.input(index), *_parameters(f, scale, zero), axis=_axis(f, scale, axis))


def integers(f: FusedNode, value: str, scale: int, zero: int, like: str) -> str:
    """Write floats as integers of the type of ``like``, or of the zero point if it is given."""
    parameters = list(_parameters(f, scale, zero))
    if not parameters[1]:
        parameters[1] = f.constant(np.zeros((), helper.tensor_dtype_to_np_dtype(f.dtype(like))))
    return f.op("QuantizeLinear", value, *parameters)


def _parameters(f: FusedNode, scale: int, zero: int) -> tuple[str, str]:
    """A scale and a zero point, as scalars where each is one number."""
    found = [f.input(scale), f.input(zero)]
    shapes = [f.facts.shape(name) if name else () for name in found]
    if shapes[0] != shapes[1] or shapes[0] == (1,):
        for at, (name, shape) in enumerate(zip(found, shapes, strict=True)):
            found[at] = _scalar(f, name) if name and shape == (1,) else name
    return found[0], found[1]


def _scalar(f: FusedNode, name: str) -> str:
    array = f.array(name)
    if array is not None:
        return f.constant(array.reshape(()))
    return f.op("Reshape", name, f.integers([]))


def _axis(f: FusedNode, scale: int, axis: int | None) -> int | None:
    """``axis`` if there is more than one scale."""
    shape = f.facts.shape(f.input(scale))
    return axis if shape and shape != (1,) else None


@fused("DequantizeLinear")
def dequantise(f: FusedNode) -> str:
    """DequantizeLinear of ONNX, along an axis if one is stated."""
    return f.op("DequantizeLinear", *f.node.input, axis=f.attribute("axis"))


@fused("QuantizeLinear")
def quantise(f: FusedNode) -> str:
    """QuantizeLinear of ONNX, along an axis if one is stated."""
    return f.op("QuantizeLinear", *f.node.input, axis=f.attribute("axis"))


@fused("QLinearConv", domain="")
@fused("QLinearConv", domain=NHWC)
@fused("QLinearConv", domain=MICROSOFT)
def qlinear_conv(f: FusedNode) -> str:
    """Conv."""
    last = f.attribute("channels_last", 0) or f.node.domain == NHWC
    x, weights = floats(f, 0, 1, 2), floats(f, 3, 4, 5, 0)
    stated = {name: f.attribute(name) for name in (*WINDOW, "group")}
    x = channels_first(f, x) if last else x
    y = f.op("Conv", x, weights, _bias(f, 8, 1, 4), **stated)
    return integers(f, channels_last(f, y) if last else y, 6, 7, f.input(0))


def _bias(f: FusedNode, index: int, scale: int, other: int, factor: float = 1.0) -> str:
    """A bias of integers, whose scale is the product of those of the operands."""
    if not f.input(index):
        return ""
    scales = [f.array(f.input(at)) for at in (scale, other)]
    if scales[0] is None or scales[1] is None:
        product = f.op("Mul", f.input(scale), f.input(other))
        return f.op("DequantizeLinear", f.input(index), product, axis=_axis(f, other, 0))
    both = np.asarray(scales[0] * scales[1] * np.float32(factor), dtype=np.float32)
    several = both.size > 1
    shaped = both.reshape(-1) if several else both.reshape(())
    return f.op("DequantizeLinear", f.input(index), f.constant(shaped), axis=-1 if several else None)


@fused("QLinearMatMul", domain="")
def qlinear_matmul(f: FusedNode) -> str:
    """MatMul, with one scale for each row of the first operand or each column of the second, if there are several."""
    ranks = [f.rank(f.input(index)) if _axis(f, index + 1, 0) is not None else 2 for index in (0, 3)]
    a, b = floats(f, 0, 1, 2, ranks[0] - 2), floats(f, 3, 4, 5, ranks[1] - 1)
    return integers(f, f.op("MatMul", a, b), 6, 7, f.input(0))


@fused("QGemm")
def qgemm(f: FusedNode) -> str:
    """Gemm; its output stays floats if it has no scale."""
    transposed, alpha = f.attribute("transB", 0), f.attribute("alpha", 1.0)
    a, b = floats(f, 0, 1, 2), floats(f, 3, 4, 5, 0 if transposed else 1)
    bias = _bias(f, 6, 1, 4, alpha)
    y = f.op("Gemm", a, b, bias, alpha=alpha, transA=f.attribute("transA", 0), transB=transposed)
    return integers(f, y, 7, 8, f.input(0)) if f.input(7) else y


@fused("QLinearAdd", "QLinearMul")
def qlinear_pair(f: FusedNode) -> str:
    """Add or Mul."""
    y = f.op(f.node.op_type.removeprefix("QLinear"), floats(f, 0, 1, 2), floats(f, 3, 4, 5))
    return integers(f, y, 6, 7, f.input(0))


@fused("QLinearSigmoid")
def qlinear_sigmoid(f: FusedNode) -> str:
    """Sigmoid."""
    return _of_one(f, lambda x: f.op("Sigmoid", x))


@fused("QLinearLeakyRelu")
def qlinear_leaky_relu(f: FusedNode) -> str:
    """LeakyRelu."""
    return _of_one(f, lambda x: f.op("LeakyRelu", x, alpha=f.attribute("alpha", 0.01)))


@fused("QLinearSoftmax")
def qlinear_softmax(f: FusedNode) -> str:
    """Softmax over an axis; before opset 13 over all axes from one on."""
    axis = f.attribute("axis", -1)

    def softmax(x: str) -> str:
        if f.attribute("opset") >= 13 or axis == -1:
            return f.op("Softmax", x, axis=axis)
        flat = f.op("Softmax", f.op("Flatten", x, axis=axis), axis=-1)
        return f.op("Reshape", flat, f.op("Shape", x))

    return _of_one(f, softmax)


@fused("QLinearReduceMean")
def qlinear_reduce_mean(f: FusedNode) -> str:
    """ReduceMean."""
    axes, kept = f.integers(list(f.attribute("axes"))), f.attribute("keepdims", 1)
    return _of_one(f, lambda x: f.op("ReduceMean", x, axes, keepdims=kept))


@fused("QLinearGlobalAveragePool", "QLinearAveragePool")
@fused("QLinearAveragePool", domain=NHWC)
def qlinear_pool(f: FusedNode) -> str:
    """GlobalAveragePool or AveragePool."""
    last = f.attribute("channels_last", 0) or f.node.domain == NHWC
    stated = {name: f.attribute(name) for name in (*WINDOW, "ceil_mode", "count_include_pad")}

    def pool(x: str) -> str:
        y = f.op(f.node.op_type.removeprefix("QLinear"), channels_first(f, x) if last else x, **stated)
        return channels_last(f, y) if last else y

    return _of_one(f, pool)


def _of_one(f: FusedNode, body: Callable[[str], str]) -> str:
    return integers(f, body(floats(f, 0, 1, 2)), 3, 4, f.input(0))


@fused("QLinearConcat")
def qlinear_concat(f: FusedNode) -> str:
    """Concat."""
    parts = [floats(f, index, index + 1, index + 2) for index in range(2, len(f.node.input), 3)]
    return integers(f, f.op("Concat", *parts, axis=f.attribute("axis")), 0, 1, f.input(2))


@fused("QLinearWhere")
def qlinear_where(f: FusedNode) -> str:
    """Where."""
    return integers(f, f.op("Where", f.input(0), floats(f, 1, 2, 3), floats(f, 4, 5, 6)), 7, 8, f.input(1))


@fused("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(f: FusedNode) -> str:
    """MatMul of floats that are quantised as they come."""
    return _shifted(f, f.op("MatMul", _rounded(f, 0), _right_operand(f, 1, 2, 3)), 4)


@fused("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(f: FusedNode) -> Sequence[str]:
    """LSTM of floats that are quantised as they come, with weights as floats; the hidden states are not rounded."""
    weights = [_recurrent_weights(f, 1, 8), _recurrent_weights(f, 2, 10)]
    rest = [f.input(index) for index in range(3, 8)]
    stated = {name: f.attribute(name) for name in _LSTM}
    f.op("LSTM", _rounded(f, 0), *weights, *rest, **stated)
    return _with_more_outputs(f, 2)


def _recurrent_weights(f: FusedNode, index: int, scale: int) -> str:
    """Weights (D, 4H, I) as floats, from integers (D, I, 4H) with a scale for each direction or each column."""
    given = [f.array(f.input(at)) if f.input(at) else np.zeros(1) for at in (index, scale, scale + 1)]
    if any(array is None for array in given):
        raise f.refusal("its weights are computed by the model")
    integers, factor, zero = (np.asarray(array, dtype=np.float32) for array in given)
    aligned = [array.reshape(*(array.shape or (1,)), *(1,) * (3 - max(array.ndim, 1))) for array in (factor, zero)]
    factor, zero = (array.swapaxes(1, 2) if array.shape[1] > 1 else array for array in aligned)
    return f.constant(((integers - zero) * factor).swapaxes(1, 2))


def _rounded(f: FusedNode, index: int) -> str:
    """Write an input as floats that are rounded to 256 numbers between its smallest and its largest one."""
    f.op("DynamicQuantizeLinear", f.input(index))
    return f.op("DequantizeLinear", *_with_more_outputs(f, 2))


def _with_more_outputs(f: FusedNode, count: int) -> list[str]:
    """Give the last node more outputs, and return all of them."""
    made = f.nodes[-1]
    made.output.extend(f.writer.name(f"{made.output[0]}_{index}") for index in range(1, count + 1))
    f.facts.add(made)
    return list(made.output)


@fused("MatMulIntegerToFloat")
def matmul_integer_to_float(f: FusedNode) -> str:
    """MatMul of integers, with floats as its output."""
    a = floats(f, 0, 2, 4, f.rank(f.input(0)) - 1 if _axis(f, 2, 0) is not None else None)
    return _shifted(f, f.op("MatMul", a, _right_operand(f, 1, 3, 5)), 6)


def _right_operand(f: FusedNode, index: int, scale: int, zero: int) -> str:
    return floats(f, index, scale, zero, f.rank(f.input(index)) - 1)


def _shifted(f: FusedNode, value: str, bias: int) -> str:
    return f.op("Add", value, f.input(bias)) if f.input(bias) else value
