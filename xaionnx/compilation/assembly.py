"""Assembly: a gradient graph, a target and a method combined into one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.autodiff.backward import COTANGENT, gradient_name
from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers import Compilable, Rows, Traced
from xaionnx.gradients.graph import REFERENCE
from xaionnx.graph.builder import Builder
from xaionnx.layers.embeddings import differentiable_inputs, has_tokens
from xaionnx.runtime.model import Model
from xaionnx.targets.in_graph import Aim

TARGET: Final = "target"
"""The name of the output, or input, with the class of each sample."""
VALUE: Final = "target_value"
"""The name of the output with the target."""

# A node, and which of its inputs it is.
_Use = tuple[ir.Node, int]

_PREFIX = "xaionnx_"
_ZERO = np.array([0], dtype=np.int64)
_FLAT = np.array([0, -1], dtype=np.int64)


@final
@dataclass(frozen=True, repr=False)
class Differentiated:
    """The gradient of a tensor, as a graph that also returns the model's outputs.

    Attributes
    ----------
    proto : onnx.ModelProto
        The result of :func:`xaionnx.autodiff.gradient.gradient_graph`, which also returns the tensor that the aim
        reads.
    out : str
        The differentiated tensor, after its activation.
    wrt : sequence of str
        The tensors with respect to which it is differentiated.
    """

    proto: onnx.ModelProto
    out: str
    wrt: Sequence[str]


def assemble(
    differentiated: Differentiated,
    model: Model,
    method: Compilable,
    aim: Aim,
    sample: Sample,
    *,
    chosen: bool,
) -> onnx.ModelProto:
    """A graph that returns the model's outputs and the attribution of a target by a method.

    Parameters
    ----------
    differentiated : Differentiated
    model : Model
    method : Compilable
    aim : Aim
    sample : Sample
    chosen : bool
        Whether a further input names the class.

    Raises
    ------
    UnsupportedModelError
        The method runs the model at several points per sample, but the model has a fixed batch size.
    """
    graph_model = ir.from_proto(differentiated.proto)
    graph = graph_model.graph
    inputs = {str(value.name): value for value in graph.inputs}
    values = {**graph.initializers, **inputs}
    values |= {str(value.name): value for node in graph for value in node.outputs}
    readers = {i.name: list(inputs[i.name].uses()) for i in model.inputs if i.name not in model.shared}
    samples = inputs[model.input().name]
    floats = differentiable_inputs(model) if model.input().dtype.kind == "f" and not has_tokens(model) else ()
    x = {name: inputs[name] for name in floats} or {model.input().name: samples}
    batch = samples.shape[0] if samples.shape is not None else None
    # Names that the model uses are not changed.
    reserved = {"attribution", *(f"attribution_{name}" for name in x), TARGET, VALUE}
    prefix = "" if reserved.isdisjoint(values) else _PREFIX
    g = Builder(graph_model)
    class_input = g.input(prefix + TARGET, ir.DataType.INT64, None) if chosen else None
    if class_input is not None:
        class_input.shape = ir.Shape([batch])

    points = method.rows(g, x, sample)
    blocks = points.blocks
    if blocks > 1:
        _feed(g, model, inputs, readers, points)
    flat = g.reshape(_first(g, values[aim.tensor], samples, blocks), _FLAT)
    followed_target = aim.follow(g, flat if flat.dtype == ir.DataType.FLOAT else g.op("Cast", flat, to=1), class_input)
    weights = _repeat_blocks(g, followed_target.weights, blocks, 2)
    cotangent, read = inputs[COTANGENT], values[differentiated.out]
    cotangent.replace_all_uses_with(_in_shape_of(g, weights, cotangent, read))
    if aim.reference is not None:
        origin = g.constant(aim.reference.astype(np.float32))
        inputs[REFERENCE].replace_all_uses_with(g.op("Expand", origin, g.op("Shape", weights)))

    def target_of(rows: ir.Value) -> ir.Value:
        return _target_value(g, rows, weights)

    value = target_of(read)
    gradients = {name: values[gradient_name(name)] for name in differentiated.wrt}
    tensors = {name: _in_type_of(g, points.x.get(name, values[name]), gradients[name]) for name in differentiated.wrt}
    emitted = method.emit(g, Traced(x, blocks, model, sample, tensors, gradients, value, target_of))

    own = {output.name: values[output.name] for output in model.outputs}
    graph.inputs[:] = [value for value in graph.inputs if value.name not in (COTANGENT, REFERENCE)]
    graph.outputs.clear()
    for name, value_ in own.items():
        _check_batch_axis(model, value_, blocks)
        first_rows = _first(g, value_, samples, blocks)
        if first_rows is not value_:
            first_rows.shape, value_.name, first_rows.name = value_.shape, g.fresh("rows"), name
        graph.outputs.append(first_rows)
    for name, value_ in emitted.values.items():
        output = g.output(value_, prefix + ("attribution" if len(emitted.values) == 1 else f"attribution_{name}"))
        like = x[name] if name in x else gradients[name]
        # A method may return one number per token.
        output.shape, output.type = like.shape, output.type or like.type
    if followed_target.classes is not None and class_input is None:
        g.output(followed_target.classes, prefix + TARGET).shape = ir.Shape([batch])
    singles = {VALUE: _first(g, value, samples, blocks), **emitted.diagnostics}
    for name, value_ in singles.items():
        g.output(value_, prefix + name).shape = ir.Shape([batch])
    # Nodes were appended after those that read them.
    graph.sort()
    proto = ir.to_proto(graph_model)
    # Only the types of the new values are known, and every runtime infers them.
    del proto.graph.value_info[:]
    return proto


def _in_type_of(g: Builder, value: ir.Value, like: ir.Value) -> ir.Value:
    """A tensor in the type of its gradient, which is not rounded to half precision."""
    same = like.dtype is None or value.dtype is None or value.dtype == like.dtype
    return value if same else g.op("Cast", value, to=like.dtype or ir.DataType.FLOAT)


def _feed(
    g: Builder, model: Model, inputs: Mapping[str, ir.Value], readers: Mapping[str, Sequence[_Use]], points: Rows
) -> None:
    """Make the nodes that read the samples read all of their points."""
    for name, uses in readers.items():
        value = inputs[name]
        shape = value.shape
        if shape is None or isinstance(shape[0], int):
            raise UnsupportedModelError(
                f"{model.name} takes a fixed number of samples, but this method needs several points of each. "
                "Export the model with a free batch axis."
            )
        rows = points.x[name] if name in points.x else _repeat_blocks(g, value, points.blocks)
        for node, index in uses:
            node.replace_input_with(index, rows)


def _check_batch_axis(model: Model, answer: ir.Value, blocks: int) -> None:
    if blocks > 1 and not answer.is_initializer() and (not answer.shape or isinstance(answer.shape[0], int)):
        raise UnsupportedModelError(
            f"Output '{answer.name}' of {model.name} has no batch axis, but this method runs several "
            "points of each sample at once. Use a method that runs one: saliency, input_x_gradient."
        )


def _first(g: Builder, value: ir.Value, samples: ir.Value, blocks: int) -> ir.Value:
    """The rows (N, ...) of the samples, which are the first block."""
    if blocks == 1 or value.is_graph_input() or value.is_initializer():
        return value
    return g.op("Slice", value, _ZERO, g.op("Shape", samples, start=0, end=1), _ZERO)


def _repeat_blocks(g: Builder, value: ir.Value, blocks: int, rank: int | None = None) -> ir.Value:
    """The rows, repeated for each block."""
    if blocks == 1:
        return value
    axes = len(value.shape or ()) if rank is None else rank
    return g.op("Tile", value, np.array([blocks, *[1] * (axes - 1)], dtype=np.int64))


def _in_shape_of(g: Builder, weights: ir.Value, cotangent: ir.Value, out: ir.Value) -> ir.Value:
    """Weights (M, S) in the shape and type of their tensor."""
    sizes = list(cotangent.shape or ())[1:]
    if all(isinstance(size, int) for size in sizes):
        shaped = g.reshape(weights, np.array([-1, *sizes], dtype=np.int64))
    else:
        shaped = g.reshape(weights, g.op("Shape", out))
    kind = cotangent.dtype or ir.DataType.FLOAT
    return shaped if kind == ir.DataType.FLOAT else g.op("Cast", shaped, to=kind)


def _target_value(g: Builder, out: ir.Value, weights: ir.Value) -> ir.Value:
    """The target (M,), in double precision if the tensor has it."""
    flat = g.reshape(out, _FLAT)
    if flat.dtype == ir.DataType.DOUBLE:
        weights = g.op("Cast", weights, to=ir.DataType.DOUBLE)
    elif flat.dtype != ir.DataType.FLOAT:
        flat = g.op("Cast", flat, to=ir.DataType.FLOAT)
    return g.op("ReduceSum", g.op("Mul", flat, weights), np.array([1], dtype=np.int64), keepdims=0)
