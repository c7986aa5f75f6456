"""Products of integers, and what is added to and multiplied with them, as products of floats.

A quantised layer is MatMulInteger or ConvInteger, perhaps an integer bias, a Cast to floats, and a Mul with the scales
of both operands. The Mul becomes the layer of floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, final

import numpy as np
import onnx_ir as ir

from xaionnx.graph.ir_editor import IrEditor
from xaionnx.graph.quantisers import constant, equal, same

if TYPE_CHECKING:
    from xaionnx.typing import Array


FloatsOf: TypeAlias = Callable[[ir.Value], ir.Value | None]
"""Returns the floats that an integer tensor stands for, if they are known."""


@final
@dataclass(frozen=True)
class _Product:
    """A product of integers, as the product of the floats without the factors of their scales.

    Attributes
    ----------
    node : onnx_ir.Node
        MatMulInteger or ConvInteger.
    left : onnx_ir.Value
    right : onnx_ir.Value or array
        Floats, or constant integers minus their zero point.
    scales : tuple of onnx_ir.Value
        Of the floats among the two.
    bias : array, optional
        Floats that were rounded to integers and added to the product.
    divisor : onnx_ir.Value, optional
        The scale of these integers.
    """

    node: ir.Node
    left: ir.Value
    right: ir.Value | Array
    scales: tuple[ir.Value, ...]
    bias: Array | None = None
    divisor: ir.Value | None = None


@final
class IntegerProducts:
    """Follows products of integers to the Mul with their scales, and replaces it by a product of floats.

    Parameters
    ----------
    editor : IrEditor
    floats_of : callable
    """

    def __init__(self, editor: IrEditor, floats_of: FloatsOf) -> None:
        self._editor, self._floats_of = editor, floats_of
        self._products: dict[ir.Value, _Product] = {}

    def multiply(self, node: ir.Node) -> None:
        left, right = node.inputs[0], node.inputs[1]
        zeros = [node.inputs[index] if len(node.inputs) > index else None for index in (2, 3)]
        one = self._operand(left, zeros[0])
        if one is None or right is None:
            return
        numbers = constant(right)
        if numbers is not None:
            zero = np.zeros(()) if zeros[1] is None else constant(zeros[1])
            if zero is None:
                return
            integers = numbers.astype(np.float32) - _along(zero.astype(np.float32), node, numbers.ndim)
            self._products[node.outputs[0]] = _Product(node, one[0], integers, one[1])
            return
        other = self._operand(right, zeros[1])
        if other is not None:
            self._products[node.outputs[0]] = _Product(node, one[0], other[0], one[1] + other[1])

    def _operand(self, value: ir.Value | None, zero: ir.Value | None) -> tuple[ir.Value, tuple[ir.Value, ...]] | None:
        """The floats of an operand of a product, and the value of their scale; None if the zero points differ."""
        floats = None if value is None else self._floats_of(value)
        if floats is None or value is None:
            return None
        node = value.producer()
        while node is not None and node.op_type not in ("QuantizeLinear", "DynamicQuantizeLinear"):
            source = node.inputs[0]
            node = None if source is None else source.producer()
        if node is None:
            return None
        dynamic = node.op_type == "DynamicQuantizeLinear"
        scale = node.outputs[1] if dynamic else node.inputs[1]
        own = node.outputs[2] if dynamic else node.inputs[2] if len(node.inputs) > 2 else None
        return None if scale is None or not same(zero, own) else (floats, (scale,))

    def add(self, node: ir.Node) -> None:
        """A bias, rounded to the integers of a product by the scales of both operands, is added to the product."""
        for product, addend in ((0, 1), (1, 0)):
            source, value = node.inputs[product], node.inputs[addend]
            found = None if source is None else self._products.get(source)
            bias = None if value is None else _rounded_bias(value)
            if found is not None and found.bias is None and bias is not None:
                self._products[node.outputs[0]] = replace(found, bias=bias[0], divisor=bias[1])

    def cast(self, node: ir.Node) -> None:
        source = node.inputs[0]
        kind = ir.DataType(node.attributes.get_int("to", 1))
        if source is not None and source in self._products and kind.is_floating_point():
            self._products[node.outputs[0]] = self._products[source]

    def scale(self, node: ir.Node) -> None:
        """Write a product of integers times the scales of its operands as a product of floats."""
        for product, factor in ((0, 1), (1, 0)):
            source, scale = node.inputs[product], node.inputs[factor]
            found = None if source is None else self._products.get(source)
            rest = None if found is None or scale is None else _rest(_factors(scale), found.scales)
            if found is not None and found.divisor is not None and scale is not None:
                # A bias in other integers than those of the product stays.
                divided = _rest(_factors(found.divisor), found.scales)
                rest = rest if rest is not None and divided is not None and np.array_equal(rest, divided) else None
            if found is not None and rest is not None:
                self._write_product(node, found, rest)
                return

    def _write_product(self, node: ir.Node, product: _Product, factor: Array) -> None:
        op = "MatMul" if product.node.op_type == "MatMulInteger" else "Conv"
        right, after = product.right, factor
        if not isinstance(right, ir.Value):
            per_output = _per_output(factor, right, op)
            if per_output is not None:
                right, after = right * per_output, np.ones((), np.float32)
            right = self._editor.weight(right.astype(np.float32))
        made = self._editor.insert(
            node, op, [product.left, right], product.node.attributes.values() if op == "Conv" else ()
        )
        if not np.all(after == 1):
            made = self._editor.insert(node, "Mul", [made, self._editor.weight(after)])
        if product.bias is not None:
            made = self._editor.insert(node, "Add", [made, self._editor.weight(product.bias)])
        self._editor.replace(node, node.outputs[0], made)


def _rounded_bias(value: ir.Value) -> tuple[Array, ir.Value] | None:
    """The floats that integers are rounded from, in their shape, and the scale that they are divided by first."""
    shape: list[int] | None = None
    node = value.producer()
    while node is not None and node.op_type in ("Reshape", "Cast", "Floor", "Round"):
        if node.op_type == "Reshape":
            sizes = constant(node.inputs[1])
            if sizes is None or shape is not None:
                return None
            shape = sizes.tolist()
        source = node.inputs[0]
        node = None if source is None else source.producer()
    if node is None or node.op_type != "Div" or node.inputs[1] is None:
        return None
    numbers = constant(node.inputs[0])
    if numbers is None:
        return None
    return numbers if shape is None else numbers.reshape(shape), node.inputs[1]


def _factors(value: ir.Value) -> list[ir.Value]:
    """The factors of a product of scales."""
    node = value.producer()
    if constant(value) is None and node is not None and node.op_type == "Mul":
        return [factor for operand in node.inputs if operand is not None for factor in _factors(operand)]
    return [value]


def _rest(factors: Sequence[ir.Value], scales: Sequence[ir.Value]) -> Array | None:
    """The product of the constant factors after the scales were taken out; None if they are not all among them."""
    left = list(factors)
    for scale in scales:
        match = next((factor for factor in left if factor is scale or equal(factor, scale)), None)
        if match is None:
            return None
        left.remove(match)
    arrays = [constant(factor) for factor in left]
    if any(array is None for array in arrays):
        return None
    found = np.ones((), dtype=np.float32)
    for array in arrays:
        assert array is not None
        found = found * array.astype(np.float32)
    return found


def _along(numbers: Array, node: ir.Node, rank: int) -> Array:
    """Numbers of the right operand, one for each output, in a shape that broadcasts to it."""
    if numbers.size == 1:
        return numbers.reshape(())
    return numbers.reshape(-1, *[1] * (rank - 1)) if node.op_type == "ConvInteger" else numbers


def _per_output(factor: Array, weights: Array, op: str) -> Array | None:
    """The factors of the outputs as factors of the weights; None if that is not what they are."""
    if factor.size == 1:
        return factor.reshape(())
    if op == "MatMul":
        return factor.reshape(-1) if factor.shape[-1] == factor.size == weights.shape[-1] else None
    channels = (factor.ndim == weights.ndim and factor.shape[1] == factor.size) or (
        factor.ndim == weights.ndim - 1 and factor.shape[0] == factor.size
    )
    return factor.reshape(-1, *[1] * (weights.ndim - 1)) if channels and factor.size == len(weights) else None
