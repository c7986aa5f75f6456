"""Write recurrent layers out step by step, for tables of rules that have none for LSTM, GRU and RNN.

Each step is the layer's definition in ONNX, with one product of matrices for the input and the hidden state together,
so that a rule for linear layers sees all contributions to a number at once. Products of a gate and a signal are marked:
:func:`signal_of` tells rules which factor the gate controls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from xaionnx.autodiff._gate_activations import DEFAULTS, GateActivation, activations_of, unknown_activations
from xaionnx.autodiff.gradient_builder import ORIGIN, GradientBuilder
from xaionnx.graph.probe import Probe
from xaionnx.graph.unroll import LARGEST
from xaionnx.graph.view import DEFAULT_DOMAINS

# Layers that are written out for tables without a rule for them.
RECURRENT = ("LSTM", "GRU", "RNN")
# Nodes that one step of one direction takes, about.
_NODES = {"LSTM": 18, "GRU": 18, "RNN": 6}
# The entry of a node's metadata with the number of the operand that is the signal.
_SIGNAL = "xaionnx_signal"


def signal_of(node: ir.Node) -> int | None:
    """Return which operand of a product is the signal that the other one, a gate, controls; None if not marked."""
    marked = node.metadata_props.get(_SIGNAL)
    return None if marked is None else int(marked)


def write_out_steps(model: onnx.ModelProto, facts: Probe, ops: Collection[str]) -> onnx.ModelProto:
    """Return an equivalent model in which recurrent layers are written out step by step.

    Parameters
    ----------
    model : onnx.ModelProto
        As returned by :func:`xaionnx.graph.canonicalize.canonicalize`; returned if it has no such layers.
    facts : Probe
        Its probe, which fixes the number of steps.
    ops : collection of str
        Which of LSTM, GRU and RNN are written out.

    Returns
    -------
    onnx.ModelProto
        Outputs of the layers keep their names. A layer stays if its activations are unknown, or if its steps would take
        more than :data:`xaionnx.graph.unroll.LARGEST` nodes; its ``doc_string`` gives the reason.
    """
    if not any(node.op_type in ops and node.domain in DEFAULT_DOMAINS for node in model.graph.node):
        return model
    graph_model = ir.from_proto(model)
    g = GradientBuilder(graph_model, facts)
    left = LARGEST
    for node in list(graph_model.graph):
        if node.op_type not in ops or node.domain not in DEFAULT_DOMAINS:
            continue
        cost = _cost(g, node)
        unknown = unknown_activations(node)
        if unknown:
            node.doc_string = f"its activations are {', '.join(unknown)}"
        elif cost > left:
            node.doc_string = f"its steps would take {cost:,} nodes, and at most {LARGEST:,} are written out"
        else:
            left -= cost
            _replace(g, node)
    graph_model.graph.sort()
    return ir.to_proto(graph_model)


class _Direction(NamedTuple):
    """One direction of a layer: N samples, F features, H hidden units, G gates.

    ``x`` (N, F) and ``valid`` (N, 1) have one entry a step, in the order of time; ``order`` lists the steps as the
    direction takes them. ``hidden`` and ``cell`` (N, H) are the first states.
    """

    g: GradientBuilder
    node: ir.Node
    order: Sequence[int]
    activations: Sequence[GateActivation]
    x: Sequence[ir.Value]
    valid: Sequence[ir.Value] | None
    hidden: ir.Value
    cell: ir.Value
    w: ir.Value
    r: ir.Value
    w_bias: ir.Value | None
    r_bias: ir.Value | None
    peepholes: ir.Value | None

    def rows(self, value: ir.Value, start: int, stop: int) -> ir.Value:
        """Some rows of weights, or entries of a bias, as multiples of H."""
        size = self.g.size(self.node_input(2), 2)
        return self.g.op("Slice", value, [start * size], [stop * size], [0])

    def node_input(self, index: int) -> ir.Value:
        value = self.node.inputs[index]
        assert value is not None
        return value

    def linear(self, start: int, stop: int, parts: str = "wr") -> Callable[..., ir.Value]:
        """The linear map of gates ``start`` to ``stop``, of the input (w), of the hidden state (r) or of both."""
        g = self.g
        held = {"w": (self.w, self.w_bias), "r": (self.r, self.r_bias)}
        weights = [self.rows(held[part][0], start, stop) for part in parts]
        biases = [self.rows(bias, start, stop) for part in parts if (bias := held[part][1]) is not None]
        joint = g.op("Concat", *weights, axis=1) if len(weights) > 1 else weights[0]
        matrix = g.op("Transpose", joint, perm=[1, 0])
        bias = g.op("Add", *biases) if len(biases) > 1 else biases[0] if biases else None

        def apply(*operands: ir.Value) -> ir.Value:
            joined = g.op("Concat", *operands, axis=1) if len(operands) > 1 else operands[0]
            return g.op("Gemm", joined, matrix) if bias is None else g.op("Gemm", joined, matrix, bias)

        return apply

    def parts(self, value: ir.Value, count: int) -> tuple[ir.Value, ...]:
        return self.g.op("Split", value, axis=-1, num_outputs=count, outputs=count)

    def gated(self, gate: ir.Value, signal: ir.Value) -> ir.Value:
        """A signal times its gate."""
        value = self.g.op("Mul", gate, signal)
        maker = value.producer()
        assert maker is not None
        maker.metadata_props[_SIGNAL] = "1"
        return value

    def hold(self, step: int, after: ir.Value, before: ir.Value) -> ir.Value:
        """The state after a step, which samples that ended before do not take."""
        return after if self.valid is None else self.g.op("Where", self.valid[step], after, before)


# The hidden states (N, H) after all steps, in the order of time, and the last hidden state and cell.
_States = tuple[list[ir.Value], ir.Value, ir.Value]


def _lstm(d: _Direction) -> _States:
    g = d.g
    squash, squash_new, squash_cell = d.activations
    to_gates, to_new = d.linear(0, 3), d.linear(3, 4)
    peepholes = None if d.peepholes is None else d.parts(d.peepholes, 3)
    coupled = bool(d.node.attributes.get_int("input_forget", 0))
    h, c = d.hidden, d.cell
    outputs = [h] * len(d.order)
    for step in d.order:
        i, o, f = d.parts(to_gates(d.x[step], h), 3)
        new = squash_new.value(g, to_new(d.x[step], h))
        if peepholes is not None:
            i, f = g.op("Add", i, g.op("Mul", peepholes[0], c)), g.op("Add", f, g.op("Mul", peepholes[2], c))
        i = squash.value(g, i)
        f = g.op("Sub", 1.0, i) if coupled else squash.value(g, f)
        after = g.op("Add", d.gated(f, c), d.gated(i, new))
        if peepholes is not None:
            o = g.op("Add", o, g.op("Mul", peepholes[1], after))
        outputs[step] = d.gated(squash.value(g, o), squash_cell.value(g, after))
        h, c = d.hold(step, outputs[step], h), d.hold(step, after, c)
    return outputs, h, c


def _gru(d: _Direction) -> _States:
    g = d.g
    squash, squash_new = d.activations
    to_gates = d.linear(0, 2)
    late = bool(d.node.attributes.get_int("linear_before_reset", 0))
    from_x, from_h, from_both = d.linear(2, 3, "w"), d.linear(2, 3, "r"), d.linear(2, 3)
    h = d.hidden
    outputs = [h] * len(d.order)
    for step in d.order:
        z, r = (squash.value(g, part) for part in d.parts(to_gates(d.x[step], h), 2))
        x = d.x[step]
        new = g.op("Add", from_x(x), d.gated(r, from_h(h))) if late else from_both(x, d.gated(r, h))
        new = squash_new.value(g, new)
        outputs[step] = g.op("Add", d.gated(g.op("Sub", 1.0, z), new), d.gated(z, h))
        h = d.hold(step, outputs[step], h)
    return outputs, h, d.cell


def _rnn(d: _Direction) -> _States:
    to_state, h = d.linear(0, 1), d.hidden
    outputs = [h] * len(d.order)
    for step in d.order:
        outputs[step] = d.activations[0].value(d.g, to_state(d.x[step], h))
        h = d.hold(step, outputs[step], h)
    return outputs, h, d.cell


_STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _cost(g: GradientBuilder, node: ir.Node) -> int:
    source, weights = node.inputs[0], node.inputs[1]
    assert source is not None
    assert weights is not None
    time = g.size(source, 1 if node.attributes.get_int("layout", 0) else 0)
    return time * g.size(weights, 0) * _NODES[node.op_type]


def _replace(g: GradientBuilder, node: ir.Node) -> None:
    """Write a layer out, and let its outputs come from the steps."""
    before = set(g.graph)
    batch_first = bool(node.attributes.get_int("layout", 0))
    found: list[_States] = [_STEPS[node.op_type](d) for d in _directions(g, node, batch_first)]
    count = len(found)
    hidden = g.size(_given(node, 2), 2)
    made: list[ir.Value | None] = [None] * 3
    wanted = [bool(value.uses()) or value.is_graph_output() for value in node.outputs]
    if wanted[0]:
        steps = [outputs[step] for step in range(len(found[0][0])) for outputs, _, _ in found]
        valid = _valid_steps(g, node, len(found[0][0]))
        if valid is not None:  # outputs after the end of a sample are 0
            steps = [g.op("Where", valid[at // count], value, 0.0) for at, value in enumerate(steps)]
        joined = g.reshape(g.op("Concat", *steps, axis=1), g.ints(0, len(found[0][0]), count, hidden))
        made[0] = joined if batch_first else g.op("Transpose", joined, perm=[1, 2, 0, 3])
    for index in (1, 2):
        if len(wanted) > index and wanted[index]:
            last = [h if index == 1 else c for _, h, c in found]
            joined = g.reshape(g.op("Concat", *last, axis=1), g.ints(0, count, hidden))
            made[index] = joined if batch_first else g.op("Transpose", joined, perm=[1, 0, 2])
    for old, new in zip(node.outputs, made, strict=False):
        if new is not None:
            name, old.name = old.name, None
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            new.name, new.type, new.shape = name, old.type or new.type, old.shape
    origin = f"{node.op_type}/{node.name or node.outputs[0].name}"
    for written in g.graph:
        if written not in before:
            written.metadata_props[ORIGIN] = origin
    g.graph.remove(node, safe=True)


def _given(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    assert value is not None, "required by the op"
    return value


def _directions(g: GradientBuilder, node: ir.Node, batch_first: bool) -> list[_Direction]:
    given: list[ir.Value | None] = [*node.inputs, *[None] * 8][:8]
    x, w, r = (_given(node, index) for index in range(3))
    time_axis = 1 if batch_first else 0
    count, hidden, each = g.size(x, time_axis), g.size(r, 2), len(DEFAULTS[node.op_type])
    pieces = g.op("Split", x, axis=time_axis, num_outputs=count, outputs=count)
    steps = [g.op("Squeeze", piece, g.ints(time_axis)) for piece in pieces]
    valid = _valid_steps(g, node, count)
    activations = activations_of(node, DEFAULTS[node.op_type])
    zeros = g.op(
        "Expand",
        g.constant(np.zeros((), (x.dtype or ir.DataType.FLOAT).numpy()), x.dtype),
        g.op("Concat", g.op("Shape", steps[0], start=0, end=1), g.ints(hidden), axis=0),
    )
    direction = node.attributes.get_string("direction", "forward")

    def entry(value: ir.Value | None, index: int, axis: int = 0) -> ir.Value | None:
        return None if value is None else g.op("Gather", value, np.int64(index), axis=axis)

    found = []
    for index in range(g.size(w, 0)):
        backwards = direction == "reverse" or index == 1
        bias, own_w, own_r = entry(given[3], index), entry(w, index), entry(r, index)
        assert own_w is not None
        assert own_r is not None
        width = g.size(r, 1)
        found.append(
            _Direction(
                g, node, range(count)[::-1] if backwards else range(count),
                activations[index * each : (index + 1) * each], steps, valid,
                entry(given[5], index, 1 if batch_first else 0) or zeros,
                entry(given[6], index, 1 if batch_first else 0) or zeros,
                own_w, own_r,
                None if bias is None else g.op("Slice", bias, [0], [width], [0]),
                None if bias is None else g.op("Slice", bias, [width], [2 * width], [0]),
                entry(given[7], index),
            )
        )  # fmt: skip
    return found


def _valid_steps(g: GradientBuilder, node: ir.Node, count: int) -> list[ir.Value] | None:
    """For each step the samples that take it (N, 1); None if all samples take all steps."""
    lengths = node.inputs[4] if len(node.inputs) > 4 else None
    known = g.constant_of(lengths)
    if lengths is None or (known is not None and np.all(known == count)):
        return None
    column = g.reshape(lengths, g.ints(-1, 1))
    return [g.op("Greater", column, g.constant(np.int32(step))) for step in range(count)]
