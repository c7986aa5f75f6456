"""Records as frames, and parts of records."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from xaionnx import Explanation
from xaionnx.errors import ParameterError, UnknownNameError

MODEL, TABLE = "models/german_credit_mlp.onnx", "models/data/german_credit.csv"


@pytest.fixture(scope="module")
def rows():
    x = xaionnx.Model.load(MODEL).read(TABLE).arrays["features"][:6]
    return xaionnx.explain(MODEL, x, "kernel_shap", ["good", "bad"], background=x, budget=2000)


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_a_row_for_each_sample_and_target(rows, backend):
    frame = rows.to_frame(backend)
    assert type(frame).__module__.startswith(backend)
    assert list(frame.columns)[:5] == ["sample", "target", "prediction", "base_value", rows.feature_names[0]]
    assert len(frame) == 12
    assert list(frame["target"]) == ["good (1)"] * 6 + ["bad (0)"] * 6
    np.testing.assert_array_equal(np.asarray(frame["age_in_years"]), rows.feature_values[:, :, 12].reshape(-1))
    total = sum(np.asarray(frame[name]) for name in rows.feature_names) + np.asarray(frame["base_value"])
    np.testing.assert_allclose(total, np.asarray(frame["prediction"]), atol=1e-5)


def test_a_row_for_each_feature(rows):
    frame = rows.to_frame("pandas", long=True)
    assert len(frame) == 2 * 6 * 20
    one = frame[(frame["sample"] == 1) & (frame["target"] == "bad (0)") & (frame["feature"] == "duration_in_month")]
    assert one["feature_value"].tolist() == ["48 months"]
    assert one["value"].item() == rows.feature_values[1, 1, 1]
    assert one["standard_error"].item() == rows.standard_error[1, 1, 1]


def test_equal_names_are_told_apart():
    one = Explanation(
        "lime",
        np.ones((1, 3)),
        np.array(["y"]),
        np.ones(1),
        feature_values=np.ones((1, 3)),
        provenance={"feature_names": ["age", "age", "target"]},
    )
    assert list(one.to_frame("polars").columns)[3:] == ["age", "age 2", "target 2"]


def test_libraries_are_named(monkeypatch):
    one = Explanation("lime", np.ones((1, 3)), np.array(["y"]), np.ones(1))
    with pytest.raises(ParameterError, match=r"one of pandas, polars, pyarrow\. Got 'arrow'"):
        one.to_frame("arrow")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="needs pandas or polars or pyarrow, which is not installed"):
        one.to_frame()


@pytest.mark.parametrize("which", [2, -1, slice(1, 4), slice(None, None, -2), [4, 0], np.arange(6) % 2 == 0])
def test_a_part_is_that_of_each_array(rows, which):
    part, numbers = rows[which], np.atleast_1d(np.arange(6)[which])
    assert part.samples == len(numbers)
    for name in ("values", "target", "prediction", "baseline_prediction", "feature_values", "standard_error"):
        np.testing.assert_array_equal(getattr(part, name), getattr(rows, name)[:, numbers])
    np.testing.assert_array_equal(part.display["features"].array, rows.display["features"].array[numbers])
    assert part.diagnostics["evaluations"] == [rows.diagnostics["evaluations"][n] for n in numbers]
    assert part.shown_values(0) == rows.shown_values(int(numbers[0]))


def test_a_target_is_taken_by_name(rows):
    one = rows["bad (0)"]
    assert not one.several_targets
    np.testing.assert_array_equal(one.values, rows.values[1])
    with pytest.raises(UnknownNameError, match=r"No target of all samples named 'bad \(1\)'. Nearest: bad \(0\)"):
        rows["bad (1)"]


def test_what_is_not_there_is_refused(rows):
    with pytest.raises(IndexError, match="no sample 6 in an explanation of 6"):
        rows[6]
    with pytest.raises(IndexError, match="no sample -7"):
        rows[-7]


def test_stored_inputs_stay_beside_their_samples(rows):
    import dataclasses

    few = dataclasses.replace(rows.display["features"], array=rows.display["features"].array[:3])
    record = dataclasses.replace(rows, display={"features": few})
    assert len(record[[2, 5, 1]].display["features"].array) == 1
    assert record[[2, 5, 1]].shown_values(2) == ("",) * 20
