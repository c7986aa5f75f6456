"""Conditional expectations by the background rows nearest in the present columns."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx import InputSpec
from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features
from xaionnx.perturb.neighbours import Neighbours
from xaionnx.perturb.removal import Select
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
