"""Standard errors of regressions on sampled coalitions: dense matrices of the formulas, and games of every kind."""

from itertools import combinations

import numpy as np
import pytest
from scipy import linalg, stats
from xaionnx_kernels.coalitions import kernel_shap_plan

import xaionnx
from models import planted
from tests import tiny
from xaionnx.explainers._games.interaction_indices import coalition_weights
from xaionnx.explainers._games.interaction_sampling import Sampled, sampled_interactions
from xaionnx.explainers._games.kernel_shap_pairs import KernelShapPairs
from xaionnx.explainers._games.paired_regression import DrawnPairs, regress
from xaionnx.student import moderated, student

PLAYERS = 9
ALL = (np.arange(2**PLAYERS)[:, None] >> np.arange(PLAYERS)) % 2 > 0


def drawn(coalitions, seed=2, complete=0):
    """Pairs as KernelSHAP draws them: first coalitions, weights and finite-population shares."""
    pairs = KernelShapPairs(kernel_shap_plan(PLAYERS, coalitions, complete), seed, complete)
    numbers, weights, shares = pairs.design(coalitions)
    return pairs.firsts(numbers, 0, len(numbers)), weights, shares


def game(rows):
    """Two games, one of which changes its slope with the size."""
    w = np.random.default_rng(1).normal(size=(PLAYERS, 3))
    sizes = rows.sum(axis=1)
    return np.stack([np.tanh(rows @ w).sum(axis=1), (sizes / PLAYERS) ** 4 + 0.1 * np.sin(rows @ w[:, 0])], axis=1)


def split(residuals, sizes, drawn):
    """Residuals about their mean at each size among rows that are drawn, and the means by size."""
    centred, means = residuals.astype(float).copy(), np.zeros((PLAYERS + 1, residuals.shape[1]))
    for size in range(PLAYERS + 1):
        some = drawn & (sizes == size)
        if some.sum() > 1:
            means[size] = residuals[some].mean(axis=0)
            centred[some] = (residuals[some] - means[size]) * np.sqrt(some.sum() / (some.sum() - 1))
    return centred, means


def freedom(scores, free):
    """Degrees of freedom of a sum of squares whose rows weigh as the squares of scores, and leave a share free."""
    return (scores.sum() * (scores * free).sum() / np.square(scores).sum()).astype(int)


def test_errors_of_the_regression_over_pairs_are_those_of_dense_matrices():
    firsts, weights, shares = drawn(150)
    assert 0 < (shares == 0).sum() < len(shares)
    halves = (game(firsts) - game(~firsts)) / 2
    total = (game(ALL[-1:]) - game(ALL[:1]))[0]
    values, errors = regress(
        DrawnPairs(lambda start, stop: firsts[start:stop], weights, shares, by_size=True), halves, total=total
    )
    u = firsts - 0.5
    reduced, rest = u[:, :-1] - u[:, -1:], halves - u[:, -1:] * total
    inverse = np.linalg.inv(reduced.T @ (weights[:, None] * reduced))
    solved = inverse @ reduced.T @ (weights[:, None] * rest)
    assert np.allclose(values.T, np.concatenate([solved, total[None] - solved.sum(axis=0)]))
    hat = np.einsum("mi,ij,mj->m", reduced, inverse, reduced) * weights
    reach = reduced @ inverse * weights[:, None]
    reach = np.concatenate([reach, -reach.sum(axis=1, keepdims=True)], axis=1)
    sizes = firsts.sum(axis=1)
    centred, means = split(rest - reduced @ solved, sizes, shares > 0)
    expected = np.zeros((2, PLAYERS))
    for player in range(PLAYERS):
        scores = shares * reach[:, player] ** 2
        variance = scores @ (centred**2 / (1 - hat)[:, None])
        shifts = np.array([reach[sizes == size, player].sum() for size in range(PLAYERS + 1)])
        widened = student(freedom(scores, 1 - hat))
        expected[:, player] = np.sqrt(widened**2 * variance + (means**2 * shifts[:, None] ** 2).sum(axis=0))
    assert np.allclose(errors, expected, rtol=1e-9)


def sampled(count, order):
    firsts, weights, missing = drawn(count, complete=order - 1)
    ends = np.zeros((1, PLAYERS), dtype=bool)
    both = np.concatenate([ends, firsts])
    rows = np.stack([both, ~both], axis=1).reshape(-1, PLAYERS)
    sizes = rows.sum(axis=1)
    scale = 1 / np.maximum(np.bincount(sizes[2:], minlength=PLAYERS + 1), 1)
    scale[[0, -1]] = 1
    weights, missing = np.concatenate([weights[:1], weights]), np.concatenate([[0.0], missing])
    return Sampled(both, game(rows), weights, missing, scale, by_size=True), rows, sizes


def test_errors_of_the_faithful_polynomial_are_those_of_dense_matrices():
    draw, rows, sizes = sampled(260, 2)
    found = sampled_interactions(draw, "fsii", 2)
    sets = [s for size in (1, 2) for s in combinations(range(PLAYERS), size)]

    def design(some):
        present = np.array([[all(row[list(s)]) for s in sets] for row in some], float)
        return present[:, :-1] - present[:, -1:], present[:, -1:]

    columns, last = design(rows)
    start, total = draw.outputs[0], draw.outputs[1] - draw.outputs[0]
    weights = np.repeat(draw.weights, 2)
    rest = draw.outputs - start - last * total
    inverse = np.linalg.inv(columns.T @ (weights[:, None] * columns))
    solved = inverse @ columns.T @ (weights[:, None] * rest)
    values = np.concatenate([solved, total[None] - solved.sum(axis=0)])
    assert np.allclose(np.concatenate(found.values, axis=1).T, values)
    centred, means = split(rest - columns @ solved, sizes, np.repeat(draw.missing > 0, 2))
    every = design(ALL)[0] @ inverse

    def full(reach):
        return np.concatenate([reach, -reach.sum(axis=1, keepdims=True)], axis=1)

    scores, average = full(columns @ inverse) * weights[:, None], full(every)
    hats, roots = [], []
    for n, missing in enumerate(draw.missing):
        pair = slice(2 * n, 2 * n + 2)
        hats.append(missing > 0 and columns[pair] @ inverse @ columns[pair].T * weights[pair][:, None])
        roots.append(np.eye(2) if missing == 0 else linalg.inv(linalg.sqrtm(np.eye(2) - hats[-1])))
    freed = np.concatenate([root @ centred[2 * n : 2 * n + 2] for n, root in enumerate(roots)])
    free = np.array([np.ones(2) if m == 0 else 1 - np.diag(h) for h, m in zip(hats, draw.missing, strict=True)])
    for k in (0, 4, 20, len(sets) - 1):
        each = np.stack([(scores[:, k, None] * freed)[0::2], (scores[:, k, None] * freed)[1::2]]).sum(axis=0)
        squares = scores[:, k].reshape(-1, 2) ** 2 * draw.missing[:, None]
        degrees = int(squares.sum() * (squares * free).sum() / np.square(squares.sum(axis=1)).sum())
        shifts = np.zeros(PLAYERS + 1)
        for size in range(1, PLAYERS):
            own = sizes == size
            shifts[size] = scores[own, k].sum() - weights[own].sum() * average[ALL.sum(axis=1) == size, k].mean()
        both = [shifts[[h]] @ means[[h]] + shifts[[PLAYERS - h]] @ means[[PLAYERS - h]] for h in range(1, 5)]
        expected = student(degrees) ** 2 * (draw.missing @ each**2) + np.square(both).sum(axis=0)
        errors = np.concatenate(found.standard_error, axis=1)[:, k]
        assert np.allclose(errors, np.sqrt(expected), rtol=1e-8), k


def test_a_pair_that_few_coalitions_carry_has_no_error():
    few, _, _ = sampled(3 * 45, 2)
    single, pair = sampled_interactions(few, "stii", 2).standard_error
    assert (single == 0).all()
    assert (pair is None) == (_carrying(few) < 4)
    enough, _, _ = sampled(300, 2)
    assert _carrying(enough) >= 4
    assert sampled_interactions(enough, "stii", 2).standard_error[1] is not None


def _carrying(draw):
    """How many pairs of coalitions carry a pair of players: (sum of a^2)^2 / sum of a^4 over their factors a."""
    table = coalition_weights("stii", PLAYERS, 2, 2) * draw.scale[:, None]
    rows = np.stack([draw.firsts, ~draw.firsts], axis=1).reshape(-1, PLAYERS)
    squares = []
    for s in combinations(range(PLAYERS), 2):
        factors = table[rows.sum(axis=1), rows[:, list(s)].sum(axis=1)]
        squares.append(draw.missing * np.square(factors).reshape(-1, 2).sum(axis=1))
    return np.mean(np.sum(squares, axis=1)) ** 2 / np.mean(np.sum(np.square(squares), axis=1))


def other_games():
    """Three outputs of twelve columns, none of which is in the table: waves, late steps and a largest sum."""
    rng = np.random.default_rng(3)
    arrays = {
        "w": rng.normal(size=(12, 8)), "v": rng.normal(size=(8, 1)), "c": rng.normal(size=8),
        "late": np.abs(rng.normal(size=(12, 1))), "u": rng.normal(size=(12, 8)),
    }  # fmt: skip
    arrays["late"] *= 30 / arrays["late"].sum()
    text = (
        "g (float[N,12] x) => (float[N,3] y) { a = MatMul(x, w) b = Add(a, c) d = Sin(b) y0 = MatMul(d, v) "
        "e = MatMul(x, late) f = Add(e, shift) y1 = Sigmoid(f) h = MatMul(x, u) "
        "y2 = ReduceMax<axes=[1]>(h) y = Concat<axis=1>(y0, y1, y2) }"
    )
    return tiny.loaded(text, shift=np.float32([-21]), **{k: a.astype(np.float32) for k, a in arrays.items()})


SETTINGS = {
    "kernel_shap": {"budget": 120},
    "banzhaf": {"budget": 120},
    "shapley_interactions": {"budget": 400},
}


@pytest.mark.parametrize("method", SETTINGS)
def test_errors_agree_with_those_of_games_that_the_table_does_not_have(method):
    model, x, targets = other_games(), np.ones((1, 12), np.float32), [0, 1, 2]
    exact = xaionnx.explain(model, x, method, targets, budget=2**13).values[:, 0]
    found = [xaionnx.explain(model, x, method, targets, seed=seed, **SETTINGS[method]) for seed in range(80)]
    off = np.array([one.values[:, 0] - exact for one in found])
    errors = np.array([one.standard_error[:, 0] for one in found])
    ratio = np.sqrt(np.square(errors).mean(axis=(0, 2)) / np.square(off).mean(axis=(0, 2)))
    # A ratio of means of 80 by 12 numbers is known to about 0.05.
    assert (np.abs(ratio - 1.03) < 0.18).all(), ratio


def test_errors_of_a_game_of_sizes_are_what_the_draw_left_unbalanced():
    terms = dict.fromkeys(combinations(range(11), 5), 1.0)
    model, x = planted.load(planted.polynomial(11, terms)), np.ones((1, 11), np.float32)
    share = len(terms) / 11
    found = [xaionnx.explain(model, x, "kernel_shap", 0, budget=150, seed=seed) for seed in range(20)]
    off = np.array([one.values[0] - share for one in found])
    errors = np.array([one.standard_error[0] for one in found])
    # About the values themselves, residuals of 20 seeds would be twice as large.
    assert 0.7 < np.sqrt(np.square(errors).mean() / np.square(off).mean()) < 1.4


def test_a_variance_of_few_draws_is_shrunk_and_widened():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 30, 4))
    off, variance = draws.mean(axis=2), draws.var(axis=2, ddof=1) / 4
    errors = np.sqrt(moderated(variance, variance.mean(axis=1, keepdims=True), 3))
    assert (np.abs(off) < 1.96 * errors).mean() > 0.95
    assert moderated(variance, variance, 3).min() >= (stats.t.ppf(0.975, 8) / 1.96) ** 2 * variance.min() * 0.99
