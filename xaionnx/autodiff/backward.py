"""The backward walk: from a tensor back to others, node by node, emitting the gradient by each op's rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import onnx
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder
from xaionnx.autodiff.rule import ESTIMATE, START, Gradient, Table
from xaionnx.autodiff.rules.quantization import carries_floats
from xaionnx.autodiff.steps import RECURRENT
from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.graph.control_flow import CONTROL
from xaionnx.graph.fused_op import ADDED_DOMAINS, fused_ops
from xaionnx.graph.op import find_op
from xaionnx.graph.probe import Probe
from xaionnx.graph.view import DEFAULT_DOMAINS

# Name of the input that holds the cotangent.
COTANGENT = "cotangent"
# The entry of the model's metadata that holds the labels of :meth:`GradientBuilder.approximate`, one a line.
APPROXIMATIONS = "xaionnx_approximations"
_HALF: Final = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def gradient_name(tensor: str) -> str:
    """Return the name of the output with the gradient with respect to a tensor."""
    return f"gradient_{tensor}"


def differentiate(  # noqa: PLR0913 - options, by keyword
    model: onnx.ModelProto,
    probe: Probe,
    out: str,
    wrt: Sequence[str],
    table: Table,
    keep: Sequence[str] = (),
    rounded: Mapping[str, int] = MappingProxyType({}),
    *,
    independent: bool = False,
) -> onnx.ModelProto:
    """Add the gradient of ``sum(cotangent * out)`` with respect to some tensors to a graph.

    Parameters
    ----------
    model : onnx.ModelProto
        As returned by :func:`xaionnx.graph.canonicalize.canonicalize`.
    probe : Probe
        The probe of this graph.
    out : str
    wrt : sequence of str
    table : mapping of str to Rule
    keep : sequence of str
        Extra tensors to return; nodes needed only for them run on every call.
    rounded : mapping of str to int
        Numbers of nodes by op that round in the file, but not in ``model``; they are labelled.
    independent : bool
        Whether ``out`` may be independent of some of ``wrt``, so that their gradients are 0.

    Returns
    -------
    onnx.ModelProto
        With the additional input :data:`COTANGENT`, in the shape of ``out``. The outputs are ``out``, ``keep`` and the
        gradients, named by :func:`gradient_name`. Inputs and outputs have the sizes of the probe; the gradients are
        correct for these only. The metadata entry :data:`APPROXIMATIONS` lists where a gradient is not a derivative.

    Raises
    ------
    UnknownNameError
        There is no tensor of this name.
    UnsupportedModelError
        ``out`` does not depend on one of ``wrt``, unless it may be ``independent``, or an op between them has no rule.
    """
    graph_model = ir.from_proto(model)
    graph = graph_model.graph
    g = GradientBuilder(graph_model, probe)
    values = _values_by_name(graph, (out, *wrt, *keep))
    target, sources = values[out], [values[name] for name in wrt]
    g.sources = tuple(sources)
    nodes = list(graph)
    active = _active_values(nodes, sources)
    g.read_shapes_from(value for value in values.values() if value not in active)
    path = _nodes_between(nodes, active, target)
    if not independent:
        _check_dependence(nodes, active, sources, target)
    _check_rules(path, table, out, wrt)

    batch = _batch_name(graph)
    for given in graph.inputs:
        _declare(given, probe, str(given.name), batch)
    seed = g.input(COTANGENT, target.dtype or ir.DataType.FLOAT, None)
    _declare(seed, probe, out, batch)
    original_outputs = set(graph.outputs)
    cotangents = _Cotangents(g, target, _initial_cotangent(g, table, target, seed))
    _walk_back(g, path, active, table, cotangents)
    # Keep the outputs that rules added.
    graph.outputs[:] = [value for value in graph.outputs if value not in original_outputs]
    for name in dict.fromkeys((out, *keep)):
        _declare(g.output(values[name]), probe, name, batch)
    for source in sources:
        found, name = _unrounded(cotangents.total(source)), str(source.name)
        ending = g.output(found if found is not None else g.zeros_like(source), gradient_name(name))
        _declare(ending, probe, name, batch)
    for op, count in rounded.items():
        g.label(op, ESTIMATE, count)
    if g.approximations:
        graph_model.metadata_props[APPROXIMATIONS] = "\n".join(g.approximations)
    prune(graph)
    for node in graph:
        node.metadata_props.clear()
    return ir.to_proto(graph_model)


class _Cotangents:
    """The cotangent of each tensor, summed over the nodes that read it."""

    def __init__(self, g: GradientBuilder, target: ir.Value, start: ir.Value) -> None:
        self._g = g
        self._parts: dict[ir.Value, list[ir.Value]] = {target: [start]}
        self._totals: dict[ir.Value, ir.Value] = {}

    def add(self, value: ir.Value, part: ir.Value) -> None:
        self._parts.setdefault(value, []).append(part)

    def total(self, value: ir.Value) -> Gradient:
        """Return the sum so far; None if there are no parts."""
        parts = self._parts.pop(value, [])
        if parts:
            self._totals[value] = parts[0] if len(parts) == 1 else _sum(self._g, parts)
        return self._totals.get(value)

    def forget(self, values: Iterable[ir.Value]) -> None:
        """Free totals that are not needed again."""
        for value in values:
            self._totals.pop(value, None)


def _walk_back(
    g: GradientBuilder, path: Sequence[ir.Node], active: Collection[ir.Value], table: Table, cotangents: _Cotangents
) -> None:
    """Emit the rule of each node, from the last to the first."""
    for node in reversed(path):
        totals = [cotangents.total(value) for value in node.outputs]
        if all(total is None for total in totals):
            continue
        needed = [value is not None and value in active for value in node.inputs]
        gradients = table[node.op_type](g, node, totals, needed)
        for index, (value, gradient) in enumerate(zip(node.inputs, gradients, strict=True)):
            if value is not None and gradient is not None and needed[index]:
                cotangents.add(value, unbroadcast(g, node, index, gradient))
        cotangents.forget(value for value in node.outputs if value not in g.sources)


def _values_by_name(graph: ir.Graph, required: Iterable[str]) -> dict[str, ir.Value]:
    """All tensors of a graph; raises UnknownNameError unless the ``required`` ones are among them."""
    values = {str(value.name): value for value in graph.inputs}
    values |= {str(value.name): value for node in graph for value in node.outputs}
    values |= graph.initializers
    for name in required:
        if name not in values:
            raise UnknownNameError.among("tensor", name, values)
    return values


def _check_dependence(
    nodes: Sequence[ir.Node], active: set[ir.Value], sources: Iterable[ir.Value], target: ir.Value
) -> None:
    """Refuse a source that the target does not depend on; one walk serves all sources, of which there may be many."""
    reaching = {target}
    for node in reversed(nodes):
        if any(value in reaching and value in active for value in node.outputs):
            reaching.update(value for value in (*node.inputs, *_read_in_bodies(node)) if value is not None)
    for source in sources:
        # A source that other sources do not reach may still be cut off from the target by integers.
        if source not in reaching or target not in active:
            raise UnsupportedModelError(
                f"Tensor '{target.name}' does not depend on '{source.name}', so there is no gradient. "
                "Explain a tensor that lies between them, or another input."
            )


def _initial_cotangent(g: GradientBuilder, table: Table, target: ir.Value, seed: ir.Value) -> ir.Value:
    if START not in table:
        return seed
    reader = g.op("Identity", target).producer()
    assert reader is not None
    (first,) = table[START](g, reader, [seed], [True])
    return g.zeros_like(target) if first is None else first


def prune(graph: ir.Graph) -> None:
    """Remove unused nodes, which onnxruntime would run, and unused weights."""
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]


def _active_values(nodes: Iterable[ir.Node], sources: Iterable[ir.Value]) -> set[ir.Value]:
    """Float tensors that depend on a source through float tensors, and the quantised integers between them."""
    active = set(sources)
    for node in nodes:
        if any(value in active for value in node.inputs) or _body_reads(node, active):
            for index, value in enumerate(node.outputs):
                is_float = value.dtype is None or value.dtype.is_floating_point()
                if is_float or carries_floats(node, index, active.__contains__):
                    active.add(value)
    return active


def _body_reads(node: ir.Node, active: set[ir.Value]) -> bool:
    """Whether a body of the node reads an active tensor from outside."""
    return any(value in active for value in _read_in_bodies(node))


def _read_in_bodies(node: ir.Node) -> Iterator[ir.Value | None]:
    """The tensors that the bodies of a node read."""
    for attribute in node.attributes.values():
        if attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            continue
        bodies = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else attribute.value
        for body in bodies:
            for inner in body.all_nodes():
                yield from inner.inputs
            yield from body.outputs


def _nodes_between(nodes: Sequence[ir.Node], active: set[ir.Value], target: ir.Value) -> list[ir.Node]:
    """Nodes between the active tensors and the target, in the order of the graph."""
    wanted, path = {target}, []
    for node in reversed(nodes):
        if any(value in wanted and value in active for value in node.outputs):
            taken = [value for value in node.inputs if value is not None and value in active]
            if taken or _body_reads(node, active):
                wanted.update(taken)
                path.append(node)
    return path[::-1]


def _check_rules(path: Iterable[ir.Node], table: Table, out: str, wrt: Sequence[str]) -> None:
    lacking = [node for node in path if node.domain not in DEFAULT_DOMAINS or node.op_type not in table]
    if not lacking:
        return
    by_op: dict[str, list[str]] = defaultdict(list)
    for node in lacking:
        op = node.op_type if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"
        by_op[op].append(_node_label(node))
    ops = [
        f"'{op}' (node {', '.join(names[:3])}" + (f" and {len(names) - 3} more)" if len(names) > 3 else ")")
        for op, names in sorted(by_op.items())
    ]
    first = (
        "Take the file from before onnxruntime optimised it"
        if any(node.domain in ADDED_DOMAINS for node in lacking)
        else "Explain an earlier tensor"
    )
    advice = f"{first}, or use a method without gradients: occlusion, rise, lime, kernel_shap."
    raise UnsupportedModelError(
        f"No rule for ONNX op {', '.join(ops)}, on the path from {', '.join(map(repr, wrt))} to '{out}'. {advice}"
    )


def _node_label(node: ir.Node) -> str:
    """The name of a node in an error, with the reason why it was not expanded if it is known."""
    made = next((str(value.name) for value in node.outputs if value.name), "")
    name = repr(str(node.name)) if node.name else f"that makes {made!r}"
    has_reason = node.op_type in (*CONTROL, *RECURRENT) or (node.domain, node.op_type) in fused_ops()
    return f"{name}: {node.doc_string}" if has_reason and node.doc_string else name


def _sum(g: GradientBuilder, parts: Sequence[ir.Value]) -> ir.Value:
    # Parts that were repeated to the full shape need not be if another part has it.
    small = [_before_expand(part) for part in parts]
    if None in small:
        parts = [part if less is None else less for part, less in zip(parts, small, strict=True)]
    return g.op("Add", *parts) if len(parts) == 2 else g.op("Sum", *parts)


def _before_expand(part: ir.Value) -> ir.Value | None:
    """The operand of the Expand that produces ``part``; None if another op does."""
    made = part.producer()
    return made.inputs[0] if made is not None and made.op_type == "Expand" else None


def unbroadcast(g: GradientBuilder, node: ir.Node, index: int, gradient: ir.Value) -> ir.Value:
    """Sum a gradient over the axes along which the input was broadcast."""
    value, broadcasts = node.inputs[index], find_op(node.op_type).broadcasts
    if value is None or broadcasts is None or not broadcasts.repeats(index):
        return gradient
    exempt = broadcasts.exempt
    small, large = g.sizes(value), g.sizes(node.outputs[0])
    extra = len(large) - len(small)
    # The product with a vector has one axis less; its rule returns the operand's shape.
    if extra < 0 or len(small) < exempt or (not exempt and small == large):
        return gradient
    leading = list(range(extra))
    repeated = [
        extra + axis
        for axis in range(len(small) - exempt)
        if small[axis] == 1 and g.shape(value)[axis] == 1 and large[extra + axis] != 1
    ]
    if repeated:
        gradient = g.op("ReduceSum", gradient, g.ints(*repeated), keepdims=1)
    if leading:
        gradient = g.op("ReduceSum", gradient, g.ints(*leading), keepdims=0)
    return gradient


def _batch_name(graph: ir.Graph) -> str:
    """The model's name for the number of samples."""
    leading = [value.shape[0] for value in graph.inputs if value.shape]
    return next((str(size) for size in leading if isinstance(size, ir.SymbolicDim) and size.value), "N")


def _unrounded(found: Gradient) -> Gradient:
    """A gradient before it is rounded to the half precision of its tensor, in which small ones are zero."""
    node = None if found is None else found.producer()
    if node is None or node.op_type != "Cast" or found is None or found.dtype not in _HALF:
        return found
    wide = node.inputs[0]
    return wide if wide is not None and wide.dtype == ir.DataType.FLOAT else found


def _declare(value: ir.Value, probe: Probe, like: str, batch: str) -> None:
    """Declare a value with the probed shape of the tensor ``like``."""
    if like in probe.shapes:
        shape: list[int | str | None] = list(probe.shapes[like])
        if shape and shape[0] is None:
            shape[0] = batch
        value.shape = ir.Shape(shape)
