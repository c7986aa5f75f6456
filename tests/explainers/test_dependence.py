"""Dependence: closed forms, scikit-learn's partial dependence, accumulated local effects, grids, and the record."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.explainers.nets import U, V
from tests.oracles import ale, games
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.explainers._games.accumulated import along_words, similarity_order
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
    assert_close(result.maps["partial_dependence"][0], partial, Tolerance.ORDER_ONE)
    # The deviation of a line is that of the grid, weighted by the rows that are nearest to each point.
    for j in range(4):
        near = np.abs(ROWS[:, j, None].astype(float) - grid[j]).argmin(axis=1)
        assert_close(result.values[0, j], np.abs(w[j]) * grid[j, near].std(), Tolerance.ORDER_ONE)
        assert_close(result.maps["share"][0, j], np.bincount(near, minlength=9) / 200, Tolerance.ORDER_ONE)
        # Of a linear model all samples have the same curve, each at its own height.
        height = (ROWS @ w - w[j] * ROWS[:, j]).std()
        assert_close(result.maps["deviation"][0, j], height, Tolerance.ORDER_ONE)
    # The effect is the slope times the distance; its mean over bins' middles is 0.
    slopes = np.diff(result.maps["ale"][0], axis=1) / np.diff(grid, axis=1)
    assert_close(slopes, np.repeat(w[:, None], 8, axis=1), Tolerance.SIGNED_LAYERS)
    assert result.samples == 1
    assert result.diagnostics["samples"] == 200
    assert result.diagnostics["evaluations"] == [200 * (1 + 4 * 9)]
    assert_close(result.prediction, [(ROWS @ w).mean()], Tolerance.ORDER_ONE)
    assert result.target.tolist() == ["y[0], mean of 200 samples"]
    assert "200 samples together" in repr(result)
    # Given as the background, the rows are the grid of one of them alone.
    alone = xaionnx.explain(model, ROWS[:1], Dependence(points=9, background=ROWS), 0)
    assert_close(alone.values[0], result.values[0], Tolerance.ORDER_ONE)


def estimator(model, output):
    from sklearn.base import BaseEstimator, RegressorMixin

    class Estimator(RegressorMixin, BaseEstimator):
        def fit(self, x, y):
            self.fitted_ = True
            return self

        def predict(self, x):
            return model.run({"x": np.asarray(x, np.float32)})["y"][:, output].astype(float)

    return Estimator().fit(ROWS, None)


def test_partial_dependence_and_curves_are_those_of_scikit_learn():
    """Of one feature and of two, with every curve of a sample."""
    from sklearn.inspection import partial_dependence

    model = games.loaded(4, seed=2)
    rows = ROWS[:60]
    result = xaionnx.explain(model, rows, Dependence(points=7, pairs=[(0, 2), (3, 1)], pair_points=4), 1)
    known = {"kind": "both", "method": "brute"}
    for j in range(4):
        grid = {j: result.maps["grid"][0, j]}
        expected = partial_dependence(estimator(model, 1), rows, [j], custom_values=grid, **known)
        assert_close(result.maps["partial_dependence"][0, j], expected["average"][0], Tolerance.SIGNED_LAYERS)
        assert_close(result.maps["ice"][0, j], expected["individual"][0], Tolerance.SIGNED_LAYERS)
    assert result.provenance["ice_samples"] == list(range(60))
    assert result.provenance["pairs"] == [[0, 2], [3, 1]]
    for number, pair in enumerate([(0, 2), (3, 1)]):
        grid = dict(zip(pair, result.maps["pair_grid"][0, number], strict=True))
        expected = partial_dependence(estimator(model, 1), rows, list(pair), custom_values=grid, **known)
        found = result.maps["pair_partial_dependence"][0, number]
        assert_close(found, expected["average"][0], Tolerance.SIGNED_LAYERS)


def test_accumulated_local_effects_of_one_feature_and_of_two():
    """Against the definitions with loops; columns depend on each other, so that cells of pairs are empty."""
    rng = np.random.default_rng(3)
    first = rng.uniform(size=80)
    rows = np.stack([first, first + 0.2 * rng.normal(size=80), rng.normal(size=80)], axis=1).astype(np.float32)
    model = games.loaded(3, seed=5)
    result = xaionnx.explain(model, rows, Dependence(points=6, pairs=[(0, 1), (2, 0)], pair_points=5), 0)

    def f(row):
        return float(model.run({"x": row[None].astype(np.float32)})["y"][0, 0])

    for j in range(3):
        expected = ale.one(f, rows.astype(float), j, result.maps["grid"][0, j])
        assert_close(result.maps["ale"][0, j], expected, Tolerance.SIGNED_LAYERS)
    for number, (i, j) in enumerate([(0, 1), (2, 0)]):
        edges = result.maps["pair_grid"][0, number]
        expected = ale.two(f, rows.astype(float), i, j, *edges)
        assert_close(result.maps["pair_ale"][0, number], expected, Tolerance.SIGNED_LAYERS)


def test_effects_of_dependent_columns_where_partial_dependence_is_wrong():
    rng = np.random.default_rng(3)
    first = rng.uniform(size=500)
    rows = np.stack([first, first + 0.01 * rng.normal(size=500)], axis=1).astype(np.float32)
    model = planted.load(planted.polynomial(2, {(0, 1): 1.0}))
    result = xaionnx.explain(model, rows, Dependence(points=11, pairs=[(0, 1)], pair_points=11), 0)
    edges = result.maps["grid"][0, 0]
    # d(x y)/dx = y is about x, so the effect is about x^2 / 2; partial dependence is a line.
    assert np.ptp(result.maps["ale"][0, 0] - edges**2 / 2) < 0.03
    assert np.ptp(np.diff(result.maps["partial_dependence"][0, 0]) / np.diff(edges)) < 1e-3
    # On the diagonal x y - x^2/2 - y^2/2 = -(x - y)^2/2 is nothing.
    assert np.abs(np.diag(result.maps["pair_ale"][0, 0])).max() < 0.02


def test_effects_of_words_go_from_neighbour_to_neighbour():
    """Words in the order of another column, whatever their codes; each step is a mean over those who have either."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 4, 400)
    other = place + 0.3 * rng.normal(size=400)
    codes = np.array([2, 0, 3, 1])[place]
    order = similarity_order(codes, 4, [(other, True)])
    assert order.tolist() in ([2, 0, 3, 1], [1, 3, 0, 2])
    values = np.array([10.0, 20.0, 40.0, 80.0])[None] + other[:, None]
    effects = along_words(order, codes, values)
    assert_close(np.diff(effects), [10, 20, 40], Tolerance.ORDER_ONE, 80)
    assert_close(effects[codes].mean(), 0, Tolerance.ORDER_ONE, 80)
    assert np.isnan(along_words(order, np.zeros(9, int), values[:9])[1:]).sum() >= 1


def test_grids_of_words_and_of_few_values():
    model = Model.load("models/german_credit_forest.onnx")
    rows = model.read("models/data/german_credit.csv")
    given = rows.arrays[model.input().name]
    result = xaionnx.explain(model, given[:20], Dependence(background=given, points=6), 1)
    columns = list(result.feature_names)
    purpose = columns.index("purpose")
    liable = columns.index("number_of_people_being_liable_to_provide_maintenance_for")
    assert np.isnan(result.maps["grid"][0, purpose]).all()
    assert result.maps["grid"][0, liable, :2].tolist() == [1, 2]
    assert np.isnan(result.maps["ice"][0, liable, :, 2:]).all()
    assert result.provenance["grid_words"][str(purpose)][0] == "radio/television"
    assert np.isfinite(result.maps["ale"][0, purpose]).any()
    assert np.isfinite(result.maps["rug"][0, columns.index("age_in_years")]).all()
    # By hand, for the first two words of one row.
    values, counts = np.unique(given[:, purpose], return_counts=True)
    changed = np.repeat(given[:1], 2, axis=0)
    changed[:, purpose] = values[np.argsort(-counts, kind="stable")[:2]]
    scores = np.asarray(model.run({model.input().name: changed})[model.output().name])
    assert_close(result.maps["ice"][0, purpose, 0, :2], scores[:, 1], Tolerance.ORDER_ONE)
    assert_close(result.maps["share"][0, purpose, 0], counts.max() / np.sort(counts)[-6:].sum(), Tolerance.ORDER_ONE)


def test_one_target_for_all_samples():
    """Without a target it is the most frequent top class."""
    model = planted.load(planted.linear([[1.0, 0.0], [-1.0, 0.0]]))
    rows = np.float32([[1, 0], [2, 0], [-1, 0]])
    result = xaionnx.explain(model, rows, "dependence")
    assert result.target.tolist() == ["y[0], mean of 3 samples"]
    assert_close(result.prediction, [2 / 3], Tolerance.ORDER_ONE)
    several = xaionnx.explain(model, rows, "dependence", [0, 1])
    assert several.target.shape == (2, 1)
    assert_close(several.maps["partial_dependence"][1], -several.maps["partial_dependence"][0], Tolerance.ORDER_ONE)


def test_parts_of_pictures_take_those_of_other_pictures():
    weights = np.zeros((1, 1, 4, 4))
    weights[0, 0, :2, :2] = 1
    model = planted.load(planted.linear(weights))
    others = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    x = np.ones((1, 1, 4, 4), np.float32)
    result = xaionnx.explain(model, x, Dependence(background=others, features="grid:2"), 0)
    assert_close(result.feature_values[0, 0], others[:, 0, :2, :2].sum(axis=(1, 2)).std(), Tolerance.ORDER_ONE)
    assert_close(result.feature_values[0, 1:], 0, Tolerance.ORDER_ONE)


def test_curves_at_a_layer_are_those_of_the_part_after_it(curved):
    h = curved.with_outputs(["h"]).run({"x": ROWS[:9, :3]}, ["h"])["h"]
    after = loaded("g (float[N, 4] h) => (float[N, 2] y) { b = MatMul(h, U)  c = Tanh(b)  y = MatMul(c, V) }", U=U, V=V)
    found = xaionnx.explain(curved, ROWS[:9, :3], Dependence(layer="h", pairs=[(0, 3)]), [0, 1])
    owed = xaionnx.explain(after, h, Dependence(pairs=[(0, 3)]), [0, 1])
    assert_close(found.values, owed.values, Tolerance.DEEP)
    for key, array in owed.maps.items():
        assert_close(found.maps[key], array, Tolerance.DEEP)
    assert found.diagnostics["evaluations"] == owed.diagnostics["evaluations"]
    assert found.provenance["layer"]["name"] == "h"


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (7, 2)])
def test_batch_size_and_threads_change_nothing(size, threads):
    proto = planted.polynomial(4, {(0, 1): 1.0, (2,): 3.0, (1, 2, 3): 2.0})
    reference, other = (
        xaionnx.explain(planted.load(proto, **options), ROWS[:30], Dependence(pairs=[(0, 1)]))
        for options in ({"batch_size": 64, "threads": 1}, {"batch_size": size, "threads": threads})
    )
    for key, array in reference.maps.items():
        assert_close(other.maps[key], array, Tolerance.DEEP)


@pytest.mark.parametrize("points", [2, 5])
def test_a_curve_survives_its_file(tmp_path, points):
    model = planted.load(planted.linear([[1.0, 2.0]]))
    result = xaionnx.explain(model, ROWS[:9, :2], Dependence(points=points, pairs=[(0, 1)]), 0)
    again = xaionnx.Explanation.load(result.save(tmp_path / "curves.npz"))
    for key in result.maps:
        np.testing.assert_array_equal(again.maps[key], result.maps[key])


def test_what_is_refused():
    model = planted.load(planted.linear([[1.0, 2.0]]))
    with pytest.raises(InputMismatchError, match=r"there is only one sample. Explain several samples at once, or give"):
        xaionnx.explain(model, ROWS[:1, :2], "dependence", 0)
    for pairs in (3, [], [(0,)], [(0, 1.5)]):
        with pytest.raises(ParameterError, match=r"'pairs' parameter must be a list of pairs of features"):
            Dependence(pairs=pairs)
    with pytest.raises(ParameterError, match=r"of two features each. Got 'x\[1\]' twice"):
        xaionnx.explain(model, ROWS[:5, :2], Dependence(pairs=[(1, "1")]), 0)
    with pytest.raises(UnknownNameError, match=r"No feature named '7'"):
        xaionnx.explain(model, ROWS[:5, :2], Dependence(pairs=[(0, 7)]), 0)
