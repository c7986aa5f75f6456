"""Background rows: one parameter of every method that compares with a baseline."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import linear
from xaionnx import Baseline, discovery, parameters
from xaionnx.errors import InputMismatchError, ParameterError
from xaionnx.perturb.background import SIZE
from xaionnx.perturb.baselines.background import Background
from xaionnx.render.settings import facts

ROWS = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
X = np.float32([[1, 2, 3], [0, 1, -1]])
SLOPES = np.float32([[1], [100], [-3]])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return xaionnx.Model.load(linear(tmp_path_factory.mktemp("background") / "m.onnx", SLOPES))


def with_background():
    return [m for m in discovery.METHODS.kinds() if "background" in parameters.declared(m)]


def test_every_method_with_a_baseline_has_a_background():
    with_baseline = {m.name() for m in discovery.METHODS.kinds() if "baseline" in parameters.declared(m)}
    # Its baseline is one for each sample. Methods that read the file, such as tree_shap, take a background alone.
    assert with_baseline - {"score_cam"} <= {m.name() for m in with_background()}


@pytest.mark.parametrize("method", ["kernel_shap", "feature_ablation", "integrated_gradients", "deep_lift", "lime"])
def test_the_values_are_those_of_a_baseline_of_these_rows(model, method):
    few = ROWS[:20]
    options = {"alpha": 0.0} if method == "lime" else {}
    given = xaionnx.explain(model, X, method, 0, background=few, **options)
    by_baseline = xaionnx.explain(model, X, method, 0, baseline=Baseline.background(few), **options)
    np.testing.assert_array_equal(given.values, by_baseline.values)
    np.testing.assert_allclose(given.values, (X - few.mean(axis=0)) * SLOPES[:, 0], rtol=1e-3, atol=1e-4)
    assert "zero_by_default" not in given.provenance


@pytest.mark.parametrize(
    "kind", [m for m in with_background() if "baseline" in parameters.declared(m)], ids=lambda kind: kind.name()
)
def test_a_baseline_and_a_background_are_refused(kind):
    with pytest.raises(ParameterError, match="takes a 'baseline' or a 'background'\\. Got both"):
        kind(baseline=0.5, background=ROWS)


def test_many_rows_become_a_seeded_sample(model):
    found = {seed: xaionnx.explain(model, X, "feature_ablation", 0, background=ROWS, seed=seed) for seed in (0, 1)}
    again = xaionnx.explain(model, X, "feature_ablation", 0, background=ROWS, seed=0)
    np.testing.assert_array_equal(found[0].values, again.values)
    assert not np.array_equal(found[0].values, found[1].values)
    assert found[0].diagnostics["evaluations"] == [1 + 3 * SIZE] * 2
    recorded = found[0].provenance["parameters"]["background"]
    assert (recorded["rows"]["shape"], recorded["given"], recorded["reduction"]) == ([SIZE, 3], 300, "sample")
    assert f"{SIZE} of 300 background rows" in facts(found[0].sample(0))
    whole = xaionnx.explain(model, X, "feature_ablation", 0, background=ROWS, background_size=1000)
    assert whole.diagnostics["evaluations"] == [1 + 3 * 300] * 2
    assert "300 background rows" in facts(whole.sample(0))


def test_rows_near_the_centres_are_weighted_by_their_clusters(model):
    clusters = np.repeat(np.float32([[0, 0, 0], [10, 0, 0], [0, 10, 0]]), [70, 20, 10], axis=0)
    rows = clusters + 1e-3 * ROWS[:100]
    found = xaionnx.explain(
        model, X, "kernel_shap", 0, background=rows, background_size=3, background_reduction="kmeans"
    )
    np.testing.assert_allclose(found.values, (X - rows.mean(axis=0)) * SLOPES[:, 0], atol=0.2)
    assert found.provenance["parameters"]["background"]["shares"]["shape"] == [3]
    np.testing.assert_allclose(found.diagnostics["completeness_gap"], 0, atol=1e-9)
    assert "3 of 100 background rows by k-means" in facts(found.sample(0))


def test_a_centre_is_a_row():
    rows = np.float32([[0, 1], [0, 2], [9, 1], [9, 2], [9, 2]])
    bound = Background(rows, 2, "kmeans").bind(None)
    assert all(any(np.array_equal(row, one) for one in rows) for row in bound.rows)
    np.testing.assert_allclose(np.sort(bound.weights), [0.4, 0.6])


def test_equal_rows_are_one_centre():
    bound = Background(np.ones((9, 2), np.float32), 4, "kmeans").bind(None)
    assert (len(bound.rows), bound.weights.tolist()) == (1, [1.0])


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (np.empty((0, 3), np.float32), ParameterError, "must be rows of data"),
        (np.ones((4, 2), np.float32), InputMismatchError, "does not fit input 'x'"),
        ({"x": np.ones((4, 3)), "z": np.ones((5, 3))}, InputMismatchError, "differ in their number: x 4, z 5"),
    ],
)
def test_what_is_no_background_is_refused(model, rows, error, said):
    with pytest.raises(error, match=said):
        xaionnx.explain(model, X, "kernel_shap", 0, background=rows)


@pytest.mark.parametrize("method", ["kernel_shap", "lime", "banzhaf", "shapley_sampling", "sobol"])
def test_the_default_budget_is_for_each_background_row(method):
    rng = np.random.default_rng(4)
    model = planted.load(planted.linear(rng.normal(size=(1, 20)).tolist()))
    rows = rng.normal(size=(150, 20)).astype(np.float32)
    default = discovery.method(method).default_budget
    found = xaionnx.explain(model, rows[:1], method, 0, background=rows, background_size=40)
    assert default * 40 * 0.4 < found.diagnostics["evaluations"][0] <= default * 40
    assert found.provenance["parameters"]["budget"] == default * 40
    alone = xaionnx.explain(model, rows[:1], method, 0)
    assert alone.diagnostics["evaluations"][0] <= default == alone.provenance["parameters"]["budget"]
