"""Write a quantised model as the float model that its integers stand for.

Rules look at layers and activations. In a quantised file integers lie between them, weights are computed from integers,
and an activation may be missing, since the range of the integers after it does the same. Here weights become floats,
pairs of QuantizeLinear and DequantizeLinear disappear, products of integers become products of floats, and
rectifiers come back. The numbers are those of the file without the rounding of activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, final

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.quantised import is_quantised
from xaionnx.graph.signs import Signs
from xaionnx.graph.view import DEFAULT_DOMAINS

if TYPE_CHECKING:
    from xaionnx.typing import Array

# Layers whose outputs have both signs, so that a range from zero on rectifies them.
_SIGNED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "Sub", "BatchNormalization")
# Outputs of more than one number that is compared, or computed, from the operands; a pooling of integers is one of
# the floats, too.
_POOLS = ("MaxPool",)
# Between a layer and its quantiser: a convolution with channels last is written as one with channels first.
_ARRANGING = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
# Relu6 cuts at this number; a range that ends there, up to rounding, does so too.
_SIX = 6.0

# Of the integers that numpy holds.
_LEAST_BITS = 8

# What identifies the scale and the zero point of integers: bytes of constants, or the values that compute them.
_Parameters: TypeAlias = tuple[object, ...]


@final
@dataclass(frozen=True)
class _Floats:
    """The floats that an integer tensor stands for.

    Attributes
    ----------
    value : onnx_ir.Value
    parameters : tuple
        Of the integers.
    zero : float
        What an integer of 0 stands for, if the parameters are constants.
    """

    value: ir.Value
    parameters: _Parameters
    zero: float | None


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


def dequantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model of floats in place of a quantised one.

    Parameters
    ----------
    model : onnx.ModelProto
        Of opset 20 or newer, with sorted nodes. Not changed, and returned if it is not quantised.

    Notes
    -----
    What cannot be written as floats stays: scales of activations per axis or per block, unless of 4 bits or floats of
    8 bits, and weights in external files.

    A number outside of the calibrated range is not cut to it, with two exceptions. A range that starts at zero after a
    layer is that of a Relu, and one that also ends at 6 that of a Relu6, which quantisation tools leave out as the
    range does the same.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 20]>
    ... g (float[N, 2] x) => (float[N, 2] y)
    ... <float s = {0.5}, int8 z = {0}, int8[2, 2] k = {1, 2, 3, 4}> {
    ...   q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  w = DequantizeLinear(k, s, z)  y = MatMul(d, w)
    ... }''')
    >>> [node.op_type for node in dequantise(model).graph.node]
    ['Identity', 'MatMul']
    """
    if not is_quantised(model):
        return model
    rewritten = ir.from_proto(model)
    _Rewriter(rewritten.graph).run()
    return ir.to_proto(rewritten)


@final
class _Rewriter:
    """Rewrites the nodes of a graph, one after the other."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._floats: dict[ir.Value, _Floats] = {}
        self._products: dict[ir.Value, _Product] = {}
        self._signs = Signs(_constant)
        self._names = {str(value.name) for node in graph for value in node.outputs}
        self._names |= {str(value.name) for value in graph.inputs} | set(graph.initializers)

    def run(self) -> None:
        """Rewrite all nodes, and remove nodes and weights that nothing reads any more."""
        steps: dict[str, Callable[[ir.Node], None]] = {
            "QuantizeLinear": self._quantise,
            "DynamicQuantizeLinear": self._quantise_dynamically,
            "DequantizeLinear": self._dequantise,
            "MatMulInteger": self._multiply,
            "ConvInteger": self._multiply,
            "Add": self._add,
            "Cast": self._cast,
            "Mul": self._scale,
        }
        before = list(self._graph)
        for node in before:
            if node.domain not in DEFAULT_DOMAINS:
                continue
            if node.op_type in steps:
                steps[node.op_type](node)
            elif find_op(node.op_type).kind is Kind.MOVES or node.op_type in _POOLS:
                self._move(node)
        for node in reversed(before):
            if not any(value.uses() or value.is_graph_output() for value in node.outputs):
                self._graph.remove(node, safe=True)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del self._graph.initializers[name]

    def _quantise(self, node: ir.Node) -> None:
        x, scale = node.inputs[0], _constant(node.inputs[1])
        zero, kind = _zero_point(node)
        if x is None or scale is None or zero is None or kind is None or scale.size != 1 or zero.size != 1:
            return
        constant = _constant(x)
        if constant is not None:
            return
        s, z = float(scale.reshape(())), float(zero.reshape(()))
        value = x
        maker = _computing(x)
        from_zero = kind.is_integer() and z == float(kind.min)
        if from_zero and maker is not None and maker.op_type in _SIGNED and not self._signs.never_negative(x):
            top = (float(kind.max) - z) * s
            value = self._rectified(node, x, _SIX if abs(top - _SIX) <= s else None)
        self._floats[node.outputs[0]] = _Floats(value, _parameters_of(node), -z * s)

    def _rectified(self, node: ir.Node, x: ir.Value, top: float | None) -> ir.Value:
        if top is None:
            return self._insert(node, "Relu", [x])
        ends = [self._weight(np.asarray(end, dtype=_numpy_type(x))) for end in (0.0, top)]
        return self._insert(node, "Clip", [x, *ends])

    def _quantise_dynamically(self, node: ir.Node) -> None:
        x = node.inputs[0]
        assert x is not None
        self._floats[node.outputs[0]] = _Floats(x, (node.outputs[1], node.outputs[2]), None)

    def _dequantise(self, node: ir.Node) -> None:
        x = node.inputs[0]
        numbers = _constant(x)
        if numbers is not None or (x is not None and _is_quantised_constant(x)):
            weights = _dequantised(node, numbers if numbers is not None else _quantised_constant(x))
            if weights is not None:
                self._replace(node, node.outputs[0], self._weight(weights))
            return
        held = None if x is None else self._floats.get(x)
        if held is not None and held.parameters == _parameters_of(node):
            self._replace(node, node.outputs[0], self._insert(node, "Identity", [held.value]))
        elif x is not None and (source := _straight_source(x.producer(), node)) is not None:
            self._replace(node, node.outputs[0], self._insert(node, "Identity", [source]))

    def _move(self, node: ir.Node) -> None:
        """Write a node that moves integers, or chooses the largest, once more for the floats."""
        moved = [0] if node.op_type not in ("Concat", "Where") else list(range(len(node.inputs)))
        if node.op_type == "Where":
            moved = [1, 2]
        held = [self._floats.get(value) if (value := node.inputs[index]) is not None else None for index in moved]
        if None in held or len({floats.parameters for floats in held if floats}) != 1:
            return
        first = held[0]
        assert first is not None
        operands = list(node.inputs)
        for index, floats in zip(moved, held, strict=True):
            operands[index] = floats.value if floats else None
        if node.op_type == "Pad" and not self._fill_pad(operands, first):
            return
        made = self._copy(node, operands)
        for old, new in zip(node.outputs[: 1 if node.op_type in _POOLS else None], made.outputs, strict=False):
            self._floats[old] = _Floats(new, first.parameters, first.zero)

    def _fill_pad(self, operands: list[ir.Value | None], floats: _Floats) -> bool:
        """Replace the integer that a Pad fills in by a float; whether that is possible."""
        given = operands[2] if len(operands) > 2 else None
        filler = np.zeros(()) if given is None else _constant(given)
        if filler is None or floats.zero is None:
            return False
        scale = np.frombuffer(floats.parameters[0], dtype=np.float64)[0]  # type: ignore[call-overload]  # of constants
        while len(operands) < 3:
            operands.append(None)
        number = floats.zero + float(filler.reshape(())) * scale
        operands[2] = self._weight(np.asarray(number, dtype=_numpy_type(floats.value)))
        return True

    def _multiply(self, node: ir.Node) -> None:
        left, right = node.inputs[0], node.inputs[1]
        zeros = [node.inputs[index] if len(node.inputs) > index else None for index in (2, 3)]
        one = self._operand(left, zeros[0])
        if one is None or right is None:
            return
        numbers = _constant(right)
        if numbers is not None:
            zero = np.zeros(()) if zeros[1] is None else _constant(zeros[1])
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
        held = None if value is None else self._floats.get(value)
        if held is None or value is None:
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
        return None if scale is None or not _same(zero, own) else (held.value, (scale,))

    def _add(self, node: ir.Node) -> None:
        """A bias, rounded to the integers of a product by the scales of both operands, is added to the product."""
        for product, addend in ((0, 1), (1, 0)):
            source, value = node.inputs[product], node.inputs[addend]
            found = None if source is None else self._products.get(source)
            bias = None if value is None else _rounded_bias(value)
            if found is not None and found.bias is None and bias is not None:
                self._products[node.outputs[0]] = replace(found, bias=bias[0], divisor=bias[1])

    def _cast(self, node: ir.Node) -> None:
        source = node.inputs[0]
        kind = ir.DataType(node.attributes.get_int("to", 1))
        if source is not None and source in self._products and kind.is_floating_point():
            self._products[node.outputs[0]] = self._products[source]

    def _scale(self, node: ir.Node) -> None:
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
            right = self._weight(right.astype(np.float32))
        made = self._insert(node, op, [product.left, right], product.node.attributes.values() if op == "Conv" else ())
        if not np.all(after == 1):
            made = self._insert(node, "Mul", [made, self._weight(after)])
        if product.bias is not None:
            made = self._insert(node, "Add", [made, self._weight(product.bias)])
        self._replace(node, node.outputs[0], made)

    def _insert(
        self, before: ir.Node, op: str, inputs: Sequence[ir.Value | None], attributes: Iterable[ir.Attr] = ()
    ) -> ir.Value:
        """Insert a node ahead of another, and return its output."""
        node = ir.Node("", op, inputs, list(attributes))
        value = node.outputs[0]
        value.name = node.name = self._fresh(f"{before.outputs[0].name}/{op}")
        value.type = inputs[0].type if inputs[0] is not None else None
        self._graph.insert_before(before, node)
        return value

    def _copy(self, node: ir.Node, operands: Sequence[ir.Value | None]) -> ir.Node:
        made = ir.Node("", node.op_type, operands, list(node.attributes.values()), num_outputs=len(node.outputs))
        made.name = self._fresh(f"{node.outputs[0].name}/floats")
        for new, old in zip(made.outputs, node.outputs, strict=True):
            new.name = self._fresh(f"{old.name}/floats")
            new.type = operands[0].type if operands[0] is not None else None
        self._graph.insert_before(node, made)
        return made

    def _replace(self, node: ir.Node, old: ir.Value, new: ir.Value) -> None:
        """Give a new tensor the name of an old one, and its readers."""
        if new.is_initializer() and old.is_graph_output():
            new = self._insert(node, "Identity", [new])
        name = str(old.name)
        if old.is_graph_output():
            new.shape, new.type = new.shape or old.shape, new.type or old.type
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = self._fresh(f"{name}/replaced")
        if not new.is_initializer():
            new.name = name

    def _weight(self, array: Array) -> ir.Value:
        name = self._fresh("dequantised")
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(value)
        return value

    def _fresh(self, stem: str) -> str:
        name, turn = stem, 1
        while name in self._names:
            turn += 1
            name = f"{stem}_{turn}"
        self._names.add(name)
        return name


def _constant(value: ir.Value | None) -> Array | None:
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


def _computing(value: ir.Value | None) -> ir.Node | None:
    """The node that computes the numbers of a tensor, ahead of nodes that only arrange them."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in _ARRANGING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node


def _zero_point(node: ir.Node) -> tuple[Array | None, ir.DataType | None]:
    """The zero point of a quantiser, and the type of its integers."""
    given = node.inputs[2] if len(node.inputs) > 2 else None
    stated = node.attributes.get_int("output_dtype", 0)
    if given is None:
        return np.zeros(()), ir.DataType(stated) if stated else ir.DataType.UINT8
    array = _constant(given)
    kind = given.dtype or (None if given.const_value is None else given.const_value.dtype)
    return array, kind


def _straight_source(quantiser: ir.Node | None, node: ir.Node) -> ir.Value | None:
    """The floats that are rounded right before a node, if no rule could differentiate the two.

    That is so where the scale is computed, and where numpy does not hold the type between them.
    """
    if quantiser is None or quantiser.op_type != "QuantizeLinear":
        return None
    both = [[*one.inputs[1:3], None][:2] for one in (quantiser, node)]
    same = all(a is b or (a is not None and b is not None and _equal(a, b)) for a, b in zip(*both, strict=True))
    ways = [(one.attributes.get_int("axis", 1), one.attributes.get_int("block_size", 0)) for one in (quantiser, node)]
    _, kind = _zero_point(quantiser)
    held = kind is not None and kind.is_integer() and kind.bitwidth >= _LEAST_BITS
    if not same or ways[0] != ways[1] or (held and _constant(quantiser.inputs[1]) is not None):
        return None
    return quantiser.inputs[0]


def _parameters_of(node: ir.Node) -> _Parameters:
    found: list[object] = []
    for value in (node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None):
        array = np.zeros(()) if value is None else _constant(value)
        found.append(value if array is None else array.astype(np.float64).tobytes())
    return tuple(found)


def _same(one: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether two zero points are the same."""
    if one is other:
        return True
    a, b = (np.zeros(()) if value is None else _constant(value) for value in (one, other))
    return a is not None and b is not None and np.array_equal(a.reshape(-1), b.reshape(-1))


def _rounded_bias(value: ir.Value) -> tuple[Array, ir.Value] | None:
    """The floats that integers are rounded from, in their shape, and the scale that they are divided by first."""
    shape: list[int] | None = None
    node = value.producer()
    while node is not None and node.op_type in ("Reshape", "Cast", "Floor", "Round"):
        if node.op_type == "Reshape":
            sizes = _constant(node.inputs[1])
            if sizes is None or shape is not None:
                return None
            shape = sizes.tolist()
        source = node.inputs[0]
        node = None if source is None else source.producer()
    if node is None or node.op_type != "Div" or node.inputs[1] is None:
        return None
    numbers = _constant(node.inputs[0])
    if numbers is None:
        return None
    return numbers if shape is None else numbers.reshape(shape), node.inputs[1]


def _factors(value: ir.Value) -> list[ir.Value]:
    """The factors of a product of scales."""
    node = value.producer()
    if _constant(value) is None and node is not None and node.op_type == "Mul":
        return [factor for operand in node.inputs if operand is not None for factor in _factors(operand)]
    return [value]


def _rest(factors: Sequence[ir.Value], scales: Sequence[ir.Value]) -> Array | None:
    """The product of the constant factors after the scales were taken out; None if they are not all among them."""
    left = list(factors)
    for scale in scales:
        match = next((factor for factor in left if factor is scale or _equal(factor, scale)), None)
        if match is None:
            return None
        left.remove(match)
    arrays = [_constant(factor) for factor in left]
    if any(array is None for array in arrays):
        return None
    found = np.ones((), dtype=np.float32)
    for array in arrays:
        assert array is not None
        found = found * array.astype(np.float32)
    return found


def _equal(one: ir.Value, other: ir.Value) -> bool:
    a, b = _constant(one), _constant(other)
    return a is not None and b is not None and np.array_equal(a, b)


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


def _is_quantised_constant(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "QuantizeLinear" and _constant(node.inputs[0]) is not None


def _quantised_constant(value: ir.Value | None) -> Array | None:
    """The integers of weights that the graph itself quantises; None if their type is not one of integers."""
    node = None if value is None else value.producer()
    assert node is not None
    numbers, scale = _constant(node.inputs[0]), _constant(node.inputs[1])
    zero, kind = _zero_point(node)
    if numbers is None or scale is None or zero is None or kind is None or not kind.is_integer():
        return None
    wide = [_spread(part.astype(np.float32), numbers.shape, node) for part in (scale, zero)]
    steps = np.rint(numbers.astype(np.float32) / wide[0]) + wide[1]
    return np.asarray(np.clip(steps, float(kind.min), float(kind.max)))


def _dequantised(node: ir.Node, numbers: Array | None) -> Array | None:
    scale = _constant(node.inputs[1])
    zero = np.zeros(()) if len(node.inputs) < 3 or node.inputs[2] is None else _constant(node.inputs[2])
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


def _numpy_type(value: ir.Value) -> np.dtype[np.generic]:
    return np.dtype((value.dtype or ir.DataType.FLOAT).numpy())
