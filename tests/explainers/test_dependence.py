"""Dependence: closed forms, scikit-learn's partial dependence, accumulated local effects, and grids."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.oracles import games
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.explainers.dependence import Dependence

ROWS = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)


def test_curves_of_a_linear_model_in_closed_form():
    w = np.array([1.0, -2.0, 0.5, 0.0])
    model = planted.load(planted.linear([w]))
    result = xaionnx.explain(model, ROWS, Dependence(points=9), 0)
    grid = result.maps["grid"][0]
    assert_close(grid, np.quantile(ROWS.astype(float), np.linspace(0, 1, 9), axis=0).T, Tolerance.ORDER_ONE)
    mean = ROWS.mean(axis=0)
    partial = w @ mean + w[:, None] * (grid - mean[:, None])
    assert_close(result.maps["partial_dependence"][7], partial, Tolerance.ORDER_ONE)
    assert_close(result.values, w * (ROWS - grid.mean(axis=1)), Tolerance.ORDER_ONE)
    # Of a linear model the effect is the slope times the distance; its mean over bins' middles is 0.
    slopes = np.diff(result.maps["ale"][0], axis=1) / np.diff(grid, axis=1)
    assert_close(slopes, np.repeat(w[:, None], 8, axis=1), Tolerance.SIGNED_LAYERS)
    assert result.diagnostics["evaluations"] == [1 + 4 * 9] * 200
    # Given as the background, the rows say the same for one of them alone.
    alone = xaionnx.explain(model, ROWS[:1], Dependence(points=9, background=ROWS), 0)
    assert_close(alone.values[0], result.values[0], Tolerance.ORDER_ONE)


def test_partial_dependence_is_that_of_scikit_learn():
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.inspection import partial_dependence

    model = games.loaded(4, seed=2)

    class Estimator(RegressorMixin, BaseEstimator):
        def fit(self, x, y):
            self.fitted_ = True
            return self

        def predict(self, x):
            return model.run({"x": np.asarray(x, np.float32)})["y"][:, 1].astype(float)

    result = xaionnx.explain(model, ROWS, Dependence(points=7), 1)
    for j in range(4):
        expected = partial_dependence(
            Estimator().fit(ROWS, None),
            ROWS,
            [j],
            kind="both",
            method="brute",
            custom_values={j: result.maps["grid"][0, j]},
        )
        assert_close(result.maps["partial_dependence"][0, j], expected["average"][0], Tolerance.SIGNED_LAYERS)
        assert_close(result.maps["ice"][:, j], expected["individual"][0], Tolerance.SIGNED_LAYERS)


def test_accumulated_local_effects_by_hand():
    """Against the definition with loops, for a product of dependent columns, where partial dependence is wrong."""
    rng = np.random.default_rng(3)
    first = rng.uniform(size=500)
    rows = np.stack([first, first + 0.01 * rng.normal(size=500)], axis=1).astype(np.float32)
    model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))
    result = xaionnx.explain(model, rows, Dependence(points=11), 0)
    edges = result.maps["grid"][0, 0]
    effects, counts = np.zeros(10), np.zeros(10)
    for a, b in rows.astype(float):
        k = min(max(int(np.searchsorted(edges, a)), 1), 10)
        effects[k - 1] += (edges[k] - edges[k - 1]) * b
        counts[k - 1] += 1
    curve = np.concatenate([[0], np.cumsum(effects / counts)])
    curve -= counts @ (curve[1:] + curve[:-1]) / (2 * 500)
    assert_close(result.maps["ale"][0, 0], curve, Tolerance.SIGNED_LAYERS)
    # d(x y)/dx = y is about x, so the effect is about x^2 / 2; partial dependence is a line.
    squared = edges**2 / 2
    shape = result.maps["ale"][0, 0] - squared
    assert np.ptp(shape) < 0.03
    bent = np.diff(result.maps["partial_dependence"][0, 0], n=1) / np.diff(edges)
    assert np.ptp(bent) < 1e-3


def test_grids_of_words_and_of_few_values():
    model = Model.load("models/german_credit_forest.onnx")
    rows = model.read("models/data/german_credit.csv").arrays[model.input().name]
    result = xaionnx.explain(model, rows[:20], Dependence(background=rows, points=6))
    columns = list(model.spec.columns)
    purpose, liable = (
        columns.index("purpose"),
        columns.index("number_of_people_being_liable_to_provide_maintenance_for"),
    )
    assert np.isnan(result.maps["grid"][0, purpose]).all()
    assert np.isfinite(result.maps["ice"][0, purpose]).all()
    assert np.isnan(result.maps["ale"][0, purpose]).all()
    assert result.maps["grid"][0, liable, :2].tolist() == [1, 2]
    assert np.isnan(result.maps["ice"][0, liable, 2:]).all()
    # By hand, for the first two words of one row.
    values, counts = np.unique(rows[:, purpose], return_counts=True)
    changed = np.repeat(rows[:1], 2, axis=0)
    changed[:, purpose] = values[np.argsort(-counts, kind="stable")[:2]]
    scores = np.asarray(model.run({model.input().name: changed})[model.output().name])
    assert_close(result.maps["ice"][0, purpose, :2], scores[:, 1], Tolerance.ORDER_ONE)


def test_parts_of_pictures_take_those_of_other_pictures():
    weights = np.zeros((1, 1, 4, 4))
    weights[0, 0, :2, :2] = 1
    model = planted.load(planted.linear(weights))
    others = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    x = np.ones((1, 1, 4, 4), np.float32)
    result = xaionnx.explain(model, x, Dependence(background=others, features="grid:2"), 0)
    assert_close(result.feature_values[0, 0], 4 - others[:, 0, :2, :2].sum(axis=(1, 2)).mean(), Tolerance.ORDER_ONE)
    assert_close(result.feature_values[0, 1:], 0, Tolerance.ORDER_ONE)


@pytest.mark.parametrize("points", [2, 5])
def test_a_curve_survives_its_file(tmp_path, points):
    model = planted.load(planted.linear([[1.0, 2.0]]))
    result = xaionnx.explain(model, ROWS[:9, :2], Dependence(points=points), 0)
    again = xaionnx.Explanation.load(result.save(tmp_path / "curves.npz"))
    for key in ("grid", "ice", "partial_dependence", "ale"):
        np.testing.assert_array_equal(again.maps[key], result.maps[key])
