"""Ops that return a constant between jumps, whose slope is zero wherever it exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

import onnx
from onnx import TensorProto

from xaionnx.graph.view import DEFAULT_DOMAINS, SHAPE_READERS, GraphView, reads

# Ops that round numbers, and others that return numbers, truths or places by steps.
_ROUND: Final = frozenset({"Ceil", "Floor", "Round"})
_QUANTISE: Final = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
_JUMP: Final = frozenset(
    {
        "ArgMax", "ArgMin", "Binarizer", "BitShift", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less",
        "LessOrEqual", "NonMaxSuppression", "NonZero", "OneHot", "Sign",
    }
)  # fmt: skip
_ROUNDS: Final = _ROUND | _QUANTISE | {"Cast"}
_FLOATS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    | {kind for name, kind in TensorProto.DataType.items() if name.startswith("FLOAT8")}
)


@final
@dataclass(frozen=True)
class Steps:
    """The step functions between some tensors and others.

    Attributes
    ----------
    rounding : tuple of str
        Ops that round, by their names, with ``Cast`` for casts to integers.
    all_paths : tuple of str
        Ops by steps, of which every path from the tensors to the others passes one; empty if a path passes none.
    """

    rounding: tuple[str, ...]
    all_paths: tuple[str, ...]


def steps_between(view: GraphView, sources: Iterable[str], targets: Iterable[str], quantisers: bool = False) -> Steps:
    """Return the ops between tensors whose results change in jumps alone.

    Parameters
    ----------
    view : GraphView
    sources, targets : iterable of str
    quantisers : bool
        Whether ops that quantise count, which the rules of gradients pass.

    Examples
    --------
    >>> from onnx import parser
    >>> view = GraphView(parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N] x) => (float[N] y, float[N] z) {
    ...   r = Round(x)  i = Cast <to = 7> (r)  y = Cast <to = 1> (i)  z = Add(x, y) }'''))
    >>> steps_between(view, ["x"], ["y"])
    Steps(rounding=('Cast', 'Round'), all_paths=('Round',))
    >>> steps_between(view, ["x"], ["z"])
    Steps(rounding=('Cast', 'Round'), all_paths=())
    """
    targets = set(targets)
    wanted = view.ancestors(targets)
    sources = set(sources)
    # Whatever depends on the sources, and what does so by a path without steps.
    reached, smooth = set(sources), set(sources)
    rounding, met = set[str](), set[str]()
    for node in view.nodes:
        names = set(reads(node))
        if node.op_type in SHAPE_READERS or reached.isdisjoint(names) or wanted.isdisjoint(node.output):
            continue
        made = {name for name in node.output if name}
        reached |= made
        is_step = _is_step(node, quantisers)
        if is_step and node.op_type in _ROUNDS:
            rounding.add(node.op_type)
        if smooth.isdisjoint(names):
            continue
        if is_step:
            met.add(node.op_type)
        else:
            smooth |= made
    blocked = reached & targets and not smooth & targets
    return Steps(tuple(sorted(rounding)), tuple(sorted(met)) if blocked else ())


def _is_step(node: onnx.NodeProto, quantisers: bool) -> bool:
    if node.domain not in (*DEFAULT_DOMAINS, "ai.onnx.ml"):
        return False
    if node.op_type == "Cast":
        return next((a.i for a in node.attribute if a.name == "to"), TensorProto.FLOAT) not in _FLOATS
    return node.op_type in _ROUND or node.op_type in _JUMP or (quantisers and node.op_type in _QUANTISE)
