"""Public reports about columns of frames, tried here: the log is columns.toml."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import parser

import xaionnx
from models import planted
from xaionnx import InputSpec, Model
from xaionnx.errors import DataError
from xaionnx.explainers.anchors import Anchors
from xaionnx.explainers.lime import Lime
from xaionnx.render import charts

HERE = Path(__file__).parent
# Words have scores, those of another word 0.5; a missing age is 40.
TEXT = """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
passengers (string[N, 1] {sex}, float[N, 1] {age}, float[N, 1] fare) => (float[N, 2] score)
<float forty = {{40}}, float[1, 2] signs = {{-1, 1}}, float tenth = {{0.1}}, float least = {{3}}> {{
  word = ai.onnx.ml.LabelEncoder
    <keys_strings = ["male", "female"], values_floats = [0.0, 2.0], default_float = 0.5> ({sex})
  gone = IsNaN ({age})
  known = Where (gone, forty, {age})
  years = Mul (known, tenth)
  older = Sub (years, least)
  cost = Mul (fare, tenth)
  both = Mul (word, cost)
  sum = Add (both, older)
  score = MatMul (sum, signs)
}}"""
RNG = np.random.default_rng(4)
FRAME = pd.DataFrame(
    {
        "sex": RNG.choice(["male", "female", "other"], 60),
        "age": RNG.integers(18, 80, 60).astype(np.float64),
        "fare": RNG.normal(30, 5, 60),
    },
    index=[f"passenger {i}" for i in range(60)],
)


@pytest.fixture
def passengers(tmp_path: Path) -> Path:
    return saved(tmp_path, "sex", "age")


def saved(folder: Path, sex: str, age: str) -> Path:
    onnx.save(parser.parse_model(TEXT.format(sex=sex, age=age)), folder / "passengers.onnx")
    (folder / "passengers.toml").write_text(
        '[input]\nkind = "table"\n[output]\nactivation = "logits"\nlabels = ["died", "lived"]\n'
    )
    return folder / "passengers.onnx"


def outputs(frame: pd.DataFrame) -> np.ndarray:
    """The score of ``lived``, by hand."""
    word = frame["sex"].map({"male": 0.0, "female": 2.0}).fillna(0.5).to_numpy(float)
    return word * 0.1 * frame["fare"].to_numpy() + 0.1 * frame["age"].fillna(40).to_numpy() - 3


def test_every_report_has_tests_here() -> None:
    reports = tomllib.loads((HERE / "columns.toml").read_text())["report"]
    assert [one["number"] for one in reports] == list(range(1, len(reports) + 1))
    assert {test for one in reports for test in one["tests"]} <= globals().keys()


def test_columns_have_the_names_that_the_exporter_gave_them(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path, "sex__as_registered_", "_1st_age"))
    named = FRAME.rename(columns={"sex": "sex (as registered)", "age": "1st age"})
    found = model.read(named)
    assert found.notes[0] == "the column 'sex (as registered)' is the input 'sex__as_registered_'"
    np.testing.assert_allclose(model.run(found.arrays)["score"][:, 1], outputs(FRAME), rtol=1e-5)
    np.testing.assert_array_equal(found.arrays["_1st_age"][:, 0], FRAME["age"].astype(np.float32))
    # Two columns that would have the same name are none of the input's.
    with pytest.raises(DataError, match="lacks the column 'sex__as_registered_' that the model needs"):
        model.read(named.assign(**{"sex  as registered ": "male"}))


def test_curves_of_a_column_with_missing_values(passengers: Path) -> None:
    frame = FRAME.assign(age=FRAME["age"].where(np.arange(60) % 5 > 0))
    result = xaionnx.explain(passengers, frame, "dependence", "lived", background=frame)
    place = result.feature_names.index("age")
    grid, curve, effects = (result.maps[name][0, place] for name in ("grid", "partial_dependence", "ale"))
    known = np.isfinite(grid)
    assert known.sum() > 5
    assert grid[known].min() == frame["age"].min()
    expected = [outputs(frame.assign(age=value)).mean() for value in grid[known]]
    np.testing.assert_allclose(curve[known], expected, rtol=1e-5)
    np.testing.assert_allclose(np.diff(effects[known]), 0.1 * np.diff(grid[known]), rtol=1e-4)
    assert result.plot().mode == "RGB"
    assert result.plot(feature="age").mode == "RGB"


@pytest.mark.parametrize("method", ["kernel_shap", "exact_shapley"])
def test_columns_of_words_are_players(passengers: Path, method: str) -> None:
    row = FRAME.iloc[[3]]
    found = xaionnx.explain(passengers, row, method, "lived", background=FRAME)
    columns = list(FRAME)
    worth = {}
    for kept in itertools.product([False, True], repeat=3):
        mixed = FRAME.copy()
        for column in itertools.compress(columns, kept):
            mixed[column] = row[column].iloc[0]
        worth[kept] = outputs(mixed).mean()
    for place, column in enumerate(columns):
        value = 0.0
        for kept, before in worth.items():
            if not kept[place]:
                joined = (*kept[:place], True, *kept[place + 1 :])
                weight = math.factorial(sum(kept)) * math.factorial(2 - sum(kept)) / 6
                value += weight * (worth[joined] - before)
        assert found.feature_values[0, found.feature_names.index(column)] == pytest.approx(value, abs=1e-5)


def test_categories_are_what_they_stand_for(passengers: Path) -> None:
    typed = FRAME.astype({"sex": "category", "age": pd.CategoricalDtype(sorted(set(FRAME["age"]), reverse=True))})
    plain, categories = (
        xaionnx.explain(passengers, frame.head(4), "exact_shapley", "lived", background=frame)
        for frame in (FRAME, typed)
    )
    np.testing.assert_array_equal(plain.feature_values, categories.feature_values)


def test_each_row_shows_its_own_values(passengers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = xaionnx.explain(passengers, FRAME.head(3), "exact_shapley", "lived", background=FRAME)
    told, label = list[str](), charts.label
    monkeypatch.setattr(charts, "label", lambda *a, **k: (told.extend(a[1:2]), label(*a, **k))[1])
    for row in range(3):
        told.clear()
        result.sample(row).plot("waterfall")
        assert {FRAME["sex"].iloc[row], f"{FRAME['age'].iloc[row]:g}"} <= set(told)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "precision", "roc_auc", "neg_log_loss"])
def test_labels_of_words_for_every_metric(passengers: Path, metric: str) -> None:
    known = (outputs(FRAME) > np.median(outputs(FRAME))).astype(int)
    words, numbers = (
        xaionnx.explain(passengers, FRAME, "feature_permutation", metric=metric, labels=labels, draws=2)
        for labels in (np.array(["died", "lived"])[known], known)
    )
    np.testing.assert_array_equal(words.feature_values, numbers.feature_values)
    assert words.prediction == numbers.prediction


def test_the_index_names_the_samples(passengers: Path) -> None:
    result = xaionnx.explain(passengers, FRAME.iloc[[7, 2]], "feature_ablation", "lived", background=FRAME)
    assert result.provenance["inputs"] == ["passenger 7", "passenger 2"]
    assert result.to_frame()["sample"].tolist() == ["passenger 7", "passenger 2"]


def test_background_and_rows_have_their_own_order(passengers: Path) -> None:
    plain = xaionnx.explain(passengers, FRAME.head(3), "exact_shapley", "lived", background=FRAME)
    turned = xaionnx.explain(
        passengers,
        FRAME.head(3)[["fare", "age", "sex"]],
        "exact_shapley",
        "lived",
        background=FRAME[["age", "sex", "fare"]],
    )
    np.testing.assert_array_equal(plain.feature_values, turned.feature_values)


@pytest.mark.parametrize("method", [partial(Lime, neighbourhood="bins"), Anchors])
def test_constant_and_missing_columns_of_the_data_have_bins(
    passengers: Path, method: Callable[..., Lime | Anchors]
) -> None:
    data = FRAME.assign(fare=30.0, age=FRAME["age"].where(np.arange(60) % 2 > 0))
    for row in (FRAME.iloc[[0]], data.iloc[[0]]):
        result = xaionnx.explain(passengers, row, method(background=data))
        assert np.isfinite(result.feature_values).all()


def test_features_of_a_series_have_one_value_each() -> None:
    weights = RNG.normal(size=(1, 12, 3))
    model = planted.load(
        planted.linear(weights), axes="N T F", spec=InputSpec(kind="series", channel_names=("a", "b", "c"))
    )
    x = RNG.normal(size=(1, 12, 3)).astype(np.float32)
    whole = xaionnx.explain(model, x, "exact_shapley", 0, features="channels", baseline=0)
    assert whole.feature_names == ("a", "b", "c")
    steps = xaionnx.explain(model, x, "integrated_gradients", 0, baseline=0)
    np.testing.assert_allclose(whole.feature_values[0], (weights * x).sum(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(steps.values.sum(axis=1), whole.feature_values, rtol=1e-4)
