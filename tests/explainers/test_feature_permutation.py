"""Feature permutation against ablation by hand, and as an importance over labelled data."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features, Model, Target
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.explainers.feature_permutation import FeaturePermutation

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_two_samples_take_the_values_of_each_other():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0], [0.0, 1.0, 1.0]]))
    found = xaionnx.explain(model, X[:2], FeaturePermutation(draws=3), [0, 1])
    change = X[:2] - X[1::-1]
    assert_close(found.values, np.array([[[1, 2, -3]], [[0, 1, 1]]]) * change, Tolerance.ORDER_ONE)
    assert found.diagnostics["evaluations"] == [1 + 3 * 3] * 2
    assert found.baseline_prediction is None


def test_every_value_is_that_of_another_sample_and_each_is_used_once(curved):
    """The change of a linear model names the sample that a value was taken from."""
    linear = planted.load(planted.linear([[1.0, 1.0, 1.0]]))
    donors = []
    for seed in range(4):
        found = xaionnx.explain(linear, X, FeaturePermutation(seed=seed), 0)
        taken = X[:, None] - found.values[:, None]  # (N, 1, F), compared with the donors (1, N, F)
        near = np.abs(taken - X[None]) < 1e-5
        assert (near.sum(axis=1) == 1).all()
        donors.append(near.argmax(axis=1))
        assert (donors[-1] != np.arange(5)[:, None]).all()
        assert (np.sort(donors[-1], axis=0) == np.arange(5)[:, None]).all()
    assert len({each.tobytes() for each in donors}) == 4
    # Each feature has a permutation of its own.
    assert any((each != each[:, :1]).any() for each in donors)
    # By hand, with a model that is not linear.
    found = xaionnx.explain(curved, X, FeaturePermutation(seed=3), 1)
    for n, i in np.ndindex(5, 3):
        changed = X[n].copy()
        changed[i] = X[donors[3][n, i], i]
        scores = curved.run({"x": np.stack([X[n], changed])})["y"][:, 1]
        assert_close(found.values[n, i], scores[0] - scores[1], Tolerance.ORDER_ONE)


def test_draws_are_averaged(curved):
    singles = [xaionnx.explain(curved, X, FeaturePermutation(seed=1, draws=draws), 0).values for draws in (1, 2)]
    more = xaionnx.explain(curved, X, FeaturePermutation(seed=1, draws=40), 0).values
    # Each of the four other samples is drawn about as often.
    owed = np.zeros((5, 3))
    for n, i in np.ndindex(5, 3):
        rows = np.repeat(X[n : n + 1], 5, axis=0)
        rows[:, i] = X[:, i]
        scores = curved.run({"x": rows})["y"][:, 0]
        owed[n, i] = (scores[n] - scores).sum() / 4
    far = [np.abs(values - owed).mean() for values in (*singles, more)]
    assert far[2] < 0.4 * min(far[:2])


def test_a_group_over_several_inputs_comes_from_one_sample():
    model = loaded("g (float[N, 1] a, float[N, 1] b) => (float[N, 1] y) { y = Mul(a, b) }")
    x = {"a": np.float32([[1], [2], [3]]), "b": np.float32([[10], [20], [30]])}
    groups = {"a": np.array([0]), "b": np.array([0])}
    found = xaionnx.explain(model, x, FeaturePermutation(features=groups), 0)
    products = np.array([10, 40, 90])
    taken = products - found.feature_values[:, 0]
    assert sorted(taken.tolist()) == products.tolist()
    assert (taken != products).all()


def test_rows_of_data_replace_the_batch(curved):
    rows = np.random.default_rng(5).normal(size=(20, 3)).astype(np.float32)
    kind = FeaturePermutation(donors=rows, draws=200)
    found = xaionnx.explain(curved, X[:1], kind, 0)
    owed = []
    for i in range(3):
        changed = np.repeat(X[:1], 20, axis=0)
        changed[:, i] = rows[:, i]
        scores = curved.run({"x": np.concatenate([X[:1], changed])})["y"][:, 0]
        owed.append(scores[0] - scores[1:].mean())
    np.testing.assert_allclose(found.values[0], owed, atol=0.15)
    together = xaionnx.explain(curved, X, kind, 0)
    assert_close(together.values[:1], found.values, Tolerance.ORDER_ONE)
    assert found.provenance["parameters"]["donors"]["shape"] == [20, 3]
    named = xaionnx.explain(curved, X[:1], FeaturePermutation(donors={"x": rows}, draws=200), 0)
    np.testing.assert_array_equal(named.values, found.values)


def test_the_importance_of_the_columns_of_a_forest():
    """Over real rows, permuting the columns that trees read lowers the predicted class on the mean."""
    forest = Model.load("models/german_credit_forest.onnx")
    x = forest.read("models/data/german_credit_sample.csv").arrays
    found = xaionnx.explain(forest, x, FeaturePermutation(draws=8))
    assert found.values.shape == x[forest.input().name].shape
    importance = found.values.mean(axis=0)
    assert importance.max() > 0.01
    assert importance.min() > -0.3 * importance.max()


def test_pictures_by_superpixels():
    model = Model.load("models/digits_cnn.onnx")
    x = np.random.default_rng(3).uniform(size=(3, 1, 8, 8)).astype(np.float32)
    found = xaionnx.explain(model, x, FeaturePermutation(features=Features.grid(2)), 3)
    assert found.feature_values.shape == (3, 4)
    top = np.s_[:4, :4]
    for n in range(3):
        others = []
        for m in set(range(3)) - {n}:
            changed = x[n : n + 1].copy()
            changed[0, 0][top] = x[m, 0][top]
            scores = model.run({model.input().name: np.concatenate([x[n : n + 1], changed])})[model.output().name]
            others.append(scores[0, 3] - scores[1, 3])
        assert np.abs(np.array(others) - found.feature_values[n, 0]).min() < 1e-4


def test_a_loss_as_the_target():
    model = planted.load(planted.linear([[3.0, 0.0], [0.0, 0.0]]))
    x = np.float32([[1, 5], [-1, 2], [1, 1], [-1, 0]])
    found = xaionnx.explain(model, x, FeaturePermutation(draws=8), Target.loss([0, 1, 0, 1]))
    # The first column decides the class; the second has no weight.
    assert found.values[:, 0].mean() < -0.5
    assert_close(found.values[:, 1], 0, Tolerance.ORDER_ONE)


def test_what_is_refused():
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    with pytest.raises(InputMismatchError, match=r"there is only one\. Explain several samples at once, or give rows"):
        xaionnx.explain(model, X[:1], "feature_permutation", 0)
    for rows in (3, [1.0, 2.0], np.empty((0, 3))):
        with pytest.raises(ParameterError, match="'donors' parameter of FeaturePermutation must be an array of rows"):
            FeaturePermutation(donors=rows)
    with pytest.raises(InputMismatchError, match="does not fit input 'x'"):
        xaionnx.explain(model, X, FeaturePermutation(donors=np.zeros((4, 7), np.float32)), 0)
