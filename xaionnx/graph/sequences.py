"""Remove sequences of tensors: if the positions are known, each element is one of the tensors inserted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import onnx
from onnx import helper

from xaionnx.graph.view import DEFAULT_DOMAINS, attributes, reads
from xaionnx.graph.writing import Writer
from xaionnx.typing import Array

# Ops that create a sequence or an optional, and ops that read one, each with the index of its position input.
_MAKERS = {
    "Optional": None,
    "SequenceConstruct": None,
    "SequenceEmpty": None,
    "SequenceErase": 1,
    "SequenceInsert": 2,
    "SequenceMap": None,
    "SplitToSequence": 1,
}
_TAKERS = {
    "ConcatFromSequence": None,
    "OptionalGetElement": None,
    "OptionalHasElement": None,
    "SequenceAt": 1,
    "SequenceLength": None,
}
_POSITIONS = _MAKERS | _TAKERS
SEQUENCES = frozenset(_POSITIONS)


class Facts(Protocol):
    """Facts about the tensors of a graph: values and sizes, None if they vary between runs."""

    def constant(self, name: str) -> Array | None: ...

    def size(self, name: str, axis: int) -> int | None: ...


def tensors_to_probe(nodes: Iterable[onnx.NodeProto]) -> list[str]:
    """Return the tensors whose values or sizes :func:`without_sequences` needs, in graphs with sequences."""
    names: list[str] = []
    for node in nodes:
        if node.domain in DEFAULT_DOMAINS and node.op_type in _POSITIONS:
            where = _POSITIONS[node.op_type]
            names.extend(node.input[where : where + 1] if where is not None else [])
            if node.op_type == "SplitToSequence":
                names.append(node.input[0])
    return [name for name in names if name]


def without_sequences(
    nodes: Sequence[onnx.NodeProto], facts: Facts, writer: Writer, wanted: set[str]
) -> list[onnx.NodeProto] | None:
    """Return the nodes, with each that reads a known sequence replaced by one that reads the inserted tensors.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
        In topological order.
    facts : Facts
    writer : Writer
    wanted : set of str
        Sequences that must remain, such as outputs.

    Returns
    -------
    list of onnx.NodeProto or None
        None if no node reads a known sequence.
    """
    lists = _Lists(facts, writer)
    written: list[onnx.NodeProto] = []
    changed = False
    for node in nodes:
        if node.domain in DEFAULT_DOMAINS and node.op_type in _TAKERS and node.input[0] in lists.held:
            replacement = lists.replace(node)
            changed = changed or replacement is not None
            written.extend([node] if replacement is None else replacement)
        else:
            written.append(node)
            if node.domain in DEFAULT_DOMAINS:
                written.extend(lists.record(node))
    return _without_unread_sequences(written, wanted) if changed else None


class _Lists:
    """The tensors in each sequence; an optional is a list of one."""

    def __init__(self, facts: Facts, writer: Writer) -> None:
        self.held: dict[str, list[str]] = {}
        self._facts = facts
        self._writer = writer

    def record(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Record the tensors in a new sequence, and return nodes for those that no node computes yet."""
        op, output = node.op_type, node.output[0] if node.output else ""
        held = self.held.get(node.input[0]) if node.input else None
        if op in ("SequenceEmpty", "SequenceConstruct") or (op == "Optional" and node.input):
            self.held[output] = list(node.input)
        elif op == "SplitToSequence":
            return self._split(node)
        elif op == "SequenceMap" and held is not None:
            return self._map_sequence(node, len(held))
        elif op == "Identity" and held is not None:
            self.held[output] = held
        elif op == "SequenceInsert" and held is not None:
            at = self._position(node, len(held), len(held))
            if at is not None:
                self.held[output] = [*held[:at], node.input[1], *held[at:]]
        elif op == "SequenceErase" and held:
            at = self._position(node, len(held), len(held) - 1)
            if at is not None:
                self.held[output] = held[:at] + held[at + 1 :]
        return []

    def replace(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """Return the nodes that replace one that reads a known sequence."""
        held, output, g = self.held[node.input[0]], node.output[0], self._writer
        if node.op_type == "SequenceLength":
            return [g.constant(np.int64(len(held)), output)]
        if node.op_type == "OptionalHasElement":
            return [g.constant(np.bool_(True), output)]
        if node.op_type == "OptionalGetElement":
            if held[0] in self.held:
                self.held[output] = self.held[held[0]]
            return [g.node("Identity", held, output)]
        if node.op_type == "SequenceAt":
            at = self._position(node, len(held), -1)
            return None if at is None else [g.node("Identity", [held[at]], output)]
        axis = helper.get_node_attr_value(node, "axis")
        if not held:
            return None
        if attributes(node)["new_axis"]:
            return list(g.stack(held, axis, output))
        return [g.node("Concat", held, output, axis=axis)]

    def _position(self, node: onnx.NodeProto, length: int, default: int) -> int | None:
        """Return the position that a node writes or reads, from the front; None if unknown."""
        where = _POSITIONS[node.op_type]
        if where is None or len(node.input) <= where or not node.input[where]:
            return default
        array = self._facts.constant(node.input[where])
        if array is None:
            return None
        at = int(array)
        return at + length if at < 0 else at

    def _split(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        g, output, axis = self._writer, node.output[0], attributes(node)["axis"]
        size = self._facts.size(node.input[0], axis)
        given = len(node.input) > 1 and bool(node.input[1])
        split = self._facts.constant(node.input[1]) if given else np.ones((), dtype=np.int64)
        if size is None or split is None or not size:
            return []
        if split.ndim:
            sizes = [int(piece) for piece in split]
        else:
            sizes = [min(int(split), size - at) for at in range(0, size, int(split))]
        pieces = self.held[output] = [g.name(f"{output}/{index}") for index in range(len(sizes))]
        if not given and not attributes(node)["keepdims"]:
            return list(g.unstack(node.input[0], axis, pieces))
        numbers = g.name(f"{output}/split")
        cut = g.node("Split", [node.input[0], numbers], pieces[0], axis=axis)
        cut.output[:] = pieces
        return [g.constant(np.array(sizes, dtype=np.int64), numbers), cut]

    def _map_sequence(self, node: onnx.NodeProto, length: int) -> list[onnx.NodeProto]:
        g, body = self._writer, helper.get_node_attr_value(node, "body")
        copies: list[onnx.NodeProto] = []
        results: list[list[str]] = [[] for _ in node.output]
        for step in range(length):
            names = {}
            for value, name in zip(body.input, node.input, strict=True):
                names[value.name] = self.held[name][step] if name in self.held else name
            ends = []
            for value, output, result in zip(body.output, node.output, results, strict=True):
                result.append(g.name(f"{output}/{step}"))
                ends.append((value.name, result[-1]))
            copies.extend(g.copy(body, names, ends, f"/{step}"))
        self.held.update(zip(node.output, results, strict=True))
        return copies


def _without_unread_sequences(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Return all nodes except those that create a sequence without readers."""
    read, kept = set(wanted), []
    for node in reversed(nodes):
        if node.op_type not in _MAKERS or node.domain not in DEFAULT_DOMAINS or not read.isdisjoint(node.output):
            kept.append(node)
            read.update(reads(node))
    return kept[::-1]
