"""Tree ensembles of ``ai.onnx.ml`` as plain arrays: splits, children, leaf weights, and what follows their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.graph.view import AttributeValue, GraphView

ML: Final = "ai.onnx.ml"
CLASSIFIER: Final = "TreeEnsembleClassifier"
REGRESSOR: Final = "TreeEnsembleRegressor"
NEWEST: Final = "TreeEnsemble"
TREES: Final = (CLASSIFIER, REGRESSOR, NEWEST)

MODES: Final = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""The comparisons of a split, in the order of the numbers that TreeEnsemble gives them."""

MEMBER: Final = MODES.index("BRANCH_MEMBER")
"""The number of the comparison with a set."""

# Nodes of all trees, after those that several share were repeated.
_MOST_NODES: Final = 2**24
_MOST_TARGETS: Final = 2**20
_AGGREGATES: Final = ("AVERAGE", "SUM", "MIN", "MAX")
# In the order of onnxruntime, which the outputs follow; ai.onnx.ml 5 says SOFTMAX is 1 and LOGISTIC 2.
_TRANSFORMS: Final = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")


@final
@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """A node with M tree nodes in R trees, L leaf weights and K targets (classes of a classifier).

    Attributes
    ----------
    op : str
        The op of the node.
    input, output : str
        The tensor of the features (N, F), and that of the sums (N, K).
    feature : array of int32, (M,)
        The feature that is compared; -1 for a leaf.
    mode : array of int8, (M,)
        The comparison, a number of :data:`MODES`.
    threshold : array of float64, (M,)
        Exact: those in single precision are widened.
    missing_true : array of bool, (M,)
        Whether NaN goes to the true child.
    true, false : arrays of int32, (M,)
        The children; -1 for a leaf.
    roots : array of int32, (R,)
    weight_node, weight_target : arrays of int32, (L,)
        The leaf and the target of each weight.
    weight : array of float64, (L,)
    targets : int
    base : array of float64, (0,), (1,) or (K,)
        As in the file; added after aggregation.
    aggregate : str
        ``SUM``, ``AVERAGE``, ``MIN`` or ``MAX``.
    post_transform : str
        ``NONE``, ``SOFTMAX``, ``LOGISTIC``, ``SOFTMAX_ZERO`` or ``PROBIT``.
    member_start : array of int32, (M + 1,)
        The members of the set of node i are ``members[member_start[i]:member_start[i + 1]]``.
    members : array of float64
    cover : array of float64, (M,), or None
        The training rows that reach each node, from ``nodes_hitrates``; None unless those of two children add up to
        those of their parent.
    """

    op: str
    input: str
    output: str
    feature: Array
    mode: Array
    threshold: Array
    missing_true: Array
    true: Array
    false: Array
    roots: Array
    weight_node: Array
    weight_target: Array
    weight: Array
    targets: int
    base: Array
    aggregate: str
    post_transform: str
    member_start: Array
    members: Array
    cover: Array | None

    __repr__ = short_repr

    @property
    def features(self) -> Array:
        """The numbers of the features that are compared, ascending."""
        return np.unique(self.feature[self.feature >= 0])


def tree_ensembles(view: GraphView) -> list[tuple[onnx.NodeProto, TreeEnsemble]]:
    """Return the tree ensembles of a graph, in topological order.

    Raises
    ------
    UnsupportedModelError
        A tree is not a tree: it has a cycle, a child that does not exist, or lists of different lengths.
    """
    return [(node, read_trees(node)) for node in view.nodes if node.op_type in TREES and node.domain == ML]


def read_trees(node: onnx.NodeProto) -> TreeEnsemble:
    """Return the arrays of a TreeEnsembleClassifier, a TreeEnsembleRegressor or a TreeEnsemble.

    Raises
    ------
    UnsupportedModelError
        As for :func:`tree_ensembles`.

    Examples
    --------
    >>> node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
    ...     nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[1, 0, 0], nodes_values=[0.5, 0.0, 0.0],
    ...     nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
    ...     target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[3.0, 4.0])
    >>> trees = read_trees(node)
    >>> trees.feature.tolist(), trees.true.tolist(), trees.weight_node.tolist(), trees.weight.tolist()
    ([1, -1, -1], [1, -1, -1], [1, 2], [3.0, 4.0])
    """
    reader = _Reader(node)
    found = _read_newest(reader) if node.op_type == NEWEST else _read_by_ids(reader)
    return _checked(reader, found)


@final
class _Reader:
    """The attributes of a node, as arrays of a checked length; lists are decoded one at a time, as they are long."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self.node = node
        self._coded: Mapping[str, onnx.AttributeProto] = {attribute.name: attribute for attribute in node.attribute}

    def _stated(self, name: str, default: AttributeValue = None) -> AttributeValue:
        return helper.get_attribute_value(self._coded[name]) if name in self._coded else default

    def text(self, name: str, default: str) -> str:
        value = self._stated(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def number(self, name: str, default: int) -> int:
        return int(self._stated(name, default))

    def has(self, name: str) -> bool:
        return name in self._coded or f"{name}_as_tensor" in self._coded

    def numbers(self, name: str, count: int | None = None, default: float | None = None) -> Array:
        """A list of numbers, or the tensor that replaces it, as float64 or int64."""
        value = self._stated(name if name in self._coded else f"{name}_as_tensor")
        if value is None or (isinstance(value, Sequence) and not len(value)):
            return np.full(0 if default is None or count is None else count, default or 0.0)
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        array = array.reshape(-1).astype(np.int64 if array.dtype.kind in "iu" else np.float64)
        if count is not None and len(array) != count:
            raise self.refusal(f"'{name}' has {len(array):,} entries where {count:,} are needed")
        return array

    def words(self, name: str) -> list[str]:
        return [word.decode() for word in self._stated(name, ())]

    def refusal(self, reason: str) -> UnsupportedModelError:
        name = f" '{self.node.name}'" if self.node.name else ""
        return UnsupportedModelError(
            f"{self.node.op_type}{name} is no sound tree ensemble: {reason}. Export the model again."
        )


def _read_by_ids(r: _Reader) -> TreeEnsemble:
    """A classifier or regressor, which name nodes by the number of the tree and a number within it."""
    trees = r.numbers("nodes_treeids")
    count = len(trees)
    ids = r.numbers("nodes_nodeids", count)
    words = r.words("nodes_modes")
    if not count or len(words) != count:
        raise r.refusal(f"'nodes_modes' has {len(words):,} entries where {count:,} are needed")
    unknown = sorted({*words} - {*MODES[:MEMBER], "LEAF"})
    if unknown:
        raise r.refusal(f"there is no comparison '{unknown[0]}'")
    numbers = {word: number for number, word in enumerate(MODES)} | {"LEAF": 0}
    leaf = np.array([word == "LEAF" for word in words])
    index = _Index(r, trees, ids)
    inner = np.flatnonzero(~leaf)
    children = []
    for side in ("true", "false"):
        child = np.full(count, -1, dtype=np.int32)
        given = r.numbers(f"nodes_{side}nodeids", count)
        child[inner] = index.of(trees[inner], given[inner], f"nodes_{side}nodeids")
        children.append(child)
    kind, targets = ("class", _classes(r)) if r.node.op_type == CLASSIFIER else ("target", r.number("n_targets", 1))
    if not 0 < targets <= _MOST_TARGETS:
        raise r.refusal(f"it has {targets:,} targets")
    weight = r.numbers(f"{kind}_weights")
    nodes = index.of(
        r.numbers(f"{kind}_treeids", len(weight)), r.numbers(f"{kind}_nodeids", len(weight)), f"{kind}_nodeids"
    )
    true, false = children
    return TreeEnsemble(
        op=r.node.op_type,
        input=r.node.input[0],
        output=r.node.output[1 if kind == "class" else 0],
        feature=_features(r, r.numbers("nodes_featureids", count), leaf),
        mode=np.array([numbers[word] for word in words], dtype=np.int8),
        threshold=r.numbers("nodes_values", count).astype(np.float64),
        missing_true=r.numbers("nodes_missing_value_tracks_true", count, 0).astype(bool),
        true=true,
        false=false,
        roots=np.sort(np.unique(trees, return_index=True)[1]).astype(np.int32),
        weight_node=nodes,
        weight_target=_weight_targets(r, r.numbers(f"{kind}_ids", len(weight)), targets),
        weight=weight.astype(np.float64),
        targets=targets,
        base=r.numbers("base_values").astype(np.float64),
        aggregate="SUM" if kind == "class" else r.text("aggregate_function", "SUM"),
        post_transform=r.text("post_transform", "NONE"),
        member_start=np.zeros(count + 1, dtype=np.int32),
        members=np.zeros(0),
        cover=_cover(r.numbers("nodes_hitrates", count) if r.has("nodes_hitrates") else None, true, false),
    )


def _read_newest(r: _Reader) -> TreeEnsemble:
    """A TreeEnsemble, which lists inner nodes and leaves apart; each reference to a leaf becomes a node."""
    splits = r.numbers("nodes_splits").astype(np.float64)
    inner = len(splits)
    weight = r.numbers("leaf_weights").astype(np.float64)
    targets = r.number("n_targets", 1)
    leaf_targets = _weight_targets(r, r.numbers("leaf_targetids", len(weight)), targets)
    mode = r.numbers("nodes_modes", inner).astype(np.int8)
    if not inner or mode.min() < 0 or mode.max() > MEMBER:
        raise r.refusal("'nodes_modes' has no comparisons, or one that does not exist")
    leaves = [np.zeros(0, dtype=np.int64)]
    children = []
    total = inner
    for side in ("true", "false"):
        child = r.numbers(f"nodes_{side}nodeids", inner).astype(np.int64)
        to_leaf = r.numbers(f"nodes_{side}leafs", inner).astype(bool)
        limits = np.where(to_leaf, len(weight), inner)
        if ((child < 0) | (child >= limits)).any():
            raise r.refusal(f"'nodes_{side}nodeids' names a child that does not exist")
        leaves.append(child[to_leaf])
        child[to_leaf] = total + np.arange(int(to_leaf.sum()))
        total += int(to_leaf.sum())
        children.append(np.concatenate([child, np.full(0, -1)]))
    referred = np.concatenate(leaves)
    true, false = (np.concatenate([c, np.full(len(referred), -1)]).astype(np.int32) for c in children)
    leaf = np.arange(total) >= inner

    def longer(array: Array) -> Array:
        return np.concatenate([array, np.zeros(len(referred), array.dtype)])

    roots = r.numbers("tree_roots").astype(np.int64)
    if not len(roots) or roots.min() < 0 or roots.max() >= inner:
        raise r.refusal("'tree_roots' names a node that does not exist")
    start, members = _members(r, mode)
    return TreeEnsemble(
        op=NEWEST,
        input=r.node.input[0],
        output=r.node.output[0],
        feature=_features(r, longer(r.numbers("nodes_featureids", inner).astype(np.int64)), leaf),
        mode=longer(mode),
        threshold=longer(splits),
        missing_true=longer(r.numbers("nodes_missing_value_tracks_true", inner, 0).astype(bool)),
        true=true,
        false=false,
        roots=roots.astype(np.int32),
        weight_node=np.arange(inner, total, dtype=np.int32),
        weight_target=leaf_targets[referred],
        weight=weight[referred],
        targets=targets,
        base=np.zeros(0),
        aggregate=_AGGREGATES[r.number("aggregate_function", 1)],
        post_transform=_TRANSFORMS[r.number("post_transform", 0)],
        member_start=np.concatenate([start, np.full(len(referred), start[-1], dtype=np.int32)]),
        members=members,
        # The rates of this op are those of inner nodes; what reaches a leaf is not known.
        cover=None,
    )


@final
class _Index:
    """Finds nodes by tree and number."""

    def __init__(self, r: _Reader, trees: Array, ids: Array) -> None:
        self._r = r
        low, high = int(min(ids.min(), trees.min())), int(ids.max())
        self._stride = high + 1
        if low < 0 or (int(trees.max()) + 1) * self._stride > 2**62:
            raise r.refusal("it has negative or immense numbers of nodes")
        keys = trees * self._stride + ids
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        if (np.diff(self._sorted) == 0).any():
            raise r.refusal("two nodes of a tree have the same number")

    def of(self, trees: Array, ids: Array, name: str) -> Array:
        keys = trees.astype(np.int64) * self._stride + ids.astype(np.int64)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        if ((ids < 0) | (ids >= self._stride) | (self._sorted[at] != keys)).any():
            raise self._r.refusal(f"'{name}' names a node that does not exist")
        return self._order[at].astype(np.int32)


def _classes(r: _Reader) -> int:
    return max(len(r.numbers("classlabels_int64s")), len(r.words("classlabels_strings")))


def _features(r: _Reader, features: Array, leaf: Array) -> Array:
    if (features[~leaf] < 0).any():
        raise r.refusal("'nodes_featureids' names a negative feature")
    return np.where(leaf, -1, features).astype(np.int32)


def _weight_targets(r: _Reader, ids: Array, targets: int) -> Array:
    if len(ids) and (ids.min() < 0 or ids.max() >= targets):
        raise r.refusal(f"a leaf has a weight for target {int(ids.max())}, and there are {targets}")
    return ids.astype(np.int32)


def _members(r: _Reader, mode: Array) -> tuple[Array, Array]:
    """The sets of the nodes that test for membership: where each begins, and all their members."""
    listed = r.numbers("membership_values").astype(np.float64)
    ends = np.flatnonzero(np.isnan(listed))
    sets = [part[~np.isnan(part)] for part in np.split(listed, ends)][: len(ends)]
    if len(sets) != int((mode == MEMBER).sum()):
        raise r.refusal(f"'membership_values' has {len(sets)} sets for {int((mode == MEMBER).sum())} nodes")
    sizes = np.zeros(len(mode) + 1, dtype=np.int32)
    sizes[1:][mode == MEMBER] = [len(one) for one in sets]
    return np.cumsum(sizes, dtype=np.int32), np.concatenate([np.zeros(0), *sets])


def _checked(r: _Reader, found: TreeEnsemble) -> TreeEnsemble:
    """The ensemble, after a check that each tree hangs together from its root; what several nodes share is repeated.

    Exporters of LightGBM test a set of categories by a chain of nodes that share a child. Nodes that no way leads to,
    of pruned trees, are left out, as onnxruntime does.
    """
    true, false = found.true, found.false
    parents = np.bincount(np.concatenate([true[true >= 0], false[false >= 0]]), minlength=len(true))
    if parents[found.roots].any() or len(np.unique(found.roots)) != len(found.roots):
        raise r.refusal("a tree has a cycle, or its root is not its first node")
    reached = np.zeros(len(true), dtype=bool)
    levels, frontier, total = [found.roots], found.roots, 0
    while len(frontier):
        reached[frontier] = True
        total += len(frontier)
        if len(levels) > len(true) or total > _MOST_NODES:
            raise r.refusal("a tree has a cycle, or its nodes share children too often")
        frontier = np.concatenate([true[frontier], false[frontier]])
        frontier = frontier[frontier >= 0]
        levels.append(frontier)
    counts = reached[found.weight_node] & (true[found.weight_node] < 0)
    if not counts.all():
        found = _without_weights(r, found, counts)
    entries = found.weight_node.astype(np.int64) * max(1, found.targets) + found.weight_target
    if len(np.unique(entries)) < len(entries):
        # Of which onnxruntime takes the first or the sum, by the number of targets.
        raise r.refusal("a leaf has two weights for a target")
    return found if (parents <= 1).all() and reached.all() else _by_ways(found, levels)


def _without_weights(r: _Reader, found: TreeEnsemble, counts: Array) -> TreeEnsemble:
    """The ensemble without the weights of nodes that no row ends in, as pruned trees leave them."""
    weights, targets = found.weight[counts], found.weight_target[counts]
    told = ({*found.weight_target.tolist()}, bool((found.weight < 0).any()))
    if found.op == CLASSIFIER and found.targets == 2 and told != ({*targets.tolist()}, bool((weights < 0).any())):
        # From which onnxruntime tells how two classes follow from one number.
        raise r.refusal("weights of nodes that no row ends in decide how its scores are read")
    return replace(found, weight_node=found.weight_node[counts], weight_target=targets, weight=weights)


def _by_ways(found: TreeEnsemble, levels: list[Array]) -> TreeEnsemble:
    """The ensemble with a node for each way to one; ``levels`` are the nodes by depth, with repetitions."""
    old = np.concatenate(levels)
    true, false = np.full(len(old), -1, np.int32), np.full(len(old), -1, np.int32)
    first = 0
    for level in levels:
        after = first + len(level)
        inner = first + np.flatnonzero(found.true[level] >= 0)
        true[inner] = after + np.arange(len(inner))
        false[inner] = after + len(inner) + np.arange(len(inner))
        first = after
    order = np.argsort(found.weight_node, kind="stable")
    counts = np.bincount(found.weight_node, minlength=len(found.true))
    starts = np.cumsum(counts) - counts
    repeats = counts[old]
    within = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    entries = order[np.repeat(starts[old], repeats) + within]
    sets = [found.members[found.member_start[i] : found.member_start[i + 1]] for i in old.tolist()]
    return replace(
        found,
        feature=found.feature[old],
        mode=found.mode[old],
        threshold=found.threshold[old],
        missing_true=found.missing_true[old],
        true=true,
        false=false,
        roots=np.arange(len(found.roots), dtype=np.int32),
        weight_node=np.repeat(np.arange(len(old)), repeats).astype(np.int32),
        weight_target=found.weight_target[entries],
        weight=found.weight[entries],
        member_start=np.cumsum([0, *map(len, sets)]).astype(np.int32),
        members=np.concatenate([np.zeros(0), *sets]),
        cover=None if found.cover is None or len(np.unique(old)) < len(old) else found.cover[old],
    )


def _cover(rates: Array | None, true: Array, false: Array) -> Array | None:
    """The rows that reach each node, if those of the children add up to those of their parent, else None."""
    if rates is None or not (inner := true >= 0).any():
        return None
    parts = rates[true[inner]] + rates[false[inner]]
    sound = np.isfinite(rates).all() and (rates > 0).all()
    # Single precision.
    return rates.astype(np.float64) if sound and np.allclose(parts, rates[inner], rtol=1e-4, atol=0) else None
