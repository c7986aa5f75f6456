"""Which elements of an input are categories: the graph casts them to whole numbers, or asks which number they are.

A table of floats may hold codes of categories beside numbers. An element is followed through ops that move it, and is a
category if every op that reads its value takes it as one; any other use makes it a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, final

import numpy as np
import onnx
from onnx import numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.axis_propagation import counted_constants
from xaionnx.graph.float_copies import FLOAT_TYPES
from xaionnx.graph.node_outputs import node_outputs
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.tree_ensembles import ML, MODES, TREES, read_trees
from xaionnx.graph.view import GraphView, reads
from xaionnx.typing import Array

# Ops whose first operand is one of some listed numbers.
_LISTING: Final = frozenset({"OneHot", "OneHotEncoder", "LabelEncoder", "CategoryMapper"})
# Ops that ask only whether a number is missing.
_ASKS_MISSING: Final = frozenset({"IsNaN", "IsInf"})
# Ops that keep each element at its place, and each category, of which numbers are whole and not negative.
_KEEPS: Final = frozenset({"Identity", "Imputer", "Floor", "Ceil", "Round", "Abs", "Relu", "Clip"})
# Ops that move the elements of the first operand to places that the others, which are constants, choose.
_MOVES: Final = frozenset(
    {
        "Gather", "GatherND", "GatherElements", "Slice", "Split", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
        "Transpose", "Expand", "Tile", "ArrayFeatureExtractor",
    }
)  # fmt: skip
# Comparisons of a split of a tree that ask which number it is.
_ASKING: Final = tuple(MODES.index(mode) for mode in ("BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"))
# In place of the number of an element: what does not come from the input.
_NONE: Final = -1


def category_elements(view: GraphView, source: str, shape: Sequence[int]) -> frozenset[int]:
    """Return the elements of one sample of the input ``source``, flattened, that are categories.

    Elements that nothing reads, or that the graph treats in a way that is not followed, are not.

    Parameters
    ----------
    view : GraphView
    source : str
    shape : sequence of int
        That of the input, with one sample.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 3] x) => (float[N, 4] y) <int64[1] last = {2}, float[2] codes = {1, 2}> {
    ...   k = Gather <axis = 1> (x, last)  e = Equal(k, codes)  h = Cast <to = 1> (e)
    ...   a, b, c = Split <axis = 1> (x)  y = Concat <axis = 1> (a, b, h) }''')
    >>> sorted(category_elements(GraphView(model), "x", (1, 3)))
    [2]
    """
    asks = _LISTING | {"Equal", "Cast", "CastLike", *TREES}
    if not any(node.op_type in asks for node in view.nodes):
        return frozenset()
    walk = _CategoryWalk(view, source, shape)
    view.follow([source], walk.step)
    walk.leave(value.name for value in view.model.graph.output)
    return frozenset(np.flatnonzero(walk.categories & ~walk.numbers).tolist())


@final
class _CategoryWalk:
    """Visits nodes in order; each tensor that holds elements of the input has an array of their numbers."""

    def __init__(self, view: GraphView, source: str, shape: Sequence[int]) -> None:
        count = int(np.prod(shape, dtype=np.int64))
        self.categories, self.numbers = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self._view = view
        self._known = view.shapes({source: shape})
        self._constants = counted_constants(view, self._known)
        self._elements = {source: np.arange(count).reshape(shape)}
        self._rules: Mapping[str, Callable[[onnx.NodeProto], list[Array] | None]] = {
            **dict.fromkeys(_KEEPS, self._kept),
            **dict.fromkeys(_MOVES, self._moved),
            **dict.fromkeys(("Cast", "CastLike"), self._cast),
            **dict.fromkeys(("Concat", "FeatureVectorizer"), self._joined),
            "Where": self._chosen,
        }

    def step(self, node: onnx.NodeProto) -> bool:
        """Visit a node; return whether its outputs hold elements of the input."""
        op = node.op_type
        if op in _ASKS_MISSING or find_op(op).kind is Kind.READS_SHAPE:
            return False
        if op in TREES and node.domain == ML:
            self._split(node)
        elif op in _LISTING:
            self._note(self.categories, node.input[:1])
            self._note(self.numbers, node.input[1:])
        elif op == "Equal":
            compared = [name for name in node.input if name not in self._constants]
            self._note(self.categories if len(compared) == 1 else self.numbers, compared)
        else:
            rule = self._rules.get(op)
            found = None if rule is None else rule(node)
            if found is None:
                self._note(self.numbers, reads(node))
            else:
                self._elements |= zip(filter(None, node.output), found, strict=False)
                return bool(found)
        return False

    def leave(self, outputs: Iterable[str]) -> None:
        """Note the elements that outputs of the model hold."""
        self._note(self.numbers, outputs)

    def _note(self, kind: Array, names: Iterable[str]) -> None:
        for name in names:
            found = self._elements.get(name, np.zeros(0, dtype=np.int64))
            kind[found[found != _NONE]] = True

    def _array(self, name: str) -> Array | None:
        """The value of a constant; None if it is none, or apart from the graph."""
        tensor = self._constants.get(name)
        known = tensor is not None and tensor.data_location != onnx.TensorProto.EXTERNAL
        return numpy_helper.to_array(tensor) if tensor is not None and known else None

    def _elements_of(self, name: str) -> Array | None:
        """The elements of an operand; None if its shape is not known."""
        if name in self._elements:
            return self._elements[name]
        held = self._constants.get(name)
        sizes = self._known.get(name, (None,)) if held is None else held.dims
        return None if None in sizes else np.full([size or 0 for size in sizes], _NONE)

    def _kept(self, node: onnx.NodeProto) -> list[Array] | None:
        return [self._elements[node.input[0]]] if self._elements.keys().isdisjoint(node.input[1:]) else None

    def _moved(self, node: onnx.NodeProto) -> list[Array] | None:
        fed = {name: self._array(name) for name in node.input[1:] if name}
        known = {name: array for name, array in fed.items() if array is not None}
        if len(known) < len(fed) or node.input[0] not in self._elements:
            return None
        known[node.input[0]] = self._elements[node.input[0]]
        return node_outputs(node, self._view.opsets, known)

    def _cast(self, node: onnx.NodeProto) -> list[Array] | None:
        held = self._elements.get(node.input[0])
        if held is None:
            return None
        to = next((a.i for a in node.attribute if a.name == "to"), self._view.types.get(node.output[0]))
        if to in FLOAT_TYPES:
            return [held]
        self._note(self.categories, node.input[:1])
        return []

    def _joined(self, node: onnx.NodeProto) -> list[Array] | None:
        parts = [part for name in node.input if (part := self._elements_of(name)) is not None]
        axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
        return [np.concatenate(parts, axis)] if len(parts) == len(node.input) else None

    def _chosen(self, node: onnx.NodeProto) -> list[Array] | None:
        """Elements of one of two operands, of which only one has any, as where missing numbers are replaced."""
        held = [self._elements[name] for name in node.input[1:] if name in self._elements]
        asked = node.input[0] in self._elements
        known = tuple(self._known.get(node.output[0], ()))
        return held if len(held) == 1 and not asked and held[0].shape == known else None

    def _split(self, node: onnx.NodeProto) -> None:
        """Note the features that trees only ask for their number, and those that they compare with a bound."""
        held = self._elements.get(node.input[0], np.zeros((1, 0), dtype=np.int64))
        try:
            trees = read_trees(node)
        except UnsupportedModelError:
            self._note(self.numbers, node.input)
            return
        columns = held.reshape(-1)
        for feature in trees.features[trees.features < len(columns)]:
            if columns[feature] != _NONE:
                modes = trees.mode[trees.feature == feature]
                kind = self.categories if np.isin(modes, _ASKING).all() else self.numbers
                kind[columns[feature]] = True
