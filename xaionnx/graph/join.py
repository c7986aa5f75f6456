"""Join models into one: outputs of one are the inputs of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import onnx
from onnx import TensorProto, helper

from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.opsets import domain, same_opsets
from xaionnx.graph.parts import metadata
from xaionnx.loading import declared_inputs
from xaionnx.loading.reading import WEIGHTS_APART
from xaionnx.loading.soundness import subgraphs
from xaionnx.short_repr import short_repr

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})


@final
@dataclass(frozen=True, eq=False)
class Part:
    """A model to be joined.

    Attributes
    ----------
    name : str
        Its name in messages and in front of names that clash; each part has another.
    sha256 : str
    proto : onnx.ModelProto
        With its weights.
    """

    name: str
    sha256: str
    proto: onnx.ModelProto

    __repr__ = short_repr

    @property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The inputs that a caller feeds."""
        return declared_inputs(self.proto)


# The number of a part, and the name of its input or output.
Port: TypeAlias = tuple[int, str]


def join(parts: Sequence[Part], links: Mapping[Port, Port]) -> onnx.ModelProto:
    """Return the model of several parts, each of which reads outputs of earlier ones, see :func:`connections`.

    Its inputs and outputs are those of :func:`free_ports`. Names of tensors stay as they are; those that an earlier
    part has too get the name of their part in front, as in ``head/relu``.

    Raises
    ------
    UnsupportedModelError
        The op sets cannot be brought to the same versions.
    """
    protos = same_opsets([part.proto for part in parts], [part.name for part in parts])
    joined = onnx.ModelProto(ir_version=max(WEIGHTS_APART, *(proto.ir_version for proto in protos)))
    joined.graph.name = "+".join(part.name for part in parts)
    versions = {domain(entry.domain): entry.version for proto in protos for entry in proto.opset_import}
    joined.opset_import.extend(helper.make_opsetid(name, version) for name, version in versions.items())
    notes: dict[str, str] = {}
    merge = _Merge(joined, parts, links)
    for number, proto in enumerate(protos):
        merge.add(number, proto)
        notes |= {entry.key: entry.value for entry in proto.metadata_props}
    merge.add_outputs()
    helper.set_model_props(joined, notes | metadata([(part.name, part.sha256) for part in parts]))
    return joined


def free_ports(parts: Sequence[Part], links: Mapping[Port, Port]) -> tuple[list[Port], list[Port]]:
    """Return the inputs that read no part, and the outputs that no part reads, those of the last part first."""
    inputs = [(k, value.name) for k, part in enumerate(parts) for value in part.inputs if (k, value.name) not in links]
    read, last = set(links.values()), len(parts) - 1
    order = [last, *range(last)]
    outputs = [(k, value.name) for k in order for value in parts[k].proto.graph.output if (k, value.name) not in read]
    return inputs, outputs


def connections(parts: Sequence[Part], connect: Mapping[str, str]) -> dict[Port, Port]:
    """Return the output that each connected input reads.

    Parameters
    ----------
    parts : sequence of Part
    connect : mapping of str to str
        Output by input that reads it, by name or as ``PART:NAME``. A part of which no input is named reads the outputs
        of the part before it: those with the names of its inputs, or the only one that fits.

    Raises
    ------
    UnknownNameError, ParameterError
        A connection does not exist, is ambiguous, or leaves a part without any.
    UnsupportedModelError
        Connected tensors differ in type or shape.
    """
    if len(parts) < 2:
        raise ParameterError(f"At least two models are needed to join them. Got {len(parts)}.")
    inputs = [(k, value.name) for k, part in enumerate(parts) for value in part.inputs]
    outputs = [(k, value.name) for k, part in enumerate(parts) for value in part.proto.graph.output]
    links: dict[Port, Port] = {}
    for reader, source in connect.items():
        into, out = _find("input", reader, inputs, parts), _find("output", source, outputs, parts)
        if into[0] <= out[0]:
            raise ParameterError(
                f"Input '{reader}' of {parts[into[0]].name} cannot read '{source}' of {parts[out[0]].name}, which does "
                "not come before it. Give the models in the order in which they run."
            )
        links[into] = out
    for number in range(1, len(parts)):
        if not any(k == number for k, _ in links):
            links |= _found_links(parts, number)
    for (k, reader), (j, source) in links.items():
        _check_fits(parts[j], _value(parts[j].proto.graph.output, source), parts[k], _value(parts[k].inputs, reader))
    unread = [part.name for k, part in enumerate(parts[:-1]) if all(j != k for j, _ in links.values())]
    if unread:
        raise ParameterError(f"No model reads an output of {unread[0]}. Say which input does with connect.")
    return links


def _find(kind: str, text: str, ports: Sequence[Port], parts: Sequence[Part]) -> Port:
    qualified = [f"{parts[k].name}:{name}" for k, name in ports]
    found = [port for port, whole in zip(ports, qualified, strict=True) if text in (port[1], whole)]
    if not found:
        raise UnknownNameError.among(kind, text, [*(name for _, name in ports), *qualified])
    if len(found) > 1:
        each = ", ".join(f"'{parts[k].name}:{name}'" for k, name in found)
        raise ParameterError(f"Several models have an {kind} '{text}'. Name one of {each}.")
    return found[0]


def _found_links(parts: Sequence[Part], number: int) -> dict[Port, Port]:
    """The connections of a part with the one before it: by equal names, else the only pair that fits."""
    part, before = parts[number], parts[number - 1]
    pairs = [
        (reader.name, source.name)
        for reader in part.inputs
        for source in before.proto.graph.output
        if _difference(source, reader) is None
    ]
    chosen = [pair for pair in pairs if pair[0] == pair[1]] or pairs
    readers = {reader for reader, _ in chosen}
    if len(chosen) == 1 or (chosen and chosen != pairs and len(readers) == len(chosen)):
        return {(number, reader): (number - 1, source) for reader, source in chosen}
    shown = ", ".join(_shown(value) for value in before.proto.graph.output)
    wanted = ", ".join(_shown(value) for value in part.inputs)
    if pairs:
        raise ParameterError(
            f"More than one output of {before.name}, {shown}, or input of {part.name}, {wanted}, fits. Say which input "
            "reads which output with connect."
        )
    raise UnsupportedModelError(
        f"No output of {before.name}, {shown}, fits an input of {part.name}, {wanted}. Put a model in between that "
        "brings them together, or connect it to an earlier model."
    )


def _check_fits(before: Part, source: onnx.ValueInfoProto, part: Part, reader: onnx.ValueInfoProto) -> None:
    difference = _difference(source, reader)
    if difference is not None:
        raise UnsupportedModelError(
            f"Output {_shown(source)} of {before.name} does not fit input {_shown(reader)} of {part.name}: "
            f"{difference}. Put a model in between that brings them together."
        )


def _difference(source: onnx.ValueInfoProto, reader: onnx.ValueInfoProto) -> str | None:
    """Why an output cannot be read by an input, in words; None if it can, or if nothing is known of it."""
    if not source.HasField("type"):
        return None
    if source.type.WhichOneof("value") != "tensor_type":
        return "it is not a tensor"
    one, other = source.type.tensor_type, reader.type.tensor_type
    if one.elem_type != other.elem_type and not {one.elem_type, other.elem_type} <= _FLOATS:
        return "their types differ"
    if not (one.HasField("shape") and other.HasField("shape")):
        return None
    if len(one.shape.dim) != len(other.shape.dim):
        return "they have different numbers of axes"
    for axis, (a, b) in enumerate(zip(one.shape.dim, other.shape.dim, strict=True)):
        if a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value != b.dim_value:
            return f"axis {axis} has {a.dim_value} entries, not {b.dim_value}"
    return None


def _value(values: Iterable[onnx.ValueInfoProto], name: str) -> onnx.ValueInfoProto:
    return next(value for value in values if value.name == name)


def _shown(value: onnx.ValueInfoProto) -> str:
    """Name, shape and type of a tensor."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return f"'{value.name}'"
    sizes = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim]
    name = TensorProto.DataType.Name(kind.elem_type).lower()
    return f"'{value.name}' ({', '.join(sizes)}{',' if len(sizes) == 1 else ''}) {name}"


@final
class _Merge:
    """Adds the graphs of parts to a model, under names that differ."""

    def __init__(self, joined: onnx.ModelProto, parts: Sequence[Part], links: Mapping[Port, Port]) -> None:
        self._joined, self._parts, self._links = joined, parts, links
        self._taken: set[str] = set()
        self._tensors: list[dict[str, str]] = []
        self._outputs: dict[Port, onnx.ValueInfoProto] = {}
        self._functions: dict[tuple[str, str], bytes] = {}
        self._alone = _one_at_a_time(parts, links)

    def add(self, number: int, proto: onnx.ModelProto) -> None:
        """Add the graph of a part."""
        graph, title = self._joined.graph, self._parts[number].name
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        copied = copy.graph
        fed = {value.name for value in declared_inputs(copy)}
        names = self._renamed(number, copied)
        self._tensors.append(names)
        self._rename_functions(copy, title)
        _rename(copied, names)
        linked = {name: source for (k, name), source in self._links.items() if k == number}
        graph.node.extend(self._casts(number, linked, proto))
        renamed = {node.name for node in graph.node}
        for node in copied.node:
            node.name = _unused(node.name, renamed, title) if node.name in renamed and node.name else node.name
        graph.node.extend(copied.node)
        graph.initializer.extend(copied.initializer)
        graph.sparse_initializer.extend(copied.sparse_initializer)
        graph.quantization_annotation.extend(copied.quantization_annotation)
        graph.input.extend(value for value in copied.input if value.name in {names[n] for n in fed - linked.keys()})
        if number in self._alone:
            for value in graph.input:
                dims = value.type.tensor_type.shape.dim
                if value.name in names.values() and len(dims) and not dims[0].HasField("dim_value"):
                    dims[0].dim_value = 1
        graph.value_info.extend(_without_shape(value) for value in copied.value_info)
        for old, value in zip(proto.graph.output, copied.output, strict=True):
            self._outputs[number, old.name] = value

    def add_outputs(self) -> None:
        """Add the outputs that no part reads; the others are inner tensors."""
        graph = self._joined.graph
        _, ports = free_ports(self._parts, self._links)
        outputs = {self._outputs[port].name: self._outputs[port] for port in ports}
        graph.output.extend(outputs.values())
        ends = {value.name for value in (*graph.input, *outputs.values())}
        read = [_without_shape(value) for value in self._outputs.values()]
        inner = {value.name: value for value in (*graph.value_info, *read) if value.name not in ends}
        del graph.value_info[:]
        graph.value_info.extend(inner.values())

    def _renamed(self, number: int, graph: onnx.GraphProto) -> dict[str, str]:
        """The new name of every tensor of a part."""
        title, names = self._parts[number].name, {}
        linked = {name: source for (k, name), source in self._links.items() if k == number}
        used = set(_tensor_names(graph))
        for name in used:
            if name not in linked:
                names[name] = _unused(name, self._taken | used, title) if name in self._taken else name
        for name, (j, source) in linked.items():
            names[name] = self._tensors[j][source]
            if self._cast_to(number, name, (j, source)) is not None:
                names[name] = _unused(f"{names[name]}_cast", self._taken | used, title)
        self._taken |= set(names.values())
        return names

    def _cast_to(self, number: int, name: str, source: Port) -> int | None:
        """The float type to which a connected tensor has to be converted; None if it has it."""
        out = _value(self._parts[source[0]].proto.graph.output, source[1]).type.tensor_type.elem_type
        into = int(_value(self._parts[number].inputs, name).type.tensor_type.elem_type)
        return None if out in (0, into) else into

    def _casts(self, number: int, linked: Mapping[str, Port], proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
        for name, (j, source) in linked.items():
            to = self._cast_to(number, name, (j, source))
            if to is not None:
                yield helper.make_node("Cast", [self._tensors[j][source]], [self._tensors[number][name]], to=to)

    def _rename_functions(self, copy: onnx.ModelProto, title: str) -> None:
        """Add the functions of a part, under another name if an earlier part has another of that name."""
        renamed: dict[tuple[str, str], str] = {}
        for function in copy.functions:
            key = (function.domain, function.name)
            known = self._functions.get(key)
            if known is not None and known != function.SerializeToString():
                renamed[key] = f"{title}_{function.name}"
        for holder in (*_graphs(copy.graph), *copy.functions):
            for node in holder.node:
                node.op_type = renamed.get((node.domain, node.op_type), node.op_type)
        for function in copy.functions:
            function.name = renamed.get((function.domain, function.name), function.name)
            key = (function.domain, function.name)
            if key not in self._functions:
                self._functions[key] = function.SerializeToString()
                self._joined.functions.append(function)


def _one_at_a_time(parts: Sequence[Part], links: Mapping[Port, Port]) -> set[int]:
    """The parts that can run on one sample only, because a later part reads one row of their output."""
    alone: set[int] = set()
    for (k, reader), (j, source) in sorted(links.items(), reverse=True):
        fixed, free = (
            next((dim for dim in value.type.tensor_type.shape.dim), None)
            for value in (_value(parts[k].inputs, reader), _value(parts[j].proto.graph.output, source))
        )
        if free is not None and not free.HasField("dim_value") and (k in alone or (fixed and fixed.dim_value == 1)):
            alone.add(j)
    return alone


def _unused(name: str, taken: set[str], title: str) -> str:
    new = f"{title}{'' if name.startswith('/') else '/'}{name}"
    while new in taken:
        new += "_"
    return new


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph, and the bodies of its nodes."""
    graphs = [graph]
    while graphs:
        yield graphs[-1]
        for node in graphs.pop().node:
            graphs.extend(subgraphs(node))


def _tensor_names(graph: onnx.GraphProto) -> Iterator[str]:
    for inner in _graphs(graph):
        yield from (value.name for value in (*inner.input, *inner.output))
        yield from (tensor.name for tensor in inner.initializer)
        yield from (tensor.values.name for tensor in inner.sparse_initializer)
        yield from (name for node in inner.node for name in (*node.input, *node.output) if name)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for inner in _graphs(graph):
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
            value.name = names.get(value.name, value.name)
        for tensor in inner.sparse_initializer:
            tensor.values.name = names.get(tensor.values.name, tensor.values.name)
        for note in inner.quantization_annotation:
            note.tensor_name = names.get(note.tensor_name, note.tensor_name)
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]


def _without_shape(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The type of an inner tensor; a size may be another after a part with another batch."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    if copy.type.HasField("tensor_type"):
        copy.type.tensor_type.ClearField("shape")
    return copy
