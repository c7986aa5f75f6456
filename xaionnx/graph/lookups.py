"""Find where a graph embeds the tokens of an input: the first floats that are looked up by their numbers.

A token's number is moved, cast, shifted and wrapped around before it is the index of a table, of floats or of quantised
rows that are dequantised, or before it becomes a one-hot row. Exports of Keras give the numbers as floats.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, final

import onnx

from xaionnx.graph.float_copies import FLOAT_TYPES
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import GraphView, reads
from xaionnx.short_repr import short_repr

# Ops whose output is again the number of a token: shifted, wrapped around, clipped or rounded.
_NUMBERING: Final = frozenset(
    {"Add", "Sub", "Where", "Mod", "Clip", "Max", "Min", "Floor", "Ceil", "Round", "Abs", "Relu", "Sum"}
)
# Comparisons of numbers of tokens, and what exporters compute of their results.
_COMPARING: Final = frozenset({"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or", "Xor"})
# Look-ups in a table of constants: the numbers of the operands for the table and the index.
_TABLES: Final = {"Gather": (0, 1), "GatherND": (0, 1)}
# Numbers of samples by which a leading batch axis is told from others, and the size of other free axes.
_SAMPLES: Final = (5, 7)
_FREE: Final = 3


@final
@dataclass(frozen=True)
class Lookups:
    """Where the tokens of an input are embedded.

    Attributes
    ----------
    embeddings : tuple of str
        The float tensors, with the batch axis first where a transposition makes it so.
    is_number : bool
        Whether the numbers are also used as numbers, so that they are not those of tokens alone.
    """

    embeddings: tuple[str, ...]
    is_number: bool

    __repr__ = short_repr


def token_lookups(view: GraphView, source: str) -> Lookups:
    """Return where the tokens of the input ``source`` are embedded.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 4] x) => (float[N, 4, 2] y) <float[3, 2] table = {1, 2, 3, 4, 5, 6}> {
    ...   ids = Cast <to = 7> (x)  rows = Gather(table, ids)  y = Tanh(rows) }''')
    >>> token_lookups(GraphView(model), "x")
    Lookups(embeddings=('rows',), is_number=False)
    """
    return _lookups(view, source, _computed(view))


def _computed(view: GraphView) -> set[str]:
    """The tensors that depend on an input."""
    return view.data_descendants(value.name for value in view.model.graph.input if value.name not in view.constants)


def _lookups(view: GraphView, source: str, computed: set[str]) -> Lookups:
    walk = _TokenWalk(view, source, computed)
    view.follow([source], walk.step)
    found = tuple(dict.fromkeys(_batch_first(view, source, name) for name in walk.found))
    return Lookups(found, walk.is_number)


def joined_embedding(view: GraphView, source: str, embeddings: Sequence[str]) -> str | None:
    """Return the tensor in which several embeddings of tokens of the input ``source`` are summed or joined.

    None if anything else is computed from one of them.
    """
    parts = set(embeddings)
    for node in view.nodes:
        read = parts.intersection(reads(node))
        if not read:
            continue
        entry = find_op(node.op_type)
        joins = entry.kind in (Kind.ADDS, Kind.MOVES) or (entry.kind is Kind.SCALES and len(read) == 1)
        if not joins or len(node.output) > 1:
            return None
        if any(len(view.consumers.get(name, ())) > 1 for name in read):
            return None
        parts = (parts - read) | {node.output[0]}
        if len(parts) == 1:
            return _batch_first(view, source, parts.pop())
    return None


class _TokenWalk:
    """Visits nodes in order.

    ``tokens`` hold the numbers, ``codes`` rows of integers or bits chosen by them, and ``flags`` whether each one is
    on one side of a bound.
    """

    def __init__(self, view: GraphView, source: str, computed: set[str]) -> None:
        self.found: list[str] = []
        self.is_number = False
        self._view = view
        self._tokens, self._codes, self._flags = {source}, set[str](), set[str]()
        self._computed = computed

    def step(self, node: onnx.NodeProto) -> bool:
        """Visit a node; return whether its outputs hold tokens, codes or flags."""
        self._visit(node)
        return not (self._tokens | self._codes | self._flags).isdisjoint(node.output)

    def _visit(self, node: onnx.NodeProto) -> None:
        held = [name for name in reads(node) if name in self._tokens | self._flags]
        coded = [name for name in reads(node) if name in self._codes]
        if not (held or coded) or find_op(node.op_type).kind is Kind.READS_SHAPE:
            return
        if self._is_lookup(node):
            self._embed(node)
        elif held and self._is_numbering(node):
            self._tokens.update(node.output)
        elif coded:
            self._embed(node)
        elif self._is_one_hot(node):
            self._codes.update(node.output)
        elif self._is_flag(node):
            self._flags.update(node.output)
        elif self._tokens.intersection(held) and any(self._is_float(name) for name in node.output):
            self.is_number = True

    def _embed(self, node: onnx.NodeProto) -> None:
        """Note the outputs of a look-up, which are embeddings as soon as they are floats."""
        for name in node.output:
            if self._is_float(name):
                self.found.append(name)
            else:
                self._codes.add(name)

    def _is_lookup(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "OneHot":
            return node.input[0] in self._tokens
        if node.op_type not in _TABLES:
            return False
        table, index = (node.input[at] for at in _TABLES[node.op_type])
        return index in self._tokens | self._codes and table not in self._computed

    def _is_numbering(self, node: onnx.NodeProto) -> bool:
        """Whether the outputs are numbers of tokens again, if any of them are floats or not."""
        moves = find_op(node.op_type).kind is Kind.MOVES
        computed = self._computed_values(node)
        # The number or zero, or a multiple of it.
        chosen = node.op_type == "Mul" and (
            len(self._tokens.intersection(computed)) == 1 < len(computed) or not self._is_float(node.output[0])
        )
        if not (moves or chosen or node.op_type in _NUMBERING):
            return False
        return bool(self._tokens.intersection(computed)) and (self._tokens | self._flags).issuperset(computed)

    def _is_flag(self, node: onnx.NodeProto) -> bool:
        """Whether the outputs say on which side of a bound numbers of tokens are, as bits or as one of two numbers."""
        computed = self._computed_values(node)
        moves = node.op_type == "Mul" or find_op(node.op_type).kind is Kind.MOVES
        moved = moves and self._flags.issuperset(computed)
        compared = node.op_type in _COMPARING and (self._tokens | self._flags).issuperset(computed)
        return bool(computed) and (moved or compared)

    def _computed_values(self, node: onnx.NodeProto) -> list[str]:
        """The operands of a node that depend on an input, without those that only choose between others."""
        values = {"Where": node.input[1:], "Gather": node.input[:1]}.get(node.op_type, node.input)
        return [name for name in values if name in self._computed]

    def _is_one_hot(self, node: onnx.NodeProto) -> bool:
        """Whether the numbers are compared with a row of several numbers."""
        if node.op_type != "Equal":
            return False
        others = [name for name in node.input if name not in self._computed]
        sizes = self._view.shapes({}).get(others[0], ()) if others else ()
        held = self._view.constants.get(others[0]) if others else None
        last = held.dims[-1] if held is not None and held.dims else (sizes[-1] if sizes else None)
        return bool(others) and last != 1 and (held is None or bool(held.dims))

    def _is_float(self, name: str) -> bool:
        return self._view.types.get(name, onnx.TensorProto.FLOAT) in FLOAT_TYPES


def _batch_first(view: GraphView, source: str, name: str) -> str:
    """Return an embedding, or the same numbers with the batch axis first, if they follow."""
    tensor, seen = name, {name}
    while not _leads(view, source, tensor):
        readers = view.consumers.get(tensor, ())
        if len(readers) != 1 or not find_op(readers[0].op_type).carries or readers[0].output[0] in seen:
            return name
        tensor = readers[0].output[0]
        seen.add(tensor)
    return tensor


def _leads(view: GraphView, source: str, name: str) -> bool:
    """Whether the first axis of a tensor is that of the samples, as far as shapes tell."""
    value = next(value for value in view.model.graph.input if value.name == source)
    dims = value.type.tensor_type.shape.dim
    if not dims or dims[0].HasField("dim_value"):
        return True
    rest = [dim.dim_value if dim.HasField("dim_value") else _FREE for dim in dims[1:]]
    for samples in _SAMPLES:
        shape = view.shapes({source: (samples, *rest)}).get(name, ())
        if shape and shape[0] not in (None, samples):
            return False
    return True


def token_inputs(view: GraphView, names: Collection[str]) -> frozenset[str]:
    """Return those of some inputs that hold the numbers of tokens and nothing else."""
    computed = _computed(view)
    found = {name: _lookups(view, name, computed) for name in names}
    return frozenset(name for name, one in found.items() if one.embeddings and not one.is_number)
