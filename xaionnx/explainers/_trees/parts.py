"""Tensors with the scores of trees: the outputs of tree ensembles, and functions of the output of a single tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np
import onnx
from onnx import TensorProto, helper

from xaionnx.errors import XaionnxError
from xaionnx.explainers._trees.scores import NodeScores
from xaionnx.graph.cut import cut
from xaionnx.graph.tree_ensembles import ML, NEWEST, REGRESSOR, TreeEnsemble
from xaionnx.graph.view import SHAPE_READERS, GraphView, reads
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import activate
from xaionnx.typing import Array

# In place of an ensemble: a tensor depends on several, or on the inputs in another way.
_SEVERAL: Final = -1


@final
@dataclass(frozen=True, eq=False)
class TreePart:
    """A tensor with the scores of trees.

    Attributes
    ----------
    ensemble : TreeEnsemble
        The tensor is its output.
    scores : NodeScores
        How the tensor follows from the sums.
    node : onnx.NodeProto or None
        The node of the ensemble; None if the tensor is a function of the output of a single tree, whose values are the
        weights of the leaves.
    sides : tuple of int, optional
        The axes of a row of the tensor; by default one.
    """

    ensemble: TreeEnsemble
    scores: NodeScores
    node: onnx.NodeProto | None
    sides: tuple[int, ...] | None = None

    __repr__ = short_repr

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes of a row of the tensor."""
        return self.scores.weights.shape[1:] if self.sides is None else self.sides

    def sums(self, output: str) -> list[onnx.NodeProto]:
        """Return nodes for the sums of the trees alone in float32, without base values and transform."""
        if self.node is not None:
            return _sums_of_node(self.node, self.ensemble, output)
        floats = f"{output}/floats"
        return [
            helper.make_node("Cast", [self.ensemble.output], [floats], to=TensorProto.FLOAT),
            helper.make_node("Flatten", [floats], [output]),
        ]


def _sums_of_node(node: onnx.NodeProto, ensemble: TreeEnsemble, output: str) -> list[onnx.NodeProto]:
    floats = f"{output}/floats"
    if ensemble.op == NEWEST:
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.name, own.output[:] = "", [floats]
        kept = [a for a in node.attribute if a.name != "post_transform"]
        del own.attribute[:]
        own.attribute.extend(kept)
        return [own, helper.make_node("Cast", [floats], [output], to=TensorProto.FLOAT)]
    regressor = helper.make_node(REGRESSOR, [node.input[0]], [floats], domain=ML, n_targets=ensemble.targets)
    for attribute in node.attribute:
        kept = attribute.name.startswith(("nodes_", "target_")) or attribute.name == "aggregate_function"
        if kept or (attribute.name.startswith("class_") and not attribute.name.startswith("classlabels")):
            regressor.attribute.add().CopyFrom(attribute)
            regressor.attribute[-1].name = attribute.name.replace("class_", "target_", 1)
    return [regressor, helper.make_node("Cast", [floats], [output], to=TensorProto.FLOAT)]


def functions_of_single_trees(model: Model, tensor: str, parts: Mapping[str, TreePart]) -> dict[str, TreePart]:
    """Return the last tensors ahead of ``tensor`` that are functions of the output of one tree each.

    A function of what one tree returns is a tree with other numbers in its leaves, as the path lengths of an isolation
    forest are, which follow from the number of the leaf.
    """
    view = model.view
    single = [part for part in parts.values() if part.node is not None and len(part.ensemble.roots) == 1]
    trees = _trees_of_tensors(view, parts, {id(part.node): number for number, part in enumerate(single)})
    wanted = view.ancestors([tensor])
    found = dict[str, TreePart]()
    for name, number in trees.items():
        if number == _SEVERAL or name in parts or name not in wanted:
            continue
        readers = [node for node in view.consumers.get(name, ()) if not wanted.isdisjoint(node.output)]
        if name == tensor or any(trees.get(out) != number for node in readers for out in node.output if out in wanted):
            part = _function(model, name, single[number])
            if part is not None:
                found[name] = part
    return found


def _trees_of_tensors(view: GraphView, parts: Mapping[str, TreePart], single: Mapping[int, int]) -> dict[str, int]:
    """The number of the only single tree that each tensor follows from, or that there are more; no constants."""
    nodes = {id(part.node): name for name, part in parts.items()}
    inputs = {value.name for value in view.model.graph.input} - {*view.constants}
    found = dict.fromkeys(inputs, _SEVERAL)
    for node in view.nodes:
        if node.op_type in SHAPE_READERS:
            continue
        met = {found[name] for name in reads(node) if name in found}
        if met:
            found.update(
                dict.fromkeys((name for name in node.output if name), met.pop() if len(met) == 1 else _SEVERAL)
            )
        if id(node) in nodes:
            found[nodes[id(node)]] = single.get(id(node), _SEVERAL)
    return found


def _function(model: Model, name: str, part: TreePart) -> TreePart | None:
    """A tensor as a function of the leaves of a single tree; None if its rows depend on each other or on the inputs."""
    trees = part.ensemble
    leaves = np.flatnonzero(trees.true < 0)
    sums = np.zeros((len(trees.true), trees.targets))
    np.add.at(sums, (trees.weight_node, trees.weight_target), trees.weight)
    scores = sums[leaves] @ part.scores.weights + part.scores.constant
    activation = {"logistic": "sigmoid", "softmax": "softmax"}.get(part.scores.link, "identity")
    outputs = np.asarray(activate(activation, scores))
    values = [_evaluated(model, trees.output, rows, name) for rows in (outputs, outputs[::-1])]
    if values[0] is None or values[1] is None or not np.array_equal(values[0], values[1][::-1], equal_nan=True):
        return None
    sides = values[0].shape[1:]
    size = math.prod(sides)
    function = replace(
        trees,
        output=name,
        weight_node=np.repeat(leaves, size).astype(np.int32),
        weight_target=np.tile(np.arange(size), len(leaves)).astype(np.int32),
        weight=values[0].reshape(-1).astype(np.float64),
        targets=size,
        base=np.zeros(0),
        aggregate="SUM",
        post_transform="NONE",
    )
    return TreePart(function, NodeScores(np.eye(size), np.zeros(size), "identity"), None, sides)


def _evaluated(model: Model, given: str, rows: Array, name: str) -> Array | None:
    """A tensor for rows of the only tensor that it follows from; None if it has no number for each."""
    try:
        found = run_from(model, {given: rows}, name)
    except XaionnxError:  # the rows are counted in another way
        return None
    return found if found.shape[:1] == rows.shape[:1] and found.dtype.kind == "f" else None


def run_from(model: Model, given: Mapping[str, Array], name: str) -> Array:
    """Return a tensor of a model for rows of the tensors that it follows from; of others only the sizes count."""
    types = {each: model.view.types.get(each, TensorProto.FLOAT) for each in given}
    declared = {each: helper.make_tensor_type_proto(kind, None) for each, kind in types.items()}
    part = model.derived(("part", *given, name), lambda proto: cut(proto, list(given), [name], declared))
    feeds: dict[str, Array] = {
        each: rows.astype(helper.tensor_dtype_to_np_dtype(types[each])) for each, rows in given.items()
    }
    count = max(len(rows) for rows in given.values())
    for info in part.inputs:
        sides = [side if isinstance(side, int) else 1 for side in info.shape[1:]]
        feeds.setdefault(info.name, np.zeros((count, *sides), dtype=info.dtype))
    return part.run(feeds, [name])[name]
