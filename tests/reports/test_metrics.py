"""What people met with metrics of explanations."""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest
from onnx.numpy_helper import to_array

import xaionnx
from models import planted
from tests.counting import rows_run
from tests.tiny import loaded, trained
from xaionnx import Features, InputSpec, Target
from xaionnx.discovery import METHODS
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.evaluation import Scores, metrics, score_table
from xaionnx.evaluation.controls.edges import Edges
from xaionnx.evaluation.metric import METRICS
from xaionnx.explainers.expected_gradients import ExpectedGradients
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.kernel_shap import KernelShap
from xaionnx.metrics._randomised import randomised
from xaionnx.metrics._similarity import similarity
from xaionnx.metrics.faithfulness.mu_fidelity import MuFidelity
from xaionnx.render import verdict

REPORTS = tomllib.loads(Path(__file__).with_name("metrics.toml").read_text(encoding="utf-8"))["report"]
W = np.float32([4, 3, 2, 1])
X = np.float32([[1, 2, -1, 3]])


@pytest.fixture(scope="module")
def linear():
    return planted.load(planted.linear([W]))


def digits_of(count):
    return np.load("models/data/mnist_sample.npz")["images"][:count].astype(np.float32) / 255


def given(model, x, phi):
    """A record with these values."""
    record = xaionnx.explain(model, x, "input_x_gradient", 0)
    return dataclasses.replace(record, values=np.asarray(phi, np.float32).reshape(x.shape))


def score(model, x, method, metric, **settings):
    return xaionnx.evaluate(model, x, method, metric, controls=(), **settings).values


def test_every_report_has_tests_here():
    for report in REPORTS:
        assert set(report["tests"]) <= set(globals())


def test_units_of_a_map_do_not_change_its_infidelity(linear):
    phi = np.float32([1, 2, 3, -4])
    one, hundred = (score(linear, X, given(linear, X, k * phi), "infidelity") for k in (1, 100))
    np.testing.assert_allclose(one, hundred, rtol=1e-5)
    assert one[0] > 1
    raw = [score(linear, X, given(linear, X, k * phi), "infidelity", scaled=False)[0] for k in (1, 100)]
    assert raw[1] > 100 * raw[0]


@pytest.mark.parametrize("baseline", [0.0, 1.0, -2.5])
def test_infidelity_is_that_of_the_baseline_in_the_record(linear, baseline):
    scores = xaionnx.evaluate(
        linear, X, given(linear, X, (X - baseline) * W), "infidelity", baseline=baseline, scaled=False
    )
    np.testing.assert_allclose(scores.values, 0, atol=1e-9)
    assert str(baseline) in str(scores.provenance["metric"])


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_sensitivity_is_relative_to_the_explanation(linear, size):
    """Each element of ``x w`` moves by ``radius max(|x|, 1)``, so by that share of itself where ``|x|`` is above 1."""
    x = np.full((1, 4), size, np.float32)
    found = score(linear, x, "input_x_gradient", "max_sensitivity", radius=0.1, neighbours="corners")
    np.testing.assert_allclose(found, 0.1, rtol=1e-4)


def test_road_tells_maps_apart():
    model, digits = trained("mnist_cnn"), digits_of(8)
    scores = xaionnx.evaluate(model, digits, "integrated_gradients", "road", controls=("random",))
    curves = scores.curves["most relevant removed"]
    assert all(len(np.unique(curve.round(4))) > 4 for curve in curves)
    assert scores.gain()[1] > 0


def test_a_batch_of_samples_runs_together(linear, monkeypatch):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    rows, runs = rows_run(monkeypatch), []
    for some in (x[:1], x):
        score(linear, some, "input_x_gradient", "max_sensitivity")
        runs.append(len(rows))
    assert runs[1] - runs[0] < 8 * runs[0] / 2


def test_mosaics_need_not_be_square():
    model = planted.load(planted.mean_picture(2, 6))
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 2, 6)
    mask = np.zeros((1, 2, 6), dtype=bool)
    mask[:, :, 3:] = True
    found = score(model, x, "input_x_gradient", "focus", masks=mask)
    np.testing.assert_allclose(found, x[0, 0, :, 3:].sum() / x.sum(), rtol=1e-6)
    with pytest.raises(DataError, match=r"the shape \(2, 6\).*\(6, 2\)"):
        score(model, x, "input_x_gradient", "focus", masks=mask.transpose(0, 2, 1))


def test_a_record_alone_is_refused_with_what_to_give():
    model, digits = trained("mnist_cnn"), digits_of(3)
    record = xaionnx.explain(model, digits, "integrated_gradients", steps=8)
    with pytest.raises(ParameterError, match=r"Give the method in place of its Explanation"):
        score(model, digits, record, "max_sensitivity")
    assert (score(model, digits, IntegratedGradients(steps=8), "max_sensitivity") > 0).all()


def test_segments_belong_to_their_sample():
    model, digits = trained("mnist_cnn"), digits_of(3)
    method = KernelShap(features=Features.superpixels(count=8), budget=60)
    together = score(model, digits, method, "max_sensitivity", draws=2)
    alone = [score(model, digits[n : n + 1], method, "max_sensitivity", draws=2)[0] for n in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_no_target_is_the_top_class_of_each_sample():
    model, digits = trained("mnist_cnn"), digits_of(4)
    top = model.run({model.input().name: digits})[model.outputs[0].name].argmax(1)
    found = score(model, digits, "saliency", "max_sensitivity")
    named = score(model, digits, "saliency", "max_sensitivity", target=top)
    np.testing.assert_array_equal(found, named)


def test_average_drop_increase_and_gain_by_hand(linear):
    """The map (1, 0.5, 0, 0.25) keeps 4 + 3 - 0 + 0.75 of f = 4 + 6 - 2 + 3."""
    record = given(linear, X, [4, 2, 0, 1])
    settings = {"quantity": "target"}
    np.testing.assert_allclose(score(linear, X, record, "average_drop", **settings), (11 - 7.75) / 11, rtol=1e-6)
    np.testing.assert_array_equal(score(linear, X, record, "average_increase", **settings), 0)
    scores = xaionnx.evaluate(linear, -X, given(linear, -X, [4, 2, 0, 1]), "average_drop", controls=(), **settings)
    assert np.isnan(scores.values).all()
    assert "need a positive one" in scores.reasons[0]


def test_the_area_is_over_the_shares_that_were_removed(linear):
    """Of four features in three steps: 1, 3 and 4 removed, so shares of a quarter, a half and a quarter."""
    x = np.ones((1, 4), np.float32)
    scores = xaionnx.evaluate(linear, x, given(linear, x, W), "deletion", steps=3, controls=())
    shares, target = (np.asarray(scores.curves[key]).reshape(-1) for key in ("share", "target"))
    steps = np.diff(shares)
    assert len(np.unique(steps.round(6))) > 1
    assert target[[0, -1]].tolist() == [10, 0]
    np.testing.assert_allclose(scores.values, (steps * (target[1:] + target[:-1]) / 2).sum(), rtol=1e-6)


def test_randomised_normalisations_change_and_stay_finite():
    model = loaded(
        "g (float[N,3,4,4] x) => (float[N,3,4,4] y) { y = BatchNormalization(x, s, b, m, v) }",
        s=np.float32([1, 2, 3]),
        b=np.float32([0, 1, -1]),
        m=np.float32([5, -5, 0]),
        v=np.float32([1e-6, 1.0, 100.0]),
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    before = model.run({"x": x})["y"]
    found = [randomised(model, None, seed).run({"x": x})["y"] for seed in range(6)]
    assert all(np.isfinite(array).all() for array in found)
    assert sum(not np.allclose(array, before) for array in found) >= 5


def test_a_pixel_is_removed_in_all_channels():
    """The sum of two channels: each of four pixels is worth 2, and the curve falls by that."""
    spec = InputSpec(kind="array", axes="N C H W")
    model = planted.load(planted.linear(np.ones((1, 2, 2, 2))), spec=spec)
    x = np.ones((1, 2, 2, 2), np.float32)
    phi = np.arange(8, dtype=np.float32).reshape(x.shape)
    scores = xaionnx.evaluate(model, x, given(model, x, phi), "pixel_flipping", controls=())
    np.testing.assert_array_equal(scores.curves["target"], [[8, 6, 4, 2, 0]])


def test_a_curve_costs_one_evaluation_a_point():
    scores = xaionnx.evaluate(trained("mnist_cnn"), digits_of(1), "saliency", "pixel_flipping", controls=(), steps=100)
    assert scores.diagnostics["evaluations"] == [101]


@pytest.mark.parametrize("name", [name for name in metrics() if name not in ("similarity", "label_randomisation")])
def test_every_metric_takes_a_single_row(name):
    weights = np.random.default_rng(0).normal(size=(3, 6))
    model, x = planted.load(planted.linear(weights)), np.float32([[1, 2, -1, 3, 0.5, -2]])
    masks = np.array([[True, False] * 3]) if "masks" in METRICS.find(name).needs else None
    if name == "road":
        with pytest.raises(InputMismatchError, match="'road' imputes pixels, and input 'x' is no picture"):
            score(model, x, "input_x_gradient", name)
        return
    scores = xaionnx.evaluate(model, x, "input_x_gradient", name, controls=(), masks=masks)
    assert np.isfinite(scores.values[0]) != bool(scores.reasons)
    if name in ("sensitivity_n", "faithfulness_correlation", "faithfulness_estimate"):
        assert scores.values == [1.0]


def test_negative_values_do_not_count_for_a_place(linear):
    masks = np.array([[True, True, False, False]])
    found = score(linear, X, given(linear, X, [3, -7, 1, -5]), "attribution_localisation", masks=masks)
    np.testing.assert_allclose(found, 3 / 4)


def test_values_may_all_be_negative(linear):
    x = -np.abs(X)
    found = score(linear, x, given(linear, x, x * W), "infidelity", scaled=False)
    np.testing.assert_allclose(found, 0, atol=1e-9)


def test_the_most_relevant_features_are_those_that_change(linear):
    x = np.ones((1, 4), np.float32)
    of = {
        metric: xaionnx.evaluate(linear, x, "input_x_gradient", metric, controls=(), baseline=0)
        for metric in ("deletion", "insertion")
    }
    np.testing.assert_array_equal(of["deletion"].curves["target"], [[10, 6, 3, 1, 0]])
    np.testing.assert_array_equal(of["insertion"].curves["target"], [[0, 4, 7, 9, 10]])


def test_intervals_have_the_units_of_the_scores():
    values = np.random.default_rng(0).lognormal(12, 0.5, 200)
    low, high = Scores("m", "a", values, "lower", (0, np.inf)).interval
    assert low < values.mean() < high
    # About two standard errors to each side.
    assert (high - low) / (4 * values.std() / np.sqrt(200)) == pytest.approx(1, abs=0.15)
    thousand = Scores("m", "a", 1000 * values, "lower", (0, np.inf)).interval
    np.testing.assert_allclose(thousand, (1000 * low, 1000 * high))


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_background_need_not_have_a_row_for_each_sample(linear, rows):
    background = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    method = ExpectedGradients(background=background, draws=8)
    x = np.float32([[1, 2, -1, 3], [2, 1, 1, 0], [0, 1, 2, 3]])
    batch = score(linear, x, method, "max_sensitivity")
    alone = [score(linear, x[n : n + 1], method, "max_sensitivity")[0] for n in range(3)]
    np.testing.assert_allclose(batch, alone, rtol=1e-4)


@pytest.mark.parametrize(("method", "tolerance"), [("kernel_shap", 0.01), ("lime", 0.2)])
def test_surrogates_are_judged_by_name(linear, method, tolerance):
    """Of a linear model both find ``x w``, LIME shrunk by its penalty."""
    x = np.float32([[1, 2, -1, 3], [2, 1, 1, 4]])
    expected = score(linear, x, "input_x_gradient", "max_sensitivity")
    np.testing.assert_allclose(score(linear, x, method, "max_sensitivity"), expected, rtol=tolerance)


def test_units_of_the_values_cancel_in_sensitivity(linear):
    small = planted.load(planted.linear([1e-6 * W]))
    found = [score(model, X, "input_x_gradient", "max_sensitivity") for model in (linear, small)]
    np.testing.assert_allclose(*found, rtol=1e-3)


def test_slopes_are_ranked_by_size_and_contributions_with_their_sign():
    """At x = (-1, 1, 1, 1): contributions 4, 1, 2 and -3, and slopes -4, 1, 2 and -3."""
    model, x = planted.load(planted.linear([[-4.0, 1.0, 2.0, -3.0]])), np.float32([[-1, 1, 1, 1]])
    curves = {
        method: xaionnx.evaluate(model, x, method, "pixel_flipping", controls=()).curves["target"][0].tolist()
        for method in ("input_x_gradient", "smooth_grad")
    }
    assert curves["input_x_gradient"] == [4, 0, -2, -3, 0]
    assert curves["smooth_grad"] == [4, 0, 3, 1, 0]


def test_a_method_that_is_no_better_than_random_is_marked():
    model, x = planted.load(planted.linear([[1.0, -1.0, 2.0, -2.0]])), np.random.default_rng(0).normal(size=(12, 4))
    table = score_table(model, x.astype(np.float32), [Edges(), "input_x_gradient"], ["deletion"], 0)
    standings = table.standings("deletion")
    assert not standings["edges"].beats_control
    assert standings["input_x_gradient"].beats_control
    assert "deletion: edges is no better than the control." in verdict(table)


def test_a_record_with_nan_is_refused(linear):
    x = np.ones((3, 4), np.float32)
    phi = np.ones((3, 4), np.float32)
    phi[1, 2] = np.nan
    with pytest.raises(DataError, match=r"sample 1 .*NaN"):
        score(linear, x, given(linear, x, phi), "deletion", target=0)


@pytest.mark.parametrize("draws", [1, 2, 7])
def test_the_largest_change_is_divided_once_however_many_neighbours(linear, draws):
    x = np.full((1, 4), 5, np.float32)
    found = score(linear, x, "input_x_gradient", "max_sensitivity", radius=0.1, neighbours="corners", draws=draws)
    np.testing.assert_allclose(found, 0.1, rtol=1e-4)
    each = [score(linear, x, "input_x_gradient", "max_sensitivity", draws=count)[0] for count in (draws, draws + 3)]
    assert each[1] >= each[0]


def test_the_better_map_has_the_better_score_whatever_the_direction(linear):
    x = np.ones((1, 4), np.float32)
    for metric, direction, better, worse in (("deletion", "lower", 3.75, 6.25), ("insertion", "higher", 6.25, 3.75)):
        for phi, value in ((W, better), (W[::-1], worse)):
            scores = xaionnx.evaluate(linear, x, given(linear, x, phi), metric)
            assert (scores.values.tolist(), scores.direction) == ([value], direction)
            assert f"{direction} is better" in repr(scores)
            sign = -1 if direction == "lower" else 1
            assert scores.gain()[0] == pytest.approx(sign * (value - scores.control.values[0]))


def test_irof_is_the_area_over_the_curve(linear):
    """The curve is 10, 6, 3, 1, 0 tenths, and the area below it 0.375."""
    x, settings = np.ones((1, 4), np.float32), {"features": [0, 1, 2, 3], "baseline": 0.0, "quantity": "target"}
    assert METRICS.find("irof").direction == "higher"
    np.testing.assert_allclose(score(linear, x, given(linear, x, W), "irof", **settings), 0.625, rtol=1e-6)
    np.testing.assert_allclose(score(linear, x, given(linear, x, W[::-1]), "irof", **settings), 0.375, rtol=1e-6)


def test_random_weights_are_the_weights_of_the_file_in_another_order():
    model = trained("mnist_cnn")
    shuffled = randomised(model, None, 3)
    before, after = ({one.name: to_array(one) for one in each.graph.graph.initializer} for each in (model, shuffled))
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed
    for name in before:
        assert after[name].dtype == before[name].dtype
        np.testing.assert_array_equal(np.sort(after[name], axis=None), np.sort(before[name], axis=None))


def test_the_first_and_the_last_score_of_a_curve_count_half():
    """Of 3 + 3 a - b at ones, a is removed first: 5, 2, 3."""
    model = planted.load(planted.linear([[3.0, -1.0]], [3.0]))
    x = np.ones((1, 2), np.float32)
    scores = xaionnx.evaluate(model, x, given(model, x, [3, -1]), "deletion", controls=())
    assert scores.curves["target"].tolist() == [[5, 2, 3]]
    assert scores.values.tolist() == [3]


def test_whole_numbers_stay_whole_when_they_are_removed():
    model = loaded(
        "agraph (int64[N,4] x) => (float[N,1] y) { f = Cast<to=1>(x) y = MatMul(f, w) }",
        w=np.float32([[4], [3], [2], [1]]),
    )
    x = np.array([[5, 3, 2, 1]], np.int64)
    scores = xaionnx.evaluate(model, x, "feature_ablation", "deletion", controls=(), quantity="target", baseline=0)
    assert scores.curves["target"].tolist() == [[34, 14, 5, 1, 0]]


def test_confidence_of_a_transformer_is_that_of_its_masked_input():
    """A map that is 0 at one pixel alone leaves all the others as they are."""
    model, digits = trained("mnist_vit"), digits_of(3)
    feed, output = model.input().name, model.outputs[0].name
    top = model.run({feed: digits})[output].argmax(1)
    maps, masked = np.ones_like(digits), digits.copy()
    for n, digit in enumerate(digits):
        row, column = np.unravel_index(digit[0].argmax(), digit[0].shape)
        maps[n, 0, row, column] = masked[n, 0, row, column] = 0

    def chance(x):
        logits = model.run({feed: x})[output].astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True))[np.arange(3), top]

    record = dataclasses.replace(xaionnx.explain(model, digits, "grad_cam", top), values=maps)
    whole, rest = chance(digits), chance(masked)
    found = xaionnx.evaluate(model, digits, record, "average_drop", top, controls=()).values
    np.testing.assert_allclose(found, np.maximum(0, whole - rest) / whole, atol=1e-6)
    gained = xaionnx.evaluate(model, digits, record, "average_gain", top, controls=()).values
    np.testing.assert_allclose(gained, np.maximum(0, rest - whole) / (1 - whole), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 1.0, -2.5])
def test_what_is_removed_gets_the_baseline_that_is_asked_for(linear, baseline):
    x, record = X, given(linear, X, X * W)
    ends = {
        metric: xaionnx.evaluate(linear, x, record, metric, baseline=baseline, controls=()).curves["target"][0]
        for metric in ("deletion", "insertion")
    }
    assert ends["deletion"][[0, -1]].tolist() == [(X @ W).item(), 10 * baseline]
    assert ends["insertion"][[0, -1]].tolist() == [10 * baseline, (X @ W).item()]


@pytest.mark.parametrize("metric", ["deletion", "insertion"])
def test_the_curve_is_there_and_its_area_is_the_score(metric):
    scores = xaionnx.evaluate(trained("mnist_cnn"), digits_of(3), "grad_cam", metric, steps=9)
    for one in (scores, scores.control):
        area = np.trapezoid(one.curves["target"], one.curves["share"], axis=1)
        np.testing.assert_allclose(area, one.values, rtol=1e-6)


def test_channels_may_come_last():
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "w": rng.normal(size=(4, 2)).astype(np.float32)}
    body = "c = Conv(t, k) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, w) }"
    first = loaded("agraph (float[N,3,8,9] x) => (float[N,2] y) { t = Identity(x) " + body, **weights)
    last = loaded("agraph (float[N,8,9,3] x) => (float[N,2] y) { t = Transpose<perm=[0,3,1,2]>(x) " + body, **weights)
    x = rng.normal(size=(2, 3, 8, 9)).astype(np.float32)
    mask = np.zeros((2, 8, 9), dtype=bool)
    mask[:, 2:5, 3:8] = True
    for metric in ("deletion", "insertion", "pointing_game", "relevance_mass_accuracy", "sparseness", "road"):
        masks = {"masks": mask} if "masks" in METRICS.find(metric).needs else {}
        found = [
            score(model, given_x, "input_x_gradient", metric, target=1, **masks)
            for model, given_x in ((first, x), (last, np.ascontiguousarray(x.transpose(0, 2, 3, 1))))
        ]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-4, err_msg=metric)


@pytest.mark.parametrize(("method", "metric"), [("smooth_grad", "mu_fidelity"), ("sobol", "infidelity")])
def test_the_size_of_a_batch_bounds_every_run(monkeypatch, method, metric):
    model = xaionnx.Model.load("models/mnist_cnn.onnx", batch_size=3)
    settings = {"smooth_grad": {"draws": 7}, "sobol": {"features": "grid:2x2", "budget": 48}}[method]

    def work():
        score(model, digits_of(5), METHODS.configured(method, settings), metric, features="grid:4x4")
        xaionnx.explain(model, digits_of(1), "kernel_shap", features="grid:3x3", budget=60)

    # What its axes mean is found once, with up to eight rows.
    work()
    rows = rows_run(monkeypatch)
    work()
    assert max(rows) == 3
    assert len(rows) > 20


def test_the_share_of_removed_features_is_that_of_a_table_too():
    w, removed = np.arange(1, 11, dtype=np.float32), []
    model, x = planted.load(planted.linear([w])), np.ones((1, 10), np.float32)
    for share in (0.1, 0.5, 0.9):
        assert score(model, x, given(model, x, w), "mu_fidelity", share=share)[0] == pytest.approx(1)
        plan = MuFidelity(share=share).plan(w)
        removed.append({*(~plan.rows(0, plan.count)).sum(axis=1).tolist()})
    assert removed == [{1}, {5}, {9}]


@pytest.mark.parametrize("draws", [1, 10])
def test_infidelity_without_a_target_is_that_of_the_top_class(draws):
    model, x = trained("mnist_cnn"), digits_of(2)
    top = model.run({"pixels": x})["logits"].argmax(axis=1)
    found, stated = (
        xaionnx.evaluate(model, x, "saliency", "infidelity", target, controls=(), draws=draws).values
        for target in (None, top)
    )
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, stated)


def test_one_metric_twice_is_refused(linear):
    judges = [METRICS.configured("mu_fidelity", {"subsets": count}) for count in (20, 200)]
    with pytest.raises(ParameterError, match=r"'mu_fidelity' is named twice.*Score each in a table of its own"):
        score_table(linear, X, ["saliency"], judges)


@pytest.mark.parametrize("name", [name for name in metrics() if METRICS.find(name).category() == "faithfulness"])
def test_metrics_of_faithfulness_apply_to_regressions(linear, name):
    x = np.random.default_rng(0).uniform(1, 2, (6, 4)).astype(np.float32)
    if name == "road":
        with pytest.raises(InputMismatchError, match="is no picture"):
            score(linear, x, "input_x_gradient", name)
        return
    found = xaionnx.evaluate(linear, x, "input_x_gradient", name, controls=())
    assert np.isfinite(found.values).all() or "which is no probability" in found.reasons[0]


@pytest.mark.parametrize("unit", [1e-6, 1e-13, 1e-20])
def test_correlations_do_not_depend_on_units(unit):
    """Of a linear model and its exact contributions every correlation is 1, whatever the unit of the target."""
    model, x = planted.load(planted.linear([unit * W])), np.float32([[1, 2, -1, 3], [2, 0.5, 1, -1]])
    for metric in ("faithfulness_correlation", "faithfulness_estimate", "sensitivity_n", "mu_fidelity"):
        np.testing.assert_allclose(score(model, x, "input_x_gradient", metric), 1, atol=1e-6, err_msg=metric)


def test_a_constant_has_no_correlation(linear):
    """0.3 is no sum of powers of two; the model does not read the second sample's features."""
    model = planted.load(planted.linear([[0.3, 0.3, 0.3, 0.0]]))
    x = np.float32([[1, 1, 1, 1], [0, 0, 0, 1], [3, 1, 2, 1]])
    phi = np.float32([[1, 2, 3, 4], [1, 2, 3, 4], [0.3, 0.3, 0.3, 0.3]])
    scores = xaionnx.evaluate(model, x, given(model, x, phi), "faithfulness_estimate", controls=())
    # Drops 0.3, 0.3, 0.3, 0 at values 1 to 4; none; and equal values.
    np.testing.assert_allclose(scores.values, [-np.sqrt(0.6), np.nan, np.nan], rtol=1e-6)
    assert scores.reasons.keys() == {1, 2}
    assert "the drops of the target are all equal" in scores.reasons[1]
    assert "the sums of the values are all equal" in scores.reasons[2]


def test_relative_stability_does_not_depend_on_units():
    x = np.float32([[1, 2, -1, 3], [2, 0.5, 1, -1]])
    for metric in ("relative_input_stability", "relative_representation_stability"):
        found = [
            score(planted.load(planted.linear([unit * W])), x, "input_x_gradient", metric) for unit in (1, 1e-5, 1e-9)
        ]
        # The values of a linear model change as its input does.
        np.testing.assert_allclose(found, 1, rtol=1e-4, err_msg=metric)


MAP = np.float32([[0, 0, 0, 0, 0], [0, 0, 7, 0, 0], [0, 7, 0, 0, 1]])


@pytest.fixture(scope="module")
def pictures():
    """A model of pictures of three rows and five columns."""
    spec = InputSpec(kind="array", axes="N C H W")
    return planted.load(planted.linear(np.ones((1, 1, 3, 5))), spec=spec)


def pointed(pictures, values, masks, **settings):
    x = np.ones((1, 1, 3, 5), np.float32)
    return score(pictures, x, given(pictures, x, values), "pointing_game", masks=masks, **settings)


def boxes(*corners):
    """The mask (1, 3, 5) of boxes x0, y0, x1, y1, whose last column and row belong to them."""
    mask = np.zeros((1, 3, 5), dtype=bool)
    for x0, y0, x1, y1 in corners:
        mask[0, y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def test_of_several_highest_values_each_counts(pictures):
    assert pointed(pictures, MAP, boxes((2, 1, 2, 1))) == 0.5
    assert pointed(pictures, MAP, boxes((1, 2, 1, 2))) == 0.5


@pytest.mark.parametrize("metric", ["pointing_game", "relevance_rank_accuracy", "top_k_intersection"])
@pytest.mark.parametrize("value", [0, 0.3])
def test_a_map_without_an_order_points_nowhere(pictures, metric, value):
    """The object fills the corner where the first of equal values lies."""
    x = np.ones((1, 1, 3, 5), np.float32)
    record = given(pictures, x, np.full((3, 5), value))
    found = xaionnx.evaluate(pictures, x, record, metric, masks=boxes((0, 0, 2, 1)), controls=())
    assert np.isnan(found.values)
    assert found.reasons == {0: "all values are equal, so that they give no order"}


def test_boxes_are_places_in_pictures_of_any_sides(pictures):
    highest = np.where(np.arange(15).reshape(3, 5) == 7, MAP, MAP / 2)
    assert pointed(pictures, highest, boxes((1, 1, 2, 1))) == 1
    assert pointed(pictures, highest, boxes((1, 1, 1, 2))) == 0
    assert pointed(pictures, highest, boxes((4, 2, 4, 2), (0, 0, 0, 0), (2, 0, 3, 2))) == 1
    with pytest.raises(DataError, match=r"must have the shape \(3, 5\)"):
        pointed(pictures, highest, boxes((1, 1, 2, 1)).transpose(0, 2, 1))


def test_a_point_near_a_place_hits_within_the_tolerance(pictures):
    """From row 1, column 2 to row 2, column 4 it is the root of 5."""
    far = boxes((4, 2, 4, 2))
    assert [pointed(pictures, MAP, far, tolerance=pixels)[0] for pixels in (0, 1, 2, 3)] == [0, 0, 0, 1]


@pytest.mark.parametrize("metric", ["deletion", "insertion", "average_drop", "infidelity", "max_sensitivity"])
def test_a_softmax_is_taken_once(metric):
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    body = "g (float[N, 6] x) => (float[N, 3] {}) {{ y = MatMul(x, w) {} }}"
    logits, probabilities = (loaded(body.format(*ends), w=weights) for ends in (("y", ""), ("p", "p = Softmax(y)")))
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    expected = score(logits, x, "input_x_gradient", metric, target=Target.probability())
    for target in (None, Target.probability()):
        found = score(probabilities, x, "input_x_gradient", metric, target=target)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_segmentation_is_scored_over_the_pixels_of_a_class():
    """Of two maps, x and -x, the pixels of the first class are those where x is positive: 9, 4 and 1."""
    model = loaded(
        "g (float[N, 1, 2, 3] x) => (float[N, 2, 2, 3] y) { y = Conv(x, k) }",
        k=np.float32([1, -1]).reshape(2, 1, 1, 1),
    )
    x = np.float32([[[[9, -2, 4], [-3, 1, -5]]]])
    scores = xaionnx.evaluate(model, x, "input_x_gradient", "pixel_flipping", Target.segment(0), controls=())
    assert scores.curves["target"].tolist() == [[14, 5, 1, 0, 0, 0, 0]]
    with pytest.raises(ParameterError, match=r"for a segmentation Target\.segment"):
        score(model, x, "input_x_gradient", "deletion", target=0)


def test_an_undefined_score_leaves_the_mean_to_the_others(linear):
    x = np.float32([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]])
    scores = xaionnx.evaluate(linear, x, "input_x_gradient", "sparseness")
    assert scores.reasons == {1: "all values are 0"}
    # The Gini index of 1, 2, 3, 4 and of 0, 2, 3, 4.
    np.testing.assert_allclose(scores.values[[0, 2]], [0.25, 13 / 36], rtol=1e-6)
    assert (scores.count, scores.mean) == (2, pytest.approx((0.25 + 13 / 36) / 2))
    assert np.isfinite(scores.interval).all()
    others = scores.control.values[[0, 2]]
    assert scores.gain()[0] == pytest.approx((scores.values[[0, 2]] - others).mean())


def test_structural_similarity_does_not_depend_on_units():
    one, other = np.random.default_rng(0).normal(size=(2, 12, 12))
    plain = similarity(one, other, "ssim").value
    assert -1 < plain < 0.9
    assert similarity(1e-6 * one, 50 + 3 * other, "ssim").value == pytest.approx(plain)


def test_masks_may_have_an_axis_of_channels():
    model = planted.load(planted.mean_picture(2, 6))
    x = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 2, 6)
    mask = np.zeros((1, 2, 6), dtype=bool)
    mask[:, 1, 2:] = True
    for given_mask in (mask, mask[:, None], mask[..., None]):
        found = score(model, x, "input_x_gradient", "relevance_mass_accuracy", masks=given_mask)
        np.testing.assert_allclose(found, x[0, 0, 1, 2:].sum() / x.sum(), rtol=1e-6)


def test_inputs_whose_score_rises_count_in_the_average_drop():
    model = loaded("""g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1, -2}> {
      l = MatMul (x, w)
      y = Sigmoid (l)
    }""")
    x, phi = np.float32([[1, 2], [1, 2]]), np.float32([[1, 0], [0, 1]])
    # The first map leaves the first feature alone, and the other one the second.
    of = [1 / (1 + np.exp(-score)) for score in (-3, 1, -4)]
    np.testing.assert_allclose(score(model, x, phi, "average_drop"), [0, 1 - of[2] / of[0]], rtol=1e-5)
    assert score(model, x, phi, "average_increase").tolist() == [1, 0]


@pytest.mark.parametrize("metric", ["pointing_game", "top_k_intersection", "relevance_rank_accuracy"])
def test_equal_values_count_in_all_orders(metric):
    model, rng = planted.load(planted.mean_picture(2, 3)), np.random.default_rng(0)
    x, phi = np.ones((1, 1, 2, 3), np.float32), np.float32([[[[2, 1, 2], [1, 2, 0]]]])
    mask = np.array([[[True, True, False], [False, False, False]]])
    # One of the three highest is true, and each of them is one of the two highest in 2/3 of the orders.
    for _ in range(5):
        assert score(model, x, phi, metric, masks=mask) == pytest.approx([1 / 3])
        order = rng.permutation(6)
        phi, mask = phi.reshape(-1)[order].reshape(phi.shape), mask.reshape(-1)[order].reshape(mask.shape)


@pytest.mark.parametrize("size", [1, 3, 5, None])
def test_the_mean_is_over_samples_with_a_score_in_parts_of_any_size(linear, size):
    x = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    x[[3, 10]] = 1 / W
    rows = np.delete(x * W, [3, 10], axis=0)
    own = [np.trapezoid(row.sum() - np.cumsum([0, *np.sort(row)[::-1]]), dx=1 / 4) for row in rows]
    scores = xaionnx.evaluate(linear, xaionnx.Dataset.of(x), "input_x_gradient", "deletion", batch_size=size)
    assert sorted(scores.reasons) == [3, 10]
    np.testing.assert_allclose(np.delete(scores.values, [3, 10]), own, rtol=1e-5, atol=1e-6)
    assert scores.mean == pytest.approx(np.mean(own), rel=1e-5)


def test_methods_with_equal_scores_are_not_told_apart(linear):
    x = np.abs(np.random.default_rng(0).normal(size=(30, 4))).astype(np.float32)
    table = score_table(linear, x, ["input_x_gradient", "occlusion"], ["deletion"])
    np.testing.assert_array_equal(*(table.scores[name]["deletion"].values for name in table.scores))
    assert verdict(table) == ["Better than the control by deletion: input_x_gradient, occlusion."]


def test_both_signs_have_one_unit():
    weights = np.float32([1, -2, 3, -4, 0.5])
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    model, phi = planted.load(planted.linear([weights])), x * weights
    for metric in ("faithfulness_correlation", "faithfulness_estimate", "sensitivity_n", "infidelity"):
        exact = score(model, x, phi, metric)
        np.testing.assert_allclose(score(model, x, 100 * phi, metric), exact, atol=1e-4)
        assert (np.abs(score(model, x, np.where(phi < 0, 100 * phi, phi), metric) - exact) > 1e-3).all()


def test_pixels_of_8_bits_do_not_wrap():
    model = loaded("""g (uint8[N, 1, 2, 2] x) => (float[N, 1] y)
      <int64[2] sizes = {0, 4}, float[4, 1] w = {1, 2, -3, 0.5}> {
        numbers = Cast <to = 1> (x)
        row = Reshape (numbers, sizes)
        y = MatMul (row, w)
    }""")
    x = np.array([[[[0, 255], [250, 5]]], [[[128, 1], [254, 255]]]], np.uint8)
    weights = np.tile(np.float32([1, 2, -3, 0.5]).reshape(1, 1, 2, 2), (2, 1, 1, 1))
    assert score(model, x, weights, "gaussian_infidelity", noise=0.5) == pytest.approx([0, 0], abs=1e-3)
    assert score(model, x, x * weights, "infidelity") == pytest.approx([0, 0], abs=1e-3)
    # A sensitivity of wrapped pixels would be about 1.
    assert (score(model, x, "occlusion", "max_sensitivity") < 0.05).all()
