"""Shapley interactions: published numbers, the definitions, axioms, and what sampling promises."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xaionnx
from models import planted
from tests.oracles import games
from tests.oracles import interactions as oracle
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import BudgetError, ParameterError
from xaionnx.explainers.shapley_interactions import ShapleyInteractions

INDICES = ["k_sii", "sii", "stii", "fsii", "bii", "fbii"]
EFFICIENT = ["k_sii", "stii", "fsii"]
DIVIDENDS = {(0,): 1.0, (1,): 2.0, (0, 1): 3.0, (0, 2): -1.0, (0, 1, 2): 6.0, (1, 2, 3): -3.0, (0, 1, 2, 3): 12.0}
PAIRS = np.triu_indices(4, 1)
# Singles 1, 2, 3, 4 and pairs 12, 13, 14, 23, 24, 34 of that game.
PUBLISHED = {
    "sii": ([7, 7.5, 3.5, 2], [10, 6, 4, 5.5, 2.5, 2.5]),
    "k_sii": ([-3, -1.5, -3.5, -2.5], [10, 6, 4, 5.5, 2.5, 2.5]),
    "stii": ([1, 2, 0, 0], [7, 3, 2, 3, 1, 1]),
    "fsii": ([-2.4, -0.9, -2.9, -1.9], [9.6, 5.6, 3.6, 5.1, 2.1, 2.1]),
    "bii": ([5, 5.75, 1.75, 0.75], [9, 5, 3, 4.5, 1.5, 1.5]),
    "fbii": ([-3.5, -1.75, -3.75, -2.25], [9, 5, 3, 4.5, 1.5, 1.5]),
}


def x_of(players, seed, samples=1):
    return np.random.default_rng([seed, 7]).normal(size=(samples, players)).astype(np.float32)


def by_set(result, sample=0):
    """The whole values of a result with one target, by set of players."""
    matrix = result.maps["interactions"][sample]
    found = {frozenset({i}): matrix[i, i] for i in range(len(matrix))}
    found |= {frozenset(s): 2 * matrix[s] for s in combinations(range(len(matrix)), 2)}
    for i, j, k, value, _ in result.diagnostics.get("triples", [[[]]])[sample][0]:
        found[frozenset({i, j, k})] = value
    return found


@pytest.mark.parametrize("index", INDICES)
def test_published_values_of_six_indices(index):
    model = planted.load(planted.polynomial(4, DIVIDENDS))
    result = xaionnx.explain(model, np.ones((1, 4), np.float32), "shapley_interactions", 0, index=index)
    singles, pairs = PUBLISHED[index]
    assert_close(result.feature_values[0], singles, Tolerance.ORDER_ONE)
    matrix = result.maps["interactions"][0]
    assert_close(2 * matrix[PAIRS], pairs, Tolerance.ORDER_ONE)
    assert_close(np.diag(matrix), singles, Tolerance.ORDER_ONE)
    assert result.provenance["interactions"] == {"index": index, "off_diagonal": "half"}
    assert result.diagnostics["evaluations"] == [16]
    assert result.diagnostics["stopped_by"] == ["enumeration"]
    assert not result.maps["interactions_standard_error"].any()
    if index in EFFICIENT:
        assert_close(matrix.sum(), 20, Tolerance.ORDER_ONE)
        assert_close(matrix.sum(axis=1), PUBLISHED["sii"][0], Tolerance.ORDER_ONE)
        assert_close(result.diagnostics["completeness_gap"], 0, Tolerance.ORDER_ONE)


@pytest.mark.parametrize("index", ["k_sii", "fsii"])
def test_two_indices_are_the_same_for_three_players(index):
    model = planted.load(planted.polynomial(3, {(0,): 1.0, (1,): 2.0, (0, 1): 3.0, (0, 2): -1.0, (0, 1, 2): 6.0}))
    result = xaionnx.explain(model, np.ones((1, 3), np.float32), "shapley_interactions", 0, index=index)
    assert_close(result.feature_values[0], [0, 1, -1], Tolerance.ORDER_ONE)
    assert_close(2 * result.maps["interactions"][0][np.triu_indices(3, 1)], [6, 2, 3], Tolerance.ORDER_ONE)
    assert_close(result.maps["interactions"][0].sum(axis=1), [4, 5.5, 1.5], Tolerance.ORDER_ONE)


def test_the_constant_of_fbii_is_the_mean_of_what_it_leaves():
    """Least squares over all coalitions: the published constant is 2.625."""
    model = planted.load(planted.polynomial(4, DIVIDENDS))
    matrix = xaionnx.explain(model, np.ones((1, 4), np.float32), "shapley_interactions", 0, index="fbii").maps[
        "interactions"
    ][0]
    coalitions = (np.arange(16)[:, None] >> np.arange(4)) & 1
    left = model.run({"x": coalitions.astype(np.float32)})["y"][:, 0]
    # The matrix holds half of each pair, so that a product with a coalition counts it once.
    left = left - np.einsum("ci,ij,cj->c", coalitions, matrix, coalitions)
    assert_close(left.mean(), 2.625, Tolerance.ORDER_ONE)
    assert_close(coalitions.T @ (left - 2.625), 0, Tolerance.ORDER_ONE, 20)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("index", INDICES)
def test_all_coalitions_give_the_definition(index, order):
    model, x = games.loaded(6, seed=4), x_of(6, 4)
    v = {s: float(value[0]) for s, value in games.values(model, x[0]).items()}
    result = xaionnx.explain(model, x, "shapley_interactions", 0, index=index, order=order)
    expected, found = getattr(oracle, index)(v, 6, order), by_set(result)
    assert found.keys() == expected.keys()
    assert_close([found[s] for s in expected], [*expected.values()], Tolerance.SIGNED_LAYERS)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sets(st.integers(0, 4), min_size=1).map(lambda s: tuple(sorted(s))), st.integers(-9, 9), min_size=1
    ),
    st.sampled_from(INDICES),
    st.integers(2, 3),
)
def test_any_game_of_five_columns(terms, index, order):
    """Each index against its definition; efficiency, a null player, and two columns that do the same."""
    model = planted.load(planted.polynomial(5, terms))
    v = {
        frozenset(s): float(sum(w for term, w in terms.items() if set(term) <= set(s)))
        for size in range(6)
        for s in combinations(range(5), size)
    }
    result = xaionnx.explain(model, np.ones((1, 5), np.float32), "shapley_interactions", 0, index=index, order=order)
    found, expected = by_set(result), getattr(oracle, index)(v, 5, order)
    scale = sum(map(abs, terms.values())) + 1
    assert_close([found[s] for s in expected], [*expected.values()], Tolerance.ORDER_ONE, scale)
    if index in EFFICIENT:
        assert_close(sum(found.values()), sum(terms.values()), Tolerance.ORDER_ONE, scale)
    for null in set(range(5)) - {i for term in terms for i in term}:
        assert_close([value for s, value in found.items() if null in s], 0, Tolerance.ORDER_ONE, scale)


@pytest.mark.parametrize("index", INDICES)
def test_games_of_pairs_are_found_exactly_by_sampling(index):
    rng = np.random.default_rng(0)
    terms = {s: float(rng.integers(-5, 6)) for size in (1, 2) for s in combinations(range(14), size)}
    model = planted.load(planted.polynomial(14, terms))
    result = xaionnx.explain(model, np.ones((1, 14), np.float32), "shapley_interactions", 0, index=index, budget=800)
    assert result.diagnostics["stopped_by"] == ["budget"]
    matrix = result.maps["interactions"][0]
    pairs = np.triu_indices(14, 1)
    expected = np.array([terms[s] for s in zip(*map(np.ndarray.tolist, pairs), strict=True)])
    assert_close(2 * matrix[pairs], expected, Tolerance.ORDER_ONE, 20)
    assert_close(result.maps["interactions_standard_error"], 0, Tolerance.ORDER_ONE, 20)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("index", INDICES)
def test_standard_errors_hold(index, order):
    """Over 20 seeds: errors agree with their standard errors on average, lie within 4 of them, and are not biased."""
    model, x = games.loaded(11, seed=0), x_of(11, 0)
    exact = xaionnx.explain(model, x, "shapley_interactions", [0, 1], index=index, order=order)
    budget = {2: 400, 3: 900}[order]
    found = [
        xaionnx.explain(model, x, ShapleyInteractions(index=index, order=order, budget=budget, seed=seed), [0, 1])
        for seed in range(20)
    ]
    assert all(max(one.diagnostics["evaluations"]) <= budget for one in found)
    sets = np.triu_indices(11)
    off = np.array([(one.maps["interactions"] - exact.maps["interactions"])[:, 0][:, *sets] for one in found])
    errors = np.array([one.maps["interactions_standard_error"][:, 0][:, *sets] for one in found])
    random = (errors > 1e-9).any(axis=(0, 1))
    # Of STII, sets below the order are evaluated exactly.
    assert_close(off[..., ~random], 0, Tolerance.SIGNED_LAYERS)
    if random.any():
        off, errors = off[..., random], errors[..., random]
        ratio = np.sqrt(np.square(off).mean() / np.square(errors).mean())
        assert 0.7 < ratio < 1.25
        assert (np.abs(off) < 4 * errors).mean() > 0.99
        assert (np.abs(off.mean(axis=0)) < 4.5 * off.std(axis=0, ddof=1) / np.sqrt(20)).mean() > 0.99


def test_a_tolerance_ends_the_sampling():
    model, x = games.loaded(14, seed=2), x_of(14, 2)
    loose = xaionnx.explain(model, x, "shapley_interactions", 0, tolerance=0.2, budget=8000)
    tight = xaionnx.explain(model, x, "shapley_interactions", 0, tolerance=0.01, budget=8000)
    assert loose.diagnostics["stopped_by"] == tight.diagnostics["stopped_by"] == ["tolerance"]
    assert loose.diagnostics["evaluations"][0] < tight.diagnostics["evaluations"][0] < 8000
    change = np.abs(tight.prediction - tight.baseline_prediction)
    assert (tight.maps["interactions_standard_error"].max(axis=(1, 2)) <= 0.01 * change).all()


def test_a_first_stage_that_determines_nothing_is_followed_by_the_next():
    model, x = games.loaded(12, seed=0), x_of(12, 0)
    # The first 156 coalitions of this seed leave a pair undetermined.
    result = xaionnx.explain(model, x, "shapley_interactions", 0, seed=141, budget=2400, tolerance=0.1)
    assert result.diagnostics["stopped_by"] == ["tolerance"]


def test_pairs_and_triples_that_few_coalitions_carry_have_no_errors():
    model, x = games.loaded(12, seed=0), x_of(12, 0)
    few = xaionnx.explain(model, x, "shapley_interactions", 0, budget=3 * 78 + 2)
    assert "interactions_standard_error" not in few.maps
    assert (few.standard_error > 0).all()
    assert few.diagnostics["no_standard_error"] == ["few of the coalitions drawn carry the values of pairs"]
    # A tolerance is not reached by the errors of single features alone, nor are samples that stop mixed with others.
    more = xaionnx.explain(model, x, "shapley_interactions", 0, budget=3000, tolerance=0.9)
    assert more.diagnostics["stopped_by"] == ["tolerance"]
    assert "no_standard_error" not in more.diagnostics
    assert (more.maps["interactions_standard_error"] > 0).any()
    triples = xaionnx.explain(games.loaded(15, seed=0), x_of(15, 0), "shapley_interactions", 0, order=3, budget=1727)
    assert triples.diagnostics["no_standard_error"] == ["few of the coalitions drawn carry the values of triples"]
    assert all(error is None for *_, error in triples.diagnostics["triples"][0][0])
    assert "interactions_standard_error" in triples.maps


def test_singles_of_sii_and_bii_are_shapley_and_banzhaf_values():
    model, x = games.loaded(9, seed=1), x_of(9, 1)
    for index, method in (("sii", "exact_shapley"), ("bii", "banzhaf")):
        singles = xaionnx.explain(model, x, "shapley_interactions", [0, 1], index=index).feature_values
        assert_close(singles, xaionnx.explain(model, x, method, [0, 1]).feature_values, Tolerance.SIGNED_LAYERS)


def test_samples_with_fewer_features_are_padded():
    x = np.zeros((2, 3, 24, 24), np.float32)
    x[0, :, 8:] = 1.0
    rng = np.random.default_rng(0)
    x[1] = rng.normal(size=(3, 24, 24))
    model = planted.load(planted.mean_picture(24, 24, 3))
    result = xaionnx.explain(model, x, "shapley_interactions", features="felzenszwalb:20", budget=3000)
    first, second = result.diagnostics["players"]
    assert first != second
    most = max(first, second)
    assert result.maps["interactions"].shape == (2, most, most)
    for matrix, players in zip(result.maps["interactions"], (first, second), strict=True):
        assert np.isfinite(matrix[:players, :players]).all()
        assert np.isnan(matrix[players:]).all()


def test_what_cannot_be_paid_is_refused():
    model, x = games.loaded(40, seed=0), x_of(40, 0)
    with pytest.raises(BudgetError, match=r"ShapleyInteractions needs at least 1562 model evaluations for 40 features"):
        xaionnx.explain(model, x, "shapley_interactions", 0, budget=500)
    many = planted.load(planted.linear(np.ones((1, 5000))))
    with pytest.raises(ParameterError, match=r"would fit a regression of 12,502,500 features"):
        xaionnx.explain(many, np.ones((1, 5000), np.float32), "shapley_interactions", 0)
    with pytest.raises(
        ParameterError, match=r"The 'order' parameter of ShapleyInteractions must be an int in \[2, 3\]"
    ):
        ShapleyInteractions(order=4)


def test_one_feature_has_no_pairs():
    model = planted.load(planted.linear([[3.0]]))
    result = xaionnx.explain(model, np.full((1, 1), 2, np.float32), "shapley_interactions", order=3)
    assert result.values.tolist() == [[6.0]]
    assert result.maps["interactions"].tolist() == [[[6.0]]]
    assert result.diagnostics["triples"] == [[[]]]
