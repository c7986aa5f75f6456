"""The signs of tensors, as far as the graph alone determines them.

A root, a logarithm or a power is infinitely steep at 0. If its operand can never be negative, as a sum of squares, 0 is
the operand's minimum, where its own slope is 0 if it has one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.graph.op import Kind, find_op
from xaionnx.typing import Array

# Nodes between a tensor and what determines its sign, at most; longer chains count as unknown.
_DEPTH = 48
# Larger constants are not searched for negative numbers.
_LARGEST = 1 << 22
# Infinite where their last operand is 0, or for large operands.
_INFINITE = ("Div", "Exp", "Log", "Pow", "Reciprocal")
# Their outputs have the sign that all of their float operands have.
_ALIKE = ("Add", "Sum", "Mean", "Mul", "Concat", "Conv", "ConvTranspose", "MatMul", "Gemm")


def never_negative(g: GradientBuilder, value: ir.Value | None) -> bool:
    """Return whether no entry of a forward tensor can be negative, whatever the input."""
    return _known(g, value, "never negative", lambda array: bool(np.all(array >= 0)), _never_negative)


def always_positive(g: GradientBuilder, value: ir.Value | None) -> bool:
    """Return whether every entry of a forward tensor is above 0, whatever the input."""
    return _known(g, value, "always positive", lambda array: bool(np.all(array > 0)), _always_positive)


def may_be_infinite(g: GradientBuilder, value: ir.Value | None) -> bool:
    """Return whether a forward tensor is computed by an op that overflows, or is infinite at 0."""
    node = None if value is None else value.producer()
    while node is not None and find_op(node.op_type).carries:
        source = node.inputs[0]
        node = None if source is None else source.producer()
    if node is None or node.op_type not in _INFINITE:
        return False
    return node.op_type in ("Exp", "Pow") or not always_positive(g, node.inputs[-1])


_Check = Callable[[GradientBuilder, ir.Node], bool]


def _known(
    g: GradientBuilder,
    value: ir.Value | None,
    key: str,
    of_constant: Callable[[Array], bool],
    of_node: _Check,
) -> bool:
    if value is None:
        return False
    known: dict[ir.Value, bool] = g.notes.setdefault(key, {})
    if value not in known:
        known[value] = False  # for chains that are too long
        # Weights in files of their own are not loaded; nothing is known of their signs.
        stored = isinstance(value.const_value, ir.ExternalTensor)
        constant, node = None if stored else g.constant_of(value), value.producer()
        if constant is not None:
            known[value] = constant.dtype.kind in "fiub" and constant.size <= _LARGEST and of_constant(constant)
        elif node is not None and g.notes.setdefault("depth of signs", 0) < _DEPTH:
            g.notes["depth of signs"] += 1
            known[value] = of_node(g, node)
            g.notes["depth of signs"] -= 1
    return known[value]


def _never_negative(g: GradientBuilder, node: ir.Node) -> bool:
    entry, inputs = find_op(node.op_type), node.inputs
    if entry.not_negative or _is_square(g, node):
        return True
    if node.op_type == "Clip":
        return len(inputs) > 1 and never_negative(g, inputs[1])
    if node.op_type == "Max":
        return any(never_negative(g, value) for value in inputs)
    if node.op_type in (*_ALIKE, "Min", "Div"):
        factors = min(node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))  # of Gemm
        return factors >= 0 and all(never_negative(g, value) for value in inputs if value is not None)
    if node.op_type == "Where":
        return all(never_negative(g, value) for value in inputs[1:3])
    filled = node.op_type == "Pad" and len(inputs) > 2 and inputs[2] is not None
    moves = entry.kind is Kind.MOVES and not (filled and not never_negative(g, inputs[2]))
    return (moves or entry.keeps_sign or node.op_type == "Pow") and never_negative(g, inputs[0])


def _always_positive(g: GradientBuilder, node: ir.Node) -> bool:
    inputs = [value for value in node.inputs if value is not None]
    if node.op_type in ("Add", "Sum"):
        return any(always_positive(g, v) for v in inputs) and all(never_negative(g, v) for v in inputs)
    if node.op_type == "Clip":
        return len(node.inputs) > 1 and always_positive(g, node.inputs[1])
    if node.op_type == "Max":
        return any(always_positive(g, value) for value in inputs)
    if node.op_type == "Cosh":
        return True
    # Not Exp, products or quotients, which may be rounded to 0.
    moves = find_op(node.op_type).carries and node.op_type != "Cast"
    return (moves or node.op_type in ("Sqrt", "Expand", "Gather", "ReduceSum")) and always_positive(g, inputs[0])


def _is_square(g: GradientBuilder, node: ir.Node) -> bool:
    """Whether a node multiplies a tensor by itself, or raises it to an even power."""
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    if node.op_type != "Pow":
        return False
    exponent = g.constant_of(node.inputs[1])
    return exponent is not None and bool(np.all(np.mod(exponent, 2) == 0))
