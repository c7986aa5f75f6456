"""Total Sobol indices against published numbers, the definition, and their own standard errors."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.oracles import sobol as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features
from xaionnx.errors import BudgetError, InputMismatchError, ParameterError
from xaionnx.explainers.sobol import Sobol

PI = np.full((1, 3), np.pi, dtype=np.float32)
# Of U(-pi, pi)^3 with a = 7, b = 0.1: published, and in closed form.
ISHIGAMI_TOTAL, ISHIGAMI_FIRST = (0.55759, 0.44241, 0.24368), (0.31391, 0.44241, 0.0)


@pytest.fixture(scope="module")
def ishigami():
    return planted.load(planted.ishigami())


def test_published_indices_of_ishigami(ishigami):
    result = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, budget=2**16 * 5 + 1))
    np.testing.assert_allclose(result.values[0], ISHIGAMI_TOTAL, atol=5e-4)
    np.testing.assert_allclose(result.diagnostics["first_order"][0][0], ISHIGAMI_FIRST, atol=1e-3)
    assert result.diagnostics["points"] == [2**16]
    # a^2/8 + b pi^4/5 + b^2 pi^8/18 + 1/2
    variance = 49 / 8 + 0.1 * np.pi**4 / 5 + 0.01 * np.pi**8 / 18 + 0.5
    assert_close(result.diagnostics["variance"][0][0], variance, Tolerance.QUOTIENTS)


def test_a_model_without_interactions_shares_its_variance():
    weights, x = np.array([[1.0, 2.0, -3.0, 0.0]]), np.array([[2.0, 1.0, 0.5, 7.0]], np.float32)
    result = xaionnx.explain(planted.load(planted.linear(weights)), x, Sobol(budget=2**10 * 6 + 1))
    effects = np.square(weights[0] * x[0])
    np.testing.assert_allclose(result.feature_values[0], effects / effects.sum(), atol=2e-3)
    np.testing.assert_allclose(result.diagnostics["first_order"][0][0], effects / effects.sum(), atol=2e-2)
    assert result.feature_values[0, 3] == 0


def test_the_definition_on_a_trained_model(digits):
    x = np.random.default_rng(0).normal(size=(1, 1, 28, 28)).astype(np.float32)
    labels = np.add.outer(np.arange(28) // 14, np.zeros(28, int))
    labels[:, 20:] = 2

    def f(points):
        return digits.run({digits.input().name: x * points.astype(np.float32)[:, labels][:, None]})["logits"][:, 5]

    expected = oracle.total_indices(f, 3, 10)
    result = xaionnx.explain(digits, x, Sobol(features=labels, budget=2**9 * 5 + 1), 5)
    # The grid of the definition has steps of 1/10, so two digits are correct.
    np.testing.assert_allclose(result.feature_values[0], expected, atol=0.03)


def test_standard_errors_cover_what_repetitions_show(ishigami):
    results = [xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, seed=seed)) for seed in range(40)]
    off = np.array([r.feature_values[0] for r in results]) - ISHIGAMI_TOTAL
    claimed = np.array([r.standard_error[0] for r in results])
    assert (np.abs(off) < 4 * claimed).all()
    # Scrambled points are more even than independent ones, so the standard errors are upper bounds, but not loose ones.
    ratio = off.std(axis=0) / claimed.mean(axis=0)
    assert (ratio < 1).all()
    assert ratio.max() > 0.05


def test_tolerance_ends_it_early_and_is_kept(ishigami):
    result = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, budget=100_000, tolerance=0.05))
    assert result.diagnostics["stopped_by"] == ["tolerance"]
    assert result.standard_error.max() <= 0.05
    points = result.diagnostics["points"][0]
    assert result.diagnostics["evaluations"] == [points * 5 + 1]
    # Stopping early takes the first points of the same sequence.
    whole = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, budget=points * 5 + 1))
    np.testing.assert_array_equal(result.values, whole.values)


def test_a_grid_is_the_default_of_a_picture(digits):
    result = xaionnx.explain(digits, np.ones((1, 1, 28, 28), np.float32), Sobol(), 3)
    assert result.diagnostics["players"] == [49]
    assert result.diagnostics["points"] == [32]
    assert result.diagnostics["evaluations"] == [1 + 32 * 51]


def test_what_it_refuses(digits, ishigami):
    with pytest.raises(BudgetError, match="Sobol needs at least 205 model evaluations for 49 features, and its budget"):
        xaionnx.explain(digits, np.ones((1, 1, 28, 28), np.float32), Sobol(budget=204), 3)
    wide = planted.load(planted.linear(np.ones((1, 11_000))))
    with pytest.raises(
        ParameterError, match=r"Sobol takes at most 10600 features\. Got 11000 instead\. Take a coarser grid\."
    ):
        xaionnx.explain(wide, np.ones((1, 11_000), np.float32), Sobol(budget=100_000), 0)
    cast = tiny.model(
        [tiny.node("Cast", ["x"], ["y"], to=1)], [tiny.tensor("x", ["N", 3], 7)], [tiny.tensor("y", ["N", 3])]
    )
    with pytest.raises(InputMismatchError, match=r"Input 'x' has type int64; Sobol, which blends .* needs floats"):
        xaionnx.explain(planted.load(cast), np.ones((1, 3), np.int64), Sobol(features=Features.elements()), 0)
