"""A model as LRP's epsilon rule sees it: linear in its input, with gates and the ratios of activations held constant.

With the epsilon rule and no stabiliser, relevance passes an activation y = f(x) as if y were (y / x) x, a gate gets
none, and a normalisation divides by a constant (Bach et al. 2015; Ali et al. 2022). What is left is linear, so the
relevance of an element is the element times the slope of that linear model, which plain onnxruntime runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.real.plain import Plain
from tests.real.recurrent import RECURRENT, NotLinearError, Recurrence

Array = np.ndarray[Any, Any]

LINEAR = {
    *("Add", "Sub", "Neg", "Sum", "Mean", "Identity", "Cast", "Dropout", "Conv", "ConvTranspose", "Gemm", "MatMul"),
    *("BatchNormalization", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Reshape", "Transpose"),
    *("Flatten", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Pad", "Resize", "Upsample", "Expand"),
    *("Tile", "DepthToSpace", "SpaceToDepth", "Scaler", "Where", "ReverseSequence", "GatherElements"),
}
RATIO = {
    *(
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Softmax",
    ),
    *("LogSoftmax", "Gelu", "Erf", "Clip", "Abs", "Sqrt", "Exp", "Log", "Mish", "ThresholdedRelu", "Softsign"),
}
# Ops whose outputs are weights of something else where they are multiplied with it.
GATES = {"Sigmoid": 2, "HardSigmoid": 2, "Softmax": 2, "Erf": 1, "Clip": 1, "Tanh": 1}
# Ops behind which a gate is still one.
PASSING = {
    *("Add", "Mul", "Div", "Reshape", "Cast", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Expand"),
    *("Dropout", "Identity", "Where"),
}
# Of these a quantiser leaves out the rectifier after them, where the range of the integers does the same.
LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sum", "Sub", "BatchNormalization"}
SHAPES = {"Shape", "Size", "ConstantOfShape", "Range", "NonZero"}


class NoOracleError(Exception):
    """The model has an op that is not linear with something held constant here."""


def frozen(plain: Plain, feeds: Mapping[str, Array], moved: Iterable[str]) -> Plain:
    """The model around a sample, linear in the inputs ``moved``.

    Raises
    ------
    NoOracleError
        An op on the way has no linear form here.
    """
    whole = with_branches_taken(plain, feeds)
    plain = in_floats(whole)
    graph = plain.proto.graph
    reached = set(moved)
    for node in graph.node:
        if node.op_type not in SHAPES and reached.intersection(node.input):
            reached.update(node.output)
    on_way = [node for node in graph.node if reached.intersection(node.output)]
    bodies = sorted({node.op_type for node in graph.node if node.op_type in ("If", "Loop", "Scan")})
    if not on_way or bodies:
        raise NoOracleError(" and ".join(bodies) or "nothing on the way")
    values = _values(plain, feeds, [name for node in on_way for name in (*node.input, *node.output) if name])
    version = next(entry.version for entry in plain.proto.opset_import if entry.domain in ("", "ai.onnx"))
    held = onnx.ModelProto()
    held.CopyFrom(plain.proto)
    del held.graph.node[:]
    makers = {name: node for node in graph.node for name in node.output}
    for number, node in enumerate(graph.node):
        nodes, constants = [node], {}
        if reached.intersection(node.output):
            if node.op_type in RECURRENT:
                nodes, constants = _recurrence(node, values, reached, f"held_{number}")
            else:
                nodes, constants = _linear(node, values, reached, makers, f"held_{number}", version)
        held.graph.node.extend(nodes)
        held.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return Plain(held, plain.target)


def _values(plain: Plain, feeds: Mapping[str, Array], names: list[str]) -> dict[str, Array]:
    shown = onnx.ModelProto()
    shown.CopyFrom(plain.proto)
    known = {info.name for info in shown.graph.output}
    made = {name for node in shown.graph.node for name in node.output}
    wanted = list(dict.fromkeys(name for name in names if name in made))
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted if name not in known)
    session = Plain(shown, plain.target).session
    inputs = {info.name for info in session.get_inputs()}
    found = session.run(wanted, {name: array for name, array in feeds.items() if name in inputs})
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in shown.graph.initializer}
    return {**constants, **feeds, **dict(zip(wanted, found, strict=True))}


Form = tuple[list[onnx.NodeProto], dict[str, Array]]
Makers = Mapping[str, onnx.NodeProto]


def _linear(
    node: onnx.NodeProto, values: Mapping[str, Array], reached: set[str], makers: Makers, name: str, version: int
) -> Form:
    """The node with what is not linear held at its values, and the constants of that."""
    op = node.op_type
    if values[node.output[0]].dtype.kind != "f":
        return [], {node.output[0]: values[node.output[0]]}  # what is asked about numbers, and their shapes
    moving = [place for place, tensor in enumerate(node.input) if tensor in reached]
    # The larger of a tensor and a constant is an activation too.
    if op in RATIO or op == "Pow" or (op in ("Max", "Min") and len(moving) == 1):
        x, y = values[node.input[moving[0]]], values[node.output[0]]
        ratio = np.divide(y, x, out=np.zeros_like(y), where=x != 0)
        return [helper.make_node("Mul", [node.input[moving[0]], name], node.output[:1])], {name: ratio}
    if op == "MaxPool":
        return _routed(node, values, name)
    if op in ("Max", "Min"):
        return _selected(node, values, name)
    if op in ("ReduceMax", "ReduceMin"):
        return _largest(node, values, name, version)
    if op == "LayerNormalization":
        return _centred(node, values, name)
    if op in ("Mul", "Div", "MatMul") and len(moving) == 2:
        ranks = [0, 1] if op == "Div" else [_rank(tensor, makers) for tensor in node.input[:2]]
        return (
            _halves(node, values, name) if ranks[0] == ranks[1] else _held(node, values, int(ranks[1] > ranks[0]), name)
        )
    if op in ("Mul", "Div") or (op in LINEAR and (op not in ("Conv", "Gemm", "MatMul") or len(moving) == 1)):
        if op == "Div" and 1 in moving:
            raise NoOracleError("a quotient by what moves")
        return [node], {}
    raise NoOracleError(op)


def _recurrence(node: onnx.NodeProto, values: Mapping[str, Array], reached: set[str], name: str) -> Form:
    try:
        return Recurrence(node, values, reached, name).write()
    except NotLinearError as error:
        raise NoOracleError(str(error)) from None


def in_floats(plain: Plain) -> Plain:
    """The model without the rounding of activations, of whose ranges those from zero on after a layer rectify."""
    if not any(node.op_type == "QuantizeLinear" for node in plain.proto.graph.node):
        return plain
    proto = onnx.ModelProto()
    proto.CopyFrom(plain.proto)
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    makers = {name: node.op_type for node in proto.graph.node for name in node.output}
    floats, nodes = set[str](), list[onnx.NodeProto]()
    for number, node in enumerate(proto.graph.node):
        if node.op_type == "QuantizeLinear" and node.input[0] not in known and node.input[1] in known:
            scale, zero = known[node.input[1]], known[node.input[2]]
            ends = np.iinfo(zero.dtype)
            low = np.asarray((float(ends.min) - zero.astype(np.float32)) * scale, dtype=np.float32)
            # What a rectifier left out of the file would cut. Other ends cut outliers alone, as does zero after a gate
            # such as Gelu, whose own curve goes a little below.
            if low == 0 and makers.get(node.input[0]) in LAYERS:
                proto.graph.initializer.append(numpy_helper.from_array(low, f"range_{number}"))
                nodes.append(helper.make_node("Max", [node.input[0], f"range_{number}"], node.output))
            else:
                nodes.append(helper.make_node("Identity", node.input[:1], node.output))
            floats.update(node.output)
        elif node.op_type == "DequantizeLinear" and node.input[0] in floats:
            nodes.append(helper.make_node("Identity", node.input[:1], node.output))
        else:
            if floats.intersection(node.input):
                floats.update(node.output)
            nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:], proto.graph.value_info[:]
    proto.graph.node.extend(kept)
    return Plain(proto, plain.target)


def with_branches_taken(plain: Plain, feeds: Mapping[str, Array]) -> Plain:
    """The model with the branches of If that a sample takes in their place."""
    proto = onnx.ModelProto()
    proto.CopyFrom(plain.proto)
    while any(node.op_type == "If" for node in proto.graph.node):
        number, chosen = next((n, node) for n, node in enumerate(proto.graph.node) if node.op_type == "If")
        condition = _values(Plain(proto, plain.target), feeds, [chosen.input[0]])[chosen.input[0]]
        branch = "then_branch" if bool(np.ravel(condition)[0]) else "else_branch"
        (body,) = (each.g for each in chosen.attribute if each.name == branch)
        ends = [
            helper.make_node("Identity", [inner.name], [outer])
            for inner, outer in zip(body.output, chosen.output, strict=True)
        ]
        nodes = [*proto.graph.node[:number], *body.node, *ends, *proto.graph.node[number + 1 :]]
        weights = list(body.initializer)
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del proto.graph.node[:]
        proto.graph.node.extend(kept)
        proto.graph.initializer.extend(weights)
    return Plain(proto, plain.target)


def _held(node: onnx.NodeProto, values: Mapping[str, Array], place: int, name: str) -> Form:
    """One factor held constant."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    changed.input[place] = name
    return [changed], {name: values[node.input[place]]}


def _halves(node: onnx.NodeProto, values: Mapping[str, Array], name: str) -> Form:
    """A product of two that are no gates: half of it as a function of each."""
    a, b = node.input
    nodes = [
        helper.make_node(node.op_type, [a, f"{name}_b"], [f"{name}_of_a"]),
        helper.make_node(node.op_type, [f"{name}_a", b], [f"{name}_of_b"]),
        helper.make_node("Add", [f"{name}_of_a", f"{name}_of_b"], node.output[:1]),
    ]
    return nodes, {
        f"{name}_{side}": (values[each] / 2).astype(values[each].dtype) for side, each in zip("ab", (a, b), strict=True)
    }


def _rank(tensor: str, makers: Makers) -> int:
    """How much of a gate a tensor is: by the bounded activation that it comes from."""
    for _ in range(12):
        node = makers.get(tensor)
        if node is None:
            return 0
        if node.op_type in GATES:
            return GATES[node.op_type]
        data = [
            name
            for name in node.input[node.op_type == "Where" :]
            if makers.get(name) is not None and makers[name].op_type != "Constant"
        ]
        if node.op_type not in PASSING or not data:
            return 0
        if node.op_type in {"Add", "Mul"} and len(data) > 1:
            return 0
        tensor = data[0]
    return 0


def _routed(node: onnx.NodeProto, values: Mapping[str, Array], name: str) -> Form:
    """Max pooling as a selection of the elements that were the largest."""
    pool = onnx.NodeProto()
    pool.CopyFrom(node)
    pool.output[:] = ["y", "where"]
    pool.input[:] = ["x"]
    x = values[node.input[0]]
    graph = helper.make_graph(
        [pool],
        "pool",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_empty_tensor_value_info("where")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    where = np.asarray(Plain(proto, {"output": "where"}).fetch({"x": x}, "where"))
    flat = helper.make_node("Reshape", [node.input[0], f"{name}_all"], [f"{name}_flat"])
    picked = helper.make_node("Gather", [f"{name}_flat", name], node.output[:1])
    return [flat, picked], {name: where, f"{name}_all": np.array([-1], dtype=np.int64)}


def _largest(node: onnx.NodeProto, values: Mapping[str, Array], name: str, version: int) -> Form:
    """The largest of an axis, as a sum of what is not held at 0."""
    settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    x, keeps = values[node.input[0]], settings.get("keepdims", 1)
    axes = settings.get("axes") or (values[node.input[1]].tolist() if len(node.input) > 1 else range(x.ndim))
    axes = tuple(int(axis) % x.ndim for axis in axes)
    largest = (np.max if node.op_type == "ReduceMax" else np.min)(x, axis=axes, keepdims=True)
    chosen = (x == largest).astype(x.dtype)
    chosen /= chosen.sum(axis=axes, keepdims=True)
    kept = helper.make_node("Mul", [node.input[0], name], [f"{name}_chosen"])
    if version < 13:
        total = helper.make_node("ReduceSum", [f"{name}_chosen"], node.output[:1], keepdims=keeps, axes=axes)
        return [kept, total], {name: chosen}
    total = helper.make_node("ReduceSum", [f"{name}_chosen", f"{name}_axes"], node.output[:1], keepdims=keeps)
    return [kept, total], {name: chosen, f"{name}_axes": np.array(axes, dtype=np.int64)}


def _selected(node: onnx.NodeProto, values: Mapping[str, Array], name: str) -> Form:
    """The larger of two, as the one that it was."""
    if len(node.input) != 2:
        raise NoOracleError(node.op_type)
    first = values[node.input[0]] == values[node.output[0]]
    kind = values[node.output[0]].dtype
    nodes = [
        helper.make_node("Mul", [node.input[0], f"{name}_0"], [f"{name}_a"]),
        helper.make_node("Mul", [node.input[1], f"{name}_1"], [f"{name}_b"]),
        helper.make_node("Add", [f"{name}_a", f"{name}_b"], node.output[:1]),
    ]
    return nodes, {f"{name}_0": first.astype(kind), f"{name}_1": (~first).astype(kind)}


def _centred(node: onnx.NodeProto, values: Mapping[str, Array], name: str) -> Form:
    """Layer normalisation with its deviation held; its offset drops out of differences."""
    settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    x = values[node.input[0]]
    axes = tuple(range(settings.get("axis", -1) % x.ndim, x.ndim))
    if axes != (x.ndim - 1,):
        raise NoOracleError("LayerNormalization over several axes")
    inverse = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + settings.get("epsilon", 1e-5))
    centre = np.eye(x.shape[-1], dtype=x.dtype) - 1 / x.shape[-1]
    scale = (inverse * values[node.input[1]]).astype(x.dtype)
    nodes = [
        helper.make_node("MatMul", [node.input[0], f"{name}_centre"], [f"{name}_centred"]),
        helper.make_node("Mul", [f"{name}_centred", f"{name}_scale"], node.output[:1]),
    ]
    return nodes, {f"{name}_centre": centre.astype(x.dtype), f"{name}_scale": scale}
