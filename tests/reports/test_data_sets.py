"""What people met with effects, partial dependence, permutation importance, anchors and Owen values."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx.explainers.anchors import Anchors
from xaionnx.explainers.dependence import Dependence
from xaionnx.explainers.feature_permutation import FeaturePermutation

REPORTS = tomllib.loads(Path(__file__).with_name("methods.toml").read_text(encoding="utf-8"))["report"]


def explained(first, **more):
    """The curves of 2 a + b."""
    b = np.random.default_rng(0).normal(size=len(first))
    rows = np.stack([first, b], axis=1).astype(np.float32)
    return xaionnx.explain(planted.load(planted.linear([[2.0, 1.0]])), rows, Dependence(**more), 0)


def test_every_report_has_tests_here():
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


def test_a_constant_column_has_no_effect():
    found = explained(np.full(50, 7.0))
    assert found.maps["ale"][0, 0, 0] == 0
    assert np.isnan(found.maps["ale"][0, 0, 1:]).all()
    assert found.values[0, 0] == 0


def test_a_column_of_mostly_one_number_has_its_effect():
    column = np.where(np.arange(200) < 180, 999.0, np.arange(200))
    found = explained(column, points=5)
    grid, effect = found.maps["grid"][0, 0], found.maps["ale"][0, 0]
    known = np.isfinite(grid)
    assert grid[known].tolist()[0] == 180
    assert grid[known].tolist()[-1] == 999
    assert_close(np.diff(effect[known]), 2 * np.diff(grid[known]), Tolerance.SIGNED_LAYERS)


def test_missing_numbers_are_no_points():
    """A model that takes 5 for a missing number."""
    model = loaded(
        "g (float[N, 2] x) => (float[N, 1] y) { m = IsNaN(x)  f = Constant<value = float {5.0}>()  z = Where(m, f, x) "
        "w = Constant<value = float[2, 1] {2.0, 1.0}>()  y = MatMul(z, w) }"
    )
    rows = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    rows[::4, 0] = np.nan
    found = xaionnx.explain(model, rows, Dependence(points=6), 0)
    grid = found.maps["grid"][0, 0]
    assert np.isfinite(grid).all()
    assert_close(found.maps["partial_dependence"][0, 0], 2 * grid + rows[:, 1].mean(), Tolerance.SIGNED_LAYERS)
    assert_close(np.diff(found.maps["ale"][0, 0]), 2 * np.diff(grid), Tolerance.SIGNED_LAYERS)
    # The other column's curve is a mean over the rows with gaps too.
    mean = np.where(np.isnan(rows[:, 0]), 5, rows[:, 0]).mean()
    assert_close(found.maps["partial_dependence"][0, 1], found.maps["grid"][0, 1] + 2 * mean, Tolerance.SIGNED_LAYERS)


def test_two_points_and_two_classes():
    rows = np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32)
    model = planted.load(planted.linear([[1.0, 0.0], [-1.0, 3.0]]))
    found = xaionnx.explain(model, rows, Dependence(points=2), [0, 1])
    assert found.maps["partial_dependence"].shape == (2, 1, 2, 2)
    ends = np.stack([rows.min(axis=0), rows.max(axis=0)], axis=1)
    mean = rows.mean(axis=0)
    assert_close(found.maps["partial_dependence"][0, 0, 0], ends[0], Tolerance.ORDER_ONE)
    assert_close(found.maps["partial_dependence"][1, 0, 1], 3 * ends[1] - mean[0], Tolerance.ORDER_ONE)


WORDS = """g (string[N, 1] housing, float[N, 1] age) => (float[N, 1] y) {
    own = Constant<value_string = "own">()  o = Equal(housing, own)  f = Cast<to = 1>(o)  y = Add(f, age) }"""


def of_words():
    housing = np.array(["own", "rent", "own", "", "own", "rent"], dtype=object)[:, None]
    return {"housing": housing, "age": np.arange(6, dtype=np.float32)[:, None]}


def test_words_are_points():
    found = xaionnx.explain(loaded(WORDS, opset=19, ir=9), of_words(), "dependence", 0)
    assert found.provenance["grid_words"] == {"0": ["own", "rent", "missing"]}
    assert_close(found.maps["partial_dependence"][0, 0, :3], [3.5, 2.5, 2.5], Tolerance.ORDER_ONE)
    assert_close(found.maps["share"][0, 0, :3], [1 / 2, 1 / 3, 1 / 6], Tolerance.ORDER_ONE)


def test_effects_of_words_have_the_mean_zero():
    effects = xaionnx.explain(loaded(WORDS, opset=19, ir=9), of_words(), "dependence", 0).maps["ale"][0, 0, :3]
    assert_close(effects @ [3, 2, 1] / 6, 0, Tolerance.ORDER_ONE)
    assert_close(effects - effects[0], [0, -1, -1], Tolerance.ORDER_ONE)


def test_a_pair_with_a_constant_column():
    found = explained(np.full(50, 7.0), pairs=[(0, 1)], pair_points=4)
    assert np.isnan(found.maps["pair_ale"]).all()
    grid = found.maps["pair_grid"][0, 0, 1]
    assert_close(found.maps["pair_partial_dependence"][0, 0, 0], 14 + grid, Tolerance.ORDER_ONE, 14)


def test_coverage_is_that_of_all_conditions():
    rows = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    model = planted.load(planted.polynomial(3, {(0, 1): 1.0}))
    found = xaionnx.explain(model, np.float32([[2, 2, 0]]), Anchors(background=rows, threshold=0.4))
    assert found.diagnostics["anchor"] == [[[0, 1]]]
    high = np.percentile(rows[:, :2].astype(float), 75, axis=0)
    assert found.diagnostics["coverage"] == [[((rows[:, :2] > high).all(axis=1)).mean()]]


def test_correlated_columns_are_permuted_together():
    a, b = np.random.default_rng(0).normal(size=(2, 300))
    rows = np.stack([a, b, -(a**3)], axis=1).astype(np.float32)
    model = planted.load(planted.linear([[1.0, 1.0, 0.0]]))
    given = {"metric": "r2", "labels": a + b, "draws": 3, "correlated": 0.9}
    found = xaionnx.explain(model, rows, FeaturePermutation(**given))
    assert found.features.tolist() == [[0, 1, 0]]
    assert found.feature_values.shape == (1, 2)


def test_a_group_is_one_feature_among_others():
    model = planted.load(planted.polynomial(4, {(1, 2, 3): 6.0}))
    x = np.ones((1, 4), np.float32)
    found = xaionnx.explain(model, x, "partition_shap", hierarchy=np.array([0, 0, 0, 1]))
    assert found.diagnostics["groups"][0][0][1] == [[0, 1, 2], pytest.approx(3)]
    assert_close(found.values[0], [0, 1.5, 1.5, 3], Tolerance.ORDER_ONE)
    alone = xaionnx.explain(model, x, "exact_shapley")
    assert_close(alone.values[0], [0, 2, 2, 2], Tolerance.ORDER_ONE)
