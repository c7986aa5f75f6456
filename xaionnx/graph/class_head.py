"""The output that holds the probabilities of classes, beside outputs that hold other numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xaionnx.graph.ending import ending, maker

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

_SHARES: Final = frozenset({"Softmax", "LogSoftmax"})


def class_head(view: GraphView, outputs: Sequence[str]) -> str:
    """Return the output whose classes are explained by default: the first, or the only one that ends with a softmax.

    The first stays if it is a single number for a sample, such as an age, if it has more axes than classes do, or if
    the softmax is taken of it. In files that find faces, it is often the corners of a box, beside the probabilities.

    Parameters
    ----------
    view : GraphView
    outputs : sequence of str
        Outputs of a floating-point type, at least one.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 3] x) => (float[N, 4] box, float[N, 2] face)
    ...   <float[3, 4] v = {1,0,0,0,0,1,0,0,0,0,1,0}, float[3, 2] w = {1,0,0,1,1,1}> {
    ...   box = MatMul(x, v)  s = MatMul(x, w)  face = Softmax(s) }'''))
    >>> class_head(view, ["box", "face"])
    'face'
    """
    first = outputs[0]
    if not _is_vector(view, first) or ending(view, first) in {*_SHARES, "Sigmoid"}:
        return first
    heads = [name for name in outputs[1:] if _is_vector(view, name) and ending(view, name) in _SHARES]
    if len(heads) != 1:
        return first
    softmax = maker(view, heads[0])
    assert softmax is not None  # it ends with one
    scores = softmax.input[0]
    return first if scores == first or maker(view, scores) is maker(view, first) else heads[0]


def _is_vector(view: GraphView, name: str) -> bool:
    """Whether an output is declared with one axis beside that of the samples, of several numbers."""
    dims = next(value.type.tensor_type.shape.dim for value in view.model.graph.output if value.name == name)
    return len(dims) == 2 and dims[1].dim_value > 1
