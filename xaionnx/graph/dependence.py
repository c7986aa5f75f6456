"""Element dependence: the elements of each tensor from which some elements of an output are computed.

A detector joins the scores of several heads in one output, and each element of it comes from one head alone. The walk
goes back from the wanted elements and keeps, for each tensor, the entries of each axis that they are computed from; the
elements are contained in the product of these entries. Where an op has no rule, all elements of its operands count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, final

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.graph.axis_factors import AxisFactor
from xaionnx.graph.axis_propagation import PropagatedAxes, propagate_axes
from xaionnx.graph.op import ElementRule, Kind, Op, find_op
from xaionnx.graph.view import DEFAULT_DOMAINS, Attributes, GraphView, reads
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

# Entries of an axis as an array of bool, and None for all of them.
Entries: TypeAlias = "Array | None"
# The entries of each axis; None for all elements of a tensor, whose rank may be unknown.
Elements: TypeAlias = "tuple[Entries, ...] | None"

# Larger tensors are not followed through a reshape element by element.
_MOST: Final = 2**24


class Operands(NamedTuple):
    """The elements of a node's operands, by their number, that some elements of an output are computed from.

    ``certain`` is False if the values of other operands decide which of the elements matter.
    """

    elements: Mapping[int, Elements]
    certain: bool = True


@final
@dataclass(frozen=True)
class ElementStep:
    """One output of a node, some elements of which are wanted; the rule of the op returns those of its operands.

    Attributes
    ----------
    node : onnx.NodeProto
    attributes : mapping
        Including the defaults of the op.
    index : int
        Number of the output.
    elements : tuple of array or None
        The wanted elements.
    walk : DependenceWalk
        For shapes and constants.
    """

    node: onnx.NodeProto
    attributes: Attributes
    index: int
    elements: Elements
    walk: DependenceWalk

    __repr__ = short_repr

    def shape(self, number: int = 0) -> tuple[int, ...] | None:
        """Return the shape of an operand; None if unknown."""
        return self.walk.shape(self.node.input[number])

    @property
    def output_shape(self) -> tuple[int, ...] | None:
        """The shape of the output; None if unknown."""
        return self.walk.shape(self.node.output[self.index])

    def array(self, number: int, attribute: str = "") -> Array | None:
        """Return an attribute, or the constant operand that replaces it; None if unknown or not given."""
        if attribute and attribute in self.attributes:
            return np.asarray(self.attributes[attribute])
        return self.walk.array(self.node.input[number]) if self.has(number) else None

    def has(self, number: int) -> bool:
        """Whether an operand is given."""
        return len(self.node.input) > number and bool(self.node.input[number])

    @property
    def opset(self) -> int:
        """The version of the op."""
        return self.walk.opset


@final
@dataclass(frozen=True, eq=False)
class Dependence:
    """The tensors from which some elements are computed.

    Attributes
    ----------
    elements : mapping of str to elements
        By tensor name, the wanted tensors included.
    certain : bool
        Whether structure alone decides; otherwise values inside the model select among these elements.
    """

    elements: Mapping[str, Elements]
    certain: bool

    __repr__ = short_repr

    def __contains__(self, name: str) -> bool:
        return name in self.elements

    def counts(self, name: str) -> tuple[int, ...] | None:
        """Return the number of entries along each axis; -1 for all of an axis, None for all elements."""
        found = self.elements[name]
        return None if found is None else tuple(-1 if axis is None else int(axis.sum()) for axis in found)


@final
class DependenceWalk:
    """Walks back through a graph from elements of its tensors.

    Parameters
    ----------
    view : GraphView
    sizes : mapping of str to sequence of int
        Shapes of the inputs for one sample, with the batch axis.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 4] y) { a = Relu(x)  b = Tanh(x)  y = Concat <axis = 1> (a, b) }''')
    >>> walk = DependenceWalk(GraphView(model), {"x": (1, 2)})
    >>> sorted(walk.back({"y": np.array([3])}).elements)
    ['b', 'x', 'y']
    """

    def __init__(self, view: GraphView, sizes: Mapping[str, Sequence[int]]) -> None:
        self._view = view
        starts = {name: tuple((AxisFactor("C", size),) for size in shape) for name, shape in sizes.items()}
        self._axes: PropagatedAxes = propagate_axes(view, starts, view.shapes(sizes))
        self._sizes = {name: tuple(shape) for name, shape in sizes.items()}
        self._whole: dict[frozenset[str], Dependence] = {}
        self.opset = view.opsets.get("", view.opsets.get("ai.onnx", 1))

    __repr__ = short_repr

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a tensor for one sample; None if unknown."""
        sizes = self._sizes.get(name) or self._axes.sizes(name)
        return None if sizes is None or 0 in sizes else tuple(sizes)

    def array(self, name: str) -> Array | None:
        """Return the value of a small constant; None if it is none."""
        tensor = self._axes.constants.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL or math.prod(tensor.dims) > _MOST:
            return None
        return numpy_helper.to_array(tensor)

    def back(self, wanted: Mapping[str, Array | None]) -> Dependence:
        """Return what some elements are computed from.

        Parameters
        ----------
        wanted : mapping of str to array of int
            Indices into the flattened axes of each tensor after the batch; None for all elements.
        """
        waiting = {name: self._elements_at(name, indices) for name, indices in wanted.items()}
        found, certain = self._walk(waiting, until_whole=True)
        if waiting:
            key = frozenset(waiting)
            if key not in self._whole:
                # Most elements of a classifier lead to the same few tensors.
                self._whole[key] = Dependence(*self._walk(dict.fromkeys(waiting), until_whole=False))
            rest = self._whole[key]
            found, certain = {**rest.elements, **found}, certain and rest.certain
        return Dependence(found, certain)

    def _elements_at(self, name: str, indices: Array | None) -> Elements:
        shape = self.shape(name)
        if indices is None or shape is None or len(shape) < 2 or math.prod(shape[1:]) <= int(indices.max(initial=0)):
            return None
        entries = [None, *(np.zeros(size, dtype=bool) for size in shape[1:])]
        for axis, at in zip(entries[1:], np.unravel_index(indices, shape[1:]), strict=True):
            assert axis is not None
            axis[at] = True
        return _simplified(tuple(entries))

    def _walk(self, waiting: dict[str, Elements], until_whole: bool) -> tuple[dict[str, Elements], bool]:
        """Walk back from ``waiting``, which keeps the tensors that are not reached; return all others."""
        found: dict[str, Elements] = {}
        certain = True
        for node in reversed(self._view.nodes):
            if until_whole and all(elements is None for elements in waiting.values()):
                return found, certain
            for index, name in enumerate(node.output):
                if name not in waiting:
                    continue
                found[name] = elements = waiting.pop(name)
                for operand, read, sure in self._operands(node, index, elements):
                    certain = certain and sure
                    waiting[operand] = _union(waiting[operand], read) if operand in waiting else read
        found.update(waiting)
        waiting.clear()
        return found, certain

    def _operands(self, node: onnx.NodeProto, index: int, elements: Elements) -> list[tuple[str, Elements, bool]]:
        entry = find_op(node.op_type)
        if entry.kind is Kind.READS_SHAPE:
            return []
        rule = element_rule(entry) if node.domain in (*DEFAULT_DOMAINS, "ai.onnx.ml") else None
        step = ElementStep(node, self._view.attributes(node), index, elements, self)
        operands = None if rule is None else rule(step)
        constants = self._axes.constants
        if operands is None:
            sure = rule is not None or entry.kind not in (Kind.OTHER, Kind.MOVES, Kind.SELECTS)
            return [(name, None, sure) for name in reads(node) if name not in constants]
        return [
            (node.input[number], _simplified(read), operands.certain)
            for number, read in operands.elements.items()
            if node.input[number] and node.input[number] not in constants and not _is_empty(read)
        ]


def element_rule(entry: Op) -> ElementRule | None:
    """Return the rule of an op; None if all elements of its operands count."""
    if entry.elements is not None:
        return entry.elements
    every = entry.broadcasts is not None and entry.broadcasts.operands is None and not entry.broadcasts.exempt
    if every or entry.kind.of_one_number:
        return broadcast_elements
    return same_elements if entry.kind is Kind.ROUNDS else None


def broadcast_elements(step: ElementStep) -> Operands:
    """Elements of operands that are broadcast to the output's shape."""
    found: dict[int, Elements] = {}
    for number in range(len(step.node.input)):
        if step.has(number):
            shape = step.shape(number)
            known = shape is not None and step.elements is not None and len(shape) <= len(step.elements)
            found[number] = aligned(step.elements, shape) if known else None
    return Operands(found)


def aligned(elements: Elements, shape: Sequence[int] | None) -> Elements:
    """Return elements of an operand of ``shape`` that is broadcast to the tensor of ``elements``."""
    if elements is None or shape is None:
        return None
    last = elements[len(elements) - len(shape) :] if shape else ()
    return tuple(None if size == 1 else axis for size, axis in zip(shape, last, strict=True))


def same_elements(step: ElementStep) -> Operands:
    """The same elements of the first operand, and all of the others."""
    others: dict[int, Elements] = {number: None for number in range(1, len(step.node.input)) if step.has(number)}
    return Operands({0: step.elements, **others})


def _is_empty(elements: Elements) -> bool:
    return elements is not None and any(axis is not None and not axis.any() for axis in elements)


def _simplified(elements: Elements) -> Elements:
    if elements is None:
        return None
    axes = tuple(None if axis is None or axis.all() else axis for axis in elements)
    return None if all(axis is None for axis in axes) else axes


def _union(one: Elements, other: Elements) -> Elements:
    if one is None or other is None or len(one) != len(other):
        return None
    return _simplified(tuple(None if a is None or b is None else a | b for a, b in zip(one, other, strict=True)))
