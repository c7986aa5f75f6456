"""TreeSHAP of whatever a tree op may hold equals enumeration through onnxruntime on the same file, or is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import xaionnx
from tests.explainers.random_ensembles import FEATURES, by_ids, newest, rows, saved, tensor
from tests.oracles.trees import coalition_worths, shapley
from xaionnx import Model, Target
from xaionnx.errors import DataError, InputMismatchError, ModelFileError, OutputError, UnsupportedModelError
from xaionnx.typing import Array

# Why onnxruntime computes another function than a sum of trees.
REASONS = (
    "takes the M", "post transform", "sets of whole numbers", "leaves without a weight", "leaves out", "two weights",
    "NaN or infinity",
)  # fmt: skip


def through_the_session(model: Model, x: Array, background: Array, link: str) -> Array:
    """Shapley values (N, S, F) of the numbers ahead of the link, from the outputs for all coalitions."""

    def numbers(given: Array) -> Array:
        found = model.run({"x": given.astype(x.dtype)}, ["y"])["y"].astype(np.float64).reshape(len(given), -1)
        if link == "identity":
            return found
        logarithm = np.log(found)
        return logarithm - (np.log1p(-found) if link == "logistic" else logarithm[:, :1])

    return np.array([shapley(coalition_worths(numbers, row, background)).T for row in x])


def check(model: Model, x: Array, background: Array) -> str:
    """Explain all scores, compare them with enumeration, and return the link."""
    scores = model.run({"x": x[:1]}, ["y"])["y"].reshape(1, -1).shape[1]
    targets = [*range(scores)] if scores > 1 else None
    result = xaionnx.explain(model, x, "tree_shap", target=targets, background=background)
    values = np.moveaxis(result.values.reshape(scores, len(x), FEATURES), 0, 1)
    link = str(result.provenance["explained"])
    if link == "softmax":  # whose outputs give the differences of the sums alone
        values = values - values[:, :1]
    expected = through_the_session(model, x, background, link)
    np.testing.assert_allclose(values, expected, rtol=0, atol=3e-5 * max(1, np.abs(expected).max()))
    whole = result.prediction - result.baseline_prediction
    np.testing.assert_allclose(result.feature_values.sum(axis=-1), whole, rtol=2e-6, atol=2e-6)
    return link


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), op=st.sampled_from(["classifier", "regressor", "newest"]))
def test_random_files_equal_enumeration_or_are_refused(seed: int, op: str) -> None:
    rng = np.random.default_rng(seed)
    try:
        model = newest(rng) if op == "newest" else by_ids(rng, classes=op == "classifier")
    except ModelFileError:  # onnxruntime does not load it
        return
    dtype = model.inputs[0].dtype
    x, background = (rows(rng, count, categories=op == "newest", dtype=dtype) for count in (2, 4))
    try:
        check(model, x, background)
    except (UnsupportedModelError, DataError) as error:
        if not any(reason in str(error) for reason in REASONS):
            raise


def stump(op: str, **stated: Any) -> Model:
    """x0 <= 0, with leaves 1 (true) and 2 (false)."""
    names = ["label", "y"] if op == "TreeEnsembleClassifier" else ["y"]
    node = helper.make_node(
        op, ["x"], names, domain="ai.onnx.ml", nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0], nodes_values=[0.0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], **stated,
    )  # fmt: skip
    return saved(node, 3, TensorProto.FLOAT)


def classifier(weights: list[tuple[int, int, float]], base: list[float], post: str) -> Model:
    """Weights are (leaf, class, number)."""
    leaf, ids, numbers = map(list, zip(*weights, strict=True))
    more = {"base_values": base} if base else {}
    return stump(
        "TreeEnsembleClassifier", class_treeids=[0] * len(leaf), class_nodeids=leaf, class_ids=ids,
        class_weights=numbers, classlabels_int64s=[0, 1], post_transform=post, **more,
    )  # fmt: skip


FIRST, NEGATIVE = [(1, 0, 0.3), (2, 0, 0.7)], [(1, 0, -0.3), (2, 0, 0.7)]
SECOND = [(1, 1, -0.3), (2, 1, 0.7)]
BOTH = [(1, 0, 0.3), (1, 1, 0.6), (2, 0, 0.2), (2, 1, -0.4)]
X = np.array([[-1, 0, 0, 0], [1, 0, 0, 0]], np.float32)


@pytest.mark.parametrize(
    ("weights", "base", "post", "link"),
    [
        (FIRST, [], "NONE", "identity"), (FIRST, [0.1], "NONE", "identity"), (FIRST, [0.1], "SOFTMAX", "identity"),
        (FIRST, [0.1], "LOGISTIC", "logistic"), (NEGATIVE, [0.1], "LOGISTIC", "logistic"),
        (NEGATIVE, [0.1], "NONE", "identity"), (FIRST, [0.1, 0.2], "NONE", "identity"),
        (FIRST, [0.1, 0.2], "SOFTMAX", "softmax"), (SECOND, [], "LOGISTIC", "logistic"),
        (SECOND, [0.1], "SOFTMAX", "softmax"), (BOTH, [], "SOFTMAX", "softmax"), (BOTH, [0.1], "NONE", "identity"),
        (BOTH, [0.1, 0.2], "LOGISTIC", "logistic"), (BOTH[1:], [], "NONE", "identity"),
    ],
)  # fmt: skip
def test_two_classes(weights: list[tuple[int, int, float]], base: list[float], post: str, link: str) -> None:
    """onnxruntime reads one column of weights, two, and base values of one or two entries in nine ways."""
    assert check(classifier(weights, base, post), X, X) == link


@pytest.mark.parametrize(
    ("weights", "base", "post", "reason"),
    [
        (BOTH[:3], [], "NONE", "leaves without a weight of class 1"),
        (BOTH[1:], [0.1], "NONE", "leaves without a weight of class 0"),
        (SECOND, [0.1, 0.2], "NONE", "two base values and weights of the second class alone"),
        (FIRST, [], "PROBIT", "post transform PROBIT"),
        (BOTH, [], "SOFTMAX_ZERO", "post transform SOFTMAX_ZERO"),
        ([*FIRST, (2, 0, 0.1)], [], "NONE", "two weights"),
    ],
)
def test_other_functions_of_sums_are_refused(
    weights: list[tuple[int, int, float]], base: list[float], post: str, reason: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=reason):
        xaionnx.explain(classifier(weights, base, post), X, "tree_shap", background=X, target=1)


def test_base_values_of_targets_that_some_rows_do_not_reach() -> None:
    """onnxruntime adds them for the targets that a row reaches a weight of alone."""
    stated = {"target_treeids": [0, 0, 0], "target_nodeids": [1, 1, 2], "target_ids": [0, 1, 0]}
    more: dict[str, Any] = {"target_weights": [1.0, 2.0, 3.0], "n_targets": 2, "base_values": [10.0, 20.0]}
    model = stump("TreeEnsembleRegressor", **stated, **more)
    assert model.run({"x": X})["y"].tolist() == [[11, 22], [13, 0]]
    with pytest.raises(UnsupportedModelError, match="leaves without a weight of target 1"):
        xaionnx.explain(model, X, "tree_shap", background=X, target=0)
    never = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 3.0]}
    check(stump("TreeEnsembleRegressor", **{**more, **never}), X, X)


LEAF = (0, 0.0, "LEAF", 0, 0)
TREE: dict[int, tuple[int, float, str, int, int]] = {
    0: (0, 0.5, "BRANCH_LEQ", 1, 2), 1: (1, -0.2, "BRANCH_LEQ", 3, 4), 2: (2, 0.1, "BRANCH_LEQ", 5, 6),
    3: LEAF, 4: LEAF, 5: LEAF, 6: LEAF,
}  # fmt: skip
PRUNED = {**TREE, 7: (1, 0.0, "BRANCH_LEQ", 8, 3), 8: LEAF}


@pytest.mark.parametrize(
    ("tree", "order", "weights"),
    [
        (TREE, [0, 5, 2, 6, 1, 4, 3], [3, 4, 5, 6]),
        (TREE, range(7), [6, 4, 3, 5]),
        (TREE, range(7), [3, 4, 5]),
        (TREE, range(7), [3, 1, 4, 5, 0, 6]),
        (PRUNED, [0, 8, 1, 7, 2, 3, 4, 5, 6], [3, 4, 5, 6, 8, 7]),
        ({**TREE, 6: (50, 9.0, "LEAF", 77, 88)}, range(7), [3, 4, 5, 6]),
    ],
    ids=["nodes in any order", "weights in any order", "a leaf without", "weights of splits", "pruned", "odd leaf"],
)
@pytest.mark.parametrize("op", ["TreeEnsembleRegressor", "TreeEnsembleClassifier"])
def test_files_of_other_orders_and_with_what_was_pruned(op: str, tree: Any, order: Any, weights: list[int]) -> None:
    if op == "TreeEnsembleClassifier" and len(weights) < 4:
        pytest.skip("onnxruntime fails on a row that ends in a leaf without a class")
    columns = zip(*[(0, number, *tree[number]) for number in order], strict=True)
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    classes = op == "TreeEnsembleClassifier"
    kind, more = ("class", {"classlabels_int64s": [0, 1, 2]}) if classes else ("target", {"n_targets": 3})
    stated = {f"nodes_{name}": list(column) for name, column in zip(names, columns, strict=True)}
    stated |= {f"{kind}_treeids": [0] * len(weights), f"{kind}_nodeids": weights}
    stated |= {f"{kind}_ids": [n % 3 for n in weights], f"{kind}_weights": [0.3 * n**2 - 2 for n in weights]}
    outputs = ["label", "y"] if classes else ["y"]
    node = helper.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **stated, **more)
    rng = np.random.default_rng(0)
    check(saved(node, 3, TensorProto.FLOAT), *(rows(rng, n, categories=False, dtype=np.float32) for n in (4, 7)))


def test_nodes_of_a_tree_that_are_apart() -> None:
    """Each run of nodes with the number of a tree is a tree of its own to onnxruntime."""
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 1, 1, 1, 0],
        nodes_nodeids=[0, 1, 0, 1, 2, 2], nodes_featureids=[0] * 6, nodes_values=[0.0] * 6,
        nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 1, 0, 0, 0], nodes_falsenodeids=[2, 0, 2, 0, 0, 0], target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2], target_ids=[0] * 4, target_weights=[1.0, 2.0, 4.0, 8.0],
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="the file's trees are not computed as they are written"):
        xaionnx.explain(saved(node, 3, TensorProto.FLOAT), X, "tree_shap", background=X)


@pytest.mark.parametrize(("post", "link"), [(1, "logistic"), (2, "softmax")])
def test_numbers_of_transforms_are_those_of_onnxruntime(post: int, link: str) -> None:
    """The specification of the newest op gives the two the other way round."""
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=2, tree_roots=[0, 1], nodes_featureids=[0, 1],
        nodes_modes=tensor([0, 1], np.uint8), nodes_splits=tensor([0.0, 0.5], np.float32), nodes_truenodeids=[0, 2],
        nodes_trueleafs=[1, 1], nodes_falsenodeids=[1, 3], nodes_falseleafs=[1, 1], leaf_targetids=[0, 0, 1, 1],
        leaf_weights=tensor([0.3, -0.4, 0.5, 1.0], np.float32), post_transform=post,
    )  # fmt: skip
    x = np.array([[-1, 0, 0, 0], [1, 1, 0, 0], [1, 0.5, 0, 0]], np.float32)
    assert check(saved(node, 5, TensorProto.FLOAT), x, x) == link


def test_a_model_that_returns_nan() -> None:
    """As the exporter of a ranker of XGBoost writes it, whose base value is NaN."""
    model = classifier(FIRST, [float("nan")], "LOGISTIC")
    with pytest.raises(
        OutputError, match=r"returns NaN for 'y' of sample 0\. Check the row, and the numbers of the trees"
    ):
        xaionnx.explain(model, X, "tree_shap", background=X, target=1)


def test_sets_are_of_whole_numbers() -> None:
    """onnxruntime finds 2.5 in {2, 32}."""
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, tree_roots=[0], nodes_featureids=[2],
        nodes_modes=tensor([6], np.uint8), nodes_splits=tensor([0.0], np.float32), nodes_truenodeids=[0],
        nodes_trueleafs=[1], nodes_falsenodeids=[1], nodes_falseleafs=[1], leaf_targetids=[0, 0],
        leaf_weights=tensor([1.0, 0.0], np.float32), membership_values=tensor([2, 32, np.nan], np.float32),
    )  # fmt: skip
    model = saved(node, 5, TensorProto.FLOAT)
    x = np.array([[0, 0, 2, 0], [0, 0, 32, 0], [0, 0, 3, 0], [0, 0, np.nan, 0]], np.float32)
    check(model, x, x)
    x[1, 2] = 2.5
    with pytest.raises(InputMismatchError, match=r"feature 2 of 'x' with sets of whole numbers, and row 1 has 2\.5"):
        xaionnx.explain(model, x, "tree_shap", background=x)


def regressor(rng: np.random.Generator, name: str, used: list[int]) -> Any:
    """A sum of three stumps on some features, and of one tree of two of them."""
    tree, feature, value, mode, node, true, false = (list[Any]() for _ in range(7))
    for t in range(3):
        tree += [t] * 3
        feature += [int(rng.choice(used)), 0, 0]
        value += [float(rng.choice([-0.5, 0.0, 0.5])), 0.0, 0.0]
        mode += [str(rng.choice(["BRANCH_LEQ", "BRANCH_GT"])), "LEAF", "LEAF"]
        node, true, false = [*node, 0, 1, 2], [*true, 1, 0, 0], [*false, 2, 0, 0]
    deep = [(used[0], 1, 4), (used[-1], 2, 3), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    tree, node = [*tree, *[3] * 5], [*node, *range(5)]
    feature, true, false = (a + [one[k] for one in deep] for k, a in enumerate((feature, true, false)))
    value, mode = [*value, 0.1, -0.2, 0, 0, 0], [*mode, "BRANCH_LT", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"]
    leaves = [(t, n) for t in range(3) for n in (1, 2)] + [(3, n) for n in (2, 3, 4)]
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], [name], domain="ai.onnx.ml", n_targets=1, nodes_treeids=tree,
        nodes_nodeids=node, nodes_featureids=feature, nodes_values=value, nodes_modes=mode, nodes_truenodeids=true,
        nodes_falsenodeids=false, target_treeids=[t for t, _ in leaves], target_nodeids=[n for _, n in leaves],
        target_ids=[0] * 9, target_weights=rng.normal(size=9).tolist(), base_values=[float(rng.normal())],
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), op=st.sampled_from(["classifier", "regressor", "newest"]))
def test_axioms_over_random_files(seed: int, op: str) -> None:
    """Efficiency, nothing for columns that no tree compares, and values that move with the columns.

    Of all comparisons, base values and transforms, PROBIT and SOFTMAX_ZERO among them, which are refused.
    """
    rng = np.random.default_rng(seed)
    try:
        model = newest(rng) if op == "newest" else by_ids(rng, classes=op == "classifier")
    except ModelFileError:
        return
    dtype = model.inputs[0].dtype
    x, background = (rows(rng, count, categories=op == "newest", dtype=dtype) for count in (3, 5))
    # A column that trees compare stands at another place, and one that no tree compares may stand at its own.
    places = rng.permutation(FEATURES)
    node = onnx.NodeProto()
    node.CopyFrom(model.file.proto.graph.node[0])
    compared = set[int]()
    for attribute in node.attribute:
        if attribute.name == "nodes_featureids":
            leaf = [False] * len(attribute.ints)
            if op != "newest":
                leaf = [mode == b"LEAF" for a in node.attribute if a.name == "nodes_modes" for mode in a.strings]
            compared = {feature for feature, end in zip(attribute.ints, leaf, strict=True) if not end}
            attribute.ints[:] = [int(places[feature]) for feature in attribute.ints]
    kinds = {info.name: onnx.helper.np_dtype_to_tensor_dtype(info.dtype) for info in (*model.inputs, *model.outputs)}
    moved = saved(node, 5 if op == "newest" else 3, kinds["x"], kinds["y"])
    turned = np.argsort(places)
    try:
        scores = model.run({"x": x[:1]}, ["y"])["y"].reshape(1, -1).shape[1]
        targets = [*range(scores)] if scores > 1 else [0]
        found = xaionnx.explain(model, x, "tree_shap", targets, background=background)
    except (UnsupportedModelError, DataError) as error:
        if not any(reason in str(error) for reason in REASONS):
            raise
        return
    values = found.feature_values
    scale = max(1.0, float(np.abs(found.prediction).max()), float(np.abs(values).max()))
    whole = (found.prediction - found.baseline_prediction).reshape(values.shape[:-1])
    np.testing.assert_allclose(values.sum(axis=-1), whole, rtol=0, atol=1e-6 * scale)
    assert not values[..., [column for column in range(FEATURES) if column not in compared]].any()
    again = xaionnx.explain(moved, x[:, turned], "tree_shap", targets, background=background[:, turned])
    np.testing.assert_allclose(again.feature_values[..., places], values, rtol=0, atol=1e-12 * scale)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_axioms_over_graphs_of_several_ensembles(seed: int) -> None:
    """Values of a weighted sum are the sum of values; a column that no tree compares gets 0; twins get the same."""
    rng = np.random.default_rng(seed)
    first, second = regressor(rng, "a", [0, 2]), regressor(rng, "b", [1, 2])
    x, background = (rng.choice([-1, -0.5, 0.1, 0.6, np.nan], size=(n, FEATURES)).astype(np.float32) for n in (3, 5))
    joined = [
        first,
        second,
        helper.make_node("Constant", [], ["k"], value_float=-2.0),
        helper.make_node("Mul", ["b", "k"], ["c"]),
        helper.make_node("Sub", ["a", "c"], ["y"]),
    ]
    whole = saved(joined, 3, TensorProto.FLOAT)
    check(whole, x, background)
    values = {
        name: xaionnx.explain(
            whole, x, "tree_shap", background=background, target=Target.index(0, output=name)
        ).feature_values
        for name in ("a", "b", "y")
    }
    np.testing.assert_allclose(values["y"], values["a"] + 2 * values["b"], atol=1e-6)
    assert not values["a"][:, [1, 3]].any()
    assert not values["b"][:, [0, 3]].any()
    # The same trees on twins: a(x0, x2) + b(x1, x2) with equal columns 0 and 1.
    twin = helper.make_node("TreeEnsembleRegressor", ["x"], ["b"], domain="ai.onnx.ml")
    for attribute in first.attribute:
        twin.attribute.add().CopyFrom(attribute)
        if attribute.name == "nodes_featureids":
            twin.attribute[-1].ints[:] = [1 if feature == 0 else feature for feature in attribute.ints]
    x[:, 1], background[:, 1] = x[:, 0], background[:, 0]
    alike = saved([first, twin, helper.make_node("Add", ["a", "b"], ["y"])], 3, TensorProto.FLOAT)
    found = xaionnx.explain(alike, x, "tree_shap", background=background).feature_values
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-12)
