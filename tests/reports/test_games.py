"""What people met with KernelSHAP, Shapley interactions, Owen values, LIME and anchors."""

import tomllib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.oracles import games
from tests.oracles.owen import owen
from tests.tiny import loaded, trained
from xaionnx.errors import BudgetError, OutputError, ParameterError

REPORTS = tomllib.loads(Path(__file__).with_name("games.toml").read_text(encoding="utf-8"))["report"]
CURVED = {(0,): 1, (1, 2): 2, (0, 1, 3): 3, (2, 3, 4): -2, (0, 2, 4, 5): 5, (6, 7, 8): 2, (0, 6, 9): 1, (3, 10, 11): 1}

WEIGHTS = np.linspace(0.1, 1, 345, dtype=np.float32)


@pytest.fixture(scope="module")
def curved():
    return planted.load(planted.polynomial(12, CURVED))


@pytest.fixture(scope="module")
def exact(curved):
    return xaionnx.explain(curved, np.ones((1, 12), np.float32), "exact_shapley", 0).feature_values


def test_every_report_has_tests_here():
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


@pytest.mark.parametrize("method", ["kernel_shap", "lime", "shapley_interactions"])
def test_a_second_run_has_the_same_bits(curved, method):
    x = np.ones((1, 12), np.float32)
    one, other = (xaionnx.explain(curved, x, method, 0, budget=400) for _ in range(2))
    np.testing.assert_array_equal(one.feature_values, other.feature_values)


def test_values_of_other_seeds_differ_by_their_standard_errors(curved, exact):
    x = np.ones((1, 12), np.float32)
    for seed in range(20):
        found = xaionnx.explain(curved, x, "kernel_shap", 0, budget=400, seed=seed)
        assert (np.abs(found.feature_values - exact) <= 5 * found.standard_error).all()


@pytest.mark.parametrize("l1", [1, 3, 11])
def test_values_of_some_features_add_up_to_the_change_too(curved, l1):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "kernel_shap", 0, l1=l1, budget=400)
    assert 1 <= np.count_nonzero(found.feature_values) <= l1
    np.testing.assert_allclose(
        found.feature_values.sum(), found.prediction[0] - found.baseline_prediction[0], rtol=1e-6
    )


def test_no_feature_is_left_out_unasked(curved, exact):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "kernel_shap", 0)
    assert np.count_nonzero(found.feature_values) == np.count_nonzero(exact) == 12


def test_three_features_are_exact():
    model = planted.load(planted.polynomial(3, {(0,): 1, (1,): 2, (0, 1): 3, (0, 2): -1, (0, 1, 2): 6}))
    found = xaionnx.explain(model, np.ones((1, 3), np.float32), "kernel_shap", 0)
    np.testing.assert_allclose(found.feature_values, [[4, 5.5, 1.5]], rtol=1e-6)
    assert found.diagnostics["stopped_by"] == ["enumeration"]


@pytest.mark.parametrize("budget", [0, 2, 30])
def test_evaluations_that_determine_nothing_are_refused(budget):
    model = planted.load(planted.linear([[1.0] * 30]))
    with pytest.raises((BudgetError, ParameterError), match=r"budget"):
        xaionnx.explain(model, np.ones((1, 30), np.float32), "kernel_shap", 0, budget=budget)


def test_a_probability_of_one_has_finite_values_and_infinite_log_odds_are_refused_by_name():
    x, row = np.float32([[500, 1], [1, 2]]), np.zeros((1, 2), np.float32)
    model = loaded("g (float[N,2] x) => (float[N,1] p) { s = ReduceSum<keepdims = 1>(x, a)  p = Sigmoid(s) }",
                   a=np.array([1]))  # fmt: skip
    found = xaionnx.explain(model, x, "kernel_shap", 0, baseline=row)
    assert found.prediction[0] == 1
    np.testing.assert_allclose(found.feature_values.sum(axis=1), found.prediction - 0.5, rtol=1e-6)
    odds = loaded(
        "g (float[N,2] x) => (float[N,1] y) { s = ReduceSum<keepdims = 1>(x, a)  p = Sigmoid(s)"
        "  one = Constant<value = float {1}>()  q = Sub(one, p)  r = Div(p, q)  y = Log(r) }",
        a=np.array([1]),
    )
    with pytest.raises(OutputError, match="NaN or infinity"):
        xaionnx.explain(odds, x, "kernel_shap", 0, baseline=row)
    np.testing.assert_allclose(
        xaionnx.explain(odds, x[1:], "kernel_shap", 0, baseline=row).feature_values, [[1, 2]], rtol=1e-5
    )


def test_memory_does_not_grow_with_the_background():
    model, rng = planted.load(planted.linear([WEIGHTS.tolist()])), np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 345)).astype(np.float32)
    tracemalloc.start()
    found = xaionnx.explain(model, rows[:2], "kernel_shap", 0, background=rows, background_size=5, budget=11_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    used = found.feature_values / WEIGHTS
    # Each value is the weight times the difference to the mean of the 5 rows that were used.
    np.testing.assert_allclose((rows[:2] - used)[0], (rows[:2] - used)[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["kernel_shap", "shapley_sampling", "exact_shapley", "partition_shap"])
def test_values_add_up_to_the_change_from_the_baseline_which_is_recorded(curved, method):
    row = np.full((1, 12), 0.5, np.float32)
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), method, 0, baseline=row)
    (at_row,) = curved.run({curved.input().name: row}).values()
    np.testing.assert_allclose(found.baseline_prediction, at_row[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.feature_values.sum(), found.prediction[0] - at_row[0, 0], rtol=1e-6)


def test_values_over_background_rows_are_the_means_of_those_over_each(curved):
    x, rows = np.ones((1, 12), np.float32), np.random.default_rng(0).uniform(-1, 1, (4, 12)).astype(np.float32)
    together = xaionnx.explain(curved, x, "exact_shapley", 0, background=rows)
    each = [xaionnx.explain(curved, x, "exact_shapley", 0, baseline=row[None]).feature_values for row in rows]
    np.testing.assert_allclose(together.feature_values, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("budget", [400, 5000])
def test_a_row_of_the_interactions_adds_up_to_the_shapley_value(curved, exact, budget):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "shapley_interactions", 0, budget=budget)
    sums = found.maps["interactions"][0].sum(axis=1)
    np.testing.assert_allclose(sums, exact[0], rtol=1e-6 if budget > 4096 else 0.3, atol=1e-6 if budget > 4096 else 0.3)


def test_interactions_of_many_features_take_no_more_than_the_default_budget():
    terms = {(i,): 1 for i in range(30)} | {(0, 1): 2, (2, 3): -3}
    found = xaionnx.explain(
        planted.load(planted.polynomial(30, terms)), np.ones((1, 30), np.float32), "shapley_interactions", 0
    )
    assert found.diagnostics["evaluations"][0] <= 4096
    matrix = found.maps["interactions"][0]
    np.testing.assert_allclose([matrix[0, 1], matrix[2, 3], matrix[4, 5]], [1, -1.5, 0], atol=1e-4)


def test_a_surrogate_that_does_not_fit_says_so(curved):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "lime", 0, budget=2000, kernel="uniform", alpha=0)
    local, r2 = found.diagnostics["local_prediction"][0][0], found.diagnostics["r2"][0][0]
    assert abs(local - found.prediction[0]) > 1
    assert r2 < 0.9
    linear = xaionnx.explain(
        planted.load(planted.linear([[1.0, 2.0, -3.0]])), np.ones((1, 3), np.float32), "lime", 0, alpha=0
    )
    assert linear.diagnostics["r2"][0][0] == pytest.approx(1)
    assert linear.diagnostics["local_prediction"][0][0] == pytest.approx(0, abs=1e-6)


def test_more_features_keep_the_first_ones(curved):
    x = np.ones((1, 12), np.float32)
    few, more = (
        np.flatnonzero(xaionnx.explain(curved, x, "lime", 0, budget=2000, select=n).feature_values[0]) for n in (3, 6)
    )
    assert (len(few), len(more)) == (3, 6)
    assert set(few) <= set(more)


def test_the_budget_of_orders_is_used(curved):
    for budget in (100, 257, 1000):
        found = xaionnx.explain(curved, np.ones((1, 12), np.float32), "shapley_sampling", 0, budget=budget)
        # Another order and its reverse cost 2 (P - 1).
        assert budget - 2 * 11 < found.diagnostics["evaluations"][0] <= budget


def _distance_to_codes():
    """The class of a row is the number in its first column."""
    return loaded(
        "g (float[N,2] x) => (float[N,3] y)"
        "{ a = Slice(x, start, end, axis)  d = Sub(a, codes)  far = Abs(d)  y = Neg(far) }",
        start=np.array([0]),
        end=np.array([1]),
        axis=np.array([1]),
        codes=np.float32([[0, 1, 2]]),
    )


def test_a_word_that_no_row_has_can_be_an_anchor():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(0, 2, 1000), rng.random(1000)]).astype(np.float32)
    found = xaionnx.explain(_distance_to_codes(), np.float32([[2, 0.5]]), "anchors", background=rows)
    told = found.diagnostics
    assert (told["anchor"], told["precision"], told["coverage"], told["found"]) == ([[[0]]], [[1.0]], [[0.0]], [[True]])


def test_coverage_is_that_of_the_rows_for_any_seed_and_batch():
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.integers(0, 3, 500), rng.random(500)]).astype(np.float32)
    for seed, batch in ((0, 32), (1, 32), (0, 200)):
        found = xaionnx.explain(
            _distance_to_codes(), np.float32([[2, 0.5]]), "anchors", background=rows, seed=seed, batch=batch
        )
        assert found.diagnostics["anchor"] == [[[0]]]
        assert found.diagnostics["coverage"] == [[(rows[:, 0] == 2).mean()]]


def test_rules_of_hundreds_of_columns():
    weights = np.zeros((2, 290), np.float32)
    weights[0, 17], weights[1, 17] = -1, 1
    rows = np.random.default_rng(0).normal(size=(400, 290)).astype(np.float32)
    x = np.zeros((1, 290), np.float32)
    x[0, 17] = 3
    found = xaionnx.explain(planted.load(planted.linear(weights)), x, "anchors", background=rows, budget=200_000)
    assert found.diagnostics["anchor"] == [[[17]]]
    assert found.diagnostics["precision"] == [[1.0]]


@pytest.mark.parametrize("count", range(1, 12))
def test_any_number_of_features_is_found_on_the_path(curved, count):
    x = np.ones((1, 12), np.float32)
    found = xaionnx.explain(curved, x, "lime", 0, budget=2000, select=count, selection="lasso_path")
    assert 1 <= np.count_nonzero(found.feature_values) <= count


def test_forward_selection_fits_at_least_as_well_as_the_path(curved):
    x = np.ones((1, 12), np.float32)
    for count in range(1, 12):
        by_path, forward = (
            xaionnx.explain(curved, x, "lime", 0, budget=2000, select=count, alpha=0, selection=selection)
            for selection in ("lasso_path", "forward")
        )
        assert forward.diagnostics["r2"][0][0] >= by_path.diagnostics["r2"][0][0] - 1e-9


def test_bins_of_rows_with_missing_values():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)).astype(np.float32)
    rows[rng.random(300) < 0.2, 0] = np.nan
    model = loaded(
        "g (float[N,2] x) => (float[N,1] y) { n = IsNaN(x)  z = Where(n, five, x)  y = MatMul(z, w) }",
        five=np.float32(5),
        w=np.float32([[1], [2]]),
    )
    settings = {"neighbourhood": "bins", "background": rows, "alpha": 0.0}
    missing, known = xaionnx.explain(model, np.float32([[np.nan, 0], [0.1, 0]]), "lime", 0, **settings).values
    # In the bin of its own the value is 5, in the others about 0; and a known value is compared with 5 and the others.
    assert 4.5 < missing[0] < 5.5
    assert known[0] < 0
    np.testing.assert_allclose(missing[1], known[1], atol=0.3)


def test_drawn_numbers_do_not_pile_up_at_the_ends_of_bins():
    from xaionnx.data.sample import Sample
    from xaionnx.explainers._games.conditions import divisions_of
    from xaionnx.explainers._games.row_sampling import SampledRows
    from xaionnx.perturb.feature_removal import Select
    from xaionnx.perturb.features import Features

    rows = np.random.default_rng(0).exponential(size=(500, 1))
    sample = Sample({"x": np.array([0.3])}, "x")
    removal = Select(sample, Features.elements().players(sample), {"x": rows})
    (division,) = divisions = divisions_of("Lime", removal)
    drawn = SampledRows(removal, divisions, 0, 20_000).feed(0, 20_000)["x"][:, 0]
    ends = [rows.min(), *division.edges, rows.max()]
    assert not np.isin(drawn, ends).any()
    assert ends[0] < drawn.min()
    assert drawn.max() < ends[-1]
    shares = np.histogram(drawn, ends)[0] / len(drawn)
    np.testing.assert_allclose(shares, 0.25, atol=0.015)


def test_teams_of_any_size_have_owen_values():
    model, x = games.loaded(7, seed=4), np.random.default_rng(4).normal(size=(1, 7)).astype(np.float32)
    v = {present: float(value[0]) for present, value in games.values(model, x[0]).items()}
    found = xaionnx.explain(model, x, "partition_shap", 0, hierarchy=np.array([0, 0, 0, 1, 2, 2, 0]))
    np.testing.assert_allclose(found.values[0], owen(v, [[0, 1, 2, 6], 3, [4, 5]], 7), rtol=1e-4, atol=1e-5)


def test_values_of_groups_without_those_of_their_players():
    model, x = games.loaded(7, seed=4), np.random.default_rng(4).normal(size=(1, 7)).astype(np.float32)
    labels = np.array([0, 0, 0, 1, 2, 2, 0])
    groups = xaionnx.explain(model, x, "exact_shapley", 0, features=labels)
    assert groups.diagnostics["evaluations"] == [2**3]
    players = xaionnx.explain(model, x, "partition_shap", 0, hierarchy=labels)
    by_group = {tuple(group): value for group, value in players.diagnostics["groups"][0][0]}
    for number in range(3):
        own = tuple(np.flatnonzero(labels == number).tolist())
        value = by_group.get(own, players.feature_values[0, list(own)].sum())
        np.testing.assert_allclose(groups.feature_values[0, number], value, rtol=1e-5, atol=1e-6)


def test_a_linear_model_has_its_closed_form():
    rng = np.random.default_rng(0)
    weights, rows = rng.normal(size=10), rng.normal(size=(200, 10)).astype(np.float32)
    model, x = planted.load(planted.linear([weights.tolist()])), rng.normal(size=(3, 10)).astype(np.float32)
    rows[:, 3] = rows[:, 2]
    settings = {"background": rows, "background_size": 200}
    expected = (x - rows.mean(axis=0)) * weights
    for method in ("kernel_shap", "linear_shap"):
        found = xaionnx.explain(
            model, x, method, 0, **settings, **({"budget": 10**6} if method == "kernel_shap" else {})
        )
        np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["kernel_shap", "exact_shapley", "shapley_sampling"])
def test_there_are_as_many_values_as_features(curved, method):
    found = xaionnx.explain(curved, np.ones((1, 12), np.float32), method, 0)
    assert found.feature_values.shape == (1, 12)
    np.testing.assert_allclose(
        found.feature_values.sum() + found.baseline_prediction[0], found.prediction[0], rtol=1e-4, atol=1e-5
    )


@pytest.fixture(scope="module")
def loan():
    model = trained("german_credit_mlp")
    return model, model.read("models/data/german_credit.csv").arrays["features"][:1]


def test_interactions_of_a_network_of_relu_add_up(loan):
    found = xaionnx.explain(*loan, "integrated_hessians", 1)
    change = float((found.prediction - found.baseline_prediction)[0])
    pairs = found.maps["interactions"][0]
    assert pairs.sum() == pytest.approx(change, rel=0.05)
    assert np.abs(pairs - np.diag(np.diag(pairs))).max() > 0.01


def test_a_row_of_interactions_explains_the_value_of_a_feature(loan):
    found = xaionnx.explain(*loan, "integrated_hessians", 1)
    np.testing.assert_allclose(found.maps["interactions"][0].sum(axis=1), found.feature_values[0], atol=1e-6)
    plain = xaionnx.explain(*loan, "integrated_gradients", 1)
    assert np.abs(found.feature_values - plain.values).max() < 0.1 * np.abs(plain.values).max()


def test_a_feature_that_equals_its_background_keeps_its_number():
    # y = exp(x1 + x2 + x3), of which x2 multiplies what the others do.
    model = loaded("""g (float[N, 3] x) => (float[N, 1] y) {
      s = Exp (x)
      y = ReduceProd <keepdims = 1, axes = [1]> (s)
    }""")
    x, baseline = np.array([[0.5, 0.7, -0.2]], np.float32), np.array([0.1, 0.7, 0.3], np.float32)
    left, right = (np.exp([baseline[n], x[0, n]], dtype=np.float64) for n in (0, 2))
    middle = np.exp(np.float64(x[0, 1]))
    expected = middle * np.array([(left[1] - left[0]) * right.mean(), 0, (right[1] - right[0]) * left.mean()])
    for method in ("kernel_shap", "exact_shapley", "shapley_sampling"):
        found = xaionnx.explain(model, x, method, baseline=baseline).values
        np.testing.assert_allclose(found, expected[None], rtol=1e-5, atol=1e-6)


def test_each_target_has_its_own_prediction_at_the_baseline():
    weights = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    model = planted.load(planted.linear(weights.tolist()))
    x, baseline = np.array([[1, 1, 1], [2, 0, 1]], np.float32), np.array([0.5, 1, 0], np.float32)
    found = xaionnx.explain(model, x, "kernel_shap", [0, 1], baseline=baseline)
    np.testing.assert_allclose(found.baseline_prediction, [[2.5, 2.5], [7, 7]], rtol=1e-6)
    np.testing.assert_allclose(found.values, weights[:, None] * (x - baseline), rtol=1e-5, atol=1e-6)
