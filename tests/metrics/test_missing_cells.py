"""A missing cell is missing in all neighbours of a row, which are as far away as the other cells move."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded

X = np.array([[1.0, np.nan, 2.0]], np.float32)
DRAWS = 4


@pytest.fixture(scope="module")
def model():
    """y = sum of the cells that are not missing."""
    return loaded(
        "g (float[N, 3] x) => (float[N, 1] y) { m = IsNaN(x) f = Where(m, zero, x) y = MatMul(f, w) }",
        zero=np.zeros(1, np.float32),
        w=np.ones((3, 1), np.float32),
    )


def moved():
    """The change of the row's cells in each draw, without the missing one, by the definition of the neighbours."""
    places = np.array([np.random.default_rng([0, draw, 0]).uniform(-1, 1, 3) for draw in range(DRAWS)])
    return (0.02 * np.maximum(np.abs(X), 1) * places)[:, [0, 2]]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        # The values of the sum are the cells, so that they move as the cells do.
        ("max_sensitivity", np.linalg.norm(moved(), axis=1).max() / np.sqrt(5)),
        ("average_sensitivity", np.linalg.norm(moved(), axis=1).mean() / np.sqrt(5)),
        ("local_lipschitz", 1.0),
        ("relative_input_stability", 1.0),
        ("relative_output_stability", (np.linalg.norm(moved() / [1, 2], axis=1) / np.abs(moved().sum(axis=1))).max()),
    ],
)
def test_of_a_sum(model, metric, expected):
    scores = xaionnx.evaluate(model, X, "feature_ablation", metric, 0, controls=(), draws=DRAWS)
    np.testing.assert_allclose(scores.values, [expected], rtol=1e-4)


def test_infidelity_of_noise(model):
    """The noise of a missing cell moves nothing: the slopes of the sum, 1 and 1, explain every change."""
    scores = xaionnx.evaluate(
        model, X, np.array([[1.0, 5.0, 1.0]]), "gaussian_infidelity", 0, controls=(), scaled=False
    )
    np.testing.assert_allclose(scores.values, [0], atol=1e-9)
