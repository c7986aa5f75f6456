"""Public reports about tables, tried here: the log is tables.toml."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pandas
import pytest

import xaionnx
from xaionnx import InputSpec, Model

MLP = "models/german_credit_mlp.onnx"


@pytest.fixture(scope="module")
def frame():
    return pandas.read_csv("models/data/german_credit_sample.csv").head(6)


def test_a_frame_in_another_order_of_columns_has_the_same_values(frame):
    settings = {"budget": 1500, "seed": 3}
    usual = xaionnx.explain(MLP, frame, "kernel_shap", "bad", background=frame, **settings)
    turned = frame[frame.columns[::-1]]
    for rows, background in ((turned, frame), (frame, turned)):
        found = xaionnx.explain(MLP, rows, "kernel_shap", "bad", background=background, **settings)
        np.testing.assert_array_equal(found.feature_values, usual.feature_values)
        assert found.feature_names == usual.feature_names


def test_words_are_explained_as_they_are_in_the_frame(frame):
    found = xaionnx.explain(MLP, frame.iloc[2], "kernel_shap", "bad", background=frame, budget=1500)
    assert found.shown_values(0)[found.feature_names.index("purpose")] == frame["purpose"][2]


def test_a_one_hot_code_is_one_player_whose_value_is_not_a_sum_of_sizes(tmp_path):
    # The codes interact, so that the value of the group is neither the sum of theirs nor that of their sizes.
    text = """<ir_version: 9, opset_import: ["" : 17]>
    g (float[N,4] x) => (float[N,1] y) <float[4,1] w = {1, 5, 9, 2}> {
        p = MatMul(x, w)
        square = Mul(p, p)
        y = Mul(square, p)
    }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    columns = ("home_rent", "home_own", "home_free", "age")
    spec = InputSpec(kind="table", columns=columns, groups={"home": columns[:3]})
    model = Model.load(tmp_path / "m.onnx", spec=spec)
    x, rows = np.float32([[0, 1, 0, 3]]), np.float32([[1, 0, 0, 1], [0, 0, 1, 2]])
    grouped = xaionnx.explain(model, x, "exact_shapley", 0, background=rows)
    alone = xaionnx.explain(model, x, "exact_shapley", 0, background=rows, features="elements")
    assert grouped.feature_names == ("home", "age")
    # By hand, of the game in which the whole code is that of the sample or of a row.
    both, home, age = 11**3, ((5 + 2) ** 3 + (5 + 4) ** 3) / 2, ((1 + 6) ** 3 + (9 + 6) ** 3) / 2
    nobody = ((1 + 2) ** 3 + (9 + 4) ** 3) / 2
    np.testing.assert_allclose(grouped.feature_values[0, 0], (home - nobody + both - age) / 2, rtol=1e-6)
    assert abs(alone.feature_values[0, :3].sum() - grouped.feature_values[0, 0]) > 1
    assert np.abs(alone.feature_values[0, :3]).sum() > 2 * abs(grouped.feature_values[0, 0])
