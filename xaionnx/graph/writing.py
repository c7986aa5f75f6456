"""Create nodes of a parsed graph, and copy bodies into the graph around them under unused names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.view import topological_order
from xaionnx.loading.soundness import subgraphs


class Writer:
    """Creates nodes for one graph of opset 20 or newer."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors, self._nodes = _all_names(graph)

    def name(self, stem: str, alone: bool = False) -> str:
        """Return an unused tensor name; with ``alone``, ``stem`` may be reused if only one scope has it."""
        return stem if alone and self._tensors[stem] == 1 else _claim_name(stem, self._tensors)

    def node(
        self, op_type: str, inputs: Sequence[str], output: str, **attributes: int | onnx.TensorProto
    ) -> onnx.NodeProto:
        node = helper.make_node(op_type, inputs, [output], name=self._node_name(f"{output}/{op_type}"))
        node.attribute.extend(helper.make_attribute(name, value) for name, value in sorted(attributes.items()))
        return node

    def constant(self, array: npt.ArrayLike, output: str) -> onnx.NodeProto:
        return self.node("Constant", [], output, value=numpy_helper.from_array(np.asarray(array)))

    def stack(self, pieces: Sequence[str], axis: int, output: str) -> Iterator[onnx.NodeProto]:
        """Yield nodes that stack tensors of one shape along a new axis."""
        axes = self.name(f"{output}/axis")
        yield self.constant([axis], axes)
        widened = [output] if len(pieces) == 1 else [self.name(f"{output}/{index}") for index in range(len(pieces))]
        for piece, wide in zip(pieces, widened, strict=True):
            yield self.node("Unsqueeze", [piece, axes], wide)
        if len(pieces) > 1:
            yield self.node("Concat", widened, output, axis=axis)

    def unstack(self, tensor: str, axis: int, pieces: Sequence[str], keep: bool = False) -> Iterator[onnx.NodeProto]:
        """Yield nodes that split a tensor along an axis, which is removed unless ``keep``."""
        parts = list(pieces) if keep else [self.name(f"{piece}/slice") for piece in pieces]
        if len(parts) == 1:
            yield self.node("Identity", [tensor], parts[0])
        else:
            split = self.node("Split", [tensor], parts[0], axis=axis, num_outputs=len(parts))
            split.output[:] = parts
            yield split
        if not keep:
            axes = self.name(f"{tensor}/axis")
            yield self.constant([axis], axes)
            for part, piece in zip(parts, pieces, strict=True):
                yield self.node("Squeeze", [part, axes], piece)

    def copy(
        self, body: onnx.GraphProto, names: dict[str, str], ends: Iterable[tuple[str, str]], suffix: str
    ) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of a body as nodes of the graph around it.

        Parameters
        ----------
        body : onnx.GraphProto
            Without weights.
        names : dict of str to str
            Outer names of its inputs; extended by the new names of all tensors that the body computes.
        ends : iterable of pair of str
            Outputs of the body and their outer names, if these are fixed.
        suffix : str
            Suffix for the names of other tensors. With an empty suffix a name stays if no other scope has it.
        """
        defined = {name for node in body.node for name in node.output if name}
        late = []
        for inner, outer in ends:
            if inner in defined and inner not in names:
                names[inner] = outer
            else:
                late.append((inner, outer))
        for node in topological_order(body):
            for name in node.output:
                if name and name not in names:
                    names[name] = self.name(name + suffix, alone=not suffix)
            copy = rename_tensors(node, names)
            copy.name = self._node_name((node.name or node.op_type) + suffix)
            yield copy
        for inner, outer in late:
            yield self.node("Identity", [names.get(inner, inner)], outer)

    def _node_name(self, stem: str) -> str:
        return _claim_name(stem, self._nodes)


def _claim_name(stem: str, taken: Counter[str]) -> str:
    """Return ``stem``, or the first unused of stem_2, stem_3, ..., and add it to ``taken``."""
    name, turn = stem, 1
    while taken[name]:
        turn += 1
        name = f"{stem}_{turn}"
    taken[name] = 1
    return name


def rename_tensors(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """Return a copy of a node with rename_tensors tensors, also in its bodies."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in copy.input]
    copy.output[:] = [names.get(name, name) for name in copy.output]
    bodies = [(body, names) for body in subgraphs(copy)]
    while bodies:
        body, outer = bodies.pop()
        local = local_names(body)
        visible = {old: new for old, new in outer.items() if old not in local}
        if not visible:
            continue
        for inner in body.node:
            inner.input[:] = [visible.get(name, name) for name in inner.input]
            bodies.extend((deeper, visible) for deeper in subgraphs(inner))
        for value in body.output:
            value.name = visible.get(value.name, value.name)
    return copy


def local_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of a graph's inputs, weights and node outputs, excluding bodies."""
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        names.update(node.output)
    return names


def _all_names(graph: onnx.GraphProto) -> tuple[Counter[str], Counter[str]]:
    """Return the number of scopes that define each tensor name and each node name."""
    tensors: Counter[str] = Counter()
    nodes: Counter[str] = Counter()
    graphs = [graph]
    while graphs:
        one = graphs.pop()
        tensors.update(local_names(one))
        for node in one.node:
            nodes[node.name] += 1
            graphs.extend(subgraphs(node))
    return tensors, nodes
