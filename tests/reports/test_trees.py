"""Public reports about TreeSHAP, tried on files of the exporters that people use: the log is trees.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import xaionnx
from tests.compilation.files import answers
from tests.oracles.trees import coalition_worths, interactions, shapley
from xaionnx import Explanation, Model, Target
from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.typing import Array

FILES = Path("tests/goldens/tree_reports")
REPORTS = tomllib.loads(Path(__file__).with_name("trees.toml").read_text(encoding="utf-8"))["report"]
ROWS = {"histogram_missing": "holed", "gaps_are_largest": "holed", "categories": "words"}
# Whose exporter writes other numbers than the library predicts; what is explained is the file.
CHANGED = ("survival",)


def known(name: str) -> Array:
    with np.load(FILES / "rows.npz") as kept:
        return np.asarray(kept[name])


def rows(name: str) -> tuple[Array, Array]:
    kind = ROWS.get(name, "plain")
    return known(f"rows_{kind}"), known(f"others_{kind}")


def outputs_of(name: str, x: Array) -> Array:
    """The last output of the file by the bare session, (N, S), in double precision."""
    session = onnxruntime.InferenceSession(str(FILES / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[-1]
    return np.asarray(found, np.float64).reshape(len(x), -1)


def ahead_of(link: str, outputs: Array) -> Array:
    if link == "identity":
        return outputs
    logarithm = np.log(outputs)
    return logarithm - (np.log1p(-outputs) if link == "logistic" else logarithm[:, :1] if link == "softmax" else 0)


def explained(name: str, **settings: Any) -> tuple[Model, Explanation]:
    """The values of all scores."""
    x, others = rows(name)
    model = Model.load(FILES / f"{name}.onnx")
    scores = outputs_of(name, x).shape[1]
    return model, xaionnx.explain(model, x, "tree_shap", target=[*range(scores)], background=others, **settings)


def check(name: str) -> Explanation:
    """Compare with enumeration through the session, with what the library predicts, and with the compiled file."""
    x, others = rows(name)
    model, result = explained(name)
    link = str(result.provenance["explained"])
    for n, row in enumerate(x):
        expected = shapley(coalition_worths(lambda given: ahead_of(link, outputs_of(name, given)), row, others)).T
        found = result.feature_values[:, n] - (result.feature_values[:1, n] if link == "softmax" else 0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max()))
    sums = (result.baseline_prediction + result.feature_values.sum(axis=2)).T
    if name not in CHANGED:
        raw = known(f"raw_{name}").reshape(len(x), -1)
        np.testing.assert_allclose(sums[:, -raw.shape[1] :], raw, rtol=1e-5, atol=1e-5)
    values = answers(xaionnx.compile(model, "tree_shap", background=others), {model.inputs[0].name: x})["shap_values"]
    np.testing.assert_allclose(
        np.moveaxis(values, 2, 0), result.feature_values, rtol=0, atol=3e-6 * np.abs(values).max()
    )
    return result


def test_every_report_has_tests_here() -> None:
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


def test_missing_values_go_where_the_file_sends_them() -> None:
    check("histogram_missing")


@pytest.mark.filterwarnings("ignore:Output 'predictions' of")  # of which CatBoost declares one axis
def test_gaps_that_are_the_largest_numbers() -> None:
    check("gaps_are_largest")


def test_sets_of_categories_with_background_rows_and_their_interactions() -> None:
    check("categories")
    x, others = rows("categories")
    _, result = explained("categories", interactions=True)
    for n, row in enumerate(x):
        worths = coalition_worths(lambda given: outputs_of("categories", given), row, others)
        pairs = interactions(worths)[:, :, 0] / 2
        found = result.maps["interactions"][0, n]
        diagonal = np.eye(len(pairs), dtype=bool)
        np.testing.assert_allclose(found[~diagonal], pairs[~diagonal], rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), shapley(worths)[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["dropped", "parallel", "monotone"])
def test_trees_that_are_dropped_boosted_together_or_constrained(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", ["base_score", "classes", "no_prior", "one_for_all"])
def test_what_the_sums_start_from_is_part_of_the_base_value(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", ["tweedie", "tweedie_xgboost", "survival", "quantile", "ranker"])
def test_objectives_with_and_without_a_link(name: str) -> None:
    result = check(name)
    assert result.provenance["explained"] == ("exponential" if name.startswith("tweedie") else "identity")


@pytest.mark.filterwarnings("ignore:Output 'predictions' of")  # of which CatBoost declares one axis
def test_oblivious_trees() -> None:
    check("oblivious")


def test_a_tree_of_depth_17() -> None:
    check("deep")


@pytest.mark.parametrize("name", ["voting", "stacked", "stacked_numbers", "calibrated"])
def test_weighted_stacked_and_calibrated_forests(name: str) -> None:
    result = check(name)
    assert result.provenance["explained"] == ("logistic" if name in ("stacked", "calibrated") else "identity")


@pytest.mark.parametrize(
    ("name", "reason", "instead"),
    [
        (
            "calibrated_folds",
            "No element of 'probabilities' is a logistic function of one sum of trees",
            "merged_prob0",
        ),
        ("forest", "No element of 'probabilities' is a logistic function of one sum of trees", "first_col"),
        ("isolation", r"'dec_Z0' \(Pow\) is not a sum of what it reads", "dec_Y01"),
    ],
)
def test_what_is_no_sum_names_the_sum_ahead_of_it(name: str, reason: str, instead: str) -> None:
    x, others = rows(name)
    with pytest.raises(UnsupportedModelError, match=rf"{reason}.* Explain a sum of trees ahead .*output='{instead}'"):
        xaionnx.explain(FILES / f"{name}.onnx", x, "tree_shap", background=others)
    target = Target.index(0, output=instead)
    xaionnx.explain(FILES / f"{name}.onnx", x, "tree_shap", target, background=others)


@pytest.mark.parametrize("perturbation", ["interventional", "path_dependent"])
def test_path_lengths_of_an_isolation_forest(perturbation: str) -> None:
    """Its score is 0.5 less two to the power of the explained sum."""
    x, others = rows("isolation")
    model, target = Model.load(FILES / "isolation.onnx"), Target.index(0, output="dec_Y01")
    found = xaionnx.explain(model, x, "tree_shap", target, background=others, perturbation=perturbation)
    sums = found.baseline_prediction + found.feature_values.sum(axis=1)
    np.testing.assert_allclose(0.5 - 2**sums, known("raw_isolation"), rtol=0, atol=1e-6)
    if perturbation == "interventional":
        expected = xaionnx.explain(model, x, "exact_shapley", target, background=others)
        np.testing.assert_allclose(found.feature_values, expected.feature_values, rtol=0, atol=1e-6)


def test_a_base_value_that_is_nan(tmp_path: Path) -> None:
    model = onnx.load(FILES / "base_score.onnx")
    [base] = [a for node in model.graph.node for a in node.attribute if a.name == "base_values"]
    base.floats[:] = [float("nan")]
    onnx.save(model, tmp_path / "nan.onnx")
    x, others = rows("base_score")
    with pytest.raises(OutputError, match="returns NaN for 'probabilities' of sample 0"):
        xaionnx.explain(tmp_path / "nan.onnx", x, "tree_shap", background=others)
