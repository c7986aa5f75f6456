"""The signs of tensors, as far as the graph alone determines them.

A root, a logarithm or a power is infinitely steep at 0. If its operand can never be negative, as a sum of squares, 0 is
the operand's minimum, where its own slope is 0 if it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
import onnx_ir as ir

from xaionnx.graph.op import Kind, find_op
from xaionnx.typing import Array

# Nodes between a tensor and what determines its sign, at most; longer chains count as unknown.
_DEPTH = 48
# Larger constants are not searched for negative numbers.
_LARGEST = 1 << 22
# Infinite where their last operand is 0, or for large operands.
_INFINITE = ("Div", "Exp", "Log", "Pow", "Reciprocal")
_ABOVE_MINUS_ONE = ("Cos", "Erf", "Sin", "Softsign", "Tanh")
# Their outputs have the sign that all of their float operands have.
_ALIKE = ("Add", "Sum", "Mean", "Mul", "Concat", "Conv", "ConvTranspose", "MatMul", "Gemm")


@final
class Signs:
    """Tells which tensors of a graph cannot be negative, whatever the input.

    Parameters
    ----------
    constant_of : callable
        Returns the numbers of a tensor that does not depend on the input; None for others.

    Examples
    --------
    >>> x = ir.Value(name="x")
    >>> square = ir.Node("", "Mul", [x, x]).outputs[0]
    >>> signs = Signs(lambda value: None)
    >>> signs.never_negative(square), signs.never_negative(x), signs.always_positive(square)
    (True, False, False)
    """

    def __init__(self, constant_of: Callable[[ir.Value | None], Array | None]) -> None:
        self._constant_of = constant_of
        self._not_negative: dict[ir.Value, bool] = {}
        self._positive: dict[ir.Value, bool] = {}
        self._depth = 0

    def never_negative(self, value: ir.Value | None) -> bool:
        """Return whether no entry of a tensor can be negative."""
        return self._find(value, self._not_negative, lambda array: bool(np.all(array >= 0)), self._is_not_negative)

    def always_positive(self, value: ir.Value | None) -> bool:
        """Return whether every entry of a tensor is above 0."""
        return self._find(value, self._positive, lambda array: bool(np.all(array > 0)), self._is_positive)

    def may_be_infinite(self, value: ir.Value | None) -> bool:
        """Return whether a tensor is computed by an op that overflows, or is infinite at 0."""
        node = None if value is None else value.producer()
        while node is not None and find_op(node.op_type).carries:
            source = node.inputs[0]
            node = None if source is None else source.producer()
        if node is None or node.op_type not in _INFINITE:
            return False
        return node.op_type in ("Exp", "Pow") or not self.always_positive(node.inputs[-1])

    def _find(
        self,
        value: ir.Value | None,
        known: dict[ir.Value, bool],
        of_constant: Callable[[Array], bool],
        of_node: Callable[[ir.Node], bool],
    ) -> bool:
        if value is None:
            return False
        if value not in known:
            known[value] = False  # for chains that are too long
            constant, node = self._constant(value), value.producer()
            if constant is not None:
                known[value] = constant.dtype.kind in "fiub" and constant.size <= _LARGEST and of_constant(constant)
            elif node is not None and self._depth < _DEPTH:
                self._depth += 1
                known[value] = of_node(node)
                self._depth -= 1
        return known[value]

    def _constant(self, value: ir.Value) -> Array | None:
        # Weights in files of their own are not loaded; nothing is known of their signs.
        return None if isinstance(value.const_value, ir.ExternalTensor) else self._constant_of(value)

    def _is_not_negative(self, node: ir.Node) -> bool:
        entry, inputs = find_op(node.op_type), node.inputs
        if entry.not_negative or self._is_square(node):
            return True
        if node.op_type == "Clip":
            return len(inputs) > 1 and self.never_negative(inputs[1])
        if node.op_type == "Max":
            return any(self.never_negative(value) for value in inputs)
        if node.op_type in ("Add", "Sum") and sum(map(self._lowest, inputs)) >= 0:
            return True
        if node.op_type in (*_ALIKE, "Min", "Div"):
            factors = min(node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))  # of Gemm
            return factors >= 0 and all(self.never_negative(value) for value in inputs if value is not None)
        if node.op_type == "Where":
            return all(self.never_negative(value) for value in inputs[1:3])
        filled = node.op_type == "Pad" and len(inputs) > 2 and inputs[2] is not None
        moves = entry.kind is Kind.MOVES and not (filled and not self.never_negative(inputs[2]))
        return (moves or entry.keeps_sign or node.op_type == "Pow") and self.never_negative(inputs[0])

    def _lowest(self, value: ir.Value | None) -> float:
        """A bound of a tensor from below, such as -1 for a Tanh; minus infinity if none is known."""
        constant = None if value is None else self._constant(value)
        if constant is not None and constant.dtype.kind == "f" and 0 < constant.size <= _LARGEST:
            return float(constant.min())
        if self.never_negative(value):
            return 0.0
        node = None if value is None else value.producer()
        while node is not None and find_op(node.op_type).carries and node.inputs[0] is not None:
            node = node.inputs[0].producer()
        return -1.0 if node is not None and node.op_type in _ABOVE_MINUS_ONE else -np.inf

    def _is_positive(self, node: ir.Node) -> bool:
        inputs = [value for value in node.inputs if value is not None]
        if node.op_type in ("Add", "Sum"):
            return any(map(self.always_positive, inputs)) and all(map(self.never_negative, inputs))
        if node.op_type == "Clip":
            return len(node.inputs) > 1 and self.always_positive(node.inputs[1])
        if node.op_type == "Max":
            return any(map(self.always_positive, inputs))
        if node.op_type == "Cosh":
            return True
        # Not Exp, products or quotients, which may be rounded to 0.
        moves = find_op(node.op_type).carries and node.op_type != "Cast"
        return (moves or node.op_type in ("Sqrt", "Expand", "Gather", "ReduceSum")) and self.always_positive(inputs[0])

    def _is_square(self, node: ir.Node) -> bool:
        """Whether a node multiplies a tensor by itself, or raises it to an even power."""
        if node.op_type == "Mul":
            return node.inputs[0] is node.inputs[1]
        if node.op_type != "Pow":
            return False
        exponent = None if node.inputs[1] is None else self._constant(node.inputs[1])
        return exponent is not None and bool(np.all(np.mod(exponent, 2) == 0))
