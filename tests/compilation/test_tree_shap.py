"""Compiled tree_shap: one run of bare onnxruntime returns the prediction and the values of xaionnx explain."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import xaionnx
from tests.compilation.files import answers
from tests.explainers.test_tree_shap import CREDIT, FILES, FOLDER, FOREST, load, rows, stump
from xaionnx import Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError

# Of the largest value: sums of a few hundred numbers in single precision.
ROUNDING = 2e-6


def compare(model, feeds, targets=None, **settings):
    """Check that a compiled file returns the predictions and the values of an explanation; return its outputs."""
    made = xaionnx.compile(model, "tree_shap", targets, **settings)
    found = answers(made, feeds)
    values, base = found["shap_values"], found["base_values"]
    asked = [*range(len(base))] if targets is None else targets
    told = xaionnx.explain(model, feeds, "tree_shap", asked, **settings)
    count = len(values)
    expected = np.moveaxis(told.feature_values.reshape(len(base), count, -1), 0, 2)
    scale = np.abs(expected).max()
    assert scale > 1e-3
    np.testing.assert_allclose(values, expected, rtol=0, atol=ROUNDING * scale)
    np.testing.assert_allclose(base, told.baseline_prediction.reshape(len(base), count)[:, 0], rtol=1e-5, atol=1e-6)
    for name, output in model.run(model.check(feeds)).items():
        np.testing.assert_array_equal(found[name], output)
    return found


@pytest.mark.filterwarnings("ignore:Output 'predictions' of catboost")  # which declares another number of axes
@pytest.mark.parametrize("name", FILES)
def test_equals_the_explanation(name):
    """On the files of all exporters; by turns with background rows and path dependent."""
    data = rows(name)
    kind = ("interventional", "path_dependent")[FILES.index(name) % 2]
    model = Model.load(FOLDER / f"{name}.onnx")
    feeds = {model.inputs[0].name: data[:40]}
    compare(model, feeds, background=data[10:60], perturbation=kind)


def test_covers_of_the_file():
    model = stump("BRANCH_LEQ", 0, nodes_hitrates=[10.0, 4.0, 6.0])
    found = compare(model, {"x": np.float32([[0, 0], [1, 0]])}, perturbation="path_dependent")
    np.testing.assert_allclose(found["base_values"], [3.6])


def test_columns_behind_encoders_are_players():
    with np.load(FOLDER / "mixed.npz") as known:
        data = {name: known[name].astype(object if known[name].dtype.kind == "U" else np.float32) for name in known}
    x, background = ({name: array[part] for name, array in data.items()} for part in (slice(0, 9), slice(10, 40)))
    found = compare(Model.load(FOLDER / "sklearn_mixed.onnx"), x, background=background)
    assert found["shap_values"].shape[1] == len(x)


def test_groups_of_columns_and_some_targets():
    model, data = Model.load(FOLDER / "sklearn_forest_classes.onnx"), rows("sklearn_forest_classes")
    feeds = {model.inputs[0].name: data[:9]}
    found = compare(model, feeds, [2, Target.margin(0, 1)], features=[0, 0, 1, 2, 2, 2], background=data[9:30])
    assert found["shap_values"].shape == (9, 3, 2)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("mode", ["LEQ", "LT", "GT", "GTE", "EQ", "NEQ"])
def test_modes_and_missing_values(mode, missing):
    model = stump(f"BRANCH_{mode}", missing)
    x = np.array([[0.4, 0], [0.5, 0], [0.6, 0], [np.nan, 0], [np.inf, 0], [-np.inf, 0]], np.float32)
    compare(model, {"x": x}, background=x[[0, 1, 3]])


def test_equal_first_numbers_of_leaves():
    """onnxruntime joins tests for equality if the first numbers below them are equal; the others count as well."""
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    nodes = [
        (0, 0, 0, 1.0, "BRANCH_EQ", 1, 2), (0, 1, 1, 0.5, "BRANCH_LEQ", 3, 4), (0, 2, 0, 2.0, "BRANCH_EQ", 5, 6),
        (0, 3, 0, 0.0, "LEAF", 0, 0), (0, 4, 0, 0.0, "LEAF", 0, 0), (0, 5, 1, 0.5, "BRANCH_LEQ", 7, 8),
        (0, 6, 0, 0.0, "LEAF", 0, 0), (0, 7, 0, 0.0, "LEAF", 0, 0), (0, 8, 0, 0.0, "LEAF", 0, 0),
    ]  # fmt: skip
    stated = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*nodes, strict=True), strict=True)}
    leaves = [3, 4, 6, 7, 8]
    model = stump(
        "LEAF", 0, **stated, nodes_missing_value_tracks_true=[0] * 9, target_treeids=[0] * 5, target_nodeids=leaves,
        target_ids=[0] * 5, target_weights=[1.0, 2.0, 5.0, 3.0, 4.0],
    )  # fmt: skip
    x = np.array([[a, b] for a in (0, 1, 2, 3) for b in (0, 1)], np.float32)
    compare(model, {"x": x}, background=x[[0, 3, 5]])


def test_double_splits_and_sets():
    """TreeEnsemble of ai.onnx.ml 5, whose leaves have one number each, and membership in a set."""
    stated = {
        "nodes_splits": np.array([0.0, 0.1, 0.2]),
        "nodes_modes": np.array([6, 0, 0], np.uint8),
        "leaf_weights": np.array([5.0, 7.0, 9.0, 1.0]),
        "membership_values": np.array([1.0, 3.0, np.nan]),
    }
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, tree_roots=[0], nodes_featureids=[0, 1, 1],
        nodes_truenodeids=[2, 0, 1], nodes_trueleafs=[0, 1, 1], nodes_falsenodeids=[1, 2, 3],
        nodes_falseleafs=[0, 1, 1], leaf_targetids=[0, 0, 0, 0],
        **{key: numpy_helper.from_array(array, key) for key, array in stated.items()},
    )  # fmt: skip
    model = load(node, TensorProto.DOUBLE, 5)
    x = np.array([[1, 0], [3, 0.1], [2, 0.1], [2, np.nextafter(0.1, 1)], [1, 0.3], [np.nan, 0.2]])
    compare(model, {"x": x}, background=x[:4])


def test_double_splits_of_a_regressor():
    wide = np.nextafter(0.1, 1)
    node = stump("BRANCH_LEQ", 0).file.proto.graph.node[0]
    kept = [a for a in node.attribute if a.name not in ("nodes_values", "target_weights")]
    del node.attribute[:]
    node.attribute.extend(kept)
    for name, numbers in (("nodes_values_as_tensor", [wide, 0.0, 0.0]), ("target_weights_as_tensor", [3.0, 4.0])):
        node.attribute.append(helper.make_attribute(name, numpy_helper.from_array(np.array(numbers))))
    x = np.array([[wide, 0], [np.nextafter(wide, 1), 0], [0.0, 0]])
    compare(load(node, TensorProto.DOUBLE), {"x": x}, background=x[:2])


def test_what_the_file_says_of_itself(tmp_path):
    made = xaionnx.compile(FOREST, "tree_shap", background=CREDIT)
    [file] = made.save(tmp_path / "forest.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(facts["xaionnx.features"])[1] == "duration_in_month"
    assert json.loads(facts["xaionnx.targets"]) == ["bad (0)", "good (1)"]
    assert facts["xaionnx.explained"] == "identity"
    assert json.loads(facts["xaionnx.parameters"])["background"]["rows"]["features"]["shape"] == [50, 20]
    with pytest.raises(UnsupportedModelError, match="already a compiled file"):
        xaionnx.compile(file, "tree_shap", background=CREDIT)


@pytest.mark.parametrize(
    ("settings", "target", "error", "words"),
    [
        ({}, None, ParameterError, "background='rows.csv'"),
        ({"background": CREDIT, "interactions": True}, None, ParameterError, "holds no interactions"),
        ({"background": CREDIT}, "input", ParameterError, "returns the values of all classes"),
        ({"background": CREDIT}, Target.probability(1), None, ""),
        ({"background": CREDIT, "max_added_mb": 0.01}, None, UnsupportedModelError, "at most 0 MB may be added"),
        ({"background": CREDIT, "max_added_mb": 0}, None, ParameterError, "must be a positive number"),
    ],
)
def test_refusals(settings, target, error, words):
    if error is None:
        xaionnx.compile(FOREST, "tree_shap", target, **settings)
        return
    with pytest.raises(error, match=words):
        xaionnx.compile(FOREST, "tree_shap", target, **settings)


def test_the_limit_holds_for_gradients_too():
    with pytest.raises(UnsupportedModelError, match=r"saliency adds .* and at most 0 MB may be added"):
        xaionnx.compile("models/mnist_cnn.onnx", "saliency", max_added_mb=1e-6)
