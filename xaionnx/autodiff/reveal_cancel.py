"""The reveal-cancel rule of DeepLIFT: what raises the input of an activation and what lowers it differ in multipliers.

The difference D x of an activation's input is the sum of its positive and negative part, D+ x and D- x. Behind a layer
with weights these are the sums of the contributions w_i D z_i above and below zero (Shrikumar et al. 2017, section
3.5.3). Of y = f(x)::

    D+ y = (f(x_b + D+ x) - f(x_b) + f(x_b + D- x + D+ x) - f(x_b + D- x)) / 2      m+ = D+ y / D+ x
    D- y = (f(x_b + D- x) - f(x_b) + f(x_b + D+ x + D- x) - f(x_b + D+ x)) / 2      m- = D- y / D- x

and a layer hands m+ on by its weights with w_i D z_i > 0, m- by those below zero, and the mean of both where D z_i = 0.

Linear ops without weights of their own keep the parts of what they take, as far as it has any: sums of tensors, as
residual connections make them, and averages add up those of their terms; what joins, cuts, pads and reshapes moves
them; what scales multiplies them, and a factor c < 0 turns them over: D+ y = c D- x and D- y = c D+ x. All of D x_i is
one part where x_i is an explained number, and where a function of one number or any other op made it; an activation
that reads such a number by itself follows rescale there. Where but one explained number lies behind it, that is the
very rule; elsewhere it is labelled.

The walk carries one number for each element. That is m-; what m+ has above it is kept beside it for the op that made x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.backward import unbroadcast
from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline, twin
from xaionnx.autodiff.rescale import ACTIVATIONS, RESCALE, difference, slope
from xaionnx.autodiff.rule import Gradient, Rule
from xaionnx.autodiff.rules.activations import gated
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import Kind, find_op, ops_of_kind

RESCALED = "rescale in place of reveal-cancel"

Parts: TypeAlias = tuple[ir.Value, ir.Value]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# A number of the answer is one of the operands.
_MOVING = ops_of_kind(Kind.MOVES)
# One number times a factor.
_SCALING = ("Neg", "Mul", "Div", "BatchNormalization")
# Several numbers, by factors that are not below zero; of Sub the second by -1.
_SUMS = ("Add", "Sum", "Sub", "Mean")
_ADDING = tuple(name for name in ops_of_kind(Kind.ADDS) if name in STANDARD and not find_op(name).both_signs)


def split(g: GradientBuilder, value: ir.Value) -> Parts | None:
    """The positive and negative part of a tensor's difference from the baseline; None where it is but one of both."""
    known: dict[ir.Value, Parts | None] = g.notes.setdefault("parts", {})
    if value not in known:
        known[value] = _split(g, value, known)
    return known[value]


def _split(g: GradientBuilder, value: ir.Value, known: dict[ir.Value, Parts | None]) -> Parts | None:
    node, varying = _made(g, value)
    if node is None or not varying:
        return None
    if node.op_type in _LAYERS:
        return _layer(g, node, varying[0])
    own = {index: split(g, _given(node, index)) for index in varying}
    if _one_by_one(node, varying) and not any(own.values()):
        return None
    parts = {index: found or _by_sign(g, difference(g, _given(node, index))) for index, found in own.items()}
    if node.op_type in _SCALING:
        return _turned(g, node, varying[0], parts[varying[0]])
    first = varying[0]
    if node.op_type in _SUMS[:3] and len(varying) == 1 and g.sizes(_given(node, first)) == g.sizes(value):
        plus, minus = parts[first]  # the others are biases
        return (plus, minus) if node.op_type != "Sub" or not first else (g.op("Neg", minus), g.op("Neg", plus))
    sides = [_again_on(g, node, {i: pair[_side(node, i, side)] for i, pair in parts.items()}) for side in (0, 1)]
    known.update(zip(node.outputs, zip(*(made.outputs for made in sides), strict=True), strict=True))
    return known[value]


def _made(g: GradientBuilder, value: ir.Value) -> tuple[ir.Node | None, list[int]]:
    """What made a tensor that differs, and the operands that differ; none of them where it is not linear in those."""
    node = value.producer()
    if node is None or value in g.sources or at_baseline(g, value) is value:
        return None, []
    return node, _linear_in(g, node)


def _linear_in(g: GradientBuilder, node: ir.Node) -> list[int]:
    """The operands that differ from the baseline, where an op is linear in them and the signs of its factors are known.

    Else none.
    """
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


def _one_by_one(node: ir.Node, varying: Sequence[int]) -> bool:
    """Whether no number of the answer has several that differ behind it."""
    if node.op_type == "Resize":
        return node.attributes.get_string("mode", "nearest") == "nearest"
    return node.op_type not in (*_LAYERS, *_ADDING) or (node.op_type in _SUMS and len(varying) == 1)


def _unlike(g: GradientBuilder, value: ir.Value) -> bool:
    """Whether there are numbers that count as one part, but owe their difference to more than one explained number.

    Through a function of one number, one part remains one.
    """
    known: dict[ir.Value, bool] = g.notes.setdefault("unlike", {})
    if value not in known:
        node, varying = _made(g, value)
        if node is None:
            known[value] = False
        elif varying:
            known[value] = _one_by_one(node, varying) and any(_unlike(g, _given(node, index)) for index in varying)
        else:
            x = _given(node, 0)
            one = node.op_type in ACTIVATIONS and split(g, x) is None and not _unlike(g, x)
            known[value] = not one
    return known[value]


def _layer(g: GradientBuilder, node: ir.Node, index: int) -> Parts:
    z, w = difference(g, node.inputs[index]), _given(node, 1 - index)
    pairs = zip(_by_sign(g, z), _by_sign(g, w), strict=True)
    plus = g.op("Sum", *(g.again(node, *(pair if index == 0 else pair[::-1])).outputs[0] for pair in pairs))
    return plus, g.op("Sub", difference(g, node.outputs[0]), plus)


def _by_sign(g: GradientBuilder, value: ir.Value) -> Parts:
    return g.op("Relu", value), g.op("Min", value, 0.0)


def _turned(g: GradientBuilder, node: ir.Node, index: int, parts: Parts) -> Parts:
    made = []
    for pair in (parts, parts[::-1]):
        scaled = [g.op("Mul", p, f) for p, f in zip(pair, _factors(g, node, index), strict=True) if f is not None]
        made.append(scaled[0] if len(scaled) == 1 else g.op("Add", *scaled))
        g.alike(made[-1], node.outputs[0])
    return made[0], made[1]


def _factors(g: GradientBuilder, node: ir.Node, index: int) -> tuple[Gradient, Gradient]:
    """The factors of an op that scales, those above zero and those below; None where there is none."""
    other = None if node.op_type == "Neg" else _given(node, 1 - index)
    if other is None:
        kind = g.kind(node.outputs[0])
        return None, g.constant(np.asarray(-1, dtype=kind.numpy()), kind)
    factor = other
    if node.op_type == "Div":
        factor = g.op("Reciprocal", other)
    elif node.op_type == "BatchNormalization":
        deviation = g.op("Sqrt", g.op("Add", _given(node, 4), node.attributes.get_float("epsilon", 1e-5)))
        column = g.ints(-1, *[1] * (g.rank(_given(node, 0)) - 2))
        factor = g.reshape(g.op("Div", other, deviation), column)
    known = g.constant_of(other)
    if known is not None and (np.all(known >= 0) or np.all(known <= 0)):
        return (factor, None) if np.all(known >= 0) else (None, factor)
    return _by_sign(g, factor)


def _side(node: ir.Node, index: int, side: int) -> int:
    return 1 - side if node.op_type == "Sub" and index == 1 else side


def _again_on(g: GradientBuilder, node: ir.Node, parts: dict[int, ir.Value]) -> ir.Node:
    """The same op on parts of its operands, and zeros in place of what it adds to them or puts beside them."""
    operands: list[ir.Value | None] = list(node.inputs)
    if node.op_type == "Pad" and len(operands) > 2:
        operands[2] = None
    for index, value in enumerate(node.inputs):
        if index in parts:
            operands[index] = parts[index]
        elif value is not None and (node.op_type in (*_SUMS, "Concat") or (node.op_type == "Where" and index)):
            operands[index] = g.zeros_like(value)
    return g.again(node, *operands, outputs=len(node.outputs))


def _given(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _excess(g: GradientBuilder) -> dict[ir.Value, list[ir.Value]]:
    found: dict[ir.Value, list[ir.Value]] = g.notes.setdefault("excess", {})
    return found


def _kept(g: GradientBuilder, value: ir.Value) -> Gradient:
    """What the positive part of a tensor has above the negative one; None where they have the same."""
    parts = _excess(g).pop(value, [])
    return None if not parts else parts[0] if len(parts) == 1 else g.op("Sum", *parts)


def _activation(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, signal = _given(node, 0), cotangents[0]
    if signal is None or sum(needed) > 1 or not needed[0]:
        return RESCALE[node.op_type](g, node, cotangents, needed)
    if _unlike(g, x):
        g.approximate(node, RESCALED)
    parts = split(g, x)
    if parts is None:
        return RESCALE[node.op_type](g, node, cotangents, needed)
    before, rest = twin(g, node), node.inputs[1:]
    risen, fallen = (g.again(node, g.op("Add", before.inputs[0], part), *rest) for part in parts)
    plus, minus = (
        g.op("Mul", g.op("Add", slope(g, before, alone, signal), slope(g, without, node, signal)), 0.5)
        for alone, without in ((risen, fallen), (fallen, risen))
    )
    _excess(g).setdefault(x, []).append(g.op("Sub", plus, minus))
    return [minus] + [None] * (len(node.inputs) - 1)


def _linear(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    above = [_kept(g, value) for value in node.outputs]
    found = list(RESCALE[node.op_type](g, node, cotangents, needed))
    if not any(above):
        return found
    for index, (rising, falling) in _excesses(g, node, above, needed).items():
        value, base = _given(node, index), found[index]
        if node.op_type not in _LAYERS and split(g, value) is not None:
            # A negative factor hands the m+ of its answer to the negative part.
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


def _excesses(
    g: GradientBuilder, node: ir.Node, above: Sequence[Gradient], needed: Sequence[bool]
) -> dict[int, tuple[Gradient, Gradient]]:
    """What comes back of an excess, for each operand that differs: by factors above zero, and by those below."""
    varying = _linear_in(g, node)
    index = varying[0]
    if node.op_type in _SCALING:
        up, down = (None if f is None else g.op("Mul", above[0], f) for f in _factors(g, node, index))
        return {index: (up, down)}
    slopes = STANDARD[node.op_type](g, node, above, needed)
    if node.op_type not in _LAYERS:
        return {i: (None, slopes[i]) if _side(node, i, 0) else (slopes[i], None) for i in varying}
    w = _given(node, 1 - index)
    positive = g.op("Relu", w)
    g.alike(positive, w)
    operands: list[ir.Value | None] = list(node.inputs)
    operands[1 - index] = positive
    part = STANDARD[node.op_type](g, g.again(node, *operands), above, needed)[index]
    return {index: (part, g.op("Sub", slopes[index], part))}


def _rescaled(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    g.approximate(node, RESCALED)
    return RESCALE[node.op_type](g, node, cotangents, needed)


def _gate(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    whole = all(needed) and cotangents[0] is not None and gated(g, node, cotangents[0]) is not None
    return (_rescaled if whole else _linear)(g, node, cotangents, needed)


_BY_KIND: dict[Kind, Rule] = {Kind.ACTIVATION: _activation, Kind.FUNCTION: _activation, Kind.MOVES: _linear}


def _rule(name: str) -> Rule:
    entry = find_op(name)
    if entry.deep_lift is not None:
        return entry.deep_lift
    if entry.partial:  # not every number between the parts has an answer
        return _rescaled
    if name in (*_LAYERS, *_SCALING, *_ADDING):
        return _linear
    return _BY_KIND.get(entry.kind, RESCALE[name])


REVEAL_CANCEL: dict[str, Rule] = {name: _rule(name) for name in RESCALE} | {"Mul": _gate}
