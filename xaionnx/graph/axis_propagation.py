"""Where the places of an input stand in the tensors made of it: on which axis, whole, merged, split or among others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.axis_factors import Layout, filled
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import GraphView
from xaionnx.short_repr import short_repr

# Models make the sizes that they bring tensors to by ops of these kinds, and by some more.
_COUNTING_KINDS = (Kind.MOVES, Kind.ADDS, Kind.SCALES)
_COUNTING = frozenset({"Mod", "ConstantOfShape", "Equal"})
_FEW = 64
_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)


@final
@dataclass(frozen=True)
class AxisStep:
    """One output of a node, for which the axis rule of the op tells the layout.

    Attributes
    ----------
    node : onnx.NodeProto
    attributes : mapping
        With the defaults of the op.
    name : str
        Of the output.
    index : int
        Its number.
    walk : PropagatedAxes
    """

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
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
        """The layout of the first operand; empty where there is none."""
        return self.operand(0)

    def operand(self, index: int) -> Layout:
        """The layout of an operand; empty where there is none."""
        return self.walk.layouts.get(self.node.input[index], ())

    def sizes(self, name: str | None = None) -> list[int] | None:
        """Sizes of a tensor, of the output where none is named: 0 where one is unknown, None where their number is."""
        return self.walk.sizes(self.name if name is None else name)

    def size(self, axis: int, name: str | None = None) -> int:
        """One of the sizes; 0 where it is not known."""
        sizes = self.sizes(name)
        return sizes[axis] if sizes is not None and axis < len(sizes) else 0

    def numbers(self, index: int, attribute: str = "") -> list[int] | None:
        """Whole numbers of an attribute, or of an input that takes its place; None where they are not known."""
        if attribute in self.attributes:
            value = self.attributes[attribute]
            return [int(n) for n in (value if isinstance(value, (list, tuple)) else [value])]
        if index < len(self.node.input) and self.node.input[index] in self.walk.constants:
            return [int(n) for n in numpy_helper.to_array(self.walk.constants[self.node.input[index]]).ravel()]
        return None


def propagate_axes(
    view: GraphView, starts: Mapping[str, Layout], known: Mapping[str, Sequence[int | None]]
) -> PropagatedAxes:
    """Follow the axes of some tensors through a graph, whose shapes are ``known`` as far as they are."""
    found = PropagatedAxes(view, known, dict(starts))
    for node in view.nodes:
        found.step(node)
    return found


@final
class PropagatedAxes:
    """The layouts of tensors, and those that the first op to run along places reads."""

    def __init__(self, view: GraphView, known: Mapping[str, Sequence[int | None]], layouts: dict[str, Layout]) -> None:
        self._view, self._known, self.layouts = view, known, layouts
        self.constants: dict[str, onnx.TensorProto] = dict(view.constants)
        self.run_along: Layout | None = None

    __repr__ = short_repr

    def step(self, node: onnx.NodeProto) -> None:
        """Go on by one node."""
        self._count(node)
        if not any(name in self.layouts for name in node.input):
            return
        rule, given = find_op(node.op_type).axes, self._view.attributes(node)
        for index, name in enumerate(node.output):
            made = rule(AxisStep(node, given, name, index, self)) if name else None
            if made is None:
                continue
            sizes = self.sizes(name)
            if sizes is None:
                self.layouts[name] = made
            elif len(sizes) == len(made):
                self.layouts[name] = tuple(filled(axis, size) for axis, size in zip(made, sizes, strict=True))

    def sizes(self, name: str) -> list[int] | None:
        """Sizes of a tensor, 0 where one is not known; None where their number is not."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if name not in self._known:
            return None
        layout = self.layouts.get(name, ())
        counted = [math.prod(part.size for part in axis) for axis in layout] or [0] * len(self._known[name])
        return [size or own for size, own in zip(self._known[name], counted, strict=True)]

    def _count(self, node: onnx.NodeProto) -> None:
        """Compute what is computed of sizes, of which the inference of shapes finds a part."""
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

    def _computed(self, node: onnx.NodeProto, fed: Mapping[str, onnx.TensorProto]) -> Any:
        from onnx.reference import ReferenceEvaluator

        read = [helper.make_tensor_value_info(name, t.data_type, t.dims) for name, t in fed.items()]
        inner = helper.make_graph([node], "count", read, [onnx.ValueInfoProto(name=node.output[0])])
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._view.opsets.items()]
        arrays = {name: numpy_helper.to_array(tensor) for name, tensor in fed.items()}
        (made,) = ReferenceEvaluator(helper.make_model(inner, opset_imports=opsets)).run(None, arrays)
        return np.asarray(made)
