"""Tables that treat the rectifiers of a model in another way than their derivative.

For guided backpropagation and deconvnets the signal is rectified wherever the model rectifies. For searches that start
where a unit is silent it passes rectifiers that let nothing through.

A rectifier is an activation with a kink that passes large numbers: Relu, LeakyRelu, PRelu, ThresholdedRelu, Elu, Celu,
Selu, Clip (Relu6), HardSwish, also in the form x * HardSigmoid(x), Max and Min with a constant, and a QuantizeLinear
after a layer whose range starts at zero, since quantisation tools drop the Relu that it makes redundant.
Smooth activations (Sigmoid, Tanh, Softplus, Gelu, Swish, x * Sigmoid(x)) and gates (HardSigmoid) keep their derivative:
neither paper defines a rectification for them. Max pooling propagates to the entry that it selected, the "switches" of
a deconvnet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import ESTIMATE, Gradient, Rule, Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import find_op

_RECTIFIERS = tuple(name for name in STANDARD if find_op(name).rectifies)
# Rectifiers only if a single operand depends on the explained tensors.
_BOUNDS = ("Max", "Min")
# Ops whose outputs have both signs.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "BatchNormalization")


def _guided_rule(op_type: str) -> Rule:
    """The derivative of the activation, applied to the positive part of the signal."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        return STANDARD[op_type](g, node, [_positive_part(g, cotangents[0])], needed)

    return rule


def _deconvnet_rule(op_type: str) -> Rule:
    """The positive part of the signal, whatever the forward value of the activation."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        positive = _positive_part(g, cotangents[0])
        # The slope operand of PRelu is not part of the signal.
        return [
            positive if wanted and (index == 0 or op_type in _BOUNDS) else None for index, wanted in enumerate(needed)
        ]

    return rule


def _redirected_rule(op_type: str) -> Rule:
    """The derivative of the activation; for samples of which it lets nothing through, the signal that would open it."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        found, own = list(STANDARD[op_type](g, node, cotangents, needed)), list(needed).index(True)
        x, y, dy, dx = node.inputs[own], node.outputs[0], cotangents[0], found[own]
        assert x is not None  # since its gradient is needed
        if dy is None or dx is None:
            return found
        # An input below the bound that replaces it has to grow, and one above it has to fall.
        opens = g.op("Greater", g.op("Mul", dy, g.op("Sub", y, x)), 0.0)
        through = g.op("ReduceSum", g.op("Abs", dx), g.ints(*range(1, g.rank(y))), keepdims=1)
        found[own] = g.op("Where", g.op("And", g.op("Equal", through, 0.0), opens), dy, dx)
        return found

    return rule


def _positive_part(g: GradientBuilder, signal: Gradient) -> Gradient:
    return None if signal is None else g.op("Relu", signal)


def _rule_where(
    rectifies: Callable[[GradientBuilder, ir.Node, Sequence[bool]], bool], op_type: str, rectifier: Rule
) -> Rule:
    """The rectifier's rule for nodes that rectify, and the standard rule for others."""

    def rule(
        g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
    ) -> Sequence[Gradient]:
        chosen = rectifier if rectifies(g, node, needed) else STANDARD[op_type]
        return chosen(g, node, cotangents, needed)

    return rule


def _has_one_variable_operand(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    return sum(needed) == 1


def _clips_at_zero(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    """Whether a quantiser follows a layer and clips at zero, with one scale for all numbers."""
    x, scale = node.inputs[0], node.inputs[1]
    maker = x.producer() if x is not None else None
    if maker is None or maker.op_type not in _LAYERS or scale is None or g.sizes(scale) not in ((), (1,)):
        return False
    given = node.inputs[2] if len(node.inputs) > 2 else None
    zero, kind = g.constant_of(given), node.outputs[0].dtype or ir.DataType.UINT8
    if given is not None and zero is None:
        return False
    return kind.is_integer() and float(0 if zero is None else zero.reshape(-1)[0]) == float(kind.min)


def _deconvnet_quantizer(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
) -> Sequence[Gradient]:
    g.approximate(node, ESTIMATE)
    positive, scale = _positive_part(g, cotangents[0]), node.inputs[1]
    signal = None if positive is None else g.op("Div", positive, scale)
    return [signal] + [None] * (len(node.inputs) - 1)


def _is_hard_swish(g: GradientBuilder, node: ir.Node, needed: Sequence[bool]) -> bool:
    return _hard_swish_operand(node) is not None


def _hard_swish_operand(node: ir.Node) -> int | None:
    """The index of x in x * HardSigmoid(x); None for other products."""
    for index in (0, 1):
        x, gate = node.inputs[index], node.inputs[1 - index]
        maker = gate.producer() if gate is not None else None
        if maker is not None and maker.op_type == "HardSigmoid" and maker.inputs[0] is x:
            return index
    return None


def _deconvnet_hard_swish(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool], /
) -> Sequence[Gradient]:
    own = _hard_swish_operand(node)
    return [_positive_part(g, cotangents[0]) if index == own else None for index in (0, 1)]


def _rectifiers(of: Callable[[str], Rule]) -> Table:
    return {op_type: of(op_type) for op_type in _RECTIFIERS} | {
        op_type: _rule_where(_has_one_variable_operand, op_type, of(op_type)) for op_type in _BOUNDS
    }


def _table(of: Callable[[str], Rule], hard_swish: Rule, quantizer: Rule) -> Table:
    return (
        dict(STANDARD)
        | dict(_rectifiers(of))
        | {"Mul": _rule_where(_is_hard_swish, "Mul", hard_swish)}
        | {"QuantizeLinear": _rule_where(_clips_at_zero, "QuantizeLinear", quantizer)}
    )


# Springenberg et al. 2014: the signal goes through where the model's rectifier and the signal itself are positive.
GUIDED = _table(_guided_rule, _guided_rule("Mul"), _guided_rule("QuantizeLinear"))
# Zeiler and Fergus 2014: the signal goes through the rectifier itself.
DECONVNET = _table(_deconvnet_rule, _deconvnet_hard_swish, _deconvnet_quantizer)
# Olah et al. 2017: where a unit is silent, its gradient is 0 and points nowhere, but the way to activate it is known.
REDIRECTED: Table = dict(STANDARD) | dict(_rectifiers(_redirected_rule))
