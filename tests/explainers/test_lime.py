"""LIME against published numbers, direct regression, and its own standard errors."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso, Ridge, lars_path
from xaionnx_kernels.coalitions import bernoulli

import xaionnx
from models import planted
from tests.oracles import lime as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers._games.feature_choice import forward, on_lasso_path
from xaionnx.explainers._games.local_surrogate import Penalty, fit
from xaionnx.explainers.lime import Lime

A = np.array([[20.0, 50.0, 30.0]], dtype=np.float32)


@pytest.fixture(scope="module")
def net_a():
    return planted.load(planted.net_a())


def values_of(model, x, z, features):
    """The target for coalitions, by plain numpy."""
    labels = features.players(xaionnx.perturb.features.Sample({"x": x[0]}, "x")).maps["x"]
    return model.run({model.input().name: np.where(z[:, labels] > 0, x, 0).astype(np.float32)})["logits"][:, 3]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"alpha": 0}, (77.5, 197.5, 117.5)),
        ({"surrogate": "lasso", "alpha": 1}, (73.5, 193.5, 113.5)),
        ({"surrogate": "lasso", "alpha": 2}, (69.5, 189.5, 109.5)),
        ({"alpha": 1}, (155 / 3, 395 / 3, 235 / 3)),
    ],
)
def test_published_values_on_net_a(net_a, settings, expected):
    result = xaionnx.explain(net_a, A, Lime(kernel="uniform", budget=8, **settings), 0)
    assert_close(result.values[0], expected, Tolerance.OPERATIONS)
    assert result.diagnostics["stopped_by"] == ["enumeration"]
    assert not result.standard_error.any()


@pytest.mark.parametrize(("kernel", "width"), [("cosine", 0.25), ("l2", 0.7)])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_all_coalitions_give_the_direct_weighted_ridge(digits, three, kernel, width, alpha):
    features = Features.grid(2, 3)
    settings = Lime(kernel=kernel, kernel_width=width, alpha=alpha, features=features)
    result = xaionnx.explain(digits, three, settings, 3)
    z = oracle.coalitions(6)
    answers = values_of(digits, three, z, features)
    weights = getattr(oracle, f"{kernel}_weights")(z, width)
    intercept, coefficients, r2 = oracle.ridge(z, answers, weights, alpha)
    assert_close(result.feature_values[0], coefficients, Tolerance.SIGNED_LAYERS)
    assert_close(result.diagnostics["r2"][0][0], r2, Tolerance.LAYERS)
    assert_close(result.diagnostics["intercept"][0][0], intercept, Tolerance.LAYERS)
    local = result.diagnostics["local_prediction"][0][0]
    assert_close(local, intercept + coefficients.sum(), Tolerance.LAYERS)


def drawn(players, count, seed):
    z = bernoulli(seed, 0, count, players).astype(float)
    z[0] = 1
    return z


def test_drawn_coalitions_give_the_direct_weighted_ridge_and_lasso(digits, three):
    features = Features.grid(5, 5)
    z = drawn(25, 499, 7)
    answers, weights = values_of(digits, three, z, features), oracle.cosine_weights(z, 0.25)
    ridge = xaionnx.explain(digits, three, Lime(budget=500, seed=7, features=features), 3)
    _, coefficients, r2 = oracle.ridge(z, answers, weights, 1.0)
    assert_close(ridge.feature_values[0], coefficients, Tolerance.QUOTIENTS)
    assert_close(ridge.diagnostics["r2"][0][0], r2, Tolerance.LAYERS)
    lasso = xaionnx.explain(digits, three, Lime(budget=500, seed=7, features=features, surrogate="lasso", alpha=0.1), 3)
    direct = Lasso(alpha=0.1, tol=1e-8, max_iter=100_000).fit(z, answers, weights)
    assert_close(lasso.feature_values[0], direct.coef_, Tolerance.QUOTIENTS)
    assert 0 < np.count_nonzero(lasso.feature_values) < 25
    assert (ridge.standard_error is None, lasso.standard_error is None) == (False, True)
    assert "chose the features" in lasso.diagnostics["no_standard_error"][0]


def test_select_keeps_the_largest_and_fits_them_again(net_a):
    result = xaionnx.explain(net_a, A, Lime(kernel="uniform", alpha=0, select=2), 0)
    assert_close(result.values[0], (0, 197.5, 117.5), Tolerance.OPERATIONS)
    assert not result.standard_error.any()  # all coalitions were used, so the choice is certain
    several = xaionnx.explain(net_a, A * [[1, 1, 0.1]], Lime(alpha=0, select=1), [0, 1])
    np.testing.assert_array_equal((several.feature_values != 0).sum(axis=-1), 1)


def _chosen(z, w, y, count, selection):
    """The columns that a published algorithm chooses, from the rows themselves."""
    centred, root = z - w @ z / w.sum(), np.sqrt(w)
    rows, outputs = centred * root[:, None], (y - w @ y / w.sum()) * root
    if selection == "lasso_path":
        path = lars_path(rows, outputs, method="lasso")[2]
        return next(np.flatnonzero(point) for point in path.T[::-1] if np.count_nonzero(point) <= count)
    taken = []
    for _ in range(count):
        left = {
            k: np.linalg.lstsq(rows[:, [*taken, k]], outputs, rcond=None)[1].sum()
            for k in range(z.shape[1])
            if k not in taken
        }
        taken.append(min(left, key=left.get))
    return np.sort(taken)


@pytest.mark.parametrize("selection", ["forward", "lasso_path"])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_features_are_chosen_as_published_and_fitted_again(selection, count):
    rng = np.random.default_rng(count)
    for _ in range(5):
        z = (rng.random((300, 9)) < 0.5).astype(float)
        z[:, 8] = np.where(rng.random(300) < 0.9, z[:, 0], z[:, 8])  # nearly a copy
        y = z @ rng.normal(size=9) + rng.normal(size=300) + z[:, 1] * z[:, 2]
        w = rng.random(300)
        found = fit(lambda a, b, z=z: z[a:b], w, y[:, None], Penalty("ridge", 0.5, count, selection))
        own = _chosen(z, w, y, count, selection)
        np.testing.assert_array_equal(np.flatnonzero(found.values[0]), own)
        ridge = Ridge(alpha=0.5).fit(z[:, own], y, sample_weight=w)
        assert_close(found.values[0, own], ridge.coef_, Tolerance.SIGNED_LAYERS)
        assert found.standard_error is None


def test_a_copy_is_not_chosen_beside_its_original():
    """Two copies share a large weight, so that the largest weights are theirs, and the second copy adds nothing."""
    gram, moment = np.array([[1, 0.999, 0], [0.999, 1, 0], [0, 0, 1]]), np.array([4, 3.996, 1.0])
    weights = np.linalg.solve(gram + np.eye(3), moment)
    assert set(np.argsort(-weights)[:2]) == {0, 1}
    assert forward(gram, moment, 2).tolist() == on_lasso_path(gram, moment, 2, 1).tolist() == [0, 2]


@pytest.mark.parametrize("settings", [{}, {"alpha": 0.0, "kernel": "uniform"}])
def test_standard_errors_are_those_of_many_repetitions(digits, three, settings):
    features = Features.grid(4, 4)
    results = [
        xaionnx.explain(digits, three, Lime(budget=300, seed=seed, features=features, **settings), 3)
        for seed in range(24)
    ]
    values = np.array([r.feature_values[0] for r in results])
    claimed = np.sqrt(np.mean([r.standard_error[0] ** 2 for r in results], axis=0))
    told = claimed > 1e-4 * claimed.max()  # the empty margin of the digit has zero values and errors
    ratio = np.sqrt(np.mean(values.var(axis=0, ddof=1)[told] / claimed[told] ** 2))
    # With 24 repetitions and a dozen players a ratio is known to about 6 %.
    assert 0.8 < ratio < 1.25


def test_uniform_weights_approach_the_banzhaf_values(digits, three):
    features = Features.grid(3, 3)
    exact = xaionnx.explain(digits, three, Lime(kernel="uniform", alpha=0, features=features), 3)
    assert exact.diagnostics["stopped_by"] == ["enumeration"]
    drawn = xaionnx.explain(digits, three, Lime(kernel="uniform", alpha=0, features=features, budget=300), 3)
    assert drawn.diagnostics["stopped_by"] == ["budget"]
    gap = np.abs(drawn.feature_values - exact.feature_values)
    assert (gap <= 4 * drawn.standard_error + 1e-6).all()


def test_tolerance_ends_it_early_and_is_kept(digits, three):
    settings = {"features": Features.grid(5, 5), "alpha": 0, "budget": 4000}
    result = xaionnx.explain(digits, three, Lime(tolerance=0.05, **settings), 3)
    assert result.diagnostics["stopped_by"] == ["tolerance"]
    assert result.diagnostics["evaluations"][0] < 2000
    assert result.standard_error.max() <= 0.05 * abs(result.prediction[0] - result.baseline_prediction[0])


def test_what_it_refuses(digits, three):
    with pytest.raises(BudgetError, match="Lime needs at least 29 model evaluations for 25 features, and its budget"):
        xaionnx.explain(digits, three, Lime(budget=28, features=Features.grid(5, 5)), 3)
    with pytest.raises(ParameterError, match=r"The 'alpha' parameter of Lime must be a float in \(0, inf\) for surr"):
        Lime(surrogate="lasso", alpha=0)


@pytest.mark.parametrize("chooses", [{"select": 3}, {"surrogate": "lasso"}])
def test_no_tolerance_without_standard_errors(chooses):
    with pytest.raises(ParameterError, match=r"'tolerance' parameter of Lime must be None with .* choose the features"):
        Lime(tolerance=0.1, **chooses)
    Lime(**chooses)


def test_the_lasso_is_on_the_path_of_scikit_learn():
    rng = np.random.default_rng(0)
    z, w = rng.random((300, 8)) < 0.5, rng.random(300)
    y = z @ np.array([3, -2, 1, 0.5, 0, 0, 0.1, 0]) + 0.1 * rng.normal(size=300) + 0.7 * z[:, 0] * z[:, 1]
    roots = np.sqrt(w)
    alphas, _, path = lars_path((z - w @ z / w.sum()) * roots[:, None], (y - w @ y / w.sum()) * roots, method="lasso")
    for alpha, values in zip(alphas[:-1], path.T[:-1], strict=True):
        # scikit-learn divides by the number of rows, the surrogate by the sum of the weights.
        found = fit(lambda a, b: z[a:b], w, y[:, None], Penalty("lasso", alpha * len(w) / w.sum()))
        np.testing.assert_allclose(found.values[0], values, atol=1e-9)


@pytest.mark.parametrize(
    "settings", [{}, {"surrogate": "lasso", "alpha": 0.5}, {"surrogate": "tree"}, {"kernel": "l2"}]
)
def test_a_single_player_gets_the_drop_without_it(settings):
    text = "Congratulations"
    result = xaionnx.explain("models/spam.onnx", text, Lime(**settings))
    drop = result.prediction - result.baseline_prediction
    assert abs(drop[0]) > 0.02
    assert_close(result.feature_values[:, 0], drop, Tolerance.OPERATIONS)
    assert result.diagnostics["evaluations"] == [2]
    assert result.diagnostics["local_prediction"][0] == result.prediction.tolist()
