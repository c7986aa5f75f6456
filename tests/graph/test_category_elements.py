"""Which columns of floats are categories, by what the graph does with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.tiny import model, node, parsed, tensor
from xaionnx.graph.category_elements import category_elements
from xaionnx.graph.input_purposes import input_purposes
from xaionnx.graph.view import GraphView

TREES = Path(__file__).parents[1] / "goldens" / "trees"

# Column 2 of 4 is taken out, as k, or k is the whole row; the others are multiplied by weights, as r.
TAKEN = {
    "gather": "k = Gather<axis = 1>(x, at) r = Gather<axis = 1>(x, rest)",
    "slice": "k = Slice(x, at, after, one) r = Gather<axis = 1>(x, rest)",
    "split": "a, b, k, c = Split<axis = 1>(x) r = Concat<axis = 1>(a, b, c)",
    "split by sizes": "a, k, b = Split<axis = 1>(x, sizes) r = Concat<axis = 1>(a, b)",
    "moved first": """t = Transpose<perm = [1, 0]>(x) g = Gather<axis = 0>(t, at) k = Transpose<perm = [1, 0]>(g)
        r = Gather<axis = 1>(x, rest)""",
    "computed sizes": """s = Shape<end = 1>(x) u = Concat<axis = 0>(s, pair) h = Reshape(x, u)
        z = Gather<axis = 1>(h, one) v = Squeeze(z, one) k = Gather<axis = 1>(v, zero)
        r = Gather<axis = 1>(x, rest)""",
    "joined and taken": """g = Gather<axis = 1>(x, at) p = Gather<axis = 1>(x, rest) j = Concat<axis = 1>(p, g, w0)
        r = Gather<axis = 1>(j, firsts) k = Gather<axis = 1>(j, three)""",
    "missing replaced": """g = Gather<axis = 1>(x, at) n = IsNaN(g) k = Where(n, w00, g)
        r = Gather<axis = 1>(x, rest)""",
}
ASKED = {
    "cast": "i = Cast<to = 7>(k) f = Cast<to = 1>(i)",
    "cast to text": "i = Cast<to = 8>(k) f = Cast<to = 1>(i)",
    "equal": "e = Equal(k, codes) f = Cast<to = 1>(e)",
    "rounded": "i = Round(k) e = Equal(codes, i) f = Cast<to = 1>(e)",
    "one hot": "o = OneHot<axis = 1>(k, depth, pairs) f = Squeeze(o, two)",
    "looked up": "i = Cast<to = 7>(k) q = Gather(table, i) f = Squeeze(q, one)",
    "wider": "d = Cast<to = 11>(k) i = Cast<to = 6>(d) f = Cast<to = 1>(i)",
}
WEIGHTS = {
    "at": np.array([2]), "after": np.array([3]), "rest": np.array([0, 1, 3]), "zero": np.array([0]),
    "one": np.array([1]), "two": np.array([2]), "three": np.array([3]), "firsts": np.array([0, 1, 2]),
    "sizes": np.array([2, 1, 1]), "pair": np.array([2, 2]), "codes": [[1.0, 2.0]], "depth": np.array(3),
    "pairs": [0.0, 1.0], "table": np.ones((3, 2)), "w0": [[7.0]], "w00": [[0.0]], "w": np.ones((3, 1)),
}  # fmt: skip


def categories(body, **weights):
    """Those of x (N, 4); y is anything."""
    proto = parsed(f"g (float[N, 4] x) => (float[N, K] y) {{ {body} }}", **{**WEIGHTS, **weights})
    return sorted(category_elements(GraphView(proto), "x", (1, 4)))


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("taken", TAKEN)
def test_a_column_of_which_the_graph_asks_which_number_it_is(taken, asked):
    assert categories(f"{TAKEN[taken]} {ASKED[asked]} m = MatMul(r, w) y = Add(m, f)") == [2]


@pytest.mark.parametrize(
    "more",
    ["v = Mul(k, k)", "v = Identity(k)", "v = Less(k, codes)", "v = Gather(x, zero)", "v = Sqrt(x)"],
)
def test_a_column_that_is_a_number_elsewhere_is_a_number(more):
    """As by a bound, or where a number equal to 0 is a special case of a quotient; or it leaves the model."""
    body = f"{TAKEN['gather']} {ASKED['equal']} {more} y = Add(r, f)"
    proto = parsed(f"g (float[N, 4] x) => (float[N, K] y, float[A, B] v) {{ {body} }}", **WEIGHTS)
    assert category_elements(GraphView(proto), "x", (1, 4)) == frozenset()


def test_columns_that_are_compared_with_each_other_are_numbers():
    assert categories("a, b, c, d = Split<axis = 1>(x) e = Equal(a, b) y = Cast<to = 1>(e)") == []


def test_a_column_that_nothing_reads_is_left():
    assert categories("a, b, c, d = Split<axis = 1>(x) e = Cast<to = 6>(a) y = Cast<to = 1>(e)") == [0]


def test_what_is_moved_by_computed_places_is_not_decided():
    """Which column is cast depends on the row."""
    body = """i = ArgMax<axis = 1, keepdims = 1>(x) k = GatherElements<axis = 1>(x, i) j = Cast<to = 7>(k)
        y = Cast<to = 1>(j)"""
    assert categories(body) == []


def test_a_column_transformer_of_one_matrix():
    """As skl2onnx writes it: columns are extracted, those of categories cast and encoded, the others scaled."""
    nodes = [
        node("ArrayFeatureExtractor", ["x", "numbers"], ["a"], domain="ai.onnx.ml"),
        node("ArrayFeatureExtractor", ["x", "kinds"], ["b"], domain="ai.onnx.ml"),
        node("Scaler", ["a"], ["c"], domain="ai.onnx.ml", offset=[0.0, 0.0], scale=[1.0, 1.0]),
        node("Imputer", ["b"], ["d"], domain="ai.onnx.ml", imputed_value_floats=[0.0, 0.0]),
        node("Gather", ["d", "first"], ["e"], axis=1),
        node("Gather", ["b", "second"], ["f"], axis=1),
        node("Cast", ["e"], ["h"], to=TensorProto.INT64),
        node("OneHotEncoder", ["h"], ["i"], domain="ai.onnx.ml", cats_int64s=[0, 1]),
        node("LabelEncoder", ["f"], ["j"], domain="ai.onnx.ml", keys_floats=[0.0, 3.0], values_floats=[0.0, 1.0]),
        node("Flatten", ["i"], ["k"]),
        node("FeatureVectorizer", ["c", "k", "j"], ["y"], domain="ai.onnx.ml", inputdimensions=[2, 2, 1]),
    ]
    places = {"numbers": np.array([0, 2]), "kinds": np.array([3, 1]), "first": np.array([0]), "second": np.array([1])}
    proto = model(nodes, [tensor("x", ["N", 4])], [tensor("y", None)], places, domains={"ai.onnx.ml": 2})
    assert input_purposes(GraphView(proto))["x"].categories == {1, 3}


@pytest.mark.parametrize(("modes", "expected"), [("EQ EQ", [1]), ("EQ LEQ", []), ("LT LT", [])])
def test_a_feature_of_trees_that_only_ask_which_number_it_is(modes, expected):
    kinds = [f"BRANCH_{mode}" for mode in modes.split()]
    tree = node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0] * 5, nodes_nodeids=[0, 1, 2, 3, 4], nodes_featureids=[1, 1, 0, 0, 0],
        nodes_modes=[*kinds, "LEAF", "LEAF", "LEAF"], nodes_values=[2.0, 1.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[2, 3, 0, 0, 0], nodes_falsenodeids=[1, 4, 0, 0, 0], target_treeids=[0, 0, 0],
        target_nodeids=[2, 3, 4], target_ids=[0, 0, 0], target_weights=[1.0, 2.0, 3.0],
    )  # fmt: skip
    proto = model([tree], [tensor("x", ["N", 4])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 2})
    assert sorted(category_elements(GraphView(proto), "x", (1, 4))) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("lightgbm_categories", {5}), ("lightgbm_binary", set()), ("xgboost_binary", set())]
)
def test_exports_of_trees(name, expected):
    """LightGBM asks of a category which one it is; others split it at a bound, as a number."""
    view = GraphView(onnx.load(TREES / f"{name}.onnx"))
    assert input_purposes(view)["x"].categories == expected
