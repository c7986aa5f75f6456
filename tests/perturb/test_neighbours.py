"""Conditional expectations by the background rows nearest in the present columns."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.oracles import games
from xaionnx import InputSpec
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.feature_removal import Select
from xaionnx.perturb.features import Features
from xaionnx.perturb.neighbours import Neighbours
from xaionnx.render.captions import made_by

X = np.float32([[1.0, 0.5], [-0.5, 0.8]])
CORRELATION = 0.8


@pytest.fixture(scope="module")
def rows():
    covariance = [[1, CORRELATION], [CORRELATION, 1]]
    return np.random.default_rng(0).multivariate_normal([0, 0], covariance, size=3000).astype(np.float32)


def conditional(x):
    """The Shapley values of 3 a + b, where a and b are standard normal and correlated: E[b | a] = 0.8 a."""
    a, b = x
    first, second, both = 3 * a + CORRELATION * a, b + 3 * CORRELATION * b, 3 * a + b
    return [(first + both - second) / 2, (second + both - first) / 2]


@pytest.mark.parametrize("method", ["exact_shapley", "kernel_shap"])
def test_a_linear_model_of_correlated_columns(rows, method):
    model = planted.load(planted.linear([[3.0, 1.0]]))
    settings = {"background": rows, "background_size": 3000}
    found = xaionnx.explain(model, X, method, 0, expectation="conditional", neighbours=100, **settings)
    np.testing.assert_allclose(found.feature_values, [conditional(x) for x in X], atol=0.12)
    # Nothing is present: the mean over all rows.
    np.testing.assert_allclose(found.baseline_prediction, (rows @ [3, 1]).mean(), atol=1e-4)
    alone = xaionnx.explain(model, X[1:], method, 0, expectation="conditional", neighbours=100, **settings)
    np.testing.assert_array_equal(alone.feature_values, found.feature_values[1:])
    usual = xaionnx.explain(model, X, method, 0, **settings)
    np.testing.assert_allclose(usual.feature_values, (X - rows.mean(axis=0)) * [3, 1], atol=1e-3)
    # With all rows as neighbours it is the same.
    same = xaionnx.explain(model, X, method, 0, expectation="conditional", neighbours=3000, **settings)
    np.testing.assert_allclose(same.feature_values, usual.feature_values, atol=1e-5)
    assert found.provenance["parameters"]["neighbours"] == 100
    assert "the 100 nearest in what is present" in made_by(found.sample(0))


COLUMNS = 4


class Slowly:
    """The game of a row in plain Python: the mean over the background rows nearest in what is present."""

    def __init__(self, model, x, rows, count):
        self.x, self.rows, self.count = x, rows, count
        self._model, self._output, self._name = model, model.output().name, model.input().name
        self._spread = [math.sqrt(sum((r - sum(c) / len(c)) ** 2 for r in c) / len(c)) for c in rows.T.tolist()]

    def near(self, present):
        """The rows that count, with their weights: those at the same distance share theirs."""
        far = [sum(((row[k] - self.x[k]) / self._spread[k]) ** 2 for k in present) for row in self.rows]
        weights, left = [0.0] * len(far), self.count
        for distance in sorted({round(d, 6) for d in far}):
            tied = [n for n, d in enumerate(far) if abs(d - distance) < 1e-5]
            for n in tied:
                weights[n] = min(left, len(tied)) / len(tied) / self.count
            left -= len(tied)
            if left <= 0:
                return weights
        return weights

    def __call__(self, present):
        total = 0.0
        for row, weight in zip(self.rows, self.near(present), strict=True):
            if weight:
                mixed = [self.x[k] if k in present else row[k] for k in range(COLUMNS)]
                found = self._model.run({self._name: np.float32([mixed])}, [self._output])[self._output]
                total += weight * float(found[0, 0])
        return total

    def marginals(self, player):
        """The difference that a player makes to each coalition of the others, by their number."""
        others = [k for k in range(COLUMNS) if k != player]
        for size in range(COLUMNS):
            for some in combinations(others, size):
                yield size, self({*some, player}) - self({*some})


def _ablation(v):
    whole = {*range(COLUMNS)}
    return [v(whole) - v(whole - {k}) for k in range(COLUMNS)]


def _shapley(v):
    each = [list(v.marginals(k)) for k in range(COLUMNS)]
    return [sum(d / (COLUMNS * math.comb(COLUMNS - 1, size)) for size, d in own) for own in each]


def _banzhaf(v):
    return [np.mean([d for _, d in v.marginals(k)]) for k in range(COLUMNS)]


def _lime(v):
    """The weighted least squares of all coalitions."""
    codes = np.array([[row >> k & 1 for k in range(COLUMNS)] for row in range(2**COLUMNS)])
    weights = np.exp(-((1 - np.sqrt(codes.mean(axis=1))) ** 2) / (2 * 0.25**2))
    table = np.column_stack([np.ones(len(codes)), codes])
    values = np.array([v({*np.flatnonzero(code).tolist()}) for code in codes])
    return np.linalg.solve(table.T @ (weights[:, None] * table), table.T @ (weights * values))[1:]


def _occlusion(v):
    """Windows of two columns: each column has the mean of the drops of those over it."""
    whole = {*range(COLUMNS)}
    drops = [v(whole) - v(whole - {k, k + 1}) for k in range(COLUMNS - 1)]
    return [np.mean(drops[max(0, k - 1) : k + 1]) for k in range(COLUMNS)]


@pytest.mark.parametrize(
    ("method", "oracle", "settings"),
    [
        ("feature_ablation", _ablation, {}),
        ("shapley_sampling", _shapley, {"budget": 10_000}),
        ("exact_shapley", _shapley, {}),
        ("kernel_shap", _shapley, {"budget": 10_000}),
        ("banzhaf", _banzhaf, {"budget": 10_000}),
        ("lime", _lime, {"alpha": 0, "budget": 10_000}),
        ("occlusion", _occlusion, {"window": 2, "stride": 1}),
        ("partition_shap", _shapley, {"hierarchy": "flat", "budget": 10_000}),
    ],
)
def test_methods_against_the_game_by_its_definition(method, oracle, settings):
    rng = np.random.default_rng(3)
    # Rounded, so that rows are at the same distance.
    rows = np.round(rng.normal(size=(30, COLUMNS)), 0).astype(np.float32)
    x = np.round(rng.normal(size=(3, COLUMNS)), 0).astype(np.float32)
    model = games.loaded(COLUMNS, seed=5)
    found = xaionnx.explain(model, x, method, 0, background=rows, expectation="conditional", neighbours=4, **settings)
    for n in range(len(x)):
        np.testing.assert_allclose(found.values[n], oracle(Slowly(model, x[n], rows, 4)), rtol=1e-4, atol=1e-5)


def test_only_near_rows_are_evaluated():
    rng = np.random.default_rng(3)
    rows, x = rng.normal(size=(50, COLUMNS)).astype(np.float32), rng.normal(size=(2, COLUMNS)).astype(np.float32)
    model = games.loaded(COLUMNS, seed=5)
    found = xaionnx.explain(model, x, "exact_shapley", 0, background=rows, expectation="conditional", neighbours=6)
    # The input; nobody, of whom all rows are as near; and 14 coalitions.
    assert found.diagnostics["evaluations"] == [1 + 50 + 14 * 6] * 2


@pytest.mark.parametrize("length", [4, 1030])
def test_long_rows_are_evaluated_as_short_ones(length):
    rng, model = np.random.default_rng(1), planted.load(planted.linear(rng_weights(length)))
    rows, x = rng.normal(size=(12, length)).astype(np.float32), rng.normal(size=(2, length)).astype(np.float32)
    labels = np.arange(length) % COLUMNS
    found = xaionnx.explain(
        model, x, "exact_shapley", 0, background=rows, expectation="conditional", neighbours=3, features=labels
    )
    spread, weights = rows.std(axis=0), rng_weights(length)[0]
    for n, row in enumerate(x):
        values = {}
        for code in range(2**COLUMNS):
            present = (code >> labels & 1).astype(bool)
            far = np.square((rows - row) / spread)[:, present].sum(axis=1)
            near = rows[np.argsort(far, kind="stable")[:3]] if code else rows
            values[frozenset(k for k in range(COLUMNS) if code >> k & 1)] = float(
                (np.where(present, row, near) @ weights).mean()
            )
        np.testing.assert_allclose(found.feature_values[n], games.shapley(values, COLUMNS), rtol=1e-3, atol=1e-4)
    assert found.diagnostics["evaluations"] == [1 + 12 + 14 * 3] * 2


def rng_weights(length):
    return [np.random.default_rng(2).normal(size=length).astype(np.float32).tolist()]


def test_weights_by_standardised_distance_with_ties_shared():
    spec = InputSpec(kind="table", columns=("age", "home"), categories={"home": ("rent", "own", "free")})
    background = np.float32([[20, 0], [30, 1], [30, 2], [60, 1]])
    sample = Sample({"x": np.float32([31, 1])}, "x", spec)
    removal = Select(sample, Features.elements().players(sample), {"x": background})
    codes = np.array([[False, False], [True, False], [False, True], [True, True]])
    np.testing.assert_allclose(
        Neighbours(removal, 2).weights(codes),
        [[0.25] * 4, [0, 0.5, 0.5, 0], [0, 0.5, 0, 0.5], [0.25 * 0, 0.5, 0.5, 0]],
    )
    # By words a row differs or it does not: rent is no nearer to own than free is.
    np.testing.assert_allclose(Neighbours(removal, 3).weights(codes[2:3]), [[1 / 6, 1 / 3, 1 / 6, 1 / 3]])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("kernel_shap", {"baseline": 0}),
        ("kernel_shap", {"background_reduction": "kmeans", "background_size": 5}),
        ("lime", {"neighbourhood": "bins"}),
        ("anchors", {}),
        ("sobol", {}),
    ],
)
def test_it_is_refused_where_it_makes_no_sense(rows, method, settings):
    model = planted.load(planted.linear([[3.0, 1.0]]))
    settings = settings if "baseline" in settings else {"background": rows[:20], **settings}
    with pytest.raises(ParameterError, match="expectation='conditional' needs"):
        xaionnx.explain(model, X[:1], method, 0, expectation="conditional", **settings)


def test_pictures_have_no_columns():
    photos = np.zeros((3, 1, 8, 8), np.float32)
    with pytest.raises(ParameterError, match="needs the columns of a table to be the features"):
        xaionnx.explain(
            "models/digits_cnn.onnx", photos[:1], "kernel_shap", 0, background=photos, expectation="conditional"
        )
