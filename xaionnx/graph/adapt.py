"""Small rewrites of a parsed graph, before a session is opened, that do not change what it computes.

They work on the parsed file and are cheap; a model that needs none is opened from its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from xaionnx.graph.padding import has_automatic_pads, write_pads
from xaionnx.short_repr import short_repr

# Of the ops that are added to a file without any; as old as what files of ``ai.onnx.ml`` alone are read with.
_DEFAULT_OPSET = 15

# Element types that outputs cannot have; bfloat16 is cast.
_NO_NUMPY_TYPES = frozenset(TensorProto.DataType.values()) - {
    TensorProto.UNDEFINED,
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.BOOL,
    TensorProto.STRING,
    *(getattr(TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)),
}


@dataclass(frozen=True)
class Adaptation:
    """The result of :func:`adapt`.

    Attributes
    ----------
    graph : onnx.ModelProto
        The rewritten model, or the given one if it needs no changes.
    labels : tuple of str or None
        Class names of a removed ZipMap.
    """

    graph: onnx.ModelProto
    labels: tuple[str, ...] | None

    __repr__ = short_repr


def adapt(proto: onnx.ModelProto) -> Adaptation:
    """Return a model whose inputs and outputs are arrays of numpy types.

    ZipMap turns each row of a matrix of scores into a dict: it is removed, and its class names are kept. Inputs and
    outputs in bfloat16 get a Cast from and to float32. Outputs that are no arrays, such as sequences and complex
    numbers, are left out if others remain; the tensors that SequenceConstruct collects become outputs in their place.
    Dilated convolutions with automatic "same" padding get the pads that the standard defines. ``proto`` is not changed.
    """
    zipped = any(node.op_type == "ZipMap" for node in proto.graph.node)
    arrays = all(_is_array(value) for value in proto.graph.output)
    narrow = any(_is_bfloat16(value) for value in (*proto.graph.input, *proto.graph.output))
    padded = any(has_automatic_pads(node) for node in _all_nodes(proto.graph))
    if arrays and not (zipped or narrow or padded):
        return Adaptation(proto, None)
    adapted = onnx.ModelProto()
    adapted.CopyFrom(proto)
    labels = _drop_zipmap(adapted.graph)
    import_default_ops(adapted)
    _cast_bfloat16(adapted.graph)
    _leave_out_other_types(adapted.graph)
    if padded:
        write_pads(adapted, filter(has_automatic_pads, _all_nodes(adapted.graph)))
    return Adaptation(adapted, labels or None)


def import_default_ops(proto: onnx.ModelProto) -> None:
    """Import the ops of ONNX itself, in place, in a file that imports ``ai.onnx.ml`` alone, as CatBoost writes."""
    if not any(opset.domain in ("", "ai.onnx") for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid("", _DEFAULT_OPSET))


def free_batch(proto: onnx.ModelProto, inputs: Iterable[str], batch: int) -> onnx.ModelProto:
    """Return a copy of ``proto`` in which ``inputs`` and outputs of leading size ``batch`` have a free batch axis.

    The graph may still require the old size, for example in a Reshape, so the result has to be tried.
    """
    free = onnx.ModelProto()
    free.CopyFrom(proto)
    del free.graph.value_info[:]
    batched = set(inputs)
    for value in [v for v in free.graph.input if v.name in batched] + list(free.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 0 and dims[0].dim_value == batch:
            dims[0].dim_param = "N"
    return free


def fix_batch(proto: onnx.ModelProto, inputs: Iterable[str], batch: int) -> onnx.ModelProto:
    """Return a copy of ``proto`` in which the leading size of ``inputs`` is ``batch``; outputs stay as declared."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    del fixed.graph.value_info[:]
    batched = set(inputs)
    for value in fixed.graph.input:
        if value.name in batched and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    return fixed


def _drop_zipmap(graph: onnx.GraphProto) -> tuple[str, ...] | None:
    labels: tuple[str, ...] | None = None
    outputs = {value.name: value for value in graph.output}
    for node in graph.node:
        if node.op_type != "ZipMap" or node.output[0] not in outputs:
            continue
        named = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        strings = named.get("classlabels_strings") or []
        labels = tuple(s.decode() for s in strings) or tuple(str(i) for i in named.get("classlabels_int64s", []))
        value = outputs[node.output[0]]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, ["N", len(labels)]))
        node.CopyFrom(helper.make_node("Identity", list(node.input), list(node.output), name=node.name))
    return labels


def _leave_out_other_types(graph: onnx.GraphProto) -> None:
    made = {node.output[0]: node for node in graph.node if node.op_type == "SequenceConstruct"}
    computed = {name for node in graph.node for name in node.output}
    kept: dict[str, onnx.ValueInfoProto] = {}
    for value in graph.output:
        if _is_array(value):
            kept[value.name] = value
        elif value.name in made:
            # The file declares one type for all elements, and their shapes may differ.
            element = value.type.sequence_type.elem_type.tensor_type.elem_type
            for name in made[value.name].input:
                if name in computed:
                    kept.setdefault(name, helper.make_tensor_value_info(name, element, None))
    outputs = [_copy(value) for value in kept.values() if _is_array(value)]
    if outputs:
        del graph.output[:]
        graph.output.extend(outputs)


def _copy(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    return copy


def _is_array(value: onnx.ValueInfoProto) -> bool:
    """Whether an output is an array of a numpy type, or of a type that the file does not declare."""
    kind = value.type.WhichOneof("value")
    return kind is None or (kind == "tensor_type" and value.type.tensor_type.elem_type not in _NO_NUMPY_TYPES)


def _cast_bfloat16(graph: onnx.GraphProto) -> None:
    initializers = {tensor.name for tensor in graph.initializer}
    taken = {name for node in _all_nodes(graph) for name in (*node.input, *node.output)}
    inputs = [v for v in graph.input if v.name not in initializers and _is_bfloat16(v)]
    outputs = [v for v in graph.output if _is_bfloat16(v)]
    for value in inputs + outputs:
        inner = _unused_name(f"{value.name}_bfloat16", taken)
        taken.add(inner)
        old = value.name
        rename_everywhere(graph, old, inner)
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        if any(value is v for v in inputs):
            cast = helper.make_node("Cast", [old], [inner], to=TensorProto.BFLOAT16)
            graph.node.insert(0, cast)
        else:
            graph.node.append(helper.make_node("Cast", [inner], [old], to=TensorProto.FLOAT))


def _is_bfloat16(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.BFLOAT16)


def _unused_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def rename_everywhere(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a tensor in all nodes of a graph and of its bodies, in place."""
    for node in _all_nodes(graph):
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            yield node
            graphs.extend(a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
            graphs.extend(g for a in node.attribute for g in a.graphs)
