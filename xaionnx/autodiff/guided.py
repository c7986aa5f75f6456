"""Tables for guided backpropagation and deconvnets: the signal is rectified wherever the model rectifies.

A rectifier is an activation with a kink that lets large numbers through: Relu, LeakyRelu, PRelu, ThresholdedRelu, Elu,
Celu, Selu, Clip (Relu6), HardSwish, also where it is written as x * HardSigmoid(x), Max and Min with a constant, and a
QuantizeLinear that ends at zero behind a layer: tools that quantise drop the Relu which it makes needless.
Smooth activations (Sigmoid, Tanh, Softplus, Gelu, Swish, x * Sigmoid(x)) and gates (HardSigmoid) keep their derivative:
neither paper says what to rectify there. Max pooling goes back to the entry that it took, which a deconvnet calls its
switches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, Rule, Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import find_op

_RECTIFIERS = tuple(name for name in STANDARD if find_op(name).rectifies)
# Rectifiers only where one of their operands depends on what is explained.
_BOUNDS = ("Max", "Min")
# How the derivative of a quantiser is estimated.
ESTIMATE = "straight through"
# What answers numbers of both signs.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "BatchNormalization")


def _guided(op_type: str) -> Rule:
    """The derivative of the activation, of the positive part of the signal."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        return STANDARD[op_type](g, node, [_positive(g, cotangents[0])], needed)

    return rule


def _reversed(op_type: str) -> Rule:
    """The positive part of the signal, whatever the activation answered on the way forward."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        positive = _positive(g, cotangents[0])
        # A slope that the model computes is no signal to reconstruct.
        return [
            positive if wanted and (index == 0 or op_type in _BOUNDS) else None for index, wanted in enumerate(needed)
        ]

    return rule


def _positive(g: GradientBuilder, signal: Gradient) -> Gradient:
    return None if signal is None else g.op("Relu", signal)


def _where(
    rectifies: Callable[[GradientBuilder, ir.Node, Sequence[bool]], bool], op_type: str, rectifier: Rule
) -> Rule:
    """The rectifier's rule for the nodes that are one, and the standard rule for the others."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        chosen = rectifier if rectifies(g, node, needed) else STANDARD[op_type]
        return chosen(g, node, cotangents, needed)

    return rule


def _bounds(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    return sum(needed) == 1


def _ends_at_zero(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    """Whether a quantiser behind a layer clips what is below zero, by one scale for all numbers."""
    x, scale = node.inputs[0], node.inputs[1]
    maker = x.producer() if x is not None else None
    if maker is None or maker.op_type not in _LAYERS or scale is None or g.sizes(scale) not in ((), (1,)):
        return False
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero, kind = g.constant_of(given), node.outputs[0].dtype or ir.DataType.UINT8
    if given is not None and zero is None:
        return False
    return kind.is_integer() and float(0 if zero is None else zero.reshape(-1)[0]) == float(kind.min)


def _reversed_quantizer(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
) -> Sequence[Gradient]:
    g.approximate(node, ESTIMATE)
    positive, scale = _positive(g, cotangents[0]), node.inputs[1]
    signal = None if positive is None else g.op("Div", positive, scale)
    return [signal] + [None] * (len(node.inputs) - 1)


def _is_hard_swish(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    return _hard_swish_operand(node) is not None


def _hard_swish_operand(node: ir.Node) -> int | None:
    """Which operand of x * HardSigmoid(x) is x."""
    for index in (0, 1):
        x, gate = node.inputs[index], node.inputs[1 - index]
        maker = gate.producer() if gate is not None else None
        if maker is not None and maker.op_type == "HardSigmoid" and maker.inputs[0] is x:
            return index
    return None


def _reversed_hard_swish(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
) -> Sequence[Gradient]:
    own = _hard_swish_operand(node)
    return [_positive(g, cotangents[0]) if index == own else None for index in (0, 1)]


def _table(of: Callable[[str], Rule], hard_swish: Rule, quantizer: Rule) -> Table:
    return (
        dict(STANDARD)
        | {op_type: of(op_type) for op_type in _RECTIFIERS}
        | {op_type: _where(_bounds, op_type, of(op_type)) for op_type in _BOUNDS}
        | {"Mul": _where(_is_hard_swish, "Mul", hard_swish)}
        | {"QuantizeLinear": _where(_ends_at_zero, "QuantizeLinear", quantizer)}
    )


# Springenberg et al. 2014: the signal goes through where the model's rectifier and the signal itself are positive.
GUIDED = _table(_guided, _guided("Mul"), _guided("QuantizeLinear"))
# Zeiler and Fergus 2014: the signal goes through the rectifier itself.
DECONVNET = _table(_reversed, _reversed_hard_swish, _reversed_quantizer)
