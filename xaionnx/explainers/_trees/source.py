"""How the explained tensor of a model follows from the sums of its trees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import onnx
from onnx import TensorProto

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._trees.parts import TreePart, functions_of_single_trees, run_from
from xaionnx.explainers._trees.scores import GAMES, node_scores
from xaionnx.graph.affine import AffineTrace, NotAffineError, Stage, affine_trace
from xaionnx.graph.tree_ensembles import TreeEnsemble, tree_ensembles
from xaionnx.graph.view import reads
from xaionnx.runtime.graph_facts import graph_fact
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
    parts : tuple of TreePart
        Their sums follow each other.
    """

    scores: LinkedSums
    parts: tuple[TreePart, ...]

    words: ClassVar[str] = "tree_shap explains sums of trees"

    __repr__ = short_repr

    @property
    def ensembles(self) -> tuple[TreeEnsemble, ...]:
        """The trees."""
        return tuple(part.ensemble for part in self.parts)

    def sums(self, prefix: str) -> tuple[list[onnx.NodeProto], list[str]]:
        """Return nodes that compute the sums in float32, and the tensors that follow each other."""
        names = [f"{prefix}/trees_{number}" for number in range(len(self.parts))]
        return [node for part, name in zip(self.parts, names, strict=True) for node in part.sums(name)], names


_ACTIVATIONS: Final = {"logistic": "sigmoid", "softmax": "softmax"}
_NEGLIGIBLE: Final = 1e-5
# Tensors that a refusal names, and those that are tried for it.
_NAMED: Final = 3
_TRIED: Final = 20


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
    try:
        return _source(model, tensor)
    except _NoSumError as error:
        raise UnsupportedModelError(f"{error}. {_what_works(model, tensor)}") from None


@final
class _NoSumError(Exception):
    """Why a tensor does not follow from sums of trees."""


def _source(model: Model, tensor: str) -> TreeSource:
    trace, parts = _traced(model, tensor)
    if not trace.sources:
        raise UnsupportedModelError(f"'{tensor}' does not depend on the trees of {model.name}.")
    chosen = [part for name, part in parts.items() if name in trace.sources]
    sizes = [part.shape for part in chosen]
    weights = _block_diagonal([part.scores.weights for part in chosen])
    constant = np.concatenate([part.scores.constant for part in chosen])
    links = {part.scores.link for part in chosen} | {link.kind for link in trace.links}
    links -= {"identity"} if len(links) > 1 else set()
    if len(links) > 1 or (len(trace.links) > 1 and links != {"logistic"}):
        raise _NoSumError(f"'{tensor}' joins different functions of sums of trees ({', '.join(sorted(links))})")
    names = [part.ensemble.output for part in chosen]
    if trace.stage is Stage.AFFINE or not trace.links:
        outer, shift = affine_map(model, names, sizes, tensor)
    else:
        weights, constant, outer, shift = _around_links(model, names, sizes, tensor, trace, weights, constant)
    scores = LinkedSums(tensor, next(iter(links)), weights, constant, outer, shift)
    if np.isnan(scores.margins()[0]).all():
        raise _NoSumError(f"No element of '{tensor}' is a {scores.link} function of one sum of trees")
    return TreeSource(scores, tuple(chosen))


def _traced(model: Model, tensor: str) -> tuple[AffineTrace, dict[str, TreePart]]:
    """How a tensor follows from the scores of trees, and these."""
    parts = _parts(model)
    linked = [name for name, part in parts.items() if part.scores.link != "identity"]
    try:
        return affine_trace(model.view, tensor, parts, linked), parts
    except NotAffineError as error:
        reason = error
    more = {**parts, **functions_of_single_trees(model, tensor, parts)}
    if len(more) > len(parts):
        try:
            return affine_trace(model.view, tensor, more, linked), more
        except NotAffineError as error:
            reason = error
    raise _NoSumError(f"'{tensor}' is no sum over the trees: {reason}")


def _parts(model: Model) -> dict[str, TreePart]:
    """The ensembles, by the tensor of their scores."""
    known = tree_ensembles(model.view)
    if not known:
        raise UnsupportedModelError(
            f"{model.name} has no tree ensemble (TreeEnsembleClassifier, TreeEnsembleRegressor or TreeEnsemble). Use a "
            "method for any model, such as kernel_shap."
        )
    return {trees.output: TreePart(trees, node_scores(trees, node.name, model.name), node) for node, trees in known}


def _what_works(model: Model, tensor: str) -> str:
    """The tensors nearest to a tensor that are sums of trees, and methods for any function."""
    found, seen, waiting, tried = list[str](), {tensor}, [tensor], 0
    trees = model.view.data_descendants(_parts(model))
    while waiting and len(found) < _NAMED and tried < _TRIED:
        maker = model.view.producers.get(waiting.pop(0))
        for name in reads(maker) if maker is not None else ():
            if name in seen or name not in trees:
                continue
            seen.add(name)
            tried += 1
            try:
                _source(model, name)
                found.append(name)
            except (_NoSumError, UnsupportedModelError):
                waiting.append(name)
    if not found:
        return f"Use {GAMES}."
    named = " or ".join(f"output='{name}'" for name in found[:_NAMED])
    return f"Explain a sum of trees ahead of it ({named}), or use {GAMES}."


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
    befores = [
        tuple(link.sign * array for array in affine_map(model, names, sizes, link.operand)) for link in trace.links
    ]
    ends = [link.result for link in trace.links]
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
    rows = np.concatenate([np.zeros((1, total)), np.eye(total)])
    given, first = dict[str, Array](), 0
    for name, shape in zip(names, sizes, strict=True):
        last = first + math.prod(shape)
        # Of what is true or false there is no large one.
        longer = 1.0 if model.view.types.get(name) == TensorProto.BOOL else length
        given[name] = longer * rows[:, first:last].reshape(len(rows), *shape)
        rows[first + 1 : last + 1] *= longer
        first = last
    found = run_from(model, given, tensor).astype(np.float64).reshape(len(rows), -1)
    return (found[1:] - found[0]) / rows[1:].max(axis=1, initial=0)[:, None], found[0]


def _block_diagonal(blocks: list[Array]) -> Array:
    joined = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for block in blocks:
        joined[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return joined
