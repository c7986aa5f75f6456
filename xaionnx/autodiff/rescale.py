"""Rescale rules of DeepLIFT: they attribute differences of outputs to differences of inputs from a baseline.

A rule propagates *multipliers*: numbers m_i with ``sum_i m_i (x_i - b_i) = m_y (y - y_b)``, so that contributions are
conserved from the target to the input. The multiplier of a linear op is its derivative. For other ops, with D for the
difference from the baseline:

============================= ==================================================================================
functions of one number       D y / D x (Shrikumar et al. 2017, section 3.5.2: rescale); also x * Sigmoid(x) and
                              x * HardSigmoid(x) as a whole
max pooling, Max, Min,        a rise goes to the entry that wins at the input, a fall to the one that wins at the
ReduceMax, ReduceMin          baseline (for a minimum the other way round); its difference is not smaller than that
                              of the output, so multipliers are in [0, 1]
u * v, MatMul and the like    D(u v) = mean(v) D u + mean(u) D v
u / v                         a product with 1 / v, whose D(1 / v) = - D v / (v v_b)
Softmax, LogSoftmax,          exp and log by D y / D x: with s = sum exp x and L = log s, y_i = exp(x_i - L), and
ReduceLogSumExp               D L = D s / LM(s, s_b), where LM(a, b) = (a - b) / (log a - log b)
layer, instance, group, RMS   c r with c centred and r = 1 / deviation: a product, with v = mean c^2 a product and
normalisation                 D r = - r^2 r_b^2 / (r + r_b) D v
============================= ==================================================================================

LSTM, GRU and RNN are written out step by step (:mod:`xaionnx.autodiff.steps`): rescale at their activations, and the
rule of products, which shap's DeepExplainer has too, at gates.

All of these are complete. The paper has a rule for the first row only; nodes that use the others are labelled. Other
ops keep their derivative at the input, which leaves a gap, and are labelled too.

If D x is too small as a denominator, smooth functions use the mean of their slopes at the input and at the baseline:
below the cube root of the machine precision (0.005 in float32), as for any difference quotient, relative to x for
logarithms and powers. Piecewise linear functions lose no precision: they use their slope for D x = 0 only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.reference import at_baseline, baseline_node
from xaionnx.autodiff.rule import Gradient, Rule
from xaionnx.autodiff.rules.activations import gated_gradient, keep_zeros
from xaionnx.autodiff.rules.normalisation import narrow, scale_back, widen
from xaionnx.autodiff.steps import RECURRENT
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.op import Kind, find_op, ops_of_kind

PRODUCT = "each factor's change is weighted by the mean of the other"
COMPLETE = "a complete rule beyond the paper"
GAP = "its derivative at the input, which leaves a gap"
HELD = "operands that select or count keep their value at the input"

# Their values or slopes may be infinite.
_UNBOUNDED = ("Cosh", "Exp", "Sinh", *(name for name in ops_of_kind(Kind.FUNCTION) if find_op(name).partial))
# Bits of the significand.
_BITS = {ir.DataType.DOUBLE: 52, ir.DataType.FLOAT: 23, ir.DataType.FLOAT16: 10, ir.DataType.BFLOAT16: 7}


def baseline_value(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    assert value is not None
    return at_baseline(g, value)


def difference(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    """Return a forward tensor minus its value at the baseline."""
    return g.op("Sub", value, baseline_value(g, value))


def mean_with_baseline(g: GradientBuilder, value: ir.Value | None) -> ir.Value:
    """Return the mean of a forward tensor and its value at the baseline; the tensor itself if the two are the same."""
    assert value is not None
    reference = baseline_value(g, value)
    if reference is value:
        return value
    found = g.op("Mul", g.op("Add", value, reference), 0.5)
    g.match_shape(found, value)
    return found


def difference_quotient(g: GradientBuilder, low: ir.Node, high: ir.Node, signal: ir.Value) -> ir.Value:
    """Return ``signal * (f(b) - f(a)) / (b - a)`` for a function of one number at two points."""
    op = low.op_type
    (a, b), (fa, fb) = (low.inputs[0], high.inputs[0]), (low.outputs[0], high.outputs[0])
    assert a is not None
    assert b is not None

    def derivative(node: ir.Node, dy: ir.Value) -> Gradient:
        needed = [True] + [False] * (len(node.inputs) - 1)
        return STANDARD[op](g, node, [dy] + [None] * (len(node.outputs) - 1), needed)[0]

    if not find_op(op).straight:
        return stable_quotient(g, op, (a, b), (fa, fb), signal, derivative(high, signal), derivative(low, signal))
    # It does not depend on the signal, so that it is computed once for several.
    run, slope = g.op("Sub", b, a), derivative(high, g.constant(1.0, signal.dtype))
    quotient = g.op("Div", g.op("Sub", fb, fa), run)
    return g.op("Mul", signal, g.op("Where", g.op("Equal", run, 0.0), 0.0 if slope is None else slope, quotient))


def stable_quotient(
    g: GradientBuilder,
    op: str,
    x: tuple[ir.Value, ir.Value],
    y: tuple[ir.Value, ir.Value],
    signal: ir.Value,
    slope: Gradient,
    second: Gradient,
) -> ir.Value:
    """Return ``signal`` times the difference quotient; for small denominators times the slope, or the mean of both."""
    run = g.op("Sub", x[1], x[0])
    steep = g.op("Mul", signal, g.op("Div", g.op("Sub", y[1], y[0]), run))
    least: float | ir.Value = _smallest_difference(g, x[0])
    if find_op(op).scale_free:
        least = g.op("Mul", g.op("Abs", g.op("Add", x[0], x[1])), least / 2)
    level = g.op("Mul", g.op("Add", slope, second), 0.5)
    found = g.op("Where", g.op("Greater", g.op("Abs", run), least), steep, level)
    return keep_zeros(g, signal, found) if op in _UNBOUNDED else found


def _smallest_difference(g: GradientBuilder, value: ir.Value) -> float:
    """The smallest denominator of a difference quotient: the cube root of the precision of the value's type."""
    return float(2.0 ** (-_BITS[g.gradient_dtype(value)] / 3))


def _rescale_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    signal = cotangents[0]
    if signal is None or sum(needed) > needed[0]:
        return _derivative_with_gap(g, node, cotangents, needed)
    if node.op_type == "Pow":
        exponent = g.constant_of(node.inputs[1])
        if exponent is not None and exponent.size == 1 and float(exponent.reshape(())) == 2.0:
            return [g.op("Mul", signal, g.op("Add", node.inputs[0], baseline_value(g, node.inputs[0]))), None]
    if node.op_type in ("Sqrt", "Reciprocal"):
        y, z = node.outputs[0], baseline_value(g, node.outputs[0])
        if node.op_type == "Reciprocal":
            return [keep_zeros(g, signal, g.op("Neg", g.op("Mul", signal, g.op("Mul", y, z))))]
        total = g.op("Add", y, z)
        return [g.op("Div", signal, g.op("Where", g.op("Equal", total, 0.0), np.inf, total))]
    return [difference_quotient(g, baseline_node(g, node), node, signal)] + [None] * (len(node.inputs) - 1)


def _derivative_with_gap(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    g.approximate(node, GAP)
    return STANDARD[node.op_type](g, node, cotangents, needed)


def _linear_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The derivative, for ops that are linear in their operands on the path if the others do not change."""
    if any(
        value is not None and not wanted and baseline_value(g, value) is not value
        for value, wanted in zip(node.inputs, needed, strict=True)
    ):
        g.approximate(node, HELD)
    return STANDARD[node.op_type](g, node, cotangents, needed)


def _first_operand_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The rule of ops that are linear in their first operand only."""
    return (_derivative_with_gap if any(needed[1:]) else _linear_rule)(g, node, cotangents, needed)


def _product_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The rule of products of two operands: the derivative half-way between input and baseline."""
    if sum(needed[:2]) < 2 and sum(needed) <= 2:
        return _linear_rule(g, node, cotangents, needed)
    if node.op_type == "Einsum" and len(node.inputs) > 2:
        return _derivative_with_gap(g, node, cotangents, needed)
    if node.op_type == "Mul" and cotangents[0] is not None:
        whole, before = (gated_gradient(g, made, cotangents[0]) for made in (node, baseline_node(g, node)))
        if whole is not None and before is not None:
            ends = (baseline_value(g, node.outputs[0]), node.outputs[0])
            found = stable_quotient(g, "Swish", (before[0], whole[0]), ends, cotangents[0], whole[1], before[1])
            return [found, None] if whole[0] is node.inputs[0] else [None, found]
    if node.inputs[0] is not node.inputs[1]:
        g.approximate(node, PRODUCT)
    operands = [
        mean_with_baseline(g, value) if wanted else value for value, wanted in zip(node.inputs, needed, strict=True)
    ]
    parts = STANDARD[node.op_type](g, g.emit_again(node, *operands), cotangents, needed)
    if node.op_type != "Mul":
        return parts
    return [
        keep_zeros(g, cotangents[0], part) if part is not None and g.signs.may_be_infinite(other) else part
        for part, other in zip(parts, node.inputs[::-1], strict=True)
    ]


def _division_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    if not needed[1]:
        return _linear_rule(g, node, cotangents, needed)
    signal, (a, b) = cotangents[0], node.inputs
    if needed[0]:
        g.approximate(node, PRODUCT)
    r, q = g.op("Reciprocal", b), g.op("Reciprocal", baseline_value(g, b))
    first = g.op("Mul", signal, g.op("Mul", g.op("Add", r, q), 0.5)) if needed[0] else None
    second = g.op("Neg", g.op("Mul", g.op("Mul", signal, mean_with_baseline(g, a)), g.op("Mul", r, q)))
    if g.signs.always_positive(b):
        return [first, second]
    return [None if part is None else keep_zeros(g, signal, part) for part in (first, second)]


def _max_pool_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, y, signal = node.inputs[0], node.outputs[0], cotangents[0]
    assert x is not None
    if signal is None or any(cotangent is not None for cotangent in cotangents[1:]):
        raise g.refusal(node, "the target depends on its indices")
    before, flat = baseline_node(g, node), g.ints(-1)
    g.approximate(node, COMPLETE)
    for made in (node, before):
        if made.attributes.get_int("storage_order", 0):
            raise g.refusal(node, "it counts columns first")
    change = g.reshape(difference(g, y), flat)
    own = g.reshape(difference(g, x), flat)
    still = g.op("Cast", g.op("Equal", change, 0.0), to=g.gradient_dtype(x))
    indices, shares = [], []
    for made, part, same in ((node, g.op("Relu", change), still), (before, g.op("Min", change, 0.0), 0.0)):
        index = g.reshape(g.optional_output(made, 1, ir.DataType.INT64), flat)
        run = g.op("GatherElements", own, index, axis=0)
        share = g.op("Where", g.op("Equal", run, 0.0), same, g.op("Div", part, run))
        indices.append(index)
        shares.append(g.op("Mul", g.reshape(signal, flat), share))
    empty = g.reshape(g.zeros_like(x), flat)
    filled = g.op(
        "ScatterElements", empty, g.op("Concat", *indices, axis=0), g.op("Concat", *shares, axis=0), reduction="add"
    )
    return [g.reshape_like(filled, x)]


def _extreme_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The rule of Max and Min of several tensors; ties share."""
    if sum(needed) > 1:
        g.approximate(node, COMPLETE)
    return _winner_multipliers(
        g, node, node.inputs, node.outputs[0], baseline_value(g, node.outputs[0]), cotangents[0], None
    )


def _reduced_extreme_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    """The rule of maxima and minima along axes, which become axes of size 1."""
    x, signal = node.inputs[0], cotangents[0]
    assert x is not None
    rank = g.rank(x)
    if node.op_type == "GlobalMaxPool":
        axes = list(range(2, rank))
    else:
        given = g.constant_input(node, 1)
        if given is not None and given.size:
            axes = [int(axis) % rank for axis in given]
        elif node.attributes.get_int("noop_with_empty_axes", 0):
            return _linear_rule(g, node, cotangents, needed)
        else:
            axes = list(range(rank))
    g.approximate(node, COMPLETE)
    y, z = node.outputs[0], baseline_value(g, node.outputs[0])
    if node.op_type != "GlobalMaxPool" and not node.attributes.get_int("keepdims", 1):
        y, z, signal = (g.op("Unsqueeze", value, g.ints(*axes)) for value in (y, z, signal))
    found = _winner_multipliers(g, node, [x], y, z, signal, axes)
    return [*found, *[None] * (len(node.inputs) - 1)]


def _winner_multipliers(
    g: GradientBuilder,
    node: ir.Node,
    operands: Sequence[ir.Value | None],
    y: ir.Value,
    z: ir.Value,
    signal: Gradient,
    axes: Sequence[int] | None,
) -> list[Gradient]:
    kind = g.gradient_dtype(node.outputs[0])
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
    after, before = shared(given, y), shared([baseline_value(g, value) for value in given], z)
    found: list[Gradient] = []
    for value, now, then in zip(given, after, before, strict=True):
        run = difference(g, value)
        multiplier = g.op("Div", g.op("Add", g.op("Mul", now, rise), g.op("Mul", then, fall)), run)
        share = g.op("Where", g.op("Equal", run, 0.0), g.op("Mul", now, still), multiplier)
        found.append(g.op("Mul", signal, share))
    return found


def _softmax_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, y, signal = node.inputs[0], node.outputs[0], cotangents[0]
    assert x is not None
    op, rank = node.op_type, g.rank(x)
    if op == "ReduceLogSumExp":
        given = g.constant_input(node, 1)
        axes = list(range(rank)) if given is None else [int(axis) % rank for axis in given]
        if not node.attributes.get_int("keepdims", 1):
            signal = g.op("Unsqueeze", signal, g.ints(*axes))
    else:
        axes = [node.attributes.get_int("axis", -1) % rank]
    g.approximate(node, COMPLETE)
    over, b = g.ints(*axes), baseline_value(g, x)
    total, before = (g.op("ReduceLogSumExp", value, over, keepdims=1) for value in (x, b))
    # Not x - total if avoidable, in which the digits of large logits cancel.
    if op == "ReduceLogSumExp":
        logs = [g.op("Sub", x, total), g.op("Sub", b, before)]
    else:
        logs = [g.op("LogSoftmax", value, axis=axes[0]) for value in (x, b)]
    change = _run(g, total, before)
    # The logarithmic mean of exp(x) and exp(b) is exp(max(x, b)) times a number in [0, 1], and likewise that of the
    # sums. No part of their quotient overflows.
    lower = [g.op("Sub", own, g.op("Relu", gap)) for own, gap in zip(logs, (g.op("Neg", change), change), strict=True)]
    below = g.op("Div", _mean_below_peak(g, _run(g, x, b)), _mean_below_peak(g, change))
    share = g.op("Mul", g.op("Exp", g.op("Max", *lower)), below)
    if op == "ReduceLogSumExp":
        return [g.op("Mul", signal, share)] + [None] * (len(node.inputs) - 1)
    if op == "Softmax":
        signal = g.op("Mul", signal, _logarithmic_mean(g, y, baseline_value(g, y), _run(g, *logs)))
    return [g.op("Sub", signal, g.op("Mul", share, g.op("ReduceSum", signal, over, keepdims=1)))]


def _run(g: GradientBuilder, after: ir.Value, before: ir.Value) -> ir.Value:
    """The difference of two tensors; 0 where both are the same infinity, as in an attention mask."""
    return g.op("Where", g.op("Equal", after, before), 0.0, g.op("Sub", after, before))


def _mean_below_peak(g: GradientBuilder, run: ir.Value) -> ir.Value:
    """The logarithmic mean of two numbers over the greater one, from the difference of their logarithms."""
    size = g.op("Abs", run)
    smaller = g.op("Exp", g.op("Neg", size))
    one = g.constant(np.ones((), dtype=g.gradient_dtype(run).numpy()), g.gradient_dtype(run))
    return _logarithmic_mean(g, one, smaller, size)


def _logarithmic_mean(g: GradientBuilder, y: ir.Value, z: ir.Value, run: ir.Value) -> ir.Value:
    """``(y - z) / (log y - log z)`` for a known denominator ``run``; the mean of y and z if that is small."""
    steep, level = g.op("Div", g.op("Sub", y, z), run), g.op("Mul", g.op("Add", y, z), 0.5)
    return g.op("Where", g.op("Greater", g.op("Abs", run), _smallest_difference(g, y)), steep, level)


def _normalisation_rule(
    g: GradientBuilder, node: ir.Node, cotangents: Sequence[Gradient], needed: Sequence[bool]
) -> Sequence[Gradient]:
    x, signal = node.inputs[0], cotangents[0]
    if signal is None or any(needed[1:]) or any(c is not None for c in cotangents[1:]):
        return _derivative_with_gap(g, node, cotangents, needed)
    assert x is not None
    g.approximate(node, COMPLETE)
    u, axes, shape = scale_back(g, node, signal)
    values = [widen(g, value, x) for value in (x, baseline_value(g, x))]
    if shape is not None:
        values = [g.reshape(value, shape) for value in values]
    centre = node.op_type != "RMSNormalization"
    back = _through_normalisation(g, u, values, g.ints(*axes), node.attributes.get_float("epsilon", 1e-5), centre)
    back = narrow(g, back if shape is None else g.reshape_like(back, x), x)
    return [back] + [None] * (len(node.inputs) - 1)


def _through_normalisation(
    g: GradientBuilder, u: ir.Value, values: Sequence[ir.Value], over: ir.Value, epsilon: float, centre: bool
) -> ir.Value:
    def average(value: ir.Value) -> ir.Value:
        return g.op("ReduceMean", value, over, keepdims=1)

    (c, d) = (g.op("Sub", value, average(value)) if centre else value for value in values)
    r, q = (g.op("Reciprocal", g.op("Sqrt", g.op("Add", average(g.op("Mul", part, part)), epsilon))) for part in (c, d))
    total, both, product = g.op("Add", c, d), g.op("Add", r, q), g.op("Mul", r, q)
    # The factor 0.5 combines the halves of both means with the 2 of D(c^2) = (c + c_b) D c.
    factor = g.op("Div", g.op("Mul", g.op("Mul", product, product), 0.5), both)
    along = g.op("Mul", average(g.op("Mul", u, total)), factor)
    back = g.op("Sub", g.op("Mul", u, g.op("Mul", both, 0.5)), g.op("Mul", total, along))
    return g.op("Sub", back, average(back)) if centre else back


# Functions of one number.
ACTIVATIONS = ops_of_kind(Kind.ACTIVATION, Kind.FUNCTION)
_BY_KIND: dict[Kind, Rule] = {
    Kind.ACTIVATION: _rescale_rule,
    Kind.FUNCTION: _rescale_rule,
    Kind.WEIGHS: _product_rule,
    **dict.fromkeys((Kind.MOVES, Kind.ADDS, Kind.ROUNDS, Kind.READS_SHAPE), _linear_rule),
}
_OWN: dict[str, Rule] = {
    "Neg": _linear_rule,
    "Mul": _product_rule,
    "Div": _division_rule,
    "MaxPool": _max_pool_rule,
    **dict.fromkeys(("BatchNormalization", "GridSample"), _first_operand_rule),
    **dict.fromkeys(("Max", "Min"), _extreme_rule),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "GlobalMaxPool"), _reduced_extreme_rule),
    **dict.fromkeys(("Softmax", "LogSoftmax", "ReduceLogSumExp"), _softmax_rule),
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "InstanceNormalization", "GroupNormalization"), _normalisation_rule
    ),
}


def _rule_for(name: str) -> Rule:
    entry = find_op(name)
    return entry.deep_lift or _OWN.get(name) or _BY_KIND.get(entry.kind, _derivative_with_gap)


# Recurrent layers have no rule of their own, so that they are written out: see xaionnx.autodiff.steps.
RESCALE: dict[str, Rule] = {name: _rule_for(name) for name in STANDARD if name not in RECURRENT}
