"""Rules of functions of one number, computed from their outputs if that is cheaper.

Where a slope is infinite or undefined, a cotangent of 0 gives a gradient of 0: 0 times infinity is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, rule, unary

# Steep enough to reach 1 at the smallest normal float32, and itself representable in float32.
_STEEP = 1e38
# Label of roots: 0 times infinity, where the slope of the operand is 0 and that of the root infinite.
AT_MINIMUM = "slope 0 where its operand, which is never negative, is 0"
# Inverse of the distance from 0 or 1 at which a gate counts as closed or open.
_NEAR = 2.0**20


def step(g: GradientBuilder, dy: ir.Value, y: ir.Value) -> ir.Value:
    """Emit ``dy`` where ``y`` is above 0, and 0 elsewhere."""
    if y.dtype == ir.DataType.FLOAT:
        # Two streaming passes; Where with a boolean mask takes nearly twice as long.
        return g.op("Mul", dy, g.op("HardSigmoid", y, alpha=_STEEP, beta=0.0))
    return g.op("Where", g.op("Greater", y, 0.0), dy, 0.0)


def _affine(g: GradientBuilder, value: ir.Value, like: ir.Value, scale: float, offset: float) -> ir.Value:
    """``scale * value + offset``, in the shape of a forward tensor."""
    shape = g.shape(like)
    if len(shape) != 4 or shape[1] is None or value.dtype != ir.DataType.FLOAT:
        return g.op("Add", g.op("Mul", value, scale), offset)
    # A BatchNormalization takes one pass instead of two, and it alone keeps the blocked layout of the neighbouring
    # convolutions in onnxruntime: the gradient of EfficientNet-B0 takes a tenth less time.
    ones = np.ones(shape[1], dtype=np.float32)
    epsilon = np.float32(1e-5)
    column = [g.constant(a) for a in (scale * ones, offset * ones, 0 * ones, ones - epsilon)]
    return g.op("BatchNormalization", value, *column, epsilon=float(epsilon))


def gated_gradient(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """Return x and its gradient for ``y = x * gate(x)`` as a whole, with fewer nodes than the product rule.

    None if the node is not such a product, or if the gradient of the gate itself is needed.
    """
    y = node.outputs[0]
    for x, gate in zip(node.inputs, node.inputs[::-1], strict=True):
        made = None if gate is None else gate.producer()
        if x is None or gate is None or made is None or made.inputs[0] is not x or gate.is_graph_output():
            continue
        if made.op_type not in ("Sigmoid", "HardSigmoid"):
            continue
        rest = _affine(g, gate, gate, -1.0, 1.0)
        if made.op_type == "Sigmoid":
            return x, g.op("Mul", dy, g.op("Add", gate, g.op("Mul", y, rest)))
        # Between 0 and 1 the gate h = alpha x + beta contributes alpha x = h - beta. Other providers may round, so a
        # gate within a millionth of 0 or 1 counts as closed or open; Where takes three times as long as a product.
        inside = _affine(g, g.op("Mul", gate, rest), gate, _NEAR, -1.0)
        rising = g.op("HardSigmoid", inside, alpha=1.0, beta=0.0)
        own = _affine(g, gate, gate, 1.0, -made.attributes.get_float("beta", 0.5))
        return x, g.op("Mul", dy, g.op("Add", gate, g.op("Mul", rising, own)))
    return None


def keep_zeros(g: GradientBuilder, dy: Gradient, dx: ir.Value) -> ir.Value:
    """Return ``dx``, and 0 where the cotangent ``dy`` is 0, also where the slope is infinite or undefined.

    Nothing depends on an entry whose cotangent is 0, such as one that a Where leaves out.
    """
    return dx if dy is None else g.op("Where", g.op("Equal", dy, 0.0), 0.0, dx)


def zero_at_minimum(g: GradientBuilder, node: ir.Node, dy: Gradient, dx: ir.Value) -> ir.Value:
    """Return the gradient ``dx`` of a root, with the slope at an operand of 0 that :data:`AT_MINIMUM` states.

    If the operand is never negative, 0 is its minimum, so that its own slope is 0 there, or that of a kink; 0 times
    infinity is taken to be 0, as the slope on the side of the constant, and the mean of those on both sides of a kink.
    Elsewhere the slope is infinite.
    """
    x = node.inputs[0]
    if g.signs.always_positive(x):
        return dx
    if not g.signs.never_negative(x):
        return keep_zeros(g, dy, dx)
    g.approximate(node, AT_MINIMUM)
    return g.op("Where", g.op("Greater", x, 0.0), dx, 0.0)


def _x(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


@unary("Identity")
def identity(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return dy


@unary("Dropout")
def dropout(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    training = g.constant_input(node, 2)
    if training is not None and training.any():
        raise g.refusal(node, "it drops numbers at random; export the model for inference")
    return dy


@unary("Cast")
def cast(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    kind = g.gradient_dtype(_x(node))
    return dy if dy.dtype == kind else g.op("Cast", dy, to=kind)


@unary("Neg")
def neg(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Neg", dy)


@unary("Abs")
def absolute(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Mul", dy, g.op("Sign", _x(node)))


@unary("Exp")
def exp(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return keep_zeros(g, dy, g.op("Mul", dy, node.outputs[0]))


@unary("Log")
def log(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return keep_zeros(g, dy, g.op("Div", dy, _x(node)))


@unary("Sqrt")
def sqrt(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    """``dy / (2 y)``; at 0 see :func:`zero_at_minimum`."""
    return zero_at_minimum(g, node, dy, g.op("Div", g.op("Mul", dy, 0.5), node.outputs[0]))


@unary("Reciprocal")
def reciprocal(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y = node.outputs[0]
    dx = g.op("Neg", g.op("Mul", dy, g.op("Mul", y, y)))
    return dx if g.signs.always_positive(_x(node)) else keep_zeros(g, dy, dx)


@unary("Relu")
def relu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return step(g, dy, node.outputs[0])


@unary("ThresholdedRelu")
def thresholded_relu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Where", g.op("Greater", _x(node), node.attributes.get_float("alpha", 1.0)), dy, 0.0)


@unary("Shrink")
def shrink(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    beyond = g.op("Greater", g.op("Abs", _x(node)), node.attributes.get_float("lambd", 0.5))
    return g.op("Where", beyond, dy, 0.0)


@unary("LeakyRelu")
def leaky_relu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    slope = node.attributes.get_float("alpha", 0.01)
    return g.op("Where", g.op("Less", _x(node), 0.0), g.op("Mul", dy, slope), dy)


@unary("Elu")
def elu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    alpha, y = node.attributes.get_float("alpha", 1.0), node.outputs[0]
    return g.op("Where", g.op("Less", _x(node), 0.0), g.op("Mul", dy, g.op("Add", y, alpha)), dy)


@unary("Selu")
def selu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    alpha = node.attributes.get_float("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get_float("gamma", 1.05070102214813232421875)
    slope = g.op("Where", g.op("Less", _x(node), 0.0), g.op("Add", node.outputs[0], gamma * alpha), gamma)
    return g.op("Mul", dy, slope)


@unary("Celu")
def celu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    alpha, x = node.attributes.get_float("alpha", 1.0), _x(node)
    below = g.op("Exp", g.op("Div", g.op("Min", x, 0.0), alpha))
    return g.op("Mul", dy, below)


@unary("Sigmoid")
def sigmoid(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y = node.outputs[0]
    return g.op("Mul", dy, g.op("Mul", y, _affine(g, y, y, -1.0, 1.0)))


@unary("Swish")
def swish(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    alpha, y = node.attributes.get_float("alpha", 1.0), node.outputs[0]
    scaled = _x(node) if alpha == 1.0 else g.op("Mul", _x(node), alpha)
    s = g.op("Sigmoid", scaled)
    ay = y if alpha == 1.0 else g.op("Mul", y, alpha)
    return g.op("Mul", dy, g.op("Add", s, g.op("Mul", ay, g.op("Sub", 1.0, s))))


@unary("HardSigmoid")
def hard_sigmoid(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    alpha, y = node.attributes.get_float("alpha", 0.2), node.outputs[0]
    inside = g.op("And", g.op("Greater", y, 0.0), g.op("Less", y, 1.0))
    return g.op("Where", inside, g.op("Mul", dy, alpha), 0.0)


@unary("HardSwish")
def hard_swish(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    # 0 below -3, (2x + 3) / 6 between, 1 above 3.
    x = _x(node)
    slope = g.op("Add", g.op("Div", x, 3.0), 0.5)
    upper = g.op("Where", g.op("Less", x, 3.0), slope, 1.0)
    return g.op("Mul", dy, g.op("Where", g.op("Greater", x, -3.0), upper, 0.0))


@unary("Tanh")
def tanh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y = node.outputs[0]
    return g.op("Mul", dy, g.op("Sub", 1.0, g.op("Mul", y, y)))


@unary("Softplus")
def softplus(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Mul", dy, g.op("Sigmoid", _x(node)))


@unary("Mish")
def mish(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    t = g.op("Tanh", g.op("Softplus", x))
    slope = g.op("Mul", g.op("Mul", x, g.op("Sigmoid", x)), g.op("Sub", 1.0, g.op("Mul", t, t)))
    return g.op("Mul", dy, g.op("Add", t, slope))


@unary("Gelu")
def gelu(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    square = g.op("Mul", x, x)
    if node.attributes.get_string("approximate", "none") == "tanh":
        scale, cubic = math.sqrt(2 / math.pi), 0.044715
        t = g.op("Tanh", g.op("Mul", g.op("Mul", x, scale), g.op("Add", g.op("Mul", square, cubic), 1.0)))
        inner = g.op("Add", g.op("Mul", square, 3 * cubic * scale), scale)
        tail = g.op("Mul", g.op("Mul", x, inner), g.op("Sub", 1.0, g.op("Mul", t, t)))
        return g.op("Mul", g.op("Mul", dy, 0.5), g.op("Add", g.op("Add", t, 1.0), tail))
    # Phi(x) + x phi(x)
    below = g.op("Add", g.op("Mul", g.op("Erf", g.op("Mul", x, math.sqrt(0.5))), 0.5), 0.5)
    density = g.op("Mul", g.op("Exp", g.op("Mul", square, -0.5)), 1 / math.sqrt(2 * math.pi))
    return g.op("Mul", dy, g.op("Add", below, g.op("Mul", x, density)))


@unary("Erf")
def erf(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    bell = g.op("Exp", g.op("Neg", g.op("Mul", x, x)))
    return g.op("Mul", dy, g.op("Mul", bell, 2 / math.sqrt(math.pi)))


@unary("Sin")
def sin(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Mul", dy, g.op("Cos", _x(node)))


@unary("Cos")
def cos(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return g.op("Neg", g.op("Mul", dy, g.op("Sin", _x(node))))


@unary("Tan")
def tan(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    y = node.outputs[0]
    return keep_zeros(g, dy, g.op("Mul", dy, g.op("Add", g.op("Mul", y, y), 1.0)))


@unary("Asin")
def asin(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return keep_zeros(g, dy, g.op("Div", dy, g.op("Sqrt", g.op("Sub", 1.0, g.op("Mul", x, x)))))


@unary("Acos")
def acos(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return keep_zeros(g, dy, g.op("Neg", g.op("Div", dy, g.op("Sqrt", g.op("Sub", 1.0, g.op("Mul", x, x))))))


@unary("Atan")
def atan(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return g.op("Div", dy, g.op("Add", g.op("Mul", x, x), 1.0))


@unary("Sinh")
def sinh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return keep_zeros(g, dy, g.op("Mul", dy, g.op("Cosh", _x(node))))


@unary("Cosh")
def cosh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    return keep_zeros(g, dy, g.op("Mul", dy, g.op("Sinh", _x(node))))


@unary("Asinh")
def asinh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return g.op("Div", dy, g.op("Sqrt", g.op("Add", g.op("Mul", x, x), 1.0)))


@unary("Acosh")
def acosh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return keep_zeros(g, dy, g.op("Div", dy, g.op("Sqrt", g.op("Sub", g.op("Mul", x, x), 1.0))))


@unary("Atanh")
def atanh(g: GradientBuilder, node: ir.Node, dy: ir.Value) -> Gradient:
    x = _x(node)
    return keep_zeros(g, dy, g.op("Div", dy, g.op("Sub", 1.0, g.op("Mul", x, x))))


@rule("Clip")
def clip(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    """To the number if it is inside the bounds, else to the bound that replaces it, even if the two are equal."""
    dy, y = cotangents[0], node.outputs[0]
    low = node.inputs[1] if len(node.inputs) > 1 else None
    high = node.inputs[2] if len(node.inputs) > 2 else None
    if dy is None or (low is None and high is None):
        return [dy, *[None] * (len(node.inputs) - 1)]
    bounds = [] if low is None else [g.op("Greater", y, low)]
    bounds += [] if high is None else [g.op("Less", y, high)]
    inside = bounds[0] if len(bounds) == 1 else g.op("And", *bounds)
    mask = g.op("Cast", inside, to=y.dtype or ir.DataType.FLOAT)
    gradients: list[Gradient] = [g.op("Mul", dy, mask)] + [None] * (len(node.inputs) - 1)
    for index, bound in enumerate((low, high), start=1):
        if bound is not None and needed[index]:
            # The upper bound wins if the lower one is above it.
            taken = [g.op("GreaterOrEqual", y, high)] if high is not None else []
            if index == 1:
                taken = [g.op("Not", part) for part in taken] + [g.op("LessOrEqual", y, low)]
            held = taken[0] if len(taken) == 1 else g.op("And", *taken)
            gradients[index] = g.reshape_like(g.op("ReduceSum", g.op("Where", held, dy, 0.0), keepdims=0), bound)
    return gradients
