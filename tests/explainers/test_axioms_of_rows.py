"""The axioms of Shapley values over random models, with one baseline, background rows and rows weighted by clusters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xaionnx
from tests.tiny import loaded
from xaionnx.perturb.baselines.background import Background

EXACT = {"kernel_shap": {"budget": 40_000}, "exact_shapley": {}, "shapley_sampling": {"budget": 40_000}}
SAMPLED = {"kernel_shap": {"budget": 60 * 9}, "shapley_sampling": {"budget": 60 * 9}}
REMOVED = {
    "baseline": lambda rows: {"baseline": rows[:1]},
    "background": lambda rows: {"background": rows, "background_size": 9},
    "kmeans": lambda rows: {"background": rows, "background_size": 4, "background_reduction": "kmeans"},
}
COLUMNS = 7


def net(rng, *, dummy=False, equal=False):
    """A random net of two layers in which the last column is unused, or the first two are alike."""
    first, second = rng.normal(size=(COLUMNS, 8)), rng.normal(size=(8, 1))
    if dummy:
        first[-1] = 0
    if equal:
        first[1] = first[0]
    return first, second


def explained(model, x, method, options, removed, rows):
    return xaionnx.explain(model, x, method, 0, **options, **REMOVED[removed](rows))


def run(*layers):
    """The sum of nets, scaled: y = sum of a * tanh(x w) v."""
    parts = [f"h{i} = MatMul(x, w{i})  t{i} = Tanh(h{i})  y{i} = MatMul(t{i}, v{i})" for i in range(len(layers))]
    total = "y = Identity(y0)" if len(layers) == 1 else "y = Add(y0, y1)"
    weights = {f"{name}{i}": pair[k] for i, pair in enumerate(layers) for k, name in enumerate("wv")}
    return loaded(f"g (float[N,{COLUMNS}] x) => (float[N,1] y) {{ {' '.join(parts)} {total} }}", **weights)


def drawn(seed):
    rng = np.random.default_rng(seed)
    x, rows = rng.normal(size=(3, COLUMNS)).astype(np.float32), rng.normal(size=(9, COLUMNS)).astype(np.float32)
    return rng, x, rows


@pytest.mark.parametrize("removed", REMOVED)
@pytest.mark.parametrize("method", EXACT)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_efficiency_dummy_and_symmetry(method, removed, seed):
    rng, x, rows = drawn(seed)
    x[:, 1], rows[:, 1] = x[:, 0], rows[:, 0]
    found = explained(run(net(rng, dummy=True, equal=True)), x, method, EXACT[method], removed, rows)
    values = np.asarray(found.feature_values)
    change = found.prediction - found.baseline_prediction
    np.testing.assert_allclose(values.sum(axis=1), change, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(values[:, -1], 0, atol=2e-6)
    np.testing.assert_allclose(values[:, 0], values[:, 1], atol=2e-6)


@pytest.mark.parametrize("removed", REMOVED)
@pytest.mark.parametrize("method", EXACT)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_linearity(method, removed, seed):
    rng, x, rows = drawn(seed)
    one, other = net(rng), net(rng)
    parts = [explained(run(part), x, method, EXACT[method], removed, rows).feature_values for part in (one, other)]
    both = explained(run(one, other), x, method, EXACT[method], removed, rows).feature_values
    np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("removed", REMOVED)
@pytest.mark.parametrize("method", SAMPLED)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_samples_of_coalitions_are_efficient_too(method, removed, seed):
    rng, x, rows = drawn(seed)
    found = explained(run(net(rng)), x, method, SAMPLED[method], removed, rows)
    change = found.prediction - found.baseline_prediction
    np.testing.assert_allclose(np.sum(found.feature_values, axis=1), change, rtol=1e-6, atol=1e-6)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_values_over_background_rows_are_the_weighted_mean_of_those_over_each(seed):
    rng, x, rows = drawn(seed)
    model = run(net(rng))
    each = [explained(model, x, "exact_shapley", {}, "baseline", row[None]).feature_values for row in rows]
    found = explained(model, x, "exact_shapley", {}, "background", rows)
    np.testing.assert_allclose(found.feature_values, np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    clusters = explained(model, x, "exact_shapley", {}, "kmeans", rows)
    bound = Background(rows, 4, "kmeans").bind(model)
    numbers = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in bound.rows]
    expected = np.tensordot(bound.weights, np.array(each)[numbers], axes=1)
    np.testing.assert_allclose(clusters.feature_values, expected, rtol=1e-4, atol=1e-5)
