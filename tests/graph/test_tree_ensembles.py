"""What a file's tree ensembles hold, and files that hold no trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.tree_ensembles import read_trees
from xaionnx.typing import Array

STUMP: dict[str, Any] = {
    "n_targets": 1,
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [1, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [3.0, 4.0],
}


def regressor(**changed: Any) -> Any:
    return helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**STUMP, **changed})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nodes_truenodeids": [0, 0, 0]}, "cycle"),
        ({"nodes_truenodeids": [7, 0, 0]}, "does not exist"),
        ({"nodes_nodeids": [0, 1, 1]}, "same number"),
        ({"nodes_values": [0.5]}, "1 entries where 3"),
        ({"nodes_modes": ["BRANCH_LIKE", "LEAF", "LEAF"]}, "no comparison 'BRANCH_LIKE'"),
        ({"target_ids": [0, 3]}, "weight for target 3"),
        ({"nodes_featureids": [-1, 0, 0]}, "negative feature"),
    ],
)
def test_no_trees(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=reason):
        read_trees(regressor(**changed))


def test_nodes_and_weights_that_no_row_reaches_are_left_out() -> None:
    """As pruned trees leave them: onnxruntime loads such files, and does not look at them."""
    both_to_one = read_trees(regressor(nodes_falsenodeids=[1, 0, 0]))
    assert both_to_one.weight.tolist() == [3.0, 3.0]
    of_a_split = read_trees(regressor(target_nodeids=[0, 2]))
    assert (of_a_split.weight_node.tolist(), of_a_split.weight.tolist()) == ([2], [4.0])


def test_cycles_below_the_root_are_found() -> None:
    node = regressor(
        nodes_treeids=[0] * 4,
        nodes_nodeids=[0, 1, 2, 3],
        nodes_featureids=[0] * 4,
        nodes_values=[0.0] * 4,
        nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        nodes_truenodeids=[1, 2, 1, 0],
        nodes_falsenodeids=[3, 3, 3, 0],
        target_nodeids=[3, 3],
    )
    with pytest.raises(UnsupportedModelError, match="cycle"):
        read_trees(node)


def test_shared_children_are_repeated() -> None:
    """A set of categories as a chain of comparisons whose true child is one leaf."""
    node = regressor(
        nodes_treeids=[0] * 4,
        nodes_nodeids=[0, 1, 2, 3],
        nodes_featureids=[0] * 4,
        nodes_values=[1.0, 3.0, 0.0, 0.0],
        nodes_modes=["BRANCH_EQ", "BRANCH_EQ", "LEAF", "LEAF"],
        nodes_truenodeids=[2, 2, 0, 0],
        nodes_falsenodeids=[1, 3, 0, 0],
        target_nodeids=[2, 3],
    )
    trees = read_trees(node)
    assert len(trees.feature) == 5
    assert sorted(trees.weight.tolist()) == [3.0, 3.0, 4.0]


def test_covers_are_kept_if_children_add_up() -> None:
    assert np.array_equal(read_trees(regressor(nodes_hitrates=[10.0, 4.0, 6.0])).cover, [10, 4, 6])  # type: ignore[arg-type]
    assert read_trees(regressor(nodes_hitrates=[1.0, 1.0, 1.0])).cover is None
    assert read_trees(regressor()).cover is None


def newest(**changed: Any) -> Any:
    """x0 in {1, 3}: 5, else x1 > 2.5: 7, else 9, in double."""
    stated = {
        "n_targets": 1,
        "tree_roots": [0],
        "nodes_featureids": [0, 1],
        "nodes_modes": np.array([6, 3], np.uint8),
        "nodes_splits": np.array([0.0, 2.5]),
        "nodes_truenodeids": [0, 1],
        "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2],
        "nodes_falseleafs": [0, 1],
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": np.array([5.0, 7.0, 9.0]),
        "membership_values": np.array([1.0, 3.0, np.nan]),
        **changed,
    }
    given = {key: _tensor(value) if isinstance(value, np.ndarray) else value for key, value in stated.items()}
    return helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **given)


def _tensor(array: Array) -> Any:
    return numpy_helper.from_array(array)


def test_newest_op() -> None:
    trees = read_trees(newest())
    assert trees.members[trees.member_start[0] : trees.member_start[1]].tolist() == [1.0, 3.0]
    assert trees.weight[np.argsort(trees.weight_node)].tolist() == [5.0, 7.0, 9.0]
    assert (trees.aggregate, trees.post_transform) == ("SUM", "NONE")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nodes_falsenodeids": [5, 2]}, "does not exist"),
        ({"nodes_falsenodeids": [0, 2]}, "cycle"),
        ({"tree_roots": [2]}, "does not exist"),
        ({"membership_values": np.array([1.0, 3.0])}, "0 sets for 1"),
        ({"nodes_modes": np.array([6, 9], np.uint8)}, "does not exist"),
    ],
)
def test_no_newest_trees(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=reason):
        read_trees(newest(**changed))
