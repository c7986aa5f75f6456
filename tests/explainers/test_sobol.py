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
    kind = [Sobol(baseline=-np.pi, budget=512 * 5 + 1, replicates=8, seed=seed) for seed in range(60)]
    results = [xaionnx.explain(ishigami, PI, one) for one in kind]
    off = np.array([r.feature_values[0] for r in results]) - ISHIGAMI_TOTAL
    claimed = np.array([r.standard_error[0] for r in results])
    assert 0.9 <= (np.abs(off) <= 1.96 * claimed).mean() <= 0.99
    # Widened by a t of 7 degrees, 1.2 for an interval; 60 draws tell a deviation by a tenth.
    ratio = off.std(axis=0) / claimed.mean(axis=0)
    assert (np.abs(ratio - 1 / 1.2) < 0.25).all()


@pytest.mark.parametrize(("replicates", "budget"), [(1, 20_000), (2, 20_000), (8, 256 * 5 + 1)])
def test_one_sequence_or_few_points_have_no_standard_error(ishigami, replicates, budget):
    result = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, replicates=replicates, budget=budget))
    assert result.standard_error is None
    why = "replicates, at least 4" if replicates < 4 else "256 points are too few, it needs 512"
    assert why in result.diagnostics["no_standard_error"][0]


def test_replicates_are_sequences_of_their_own(ishigami):
    """The values are those of all points together: ratios of the sums of Jansen's squares."""
    result = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, replicates=5, budget=5 * 128 * 5 + 100))
    assert result.diagnostics["points"] == [5 * 128]
    np.testing.assert_allclose(result.values[0], ISHIGAMI_TOTAL, atol=0.1)
    assert result.diagnostics["evaluations"] == [5 * 128 * 5 + 1]


def test_tolerance_ends_it_early_and_is_kept(ishigami):
    result = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, budget=100_000, tolerance=0.05, replicates=8))
    assert result.diagnostics["stopped_by"] == ["tolerance"]
    assert result.standard_error.max() <= 0.05
    points = result.diagnostics["points"][0]
    assert result.diagnostics["evaluations"] == [points * 5 + 1]
    # Stopping early takes the first points of the same sequences.
    whole = xaionnx.explain(ishigami, PI, Sobol(baseline=-np.pi, budget=points * 5 + 1, replicates=8))
    np.testing.assert_array_equal(result.values, whole.values)


def test_a_grid_is_the_default_of_a_picture(digits):
    result = xaionnx.explain(digits, np.ones((1, 1, 28, 28), np.float32), Sobol(), 3)
    assert result.diagnostics["players"] == [49]
    assert result.diagnostics["points"] == [32]
    assert result.diagnostics["evaluations"] == [1 + 32 * 51]


def test_what_it_refuses(digits, ishigami):
    with pytest.raises(ParameterError, match=r"'tolerance' .* None for fewer than 4 replicates, .* Set replicates=8"):
        Sobol(tolerance=0.1)
    with pytest.raises(BudgetError, match=r"at least 161 model evaluations for 3 features and 8 replicates"):
        xaionnx.explain(ishigami, PI, Sobol(budget=160, replicates=8))
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
