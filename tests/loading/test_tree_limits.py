"""Trees on which onnxruntime would end the process are refused, whatever numbers their nodes have."""

import numpy as np
import onnx
import pytest
from onnx import helper

from xaionnx.errors import ModelFileError
from xaionnx.loading.tree_limits import _places, check_trees


@pytest.mark.parametrize("scale", [1, 2**60])
def test_places_are_those_of_a_dict(scale):
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = rng.integers(1, 30)
        trees, ids, wanted = (rng.integers(low, high, count) * scale for low, high in ((-2, 4), (-3, 6), (-4, 8)))
        known = {pair: number for number, pair in enumerate(zip(trees.tolist(), ids.tolist(), strict=True))}
        expected = [known.get(pair, -1) for pair in zip(trees.tolist(), wanted.tolist(), strict=True)]
        np.testing.assert_array_equal(_places(trees, ids)(wanted), expected)


def chain(levels: int, last: int | None = None) -> onnx.NodeProto:
    """A tree that goes on at the false side of each node; the last one leads to a leaf, or back to node ``last``."""
    count = 2 * levels + 1
    inner = np.arange(count) < levels
    true = np.where(inner, np.arange(count) + levels, 0)
    false = np.where(inner, np.arange(count) + 1, 0)
    false[levels - 1] = count - 1 if last is None else last
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[7] * count,
        nodes_nodeids=list(range(count)),
        nodes_truenodeids=true.tolist(),
        nodes_falsenodeids=false.tolist(),
        nodes_modes=["BRANCH_LEQ" if one else "LEAF" for one in inner],
    )


def test_trees_that_are_too_deep_or_have_a_cycle_are_refused():
    check_trees("net.onnx", [chain(7_900)])
    for node in (chain(8_100), chain(4_100, last=5)):
        with pytest.raises(ModelFileError, match="more than 8,000 levels or a cycle"):
            check_trees("net.onnx", [node])
