"""Whether a tensor is an affine function of others, apart from one function at its end, its link."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, final

import onnx

from xaionnx.graph.view import SHAPE_READERS, reads
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

LINKS: Final = {"Sigmoid": "logistic", "Softmax": "softmax", "Exp": "exponential"}
"""The ops that may follow the sums, once, and the names of what they compute."""

# Affine in all operands together; the others of a few ops are constants.
_IN_ALL: Final = frozenset({"Add", "Sub", "Sum", "Mean", "Concat"})
_IN_ONE: Final = frozenset({"Mul", "MatMul", "Gemm", "Div"})
_IN_FIRST: Final = frozenset(
    {
        "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather",
        "ArrayFeatureExtractor", "Neg", "ReduceSum", "ReduceMean", "Scaler", "Expand",
    }
)  # fmt: skip
_FLOATS: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


class NotAffineError(Exception):
    """Why a tensor is not an affine function of others, in words that follow a colon."""


class Link(NamedTuple):
    """A function of the elements or rows of a tensor: ``result = kind(sign * operand)``."""

    kind: str
    operand: str
    result: str
    sign: float


class Stage(IntEnum):
    """What a tensor is: a constant, an affine function of the sources, or one of their links."""

    CONSTANT = 0
    AFFINE = 1
    LINKED = 2


@final
@dataclass(frozen=True)
class AffineTrace:
    """How a tensor follows from its sources.

    Attributes
    ----------
    sources : tuple of str
        The sources that it depends on.
    links : tuple of Link
    stage : Stage
    """

    sources: tuple[str, ...]
    links: tuple[Link, ...]
    stage: Stage


@final
@dataclass
class _Walk:
    view: GraphView
    sources: Collection[str]
    linked: Collection[str]
    depends: set[str]
    # Whether what is no sum becomes a source.
    ends: bool = False
    found: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    known: dict[str, Stage] = field(default_factory=dict)

    __repr__ = short_repr


def affine_trace(view: GraphView, tensor: str, sources: Collection[str], linked: Collection[str] = ()) -> AffineTrace:
    """Return how ``tensor`` follows from the sources.

    Parameters
    ----------
    view : GraphView
    tensor : str
    sources : collection of str
        Tensors on which it may depend.
    linked : collection of str
        Those of them that are results of a link already.

    Raises
    ------
    NotAffineError
        It is not an affine function of them, or depends on the inputs in another way.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) <float[1] k = {2}> { h = Mul(x, k)  y = Sigmoid(h) }'''))
    >>> affine_trace(view, "y", ["x"]).links
    (Link(kind='logistic', operand='h', result='y', sign=1.0),)
    """
    inputs = {value.name for value in view.model.graph.input} - {*view.constants}
    walk = _Walk(view, sources, linked, view.data_descendants(inputs | {*sources}))
    return _traced(walk, tensor)


def affine_ends(view: GraphView, tensor: str) -> tuple[str, ...]:
    """Return the tensors of which ``tensor`` is an affine function, as far back as it is one; links are not passed.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { a = Abs(x)  b = Neg(a)  y = Add(b, x) }'''))
    >>> affine_ends(view, "y")
    ('x', 'a')
    """
    inputs = {value.name for value in view.model.graph.input} - {*view.constants}
    return _traced(_Walk(view, (), (), view.data_descendants(inputs), ends=True), tensor).sources


def _traced(walk: _Walk, tensor: str) -> AffineTrace:
    """The trace of a walk that has not begun."""
    view, sources, linked = walk.view, walk.sources, walk.linked
    order = {name: number for number, node in enumerate(view.nodes) for name in node.output}
    waiting = [tensor]
    # Operands first, without recursion: a chain may be long.
    while waiting:
        name = waiting[-1]
        if name in walk.known:
            waiting.pop()
            continue
        if name in sources:
            walk.found.append(name)
            walk.known[name] = Stage.LINKED if name in linked else Stage.AFFINE
        elif name not in walk.depends:
            walk.known[name] = Stage.CONSTANT
        elif name not in order and walk.ends:
            walk.found.append(name)
            walk.known[name] = Stage.AFFINE
        elif name not in order:
            raise NotAffineError(f"it depends on input '{name}', too")
        else:
            node = view.nodes[order[name]]
            if walk.ends and node.op_type not in SHAPE_READERS and not _is_affine(walk, node):
                walk.found.append(name)
                walk.known[name] = Stage.AFFINE
                continue
            logit = None if walk.ends else _written_logit(view, node)
            operands = [logit] if logit else [] if node.op_type in SHAPE_READERS else reads(node)
            missing = [n for n in operands if n not in walk.known]
            if missing:
                waiting += missing
            else:
                walk.known[name] = _stage(walk, node, name, logit)
    return AffineTrace(tuple(walk.found), tuple(walk.links), walk.known[tensor])


def _stage(walk: _Walk, node: onnx.NodeProto, name: str, logit: str | None) -> Stage:
    """The stage of the output ``name`` of a node; ``logit`` is the operand of a sigmoid that is written out."""
    stages = [walk.known[n] for n in ([logit] if logit else reads(node))]
    varying = [stage for stage in stages if stage is not Stage.CONSTANT]
    if node.op_type in SHAPE_READERS or not varying:
        return Stage.CONSTANT
    if (logit or node.op_type in LINKS) and varying == [Stage.AFFINE]:
        kind = "logistic" if logit else LINKS[node.op_type]
        walk.links.append(Link(kind, logit or node.input[0], name, -1.0 if logit else 1.0))
        return Stage.LINKED
    if len({*varying}) > 1:
        raise NotAffineError(f"'{name}' ({node.op_type}) joins sums with functions of them")
    if logit or not _is_affine(walk, node):
        raise NotAffineError(f"'{name}' ({node.op_type}) is not a sum of what it reads")
    return varying[0]


def _written_logit(view: GraphView, node: onnx.NodeProto) -> str | None:
    """The operand z of ``1 / (1 + exp(z))``, as exporters write calibrated probabilities; None for other nodes."""
    if node.op_type != "Div" or not _is_one(view, node.input[0]):
        return None
    total = view.producers.get(node.input[1])
    if total is None or total.op_type != "Add":
        return None
    others = [name for name in total.input if not _is_one(view, name)]
    power = view.producers.get(others[0]) if len(others) == 1 else None
    return power.input[0] if power is not None and power.op_type == "Exp" else None


def _is_one(view: GraphView, name: str) -> bool:
    number = view.small(name)
    return number is not None and number.size == 1 and bool((number == 1).all())


def _is_affine(walk: _Walk, node: onnx.NodeProto) -> bool:
    def varies(name: str) -> bool:
        return walk.known.get(name, Stage.AFFINE if name in walk.depends else Stage.CONSTANT) is not Stage.CONSTANT

    varying = sum(map(varies, reads(node)))
    first = varies(node.input[0])
    if node.op_type == "Cast":
        return walk.view.attributes(node)["to"] in _FLOATS
    if node.op_type == "Gemm" and varying == 2:  # a product and what is added to it
        operands = [varies(name) for name in node.input]
        return not (operands[0] and operands[1])
    if node.op_type in _IN_ALL:
        return True
    if node.op_type in _IN_ONE:
        return varying == 1 and (first or node.op_type != "Div")
    return node.op_type in _IN_FIRST and varying == 1 and first
