"""TreeSHAP as nodes of a graph: subtrees with their values become the trees of further ensembles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final, final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from xaionnx_kernels.trees import ShapTables

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._closed_forms.graph_values import GraphValues
from xaionnx.explainers._trees.cells import Test
from xaionnx.explainers._trees.columns import NOBODY
from xaionnx.explainers._trees.forest import absent
from xaionnx.explainers._trees.subtrees import LeafTables, Subtrees, SubtreeValues, Tree
from xaionnx.graph.tree_ensembles import ML, MODES, NEWEST, REGRESSOR
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.explainers._trees.compute import BackgroundTable, TreeGame

# Numbers of leaves are one only up to single precision: probabilities of two classes, which sum to 1.
_DEPENDENT: Final = 1e-6
# The first version of ai.onnx.ml that has no TreeEnsembleRegressor.
_WITHOUT_REGRESSOR: Final = 5


def tree_values(
    game: TreeGame, background: BackgroundTable | None, covers: Array | None, prefix: str, limit: float
) -> GraphValues:
    """Return the nodes that compute the values of a game for any rows."""
    joined, count = game.joined, game.players.count
    owner = np.where(game.owner == NOBODY, count, game.owner)
    trees = joined.paths(owner)
    (combined, *_), (shift, *_) = game.combinations()
    weights, mixed = _independent(joined.leaf_values(combined), trees.node, trees.starts, trees.leaves)
    subtrees = Subtrees(trees, weights.shape[1], game.table.dtype)
    single = _ml_version(game.request.model.graph) >= _WITHOUT_REGRESSOR
    roots = _roots(subtrees, limit, single, game)
    table = None if background is None else background.table
    known = ShapTables(trees, absent(table, None if background is None else background.weights, covers), 2**62)
    leaves = LeafTables.joined(known.leaf_tables(), weights, len(trees.node))
    writers = [_Writer(single, count, weights.shape[1]) for _ in joined.inputs]
    ends = np.cumsum([len(used) for used in joined.used])
    for root in roots:
        values = subtrees.values(root, leaves, owner, count)
        first = values.tree[0].column if not isinstance(values.tree, int) else 0
        writers[int(np.searchsorted(ends, first, side="right"))].add(values)
    nodes, constants, parts = list[onnx.NodeProto](), list[TensorProto](), list[str]()
    starts = [0, *ends[:-1].tolist()]
    for number, (writer, name, used, start) in enumerate(zip(writers, joined.inputs, joined.used, starts, strict=True)):
        if writer.trees:
            parts.append(f"{prefix}trees_{number}")
            nodes += writer.nodes(name, parts[-1], used, start, game.dtype(name))
    if not parts:  # no leaf differs from another
        raise UnsupportedModelError(f"The trees of {game.request.model.name} return the same for every row.")
    values_name = f"{prefix}values"
    if len(parts) > 1:
        nodes.append(helper.make_node("Sum", parts, [f"{prefix}sum"]))
    summed = f"{prefix}sum" if len(parts) > 1 else parts[0]
    shape = np.array([-1, count, weights.shape[1]], np.int64)
    constants.append(numpy_helper.from_array(shape, f"{prefix}shape"))
    if mixed is None:
        nodes.append(helper.make_node("Reshape", [summed, f"{prefix}shape"], [values_name]))
    else:
        constants.append(numpy_helper.from_array(mixed.astype(np.float32), f"{prefix}classes"))
        nodes.append(helper.make_node("Reshape", [summed, f"{prefix}shape"], [f"{prefix}reshaped"]))
        nodes.append(helper.make_node("MatMul", [f"{prefix}reshaped", f"{prefix}classes"], [values_name]))
    base = game.base(trees, combined, background, covers) + shift
    return GraphValues(nodes, constants, values_name, count, base, game.source.scores.link)


def _roots(subtrees: Subtrees, limit: float, single: bool, game: TreeGame) -> list[int]:
    """The subtrees of all trees.

    Raises
    ------
    UnsupportedModelError
        Their tables would be larger than the limit.
    """
    starts = subtrees.trees.starts.tolist()
    roots, size = list[int](), 0.0
    for number, (first, last) in enumerate(pairwise(starts)):
        found, more = subtrees.chosen(first, last)
        roots += found
        size += more
        if size > limit:
            trees = len(starts) - 1
            deepest = int(subtrees.trees.level.max())
            whole = size * trees / (number + 1)
            raise UnsupportedModelError(
                f"The tables of the {trees:,} trees of {game.request.model.name}, up to {deepest} deep, would take "
                f"about {whole / 1e6:,.0f} MB, and at most {limit / 1e6:,.0f} MB may be added (max_added_mb). "
                "Allow more, group features (features=), train shallower or fewer trees, or use "
                "xaionnx explain, which needs no tables for deep trees."
            )
    return roots


def _independent(values: Array, node: Array, starts: Array, leaf: Array) -> tuple[Array, Array | None]:
    """Return weights (M, R) of the leaves and how all T follow from them (R, T), or None if they are all.

    A constant for each tree changes no value, so that those of two classes which sum to 1 are one number.
    """
    size = values.shape[1]
    centred = np.zeros_like(values)
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        at = node[first:last][leaf[first:last]]
        centred[at] = values[at] - values[at].mean(axis=0)
    kept: list[int] = []
    rest = dict[int, Array]()
    for t in range(size):
        scale = np.abs(centred[:, t]).max(initial=0)
        if kept:
            weights = np.linalg.lstsq(centred[:, kept], centred[:, t], rcond=None)[0]
            if np.abs(centred[:, kept] @ weights - centred[:, t]).max() <= _DEPENDENT * scale:
                rest[t] = weights
                continue
        kept.append(t)
    if len(kept) == size:
        return centred, None
    mixed = np.zeros((len(kept), size))
    for number, t in enumerate(kept):
        mixed[number, t] = 1
    for t, weights in rest.items():
        mixed[: len(weights), t] = weights
    return centred[:, kept], mixed


def _ml_version(proto: onnx.ModelProto) -> int:
    return max((one.version for one in proto.opset_import if one.domain == ML), default=1)


@final
@dataclass
class _Writer:
    """Collects the trees of one ensemble; ``single`` if each leaf may have one number only."""

    single: bool
    players: int
    numbers: int
    trees: int = 0
    tree: list[int] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    test: list[Test | None] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    leaf_tree: list[int] = field(default_factory=list)
    leaf_node: list[int] = field(default_factory=list)
    targets: list[Array] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)

    __repr__ = short_repr

    def add(self, values: SubtreeValues) -> None:
        """Add a subtree, unless its values are all 0."""
        targets = (values.players[:, None] * self.numbers + np.arange(self.numbers)).reshape(-1)
        if not values.values.any():
            return
        if not self.single:
            self._add(values.tree, values.values, targets)
            return
        for number in np.flatnonzero(values.values.any(axis=0)):
            self._add(_merged(values.tree, values.values[:, number]), values.values[:, [number]], targets[[number]])

    def _add(self, tree: Tree, values: Array, targets: Array) -> None:
        waiting: list[tuple[Tree, list[int] | None, int]] = [(tree, None, 0)]
        count, rows, ends = 0, list[int](), list[int]()
        while waiting:
            part, child, place = waiting.pop()
            if child is not None:
                child[place] = count
            self.true.append(0)
            self.false.append(0)
            if isinstance(part, int):
                self.test.append(None)
                rows.append(part)
                ends.append(count)
            else:
                test, yes, no = part
                self.test.append(test)
                at = len(self.test) - 1
                waiting += [(yes, self.true, at), (no, self.false, at)]
            count += 1
        self.tree += [self.trees] * count
        self.node += range(count)
        numbers = values[rows]
        stated = numbers != 0
        # Of a leaf without a number 0 is stated, since a leaf has one.
        stated[:, 0] |= ~stated.any(axis=1)
        leaf, used = np.nonzero(stated)
        self.leaf_tree += [self.trees] * len(leaf)
        self.leaf_node += np.array(ends)[leaf].tolist()
        self.targets.append(targets[used])
        self.weights.append(numbers[leaf, used])
        self.trees += 1

    def nodes(
        self, name: str, output: str, used: Array, start: int, dtype: np.dtype[np.generic]
    ) -> Iterable[onnx.NodeProto]:
        """Return the nodes that compute the sums (N, P * R) from the features of a tensor.

        Parameters
        ----------
        name, output : str
        used : array of int
            The features of the tensor that the trees compare; they are the columns from ``start`` on.
        start : int
        dtype : dtype
            Of the tensor.
        """
        floats = name
        if dtype not in (np.float32, np.float64):
            floats = f"{output}/floats"
            yield helper.make_node("Cast", [name], [floats], to=TensorProto.FLOAT)
        double = dtype == np.float64
        features = [0 if test is None else int(used[test.column - start]) for test in self.test]
        sums = f"{output}/sums" if double and self.single else output
        write = self._newest if self.single else self._regressor
        yield write(floats, sums, features, double)
        if sums != output:
            yield helper.make_node("Cast", [sums], [output], to=TensorProto.FLOAT)

    def _regressor(self, name: str, output: str, features: list[int], double: bool) -> onnx.NodeProto:
        thresholds = [0.0 if test is None else test.threshold for test in self.test]
        weights = np.concatenate(self.weights)
        wide = double and any(float(np.float32(value)) != value for value in thresholds)
        missing = [int(test is not None and test.missing_true) for test in self.test]
        node = helper.make_node(REGRESSOR, [name], [output], domain=ML, n_targets=self.players * self.numbers)
        modes = [mode.encode() for mode in MODES]
        _state(
            node,
            "nodes_modes",
            onnx.AttributeProto.STRINGS,
            [b"LEAF" if t is None else modes[t.mode] for t in self.test],
        )
        for name_, whole in (
            ("nodes_treeids", self.tree),
            ("nodes_nodeids", self.node),
            ("nodes_featureids", features),
            ("nodes_truenodeids", self.true),
            ("nodes_falsenodeids", self.false),
            ("target_treeids", self.leaf_tree),
            ("target_nodeids", self.leaf_node),
            ("target_ids", np.concatenate(self.targets).tolist()),
            *([("nodes_missing_value_tracks_true", missing)] if any(missing) else []),
        ):
            _state(node, name_, onnx.AttributeProto.INTS, whole)
        for name_, numbers in (("nodes_values", np.array(thresholds)), ("target_weights", weights.astype(np.float64))):
            if wide:
                node.attribute.append(helper.make_attribute(f"{name_}_as_tensor", numpy_helper.from_array(numbers)))
            else:
                _state(node, name_, onnx.AttributeProto.FLOATS, numbers.tolist())
        return node

    def _newest(self, name: str, output: str, features: list[int], double: bool) -> onnx.NodeProto:
        """The trees as TreeEnsemble writes them: inner nodes and leaves apart."""
        kind = np.float64 if double else np.float32
        inner = [at for at, test in enumerate(self.test) if test is not None]
        number = dict(zip(inner, range(len(inner)), strict=True))
        leaves = [at for at, test in enumerate(self.test) if test is None]
        leaf = dict(zip(leaves, range(len(leaves)), strict=True))
        first = np.searchsorted(self.tree, range(self.trees)).tolist()
        tests = [test for test in self.test if test is not None]

        def children(local: Sequence[int]) -> tuple[list[int], list[int]]:
            places = [first[self.tree[at]] + local[at] for at in inner]
            return [number.get(at, leaf.get(at, 0)) for at in places], [int(at in leaf) for at in places]

        (true, true_leaf), (false, false_leaf) = children(self.true), children(self.false)
        return helper.make_node(
            NEWEST,
            [name],
            [output],
            domain=ML,
            n_targets=self.players * self.numbers,
            aggregate_function=1,
            post_transform=0,
            tree_roots=[number[at] for at in first],
            nodes_featureids=[features[at] for at in inner],
            nodes_modes=numpy_helper.from_array(np.array([test.mode for test in tests], np.uint8)),
            nodes_splits=numpy_helper.from_array(np.array([test.threshold for test in tests], kind)),
            nodes_missing_value_tracks_true=[int(test.missing_true) for test in tests],
            nodes_truenodeids=true,
            nodes_trueleafs=true_leaf,
            nodes_falsenodeids=false,
            nodes_falseleafs=false_leaf,
            leaf_targetids=np.concatenate(self.targets).tolist(),
            leaf_weights=numpy_helper.from_array(np.concatenate(self.weights).astype(kind)),
        )


def _state(node: onnx.NodeProto, name: str, kind: onnx.AttributeProto.AttributeType, numbers: Sequence[object]) -> None:
    """Add a list to a node; millions of numbers take onnx's own function as long as all else, which checks each."""
    attribute = node.attribute.add()
    attribute.name, attribute.type = name, kind
    fields = {
        onnx.AttributeProto.INTS: attribute.ints,
        onnx.AttributeProto.FLOATS: attribute.floats,
        onnx.AttributeProto.STRINGS: attribute.strings,
    }
    fields[kind].extend(numbers)


def _merged(tree: Tree, values: Array) -> Tree:
    """The tree without tests whose outcome does not change the value; all rows that remain have their own number."""
    if isinstance(tree, int):
        return tree
    test, yes, no = tree
    yes, no = _merged(yes, values), _merged(no, values)
    if isinstance(yes, int) and isinstance(no, int) and values[yes] == values[no]:
        return yes
    return test, yes, no
