"""Groups of columns that the spec names: one player each, by default."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.tiny import parsed
from xaionnx.data.spec import InputSpec
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.runtime.model import Model

COLUMNS = ["home_own", "age", "home_rent", "home_free"]
SPEC = InputSpec(
    kind="table",
    columns=COLUMNS,
    groups={"housing": ["home_rent", "home_own", "home_free"]},
    units={"age": "years"},
)
TEXT = """g (float[N,4] x) => (float[N,1] y) <float[4,1] w = {3, 0.5, 5, 7}> { y = MatMul(x, w) }"""
X = np.float32([[0, 40, 1, 0]])


@pytest.fixture
def model(tmp_path):
    (tmp_path / "m.onnx").write_bytes(parsed(TEXT).SerializeToString())
    return Model.load(tmp_path / "m.onnx", spec=SPEC)


@pytest.mark.parametrize("method", ["exact_shapley", "kernel_shap", "feature_ablation", "shapley_sampling", "lime"])
def test_a_one_hot_group_is_one_player_of_its_name(model, method):
    rows = np.float32([[1, 20, 0, 0], [0, 30, 0, 1]])
    found = xaionnx.explain(model, X, method, 0, baseline=xaionnx.Baseline.background(rows))
    assert found.feature_names == ("housing", "age")
    assert found.shown_values(0) == ("rent", "40 years")
    if method != "lime":
        # A group that is absent comes whole from one of the rows: 5 against the mean of 3 and 7.
        np.testing.assert_allclose(found.feature_values, [[0, 7.5]], atol=1e-5)
    np.testing.assert_array_equal(found.features, [[0, 1, 0, 0]])


def test_columns_can_still_be_players(model):
    found = xaionnx.explain(model, X, "exact_shapley", 0, baseline=0, features="elements")
    np.testing.assert_allclose(found.feature_values, [[0, 20, 5, 0]])
    assert found.feature_names == tuple(COLUMNS)


def test_groups_need_a_spec_that_names_them(tmp_path):
    (tmp_path / "m.onnx").write_bytes(parsed(TEXT).SerializeToString())
    with pytest.raises(ParameterError, match=r"features='groups' needs a spec that names them.*\[input\.groups\]"):
        xaionnx.explain(tmp_path / "m.onnx", X, "exact_shapley", 0, features="groups", baseline=0)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"groups": {"a": ["b"]}}, UnknownNameError, "No column named 'b'"),
        ({"groups": {"a": ["age"], "b": ["age"]}}, ParameterError, "'age' is in the groups 'a' and 'b'. Leave it in"),
        ({"groups": {"age": ["home_own"]}}, ParameterError, "'age' has the name of a column outside it"),
        ({"groups": {"a": []}}, ParameterError, "a list of at least one column"),
        ({"groups": 3}, ParameterError, "a mapping of names to lists of columns"),
        ({"units": {"b": "m"}}, UnknownNameError, "No column named 'b'"),
        ({"units": {"age": 3}}, ParameterError, "must be a printable str. Got 3"),
    ],
)
def test_faulty_groups_and_units(fields, error, message):
    with pytest.raises(error) as refused:
        InputSpec(kind="table", columns=COLUMNS, **fields)
    assert message in str(refused.value)


def test_groups_and_units_in_a_file(tmp_path):
    (tmp_path / "m.toml").write_text(
        '[input]\nkind = "table"\ncolumns = ["a_x", "a_y", "b"]\n[input.groups]\na = ["a_x", "a_y"]\n'
        '[input.units]\nb = "DM"\n'
    )
    spec = InputSpec.read(tmp_path / "m.toml")
    assert (spec.groups, spec.units) == ({"a": ("a_x", "a_y")}, {"b": "DM"})


def test_a_group_of_inputs_of_one_column_each_is_one_player(tmp_path):
    text = """g (float[N,1] street, float[N,1] town, float[N,1] area) => (float[N,1] y) <float two = {2}> {
        product = Mul(street, town)
        twice = Mul(area, two)
        y = Add(product, twice)
    }"""
    (tmp_path / "m.onnx").write_bytes(parsed(text).SerializeToString())
    (tmp_path / "m.toml").write_text(
        '[input]\nkind = "table"\n[input.groups]\naddress = ["street", "town"]\n[input.units]\narea = "m²"\n'
    )
    model = Model.load(tmp_path / "m.onnx")
    row = {"area": 30.0, "street": 2.0, "town": 5.0}
    for method in ("exact_shapley", "kernel_shap", "feature_ablation", "shapley_sampling", "lime"):
        settings = {"alpha": 0} if method == "lime" else {}
        found = xaionnx.explain(model, row, method, 0, baseline=0, **settings)
        assert found.feature_names == ("address", "area")
        np.testing.assert_allclose(found.feature_values, [[10, 60]], atol=1e-5)
        assert found.shown_values(0)[1] == "30 m²"
        by_input = [found.values[name].item() for name in ("street", "town", "area")]
        np.testing.assert_allclose(by_input, [10, 10, 60], atol=1e-5)
    alone = xaionnx.explain(model, row, "exact_shapley", 0, baseline=0, features="elements")
    np.testing.assert_allclose(alone.feature_values, [[5, 5, 60]])
    wrong = InputSpec(kind="table", groups={"address": ["street", "city"]})
    with pytest.raises(UnknownNameError, match="No column for the group 'address' named 'city'"):
        xaionnx.explain(Model.load(tmp_path / "m.onnx", spec=wrong), row, "exact_shapley", 0, baseline=0)
