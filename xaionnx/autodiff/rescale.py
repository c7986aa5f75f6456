"""Rules of DeepLIFT: what a difference of an output owes to the differences of the inputs from a baseline.

A rule hands on *multipliers*: numbers m_i with ``sum_i m_i (x_i - b_i) = m_y (y - y_b)``, so that what is owed adds up
from the target to the input. A linear op has its derivative as multiplier. For the others, with D for the difference
from the baseline, and a bar for the mean of input and baseline:

============================= ==================================================================================
functions of one number       D y / D x (Shrikumar et al. 2017, section 3.5.2: rescale); x * Sigmoid(x) and
                              x * HardSigmoid(x) as a whole too
max pooling, Max, Min,        a rise belongs to the entry that wins at the input, a fall to the one that wins at
ReduceMax, ReduceMin          the baseline (of a minimum the other way round); its own difference is no smaller
                              than that of the output, so multipliers lie in [0, 1]
u * v, MatMul and the like    D(u v) = mean(v) D u + mean(u) D v
u / v                         a product with 1 / v, whose D(1 / v) = - D v / (v v_b)
Softmax, LogSoftmax,          exp and log by D y / D x: with s = sum exp x and L = log s, y_i = exp(x_i - L), and
ReduceLogSumExp               D L = D s / LM(s, s_b), where LM(a, b) = (a - b) / (log a - log b)
layer, instance, group, RMS   c r with c centred and r = 1 / deviation: a product, with v = mean c^2 a product and
normalisation                 D r = - r^2 r_b^2 / (r + r_b) D v
============================= ==================================================================================

All are complete. The paper has rules for the first row alone; what follows the others is labelled. So is an op that
has none of these rules: it keeps its derivative at the input, and leaves a gap.

Where D x is too small to divide by, a smooth function takes the mean of its slopes at the input and at the baseline:
below the cube root of the machine's precision (0.005 in float32), as for any difference quotient, or this share of x
for logarithms and powers. Functions of straight pieces lose nothing by the division: their slope is for D x = 0 alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline, twin
from xaionnx.autodiff.rule import Gradient, Rule
from xaionnx.autodiff.rules.activations import gated
from xaionnx.autodiff.rules.normalisation import narrowed, scaled, widened
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import Kind, find_op, ops_of_kind

PRODUCT = "each factor's change counts times the mean of the other"
COMPLETE = "a complete rule beyond the paper"
GAP = "its derivative at the input, which leaves a gap"
HELD = "operands that choose or count stay as they are at the input"

# Of the fraction.
_BITS = {ir.DataType.DOUBLE: 52, ir.DataType.FLOAT: 23, ir.DataType.FLOAT16: 10, ir.DataType.BFLOAT16: 7}


def other(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    assert value is not None
    return at_baseline(g, value)


def difference(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    """A forward tensor less what it is at the baseline."""
    return g.op("Sub", value, other(g, value))


def mean(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    """The mean of a forward tensor and what it is at the baseline; the tensor itself where they are the same."""
    assert value is not None
    reference = other(g, value)
    if reference is value:
        return value
    found = g.op("Mul", g.op("Add", value, reference), 0.5)
    g.alike(found, value)
    return found


def slope(g: GradientBuilder, low: ir.Node, high: ir.Node, signal: ir.Value) -> ir.Value:
    """``signal * (f(b) - f(a)) / (b - a)``, for the same function of one number at two places."""
    op = low.op_type
    (a, b), (fa, fb) = (low.inputs[0], high.inputs[0]), (low.outputs[0], high.outputs[0])
    assert a is not None
    assert b is not None

    def derivative(node: ir.Node) -> Gradient:
        needed = [True] + [False] * (len(node.inputs) - 1)
        return STANDARD[op](g, node, [signal] + [None] * (len(node.outputs) - 1), needed)[0]

    return quotient(
        g, op, (a, b), (fa, fb), signal, derivative(high), None if find_op(op).straight else derivative(low)
    )


def quotient(
    g: GradientBuilder,
    op: str,
    x: tuple[ir.Value, ir.Value],
    y: tuple[ir.Value, ir.Value],
    signal: ir.Value,
    slope: Gradient,
    second: Gradient,
) -> ir.Value:
    """``signal`` times the quotient of differences, and the slope, or the mean of two, where that is of no use."""
    run = g.op("Sub", x[1], x[0])
    steep = g.op("Mul", signal, g.op("Div", g.op("Sub", y[1], y[0]), run))
    if find_op(op).straight:
        return g.op("Where", g.op("Equal", run, 0.0), 0.0 if slope is None else slope, steep)
    least: float | ir.Value = _least(g, x[0])
    if find_op(op).scale_free:
        least = g.op("Mul", g.op("Abs", g.op("Add", x[0], x[1])), least / 2)
    level = g.op("Mul", g.op("Add", slope, second), 0.5)
    return g.op("Where", g.op("Greater", g.op("Abs", run), least), steep, level)


def _least(g: GradientBuilder, value: ir.Value) -> float:
    """The smallest difference that is divided by: the cube root of the precision of the value's type."""
    return float(2.0 ** (-_BITS[g.kind(value)] / 3))


def _rescaled(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    signal = cotangents[0]
    if signal is None or sum(needed) > needed[0]:
        return _left(g, node, cotangents, needed)
    if node.op_type == "Pow":
        exponent = g.constant_of(node.inputs[1])
        if exponent is not None and exponent.size == 1 and float(exponent.reshape(())) == 2.0:
            return [g.op("Mul", signal, g.op("Add", node.inputs[0], other(g, node.inputs[0]))), None]
    if node.op_type in ("Sqrt", "Reciprocal"):
        y, z = node.outputs[0], other(g, node.outputs[0])
        if node.op_type == "Reciprocal":
            return [g.op("Neg", g.op("Mul", signal, g.op("Mul", y, z)))]
        total = g.op("Add", y, z)
        return [g.op("Div", signal, g.op("Where", g.op("Equal", total, 0.0), np.inf, total))]
    return [slope(g, twin(g, node), node, signal)] + [None] * (len(node.inputs) - 1)


def _left(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    g.approximate(node, GAP)
    return STANDARD[node.op_type](g, node, cotangents, needed)


def _linear(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The derivative, of an op that is linear in what it takes from the path, if nothing else changes."""
    if any(
        value is not None and not wanted and other(g, value) is not value
        for value, wanted in zip(node.inputs, needed, strict=True)
    ):
        g.approximate(node, HELD)
    return STANDARD[node.op_type](g, node, cotangents, needed)


def _scaled(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """An op that is linear in its first operand alone."""
    return (_left if any(needed[1:]) else _linear)(g, node, cotangents, needed)


def _multiplied(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """A product of two operands: its derivative half-way between input and baseline."""
    if sum(needed[:2]) < 2 and sum(needed) <= 2:
        return _linear(g, node, cotangents, needed)
    if node.op_type == "Einsum" and len(node.inputs) > 2:
        return _left(g, node, cotangents, needed)
    if node.op_type == "Mul" and cotangents[0] is not None:
        whole, before = (gated(g, made, cotangents[0]) for made in (node, twin(g, node)))
        if whole is not None and before is not None:
            ends = (other(g, node.outputs[0]), node.outputs[0])
            found = quotient(g, "Swish", (before[0], whole[0]), ends, cotangents[0], whole[1], before[1])
            return [found, None] if whole[0] is node.inputs[0] else [None, found]
    if node.inputs[0] is not node.inputs[1]:
        g.approximate(node, PRODUCT)
    operands = [mean(g, value) if wanted else value for value, wanted in zip(node.inputs, needed, strict=True)]
    return STANDARD[node.op_type](g, g.again(node, *operands), cotangents, needed)


def _divided(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    if not needed[1]:
        return _linear(g, node, cotangents, needed)
    signal, (a, b) = cotangents[0], node.inputs
    if needed[0]:
        g.approximate(node, PRODUCT)
    r, q = g.op("Reciprocal", b), g.op("Reciprocal", other(g, b))
    first = g.op("Mul", signal, g.op("Mul", g.op("Add", r, q), 0.5)) if needed[0] else None
    return [first, g.op("Neg", g.op("Mul", g.op("Mul", signal, mean(g, a)), g.op("Mul", r, q)))]


def _pooled(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, y, signal = node.inputs[0], node.outputs[0], cotangents[0]
    assert x is not None
    if signal is None or any(cotangent is not None for cotangent in cotangents[1:]):
        raise g.refusal(node, "the target depends on its indices")
    before, flat = twin(g, node), g.ints(-1)
    g.approximate(node, COMPLETE)
    for made in (node, before):
        if made.attributes.get_int("storage_order", 0):
            raise g.refusal(node, "it counts columns first")
    change = g.reshape(difference(g, y), flat)
    own = g.reshape(difference(g, x), flat)
    still = g.op("Cast", g.op("Equal", change, 0.0), to=g.kind(x))
    places, shares = [], []
    for made, part, same in ((node, g.op("Relu", change), still), (before, g.op("Min", change, 0.0), 0.0)):
        place = g.reshape(g.further_output(made, 1, ir.DataType.INT64), flat)
        run = g.op("GatherElements", own, place, axis=0)
        share = g.op("Where", g.op("Equal", run, 0.0), same, g.op("Div", part, run))
        places.append(place)
        shares.append(g.op("Mul", g.reshape(signal, flat), share))
    empty = g.reshape(g.zeros_like(x), flat)
    filled = g.op(
        "ScatterElements", empty, g.op("Concat", *places, axis=0), g.op("Concat", *shares, axis=0), reduction="add"
    )
    return [g.reshape_like(filled, x)]


def _extreme(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """Max and Min of several tensors; those that tie share."""
    if sum(needed) > 1:
        g.approximate(node, COMPLETE)
    return _to_winners(g, node, node.inputs, node.outputs[0], other(g, node.outputs[0]), cotangents[0], None)


def _reduced_extreme(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The same along axes, which are axes of size 1 from here on."""
    x, signal = node.inputs[0], cotangents[0]
    assert x is not None
    rank = g.rank(x)
    if node.op_type == "GlobalMaxPool":
        axes = list(range(2, rank))
    else:
        given = g.fixed(node, 1)
        if given is not None and given.size:
            axes = [int(axis) % rank for axis in given]
        elif node.attributes.get_int("noop_with_empty_axes", 0):
            return _linear(g, node, cotangents, needed)
        else:
            axes = list(range(rank))
    g.approximate(node, COMPLETE)
    y, z = node.outputs[0], other(g, node.outputs[0])
    if node.op_type != "GlobalMaxPool" and not node.attributes.get_int("keepdims", 1):
        y, z, signal = (g.op("Unsqueeze", value, g.ints(*axes)) for value in (y, z, signal))
    found = _to_winners(g, node, [x], y, z, signal, axes)
    return [*found, *[None] * (len(node.inputs) - 1)]


def _to_winners(
    g: GradientBuilder,
    node: ir.Node,
    operands: Sequence[ir.Value | None],
    y: ir.Value,
    z: ir.Value,
    signal: Gradient,
    axes: Sequence[int] | None,
) -> list[Gradient]:
    kind = g.kind(node.outputs[0])
    change = g.op("Sub", y, z)
    rise, fall = g.op("Relu", change), g.op("Min", change, 0.0)
    if node.op_type in ("Min", "ReduceMin"):
        rise, fall = fall, rise
    still = g.op("Cast", g.op("Equal", change, 0.0), to=kind)

    def shared(values: Sequence[ir.Value], best: ir.Value) -> list[ir.Value]:
        won = [g.op("Cast", g.op("Equal", value, best), to=kind) for value in values]
        count = g.op("ReduceSum", won[0], g.ints(*axes), keepdims=1) if axes is not None else g.op("Sum", *won)
        return [g.op("Div", mask, count) for mask in won]

    given = [value for value in operands if value is not None]
    after, before = shared(given, y), shared([other(g, value) for value in given], z)
    found: list[Gradient] = []
    for value, now, then in zip(given, after, before, strict=True):
        run = difference(g, value)
        owed = g.op("Div", g.op("Add", g.op("Mul", now, rise), g.op("Mul", then, fall)), run)
        share = g.op("Where", g.op("Equal", run, 0.0), g.op("Mul", now, still), owed)
        found.append(g.op("Mul", signal, share))
    return found


def _softmax(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, y, signal = node.inputs[0], node.outputs[0], cotangents[0]
    assert x is not None
    op, rank = node.op_type, g.rank(x)
    if op == "ReduceLogSumExp":
        given = g.fixed(node, 1)
        axes = list(range(rank)) if given is None else [int(axis) % rank for axis in given]
        if not node.attributes.get_int("keepdims", 1):
            signal = g.op("Unsqueeze", signal, g.ints(*axes))
    else:
        axes = [node.attributes.get_int("axis", -1) % rank]
    g.approximate(node, COMPLETE)
    over, b = g.ints(*axes), other(g, x)
    total, before = (g.op("ReduceLogSumExp", value, over, keepdims=1) for value in (x, b))
    # In units in which the two sums are one over the other, so that neither overflows.
    middle = g.op("Mul", g.op("Add", total, before), 0.5)
    run, change = g.op("Sub", x, b), g.op("Sub", total, before)
    e, f, s, t = (g.op("Exp", g.op("Sub", value, middle)) for value in (x, b, total, before))
    share = g.op("Div", _logarithmic(g, e, f, run), _logarithmic(g, s, t, change))
    if op == "ReduceLogSumExp":
        return [g.op("Mul", signal, share)] + [None] * (len(node.inputs) - 1)
    if op == "Softmax":
        signal = g.op("Mul", signal, _logarithmic(g, y, other(g, y), g.op("Sub", run, change)))
    return [g.op("Sub", signal, g.op("Mul", share, g.op("ReduceSum", signal, over, keepdims=1)))]


def _logarithmic(g: GradientBuilder, y: ir.Value, z: ir.Value, run: ir.Value) -> ir.Value:
    """``(y - z) / (log y - log z)``, where the denominator is known; their mean where that is small, or none."""
    steep, level = g.op("Div", g.op("Sub", y, z), run), g.op("Mul", g.op("Add", y, z), 0.5)
    return g.op("Where", g.op("Greater", g.op("Abs", run), _least(g, y)), steep, level)


def _normalised(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, signal = node.inputs[0], cotangents[0]
    if signal is None or any(needed[1:]) or any(c is not None for c in cotangents[1:]):
        return _left(g, node, cotangents, needed)
    assert x is not None
    g.approximate(node, COMPLETE)
    u, axes, shape = scaled(g, node, signal)
    values = [widened(g, value, x) for value in (x, other(g, x))]
    if shape is not None:
        values = [g.reshape(value, shape) for value in values]
    centre = node.op_type != "RMSNormalization"
    back = _through(g, u, values, g.ints(*axes), node.attributes.get_float("epsilon", 1e-5), centre)
    back = narrowed(g, back if shape is None else g.reshape_like(back, x), x)
    return [back] + [None] * (len(node.inputs) - 1)


def _through(
    g: GradientBuilder, u: ir.Value, values: Sequence[ir.Value], over: ir.Value, epsilon: float, centre: bool
) -> ir.Value:
    def average(value: ir.Value) -> ir.Value:
        return g.op("ReduceMean", value, over, keepdims=1)

    (c, d) = (g.op("Sub", value, average(value)) if centre else value for value in values)
    r, q = (g.op("Reciprocal", g.op("Sqrt", g.op("Add", average(g.op("Mul", part, part)), epsilon))) for part in (c, d))
    total, both, product = g.op("Add", c, d), g.op("Add", r, q), g.op("Mul", r, q)
    # With the halves of both means and the two of D(c^2) = (c + c_b) D c.
    factor = g.op("Div", g.op("Mul", g.op("Mul", product, product), 0.5), both)
    along = g.op("Mul", average(g.op("Mul", u, total)), factor)
    back = g.op("Sub", g.op("Mul", u, g.op("Mul", both, 0.5)), g.op("Mul", total, along))
    return g.op("Sub", back, average(back)) if centre else back


# Functions of one number.
ACTIVATIONS = ops_of_kind(Kind.ACTIVATION, Kind.FUNCTION)
_BY_KIND: dict[Kind, Rule] = {
    Kind.ACTIVATION: _rescaled,
    Kind.FUNCTION: _rescaled,
    Kind.WEIGHS: _multiplied,
    **dict.fromkeys((Kind.MOVES, Kind.ADDS, Kind.ROUNDS, Kind.READS_SHAPE), _linear),
}
_OWN: dict[str, Rule] = {
    "Neg": _linear,
    "Mul": _multiplied,
    "Div": _divided,
    "MaxPool": _pooled,
    **dict.fromkeys(("BatchNormalization", "GridSample"), _scaled),
    **dict.fromkeys(("Max", "Min"), _extreme),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "GlobalMaxPool"), _reduced_extreme),
    **dict.fromkeys(("Softmax", "LogSoftmax", "ReduceLogSumExp"), _softmax),
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"), _normalised
    ),
}


def _rule(name: str) -> Rule:
    entry = find_op(name)
    return entry.deep_lift or _OWN.get(name) or _BY_KIND.get(entry.kind, _left)


RESCALE: dict[str, Rule] = {name: _rule(name) for name in STANDARD}
