"""Replace composed ops by the function bodies that ONNX defines for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
import onnx.defs

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.opset import OPSET, opset_of
from xaionnx.graph.view import DEFAULT_DOMAINS
from xaionnx.loading.shape_inference import infer_shapes

# Ops that are expanded before differentiation. CastLike occurs in the bodies of others.
COMPOSED = frozenset(
    {"Attention", "CastLike", "NegativeLogLikelihoodLoss", "RotaryEmbedding", "SoftmaxCrossEntropyLoss"}
)
_MASK, _PADDING = 3, 6


def expand(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model in which each op of :data:`COMPOSED` is expanded into simpler ops.

    Parameters
    ----------
    model : onnx.ModelProto
        Not changed, and returned if it contains none of these ops. Bodies of If, Loop and Scan are not expanded.

    Raises
    ------
    UnsupportedModelError
        The type of a tensor that such an op reads cannot be inferred, or ONNX has no body for the model's opset.

    Notes
    -----
    Attention returns 0 for a query that may not attend to any key. ONNX's body computes a softmax of minus infinities
    for it and discards the result, but the derivative would be NaN for every key. In nodes with a mask, such rows
    are therefore set to 0 before the softmax as well as after it.

    Examples
    --------
    >>> from onnx import parser
    >>> model = parser.parse_model('''
    ... <ir_version: 10, opset_import: ["" : 23]>
    ... g (float[N, 2, 5, 4] x) => (float[N, 2, 5, 4] y) { y = Attention(x, x, x) }''')
    >>> {"Softmax", "MatMul"} <= {node.op_type for node in expand(model).graph.node}
    True
    """
    while any(_is_composed(node) for node in model.graph.node):
        model = _expand_once(model)
    return model


def _is_composed(node: onnx.NodeProto) -> bool:
    return node.domain in DEFAULT_DOMAINS and node.op_type in COMPOSED


def _expand_once(model: onnx.ModelProto) -> onnx.ModelProto:
    version = opset_of(model) or OPSET
    types = _tensor_types(infer_shapes(model).graph)
    names = _all_names(model.graph)
    form = onnx.ModelProto()
    form.CopyFrom(model)
    del form.graph.node[:]
    for node in model.graph.node:
        form.graph.node.extend(_body(node, version, types, names) if _is_composed(node) else [node])
    return form


def _tensor_types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    types = {value.name: value.type for value in (*graph.input, *graph.output, *graph.value_info)}
    for tensor in graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return types


def _all_names(graph: onnx.GraphProto) -> set[str]:
    names = {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        names.update((node.name, *node.output))
    return names


def _body(
    node: onnx.NodeProto, version: int, types: Mapping[str, onnx.TypeProto], names: set[str]
) -> Iterator[onnx.NodeProto]:
    function = _function_body(node, version, types)
    schema = onnx.defs.get_schema(node.op_type, version, "")
    values = {name: entry.default_value for name, entry in schema.attributes.items() if entry.default_value.name}
    values |= {attribute.name: attribute for attribute in node.attribute}
    prefix = _unused_prefix(f"{node.name or node.op_type}/", names)
    renamed = dict(zip(function.input, node.input, strict=False))
    renamed |= {inner: outer for inner, outer in zip(function.output, node.output, strict=False) if outer}
    renamed[""] = ""
    for inner in function.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(inner)
        copy.name = f"{prefix}{inner.name or inner.output[0]}"
        copy.input[:] = [renamed.setdefault(name, prefix + name) for name in inner.input]
        copy.output[:] = [renamed.setdefault(name, prefix + name) for name in inner.output]
        del copy.attribute[:]
        copy.attribute.extend(_body_attributes(inner, values))
        if copy.op_type == "Softmax" and any(len(node.input) > i and node.input[i] for i in (_MASK, _PADDING)):
            yield from _guard_softmax(copy)
        else:
            yield copy


def _function_body(node: onnx.NodeProto, version: int, types: Mapping[str, onnx.TypeProto]) -> onnx.FunctionProto:
    schema = onnx.defs.get_schema(node.op_type, version, "")
    unknown = [name for name in node.input if name and not types.get(name, onnx.TypeProto()).ByteSize()]
    if unknown:
        raise UnsupportedModelError(
            f"ONNX op '{node.op_type}' (node '{node.name}') cannot be expanded into simpler ops, because the type of "
            f"its input '{unknown[0]}' is not known. Run onnx.shape_inference over the file and save the result."
        )
    function = onnx.FunctionProto()
    # The stubs of onnx lack both members.
    offered: list[int] = schema.context_dependent_function_opset_versions  # type: ignore[attr-defined]  # see above
    versions = [opset for opset in offered if opset <= version]
    if versions:
        input_types = [types[name].SerializeToString() if name else b"" for name in node.input]
        body = schema.get_context_dependent_function_with_opset_version  # type: ignore[attr-defined]  # see above
        content = body(max(versions), node.SerializeToString(), input_types)
        function.ParseFromString(content)
    if not function.node:
        raise UnsupportedModelError(
            f"ONNX op '{node.op_type}' (node '{node.name}') has no body in opset {version} that fits its attributes "
            "and types. Explain an earlier tensor, or use a method without gradients: occlusion, rise, lime, "
            "kernel_shap."
        )
    return function


def _body_attributes(inner: onnx.NodeProto, values: Mapping[str, onnx.AttributeProto]) -> Iterator[onnx.AttributeProto]:
    """Yield the attributes of a node in a body, with references replaced by the attributes of the call."""
    for attribute in inner.attribute:
        if not attribute.ref_attr_name:
            yield attribute
        elif attribute.ref_attr_name in values:
            copy = onnx.AttributeProto()
            copy.CopyFrom(values[attribute.ref_attr_name])
            copy.name = attribute.name
            yield copy


def _guard_softmax(softmax: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield a Softmax over the last axis that returns 0 if all its inputs are minus infinity."""
    (scores,), (shares,) = softmax.input, softmax.output
    stem = f"{shares}/guard_"

    def made(op_type: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
        # The Softmax may have the same name as its output.
        node = onnx.helper.make_node(op_type, inputs, [output], name=f"{stem}{op_type}_of_{output}")
        node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
        return node

    axes = onnx.helper.make_tensor(f"{stem}axes", onnx.TensorProto.INT64, [1], [-1])
    yield onnx.helper.make_node("Constant", [], [f"{stem}axes"], name=f"{stem}axes", value=axes)
    yield made("ReduceMax", [scores, f"{stem}axes"], f"{stem}largest", keepdims=1)
    yield made("IsInf", [f"{stem}largest"], f"{stem}empty", detect_positive=0)
    zero = onnx.helper.make_tensor(f"{stem}zero_32", onnx.TensorProto.FLOAT, [], [0.0])
    yield onnx.helper.make_node("Constant", [], [f"{stem}zero_32"], name=f"{stem}zero_32", value=zero)
    yield made("CastLike", [f"{stem}zero_32", scores], f"{stem}zero")
    yield made("Where", [f"{stem}empty", f"{stem}zero", scores], f"{stem}scores")
    softmax.input[0], softmax.output[0] = f"{stem}scores", f"{stem}shares"
    yield softmax
    yield made("Where", [f"{stem}empty", f"{stem}zero", f"{stem}shares"], shares)


def _unused_prefix(stem: str, names: set[str]) -> str:
    """Return a prefix of no name in the graph."""
    prefix, turn = stem, 1
    while any(name.startswith(prefix) for name in names):
        turn += 1
        prefix = f"{stem}{turn}/"
    names.add(prefix)
    return prefix
