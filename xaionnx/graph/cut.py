"""Derive models from a model: expose internal tensors as outputs, or start from them.

These functions work on ``onnx.ModelProto``: a new output is one entry, external data remain a location, and onnx-ir
(a quarter of a second to import) is not needed. They do not change the given model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import onnx

from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.graph.batch_first import sized_node
from xaionnx.graph.inference import declared, inferred, shell
from xaionnx.graph.view import DEFAULT_DOMAINS, GraphView, topological_order
from xaionnx.loading import declared_inputs
from xaionnx.loading.soundness import subgraphs


def count_ops(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of nodes of each op, including bodies of If, Loop and Scan; the most frequent first.

    Ops of other domains have a prefix: ``"com.microsoft.FastGelu"``. A call of a function of the model counts as one
    op.
    """
    counts: Counter[str] = Counter()
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            plain = node.domain in DEFAULT_DOMAINS
            counts[node.op_type if plain else f"{node.domain}.{node.op_type}"] += 1
            graphs.extend(subgraphs(node))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def expose(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Return the model with further tensors as outputs, after the existing ones and in the given order.

    Parameters
    ----------
    model : onnx.ModelProto
    names : iterable of str
        Tensors of the graph, including weights. Existing outputs are not repeated.

    Raises
    ------
    UnknownNameError
        No tensor has this name.

    Notes
    -----
    Types and shapes of the new outputs are declared if the model contains them. onnxruntime needs none.

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
    types = declared(model)
    have = {value.name for value in model.graph.output}
    for name in wanted:
        if name not in have:
            derived.graph.output.append(types.get(name, onnx.ValueInfoProto(name=name)))
    return derived


def cut(
    model: onnx.ModelProto,
    inputs: Sequence[str],
    outputs: Sequence[str],
    types: Mapping[str, onnx.TypeProto] | None = None,
) -> onnx.ModelProto:
    """Return the part of the model between some tensors and others.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : sequence of str
        Tensors that the caller feeds, in this order. Inputs of the model that are needed as well, for example by a
        connection around the cut, follow them.
    outputs : sequence of str
        Outputs of the derived model, in this order.
    types : mapping of str to onnx.TypeProto, optional
        Types of internal tensors that become inputs, if neither the model nor ONNX's type inference knows them.

    Returns
    -------
    onnx.ModelProto
        Contains only the nodes and weights needed, in topological order, under their names.

    Raises
    ------
    UnknownNameError
        No tensor has this name.
    ParameterError
        A name is given twice, or there is no output.
    UnsupportedModelError
        The type of an internal tensor is unknown, for example after a custom op of onnxruntime.

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
    nodes, needed = GraphView(model).needed(inputs, outputs)
    known_types = declared(model)
    model_inputs = {value.name: value for value in declared_inputs(model)}
    derived = shell(model)
    part = derived.graph
    part.name = graph.name
    part.input.extend(model_inputs.get(name) or _typed_input(model, name, known_types, types or {}) for name in inputs)
    fed = set(inputs)
    part.input.extend(value for name, value in model_inputs.items() if name in needed and name not in fed)
    part.output.extend(known_types.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
    for node in nodes:
        copy = part.node.add()
        copy.CopyFrom(node)
        for index, name in enumerate(node.output):
            if name in fed:  # the node is needed for another of its outputs
                copy.output[index] = _unused_name(f"{name}_uncut", needed)
    part.initializer.extend(tensor for tensor in graph.initializer if tensor.name in needed - fed)
    part.sparse_initializer.extend(t for t in graph.sparse_initializer if t.values.name in needed - fed)
    ends = fed | model_inputs.keys() | set(outputs)
    part.value_info.extend(value for value in graph.value_info if value.name in needed and value.name not in ends)
    part.quantization_annotation.extend(a for a in graph.quantization_annotation if a.tensor_name in needed)
    return derived


def with_copy(model: onnx.ModelProto, name: str, copy: str) -> onnx.ModelProto:
    """Return the model with a further output ``copy`` that equals the tensor ``name``.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }''')
    >>> [value.name for value in with_copy(model, "y", "z").graph.output]
    ['y', 'z']
    """
    derived = onnx.ModelProto()
    derived.CopyFrom(model)
    derived.graph.node.append(onnx.helper.make_node("Identity", [name], [copy], name=copy))
    output = onnx.ValueInfoProto(name=copy)
    if name in (types := declared(model)):
        output.type.CopyFrom(types[name].type)
    derived.graph.output.append(output)
    return derived


def batch_first(model: onnx.ModelProto, name: str, axis: int | None, rank: int) -> onnx.ModelProto:
    """Return an equivalent model in which the tensor ``name``, of ``rank`` axes, has its batch axis ``axis`` first.

    With None it has no batch axis, and one of size 1 is added. Whatever read the tensor reads it in its former order,
    and so does no output of the model.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[T, N, 2] x) => (float[T, N, 2] y) { h = Relu(x)  y = Exp(h) }''')
    >>> [(node.op_type, node.output[0]) for node in batch_first(model, "h", 1, 3).graph.node]
    [('Relu', 'h/former'), ('Transpose', 'h'), ('Transpose', 'h/back'), ('Exp', 'y')]
    """
    derived = onnx.ModelProto()
    derived.CopyFrom(model)
    order = [axis or 0, *(other for other in range(rank) if other != axis)]
    former, back, nodes = f"{name}/former", f"{name}/back", list[onnx.NodeProto]()
    for node in derived.graph.node:
        for index, read in enumerate(node.input):
            if read == name:
                node.input[index] = back
        nodes.append(node)
        for index, made in enumerate(node.output):
            if made == name:
                node.output[index] = former
                if axis is None:
                    nodes.append(sized_node(derived, "Unsqueeze", former, name))
                    nodes.append(sized_node(derived, "Squeeze", name, back))
                    continue
                inverse = [order.index(at) for at in range(rank)]
                nodes.append(onnx.helper.make_node("Transpose", [former], [name], name=name, perm=order))
                nodes.append(onnx.helper.make_node("Transpose", [name], [back], name=back, perm=inverse))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del derived.graph.node[:]
    derived.graph.node.extend(copies)
    kept = [value for value in derived.graph.value_info if value.name != name]
    del derived.graph.value_info[:]
    derived.graph.value_info.extend(kept)
    return derived


def _check_known(model: onnx.ModelProto, names: Iterable[str]) -> None:
    known = set(GraphView(model).tensor_names)
    known.update(tensor.name for tensor in model.graph.initializer)
    known.update(tensor.values.name for tensor in model.graph.sparse_initializer)
    for name in names:
        if name not in known:
            raise UnknownNameError.among("tensor", name, known)


def _typed_input(
    model: onnx.ModelProto,
    name: str,
    known_types: Mapping[str, onnx.ValueInfoProto],
    types: Mapping[str, onnx.TypeProto],
) -> onnx.ValueInfoProto:
    if name in types:
        return onnx.ValueInfoProto(name=name, type=types[name])
    if name in known_types:
        return known_types[name]
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
    info = inferred(model, topological_order(model.graph)).get(name)
    if info is None:
        raise UnsupportedModelError(
            f"The type of tensor '{name}' is not known before the model runs, so it cannot become an input. "
            "Give its type, or cut at an earlier or later tensor."
        )
    return info


def _unused_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
