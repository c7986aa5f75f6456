"""Find the attention layers of a transformer, and the tokens that its head reads."""

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

# Quantised files have these between all other ops.
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
# Ops between the product of queries and keys and its softmax: scaling, masks, casts, splitting and merging windows.
_TO_SOFTMAX = frozenset(
    ("Mul", "Div", "Add", "Sub", "Where", "Cast", "Reshape", "Clip", "Min", "Max", "Tanh", "Identity", *_ROUNDING)
)
# Ops between the softmax and its product with the values.
_FROM_SOFTMAX = frozenset(("Cast", "Dropout", "Identity", "Reshape", "Where", "Mul", *_ROUNDING))
# Ops that compute queries, keys and values from tokens.
_PROJECTING = frozenset(
    ("MatMul", "Gemm", "Add", "Mul", "Div", "Cast", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze",
     "Transpose", "Unsqueeze", *_ROUNDING)
)  # fmt: skip
_PRODUCT = frozenset(("MatMul", "Einsum"))


@final
@dataclass(frozen=True)
class Attention:
    """One attention layer.

    Attributes
    ----------
    weights : str
        The output of the softmax, (N, heads, T, T): row i contains the weights with which token i reads all tokens.
    tokens : str
        The tensor from which queries, keys and values are computed: (N, T, D), or (N, h, w, D).
    """

    weights: str
    tokens: str


def attentions(view: GraphView, outs: Iterable[str] | None = None) -> list[Attention]:
    """Return the attention layers in topological order: a softmax between two products of computed tensors.

    Parameters
    ----------
    view : GraphView
        With ``Attention`` ops expanded (:func:`xaionnx.graph.expand.expand`).
    outs : iterable of str, optional
        Only layers on which these tensors depend.

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
    layers = []
    for node in view.nodes:
        if node.op_type != "Softmax" or (known is not None and node.output[0] not in known):
            continue
        scores = _product_before(node.input[0], view.producers, computed)
        if scores is not None and _meets_values(node.output[0], view.consumers, computed):
            layers.append(Attention(node.output[0], _source(scores.input[0], view.producers, computed)))
    return layers


def tokens_read(view: GraphView, weights: str, count: int, shapes: Shapes) -> list[int] | None:
    """Return the indices of the tokens that the layers after an attention layer read or average.

    Parameters
    ----------
    view : GraphView
    weights : str
        Weights of the last attention layer.
    count : int
        The number T of tokens.
    shapes : mapping of str to sequence
        Shapes of tensors for one sample.

    Returns
    -------
    list of int, or None
        One index, such as that of the class token, if the other tokens are dropped; None if no tensor (1, T, D) or
        (T, 1, D) follows the attention.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 4, 4] a) => (float[N, 2] y) <float[1, 4, 2] h = {1, 0, 0, 1, 2, 3, 4, 5}, int64 first = {0}> {
    ...   mixed = MatMul(a, h)
    ...   y = Gather <axis = 1> (mixed, first) }''')
    >>> from xaionnx.graph.view import GraphView
    >>> tokens_read(GraphView(model), "a", 4, {"mixed": (1, 4, 2), "y": (1, 2)})
    [0]
    """
    downstream = view.descendants([weights])
    held: dict[str, tuple[int, list[int]]] = {}  # the axis of the tokens, and the indices of those that remain
    for node in view.nodes:
        output = next((name for name in node.output if name in downstream), None)
        # Regrouped tokens are on another axis until they are grouped back.
        if output is None or node.op_type in SHAPE_READERS or find_op(node.op_type).regroups:
            continue
        shape = tuple(shapes.get(output, ()))
        source = next((name for name in node.input if name in held), None)
        if source is None:
            if len(shape) == 3 and shape[:2] in ((1, count), (count, 1)):
                held[output] = shape.index(count), list(range(count))
            continue
        axis, left = held[source]
        selected = _selected_tokens(view, node, axis, left)
        remaining = left if selected is None else selected
        if len(remaining) == 1 or (selected is None and (len(shape) != 3 or shape[axis] != len(remaining))):
            return remaining
        held[output] = axis, remaining
    return None


def _selected_tokens(view: GraphView, node: onnx.NodeProto, axis: int, left: list[int]) -> list[int] | None:
    """Return the tokens that a Gather or Slice selects along an axis of three; None for any other node."""
    bounds = [numbers for name in node.input[1:] if (numbers := view.small(name)) is not None]
    if not bounds or len(bounds) < len(node.input) - 1:
        return None
    tokens = np.array(left)
    if node.op_type == "Gather" and view.attributes(node)["axis"] in (axis, axis - 3):
        return [int(token) for token in np.atleast_1d(tokens[bounds[0]]).ravel()]
    if node.op_type == "Slice" and len(bounds) >= 3:
        starts, ends, axes, *steps = (np.atleast_1d(array) for array in bounds)
        if axes.tolist() in ([axis], [axis - 3]):
            return [int(t) for t in tokens[int(starts[0]) : int(ends[0]) : int(steps[0][0]) if steps else 1]]
    return None


def _is_computed_product(node: onnx.NodeProto, computed: set[str]) -> bool:
    return node.op_type in _PRODUCT and len(node.input) == 2 and computed.issuperset(node.input)


def _product_before(name: str, producers: Mapping[str, onnx.NodeProto], computed: set[str]) -> onnx.NodeProto | None:
    """Return the product of two computed tensors from which scores are computed, ignoring computed masks."""
    waiting, seen = [name], {name}
    while waiting:
        node = producers.get(waiting.pop())
        if node is None:
            continue
        if _is_computed_product(node, computed):
            return node
        if node.op_type in _TO_SOFTMAX:
            further = [read for read in node.input if read in computed and read not in seen]
            seen.update(further)
            waiting.extend(reversed(further))
    return None


def _meets_values(name: str, consumers: Mapping[str, Sequence[onnx.NodeProto]], computed: set[str]) -> bool:
    """Whether a product with another computed tensor follows."""
    waiting, seen = [name], {name}
    while waiting:
        for node in consumers.get(waiting.pop(), ()):
            if _is_computed_product(node, computed):
                return True
            if node.op_type in _FROM_SOFTMAX and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return False


def _source(name: str, producers: Mapping[str, onnx.NodeProto], computed: set[str]) -> str:
    """Return the first tensor, going backwards, that is not a projection of a single computed tensor."""
    while name in producers and producers[name].op_type in _PROJECTING:
        sources = [read for read in producers[name].input if read in computed]
        if len(sources) != 1:
            break
        name = sources[0]
    return name
