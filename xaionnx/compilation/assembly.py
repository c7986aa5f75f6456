"""Assembly: a gradient graph, a target and a method joined into one graph that needs nothing but its samples."""

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
from xaionnx.layers.embeddings import differentiable_inputs
from xaionnx.runtime.model import Model
from xaionnx.targets.in_graph import Aim

TARGET: Final = "target"
"""The output, or input, that holds the class of each sample."""
VALUE: Final = "target_value"
"""The output that holds the target."""

# A node, and which of its inputs it is.
_Use = tuple[ir.Node, int]

_PREFIX = "xaionnx_"
_ZERO = np.array([0], dtype=np.int64)
_FLAT = np.array([0, -1], dtype=np.int64)


@final
@dataclass(frozen=True, repr=False)
class Differentiated:
    """The gradient of a tensor, as a graph that answers the model's own outputs too.

    Attributes
    ----------
    proto : onnx.ModelProto
        As :func:`xaionnx.autodiff.gradient.gradient_graph` makes it. It answers the tensor that the aim reads too.
    out : str
        The tensor that it is the gradient of, after its activation.
    wrt : sequence of str
        What it is taken with respect to.
    """

    proto: onnx.ModelProto
    out: str
    wrt: Sequence[str]


def assemble(
    found: Differentiated,
    model: Model,
    method: Compilable,
    aim: Aim,
    sample: Sample,
    *,
    chosen: bool,
) -> onnx.ModelProto:
    """The graph that answers the model's own outputs, and what a method finds for a target.

    Parameters
    ----------
    found : Differentiated
    model : Model
    method : Compilable
    aim : Aim
    sample : Sample
    chosen : bool
        Whether a further input names the class.

    Raises
    ------
    UnsupportedModelError
        The method runs the model at several points of a sample, and the model has a fixed number of samples.
    """
    graph_model = ir.from_proto(found.proto)
    graph = graph_model.graph
    inputs = {str(value.name): value for value in graph.inputs}
    values = {**graph.initializers, **inputs}
    values |= {str(value.name): value for node in graph for value in node.outputs}
    readers = {i.name: list(inputs[i.name].uses()) for i in model.inputs if i.name not in model.shared}
    samples = inputs[model.input().name]
    floats = differentiable_inputs(model) if model.input().dtype.kind == "f" else ()
    x = {name: inputs[name] for name in floats} or {model.input().name: samples}
    batch = samples.shape[0] if samples.shape is not None else None
    # A name that the model uses stays its own.
    ours = {"attribution", *(f"attribution_{name}" for name in x), TARGET, VALUE}
    prefix = "" if ours.isdisjoint(values) else _PREFIX
    g = Builder(graph_model)
    named = g.input(prefix + TARGET, ir.DataType.INT64, None) if chosen else None
    if named is not None:
        named.shape = ir.Shape([batch])

    placed = method.rows(g, x, sample)
    blocks = placed.blocks
    if blocks > 1:
        _feed(g, model, inputs, readers, placed)
    flat = g.reshape(_first(g, values[aim.tensor], samples, blocks), _FLAT)
    followed = aim.follow(g, flat if flat.dtype == ir.DataType.FLOAT else g.op("Cast", flat, to=1), named)
    weights = _each(g, followed.weights, blocks, 2)
    cotangent, read = inputs[COTANGENT], values[found.out]
    cotangent.replace_all_uses_with(_like(g, weights, cotangent, read))
    if aim.reference is not None:
        origin = g.constant(aim.reference.astype(np.float32))
        inputs[REFERENCE].replace_all_uses_with(g.op("Expand", origin, g.op("Shape", weights)))

    def target_of(rows: ir.Value) -> ir.Value:
        return _summed(g, rows, weights)

    value = target_of(read)
    gradients = {name: values[gradient_name(name)] for name in found.wrt}
    tensors = {name: placed.x.get(name, values[name]) for name in found.wrt}
    emitted = method.emit(g, Traced(x, blocks, model, sample, tensors, gradients, value, target_of))

    own = {output.name: values[output.name] for output in model.outputs}
    graph.inputs[:] = [value for value in graph.inputs if value.name not in (COTANGENT, REFERENCE)]
    graph.outputs.clear()
    for name, answer in own.items():
        _refuse_mixing(model, answer, blocks)
        shown = _first(g, answer, samples, blocks)
        if shown is not answer:
            shown.shape, answer.name, shown.name = answer.shape, g.fresh("rows"), name
        graph.outputs.append(shown)
    for name, answer in emitted.values.items():
        made = g.output(answer, prefix + ("attribution" if len(emitted.values) == 1 else f"attribution_{name}"))
        like = x[name] if name in x else gradients[name]
        # Of tokens a method may tell one number each.
        made.shape, made.type = like.shape, made.type or like.type
    if followed.classes is not None and named is None:
        g.output(followed.classes, prefix + TARGET).shape = ir.Shape([batch])
    singles = {VALUE: _first(g, value, samples, blocks), **emitted.diagnostics}
    for name, answer in singles.items():
        g.output(answer, prefix + name).shape = ir.Shape([batch])
    # What was emitted stands behind the nodes that read it.
    graph.sort()
    proto = ir.to_proto(graph_model)
    # Of what was emitted only the types are known, which every runtime infers itself.
    del proto.graph.value_info[:]
    return proto


def _feed(
    g: Builder, model: Model, inputs: Mapping[str, ir.Value], readers: Mapping[str, Sequence[_Use]], placed: Rows
) -> None:
    """Let the nodes that read the samples read all points of them."""
    for name, uses in readers.items():
        value = inputs[name]
        shape = value.shape
        if shape is None or isinstance(shape[0], int):
            raise UnsupportedModelError(
                f"{model.name} takes a fixed number of samples, and this method asks it for several points of each. "
                "Export the model with a free batch axis."
            )
        rows = placed.x[name] if name in placed.x else _each(g, value, placed.blocks)
        for node, index in uses:
            node.replace_input_with(index, rows)


def _refuse_mixing(model: Model, answer: ir.Value, blocks: int) -> None:
    if blocks > 1 and not answer.is_initializer() and (not answer.shape or isinstance(answer.shape[0], int)):
        raise UnsupportedModelError(
            f"Output '{answer.name}' of {model.name} has no batch axis, and this method asks the model for several "
            "points of each sample at once. Use a method that asks for one: saliency, input_x_gradient."
        )


def _first(g: Builder, value: ir.Value, samples: ir.Value, blocks: int) -> ir.Value:
    """The rows (N, ...) of the samples themselves, which are the first block."""
    if blocks == 1 or value.is_graph_input() or value.is_initializer():
        return value
    return g.op("Slice", value, _ZERO, g.op("Shape", samples, start=0, end=1), _ZERO)


def _each(g: Builder, value: ir.Value, blocks: int, rank: int | None = None) -> ir.Value:
    """The rows once for each block."""
    if blocks == 1:
        return value
    axes = len(value.shape or ()) if rank is None else rank
    return g.op("Tile", value, np.array([blocks, *[1] * (axes - 1)], dtype=np.int64))


def _like(g: Builder, weights: ir.Value, cotangent: ir.Value, out: ir.Value) -> ir.Value:
    """Weights (M, S) in the shape and type of the tensor that they belong to."""
    sizes = list(cotangent.shape or ())[1:]
    if all(isinstance(size, int) for size in sizes):
        shaped = g.reshape(weights, np.array([-1, *sizes], dtype=np.int64))
    else:
        shaped = g.reshape(weights, g.op("Shape", out))
    kind = cotangent.dtype or ir.DataType.FLOAT
    return shaped if kind == ir.DataType.FLOAT else g.op("Cast", shaped, to=kind)


def _summed(g: Builder, out: ir.Value, weights: ir.Value) -> ir.Value:
    """The target (M,), in double precision where the tensor has it."""
    flat = g.reshape(out, _FLAT)
    if flat.dtype == ir.DataType.DOUBLE:
        weights = g.op("Cast", weights, to=ir.DataType.DOUBLE)
    elif flat.dtype != ir.DataType.FLOAT:
        flat = g.op("Cast", flat, to=ir.DataType.FLOAT)
    return g.op("ReduceSum", g.op("Mul", flat, weights), np.array([1], dtype=np.int64), keepdims=0)
