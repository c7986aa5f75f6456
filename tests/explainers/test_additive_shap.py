"""Closed forms of sums: equal to enumeration of all coalitions, on files of the usual exporters, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xaionnx
from tests.compilation.files import answers
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.typing import Array

FOLDER = Path("tests/goldens/additive")
# The tensor of the sums, and the links of their probabilities.
LINEAR = {
    "regression": ("variable", "identity"),
    "far_regression": ("variable", "identity"),
    "two_targets": ("variable", "identity"),
    "scaled_logistic": ("probabilities", "logistic"),
    "softmax": ("probabilities", "softmax"),
    "sgd": ("probabilities", "logistic"),
    "poisson": ("variable", "exponential"),
    "ridge_classifier": ("probabilities", "identity"),
    "svc": ("probabilities", "identity"),
}
ADDITIVE = {"bins": ("variable", "identity"), "polynomial": ("variable", "identity")}


def rows(part: slice) -> dict[str, Array]:
    with np.load(FOLDER / "rows.npz") as known:
        return {"x": known["x"][part], "words": known["words"][part].astype(object)}


def of_boosting(part: slice) -> dict[str, Array]:
    """The rows, one input a column."""
    known = rows(part)
    return {**{name: known["x"][:, j] for j, name in enumerate("abcd")}, "e": known["words"]}


def log_odds(link: str, scores: Array) -> Array:
    if link == "logistic":
        return np.log(scores) - np.log1p(-scores)
    return np.log(scores) if link in ("softmax", "exponential") else scores


def by_enumeration(model: Model, tensor: str, link: str, x: Array, background: Array) -> Array:
    """The Shapley values (N, P, S) of the numbers ahead of a link, from the outputs of all coalitions."""
    players = x.shape[1]
    masks = (np.arange(2**players)[:, None] >> np.arange(players)) & 1 == 1
    values = []
    for row in x:
        mixed = np.where(masks[:, None], row, background).reshape(-1, players)
        found = model.run({model.input().name: mixed}, [tensor])[tensor].astype(np.float64)
        worth = log_odds(link, found.reshape(len(mixed), -1)).reshape(len(masks), len(background), -1).mean(axis=1)
        phi = np.zeros((players, worth.shape[1]))
        for number, mask in enumerate(masks):
            for player in np.flatnonzero(~mask):
                weight = 1 / (players * np.prod([(players - 1 - k) / (k + 1) for k in range(mask.sum())]))
                phi[player] += weight * (worth[number | 1 << int(player)] - worth[number])
        values.append(phi)
    return np.array(values)


@pytest.mark.parametrize("name", [*LINEAR, *ADDITIVE])
def test_equals_enumeration_through_the_session(name: str) -> None:
    """Of the sums; ahead of a softmax only their differences can be read from the outputs."""
    tensor, link = {**LINEAR, **ADDITIVE}[name]
    model = Model.load(FOLDER / f"{name}.onnx")
    x, background = rows(slice(0, 3))["x"], rows(slice(20, 30))["x"]
    expected = by_enumeration(model, tensor, link, x, background)
    classes = [*range(expected.shape[2])]
    for method in ("linear_shap", "additive_shap") if name in LINEAR else ("additive_shap",):
        result = xaionnx.explain(model, x, method, target=classes, background=background)
        assert result.provenance["explained"] == link
        found = np.moveaxis(result.feature_values, 0, 2)
        if link == "softmax":
            found, expected = found - found[..., :1], expected - expected[..., :1]
        # The outputs have few digits: of the far regression beside 1e5, and of probabilities near 1.
        share = 1e-5 if link == "identity" else 1e-4
        noise = 0.02 if name == "far_regression" else share * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=noise)
        gap = result.diagnostics["completeness_gap"]
        assert np.abs(gap).max() < (0.02 if name == "far_regression" else 1e-5)


def test_weights_beside_a_large_constant_are_exact() -> None:
    x, background = rows(slice(0, 3))["x"], rows(slice(20, 30))["x"]
    model = Model.load(FOLDER / "far_regression.onnx")
    [weights] = [a.floats for a in model.file.proto.graph.node[0].attribute if a.name == "coefficients"]
    found = xaionnx.explain(model, x, "linear_shap", background=background).feature_values
    np.testing.assert_allclose(found, np.array(weights) * (x - background.mean(axis=0)), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["boosting_pairs", "boosting_classes"])
def test_explainable_boosting_equals_enumeration(name: str) -> None:
    """Terms of one and of two columns, numbers and words, one input a column."""
    model = Model.load(FOLDER / f"{name}.onnx")
    x, background = of_boosting(slice(0, 4)), of_boosting(slice(20, 40))
    sums = next(node.output[0] for node in reversed(model.view.nodes) if node.op_type == "Add")
    count = 1 if name == "boosting_pairs" else 3
    asked = [1] if count == 1 else [0, 1, 2]
    found = xaionnx.explain(model, x, "additive_shap", target=asked, background=background)
    expected = xaionnx.explain(
        model, x, "exact_shapley", target=[Target.index(k, output=sums) for k in range(count)], background=background
    )
    assert found.feature_names == ("a", "b", "c", "d", "e")
    assert_close(found.feature_values, expected.feature_values, Tolerance.ORDER_ONE)
    assert np.abs(found.feature_values).max() > 0.1


@pytest.mark.parametrize("name", [*LINEAR, *ADDITIVE, "boosting_pairs", "boosting_classes"])
def test_a_compiled_file_equals_the_explanation(name: str) -> None:
    model = Model.load(FOLDER / f"{name}.onnx")
    boosting = name.startswith("boosting")
    x = of_boosting(slice(0, 7)) if boosting else {model.input().name: rows(slice(0, 7))["x"]}
    background = of_boosting(slice(20, 40)) if boosting else rows(slice(20, 40))["x"]
    method = "linear_shap" if name in LINEAR else "additive_shap"
    found = answers(xaionnx.compile(model, method, background=background), x)
    told = xaionnx.explain(model, x, method, [*range(len(found["base_values"]))], background=background)
    expected = np.moveaxis(told.feature_values.reshape(len(found["base_values"]), 7, -1), 0, 2)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found["shap_values"], expected, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(
        found["base_values"], told.baseline_prediction.reshape(-1, 7)[:, 0], rtol=1e-6, atol=1e-6
    )
    for output, array in model.run(model.check(x)).items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[output], array, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[output], array)


def test_terms_of_three_columns_and_groups() -> None:
    model = loaded("""g (float[N, 5] x) => (float[N, 1] y)
        <int64[3] k = {0, 1, 2}, int64[2] j = {3, 4}, int64[1] a = {1}> {
            t = Gather<axis=1>(x, k)  p = ReduceProd<axes=[1], keepdims=1>(t)  u = Gather<axis=1>(x, j)
            s = Sin(u)  q = ReduceSum(s, a)  y = Add(p, q) }""")
    x = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    for features in (None, [0, 0, 1, 2, 3]):
        found = xaionnx.explain(model, x[:3], "additive_shap", background=x[3:], features=features)
        expected = xaionnx.explain(model, x[:3], "exact_shapley", background=x[3:], features=features)
        assert_close(found.feature_values, expected.feature_values, Tolerance.ORDER_ONE)


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("bins", "linear_shap", "is not a linear function of the inputs: it adds .* Use additive_shap"),
        ("normalizer", "additive_shap", "is computed from more than 3 features at once"),
        ("one_against_rest", "additive_shap", "is computed from more than 3 features at once"),
    ],
)
def test_other_models_are_refused(name: str, method: str, words: str) -> None:
    model = Model.load(FOLDER / f"{name}.onnx")
    with pytest.raises(UnsupportedModelError, match=words):
        xaionnx.explain(model, rows(slice(0, 4))["x"], method)


@pytest.mark.parametrize("name", ["number", "three"])
def test_boosting_machines_of_numbers(name: str) -> None:
    """With gaps in a column, a pair of a column and words, and a term of three columns."""
    model = Model.load(FOLDER / f"boosting_{name}.onnx")
    with np.load(FOLDER / "rows.npz") as known:
        predicted = known[f"predicted_{name}"]

    def feeds(part: slice) -> dict[str, Array]:
        found = of_boosting(slice(0, 60))
        found["a"] = np.where(np.arange(60) % 7 == 0, np.float32(np.nan), found["a"])
        return {key: array[part] for key, array in found.items()}

    x, background = feeds(slice(0, 4)), feeds(slice(20, 32))
    found = xaionnx.explain(model, x, "additive_shap", background=background)
    expected = xaionnx.explain(model, x, "exact_shapley", background=background)
    np.testing.assert_allclose(found.feature_values, expected.feature_values, rtol=0, atol=1e-6)
    sums = found.baseline_prediction + found.feature_values.sum(axis=1)
    np.testing.assert_allclose(sums, predicted[:4], rtol=0, atol=1e-5)
    values = answers(xaionnx.compile(model, "additive_shap", background=background), x)["shap_values"]
    np.testing.assert_allclose(values[..., 0], found.feature_values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["linear_shap", "additive_shap"])
def test_networks_and_forests_are_refused_with_what_works(method: str) -> None:
    rows = "models/data/german_credit_sample.csv"
    words = (
        "is not a linear function of the inputs" if method == "linear_shap" else "is not a sum of terms of few features"
    )
    for path, others in (
        ("models/german_credit_mlp.onnx", "exact_shapley or kernel_shap"),
        ("models/german_credit_forest.onnx", "tree_shap, which reads the trees, or exact_shapley or kernel_shap"),
    ):
        with pytest.raises(UnsupportedModelError, match=rf"{words}.* Use {others}\.$"):
            xaionnx.explain(path, rows, method)


def test_background_is_needed_and_probabilities_are_refused() -> None:
    model, x = Model.load(FOLDER / "scaled_logistic.onnx"), rows(slice(0, 4))["x"]
    with pytest.raises(ParameterError, match="Give some, as in background="):
        xaionnx.explain(model, x[:1], "linear_shap")
    with pytest.raises(ParameterError, match="linear_shap explain sums, and"):
        xaionnx.explain(model, x, "linear_shap", target=Target.probability(1))
    with pytest.raises(ParameterError, match="whose means become part of the file"):
        xaionnx.compile(model, "linear_shap")
    own = xaionnx.explain(model, x, "linear_shap")
    np.testing.assert_array_equal(own.values, xaionnx.explain(model, x, "linear_shap", background=x).values)
    assert any("background" in warning for warning in own.warnings)
