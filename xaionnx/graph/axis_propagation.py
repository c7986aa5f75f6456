"""Axis propagation: the axes of each tensor that hold the input's positions, merged, split or with other tokens."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final
from weakref import WeakKeyDictionary

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.graph.axis_factors import Layout, with_size
from xaionnx.graph.node_outputs import node_outputs
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.roles import SeenRoles, start_layout
from xaionnx.graph.view import Attributes, GraphView
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Shapes

# Models compute the sizes for Reshape by ops of these kinds, and by some others.
_COUNTING_KINDS = (Kind.MOVES, Kind.ADDS, Kind.SCALES)
_COUNTING = frozenset({"Mod", "ConstantOfShape", "Equal", "Max", "Min"})
_FEW = 64
_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)

_Constants: TypeAlias = dict[str, onnx.TensorProto]
# The constants of a graph by the identity of its known shapes, which are kept so that it stays theirs.
_counted: WeakKeyDictionary[GraphView, dict[int, tuple[Shapes, _Constants]]] = WeakKeyDictionary()


@final
@dataclass(frozen=True)
class AxisStep:
    """One output of a node, whose layout the axis rule of the op returns.

    Attributes
    ----------
    node : onnx.NodeProto
    attributes : mapping
        Including the defaults of the op.
    name : str
        Name of the output.
    index : int
        Number of the output.
    walk : PropagatedAxes
        The layouts so far.
    """

    node: onnx.NodeProto
    attributes: Attributes
    name: str
    index: int
    walk: PropagatedAxes

    __repr__ = short_repr

    @property
    def read(self) -> list[Layout]:
        """The layouts of the operands that have one."""
        return [self.walk.layouts[name] for name in self.node.input if name in self.walk.layouts]

    @property
    def layout(self) -> Layout:
        """The layout of the first operand; empty if unknown."""
        return self.operand(0)

    def operand(self, index: int) -> Layout:
        """Return the layout of an operand; empty if unknown."""
        return self.walk.layouts.get(self.node.input[index], ())

    def sizes(self, name: str | None = None) -> list[int] | None:
        """Return the sizes of a tensor, by default the output: 0 for an unknown size, None for an unknown rank."""
        return self.walk.sizes(self.name if name is None else name)

    def size(self, axis: int, name: str | None = None) -> int:
        """Return one size of a tensor; 0 if unknown."""
        sizes = self.sizes(name)
        return sizes[axis] if sizes is not None and axis < len(sizes) else 0

    def output_sizes(self, axis: int) -> list[int]:
        """Return one size of each output of the node, before any of them has a layout; 0 if unknown."""
        held = self.walk.output_sizes
        if self.index == 0 or held[0] != self.node.output[0]:
            held = self.walk.output_sizes = (self.node.output[0], [self.size(axis, name) for name in self.node.output])
        return held[1]

    def numbers(self, index: int, attribute: str = "") -> list[int] | None:
        """Return the integers of an attribute, or of the input that replaces it; None if unknown."""
        if attribute in self.attributes:
            value = self.attributes[attribute]
            return [int(n) for n in (value if isinstance(value, (list, tuple)) else [value])]
        if index < len(self.node.input) and self.node.input[index] in self.walk.constants:
            return [int(n) for n in numpy_helper.to_array(self.walk.constants[self.node.input[index]]).ravel()]
        return None


def propagate_axes(view: GraphView, starts: Mapping[str, Layout], known: Shapes) -> PropagatedAxes:
    """Propagate the layouts of some tensors through a graph, given its ``known`` shapes."""
    axes = PropagatedAxes(view, known, dict(starts), counted_constants(view, known))
    axes.walk()
    return axes


def seen_roles(view: GraphView, start: str, sizes: Sequence[int], known: Shapes) -> SeenRoles:
    """Return the roles that ops give to the axes of the input ``start``, whose shape is ``sizes``.

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]> g (float[A, B, 4] x, float[1, 8, 4] w, float[1, 8, 8] r)
    ... => (float[A, 1, B, 8] y) { y = RNN<hidden_size = 8>(x, w, r) }'''))
    >>> seen = seen_roles(view, "x", (96, 2, 4), view.shapes({"x": (96, 2, 4)}))
    >>> seen.of(0).role.value, seen.of(1).role.value, seen.carried("y", 4)
    ('time', 'sample', (0, None, 1, None))
    """
    axes = PropagatedAxes(view, known, {start: start_layout(sizes)}, counted_constants(view, known))
    axes.seen = seen = SeenRoles(len(sizes))
    axes.walk()
    seen.layouts = axes.layouts
    return seen


def counted_constants(view: GraphView, known: Shapes) -> _Constants:
    """Return the constants of a graph, and the sizes that it computes from ``known`` shapes; found once for these."""
    held = _counted.setdefault(view, {})
    if id(known) not in held:
        axes = PropagatedAxes(view, known, {}, dict(view.constants))
        for node in view.nodes:
            axes.count(node)
        held[id(known)] = known, dict(axes.constants)
    return held[id(known)][1]


@final
class PropagatedAxes:
    """The layouts of tensors."""

    def __init__(self, view: GraphView, known: Shapes, layouts: dict[str, Layout], counted: _Constants) -> None:
        self._view, self._known, self.layouts = view, known, layouts
        self.constants: MutableMapping[str, onnx.TensorProto] = ChainMap({}, counted)
        self.seen: SeenRoles | None = None
        # Those of the node that is propagated through, under its first output: it may have very many.
        self.output_sizes: tuple[str, list[int]] = ("", [])

    __repr__ = short_repr

    def walk(self) -> None:
        """Propagate through all nodes that depend on tensors with a layout."""
        for node in self._view.follow(self.layouts, lambda _: True)[0]:
            self.step(node)

    def step(self, node: onnx.NodeProto) -> None:
        """Propagate through one node."""
        self.count(node)
        if self.seen is not None and node.op_type == "If":
            # Either branch shows what axes mean.
            for branch in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
                self.constants.update({tensor.name: tensor for tensor in branch.initializer})
                for inner in branch.node:
                    held = next(
                        (a.t for a in inner.attribute if a.name == "value" and inner.op_type == "Constant"), None
                    )
                    if held is not None:
                        self.constants[inner.output[0]] = held
                    self.step(inner)
        if not any(name in self.layouts for name in node.input):
            return
        op, given = find_op(node.op_type), self._view.attributes(node)
        rule = op.axes
        if self.seen is not None and op.roles is not None:
            operands = {i: self.layouts[name] for i, name in enumerate(node.input) if name in self.layouts}
            self.seen.note(node, op.roles(AxisStep(node, given, node.output[0], 0, self)), operands)
        for index, name in enumerate(node.output):
            layout = rule(AxisStep(node, given, name, index, self)) if name else None
            if layout is None:
                continue
            sizes = self.sizes(name)
            if sizes is None:
                self.layouts[name] = layout
            elif len(sizes) == len(layout):
                self.layouts[name] = tuple(with_size(axis, size) for axis, size in zip(layout, sizes, strict=True))

    def sizes(self, name: str) -> list[int] | None:
        """Return the sizes of a tensor, 0 for an unknown size; None for an unknown rank."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if name not in self._known:
            return None
        layout = self.layouts.get(name, ())
        counted = [math.prod(part.size for part in axis) for axis in layout] or [0] * len(self._known[name])
        return [size or own for size, own in zip(self._known[name], counted, strict=True)]

    def count(self, node: onnx.NodeProto) -> None:
        """Evaluate a node that computes sizes, where shape inference does not."""
        if node.op_type == "Shape":
            sizes = self.sizes(node.input[0])
            if sizes and 0 not in sizes:
                given = self._view.attributes(node)
                whole = np.array(sizes[given.get("start", 0) : given.get("end")], dtype=np.int64)
                self.constants[node.output[0]] = numpy_helper.from_array(whole)
            return
        counts = node.op_type in _COUNTING or find_op(node.op_type).kind in _COUNTING_KINDS
        fed = {name: self.constants.get(name) for name in node.input if name}
        if not counts or node.domain or len(node.output) > 1 or node.output[0] in self.constants:
            return
        small = {
            name: tensor
            for name, tensor in fed.items()
            if tensor is not None and tensor.data_type in _WHOLE and math.prod(tensor.dims) <= _FEW
        }
        if len(small) == len(fed):
            self.constants[node.output[0]] = numpy_helper.from_array(self._computed(node, small))

    def _computed(self, node: onnx.NodeProto, fed: Mapping[str, onnx.TensorProto]) -> Array:
        (value,) = node_outputs(node, self._view.opsets, {n: numpy_helper.to_array(t) for n, t in fed.items()})
        return value
