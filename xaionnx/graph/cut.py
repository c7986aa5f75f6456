"""Derive models from a model: show inner tensors as outputs, or start from them.

These work on ``onnx.ModelProto``, as reading gives it: a new output is one entry, external data stay a location, and
onnx-ir (a quarter of a second to import) is left to `xaionnx.graph.builder`. No model given here is changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import onnx
import onnx.shape_inference

from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.serialize import WEIGHTS_APART
from xaionnx.loading import declared_inputs
from xaionnx.loading.soundness import subgraphs

# Numbers of a weight that the inference of shapes may look into.
_LIGHT = 1024


def tensor_names(model: onnx.ModelProto) -> list[str]:
    """Names of all tensors that depend on something: the inputs, then what each node makes, makers before readers.

    Weights are left out, and so are tensors inside the bodies of If, Loop and Scan, which no session can show.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Relu(x)  y = Exp(h) }''')
    >>> tensor_names(model)
    ['x', 'h', 'y']
    """
    names = [value.name for value in declared_inputs(model)]
    names.extend(name for node in ordered(model.graph) for name in node.output if name)
    return names


def descendants(model: onnx.ModelProto, names: Iterable[str]) -> set[str]:
    """Names of the tensors that depend on any of those given, which are not among them.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Relu(x)  y = Exp(h) }''')
    >>> descendants(model, ["h"])
    {'y'}
    """
    sources = set(names)
    found: set[str] = set()
    for node in ordered(model.graph):
        if any(name in sources or name in found for name in reads(node)):
            found.update(name for name in node.output if name)
    return found - sources


def op_census(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each op there are, bodies of If, Loop and Scan included; the most frequent first.

    Ops outside the default domain carry it: ``"com.microsoft.FastGelu"``. A call of a model's own function counts as
    one op.
    """
    counts: Counter[str] = Counter()
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            plain = node.domain in ("", "ai.onnx")
            counts[node.op_type if plain else f"{node.domain}.{node.op_type}"] += 1
            graphs.extend(subgraphs(node))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def expose(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """The model with further tensors as outputs, after its own and in the order given.

    Parameters
    ----------
    model : onnx.ModelProto
    names : iterable of str
        Tensors of the graph, weights too. Those that are outputs already are not listed again.

    Raises
    ------
    UnknownNameError
        No tensor has this name.

    Notes
    -----
    Types and shapes of the new outputs are declared where the model knows them. onnxruntime needs none.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Relu(x)  y = Exp(h) }''')
    >>> [value.name for value in expose(model, ["h", "y"]).graph.output]
    ['y', 'h']
    """
    wanted = list(dict.fromkeys(names))
    _check_known(model, wanted)
    derived = onnx.ModelProto()
    derived.CopyFrom(model)
    derived.ClearField("training_info")
    declared = _declared(model)
    have = {value.name for value in model.graph.output}
    for name in wanted:
        if name not in have:
            derived.graph.output.append(declared.get(name, onnx.ValueInfoProto(name=name)))
    return derived


def cut(
    model: onnx.ModelProto,
    inputs: Sequence[str],
    outputs: Sequence[str],
    types: Mapping[str, onnx.TypeProto] | None = None,
) -> onnx.ModelProto:
    """The part of the model that leads from some tensors to others.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : sequence of str
        Tensors that the caller feeds, in this order. Inputs of the model that are needed besides follow them, as where
        a connection goes around the cut.
    outputs : sequence of str
        Tensors that the derived model answers with, in this order.
    types : mapping of str to onnx.TypeProto, optional
        Types of inner tensors that become inputs, where neither the model nor ONNX's type inference knows them.

    Returns
    -------
    onnx.ModelProto
        Holds only the nodes and weights needed, makers before readers; names are those of the model.

    Raises
    ------
    UnknownNameError
        No tensor has this name.
    ParameterError
        A name is given twice, or there is no output.
    UnsupportedModelError
        The type of an inner tensor is unknown: after an op of onnxruntime's own, for example.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 2] x) => (float[N, 2] y) { h = Relu(x)  y = Exp(h) }''')
    >>> part = cut(model, ["h"], ["y"])
    >>> [value.name for value in part.graph.input], [node.op_type for node in part.graph.node]
    (['h'], ['Exp'])
    """
    for parameter, names in (("inputs", inputs), ("outputs", outputs)):
        _check_known(model, names)
        doubled = [name for name, count in Counter(names).items() if count > 1]
        if doubled:
            raise ParameterError(
                f"The '{parameter}' parameter of cut must name each tensor once. Got '{doubled[0]}' twice."
            )
    if not outputs:
        raise ParameterError("The 'outputs' parameter of cut must name at least one tensor. Got none.")
    graph = model.graph
    nodes, needed = _needed(graph, inputs, outputs)
    declared = _declared(model)
    own = {value.name: value for value in declared_inputs(model)}
    derived = _shell(model)
    part = derived.graph
    part.name = graph.name
    part.input.extend(own[name] if name in own else _typed_input(model, name, declared, types or {}) for name in inputs)
    fed = set(inputs)
    part.input.extend(value for name, value in own.items() if name in needed and name not in fed)
    part.output.extend(declared.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
    for node in nodes:
        kept = part.node.add()
        kept.CopyFrom(node)
        for index, name in enumerate(node.output):
            if name in fed:  # made by a node that is needed for another of its outputs
                kept.output[index] = _unused(f"{name}_uncut", needed)
    part.initializer.extend(tensor for tensor in graph.initializer if tensor.name in needed - fed)
    part.sparse_initializer.extend(t for t in graph.sparse_initializer if t.values.name in needed - fed)
    ends = fed | own.keys() | set(outputs)
    part.value_info.extend(value for value in graph.value_info if value.name in needed and value.name not in ends)
    part.quantization_annotation.extend(a for a in graph.quantization_annotation if a.tensor_name in needed)
    return derived


def ancestors(model: onnx.ModelProto, names: Iterable[str]) -> set[str]:
    """Names of everything that some tensors are made from, inputs and weights too, and of these tensors."""
    return _needed(model.graph, (), names)[1]


def shapes(model: onnx.ModelProto, inputs: Mapping[str, Sequence[int]]) -> dict[str, tuple[int | None, ...]]:
    """Shapes of tensors, as ONNX's inference finds them for inputs of some sizes; None where it does not."""
    return {
        name: tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim)
        for name, value in _inferred(model, inputs).items()
        if value.type.tensor_type.HasField("shape")
    }


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes of an acyclic graph with makers before readers; otherwise in the order of the file."""
    nodes = list(graph.node)
    maker = _makers(nodes)
    order: list[onnx.NodeProto] = []
    placed = bytearray(len(nodes))
    for first in range(len(nodes)):
        stack = [first]
        while stack:
            index = stack[-1]
            if placed[index]:
                stack.pop()
                continue
            waiting = [maker[name] for name in reads(nodes[index]) if name in maker and not placed[maker[name]]]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                stack.pop()
                placed[index] = 1
                order.append(nodes[index])
    return order


def reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node needs: its inputs, and what its bodies take from outside."""
    names = [name for name in node.input if name]
    bodies = list(subgraphs(node))
    if not bodies:
        return names
    # Scopes from the outside in, each with the position of the one that holds it; then resolved from the inside out.
    scopes: list[tuple[onnx.GraphProto, int]] = [(body, -1) for body in bodies]
    at = 0
    while at < len(scopes):
        scopes.extend((inner, at) for held in scopes[at][0].node for inner in subgraphs(held))
        at += 1
    taken: list[dict[str, None]] = [{} for _ in scopes]
    for at in range(len(scopes) - 1, -1, -1):
        body, outer = scopes[at]
        own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
        own.update(tensor.values.name for tensor in body.sparse_initializer)
        for held in body.node:
            own.update(held.output)
        used = taken[at]
        used.update(dict.fromkeys(name for held in body.node for name in held.input if name))
        used.update(dict.fromkeys(value.name for value in body.output))
        free = [name for name in used if name not in own]
        if outer < 0:
            names.extend(free)
        else:
            taken[outer].update(dict.fromkeys(free))
    return names


def _makers(nodes: Sequence[onnx.NodeProto]) -> dict[str, int]:
    return {name: index for index, node in enumerate(nodes) for name in node.output if name}


def _needed(
    graph: onnx.GraphProto, inputs: Collection[str], outputs: Iterable[str]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """Nodes on the way to the outputs, and every name read or made there; the walk stops at the inputs."""
    nodes = ordered(graph)
    maker = _makers(nodes)
    stops = set(inputs)
    names = set(outputs) | stops
    stack = [name for name in outputs if name not in stops]
    used: set[int] = set()
    while stack:
        index = maker.get(stack.pop())
        if index is None or index in used:
            continue
        used.add(index)
        names.update(name for name in nodes[index].output if name)
        for name in reads(nodes[index]):
            names.add(name)
            if name not in stops:
                stack.append(name)
    return [nodes[index] for index in sorted(used)], names


def _check_known(model: onnx.ModelProto, names: Iterable[str]) -> None:
    known = set(tensor_names(model))
    known.update(tensor.name for tensor in model.graph.initializer)
    known.update(tensor.values.name for tensor in model.graph.sparse_initializer)
    for name in names:
        if name not in known:
            raise UnknownNameError.among("tensor", name, known)


def _declared(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = model.graph
    return {value.name: value for value in (*graph.value_info, *graph.input, *graph.output) if value.HasField("type")}


def _inferred(
    model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, onnx.ValueInfoProto]:
    """Types and shapes by ONNX's inference, which is given the graph without its heavy weights.

    With ``sizes`` of the inputs, free ones among theirs are set to these.
    """
    skeleton = _shell(model)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(ordered(model.graph))  # the inference takes each node once, in the order of the file
    graph.input.extend(declared_inputs(model))
    for tensor in model.graph.initializer:
        light = math.prod(tensor.dims) <= _LIGHT and tensor.data_location != onnx.TensorProto.EXTERNAL
        if light:  # it may be the shape of a Reshape
            graph.initializer.append(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    # An output without a type would stay without one; as an inner tensor it gets one.
    graph.output.extend(value for value in model.graph.output if value.HasField("type"))
    if sizes is None:
        graph.value_info.extend(model.graph.value_info)  # these may call free what is known with sizes
    else:
        for value in graph.input:
            for dim, size in zip(value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False):
                if not dim.HasField("dim_value"):
                    dim.dim_value = size
    return _declared(onnx.shape_inference.infer_shapes(skeleton, data_prop=True))


def _typed_input(
    model: onnx.ModelProto,
    name: str,
    declared: Mapping[str, onnx.ValueInfoProto],
    types: Mapping[str, onnx.TypeProto],
) -> onnx.ValueInfoProto:
    if name in types:
        return onnx.ValueInfoProto(name=name, type=types[name])
    if name in declared:
        return declared[name]
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
    found = _inferred(model).get(name)
    if found is None:
        raise UnsupportedModelError(
            f"The type of tensor '{name}' is not known before the model runs, so it cannot become an input. "
            "Give its type, or cut at an earlier or later tensor."
        )
    return found


def _shell(model: onnx.ModelProto) -> onnx.ModelProto:
    """Everything of a model but its graph."""
    shell = onnx.ModelProto(
        ir_version=max(model.ir_version, WEIGHTS_APART),
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
    )
    shell.opset_import.extend(model.opset_import)
    shell.functions.extend(model.functions)
    shell.metadata_props.extend(model.metadata_props)
    return shell


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
