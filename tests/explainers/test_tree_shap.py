"""TreeSHAP equals enumeration of all coalitions through onnxruntime, on files of the usual exporters, or refuses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from tests.oracles.trees import coalition_worths, shapley
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target, discovery
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.tree_shap import TreeShap
from xaionnx.typing import Array

FOLDER = Path("tests/goldens/trees")
REFUSED = {"sklearn_adaboost": "is not a sum of what it reads", "sklearn_isolation": "is not a sum of what it reads"}
FILES = sorted(path.stem for path in FOLDER.glob("*.onnx") if path.stem not in REFUSED and path.stem != "sklearn_mixed")
FOREST, CREDIT = "models/german_credit_forest.onnx", "models/data/german_credit_sample.csv"


def rows(name: str) -> Array:
    with np.load(FOLDER / "rows.npz") as known:
        if name.endswith("zero_missing"):
            return np.where(known["boosted"] > 1, np.float32(0), known["boosted"])
        kind = "holed" if name.endswith(("missing", "categories")) else "boosted"
        return np.asarray(known["plain" if name.startswith("sklearn") else kind])


def scores_of(path: Path) -> Any:
    """The last output of a file as the bare session returns it, (N, S) in double precision."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def scores(x: Array) -> Array:
        found = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[-1]
        if isinstance(found, list):  # a ZipMap
            found = [[one[key] for key in sorted(one)] for one in found]
        return np.asarray(found, dtype=np.float64).reshape(len(x), -1)

    return scores


@pytest.mark.filterwarnings("ignore:Output 'predictions' of catboost")  # which declares another number of axes
@pytest.mark.parametrize("name", FILES)
def test_equals_enumeration_through_the_session(name: str) -> None:
    """Of the sums; ahead of a softmax only their differences can be read from the outputs."""
    path = FOLDER / f"{name}.onnx"
    scores, data = scores_of(path), rows(name)
    x, background = data[:2], data[10:20]
    classes = scores(x).shape[1]
    model = Model.load(path)
    result = xaionnx.explain(model, x, "tree_shap", target=[*range(classes)], background=background)
    link = result.provenance["explained"]

    def sums(given: Array) -> Array:
        found = scores(given)
        if link == "identity":
            return found
        logarithm = np.log(found)
        return logarithm - (np.log1p(-found) if link == "logistic" else logarithm[:, :1] if link == "softmax" else 0)

    for n in range(len(x)):
        expected = shapley(coalition_worths(sums, x[n], background)).T
        found = result.values[:, n] - (result.values[:1, n] if link == "softmax" else 0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-3))
    whole = result.prediction - result.baseline_prediction
    np.testing.assert_allclose(result.feature_values.sum(axis=2), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_other_functions_of_trees_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=REFUSED[name]):
        xaionnx.explain(FOLDER / f"{name}.onnx", rows(name)[:2], "tree_shap")


def test_columns_behind_encoders_are_players() -> None:
    """One input a column; numbers are imputed and scaled, and words become several features of the trees."""
    with np.load(FOLDER / "mixed.npz") as known:
        data = {name: known[name].astype(object if known[name].dtype.kind == "U" else np.float32) for name in known}
    x, background = ({name: array[part] for name, array in data.items()} for part in (slice(0, 3), slice(10, 25)))
    model = Model.load(FOLDER / "sklearn_mixed.onnx")
    found = xaionnx.explain(model, x, "tree_shap", background=background)
    expected = xaionnx.explain(model, x, "exact_shapley", background=background)
    assert_close(found.feature_values, expected.feature_values, Tolerance.ORDER_ONE)


def test_groups_of_columns() -> None:
    """A group is one player, wherever its columns are split."""
    model, data = Model.load(FOLDER / "sklearn_forest_classes.onnx"), rows("sklearn_forest_classes")
    groups = [0, 0, 1, 2, 2, 2]
    found = xaionnx.explain(model, data[:3], "tree_shap", features=groups, background=data[9:30])
    expected = xaionnx.explain(model, data[:3], "exact_shapley", features=groups, background=data[9:30])
    assert_close(found.feature_values, expected.feature_values, Tolerance.ORDER_ONE)


def test_interactions_add_up() -> None:
    data = rows("lightgbm_binary")
    result = xaionnx.explain(FOLDER / "lightgbm_binary.onnx", data[:4], "tree_shap", interactions=True, background=data)
    pairs = result.maps["interactions"]
    np.testing.assert_allclose(pairs, np.swapaxes(pairs, 1, 2))
    np.testing.assert_allclose(pairs.sum(axis=2), result.feature_values, atol=1e-12)
    assert result.provenance["interactions"] == {"index": "k_sii", "off_diagonal": "half"}
    assert np.abs(pairs).max() > 0.1


def test_the_rows_are_the_background_of_each_other_and_this_is_said() -> None:
    result = xaionnx.explain(FOREST, CREDIT, "tree_shap", target="good")
    given = xaionnx.explain(FOREST, CREDIT, "tree_shap", target="good", background=CREDIT)
    np.testing.assert_array_equal(result.values, given.values)
    np.testing.assert_allclose(result.baseline_prediction, result.prediction.mean(), rtol=1e-6)
    assert any("background" in warning for warning in result.warnings)
    assert not any("background" in warning for warning in given.warnings)
    assert result.provenance["parameters"]["background"]["rows"]["shape"] == [50, 20]
    with pytest.raises(ParameterError, match="Give some, as in background="):
        xaionnx.explain(FOREST, np.zeros((1, 20), np.float32), "tree_shap")


def test_covers_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ParameterError, match="nodes_hitrates"):
        xaionnx.explain(FOREST, CREDIT, "tree_shap", perturbation="path_dependent")
    counted = xaionnx.explain(FOREST, CREDIT, "tree_shap", perturbation="path_dependent", background=CREDIT)
    assert np.abs(counted.diagnostics["completeness_gap"]).max() < 1e-6


def test_a_probability_behind_a_link_is_refused() -> None:
    data = rows("xgboost_binary")
    with pytest.raises(ParameterError, match="exact_shapley or kernel_shap"):
        xaionnx.explain(FOLDER / "xgboost_binary.onnx", data[:3], "tree_shap", target=Target.probability(1))


@pytest.mark.parametrize("perturbation", ["interventional", "path_dependent"])
def test_batches_and_singles_agree(perturbation: str) -> None:
    """Bit for bit, so that results of a table do not depend on how many rows are explained at once."""
    data = rows("xgboost_classes")
    model = Model.load(FOLDER / "xgboost_classes.onnx")
    method = TreeShap(background=data, perturbation=perturbation).bind(model)
    together = method.attribute(model, data[:5])
    for n in range(5):
        np.testing.assert_array_equal(method.attribute(model, data[n : n + 1]).values, together.values[n : n + 1])


def test_rows_that_follow_covers_are_explained_one_by_one() -> None:
    assert TreeShap().compares_samples
    assert not TreeShap(perturbation="path_dependent").compares_samples


def stump(mode: str, missing: int, value: float = 0.5, **changed: Any) -> Model:
    """x0 compared with a number: 3, else 4."""
    stated: dict[str, Any] = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [value, 0.0, 0.0],
        "nodes_modes": [mode, "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_missing_value_tracks_true": [missing, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [3.0, 4.0],
    }
    return load(helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**stated, **changed}))


def load(node: onnx.NodeProto, kind: int = TensorProto.FLOAT, version: int = 3) -> Model:
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", kind, ["N", 2])],
        [helper.make_tensor_value_info("y", kind if version == 5 else TensorProto.FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    path = Path(tempfile.mkdtemp()) / "trees.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return Model.load(path)


def test_rows_do_not_compare_with_each_other_where_the_file_has_covers() -> None:
    model, x = stump("BRANCH_LEQ", 0, nodes_hitrates=[4.0, 1.0, 3.0]), np.float32([[0.0, 0.0], [1.0, 0.0]])
    method = TreeShap(perturbation="path_dependent")
    assert not method.compares_samples
    assert TreeShap().compares_samples
    together = xaionnx.explain(model, x, method)
    np.testing.assert_allclose(together.values, [[-0.75, 0.0], [0.25, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(xaionnx.explain(model, x[1:], method).values, together.values[1:])


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("mode", ["LEQ", "LT", "GT", "GTE", "EQ", "NEQ"])
def test_modes_and_missing_values(mode: str, missing: int) -> None:
    """The change from each row to each other is the difference of the session's outputs, NaN included."""
    model = stump(f"BRANCH_{mode}", missing)
    x = np.array([[0.4, 0], [0.5, 0], [0.6, 0], [np.nan, 0]], np.float32)
    outputs = model.run({"x": x})["y"][:, 0]
    for n in range(4):
        found = xaionnx.explain(model, x, "tree_shap", background=x[[n]]).values
        np.testing.assert_array_equal(found[:, 0], outputs - outputs[n])
        assert not found[:, 1].any()


def test_double_splits_and_sets() -> None:
    stated = {
        "nodes_splits": np.array([0.0, 0.1]),
        "nodes_modes": np.array([6, 0], np.uint8),
        "leaf_weights": np.array([5.0, 7.0, 9.0]),
        "membership_values": np.array([1.0, 3.0, np.nan]),
    }
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        tree_roots=[0],
        nodes_featureids=[0, 1],
        nodes_truenodeids=[0, 1],
        nodes_trueleafs=[1, 1],
        nodes_falsenodeids=[1, 2],
        nodes_falseleafs=[0, 1],
        leaf_targetids=[0, 0, 0],
        **{key: numpy_helper.from_array(array, key) for key, array in stated.items()},
    )
    model = load(node, TensorProto.DOUBLE, 5)
    x = np.array([[1, 0], [3, 0.1], [2, 0.1], [2, np.nextafter(0.1, 1)]])
    assert model.run({"x": x})["y"][:, 0].tolist() == [5, 5, 7, 9]
    found = xaionnx.explain(model, x, "tree_shap", background=x)
    expected = xaionnx.explain(model, x, "exact_shapley", background=x)
    np.testing.assert_allclose(found.feature_values, expected.feature_values, atol=1e-12)


def test_a_feature_that_is_not_there_is_refused() -> None:
    model = stump("BRANCH_LEQ", 0, nodes_featureids=[5, 0, 0])
    with pytest.raises(UnsupportedModelError, match="requests feature 5 but input tensor has 2"):
        xaionnx.explain(model, np.zeros((2, 2), np.float32), "tree_shap")


def test_minimum_over_trees_is_refused() -> None:
    two = {
        key: [*value, *value] if isinstance(value, list) else value
        for key, value in {
            "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0], "nodes_values": [0.5, 0, 0],
            "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0],
            "nodes_falsenodeids": [2, 0, 0], "nodes_missing_value_tracks_true": [0, 0, 0], "target_nodeids": [1, 2],
            "target_ids": [0, 0], "target_weights": [3.0, 4.0],
        }.items()
    }  # fmt: skip
    model = stump(
        "BRANCH_LEQ",
        0,
        **{**two, "nodes_treeids": [0, 0, 0, 1, 1, 1], "target_treeids": [0, 0, 1, 1], "aggregate_function": "MIN"},
    )
    with pytest.raises(UnsupportedModelError, match="takes the MIN over its trees"):
        xaionnx.explain(model, np.zeros((2, 2), np.float32), "tree_shap")


@pytest.mark.parametrize(
    ("method", "file"), [("tree_shap", "forest"), ("linear_shap", "linear"), ("additive_shap", "additive")]
)
def test_rows_that_are_the_background_of_each_other_are_explained_in_batches_too(method: str, file: str) -> None:
    model = Model.load(f"models/german_credit_{file}.onnx")
    rows = model.read("models/data/german_credit_sample.csv")
    bound = discovery.configured(method, {}).bind(model)
    whole = bound.explain(bound.request(model, rows, 1))
    against = bound.against(bound.request(model, rows, 1))
    assert against is not None
    assert not against.compares_samples
    for part in (slice(0, 1), slice(1, 20), slice(20, 50)):
        batch = {name: x[part] for name, x in rows.arrays.items()}
        found = against.explain(against.request(model, batch, 1))
        # Those of trees are equal bit for bit; products of matrices depend on the number of rows.
        bounds = {} if method == "tree_shap" else {"rtol": 0, "atol": 1e-14}
        compare = np.testing.assert_allclose if bounds else np.testing.assert_array_equal
        compare(found.feature_values, whole.feature_values[part], **bounds)
        compare(found.baseline_prediction, whole.baseline_prediction[part], **bounds)
        assert_close(found.prediction, whole.prediction[part], Tolerance.OPERATIONS)
        assert found.warnings == whole.warnings
        ignored = ("input_sha256", "inputs", "file_sha256", "conversions")
        alike = [{k: v for k, v in one.provenance.items() if k not in ignored} for one in (found, whole)]
        assert alike[0] == alike[1]
    one = {name: x[:1] for name, x in rows.arrays.items()}
    assert bound.against(bound.request(model, one, 1)) is None
