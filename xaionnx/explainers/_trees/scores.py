"""How the scores of a tree ensemble follow from the sums of its leaves, as onnxruntime computes them.

What is here is what onnxruntime 1.20 to 1.32 do, whatever the specification of ``ai.onnx.ml`` says: a classifier with
two classes is read in three ways, by which of the classes the leaves that a row reaches have weights for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.tree_ensembles import CLASSIFIER, TreeEnsemble
from xaionnx.typing import Array

GAMES: Final = "exact_shapley or kernel_shap"
"""The methods that explain any function of trees, for messages."""

_LINKS: Final = {"NONE": "identity", "LOGISTIC": "logistic", "SOFTMAX": "softmax"}


@final
@dataclass(frozen=True, eq=False)
class NodeScores:
    """The scores (N, S) of one ensemble from its sums (N, K) without base values: ``f(sums @ weights + constant)``.

    Attributes
    ----------
    weights : array (K, S)
    constant : array (S,)
    link : str
        ``identity``, ``logistic`` or ``softmax``.
    """

    weights: Array
    constant: Array
    link: str


def node_scores(ensemble: TreeEnsemble, node: str, model: str) -> NodeScores:
    """Return how the scores of a node follow from the sums of its trees.

    Parameters
    ----------
    ensemble : TreeEnsemble
    node, model : str
        Names, for messages.

    Raises
    ------
    UnsupportedModelError
        The scores are not sums, as those of a minimum, have a transform without a margin, or differ between rows in
        how they follow from the sums.
    """
    try:
        return _class_scores(ensemble) if ensemble.op == CLASSIFIER else _target_scores(ensemble)
    except _NoSumError as error:
        raise UnsupportedModelError(
            f"{ensemble.op} '{node or ensemble.output}' of {model} {error}, so its output is no sum over trees. Use "
            f"{GAMES}."
        ) from None


@final
class _NoSumError(Exception):
    """Why scores are not sums."""


def _target_scores(ensemble: TreeEnsemble) -> NodeScores:
    count, base = ensemble.targets, ensemble.base
    if ensemble.aggregate in ("MIN", "MAX") and len(ensemble.roots) > 1:
        raise _NoSumError(f"takes the {ensemble.aggregate} over its trees")
    if count == 1:
        # Other transforms of one number are left out.
        return _plain(1, base, "PROBIT" if ensemble.post_transform == "PROBIT" else "NONE")
    if len(base) == count:
        # Base values are added for the targets that a row reaches a weight of.
        always, never = weighted_targets(ensemble)
        _check_same_for_all_rows(always | never, "target")
        base = np.where(never, 0.0, base)
    return _plain(count, base, ensemble.post_transform)


def _class_scores(ensemble: TreeEnsemble) -> NodeScores:
    count, base, post = ensemble.targets, ensemble.base, ensemble.post_transform
    if count == 1:
        return _plain(1, base, "PROBIT" if post == "PROBIT" else "NONE")
    if count > 2:
        return _plain(count, base, post)
    always, never = weighted_targets(ensemble)
    # Without base values a weight of the first class that is not there is one of 0.
    _check_same_for_all_rows(always | never | [len(base) == 0, False], "class")
    if len(base) == 2:
        if never[0]:
            raise _NoSumError("has two base values and weights of the second class alone, which onnxruntime leaves out")
        if never[1]:
            return NodeScores(np.diag([1.0, 0.0]), np.array([base[0], 0.0]), _link(post))
        return _opposite(base[1], post)
    if not never[1]:
        first = base[0] if len(base) == 1 and not never[0] else 0.0
        return NodeScores(np.eye(2), np.array([first, 0.0]), _link(post))
    total = base[0] if len(base) == 1 else 0.0
    if post == "PROBIT":
        raise _NoSumError("has the post transform PROBIT")
    if post == "LOGISTIC":
        return _opposite(total, post)
    opposite = _opposite(total, "NONE")
    if (ensemble.weight < 0).any():
        return opposite
    return NodeScores(opposite.weights, np.array([1 - total, total]), "identity")


def _opposite(total: float, post: str) -> NodeScores:
    """One score for two classes, with opposite signs."""
    return NodeScores(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([-total, total]), _link(post))


def _plain(count: int, base: Array, post: str) -> NodeScores:
    """The sums, with a base value each."""
    return NodeScores(np.eye(count), np.array(base if len(base) == count else np.zeros(count)), _link(post))


def _link(post: str) -> str:
    if post not in _LINKS:
        raise _NoSumError(f"has the post transform {post}")
    return _LINKS[post]


def _check_same_for_all_rows(same: Array, what: str) -> None:
    if not same.all():
        raise _NoSumError(
            f"has leaves without a weight of {what} {int(np.argmin(same))}, for which onnxruntime computes another "
            "function"
        )


def weighted_targets(ensemble: TreeEnsemble) -> tuple[Array, Array]:
    """Return for each target whether every row reaches a weight of it, and whether no row does, (K,) each."""
    tree = np.full(len(ensemble.true), -1)
    tree[ensemble.roots] = np.arange(len(ensemble.roots))
    frontier = ensemble.roots
    while len(frontier):
        inner = frontier[ensemble.true[frontier] >= 0]
        below = np.concatenate([ensemble.true[inner], ensemble.false[inner]])
        tree[below] = np.concatenate([tree[inner], tree[inner]])
        frontier = below
    leaf = ensemble.true < 0
    always, never = np.zeros(ensemble.targets, bool), np.zeros(ensemble.targets, bool)
    for target in range(ensemble.targets):
        weighted = np.zeros(len(tree), bool)
        weighted[ensemble.weight_node[ensemble.weight_target == target]] = True
        lacking = np.unique(tree[leaf & ~weighted])
        always[target] = len(lacking) < len(ensemble.roots)
        never[target] = not weighted.any()
    return always, never
