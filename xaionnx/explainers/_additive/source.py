"""How the explained tensor of a model follows from a sum of terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import onnx
from onnx import TensorProto, helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.explainers._trees.source import LinkedSums, affine_map, tree_source
from xaionnx.graph.affine import LINKS, affine_ends
from xaionnx.graph.dependence import DependenceWalk, Elements
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

MOST_TOGETHER: Final = 3
"""The most features of one term."""

# Weights of terms are read from values this far from 0, so that they are exact beside a large constant.
_LENGTH: Final = 2.0**30
# Axes of a table, and the size that stands for a free one of anything else.
_TABLE: Final = 2
_SIDE: Final = 16
# Terms whose weights are found one by one.
_MOST_TERMS: Final = 4_000


@final
@dataclass(frozen=True, eq=False)
class AdditiveSource:
    """A tensor that follows from a weighted sum of H terms.

    Attributes
    ----------
    scores : LinkedSums
        Its weights are those of the terms.
    tensors : tuple of str
        The tensors whose elements, one after the other, are the terms.
    """

    scores: LinkedSums
    tensors: tuple[str, ...]

    words: ClassVar[str] = "additive_shap and linear_shap explain sums"

    __repr__ = short_repr

    def sums(self, prefix: str) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return nodes that compute the terms (N, .) in float32, and their tensors, which follow each other."""
        nodes, names = list[onnx.NodeProto](), list[str]()
        for number, tensor in enumerate(self.tensors):
            names.append(f"{prefix}/terms_{number}")
            nodes.append(helper.make_node("Cast", [tensor], [f"{names[-1]}/floats"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Flatten", [f"{names[-1]}/floats"], [names[-1]]))
        return nodes, names


def additive_source(model: Model, tensor: str, feeds: Feeds) -> AdditiveSource:
    """Return how a tensor follows from a sum of terms; of the inputs only the sizes count.

    Raises
    ------
    UnsupportedModelError
        Its terms are not numbers, or too many.
    """
    if any(array.ndim > _TABLE for array in feeds.values()):
        # In a table, features may be groups of columns.
        check_terms(model, tensor, linear=False)
    sizes = tuple((name, array.shape[1:]) for name, array in feeds.items())
    return graph_fact(model, ("additive", tensor, sizes), lambda _: _find(model, tensor, feeds))


def linear_source(model: Model, tensor: str, feeds: Feeds) -> AdditiveSource:
    """As :func:`additive_source`, of a tensor that is a linear function of the inputs.

    Raises
    ------
    UnsupportedModelError
        It is not.
    """
    check_terms(model, tensor, linear=True)
    return additive_source(model, tensor, feeds)


def _find(model: Model, tensor: str, feeds: Feeds) -> AdditiveSource:
    plain = _without_norms(model)
    ends = affine_ends(plain.view, tensor)
    makers = [plain.view.producers.get(end) for end in ends]
    kinds = {LINKS.get(maker.op_type, "") if maker is not None else "" for maker in makers}
    if len(kinds) == 1 and (kinds <= {"logistic"} or (kinds <= {*LINKS.values()} and len(ends) == 1)):
        befores = [maker.input[0] for maker in makers if maker is not None]
        found = _linked(plain, tensor, list(ends), befores, kinds.pop(), feeds)
        if not np.isnan(found.scores.margins()[0]).all() and (plain is model or _sums_to_one(found.scores)):
            return found
        plain, ends = model, affine_ends(model.view, tensor)
    sizes, names = _sizes(plain, ends, feeds), list(ends)
    weights, constant = affine_map(plain, names, sizes, tensor, _LENGTH)
    count = weights.shape[1]
    scores = LinkedSums(tensor, "identity", weights, constant, np.eye(count), np.zeros(count))
    return AdditiveSource(scores, tuple(ends))


def _without_norms(model: Model) -> Model:
    """The model without the division of probabilities by their sum, as scikit-learn's exporter adds it."""
    view = model.view

    def of_link(node: onnx.NodeProto) -> bool:
        maker = view.producers.get(node.input[0]) if node.op_type == "LpNormalization" else None
        return maker is not None and maker.op_type in LINKS and view.attributes(node).get("p") == 1

    if not any(of_link(node) for node in view.nodes):
        return model

    def rewrite(proto: onnx.ModelProto) -> onnx.ModelProto:
        plain = onnx.ModelProto()
        plain.CopyFrom(proto)
        for node, other in zip(proto.graph.node, plain.graph.node, strict=True):
            if of_link(node):
                other.CopyFrom(helper.make_node("Identity", node.input, node.output))
        return plain

    return model.derived("probabilities as they are", rewrite)


def _sums_to_one(scores: LinkedSums) -> bool:
    """Whether the results of a link sum to 1 for each row: of a softmax, or of a number and its negative."""
    both = np.concatenate([scores.weights, scores.constant[None]])
    opposite = both.shape[1] == 2 and np.allclose(both[:, 0], -both[:, 1], rtol=1e-6, atol=0)
    return scores.link == "softmax" or (scores.link == "logistic" and opposite)


def check_terms(model: Model, tensor: str, *, linear: bool) -> None:
    """Check, as far as the graph alone shows it, that a tensor follows from a sum of terms of few features.

    Raises
    ------
    UnsupportedModelError
        It does not; if ``linear``, it is not a linear function of the inputs.
    """
    plain = _without_norms(model)
    ends = affine_ends(plain.view, tensor)
    makers = [plain.view.producers.get(end) for end in ends]
    if makers and all(maker is not None and maker.op_type in LINKS for maker in makers):
        ends = tuple(e for maker in makers if maker is not None for e in affine_ends(plain.view, maker.input[0]))
    if linear:
        check_linear(model, plain, tensor, ends)
    end = _joining(model, ends)
    if end is not None:
        raise too_many(end, model, tensor)


def _joining(model: Model, ends: Sequence[str]) -> str | None:
    """The first of some tensors that is computed from too many features, as far as the graph alone shows it."""
    shapes = {info.name: info.shape if info.name in model.shared else (1, *info.shape[1:]) for info in model.inputs}
    if any(len(shape) <= _TABLE and not all(isinstance(s, int) for s in shape) for shape in shapes.values()):
        return None
    sizes = {name: tuple(s if isinstance(s, int) else _SIDE for s in shape) for name, shape in shapes.items()}
    walk = DependenceWalk(model.view, sizes)
    for end in ends:
        if end in sizes or end not in model.view.producers:
            continue
        found = walk.back({end: np.array([0])}).elements
        if sum(_count(found[name], sizes[name]) for name in sizes if name in found) > MOST_TOGETHER:
            return end
    return None


def _count(elements: Elements, shape: tuple[int, ...]) -> int:
    if elements is None:
        return int(np.prod(shape))
    return int(np.prod([s if axis is None else axis.sum() for s, axis in zip(shape, elements, strict=True)][1:]))


def check_linear(model: Model, plain: Model, tensor: str, ends: Sequence[str]) -> None:
    """Check that what a tensor adds are inputs; ``plain`` is the model without norms of probabilities.

    Raises
    ------
    UnsupportedModelError
        Something is computed in another way.
    """
    inputs = {info.name for info in plain.inputs}
    for end in ends:
        if end not in inputs:
            maker = plain.view.producers.get(end)
            op = f" ({maker.op_type})" if maker is not None else ""
            others = GAMES
            if _sums_trees(model, tensor):
                others = f"tree_shap, which reads the trees, or {GAMES}"
            elif _joining(model, ends) is None:
                others = f"additive_shap for a sum of terms of few columns, or {GAMES}"
            raise UnsupportedModelError(
                f"'{tensor}' of {model.name} is not a linear function of the inputs: it adds '{end}'{op}. Use {others}."
            )


def too_many(end: str, model: Model, tensor: str) -> UnsupportedModelError:
    """Return the error for a term of a tensor that is computed from too many features."""
    others = f"tree_shap, which reads the trees, or {GAMES}" if _sums_trees(model, tensor) else GAMES
    return UnsupportedModelError(
        f"What {model.name} adds up ('{end}') is computed from more than {MOST_TOGETHER} features at once, so it is "
        f"not a sum of terms of few features. Use {others}."
    )


def _sums_trees(model: Model, tensor: str) -> bool:
    """Whether a tensor follows from sums of trees."""
    try:
        tree_source(model, tensor, {})
    except UnsupportedModelError:
        return False
    return True


def _linked(model: Model, tensor: str, ends: list[str], befores: list[str], link: str, feeds: Feeds) -> AdditiveSource:
    """The source of a tensor behind links, whose operands are ``befores`` and whose results are ``ends``."""
    outer, shift = affine_map(model, ends, _sizes(model, ends, feeds), tensor)
    sources = list(dict.fromkeys(name for before in befores for name in affine_ends(model.view, before)))
    sizes = _sizes(model, sources, feeds)
    lengths = {name: math.prod(shape) for name, shape in zip(sources, sizes, strict=True)}
    starts = dict(zip(sources, np.cumsum([0, *lengths.values()]).tolist(), strict=False))
    shapes = dict(zip(sources, sizes, strict=True))
    weights, constants = list[Array](), list[Array]()
    for before in befores:
        own = list(affine_ends(model.view, before))
        found, constant = affine_map(model, own, [shapes[name] for name in own], before, _LENGTH)
        whole, first = np.zeros((sum(lengths.values()), len(constant))), 0
        for name in own:
            whole[starts[name] : starts[name] + lengths[name]] = found[first : first + lengths[name]]
            first += lengths[name]
        weights.append(whole)
        constants.append(constant)
    joined, constant = np.concatenate(weights, axis=1), np.concatenate(constants)
    if link == "softmax" and outer.shape[0] == 2:
        # A logistic function of the difference, which is the logit of either class.
        link, against = "logistic", np.array([[1.0, -1.0], [-1.0, 1.0]])
        joined, constant = joined @ against, constant @ against
    return AdditiveSource(LinkedSums(tensor, link, joined, constant, outer, shift), tuple(sources))


def _sizes(model: Model, tensors: Sequence[str], feeds: Feeds) -> list[tuple[int, ...]]:
    """The axes of one row of each tensor."""
    rows = {name: array if name in model.shared else array[:1] for name, array in feeds.items()}
    inner = [name for name in tensors if name not in rows]
    found = {**rows, **(model.with_outputs(inner).run(rows, inner) if inner else {})}
    sizes = [found[name].shape[1:] for name in tensors]
    words = [name for name in tensors if found[name].dtype.kind not in "fiub"]
    count = sum(map(math.prod, sizes))
    if words or count > _MOST_TERMS:
        reason = f"'{words[0]}' holds words" if words else f"it has {count:,} terms, more than {_MOST_TERMS:,}"
        raise UnsupportedModelError(
            f"{model.name} is not a sum of terms that can be told apart: {reason}. Use {GAMES}."
        )
    return sizes
