"""Scales, zero points and constants of QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from xaionnx.typing import Array

# Of the integers that numpy holds.
_LEAST_BITS: Final = 8

Parameters: TypeAlias = tuple[object, ...]
"""What identifies the scale and the zero point of integers: bytes of constants, or the values that compute them."""


def constant(value: ir.Value | None) -> Array | None:
    """The numbers of a weight in the file, or of a Constant node; else None."""
    if value is None:
        return None
    tensor = value.const_value
    node = value.producer()
    if tensor is None and node is not None and node.op_type == "Constant" and "value" in node.attributes:
        tensor = node.attributes["value"].as_tensor()
    if tensor is None or isinstance(tensor, ir.ExternalTensor):
        return None
    array: Array = np.asarray(tensor.numpy())
    return array


def zero_point(node: ir.Node) -> tuple[Array | None, ir.DataType | None]:
    """The zero point of a quantiser, and the type of its integers."""
    given = node.inputs[2] if len(node.inputs) > 2 else None
    stated = node.attributes.get_int("output_dtype", 0)
    if given is None:
        return np.zeros(()), ir.DataType(stated) if stated else ir.DataType.UINT8
    array = constant(given)
    kind = given.dtype or (None if given.const_value is None else given.const_value.dtype)
    return array, kind


def straight_source(quantiser: ir.Node | None, node: ir.Node) -> ir.Value | None:
    """The floats that are rounded right before a node, if no rule could differentiate the two.

    That is so where the scale is computed, and where numpy does not hold the type between them.
    """
    if quantiser is None or quantiser.op_type != "QuantizeLinear":
        return None
    both = [[*one.inputs[1:3], None][:2] for one in (quantiser, node)]
    same = all(a is b or (a is not None and b is not None and equal(a, b)) for a, b in zip(*both, strict=True))
    ways = [(one.attributes.get_int("axis", 1), one.attributes.get_int("block_size", 0)) for one in (quantiser, node)]
    _, kind = zero_point(quantiser)
    held = kind is not None and kind.is_integer() and kind.bitwidth >= _LEAST_BITS
    if not same or ways[0] != ways[1] or (held and constant(quantiser.inputs[1]) is not None):
        return None
    return quantiser.inputs[0]


def parameters_of(node: ir.Node) -> Parameters:
    found: list[object] = []
    for value in (node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None):
        array = np.zeros(()) if value is None else constant(value)
        found.append(value if array is None else array.astype(np.float64).tobytes())
    return tuple(found)


def same(one: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether two zero points are the same."""
    if one is other:
        return True
    a, b = (np.zeros(()) if value is None else constant(value) for value in (one, other))
    return a is not None and b is not None and np.array_equal(a.reshape(-1), b.reshape(-1))


def equal(one: ir.Value, other: ir.Value) -> bool:
    a, b = constant(one), constant(other)
    return a is not None and b is not None and np.array_equal(a, b)


def is_quantised_constant(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "QuantizeLinear" and constant(node.inputs[0]) is not None


def quantised_constant(value: ir.Value | None) -> Array | None:
    """The integers of weights that the graph itself quantises; None if their type is not one of integers."""
    node = None if value is None else value.producer()
    assert node is not None
    numbers, scale = constant(node.inputs[0]), constant(node.inputs[1])
    zero, kind = zero_point(node)
    if numbers is None or scale is None or zero is None or kind is None or not kind.is_integer():
        return None
    wide = [_spread(part.astype(np.float32), numbers.shape, node) for part in (scale, zero)]
    steps = np.rint(numbers.astype(np.float32) / wide[0]) + wide[1]
    return np.asarray(np.clip(steps, float(kind.min), float(kind.max)))


def dequantised(node: ir.Node, numbers: Array | None) -> Array | None:
    scale = constant(node.inputs[1])
    zero = np.zeros(()) if len(node.inputs) < 3 or node.inputs[2] is None else constant(node.inputs[2])
    if numbers is None or scale is None or zero is None:
        return None
    wide = [_spread(part.astype(np.float32), numbers.shape, node) for part in (scale, zero)]
    floats = (numbers.astype(np.float32) - wide[1]) * wide[0]
    found: Array = floats.astype(scale.dtype)
    return found


def _spread(parameter: Array, shape: Sequence[int], node: ir.Node) -> Array:
    """A scale or zero point of a tensor, an axis or blocks, in a shape that broadcasts to the numbers."""
    if parameter.size == 1:
        return parameter.reshape(())
    axis = node.attributes.get_int("axis", 1) % len(shape)
    block = node.attributes.get_int("block_size", 0)
    if block:
        return np.repeat(parameter, block, axis=axis).take(np.arange(shape[axis]), axis=axis)
    return parameter.reshape([-1 if at == axis else 1 for at in range(len(shape))])
