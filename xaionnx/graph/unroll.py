"""Unroll If, Loop and Scan: replace them by the branch that is taken, or by one copy of the body per step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx
import onnx.inliner
from onnx import TensorProto, helper, numpy_helper

from xaionnx.graph.control_flow import branch_nodes, first_output, is_control, nested_nodes, tensor_of
from xaionnx.graph.cut import cut
from xaionnx.graph.probe import Probe
from xaionnx.graph.sequences import tensors_to_probe, without_sequences
from xaionnx.graph.view import data_descendants, reads, topological_order
from xaionnx.graph.writing import Writer, local_names
from xaionnx.loading import declared_inputs
from xaionnx.loading.soundness import subgraphs
from xaionnx.typing import Array

# Runs a model on the sample and returns facts about its tensors.
Probed = Callable[[onnx.ModelProto], Probe]
# Nodes that copies may add to a graph; the gradient has about three times as many.
LARGEST = 20_000
_UNKNOWN = "depends on the values of the input, or on the number of samples"


def write_out(model: onnx.ModelProto, keep: Sequence[str], probed: Probed) -> onnx.ModelProto:
    """Return an equivalent model without If, Loop, Scan and sequences, if their control flow is known in advance.

    Parameters
    ----------
    model : onnx.ModelProto
        Of opset 20 or newer, without functions and without weights in bodies: see :func:`bring_out`. It is not
        changed, and returned if nothing is to be done.
    keep : sequence of str
        Only ops on which these tensors depend are unrolled; those on which the outputs depend if empty.
    probed : callable
        Probes a model with the same inputs.

    Returns
    -------
    onnx.ModelProto
        Valid for the probed sizes, since the branch that is taken may depend on them. Outputs of unrolled ops keep
        their names, and so do tensors of a branch; those of step 3 of a loop get the suffix ``/3``. An op stays if
        its control flow depends on the values of the input or on the number of samples, or if unrolling it would take
        more than :data:`LARGEST` nodes; its ``doc_string`` gives the reason.

    Examples
    --------
    >>> from onnx import parser
    >>> from onnx.reference import ReferenceEvaluator
    >>> from xaionnx.graph.probe import probe
    >>> model = parser.parse_model('''
    ... <ir_version: 9, opset_import: ["" : 20]>
    ... g (float[N, 2] x) => (float[N, 2] y) <int64 steps = {2}, bool go = {1}> {
    ...   y = Loop <body = step (int64 i, bool on, float[N, 2] h) => (bool on_, float[N, 2] h_)
    ...            { on_ = Identity(on)  e = Exp(h)  h_ = Neg(e) }> (steps, go, x) }''')
    >>> feeds = [{"x": np.ones((n, 2), np.float32)} for n in (2, 3)]
    >>> run = lambda shown, values, names: ReferenceEvaluator(shown).run(names, values)
    >>> plain = write_out(model, [], lambda shown: probe(shown, feeds, run))
    >>> [(node.op_type, *node.output) for node in plain.graph.node if node.op_type in ("Exp", "Neg")]
    [('Exp', 'e/0'), ('Neg', 'h_/0'), ('Exp', 'e/1'), ('Neg', 'y')]
    """
    wanted = {value.name for value in model.graph.output} | set(keep)
    inputs = [value.name for value in declared_inputs(model)]
    room, changed = LARGEST, True
    while changed:
        nodes = topological_order(model.graph)
        varying = data_descendants(nodes, inputs)
        leading = _nodes_leading_to(nodes, keep or wanted)
        control = [node for node in leading if is_control(node) and not varying.isdisjoint(reads(node))]
        probed_names = tensors_to_probe(leading)
        if not control and not probed_names:
            return model
        facts = _Facts(model, inputs, control, probed_names, varying, probed)
        writer = _Copies(model.graph, facts, room)
        open_ends = {name for node in control for name in node.output if name}
        written: list[onnx.NodeProto] = []
        for node in nodes:
            written.extend([node] if open_ends.isdisjoint(node.output) else writer.write_out(node))
        plain = without_sequences(written, facts, writer, wanted)
        changed, room = bool(writer.spent) or plain is not None, room - writer.spent
        form = onnx.ModelProto()
        form.CopyFrom(model)
        del form.graph.node[:]
        form.graph.node.extend(written if plain is None else plain)
        model = form
    return model


class _Facts:
    """Facts from one run: values and sizes of tensors, and the number of steps of each Loop."""

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: Sequence[str],
        control: Sequence[onnx.NodeProto],
        wanted: Sequence[str],
        varying: set[str],
        probed: Probed,
    ) -> None:
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        held = ((node, tensor_of(node)) for node in model.graph.node)
        self._weights |= {node.output[0]: tensor for node, tensor in held if tensor is not None}
        known = {name for node in model.graph.node for name in node.output} | set(inputs)
        counted = [node for node in control if node.op_type == "Loop" and _steps_are_known(node, varying)]
        wanted = [*wanted, *(name for node in control for name in _control_inputs(node)), *map(first_output, counted)]
        wanted = [name for name in dict.fromkeys(wanted) if name in known - self._weights.keys()]
        self._steps = {first_output(node): f"{first_output(node)}/steps" for node in counted}
        shown = cut(model, inputs, wanted) if wanted else helper.make_model(helper.make_graph([], "none", [], []))
        for node in shown.graph.node:
            if node.op_type == "Loop" and first_output(node) in self._steps:
                _count_steps(node, self._steps[first_output(node)])
        self._probe = probed(shown) if wanted else Probe({}, {}, {}, {}, {})

    def constant(self, name: str) -> Array | None:
        if name in self._weights:
            return np.asarray(numpy_helper.to_array(self._weights[name]))
        return self._probe.constants.get(name)

    def size(self, name: str, axis: int) -> int | None:
        if name in self._weights:
            return int(self._weights[name].dims[axis])
        shape = self._probe.shapes.get(name)
        return None if shape is None else shape[axis]

    def steps(self, node: onnx.NodeProto) -> int | None:
        """Return the number of steps of a Loop; None if unknown."""
        name = self._steps.get(first_output(node))
        return None if name is None else self.size(name, 0)


@final
@dataclass(frozen=True)
class _StepBody:
    """The body of a Loop or Scan.

    Attributes
    ----------
    graph : onnx.GraphProto
    states : sequence of str
        The inputs that are the states before a step.
    outputs : sequence of str
        The states after a step, then the outputs that are stacked over the steps.
    order : sequence of (int, bool)
        The axis along which each of the latter is stacked, and whether in reverse.
    """

    graph: onnx.GraphProto
    states: Sequence[str]
    outputs: Sequence[str]
    order: Sequence[tuple[int, bool]]


class _Copies(Writer):
    """Unrolls control flow, up to a number of nodes."""

    def __init__(self, graph: onnx.GraphProto, facts: _Facts, room: int) -> None:
        super().__init__(graph)
        self._facts = facts
        self._room = room
        self.spent = 0

    def write_out(self, node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
        """Return the nodes that replace an If, Loop or Scan; the op with the reason if it cannot be replaced."""
        written: list[onnx.NodeProto] | str
        if node.op_type == "If":
            written = self._if(node)
        elif node.op_type == "Loop":
            written = self._loop(node)
        else:
            written = self._scan(node)
        if not isinstance(written, str):
            self.spent += max(len(written), 1)
            return written
        left = onnx.NodeProto()
        left.CopyFrom(node)
        left.doc_string = written
        return [left]

    def _if(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | str:
        condition = self._facts.constant(node.input[0])
        if condition is None:
            return f"its branch {_UNKNOWN}"
        return list(branch_nodes(self, node, bool(condition.all())))

    def _loop(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | str:
        body, steps = helper.get_node_attr_value(node, "body"), self._facts.steps(node)
        states = list(node.input[2:])
        if steps is None:
            return f"its number of steps {_UNKNOWN}"
        if too_many := self._too_many(body, steps):
            return too_many
        index, going, *carried = [value.name for value in body.input]
        _, *results = [value.name for value in body.output]
        written = []
        given = []
        for step in range(steps):
            number, on = self.name(f"{index}/{step}"), self.name(f"{going}/{step}")
            written += [self.constant(np.int64(step), number), self.constant(np.bool_(True), on)]
            given.append({index: number, going: on})
        step_body = _StepBody(body, carried, results, [(0, False)] * (len(results) - len(carried)))
        return self._steps(node, step_body, given, states, written)

    def _scan(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | str:
        body, count = helper.get_node_attr_value(node, "body"), helper.get_node_attr_value(node, "num_scan_inputs")
        known = {attribute.name: list(attribute.ints) for attribute in node.attribute}
        states, sources = list(node.input[:-count]), list(node.input[-count:])
        axes = known.get("scan_input_axes") or [0] * count
        steps = self._facts.size(sources[0], axes[0])
        if steps is None:
            return "its number of steps depends on the number of samples"
        if too_many := self._too_many(body, steps):
            return too_many
        carried = [value.name for value in body.input]
        scanned = carried[len(states) :]
        results = [value.name for value in body.output]
        stacked = len(results) - len(states)
        written = []
        given: list[dict[str, str]] = [{} for _ in range(steps)]
        backwards = known.get("scan_input_directions") or [0] * count
        for inner, source, axis, back in zip(scanned, sources, axes, backwards, strict=True):
            pieces = [self.name(f"{inner}/{step}") for step in range(steps)]
            written += list(self.unstack(source, axis, pieces[::-1] if back else pieces)) if steps else []
            for names, piece in zip(given, pieces, strict=True):
                names[inner] = piece
        axes = known.get("scan_output_axes") or [0] * stacked
        directions = known.get("scan_output_directions") or [0] * stacked
        order = [(axis, bool(direction)) for axis, direction in zip(axes, directions, strict=True)]
        return self._steps(node, _StepBody(body, carried[: len(states)], results, order), given, states, written)

    def _steps(
        self,
        node: onnx.NodeProto,
        body: _StepBody,
        given: Sequence[dict[str, str]],
        states: list[str],
        written: list[onnx.NodeProto],
    ) -> list[onnx.NodeProto] | str:
        """Return successive copies of a body.

        ``given`` names the inputs that differ between steps, ``states`` the initial values of the body's states.
        """
        count = len(body.states)
        outputs = [*node.output, *[""] * len(body.outputs)][: len(body.outputs)]
        if not given and any(outputs[count:]):
            return "it takes no step, so the shape of its stacked outputs is unknown"
        pieces: list[list[str]] = [[] for _ in body.outputs[count:]]
        for step, names in enumerate(given):
            names |= zip(body.states, states, strict=True)
            last = step == len(given) - 1
            ends = [
                (inner, outer) for inner, outer in zip(body.outputs, outputs[:count], strict=False) if last and outer
            ]
            written += self.copy(body.graph, names, ends, f"/{step}")
            states = [names.get(name, name) for name in body.outputs[:count]]
            for stack, name in zip(pieces, body.outputs[count:], strict=True):
                stack.append(names.get(name, name))
        if not given:
            written += [self.node("Identity", [state], end) for state, end in zip(states, outputs, strict=False) if end]
        for stack, end, (axis, back) in zip(pieces, outputs[count:], body.order, strict=True):
            if end:
                written += self.stack(stack[::-1] if back else stack, axis, end)
        return written

    def _too_many(self, body: onnx.GraphProto, steps: int) -> str:
        nodes = steps * _count_nodes(body)
        if nodes <= self._room - self.spent:
            return ""
        return f"its {steps:,} steps would take {nodes:,} nodes, and loops are unrolled to at most {LARGEST:,}"


def _nodes_leading_to(nodes: Sequence[onnx.NodeProto], names: Iterable[str]) -> list[onnx.NodeProto]:
    wanted, leading = set(names), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted.update(reads(node))
            leading.append(node)
    return leading[::-1]


def _control_inputs(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that determine the control flow: the condition of an If, the inputs that a Scan slices."""
    if node.op_type == "Scan":
        return list(node.input[-helper.get_node_attr_value(node, "num_scan_inputs") :])
    return [node.input[0]] if node.op_type == "If" else []


def _steps_are_known(loop: onnx.NodeProto, varying: set[str]) -> bool:
    """Whether the number of steps of a Loop does not depend on the values of the input."""
    if not varying.isdisjoint(loop.input[:2]):
        return False
    body = helper.get_node_attr_value(loop, "body")
    nodes, local = topological_order(body), local_names(body)
    carried = [value.name for value in body.input[2:]]
    inner = {name for name, state in zip(carried, loop.input[2:], strict=True) if state in varying}
    while True:
        reached = data_descendants(nodes, (varying - local) | inner)
        passed = {name for name, answer in zip(carried, body.output[1:], strict=False) if answer.name in reached}
        if passed <= inner:
            return body.output[0].name not in reached
        inner |= passed


def _count_steps(loop: onnx.NodeProto, name: str) -> None:
    """Add an output to a Loop that has one entry per step."""
    body = next(subgraphs(loop))
    loop.output.extend([f"{name}/unread_{i}" for i in range(len(body.output) - 1 - len(loop.output))])
    loop.output.append(name)
    body.node.append(helper.make_node("Identity", [body.output[0].name], [f"{name}/one"]))
    body.output.append(helper.make_tensor_value_info(f"{name}/one", TensorProto.BOOL, []))


def _count_nodes(graph: onnx.GraphProto) -> int:
    return sum(1 for _ in nested_nodes(graph.node))
