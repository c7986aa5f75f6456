"""Write a quantised model as the float model that its integers stand for.

Rules look at layers and activations. In a quantised file integers lie between them, weights are computed from integers,
and an activation may be missing, since the range of the integers after it does the same. Here weights become floats,
pairs of QuantizeLinear and DequantizeLinear disappear, products of integers become products of floats, and
rectifiers come back. The numbers are those of the file without the rounding of activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.graph.integer_products import IntegerProducts
from xaionnx.graph.ir_editor import IrEditor
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.quantised import is_quantised
from xaionnx.graph.quantisers import (
    Parameters,
    constant,
    dequantised,
    is_quantised_constant,
    parameters_of,
    quantised_constant,
    straight_source,
    zero_point,
)
from xaionnx.graph.signs import Signs
from xaionnx.graph.view import DEFAULT_DOMAINS

# Layers whose outputs have both signs, so that a range from zero on rectifies them.
_SIGNED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "Sub", "BatchNormalization")
# Outputs of more than one number that is compared, or computed, from the operands; a pooling of integers is one of
# the floats, too.
_POOLS = ("MaxPool",)
# Between a layer and its quantiser: a convolution with channels last is written as one with channels first.
_ARRANGING = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
# Relu6 cuts at this number; a range that ends there, up to rounding, does so too.
_SIX = 6.0


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
    parameters: Parameters
    zero: float | None


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
        self._editor = IrEditor(graph)
        self._floats: dict[ir.Value, _Floats] = {}
        self._products = IntegerProducts(self._editor, self._floats_of)
        self._signs = Signs(constant)

    def _floats_of(self, value: ir.Value) -> ir.Value | None:
        held = self._floats.get(value)
        return None if held is None else held.value

    def run(self) -> None:
        """Rewrite all nodes, and remove nodes and weights that nothing reads any more."""
        steps: dict[str, Callable[[ir.Node], None]] = {
            "QuantizeLinear": self._quantise,
            "DynamicQuantizeLinear": self._quantise_dynamically,
            "DequantizeLinear": self._dequantise,
            "MatMulInteger": self._products.multiply,
            "ConvInteger": self._products.multiply,
            "Add": self._products.add,
            "Cast": self._products.cast,
            "Mul": self._products.scale,
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
        x, scale = node.inputs[0], constant(node.inputs[1])
        zero, kind = zero_point(node)
        if x is None or scale is None or zero is None or kind is None or scale.size != 1 or zero.size != 1:
            return
        if constant(x) is not None:
            return
        s, z = float(scale.reshape(())), float(zero.reshape(()))
        value = x
        maker = _computing(x)
        from_zero = kind.is_integer() and z == float(kind.min)
        if from_zero and maker is not None and maker.op_type in _SIGNED and not self._signs.never_negative(x):
            top = (float(kind.max) - z) * s
            value = self._rectified(node, x, _SIX if abs(top - _SIX) <= s else None)
        self._floats[node.outputs[0]] = _Floats(value, parameters_of(node), -z * s)

    def _rectified(self, node: ir.Node, x: ir.Value, top: float | None) -> ir.Value:
        if top is None:
            return self._editor.insert(node, "Relu", [x])
        ends = [self._editor.weight(np.asarray(end, dtype=_numpy_type(x))) for end in (0.0, top)]
        return self._editor.insert(node, "Clip", [x, *ends])

    def _quantise_dynamically(self, node: ir.Node) -> None:
        x = node.inputs[0]
        assert x is not None
        self._floats[node.outputs[0]] = _Floats(x, (node.outputs[1], node.outputs[2]), None)

    def _dequantise(self, node: ir.Node) -> None:
        x = node.inputs[0]
        numbers = constant(x)
        if numbers is not None or (x is not None and is_quantised_constant(x)):
            weights = dequantised(node, numbers if numbers is not None else quantised_constant(x))
            if weights is not None:
                self._editor.replace(node, node.outputs[0], self._editor.weight(weights))
            return
        held = None if x is None else self._floats.get(x)
        if held is not None and held.parameters == parameters_of(node):
            self._editor.replace(node, node.outputs[0], self._editor.insert(node, "Identity", [held.value]))
        elif x is not None and (source := straight_source(x.producer(), node)) is not None:
            self._editor.replace(node, node.outputs[0], self._editor.insert(node, "Identity", [source]))

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
        made = self._editor.copy(node, operands)
        for old, new in zip(node.outputs[: 1 if node.op_type in _POOLS else None], made.outputs, strict=False):
            self._floats[old] = _Floats(new, first.parameters, first.zero)

    def _fill_pad(self, operands: list[ir.Value | None], floats: _Floats) -> bool:
        """Replace the integer that a Pad fills in by a float; whether that is possible."""
        given = operands[2] if len(operands) > 2 else None
        filler = np.zeros(()) if given is None else constant(given)
        if filler is None or floats.zero is None:
            return False
        scale = np.frombuffer(floats.parameters[0], dtype=np.float64)[0]  # type: ignore[call-overload]  # of constants
        while len(operands) < 3:
            operands.append(None)
        number = floats.zero + float(filler.reshape(())) * scale
        operands[2] = self._editor.weight(np.asarray(number, dtype=_numpy_type(floats.value)))
        return True


def _computing(value: ir.Value | None) -> ir.Node | None:
    """The node that computes the numbers of a tensor, ahead of nodes that only arrange them."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in _ARRANGING and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node


def _numpy_type(value: ir.Value) -> np.dtype[np.generic]:
    return np.dtype((value.dtype or ir.DataType.FLOAT).numpy())
