"""What people asked of deployed forests, linear models and explainable boosting machines."""

import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import xaionnx
from tests.explainers.test_additive_shap import of_boosting
from tests.explainers.test_tree_shap import rows
from xaionnx.errors import ParameterError

REPORTS = tomllib.loads(Path(__file__).with_name("deployed_trees.toml").read_text(encoding="utf-8"))["report"]
TREES, SUMS = Path("tests/goldens/trees"), Path("tests/goldens/additive")


def deployed(folder, path, method, background):
    """A session of bare onnxruntime, which knows the compiled file alone."""
    file = folder / "with_values.onnx"
    xaionnx.compile(path, method, background=background).save(file)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_every_report_has_tests_here():
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


def test_bare_onnxruntime_returns_prediction_and_values(tmp_path):
    data = rows("lightgbm_regressor")
    session = deployed(tmp_path, TREES / "lightgbm_regressor.onnx", "tree_shap", data[20:40])
    [x] = session.get_inputs()
    prediction, values, base = session.run(["variable", "shap_values", "base_values"], {x.name: data[:10]})
    assert values.shape == (10, 6, 1)
    np.testing.assert_allclose(base + values.sum(axis=1), prediction, rtol=1e-5, atol=1e-5)
    own = onnxruntime.InferenceSession(TREES / "lightgbm_regressor.onnx")
    np.testing.assert_array_equal(prediction, own.run(None, {x.name: data[:10]})[0])


def test_values_of_all_classes_follow_the_prediction(tmp_path):
    data = rows("sklearn_forest_classes")
    session = deployed(tmp_path, TREES / "sklearn_forest_classes.onnx", "tree_shap", data[20:40])
    assert [output.name for output in session.get_outputs()][-2:] == ["shap_values", "base_values"]
    _, probabilities, values, base = session.run(None, {session.get_inputs()[0].name: data[:10]})
    np.testing.assert_allclose(base + values.sum(axis=1), probabilities, atol=1e-6)
    np.testing.assert_allclose(values.sum(axis=2), 0, atol=1e-6)


def test_base_values_and_values_add_up_to_the_raw_score(tmp_path):
    data = rows("xgboost_binary")
    session = deployed(tmp_path, TREES / "xgboost_binary.onnx", "tree_shap", data[20:40])
    _, probabilities, values, base = session.run(None, {session.get_inputs()[0].name: data[:10]})
    np.testing.assert_allclose(1 / (1 + np.exp(-(base + values.sum(axis=1)))), probabilities, atol=1e-6)


def test_explanations_from_the_file_of_a_boosting_machine(tmp_path):
    x, background = of_boosting(slice(0, 10)), of_boosting(slice(20, 40))
    session = deployed(tmp_path, SUMS / "boosting_pairs.onnx", "additive_shap", background)
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, x), strict=True))
    logits = found["base_values"] + found["shap_values"].sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), found["probabilities"], atol=1e-6)
    # Column d belongs to no pair: its values are those of its own term, whatever the other columns are.
    order = np.argsort(x["d"])
    again = session.run(["shap_values"], {**{name: array[::-1] for name, array in x.items()}, "d": x["d"]})[0]
    np.testing.assert_allclose(again[order, 3], found["shap_values"][order, 3], atol=1e-6)


def test_impacts_of_a_logistic_regression(tmp_path):
    """They do not depend on where the scale of a column has its zero, as weight times value does."""
    with np.load(SUMS / "rows.npz") as known:
        x = known["x"]
    session = deployed(tmp_path, SUMS / "scaled_logistic.onnx", "linear_shap", x[20:40])
    values = session.run(["shap_values"], {session.get_inputs()[0].name: x[:10]})[0][:, :, 1]
    slopes = values / (x[:10] - x[20:40].mean(axis=0))
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:1], slopes.shape), rtol=1e-4)


def test_the_file_states_its_background():
    data = rows("sklearn_tree_regressor")
    made = xaionnx.compile(TREES / "sklearn_tree_regressor.onnx", "tree_shap", background=data[20:40])
    stated = json.loads(made.facts["parameters"])["background"]["rows"]
    assert stated["shape"] == [20, 6]
    assert len(stated["sha256"]) == 64
    with pytest.raises(ParameterError, match=r"Give some, as in background='rows.csv'"):
        xaionnx.compile(TREES / "sklearn_tree_regressor.onnx", "tree_shap")
