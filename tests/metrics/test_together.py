"""Short samples are run together, and their scores are those that they have alone."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import rows_run
from tests.tiny import loaded, normal
from xaionnx.errors import OutputError
from xaionnx.evaluation import metrics, score_table
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import METRICS
from xaionnx.explainers.input_x_gradient import InputXGradient

X = normal(64, 6)
BACKGROUND = normal(7, 6, seed=1)
BY_REMOVAL = [name for name in metrics() if "baseline" in METRICS.find(name).__dataclass_fields__]


@pytest.fixture(scope="module")
def net():
    body = "h = MatMul(x, w) t = Tanh(h) y = MatMul(t, v) }"
    return loaded("g (float[N, 6] x) => (float[N, 3] y) { " + body, w=normal(6, 5), v=normal(5, 3))


@pytest.mark.parametrize("name", BY_REMOVAL)
def test_many_rows_cost_a_few_runs_and_have_the_scores_that_they_have_alone(name, net, monkeypatch):
    settings = {"background": BACKGROUND, "background_size": 7}
    record = xaionnx.explain(net, X, "input_x_gradient")
    # The batch size that is best has been found by then.
    xaionnx.evaluate(net, X, record, name, controls=(), **settings)
    runs = rows_run(monkeypatch)
    together = xaionnx.evaluate(net, X, record, name, controls=(), **settings)
    assert len(runs) <= 2 + sum(runs) / 256
    for n in (0, 7, 63):
        alone = xaionnx.evaluate(net, X[n : n + 1], "input_x_gradient", name, controls=(), **settings)
        np.testing.assert_allclose(alone.values, together.values[n : n + 1], rtol=1e-5, atol=1e-6)
        for curve, points in alone.curves.items():
            np.testing.assert_allclose(points[0], together.curves[curve][n], rtol=1e-5, atol=1e-6)
        assert alone.diagnostics["evaluations"] == together.diagnostics["evaluations"][n : n + 1]


ROBUSTNESS = [name for name in metrics() if METRICS.find(name).category() == "robustness"]


def test_neighbours_are_explained_once_for_all_metrics_that_compare_them(net, monkeypatch):
    explained, inner = [], Evidence.explain

    def explain(self, feeds, rows, *rest):
        explained.append(len(rows))
        return inner(self, feeds, rows, *rest)

    alone = {name: xaionnx.evaluate(net, X[:3], "input_x_gradient", name, controls=()) for name in ROBUSTNESS}
    monkeypatch.setattr(Evidence, "explain", explain)
    found = score_table(net, X[:3], ["input_x_gradient"], ROBUSTNESS, controls=()).scores["input_x_gradient"]
    assert len(found) == len(ROBUSTNESS) == 6
    assert sum(explained) == 3 * 10
    for name, scores in found.items():
        np.testing.assert_array_equal(scores.values, alone[name].values)


def test_the_map_of_another_class_is_made_once_for_all_metrics(net, monkeypatch):
    explained, inner = [], InputXGradient.compute

    def compute(self, request):
        explained.append(len(request.samples))
        return inner(self, request)

    monkeypatch.setattr(InputXGradient, "compute", compute)
    names = ["deletion", "insertion", "irof"]
    score_table(net, X[:3], ["input_x_gradient"], names, target=0, controls=["other_class"])
    # All samples, the first one again for its time, and all for another class.
    assert explained == [3, 1, 3]


def test_a_sample_without_an_order_is_not_run_and_has_no_score(net):
    record = xaionnx.explain(net, X[:3], "input_x_gradient")
    record.values[1] = 1
    scores = xaionnx.evaluate(net, X[:3], record, "deletion", controls=())
    assert np.isfinite(scores.values).tolist() == [True, False, True]
    assert scores.reasons == {1: "all values are equal, so that they give no order"}
    assert scores.diagnostics["evaluations"] == [7, 0, 7]


def test_the_sample_without_a_finite_target_is_named():
    sums = "g (float[N, 2] x) => (float[N, 1] y) { s = Log(x) y = ReduceSum<keepdims=1>(s, a) }"
    model, x = loaded(sums, a=np.array([1])), np.float32([[1, 2], [3, 4]])
    with pytest.raises(OutputError, match=r"NaN or infinity where features are removed \(coalition \d+ of sample 0\)"):
        xaionnx.evaluate(model, x, "input_x_gradient", "infidelity", controls=())
    finite = xaionnx.evaluate(model, x, "input_x_gradient", "infidelity", controls=(), baseline=1)
    assert np.isfinite(finite.values).all()


def test_pictures_that_share_no_players_are_scored_one_after_another():
    model = planted.load(planted.mean_picture(8, 8))
    x = np.random.default_rng(0).uniform(size=(3, 1, 8, 8)).astype(np.float32)
    together = xaionnx.evaluate(model, x, "input_x_gradient", "irof", controls=(), features="superpixels:6")
    alone = [
        xaionnx.evaluate(model, x[n : n + 1], "input_x_gradient", "irof", controls=(), features="superpixels:6").values
        for n in range(3)
    ]
    np.testing.assert_allclose(together.values, np.concatenate(alone))


def test_road_runs_small_pictures_together(monkeypatch):
    model = planted.load(planted.mean_picture(8, 8))
    x = np.random.default_rng(0).uniform(size=(32, 1, 8, 8)).astype(np.float32)
    record = xaionnx.explain(model, x, "input_x_gradient")
    xaionnx.evaluate(model, x, record, "road", controls=())
    runs = rows_run(monkeypatch)
    together = xaionnx.evaluate(model, x, record, "road", controls=())
    assert len(runs) <= 2 + sum(runs) / 64
    one = xaionnx.evaluate(model, x[5:6], "input_x_gradient", "road", controls=())
    np.testing.assert_allclose(one.values, together.values[5:6], rtol=1e-5)


def test_road_leaves_a_pixel_of_the_smallest_pictures():
    model = planted.load(planted.mean_picture(2, 2))
    x = np.float32([[[[1, 2], [3, 4]]]])
    scores = xaionnx.evaluate(model, x, "input_x_gradient", "road", controls=(), noise=0)
    # All others are imputed from the one that is left, the lowest or the highest.
    assert scores.curves["most relevant removed"][0, -1] == pytest.approx(1)
    assert scores.curves["least relevant removed"][0, -1] == pytest.approx(4)


@pytest.mark.parametrize("name", BY_REMOVAL)
def test_the_record_has_what_was_removed_and_what_took_its_place(name, net):
    """None would not say what of a picture, a series or a text is removed together."""
    record = xaionnx.evaluate(net, X[:2], "input_x_gradient", name, controls=()).provenance["metric"]
    assert record["features"]["kind"] == "Elements"
    assert record["baseline"] == {"kind": "Constant", "value": 0.0}
    table = score_table(net, X[:2], ["input_x_gradient"], [name], controls=())
    assert {"name": name, **table.provenance["metrics"][name]} == record
