"""What a file may declare: sizes, element types, calls of functions, and text that is not UTF-8."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from typing import Final

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]  # protobuf ships no types

from xaionnx.loading.refusal import refusal
from xaionnx.loading.soundness import plain_domain, subgraphs
from xaionnx.typing import MOST_AXES

_AGAIN: Final = "Export the model again."
# Elements of an input or output for one batch: 8 GB of float32.
_MOST_ELEMENTS: Final = 2**31
# Nodes after all functions are written out; the largest exports have some tens of thousands.
_MOST_NODES: Final = 1_000_000
# Fields that describe and mean nothing to a run, by the type of their message.
_DESCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "ModelProto": ("producer_name", "producer_version", "domain", "doc_string"),
    "GraphProto": ("name", "doc_string"),
    "FunctionProto": ("doc_string",),
    "NodeProto": ("doc_string",),
    "TensorProto": ("doc_string",),
    "ValueInfoProto": ("doc_string",),
    "StringStringEntryProto": ("key", "value"),
}


def check_declared(shown: str, proto: onnx.ModelProto) -> None:
    """Check what the file declares, before anything of that size is made.

    Raises
    ------
    ModelFileError
        An input or output has an unknown element type, more than 64 axes or more than 2 billion elements, or the
        functions call each other so often that they are more than a million nodes.
    """
    for word, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        for value in values:
            if value.type.WhichOneof("value") == "tensor_type":
                _check_tensor(shown, f"{word} '{value.name}'", value.type.tensor_type)
    for tensor in proto.graph.initializer:
        if tensor.data_type not in onnx.TensorProto.DataType.values():
            raise refusal(f"{shown}: weight '{tensor.name}' has the unknown element type {tensor.data_type}. {_AGAIN}")
    if proto.functions:
        count = _nodes_written_out(proto)
        if count > _MOST_NODES:
            size = f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"
            raise refusal(
                f"{shown}: its functions call each other so often that the graph has {size} nodes, and at most "
                f"{_MOST_NODES:,} are read. Export the model without functions."
            )


def _check_tensor(shown: str, what: str, kind: onnx.TypeProto.Tensor) -> None:
    if kind.elem_type not in onnx.TensorProto.DataType.values():
        raise refusal(f"{shown}: {what} has the unknown element type {kind.elem_type}. {_AGAIN}")
    sizes = [dim.dim_value for dim in kind.shape.dim if dim.HasField("dim_value")]
    if len(kind.shape.dim) > MOST_AXES:
        raise refusal(
            f"{shown}: {what} has {len(kind.shape.dim)} axes, and arrays have at most {MOST_AXES}. Export the model "
            "with fewer."
        )
    if min(sizes, default=0) >= 0 and math.prod(sizes) > _MOST_ELEMENTS:
        raise refusal(
            f"{shown}: {what} declares {math.prod(sizes):,} elements, and at most {_MOST_ELEMENTS:,} are tried. "
            "Export the model with a smaller or a free size."
        )


def _nodes_written_out(proto: onnx.ModelProto) -> int:
    """The number of nodes if each call of a function were replaced by its nodes; functions do not call themselves."""
    bodies = {(plain_domain(function.domain), function.name): function.node for function in proto.functions}
    calls = {key: Counter(_ops(nodes)) for key, nodes in bodies.items()}
    sizes: dict[tuple[str, str], int] = {}
    for key in TopologicalSorter({key: [op for op in of if op in bodies] for key, of in calls.items()}).static_order():
        sizes[key] = sum(count * sizes.get(op, 1) for op, count in calls[key].items())
    return sum(sizes.get(op, 1) for op in _ops(proto.graph.node))


def _ops(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, str]]:
    pending = [nodes]
    while pending:
        for node in pending.pop():
            yield plain_domain(node.domain), node.op_type
            pending.extend(graph.node for graph in subgraphs(node))


def make_readable(proto: onnx.ModelProto) -> None:
    """Replace invalid UTF-8 in descriptions, which do not affect a run but could not be copied."""
    _decode([proto, *proto.metadata_props])
    pending: list[onnx.GraphProto | onnx.FunctionProto] = [*proto.functions, proto.graph]
    while pending:
        one = pending.pop()
        _decode([one, *one.metadata_props])
        if isinstance(one, onnx.GraphProto):
            _decode([*one.input, *one.output, *one.value_info, *one.initializer])
        for node in one.node:
            _decode([node, *node.metadata_props])
            pending.extend(subgraphs(node))


def _decode(messages: Iterable[Message]) -> None:
    for message in messages:
        for name in _DESCRIPTIONS[type(message).__name__]:
            # protobuf returns bytes if a string field is not UTF-8.
            text = getattr(message, name)
            if isinstance(text, bytes):
                setattr(message, name, text.decode("utf-8", errors="replace"))
