"""Landmarks of a graph: the attention of a transformer, and the tokens that its head reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.graph.op import find_op
from xaionnx.graph.view import SHAPE_READERS, GraphView
from xaionnx.loading import declared_inputs

if TYPE_CHECKING:
    import onnx

    from xaionnx.typing import Shapes

# Between the product of queries and keys and its softmax: scaling, masks, types, windows taken apart and put together.
_TO_SOFTMAX = frozenset(
    ("Mul", "Div", "Add", "Sub", "Where", "Cast", "Reshape", "Clip", "Min", "Max", "Tanh", "Identity")
)
# Between the softmax and its product with the values.
_FROM_SOFTMAX = frozenset(("Cast", "Dropout", "Identity", "Reshape", "Where", "Mul"))
# What makes queries, keys and values of tokens.
_PROJECTING = frozenset(
    ("MatMul", "Gemm", "Add", "Mul", "Div", "Cast", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
     "Transpose", "Unsqueeze")
)  # fmt: skip
_PRODUCT = frozenset(("MatMul", "Einsum"))


@final
@dataclass(frozen=True)
class Attention:
    """One layer of attention.

    Attributes
    ----------
    weights : str
        The tensor behind the softmax, (N, heads, T, T): row i says how much token i takes from each token.
    tokens : str
        The tensor that queries, keys and values are made of: (N, T, D), or (N, h, w, D).
    """

    weights: str
    tokens: str


def attentions(view: GraphView, outs: Iterable[str] | None = None) -> list[Attention]:
    """The layers of attention in the order of the graph: a softmax between two products of computed tensors.

    Parameters
    ----------
    view : GraphView
        ``Attention`` ops written out (:func:`xaionnx.graph.expand.expand`).
    outs : iterable of str, optional
        Only what these tensors depend on.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 4, 2] x) => (float[N, 4, 2] y) <float[2, 2] w = {1, 0, 0, 1}> {
    ...   h = Relu(x)
    ...   q = MatMul(h, w)
    ...   k = Transpose <perm = [0, 2, 1]> (h)
    ...   scores = MatMul(q, k)
    ...   a = Softmax(scores)
    ...   y = MatMul(a, h) }''')
    >>> from xaionnx.graph.view import GraphView
    >>> attentions(GraphView(model))
    [Attention(weights='a', tokens='h')]
    """
    known = None if outs is None else view.ancestors(outs)
    computed = view.data_descendants(value.name for value in declared_inputs(view.model))
    found = []
    for node in view.nodes:
        if node.op_type != "Softmax" or (known is not None and node.output[0] not in known):
            continue
        scores = _product_before(node.input[0], view.producers, computed)
        if scores is not None and _meets_values(node.output[0], view.consumers, computed):
            found.append(Attention(node.output[0], _source(scores.input[0], view.producers, computed)))
    return found


def tokens_read(view: GraphView, weights: str, count: int, shapes: Shapes) -> list[int] | None:
    """The numbers of the tokens that the way from a layer of attention to the end reads or averages.

    Parameters
    ----------
    view : GraphView
    weights : str
        Of the last layer of attention.
    count : int
        The number T of tokens.
    shapes : mapping of str to sequence
        Of tensors, at one sample.

    Returns
    -------
    list of int, or None
        One, such as the class token, where the others are left behind; None where nothing of the form (1, T, D) or
        (T, 1, D) comes behind the attention.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 4, 4] a) => (float[N, 2] y) <float[1, 4, 2] h = {1, 0, 0, 1, 2, 3, 4, 5}, int64 first = {0}> {
    ...   behind = MatMul(a, h)
    ...   y = Gather <axis = 1> (behind, first) }''')
    >>> from xaionnx.graph.view import GraphView
    >>> tokens_read(GraphView(model), "a", 4, {"behind": (1, 4, 2), "y": (1, 2)})
    [0]
    """
    behind = view.descendants([weights])
    held: dict[str, tuple[int, list[int]]] = {}  # the axis of the tokens, and which are left
    for node in view.nodes:
        own = next((name for name in node.output if name in behind), None)
        # Tokens that are regrouped stand on another axis, until they come back.
        if own is None or node.op_type in SHAPE_READERS or find_op(node.op_type).regroups:
            continue
        shape = tuple(shapes.get(own, ()))
        source = next((name for name in node.input if name in held), None)
        if source is None:
            if len(shape) == 3 and shape[:2] in ((1, count), (count, 1)):
                held[own] = shape.index(count), list(range(count))
            continue
        axis, left = held[source]
        picked = _picked(view, node, axis, left)
        kept = left if picked is None else picked
        if len(kept) == 1 or (picked is None and (len(shape) != 3 or shape[axis] != len(kept))):
            return kept
        held[own] = axis, kept
    return None


def _picked(view: GraphView, node: onnx.NodeProto, axis: int, left: list[int]) -> list[int] | None:
    """Which of the tokens along an axis of three a Gather or Slice takes; None for any other node."""
    given = [numbers for name in node.input[1:] if (numbers := view.small(name)) is not None]
    if not given or len(given) < len(node.input) - 1:
        return None
    tokens = np.array(left)
    if node.op_type == "Gather" and view.attributes(node)["axis"] in (axis, axis - 3):
        return [int(token) for token in np.atleast_1d(tokens[given[0]]).ravel()]
    if node.op_type == "Slice" and len(given) >= 3:
        starts, ends, axes, *steps = (np.atleast_1d(array) for array in given)
        if axes.tolist() in ([axis], [axis - 3]):
            return [int(t) for t in tokens[int(starts[0]) : int(ends[0]) : int(steps[0][0]) if steps else 1]]
    return None


def _of_two(node: onnx.NodeProto, computed: set[str]) -> bool:
    return node.op_type in _PRODUCT and len(node.input) == 2 and computed.issuperset(node.input)


def _product_before(name: str, makers: Mapping[str, onnx.NodeProto], computed: set[str]) -> onnx.NodeProto | None:
    """The product of two computed tensors that scores are made of; a mask that is computed too is left aside."""
    waiting, seen = [name], {name}
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        if _of_two(node, computed):
            return node
        if node.op_type in _TO_SOFTMAX:
            further = [read for read in node.input if read in computed and read not in seen]
            seen.update(further)
            waiting.extend(reversed(further))
    return None


def _meets_values(name: str, readers: Mapping[str, Sequence[onnx.NodeProto]], computed: set[str]) -> bool:
    """Whether a product with another computed tensor follows."""
    waiting, seen = [name], {name}
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            if _of_two(node, computed):
                return True
            if node.op_type in _FROM_SOFTMAX and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return False


def _source(name: str, makers: Mapping[str, onnx.NodeProto], computed: set[str]) -> str:
    """The first tensor on the way back that no projection of one computed tensor has made."""
    while name in makers and makers[name].op_type in _PROJECTING:
        sources = [read for read in makers[name].input if read in computed]
        if len(sources) != 1:
            break
        name = sources[0]
    return name
