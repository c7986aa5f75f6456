"""Rules of arithmetic of two or more tensors. The backward walk undoes broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import Gradient, flat, rule
from xaionnx.autodiff.rules.activations import gated_gradient, keep_zeros, zero_at_minimum
from xaionnx.typing import Array


@rule("Add", "Sum")
def add(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    return [cotangents[0] if wanted else None for wanted in needed]


@rule("Mean")
def mean(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    share = g.op("Div", cotangents[0], float(len(node.inputs)))
    return [share if wanted else None for wanted in needed]


@rule("Sub")
def sub(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    dy = cotangents[0]
    return [dy if needed[0] else None, g.op("Neg", dy) if needed[1] else None]


@rule("Mul")
def mul(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    a, b = node.inputs
    dy = cotangents[0]
    whole = gated_gradient(g, node, dy) if dy is not None and all(needed) else None
    if whole is not None:
        x, dx = whole
        return [dx, None] if x is a else [None, dx]
    return [product(g, dy, other) if wanted else None for wanted, other in zip(needed, (b, a), strict=True)]


def product(g: GradientBuilder, dy: Gradient, factor: ir.Value | None) -> ir.Value:
    """Return ``dy * factor``, and 0 where the cotangent is 0 and the factor infinite."""
    found = g.op("Mul", dy, factor)
    return keep_zeros(g, dy, found) if g.signs.may_be_infinite(factor) else found


@rule("Div")
def div(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    """A quotient that nothing depends on, since its cotangent is 0, has a gradient of 0 even if its divisor is 0."""
    b, y, dy = node.inputs[1], node.outputs[0], cotangents[0]
    share = g.op("Div", dy, b)
    if not g.signs.always_positive(b) and not _has_no_zeros(g, b):
        share, y = keep_zeros(g, dy, share), keep_zeros(g, dy, y) if needed[1] else y
    return [share if needed[0] else None, g.op("Neg", g.op("Mul", share, y)) if needed[1] else None]


def _has_no_zeros(g: GradientBuilder, value: ir.Value | None) -> bool:
    known = g.constant_of(value)
    return known is not None and bool(np.all(known))


@rule("Pow")
def power(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    """``p x^(p-1)``; where x is 0 and p between 0 and 1, as for roots: see :func:`zero_at_minimum`."""
    base, exponent, y = node.inputs[0], node.inputs[1], node.outputs[0]
    if base is None or exponent is None:
        raise g.refusal(node, "an operand is missing")
    dy, kind = cotangents[0], base.dtype or ir.DataType.FLOAT
    # The exponent may have another data type than the base.
    p = exponent if exponent.dtype == kind else g.op("Cast", exponent, to=kind)
    known = g.constant_of(exponent)
    first: Gradient = None
    if needed[0]:
        if known is not None and known.size == 1 and float(known.reshape(())) == 2.0:
            first = g.op("Mul", dy, g.op("Mul", base, 2.0))
        else:
            first = _power_of_base(g, node, p, dy, known)
    second: Gradient = None
    if needed[1]:
        # x^p log x, which tends to 0 as x does.
        safe = g.op("Log", g.op("Where", g.op("Greater", base, 0.0), base, 1.0))
        second = g.op("Mul", dy, g.op("Mul", y, safe))
        if exponent.dtype is not None and exponent.dtype != kind:
            second = g.op("Cast", second, to=exponent.dtype)
    return [first, second]


def _power_of_base(
    g: GradientBuilder, node: ir.Node, exponent: ir.Value, dy: Gradient, known: Array | None
) -> ir.Value:
    slope = g.op("Mul", exponent, g.op("Pow", node.inputs[0], g.op("Sub", exponent, 1.0)))
    # x^0 is constant, but at x = 0 the factors are 0 and infinity.
    dx = g.op("Mul", dy, g.op("Where", g.op("Equal", exponent, 0.0), 0.0, slope))
    if known is not None and np.all(known >= 1):
        return dx
    is_root = known is not None and bool(np.all(known > 0))
    return zero_at_minimum(g, node, dy, dx) if is_root else keep_zeros(g, dy, dx)


@rule("Max", "Min")
def extreme(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> list[Gradient]:
    dy, y = cotangents[0], node.outputs[0]
    kind = y.dtype or ir.DataType.FLOAT
    if len(node.inputs) == 1:
        return [dy if needed[0] else None]
    chosen = [g.op("Cast", g.op("Equal", value, y), to=kind) for value in node.inputs]
    # Ties share the derivative.
    share = g.op("Div", dy, g.op("Sum", *chosen))
    return [g.op("Mul", share, mask) if wanted else None for mask, wanted in zip(chosen, needed, strict=True)]


@rule("Mod")
def mod(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    a, b = node.inputs
    dy, y = cotangents[0], node.outputs[0]
    # y = a - k b, for an integer k that is locally constant.
    turns = g.op("Round", g.op("Div", g.op("Sub", y, a), b)) if needed[1] else None
    return [dy if needed[0] else None, g.op("Mul", dy, turns) if needed[1] else None]


@rule("Where")
def where(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    condition, dy = node.inputs[0], cotangents[0]
    return [
        None,
        g.op("Where", condition, dy, 0.0) if needed[1] else None,
        g.op("Where", condition, 0.0, dy) if needed[2] else None,
    ]


@rule("PRelu")
def prelu(g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]) -> list[Gradient]:
    x, slope = node.inputs
    dy = cotangents[0]
    negative = g.op("Less", x, 0.0)
    return [
        g.op("Mul", dy, g.op("Where", negative, slope, 1.0)) if needed[0] else None,
        g.op("Where", negative, g.op("Mul", dy, x), 0.0) if needed[1] else None,
    ]


# Ops such as RandomNormalLike depend only on the shape of their input.
flat("Ceil", "EyeLike", "Floor", "RandomNormalLike", "RandomUniformLike", "Round", "Sign")
