"""How the explained tensor of a model follows from the sums of its trees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import onnx
from onnx import TensorProto, helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES, node_scores
from xaionnx.graph.affine import AffineTrace, Stage, affine_trace
from xaionnx.graph.cut import cut
from xaionnx.graph.tree_ensembles import ML, NEWEST, REGRESSOR, TreeEnsemble, tree_ensembles
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import activate
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True, eq=False)
class LinkedSums:
    """A tensor with S elements a sample that follows from sums (N, C).

    Attributes
    ----------
    tensor : str
    link : str
        ``identity``, ``logistic``, ``softmax`` or ``exponential``.
    weights, constant : arrays (C, Z), (Z,)
        The sums are combined to Z numbers, to which the link is applied.
    outer, shift : arrays (Z, S), (S,)
        The results of the link are combined to the elements of the tensor.
    """

    tensor: str
    link: str
    weights: Array
    constant: Array
    outer: Array
    shift: Array

    __repr__ = short_repr

    def outputs(self, sums: Array) -> Array:
        """Return the tensor (N, S) for sums (N, C)."""
        z = sums @ self.weights + self.constant
        with np.errstate(over="ignore"):
            linked = np.exp(z) if self.link == "exponential" else activate(_ACTIVATIONS.get(self.link, "identity"), z)
        return np.asarray(linked @ self.outer + self.shift)

    def margins(self) -> tuple[Array, Array]:
        """Return weights (C, S) and constants (S,) of the numbers whose link are the elements of the tensor.

        Those of an element that is not the link of one number, or one minus it, are NaN.
        """
        if self.link == "identity":
            return self.weights @ self.outer, self.constant @ self.outer + self.shift
        size = self.outer.shape[1]
        weights, constant = np.full((len(self.weights), size), np.nan), np.full(size, np.nan)
        for element in range(size):
            column = self.outer[:, element]
            [used] = np.nonzero(np.abs(column) > _NEGLIGIBLE)
            if len(used) != 1:
                continue
            if self.link == "exponential" and column[used[0]] > 0 and self.shift[element] == 0:
                weights[:, element] = self.weights[:, used[0]]
                constant[element] = self.constant[used[0]] + np.log(column[used[0]])
                continue
            for sign, shift in ((1.0, 0.0), (-1.0, 1.0)):
                fits = abs(column[used[0]] - sign) < _NEGLIGIBLE and abs(self.shift[element] - shift) < _NEGLIGIBLE
                if fits and (sign > 0 or self.link == "logistic"):
                    weights[:, element] = sign * self.weights[:, used[0]]
                    constant[element] = sign * self.constant[used[0]]
        return weights, constant


@final
@dataclass(frozen=True, eq=False)
class TreeSource:
    """A tensor that follows from the sums of trees.

    Attributes
    ----------
    scores : LinkedSums
    nodes, ensembles : tuples
        The nodes of the ensembles, and their arrays; their sums follow each other.
    """

    scores: LinkedSums
    nodes: tuple[onnx.NodeProto, ...]
    ensembles: tuple[TreeEnsemble, ...]

    words: ClassVar[str] = "tree_shap explains sums of trees"

    __repr__ = short_repr

    def sums(self, prefix: str) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return nodes that compute the sums in float32, and the tensors that follow each other."""
        names = [f"{prefix}/trees_{number}" for number in range(len(self.nodes))]
        parts = zip(self.nodes, self.ensembles, names, strict=True)
        return [made for node, ensemble, name in parts for made in sums_only(node, ensemble, name)], names


_ACTIVATIONS: Final = {"logistic": "sigmoid", "softmax": "softmax"}
_NEGLIGIBLE: Final = 1e-5


def tree_source(model: Model, tensor: str, feeds: Feeds) -> TreeSource:
    """Return how a tensor follows from the sums of trees, whatever the inputs.

    Raises
    ------
    UnsupportedModelError
        It does not, or the trees are not sound.
    """
    del feeds
    return graph_fact(model, ("trees", tensor), lambda _: _find(model, tensor))


def _find(model: Model, tensor: str) -> TreeSource:
    known = tree_ensembles(model.view)
    if not known:
        raise UnsupportedModelError(
            f"{model.name} has no tree ensemble (TreeEnsembleClassifier, TreeEnsembleRegressor or TreeEnsemble). Use a "
            "method for any model, such as kernel_shap."
        )
    outputs = {ensemble.output: number for number, (_, ensemble) in enumerate(known)}
    scores = [node_scores(ensemble, node.name, model.name) for node, ensemble in known]
    linked = [name for name, number in outputs.items() if scores[number].link != "identity"]
    trace = affine_trace(model.view, tensor, outputs, linked)
    chosen = sorted(outputs[name] for name in trace.sources)
    if not chosen:
        raise UnsupportedModelError(f"'{tensor}' does not depend on the trees of {model.name}.")
    parts = [scores[number] for number in chosen]
    ensembles = tuple(known[number][1] for number in chosen)
    sizes = [(part.weights.shape[1],) for part in parts]
    weights, constant = _block_diagonal([part.weights for part in parts]), np.concatenate([p.constant for p in parts])
    links = {part.link for part in parts} | {kind for kind, _, _ in trace.links}
    links -= {"identity"} if len(links) > 1 else set()
    if len(links) > 1 or (len(trace.links) > 1 and links != {"logistic"}):
        raise UnsupportedModelError(
            f"'{tensor}' joins different functions of sums of trees ({', '.join(sorted(links))}). Use {GAMES}."
        )
    names = [ensemble.output for ensemble in ensembles]
    if trace.stage is Stage.AFFINE or not trace.links:
        outer, shift = affine_map(model, names, sizes, tensor)
    else:
        weights, constant, outer, shift = _around_links(model, names, sizes, tensor, trace, weights, constant)
    link = next(iter(links))
    nodes = tuple(known[number][0] for number in chosen)
    return TreeSource(LinkedSums(tensor, link, weights, constant, outer, shift), nodes, ensembles)


def _around_links(
    model: Model,
    names: list[str],
    sizes: Sequence[tuple[int, ...]],
    tensor: str,
    trace: AffineTrace,
    weights: Array,
    constant: Array,
) -> tuple[Array, Array, Array, Array]:
    """Weights and constants of what the links take, and of what follows from their results."""
    befores = [affine_map(model, names, sizes, before) for _, before, _ in trace.links]
    ends = [after for _, _, after in trace.links]
    outer, shift = affine_map(model, ends, [(len(constant_),) for _, constant_ in befores], tensor)
    first = np.concatenate([before for before, _ in befores], axis=1)
    second = np.concatenate([constant_ for _, constant_ in befores])
    return weights @ first, constant @ first + second, outer, shift


def affine_map(
    model: Model, names: list[str], sizes: Sequence[tuple[int, ...]], tensor: str, length: float = 1.0
) -> tuple[Array, Array]:
    """Return weights (sum of sizes, S) and constants (S,) of an affine function, from its values on the axes.

    ``sizes`` are the axes of one row of each tensor. A large ``length`` of the vectors, a power of 2, keeps small
    weights beside a large constant exact.
    """
    total = sum(map(math.prod, sizes))
    if names == [tensor]:
        return np.eye(total), np.zeros(total)
    types = {name: helper.make_tensor_type_proto(_element_type(model, name), None) for name in names}
    part = model.derived(("affine", *names, tensor), lambda proto: cut(proto, names, [tensor], types))
    rows = np.concatenate([np.zeros((1, total)), np.eye(total)])
    feeds, first = dict[str, Array](), 0
    for name, shape in zip(names, sizes, strict=True):
        info = next(one for one in part.inputs if one.name == name)
        last = first + math.prod(shape)
        # Of what is true or false there is no large one.
        longer = 1.0 if info.dtype.kind == "b" else length
        feeds[name] = (longer * rows[:, first:last]).astype(info.dtype).reshape(-1, *shape)
        rows[first + 1 : last + 1] *= longer
        first = last
    for info in part.inputs:
        # Only its shape is read.
        sides = [side if isinstance(side, int) else 1 for side in info.shape[1:]]
        feeds.setdefault(info.name, np.zeros((len(rows), *sides), dtype=info.dtype))
    found = part.run(feeds, [tensor])[tensor].astype(np.float64).reshape(len(rows), -1)
    return (found[1:] - found[0]) / rows[1:].max(axis=1, initial=0)[:, None], found[0]


def _element_type(model: Model, name: str) -> int:
    return model.view.types.get(name, TensorProto.FLOAT)


def _block_diagonal(blocks: list[Array]) -> Array:
    joined = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for block in blocks:
        joined[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return joined


def sums_only(node: onnx.NodeProto, ensemble: TreeEnsemble, output: str) -> list[onnx.NodeProto]:
    """Return nodes for the sums of an ensemble alone in float32, without base values and transform."""
    floats = f"{output}/floats"
    if ensemble.op == NEWEST:
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.name, own.output[:] = "", [floats]
        kept = [a for a in node.attribute if a.name != "post_transform"]
        del own.attribute[:]
        own.attribute.extend(kept)
        return [own, helper.make_node("Cast", [floats], [output], to=onnx.TensorProto.FLOAT)]
    regressor = helper.make_node(REGRESSOR, [node.input[0]], [floats], domain=ML, n_targets=ensemble.targets)
    for attribute in node.attribute:
        kept = attribute.name.startswith(("nodes_", "target_")) or attribute.name == "aggregate_function"
        if kept or (attribute.name.startswith("class_") and not attribute.name.startswith("classlabels")):
            regressor.attribute.add().CopyFrom(attribute)
            regressor.attribute[-1].name = attribute.name.replace("class_", "target_", 1)
    return [regressor, helper.make_node("Cast", [floats], [output], to=onnx.TensorProto.FLOAT)]
