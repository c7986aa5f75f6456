"""The reveal-cancel rule of DeepLIFT: what raises the input of an activation and what lowers it differ in multipliers.

The difference D x of an activation's input is the sum of its positive and negative part, D+ x and D- x. Behind a layer
with weights these are the sums of the contributions w_i D z_i above and below zero (Shrikumar et al. 2017, section
3.5.2); behind a sum of tensors, as residual connections make it, the sums of the parts of its terms. Of y = f(x)::

    D+ y = (f(x_b + D+ x) - f(x_b) + f(x_b + D- x + D+ x) - f(x_b + D- x)) / 2      m+ = D+ y / D+ x
    D- y = (f(x_b + D- x) - f(x_b) + f(x_b + D+ x + D- x) - f(x_b + D+ x)) / 2      m- = D- y / D- x

and a layer hands m+ on by its weights with w_i D z_i > 0, m- by those below zero, and the mean of both where D z_i = 0.
Where x is neither the answer of a layer nor a sum, all of D x is one part, and the rule is rescale.

The walk carries one number for each element. That is m-; what m+ has above it is kept beside it for the op that made x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline, twin
from xaionnx.autodiff.rescale import ACTIVATIONS, RESCALE, difference, slope
from xaionnx.autodiff.rule import Gradient, Rule
from xaionnx.autodiff.rules.activations import gated
from xaionnx.autodiff.table import STANDARD

RESCALED = "rescale in place of reveal-cancel"

Parts: TypeAlias = tuple[ir.Value, ir.Value]

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SUMS = ("Add", "Sum", "Sub")
_MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
# Not every number between the parts has an answer.
_PARTIAL = frozenset({"Log", "Sqrt", "Reciprocal", "Pow", "Tan", "Asin", "Acos", "Acosh", "Atanh"})


def split(g: GradientBuilder, value: ir.Value) -> Parts | None:
    """The positive and negative part of a tensor's difference from the baseline; None where it is but one of both."""
    known: dict[ir.Value, Parts | None] = g.notes.setdefault("parts", {})
    if value not in known:
        known[value] = _split(g, value)
    return known[value]


def _split(g: GradientBuilder, value: ir.Value) -> Parts | None:
    node = value.producer()
    if node is None or value in g.sources or at_baseline(g, value) is value:
        return None
    varying = [v is not None and at_baseline(g, v) is not v for v in node.inputs]
    if node.op_type in _LAYERS:
        return _layer(g, node, varying) if sum(varying) == 1 and sum(varying[:2]) == 1 else None
    if node.op_type in _MOVING:
        own = split(g, _given(node, 0)) if varying[0] and not any(varying[1:]) else None
        return None if own is None else (_moved(g, node, own[0]), _moved(g, node, own[1]))
    if node.op_type not in _SUMS:
        return None
    terms = [v for v, moves in zip(node.inputs, varying, strict=True) if moves and v is not None]
    if any(g.sizes(term) != g.sizes(value) for term in terms):
        return None
    if len(terms) == 1 and split(g, terms[0]) is None:
        return None
    plus, minus = [], []
    for index, (term, moves) in enumerate(zip(node.inputs, varying, strict=True)):
        if term is None or not moves:
            continue
        change = difference(g, term)
        own = split(g, term) or (g.op("Relu", change), g.op("Min", change, 0.0))
        if node.op_type == "Sub" and index == 1:
            own = (g.op("Neg", own[1]), g.op("Neg", own[0]))
        plus.append(own[0])
        minus.append(own[1])
    return (plus[0], minus[0]) if len(plus) == 1 else (g.op("Sum", *plus), g.op("Sum", *minus))


def _layer(g: GradientBuilder, node: ir.Node, varying: Sequence[bool]) -> Parts:
    index = 0 if varying[0] else 1
    z, w = difference(g, node.inputs[index]), _given(node, 1 - index)
    whole = difference(g, node.outputs[0])
    made = []
    for sign in ("Relu", "Min"):
        operands = [_one_sided(g, sign, value) for value in (z, w)]
        made.append(_moved(g, node, *(operands if index == 0 else operands[::-1])))
    plus = g.op("Sum", *made)
    return plus, g.op("Sub", whole, plus)


def _one_sided(g: GradientBuilder, sign: str, value: ir.Value) -> ir.Value:
    return g.op("Relu", value) if sign == "Relu" else g.op("Min", value, 0.0)


def _given(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None
    return value


def _moved(g: GradientBuilder, node: ir.Node, *operands: ir.Value) -> ir.Value:
    """The same op on other tensors, without a bias."""
    rest = () if node.op_type in _LAYERS else node.inputs[len(operands) :]
    return g.again(node, *operands, *rest).outputs[0]


def _excess(g: GradientBuilder) -> dict[ir.Value, list[ir.Value]]:
    found: dict[ir.Value, list[ir.Value]] = g.notes.setdefault("excess", {})
    return found


def _kept(g: GradientBuilder, node: ir.Node) -> ir.Value | None:
    """What the positive part of the node's output has above the negative one; None where they have the same."""
    parts = _excess(g).pop(node.outputs[0], [])
    return None if not parts else parts[0] if len(parts) == 1 else g.op("Sum", *parts)


def _activation(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, signal = _given(node, 0), cotangents[0]
    parts = split(g, x)
    if parts is None or signal is None or sum(needed) > 1 or not needed[0]:
        return RESCALE[node.op_type](g, node, cotangents, needed)
    before, rest = twin(g, node), node.inputs[1:]
    risen, fallen = (g.again(node, g.op("Add", before.inputs[0], part), *rest) for part in parts)
    plus, minus = (
        g.op("Mul", g.op("Add", slope(g, before, alone, signal), slope(g, without, node, signal)), 0.5)
        for alone, without in ((risen, fallen), (fallen, risen))
    )
    _excess(g).setdefault(x, []).append(g.op("Sub", plus, minus))
    return [minus] + [None] * (len(node.inputs) - 1)


def _weighed(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    above = _kept(g, node)
    found = list(RESCALE[node.op_type](g, node, cotangents, needed))
    if above is None:
        return found
    index = 0 if needed[0] else 1
    z, w, base = _given(node, index), _given(node, 1 - index), found[index]
    positive = g.op("Relu", w)
    g.alike(positive, w)
    operands: list[ir.Value | None] = list(node.inputs)
    operands[1 - index] = positive
    whole, part = (STANDARD[node.op_type](g, made, [above], needed)[index] for made in (node, g.again(node, *operands)))
    change = difference(g, z)
    falling = g.op("Where", g.op("Less", change, 0.0), g.op("Sub", whole, part), g.op("Mul", whole, 0.5))
    found[index] = g.op("Add", base, g.op("Where", g.op("Greater", change, 0.0), part, falling))
    return found


def _added(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    above = _kept(g, node)
    found = list(RESCALE[node.op_type](g, node, cotangents, needed))
    if above is None:
        return found
    for index, wanted in enumerate(needed):
        if not wanted:
            continue
        term, turned = _given(node, index), node.op_type == "Sub" and index == 1
        if turned:  # what raises the second operand lowers the difference
            found[index] = g.op("Sub", found[index], above)
        if split(g, term) is not None:
            _excess(g).setdefault(term, []).append(above)
            continue
        change = difference(g, term)
        level = g.op("Where", g.op("Less", change, 0.0), 0.0, g.op("Mul", above, 0.5))
        found[index] = g.op("Add", found[index], g.op("Where", g.op("Greater", change, 0.0), above, level))
    return found


def _carried(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    above = _kept(g, node)
    if above is not None:
        moved = STANDARD[node.op_type](g, node, [above], needed)[0]
        assert moved is not None
        _excess(g).setdefault(_given(node, 0), []).append(moved)
    return RESCALE[node.op_type](g, node, cotangents, needed)


def _rescaled(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    g.approximate(node, RESCALED)
    return RESCALE[node.op_type](g, node, cotangents, needed)


def _gate(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    whole = all(needed) and cotangents[0] is not None and gated(g, node, cotangents[0]) is not None
    return (_rescaled if whole else RESCALE["Mul"])(g, node, cotangents, needed)


REVEAL_CANCEL: dict[str, Rule] = dict(RESCALE)
REVEAL_CANCEL |= {op: _rescaled if op in _PARTIAL else _activation for op in ACTIVATIONS}
REVEAL_CANCEL |= dict.fromkeys(_LAYERS, _weighed) | dict.fromkeys(_SUMS, _added) | dict.fromkeys(_MOVING, _carried)
REVEAL_CANCEL |= {"Mul": _gate}
