"""Exact Shapley values, KernelSHAP, Shapley sampling and Banzhaf values: published numbers, definitions, axioms."""

import re

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import Heard, rows_run
from tests.oracles import games
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers import shapley_sampling
from xaionnx.explainers._games import cost, sampling
from xaionnx.perturb.game import Game
from xaionnx.runtime.progress import listening

EXACT = ["exact_shapley", "kernel_shap", "shapley_sampling"]
SAMPLED = ["kernel_shap", "shapley_sampling", "banzhaf"]
A = np.array([[20, 50, 30]], np.float32)


def x_of(players, seed, samples=1):
    return np.random.default_rng([seed, 7]).normal(size=(samples, players)).astype(np.float32)


@pytest.fixture(scope="module")
def known():
    """A network of 10 columns, an input, and its Shapley and Banzhaf values for both outputs."""
    model, x = games.loaded(10, seed=0), x_of(10, 0)
    v = games.values(model, x[0])
    return model, x, games.shapley(v, 10), games.banzhaf(v, 10)


# ---- published numbers


@pytest.mark.parametrize("method", EXACT)
def test_net_a(method):
    model = planted.load(planted.net_a())
    result = xaionnx.explain(model, A, method, 0)
    assert_close(result.feature_values, [[230 / 3, 590 / 3, 350 / 3]], Tolerance.OPERATIONS)
    np.testing.assert_array_equal(result.standard_error, 0)
    assert result.diagnostics["evaluations"] == [8]
    grouped = xaionnx.explain(model, A, method, 0, features=np.array([1, 1, 2]))
    assert_close(grouped.values, [[275, 275, 115]], Tolerance.OPERATIONS)


def test_net_a_banzhaf():
    result = xaionnx.explain(planted.load(planted.net_a()), A, "banzhaf", 0)
    assert_close(result.values, [[77.5, 197.5, 117.5]], Tolerance.OPERATIONS)
    assert_close(result.diagnostics["completeness_gap"], [77.5 + 197.5 + 117.5 - 390], Tolerance.DEEP)


@pytest.mark.parametrize("d", [[1, 1, 1, 1, 1], [2, -1, 1, 3, -2], [1, 0, 1, 0, 1], [0, 1, 1, 1, 0]])
@pytest.mark.parametrize("scheme", ["antithetic", "orthogonal"])
def test_a_pair_of_orders_is_exact_for_second_order_games(d, scheme):
    x = np.array([d], np.float32)
    # 18 evaluations are two pairs of orders of 5 players; all 32 coalitions would exceed the budget. Players at 0, as
    # in the baseline, do not play, and all 8 coalitions of three are evaluated.
    result = xaionnx.explain(planted.load(planted.second_order()), x, "shapley_sampling", 0, budget=18, scheme=scheme)
    expected = [d[0] * d[2] / 2, d[1], d[0] * d[2] / 2 + d[2] + d[2] * d[3] / 2, d[2] * d[3] / 2, 0]
    assert_close(result.feature_values[0], expected, Tolerance.ORDER_ONE)
    if scheme == "orthogonal" and all(d):
        # Two pairs are less than a block of orders that depend on each other.
        assert result.standard_error is None
        assert "4 orders are fewer than 5 blocks of 8" in result.diagnostics["no_standard_error"][0]
    else:
        assert_close(result.standard_error, 0, Tolerance.ORDER_ONE)
    assert result.diagnostics["evaluations"] == [18 if all(d) else 8]
    assert result.diagnostics["orders"] == [4 if all(d) else 0]


@pytest.mark.parametrize("method", [*EXACT, "banzhaf"])
def test_a_linear_model_over_a_background_is_explained_by_the_distance_from_its_mean(method):
    background = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    x = np.array([[0.5, -1.5], [2, 1]], np.float32)
    settings = {} if method == "exact_shapley" else {"budget": 601}
    model = planted.load(planted.linear([[1.0, 2.0]]))
    result = xaionnx.explain(model, x, method, 0, baseline=xaionnx.Baseline.background(background), **settings)
    assert_close(result.values, (x - background.mean(axis=0)) * [1, 2], Tolerance.SIGNED_LAYERS)
    assert result.diagnostics["evaluations"] == [601, 601]


@pytest.mark.parametrize("method", SAMPLED)
def test_36_equal_superpixels_get_36_equal_values(method):
    model = planted.load(planted.mean_picture(12, 12, 3))
    x = np.ones((1, 3, 12, 12), np.float32)
    result = xaionnx.explain(model, x, method, 0, features=Features.grid(6, 6), budget=500)
    assert_close(result.feature_values, 1 / 36, Tolerance.LAYERS)


@pytest.mark.parametrize("method", SAMPLED)
@pytest.mark.parametrize("first_label", [0, 1])
def test_the_quadrant_model_is_explained_in_its_quadrant_and_nowhere_else(method, first_label):
    model = planted.load(planted.quadrants(8, classes=2))
    x = np.random.default_rng(0).uniform(0.5, 1, size=(1, 3, 8, 8)).astype(np.float32)
    rows = np.arange(8) // 2
    segments = first_label + rows[:, None] * 4 + rows
    top_left, bottom_right = np.s_[:, :, :, :4, :4], np.s_[:, :, :, 4:, 4:]
    values = xaionnx.explain(model, x, method, [0, 1], features=segments, budget=400).values
    for target, quadrant in enumerate((top_left, bottom_right)):
        own = np.zeros(values.shape[1:], bool)
        own[quadrant[1:]] = True
        assert values[target][own].min() > 0.1
        assert_close(values[target][~own], 0, Tolerance.ORDER_ONE)


@pytest.mark.parametrize("method", [*EXACT, "banzhaf"])
def test_one_player_gets_everything(method):
    model = planted.load(planted.net_a())
    result = xaionnx.explain(model, A, method, 0, features=np.array([0, 0, 0]))
    assert_close(result.values, [[390, 390, 390]], Tolerance.OPERATIONS)
    assert result.diagnostics["evaluations"] == [2]


# ---- definitions


@pytest.mark.parametrize("players", [2, 3, 6, 7])
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_all_coalitions_give_the_values_of_the_definition(players, baseline):
    model, x = games.loaded(players, seed=players), x_of(players, players)
    v = games.values(model, x[0], baseline)
    for method in [*EXACT, "banzhaf"]:
        result = xaionnx.explain(model, x, method, [0, 1], baseline=baseline)
        expected = games.banzhaf(v, players) if method == "banzhaf" else games.shapley(v, players)
        assert_close(result.feature_values[:, 0], expected, Tolerance.SIGNED_LAYERS)
        assert result.diagnostics["evaluations"] == [2**players]
        np.testing.assert_array_equal(result.standard_error, 0)


def test_exact_shapley_refuses_17_players_and_says_what_to_take():
    model = games.loaded(17, seed=0)
    with pytest.raises(ParameterError, match=r"^ExactShapley takes at most 16 features\. Got 17 instead\. Use kernel"):
        xaionnx.explain(model, x_of(17, 0), "exact_shapley", 0)


@pytest.mark.parametrize("scheme", ["plain", "antithetic", "orthogonal"])
def test_an_order_is_worth_what_its_members_add(scheme):
    """A budget of two blocks, against the marginal contributions along the same orders."""
    from xaionnx_kernels.permutations import permutations

    model, x = games.loaded(5, seed=3), x_of(5, 3)
    v = games.values(model, x[0])
    blocks = 2 if scheme == "plain" else 4
    result = xaionnx.explain(model, x, "shapley_sampling", [0, 1], budget=2 + 4 * blocks, scheme=scheme, seed=11)
    gains = np.zeros((blocks, 5, 2))
    for order, row in zip(permutations(11, 0, blocks, 5, scheme), gains, strict=True):
        for place, player in enumerate(order.tolist()):
            before = frozenset(order[:place].tolist())
            row[player] = v[before | {player}] - v[before]
    assert_close(result.feature_values[:, 0], gains.mean(axis=0).T, Tolerance.SIGNED_LAYERS)


@pytest.mark.parametrize("method", ["kernel_shap", "banzhaf", "lime"])
def test_a_regression_that_would_take_hours_is_refused_before_the_first_coalition(monkeypatch, method):
    model, x = planted.load(planted.linear(np.ones((1, 20_000)))), np.ones((1, 20_000), np.float32)
    counted = rows_run(monkeypatch)
    match = r"would fit a regression of 20,000 features, which takes at least \d+ minutes and 20\.9 GiB\. Group the fea"
    with pytest.raises(ParameterError, match=match):
        xaionnx.explain(model, x, method, 0, budget=10**6)
    assert sum(counted) == 1


@pytest.mark.parametrize(("method", "budget"), [("kernel_shap", 6), ("banzhaf", 4), ("lime", 1)])
def test_a_regression_of_many_players_is_right_and_says_how_long_it_takes(monkeypatch, method, budget):
    monkeypatch.setattr(cost, "_LONG_S", 0.05)
    weights = np.random.default_rng(0).normal(size=(1, 1100))
    model, heard = planted.load(planted.linear(weights)), Heard()
    options = {"alpha": 0.0} if method == "lime" else {}
    with listening(heard):
        found = xaionnx.explain(model, np.ones((1, 1100), np.float32), method, 0, budget=1100 * budget + 10, **options)
    assert_close(found.values, weights, Tolerance.DEEP)
    assert re.fullmatch(r"fitting 1,100 features, about \d+ s", heard.phases[0])
    assert heard.phases[1:] == [""]


@pytest.mark.parametrize("method", ["shapley_sampling", "sobol", "feature_ablation", "banzhaf"])
def test_coalitions_of_many_players_say_how_long_they_take(monkeypatch, method):
    monkeypatch.setattr(cost, "_LONG_S", 1e-6)
    model, heard = planted.load(planted.linear(np.ones((1, 40)))), Heard()
    options = {} if method == "feature_ablation" else {"budget": 200}
    with listening(heard):
        xaionnx.explain(model, np.ones((1, 40), np.float32), method, 0, **options)
    assert re.fullmatch(r"writing \d+ inputs of 40 features, besides the model's runs, about 0 s", heard.phases[0])
    assert heard.phases[1] == ""


def test_orders_are_summed_in_pieces(monkeypatch):
    model, x = games.loaded(6, seed=1), x_of(6, 1)

    def found():
        return xaionnx.explain(model, x, "shapley_sampling", [0, 1], budget=61, scheme="antithetic")

    whole = found()
    monkeypatch.setattr(shapley_sampling, "_NUMBERS", 50)
    pieces = found()
    np.testing.assert_array_equal(whole.values, pieces.values)
    np.testing.assert_array_equal(whole.standard_error, pieces.standard_error)


def test_features_are_ablated_in_pieces(monkeypatch):
    monkeypatch.setattr(sampling, "_NUMBERS", 70)
    pieces = []
    values = Game.values
    monkeypatch.setattr(Game, "values", lambda game, codes: pieces.append(codes.shape) or values(game, codes))
    found = xaionnx.explain(
        planted.load(planted.linear([np.arange(20.0)])), np.ones((1, 20), np.float32), "feature_ablation"
    )
    np.testing.assert_array_equal(found.values[0], np.arange(20))
    assert pieces == [(3, 20)] * 6 + [(2, 20)]


def test_orthogonal_orders_have_a_limit_of_players():
    model = games.loaded(1025, seed=0)
    with pytest.raises(ParameterError, match=r"must be 'antithetic' or 'plain' for more than 1024 features\."):
        xaionnx.explain(model, x_of(1025, 0), "shapley_sampling", 0, scheme="orthogonal", budget=10_000)


@pytest.mark.parametrize("players", [9, 12])
def test_kernel_shap_is_the_constrained_weighted_regression(players):
    """Against the minimum with a Lagrange multiplier, over all rows, complements included."""
    from xaionnx_kernels.coalitions import kernel_shap_coalitions, kernel_shap_plan

    model, x = games.loaded(players, seed=2), x_of(players, 2)
    result = xaionnx.explain(model, x, "kernel_shap", [0, 1], budget=202, seed=4)
    z, weights = kernel_shap_coalitions(4, 0, 200, kernel_shap_plan(players, 200))
    assert len(z) == result.diagnostics["evaluations"][0] - 2 == 200
    answers = model.run({"x": np.where(z, x, np.float32(0))})["y"].astype(float)
    ends = model.run({"x": np.concatenate([x, 0 * x])})["y"].astype(float)
    z = z.astype(float)
    bordered = np.block([[z.T * weights @ z, np.ones((players, 1))], [np.ones((1, players)), np.zeros((1, 1))]])
    right = np.concatenate([z.T * weights @ (answers - ends[1]), ends[:1] - ends[1:]])
    expected = np.linalg.solve(bordered, right)[:players].T
    assert_close(result.feature_values[:, 0], expected, Tolerance.SIGNED_LAYERS)


def test_a_ridge_draws_the_values_of_kernel_shap_towards_equal_shares():
    """Net A's 6 inner coalitions have weight 1/3 each; on vectors that sum to 0 the regression's matrix is 2/3 I."""
    model = planted.load(planted.net_a())
    result = xaionnx.explain(model, A, "kernel_shap", 0, ridge=1.0)
    shapley, share = np.array([230, 590, 350]) / 3, 390 / 3
    assert_close(result.feature_values[0], share + (shapley - share) * (2 / 3) / (2 / 3 + 1), Tolerance.SUMS)


# ---- axioms on random networks


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", EXACT)
def test_efficiency_at_any_budget(method, seed):
    model, x = games.loaded(12, seed), x_of(12, seed, samples=2)
    settings = {} if method == "exact_shapley" else {"budget": 150}
    result = xaionnx.explain(model, x, method, [0, 1], **settings)
    total = result.prediction - result.baseline_prediction
    assert_close(result.feature_values.sum(axis=-1), total, Tolerance.ORDER_ONE)
    assert_close(result.diagnostics["completeness_gap"], 0, Tolerance.ORDER_ONE)


@pytest.mark.parametrize("method", ["exact_shapley", "shapley_sampling", "kernel_shap", "banzhaf"])
def test_a_column_that_nothing_reads_and_columns_that_do_the_same(method):
    proto = games.network(8, seed=5)
    w1 = next(i for i in proto.graph.initializer if i.name == "w1")
    weights = np.frombuffer(w1.raw_data, np.float32).reshape(8, 16).copy()
    weights[0] = 0
    weights[2] = weights[1]
    w1.raw_data = weights.tobytes()
    x = x_of(8, 5)
    x[0, 2] = x[0, 1]
    result = xaionnx.explain(planted.load(proto), x, method, 0)  # 256 coalitions are within any budget
    assert_close(result.feature_values[0, 0], 0, Tolerance.ORDER_ONE)
    assert_close(result.feature_values[0, 1], result.feature_values[0, 2], Tolerance.SIGNED_LAYERS)
    if method == "shapley_sampling":
        drawn = xaionnx.explain(planted.load(proto), x, method, 0, budget=60)
        assert_close(drawn.feature_values[0, 0], 0, Tolerance.ORDER_ONE)


# ---- what sampling promises


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("kernel_shap", {}),
        ("banzhaf", {}),
        ("shapley_sampling", {"scheme": "antithetic"}),
        ("shapley_sampling", {"scheme": "orthogonal", "budget": 1000}),
        ("shapley_sampling", {"scheme": "plain"}),
    ],
)
def test_standard_errors_hold(known, method, more):
    """Over 30 seeds the errors of the estimates agree with their standard errors, on average and for each player."""
    model, x, shapley, banzhaf = known
    expected = banzhaf if method == "banzhaf" else shapley
    settings = {"budget": 300, **more}
    results = [xaionnx.explain(model, x, method, [0, 1], seed=seed, **settings) for seed in range(30)]
    off = np.array([r.feature_values[:, 0] - expected for r in results])
    errors = np.array([r.standard_error[:, 0] for r in results])
    ratio = np.sqrt(np.square(off).mean() / np.square(errors).mean())
    assert 0.7 < ratio < 1.25
    assert (np.abs(off) < 4 * errors).mean() > 0.99
    # Without bias: the mean of 30 runs is within 4 of its own standard errors.
    assert (np.abs(off.mean(axis=0)) < 4 * off.std(axis=0, ddof=1) / np.sqrt(30)).all()


@pytest.mark.parametrize("method", SAMPLED)
@pytest.mark.parametrize("budget", [101, 200, 333, 1000, 1024])
def test_the_budget_is_kept(known, method, budget):
    model, x, *_ = known
    spent = xaionnx.explain(model, x, method, 0, budget=budget).diagnostics["evaluations"][0]
    orders = 18  # a pair of orders of 10 players
    assert budget - orders < spent <= budget
    hurried = xaionnx.explain(model, x, method, 0, budget=budget, tolerance=1e-9)
    assert hurried.diagnostics["evaluations"][0] <= budget
    assert hurried.diagnostics["stopped_by"] == ["enumeration" if budget == 1024 else "budget"]


@pytest.mark.parametrize("method", SAMPLED)
def test_a_tolerance_ends_the_sampling(known, method):
    model, x, shapley, banzhaf = known
    expected = banzhaf if method == "banzhaf" else shapley
    spent = []
    for tolerance in (0.2, 0.05):
        result = xaionnx.explain(model, x, method, [0, 1], budget=1000, tolerance=tolerance)
        scale = np.abs(result.prediction - result.baseline_prediction)
        assert result.diagnostics["stopped_by"] == ["tolerance"]
        assert (result.standard_error.max(axis=-1) <= tolerance * scale).all()
        assert (np.abs(result.feature_values[:, 0] - expected) < 4 * tolerance * scale).all()
        spent += result.diagnostics["evaluations"]
    assert spent[0] < spent[1] < 1000


def test_a_tolerance_within_reach_of_all_coalitions_spends_at_most_those(known):
    model, x, shapley, _ = known
    for method in ("kernel_shap", "shapley_sampling"):
        result = xaionnx.explain(model, x, method, [0, 1], budget=5000, tolerance=1e-9)
        assert_close(result.feature_values[:, 0], shapley, Tolerance.SIGNED_LAYERS)
        assert result.diagnostics["evaluations"] == [1024]
        assert result.diagnostics["stopped_by"] == ["enumeration"]
        quick = xaionnx.explain(model, x, method, [0, 1], budget=5000, tolerance=0.1)
        assert quick.diagnostics["evaluations"][0] < 600
        assert quick.diagnostics["stopped_by"] == ["tolerance"]


@pytest.mark.parametrize("method", SAMPLED)
def test_a_budget_that_is_too_small_is_refused_before_anything_is_asked(method):
    model = games.loaded(20, seed=0)
    least = {"kernel_shap": 2 + 120, "shapley_sampling": 2 + 4 * 19, "banzhaf": 2 + 80}[method]
    name = {"kernel_shap": "KernelShap", "shapley_sampling": "ShapleySampling", "banzhaf": "Banzhaf"}[method]
    sentence = f"^{name} needs at least {least} model evaluations for 20 features, and its budget is {least - 1}"
    with pytest.raises(BudgetError, match=sentence):
        xaionnx.explain(model, x_of(20, 0), method, 0, budget=least - 1)
    result = xaionnx.explain(model, x_of(20, 0), method, 0, budget=least)
    assert result.diagnostics["evaluations"] == [least]
    rows = np.zeros((3, 20), np.float32)
    with pytest.raises(BudgetError, match=rf"needs at least {1 + 3 * (least - 1)} .* for 20 features and 3 baselines"):
        xaionnx.explain(model, x_of(20, 0), method, 0, budget=least, baseline=xaionnx.Baseline.background(rows))


@pytest.mark.parametrize("method", SAMPLED)
def test_neither_batch_nor_company_nor_targets_change_a_result(method):
    x = x_of(12, 9, samples=3)
    settings = {"budget": 200, "seed": 3}
    reference = xaionnx.explain(games.loaded(12, 9), x, method, [0, 1], **settings)
    for size in (1, 7, 64):
        other = xaionnx.explain(games.loaded(12, 9, batch_size=size), x, method, [0, 1], **settings)
        assert_close(other.values, reference.values, Tolerance.SIGNED_LAYERS)
    single = xaionnx.explain(games.loaded(12, 9), x[1:2], method, 1, **settings)
    assert_close(single.values[0], reference.values[1, 1], Tolerance.SIGNED_LAYERS)
    assert single.diagnostics["evaluations"] == reference.diagnostics["evaluations"][1:2]


def test_l1_keeps_as_many_features_as_asked_and_they_share_the_whole():
    weights = np.array([[0, 5.0, 0, 0.5, -3.0, 0, 0, 0.1]])
    model = planted.load(planted.linear(weights))
    result = xaionnx.explain(model, np.ones((1, 8), np.float32), "kernel_shap", 0, l1=2)
    np.testing.assert_array_equal(np.flatnonzero(result.feature_values[0]), [1, 4])
    assert_close(result.feature_values.sum(), weights.sum(), Tolerance.SUMS)
    everything = xaionnx.explain(model, np.ones((1, 8), np.float32), "kernel_shap", 0, l1=8)
    assert_close(everything.values, weights, Tolerance.ORDER_ONE)


def test_l1_selects_for_each_target_by_itself():
    model = planted.load(planted.linear(np.array([[4.0, 0, 0.1, 0], [0, 0.1, 0, 4.0]])))
    values = xaionnx.explain(model, np.ones((1, 4), np.float32), "kernel_shap", [0, 1], l1=1).feature_values
    assert_close(values[:, 0], [[4.1, 0, 0, 0], [0, 0, 0, 4.1]], Tolerance.SUMS)
    null = planted.load(planted.null((4,)))
    assert not xaionnx.explain(null, np.ones((1, 4), np.float32), "kernel_shap", 0, l1=2).values.any()


def test_kernel_shap_of_a_linear_model_is_its_weights_times_the_distance_from_the_mean():
    background = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    x = np.array([[0.5, -1.0, 2.0]], np.float32)
    model = planted.load(planted.linear([[1.0, 2.0, 0.0]]))
    result = xaionnx.explain(model, x, "kernel_shap", 0, baseline=Baseline.background(background), budget=2000)
    expected = (x - background.mean(axis=0)) * np.array([1, 2, 0])
    assert_close(result.values, expected, Tolerance.ORDER_ONE)
    assert result.diagnostics["evaluations"] == [1 + 200 * 7]
