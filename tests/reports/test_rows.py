"""Public reports about rows of tables and their interactions, tried here: the log is rows.toml."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from onnx import helper

import xaionnx
from models import planted
from tests import tiny
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.anchors import Anchors
from xaionnx.explainers.lime import Lime
from xaionnx.typing import Array

HERE = Path(__file__).parent
FILES = HERE.parent / "goldens" / "tree_reports"
DATA = Path("models/data/german_credit.csv")
ROWS = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)


def rows(name: str) -> tuple[Array, Array]:
    """Rows to explain, and background rows."""
    with np.load(FILES / "rows.npz") as archive:
        return archive["rows_plain"], archive["others_plain"]


def applicants(model: Model) -> Array:
    return model.read(DATA).arrays[model.input().name]


def test_every_report_has_tests_here() -> None:
    reports = tomllib.loads((HERE / "rows.toml").read_text())["report"]
    assert [one["number"] for one in reports] == list(range(1, len(reports) + 1))
    assert {test for one in reports for test in one["tests"]} <= globals().keys()


@pytest.mark.parametrize(("name", "ahead"), [("calibrated_xgboost", 1), ("calibrated_xgboost_folds", 2)])
def test_a_calibrated_classifier_over_xgboost(name: str, ahead: int) -> None:
    """It calibrates probabilities, so that its own are no function of one sum: the sums of trees ahead are."""
    x, others = rows(name)
    model = Model.load(FILES / f"{name}.onnx")
    with pytest.raises(UnsupportedModelError, match=r"Explain a sum of trees ahead of it .*exact_shapley") as refusal:
        xaionnx.explain(model, x, "tree_shap", background=others)
    named = re.findall(r"output='(\w+)'", str(refusal.value))
    assert len(named) == ahead
    for output in named:
        target = Target.index(0, output=output)
        found = xaionnx.explain(model, x, "tree_shap", target, background=others)
        expected = xaionnx.explain(model, x, "exact_shapley", target, background=others)
        if found.provenance["explained"] == "identity":
            np.testing.assert_allclose(found.feature_values, expected.feature_values, rtol=0, atol=1e-6)
        assert found.provenance["explained"] in ("identity", "logistic")
        assert np.ptp(found.feature_values, axis=0).any()
    with np.load(FILES / "rows.npz") as kept:
        wanted = kept[f"raw_{name}"][:, 1]
    whole = xaionnx.explain(model, x, "exact_shapley", Target.index(1), background=others)
    np.testing.assert_allclose(whole.baseline_prediction + whole.feature_values.sum(axis=1), wanted, rtol=1e-6)


@pytest.mark.parametrize("flag", [0.0, 1.0])
@pytest.mark.parametrize("named", [False, True])
def test_the_condition_of_a_flag_is_that_of_the_row(flag: float, named: bool) -> None:
    data = ROWS.copy()
    data[:, 1] = np.arange(300) % 10 == 0
    categories = {"service": ("no", "yes")} if named else {}
    spec = InputSpec(kind="table", columns=("a", "service", "c"), categories=categories)
    model = planted.load(planted.linear([[1.0, 2.0, -1.0]]), spec=spec)
    found = xaionnx.explain(model, np.float32([[0.1, flag, 0.2]]), Lime(neighbourhood="bins", background=data), 0)
    told = ("service = yes" if flag else "service = no") if named else ("service > 0" if flag else "service <= 0")
    assert found.feature_names[1] == told
    assert np.sign(found.values[0, 1]) == (1 if flag else -1)


@pytest.mark.parametrize("method", ["lime", "anchors"])
def test_a_word_that_no_row_of_the_data_has(method: str) -> None:
    data = ROWS.copy()
    data[:, 1] = np.arange(300) % 4
    homes = ("rent", "own", "free", "other", "new")
    spec = InputSpec(kind="table", columns=("a", "home", "c"), categories={"home": homes})
    model = planted.load(planted.linear([[0.0, 5.0, 0.0]]), spec=spec)
    explainer = (
        Lime(neighbourhood="bins", background=data) if method == "lime" else Anchors(background=data, threshold=17.0)
    )
    found = xaionnx.explain(model, np.float32([[0.1, 4, 0.2]]), explainer, 0)
    if method == "lime":
        assert found.feature_names[1] == "home = new"
        assert np.isfinite(found.values).all()
        assert found.values[0, 1] == found.values.max()
    else:
        assert found.diagnostics["rule"] == [["home = new"]]
        assert found.diagnostics["coverage"] == [[0.0]]


@pytest.mark.parametrize("given", [np.array(["a", "b", "c"]), pd.Index(["a", "b", "c"]), pl.Series(["a", "b", "c"])])
def test_names_and_numbers_of_a_spec_may_be_arrays(given: Any) -> None:
    homes = np.array(["own", "rent"])
    spec = InputSpec(kind="table", columns=given, labels=given, categories={"b": homes})
    assert (spec.columns, spec.labels, spec.categories) == (("a", "b", "c"), ("a", "b", "c"), {"b": ("own", "rent")})
    model = planted.load(planted.linear(np.eye(3)), spec=spec)
    found = xaionnx.explain(model, ROWS[:2], "feature_ablation", "b", background=ROWS)
    assert found.feature_names == ("a", "b", "c")
    assert InputSpec(mean=np.array([1, 2, 3]), scale=np.float32(2)) == InputSpec(mean=(1, 2, 3), scale=2.0)
    with pytest.raises(ParameterError, match=r"'columns\[1\]' parameter of InputSpec must be a printable str. Got 2"):
        InputSpec(kind="table", columns=np.array(["a", 2], dtype=object))


def test_the_precision_of_an_anchor_is_that_of_rows_drawn_again() -> None:
    """Drawn by a plain loop: a background row, in which each condition holds as in some row that meets it."""
    model = Model.load("models/german_credit_forest.onnx")
    data = applicants(model)
    found = xaionnx.explain(model, data[:3], Anchors(background=data, budget=5_000))
    rng = np.random.default_rng(1)
    classes = model.run({model.input().name: data})[model.output().name].argmax(axis=1)
    for n in range(3):
        anchor, row = found.diagnostics["anchor"][n][0], data[n]
        drawn = data[rng.integers(len(data), size=4000)].copy()
        for column in anchor:
            edges = np.unique(np.percentile(data[:, column], (25, 50, 75)))
            words = model.input_spec.categories.get(model.input_spec.columns[column])
            own = data[:, column] if words else np.searchsorted(edges, data[:, column])
            meeting = np.flatnonzero(own == (row[column] if words else np.searchsorted(edges, row[column])))
            drawn[:, column] = data[rng.choice(meeting, len(drawn)), column]
        same = model.run({model.input().name: drawn})[model.output().name].argmax(axis=1) == classes[n]
        low, high = found.diagnostics["precision_bounds"][n][0]
        margin = 4 * 0.5 / np.sqrt(len(drawn))
        assert low - margin <= same.mean() <= high + margin


def test_a_tree_without_a_split_adds_to_the_base_value_alone() -> None:
    stated = {
        "nodes_treeids": [0, 0, 0, 1], "nodes_nodeids": [0, 1, 2, 0], "nodes_featureids": [0, 0, 0, 0],
        "nodes_values": [0.0, 0.0, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0, 0], "nodes_falsenodeids": [2, 0, 0, 0],
        "target_treeids": [0, 0, 1], "target_nodeids": [1, 2, 0], "target_ids": [0, 0, 0],
        "target_weights": [-1.0, 3.0, 0.25], "n_targets": 1,
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **stated)
    inputs, outputs = [tiny.tensor("x", ["N", 3])], [tiny.tensor("y", ["N", 1])]
    model = planted.load(tiny.model([node], inputs, outputs, domains={"ai.onnx.ml": 3}))
    found = xaionnx.explain(model, ROWS[:4], "tree_shap", 0, background=ROWS, background_size=300)
    share = (ROWS[:, 0] > 0).mean()
    np.testing.assert_allclose(found.baseline_prediction, 0.25 - 1 + 4 * share, rtol=1e-6)
    np.testing.assert_allclose(found.values[:, 0], found.prediction - found.baseline_prediction, rtol=1e-5)
    assert not found.values[:, 1:].any()


@pytest.mark.parametrize("index", ["sii", "k_sii", "stii", "fsii"])
def test_pairs_of_many_features_have_every_index(index: str) -> None:
    """Of a polynomial of degree 2 all indices of pairs are the coefficient."""
    pairs = {(0, 1): 2.0, (3, 17): -1.5}
    model = planted.load(planted.polynomial(18, {**pairs, (2,): 1.0}))
    found = xaionnx.explain(model, np.ones((1, 18), np.float32), "shapley_interactions", 0, index=index)
    matrix = found.maps["interactions"][0]
    for i, j in itertools.combinations(range(18), 2):
        assert 2 * matrix[i, j] == pytest.approx(pairs.get((i, j), 0.0), abs=1e-4)


def test_contributions_to_a_probability_add_up_to_it() -> None:
    model = Model.load("models/german_credit_additive.onnx")
    data = applicants(model)
    found = xaionnx.explain(model, data[:4], "kernel_shap", Target.probability(1), background=data, budget=100_001)
    total = found.baseline_prediction + found.feature_values.sum(axis=1)
    np.testing.assert_allclose(total, found.prediction, rtol=1e-6)
    assert ((found.prediction > 0) & (found.prediction < 1)).all()
    assert ((found.baseline_prediction > 0) & (found.baseline_prediction < 1)).all()


def test_terms_of_an_additive_model_add_up_to_its_score() -> None:
    model = Model.load("models/german_credit_additive.onnx")
    data = applicants(model)
    found = xaionnx.explain(model, data, "additive_shap", Target.index(1), background=data)
    np.testing.assert_allclose(
        found.baseline_prediction + found.feature_values.sum(axis=1), found.prediction, rtol=1e-5, atol=1e-5
    )
    # A column's value depends on the column alone: two rows that share it have the same one.
    duration = list(model.input_spec.columns).index("duration_in_month")
    for month in (12, 24, 48):
        shared = found.feature_values[data[:, duration] == month, duration]
        assert np.ptp(shared) < 1e-5


@pytest.mark.parametrize(("name", "classes"), [("parallel", 1), ("base_score", 2), ("classes", 3)])
def test_arrays_have_the_same_axes_for_numbers_and_classes(name: str, classes: int) -> None:
    x, others = rows(name)
    settings = {"background": others, "interactions": True}
    found = xaionnx.explain(FILES / f"{name}.onnx", x, "tree_shap", **settings)
    assert found.values.shape == (3, 6)
    assert found.maps["interactions"].shape == (3, 6, 6)
    several = xaionnx.explain(FILES / f"{name}.onnx", x, "tree_shap", list(range(classes)), **settings)
    assert several.values.shape == (classes, 3, 6)
    assert several.maps["interactions"].shape == (classes, 3, 6, 6)
