"""Joined records of single samples equal the record of the batch."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.tolerances import Tolerance, assert_close
from xaionnx.record_joining import join_records


@pytest.mark.parametrize("target", [3, [3, 5]])
@pytest.mark.parametrize("method", ["occlusion", "feature_ablation"])
def test_joined_is_the_batch(method, target):
    x = np.random.default_rng(0).random((3, 1, 8, 8), dtype=np.float32)
    settings = {"window": 2, "stride": 2} if method == "occlusion" else {"features": "pixels"}
    model = xaionnx.Model.load("models/digits_cnn.onnx")
    whole = xaionnx.explain(model, x, method, target, **settings)
    parts = [xaionnx.explain(model, x[n : n + 1], method, target, **settings) for n in range(3)]
    found = join_records(parts, ["a", "b", "c"])
    for field in ("values", "prediction", "feature_values"):
        assert_close(getattr(found, field), getattr(whole, field), Tolerance.ORDER_ONE)
    assert found.target.tolist() == whole.target.tolist()
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.display == whole.display
    assert found.maps.keys() == whole.maps.keys()
    assert all(found.maps[key].shape == whole.maps[key].shape for key in whole.maps)
    assert found.diagnostics["evaluations"] == whole.diagnostics["evaluations"]
    assert found.diagnostics["seconds"] == pytest.approx(sum(part.diagnostics["seconds"] for part in parts), abs=1e-6)
    assert found.provenance["input_sha256"] == whole.provenance["input_sha256"]
    assert found.provenance["inputs"] == ["a", "b", "c"]


def test_parts_of_several_samples():
    rows = xaionnx.Model.load("models/german_credit_mlp.onnx").read("models/data/german_credit_sample.csv").arrays
    x = rows["features"][:7]
    whole = xaionnx.explain("models/german_credit_mlp.onnx", x, "kernel_shap", baseline=0, budget=200)
    found = join_records([whole[:1], whole[1:5], whole[5:]], list("abcdefg"))
    np.testing.assert_array_equal(found.feature_values, whole.feature_values)
    assert found.diagnostics.keys() == whole.diagnostics.keys()
    for key in ("evaluations", "players", "null_players", "completeness_gap", "stopped_by"):
        assert found.diagnostics[key] == whole.diagnostics[key]
    assert found.provenance["input_sha256"] == whole.provenance["input_sha256"]
    assert found.display == whole.display


def test_names_that_differ_by_sample_are_kept():
    def part(names):
        values = np.ones((len(names), 2))
        facts = {"feature_names": names}
        return xaionnx.Explanation(
            "m", values, np.full(len(names), "y"), np.ones(len(names)), feature_values=values, provenance=facts
        )

    parts = [part([["a", "b"]]), part([["c", "d"], ["a", "b"]])]
    assert join_records(parts, ["0", "1", "2"]).provenance["feature_names"] == [["a", "b"], ["c", "d"], ["a", "b"]]


def test_samples_with_fewer_players_are_padded():
    x = np.zeros((1, 1, 8, 8), np.float32)
    left = np.broadcast_to(np.arange(8) // 4, (8, 8))
    fourths = left + 2 * left.T
    parts = [
        xaionnx.explain("models/digits_cnn.onnx", x, "feature_ablation", 3, features=labels)
        for labels in (left, fourths)
    ]
    found = join_records(parts, ["two", "four"])
    assert np.isnan(found.feature_values).tolist() == [[False, False, True, True], [False] * 4]
    assert found.features.shape[0] == 2
