"""The reveal-cancel rule of DeepLIFT: positive and negative contributions to an activation have separate multipliers.

The difference D x of an activation's input is the sum of its positive and negative part, D+ x and D- x. After a layer
with weights these are the sums of the contributions w_i D z_i above and below zero (Shrikumar et al. 2017, section
3.5.3). For y = f(x)::

    D+ y = (f(x_b + D+ x) - f(x_b) + f(x_b + D- x + D+ x) - f(x_b + D- x)) / 2      m+ = D+ y / D+ x
    D- y = (f(x_b + D- x) - f(x_b) + f(x_b + D+ x + D- x) - f(x_b + D+ x)) / 2      m- = D- y / D- x

and a layer propagates m+ by its weights with w_i D z_i > 0, m- by those below zero, and the mean of both if D z_i = 0.

Linear ops without weights keep the parts of their operands: sums of tensors, such as residual connections, and averages
add the parts of their terms; joining, slicing, padding and reshaping moves the parts; scaling multiplies them, and a
factor c < 0 swaps them: D+ y = c D- x and D- y = c D+ x. D x_i is a single part, of its own sign, if x_i is an
explained number, or the output of a function of one number or of any other op; an activation that reads such a number
alone follows rescale. If x_i depends on a single explained number, that is the same rule; otherwise it is labelled.

The walk propagates one number for each element, m-; the excess of m+ over it is kept aside for the op that produced x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.backward import unbroadcast
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline, baseline_node
from xaionnx.autodiff.rescale import ACTIVATIONS, RESCALE, difference, difference_quotient
from xaionnx.autodiff.rule import Gradient, Rule
from xaionnx.autodiff.rules.activations import gated_gradient
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import Kind, find_op, ops_of_kind

RESCALED = "rescale in place of reveal-cancel"

Parts: TypeAlias = tuple[ir.Value, ir.Value]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Outputs are numbers of the operands.
_MOVING = ops_of_kind(Kind.MOVES)
# Outputs are numbers times a factor.
_SCALING = ("Neg", "Mul", "Div", "BatchNormalization")
# Sums with factors not below zero, except -1 for the second operand of Sub.
_SUMS = ("Add", "Sum", "Sub", "Mean")
_ADDING = tuple(name for name in ops_of_kind(Kind.ADDS) if name in STANDARD and not find_op(name).both_signs)


def difference_parts(g: GradientBuilder, value: ir.Value) -> Parts | None:
    """Return the positive and negative part of a tensor's difference from the baseline; None if there is one part."""
    known: dict[ir.Value, Parts | None] = g.notes.setdefault("parts", {})
    if value not in known:
        known[value] = _find_parts(g, value, known)
    return known[value]


def _find_parts(g: GradientBuilder, value: ir.Value, known: dict[ir.Value, Parts | None]) -> Parts | None:
    node, varying = _linear_producer(g, value)
    if node is None or not varying:
        return None
    if node.op_type in _LAYERS:
        return _layer_parts(g, node, varying[0])
    own = {index: difference_parts(g, _operand(node, index)) for index in varying}
    if _is_elementwise(node, varying) and not any(own.values()):
        return None
    parts = {index: found or _sign_parts(g, difference(g, _operand(node, index))) for index, found in own.items()}
    if node.op_type in _SCALING:
        return _scaled_parts(g, node, varying[0], parts[varying[0]])
    first = varying[0]
    if node.op_type in _SUMS[:3] and len(varying) == 1 and g.sizes(_operand(node, first)) == g.sizes(value):
        plus, minus = parts[first]  # the others are biases
        return (plus, minus) if node.op_type != "Sub" or not first else (g.op("Neg", minus), g.op("Neg", plus))
    sides = [_on_parts(g, node, {i: pair[_side(node, i, side)] for i, pair in parts.items()}) for side in (0, 1)]
    known.update(zip(node.outputs, zip(*(made.outputs for made in sides), strict=True), strict=True))
    return known[value]


def _linear_producer(g: GradientBuilder, value: ir.Value) -> tuple[ir.Node | None, list[int]]:
    """The producer of a tensor that differs, with its operands that differ; no operands if it is not linear in them."""
    node = value.producer()
    if node is None or value in g.sources or at_baseline(g, value) is value:
        return None, []
    return node, _linear_operands(g, node)


def _linear_operands(g: GradientBuilder, node: ir.Node) -> list[int]:
    """The operands that differ from the baseline; empty unless the op is linear in them with factors of known sign."""
    op, attributes = node.op_type, node.attributes
    varying = [index for index, v in enumerate(node.inputs) if v is not None and at_baseline(g, v) is not v]
    if op in (*_LAYERS, "Mul"):
        return varying if varying in ([0], [1]) else []
    if op == "Resize" and (
        attributes.get_string("mode", "nearest") == "cubic"
        or attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    ):
        return []
    if op in (*_SUMS, "Concat") or (op == "Where" and 0 not in varying):
        return varying
    return varying if op in (*_MOVING, *_SCALING, *_ADDING) and varying == [0] else []


def _is_elementwise(node: ir.Node, varying: Sequence[int]) -> bool:
    """Whether each number of the output depends on a single number that differs."""
    if node.op_type == "Resize":
        return node.attributes.get_string("mode", "nearest") == "nearest"
    return node.op_type not in (*_LAYERS, *_ADDING) or (node.op_type in _SUMS and len(varying) == 1)


def _mixes_inputs(g: GradientBuilder, value: ir.Value) -> bool:
    """Whether a tensor has single parts that depend on more than one explained number.

    A function of one number keeps single parts single.
    """
    known: dict[ir.Value, bool] = g.notes.setdefault("unlike", {})
    if value not in known:
        node, varying = _linear_producer(g, value)
        if node is None:
            known[value] = False
        elif varying:
            known[value] = _is_elementwise(node, varying) and any(
                _mixes_inputs(g, _operand(node, index)) for index in varying
            )
        else:
            x = _operand(node, 0)
            one = node.op_type in ACTIVATIONS and difference_parts(g, x) is None and not _mixes_inputs(g, x)
            known[value] = not one
    return known[value]


def _layer_parts(g: GradientBuilder, node: ir.Node, index: int) -> Parts:
    z, w = difference(g, node.inputs[index]), _operand(node, 1 - index)
    pairs = zip(_sign_parts(g, z), _sign_parts(g, w), strict=True)
    plus = g.op("Sum", *(g.emit_again(node, *(pair if index == 0 else pair[::-1])).outputs[0] for pair in pairs))
    return plus, g.op("Sub", difference(g, node.outputs[0]), plus)


def _sign_parts(g: GradientBuilder, value: ir.Value) -> Parts:
    return g.op("Relu", value), g.op("Min", value, 0.0)


def _scaled_parts(g: GradientBuilder, node: ir.Node, index: int, parts: Parts) -> Parts:
    made = []
    for pair in (parts, parts[::-1]):
        scaled = [
            g.op("Mul", p, f) for p, f in zip(pair, _signed_factors(g, node, index), strict=True) if f is not None
        ]
        made.append(scaled[0] if len(scaled) == 1 else g.op("Add", *scaled))
        g.match_shape(made[-1], node.outputs[0])
    return made[0], made[1]


def _signed_factors(g: GradientBuilder, node: ir.Node, index: int) -> tuple[Gradient, Gradient]:
    """The factors of an op that scales, those above zero and those below; None if there are none of that sign."""
    other = None if node.op_type == "Neg" else _operand(node, 1 - index)
    if other is None:
        kind = g.gradient_dtype(node.outputs[0])
        return None, g.constant(np.asarray(-1, dtype=kind.numpy()), kind)
    factor = other
    if node.op_type == "Div":
        factor = g.op("Reciprocal", other)
    elif node.op_type == "BatchNormalization":
        deviation = g.op("Sqrt", g.op("Add", _operand(node, 4), node.attributes.get_float("epsilon", 1e-5)))
        column = g.ints(-1, *[1] * (g.rank(_operand(node, 0)) - 2))
        factor = g.reshape(g.op("Div", other, deviation), column)
    known = g.constant_of(other)
    if known is not None and (np.all(known >= 0) or np.all(known <= 0)):
        return (factor, None) if np.all(known >= 0) else (None, factor)
    return _sign_parts(g, factor)


def _side(node: ir.Node, index: int, side: int) -> int:
    return 1 - side if node.op_type == "Sub" and index == 1 else side


def _on_parts(g: GradientBuilder, node: ir.Node, parts: dict[int, ir.Value]) -> ir.Node:
    """The op on parts of its operands, with zeros in place of its other operands."""
    operands: list[ir.Value | None] = list(node.inputs)
    if node.op_type == "Pad" and len(operands) > 2:
        operands[2] = None
    for index, value in enumerate(node.inputs):
        if index in parts:
            operands[index] = parts[index]
        elif value is not None and (node.op_type in (*_SUMS, "Concat") or (node.op_type == "Where" and index)):
            operands[index] = g.zeros_like(value)
    return g.emit_again(node, *operands, outputs=len(node.outputs))


def _operand(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _excess(g: GradientBuilder) -> dict[ir.Value, list[ir.Value]]:
    found: dict[ir.Value, list[ir.Value]] = g.notes.setdefault("excess", {})
    return found


def _take_excess(g: GradientBuilder, value: ir.Value) -> Gradient:
    """Remove and return the excess of m+ over m- of a tensor; None if the two are the same."""
    parts = _excess(g).pop(value, [])
    return None if not parts else parts[0] if len(parts) == 1 else g.op("Sum", *parts)


def _activation_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, signal = _operand(node, 0), cotangents[0]
    if signal is None or sum(needed) > 1 or not needed[0]:
        return RESCALE[node.op_type](g, node, cotangents, needed)
    if _mixes_inputs(g, x):
        g.approximate(node, RESCALED)
    parts = difference_parts(g, x)
    if parts is None:
        return RESCALE[node.op_type](g, node, cotangents, needed)
    before, rest = baseline_node(g, node), node.inputs[1:]
    risen, fallen = (g.emit_again(node, g.op("Add", before.inputs[0], part), *rest) for part in parts)
    plus, minus = (
        g.op(
            "Mul",
            g.op("Add", difference_quotient(g, before, alone, signal), difference_quotient(g, without, node, signal)),
            0.5,
        )
        for alone, without in ((risen, fallen), (fallen, risen))
    )
    _excess(g).setdefault(x, []).append(g.op("Sub", plus, minus))
    return [minus] + [None] * (len(node.inputs) - 1)


def _linear_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    above = [_take_excess(g, value) for value in node.outputs]
    found = list(RESCALE[node.op_type](g, node, cotangents, needed))
    if not any(above):
        return found
    for index, (rising, falling) in _excess_back(g, node, above, needed).items():
        value, base = _operand(node, index), found[index]
        if node.op_type not in _LAYERS and difference_parts(g, value) is not None:
            # A negative factor propagates the m+ of its output to the negative part.
            found[index] = base if falling is None else g.op("Add", base, falling)
            more = (
                rising if falling is None else g.op("Neg", falling) if rising is None else g.op("Sub", rising, falling)
            )
            assert more is not None
            _excess(g).setdefault(value, []).append(unbroadcast(g, node, index, more))
            continue
        change, whole = difference(g, value), [slopes for slopes in (rising, falling) if slopes is not None]
        level = g.op("Mul", whole[0] if len(whole) == 1 else g.op("Add", *whole), 0.5)
        lower = g.op("Where", g.op("Less", change, 0.0), 0.0 if falling is None else falling, level)
        upper = g.op("Where", g.op("Greater", change, 0.0), 0.0 if rising is None else rising, lower)
        found[index] = g.op("Add", base, upper)
    return found


def _excess_back(
    g: GradientBuilder, node: ir.Node, above: Sequence[Gradient], needed: Sequence[bool]
) -> dict[int, tuple[Gradient, Gradient]]:
    """The excess propagated to each operand that differs, by factors above zero and by those below."""
    varying = _linear_operands(g, node)
    index = varying[0]
    if node.op_type in _SCALING:
        up, down = (None if f is None else g.op("Mul", above[0], f) for f in _signed_factors(g, node, index))
        return {index: (up, down)}
    slopes = STANDARD[node.op_type](g, node, above, needed)
    if node.op_type not in _LAYERS:
        return {i: (None, slopes[i]) if _side(node, i, 0) else (slopes[i], None) for i in varying}
    w = _operand(node, 1 - index)
    positive = g.op("Relu", w)
    g.match_shape(positive, w)
    operands: list[ir.Value | None] = list(node.inputs)
    operands[1 - index] = positive
    part = STANDARD[node.op_type](g, g.emit_again(node, *operands), above, needed)[index]
    return {index: (part, g.op("Sub", slopes[index], part))}


def _rescale_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    g.approximate(node, RESCALED)
    return RESCALE[node.op_type](g, node, cotangents, needed)


def _product_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    whole = all(needed) and cotangents[0] is not None and gated_gradient(g, node, cotangents[0]) is not None
    return (_rescale_rule if whole else _linear_rule)(g, node, cotangents, needed)


_BY_KIND: dict[Kind, Rule] = {
    Kind.ACTIVATION: _activation_rule,
    Kind.FUNCTION: _activation_rule,
    Kind.MOVES: _linear_rule,
}


def _rule_for(name: str) -> Rule:
    entry = find_op(name)
    if entry.deep_lift is not None:
        return entry.deep_lift
    if entry.partial:  # may be undefined between the parts
        return _rescale_rule
    if name in (*_LAYERS, *_SCALING, *_ADDING):
        return _linear_rule
    return _BY_KIND.get(entry.kind, RESCALE[name])


REVEAL_CANCEL: dict[str, Rule] = {name: _rule_for(name) for name in RESCALE} | {"Mul": _product_rule}
