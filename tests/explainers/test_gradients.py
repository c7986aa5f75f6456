"""The gradient methods against published numbers, closed forms and central differences."""

import numpy as np
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests.counting import Heard
from tests.tiny import loaded, row, trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, InputSpec, Target
from xaionnx.errors import OutputError, ParameterError, UnsupportedModelError
from xaionnx.explainers.expected_gradients import ExpectedGradients
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients, path
from xaionnx.explainers.saliency import Saliency
from xaionnx.runtime import progress

RULES = ("gauss_legendre", "trapezoid", "left", "middle", "right")
CANONICAL = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def digit():
    return np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="module")
def lite():
    return trained("efficientnet_lite0")


@pytest.fixture(scope="module")
def cat(lite):
    with Image.open("models/photos/cat.png") as photo:
        return lite.spec.to_tensor([np.asarray(photo.convert("RGB"))])


def test_saliency_of_the_nets_of_others():
    """At (0, 100, 0) all four rectifiers of net A are on; in net B only three positions of the first filter."""
    a = xaionnx.explain(planted.load(planted.net_a()), row(0, 100, 0), "saliency", [0, 1]).values
    assert_close(a[:, 0], np.full((2, 3), 4.0), Tolerance.OPERATIONS)
    b = xaionnx.explain(planted.load(planted.net_b()), CANONICAL, "saliency", 0, absolute=False).values
    assert_close(b[0, 0], [[0, 1, 1, 1]] * 3 + [[0] * 4], Tolerance.OPERATIONS)
    f = xaionnx.explain(planted.load(planted.net_f()), row(1, 2), "saliency", 0).values
    assert_close(f, [[2, 2]], Tolerance.OPERATIONS)


def test_input_times_gradient_of_the_nets_of_others():
    a = xaionnx.explain(planted.load(planted.net_a()), row(20, 50, 30), InputXGradient(), 0).values
    assert_close(a, [[80, 200, 120]], Tolerance.OPERATIONS)
    f = xaionnx.explain(planted.load(planted.net_f()), row(1, 2), InputXGradient(), 0).values
    assert_close(f, [[2, 4]], Tolerance.OPERATIONS)


def test_integrated_gradients_do_not_see_how_a_function_is_implemented():
    found = [
        xaionnx.explain(planted.load(net), row(3, 1), IntegratedGradients(steps=1024, rule="middle"), 0).values
        for net in (planted.net_c(), planted.net_d())
    ]
    for values in found:
        np.testing.assert_allclose(values, [[1.5, -0.5]], atol=2e-3)
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)


@pytest.mark.parametrize(("rule", "steps", "atol"), [
    ("gauss_legendre", 8, 1e-5), ("trapezoid", 256, 1e-4), ("middle", 256, 1e-4), ("left", 256, 0.02),
    ("right", 256, 0.02),
])  # fmt: skip
def test_integrated_gradients_of_the_three_terms(rule, steps, atol):
    model = planted.load(planted.five_x1_x2sq_sinx3())
    found = xaionnx.explain(model, row(1, 2, 3), IntegratedGradients(rule=rule, steps=steps), 0)
    np.testing.assert_allclose(found.values, [[5, 4, np.sin(3)]], atol=atol)
    assert found.diagnostics["steps"] == [steps]
    gap = found.values.sum() - (found.prediction[0] - found.baseline_prediction[0])
    assert_close(found.diagnostics["completeness_gap"], [gap], Tolerance.ORDER_ONE)
    assert_close(found.diagnostics["relative_gap"], [abs(gap) / (9 + np.sin(3))], Tolerance.ORDER_ONE)


@pytest.mark.parametrize("rule", RULES)
def test_weights_of_a_path_add_up_to_one_and_integrate_what_they_should(rule):
    shares, weights = path(rule, 7)
    assert weights.sum() == pytest.approx(1)
    assert shares.min() >= 0
    assert shares.max() <= 1
    degree = {"gauss_legendre": 13, "trapezoid": 1, "middle": 1, "left": 0, "right": 0}[rule]
    assert (weights * shares**degree).sum() == pytest.approx(1 / (degree + 1))
    assert (weights * shares ** (degree + 1)).sum() != pytest.approx(1 / (degree + 2), rel=1e-12)


def test_a_probability_is_integrated_with_the_slope_of_each_point():
    """With a single softmax gradient for the whole path, completeness would fail clearly."""
    weights = np.array([[3.0, -2.0], [-1.0, 4.0], [0.5, 0.5]])
    model = planted.load(planted.linear(weights))
    x, start = np.array([1.5, -0.7]), np.array([-0.5, 0.2])
    found = xaionnx.explain(
        model,
        x[None].astype(np.float32),
        IntegratedGradients(steps=32, baseline=start.astype(np.float32)),
        Target.probability(0),
    )
    shares, parts = np.polynomial.legendre.leggauss(60)
    expected = np.zeros(2)
    for share, part in zip((shares + 1) / 2, parts / 2, strict=True):
        p = softmax(weights @ (start + share * (x - start)))
        expected += part * (x - start) * (p[0] * (weights[0] - p @ weights))
    assert_close(found.values[0], expected, Tolerance.LAYERS)
    change = softmax(weights @ x)[0] - softmax(weights @ start)[0]
    assert_close(found.values.sum(), change, Tolerance.LAYERS)
    assert_close(found.diagnostics["relative_gap"], 0, Tolerance.DEEP)


def test_several_draws_are_averaged():
    model, x = planted.load(planted.five_x1_x2sq_sinx3()), row(1, 2, 3)
    rows = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    together = xaionnx.explain(model, x, IntegratedGradients(baseline=Baseline.background(rows), steps=32), 0)
    singles = [xaionnx.explain(model, x, IntegratedGradients(baseline=one, steps=32), 0) for one in rows]
    assert_close(together.values, np.mean([s.values for s in singles], axis=0), Tolerance.SUMS)
    assert_close(
        together.baseline_prediction, np.mean([s.baseline_prediction for s in singles], axis=0), Tolerance.OPERATIONS
    )
    assert together.diagnostics["gradients"] == [4 * 32]
    assert together.diagnostics["evaluations"] == [1 + 4 + 4 * 32]


@pytest.mark.parametrize("baseline", ["zero", "black", "white", "mean", "blur", "uniform:2", "gaussian", "max_distance",
                                      "shuffle:7", 0.5])  # fmt: skip
def test_every_baseline_starts_a_path_that_ends_at_the_input(digits, digit, baseline):
    found = xaionnx.explain(digits, digit[:1], IntegratedGradients(baseline=baseline, steps=128), 3)
    change = found.prediction - found.baseline_prediction
    np.testing.assert_allclose(found.values.sum(), change[0], atol=0.02 * abs(found.prediction[0]) + 0.02)


@pytest.mark.parametrize("target", [3, Target.probability(3), Target.margin(3, 5), Target.sum(), Target.loss(3),
                                    Target.loss(0.5, "squared_error")],
                         ids=["class", "probability", "margin", "sum", "cross entropy", "squared error"])  # fmt: skip
def test_every_target_against_central_differences(digits, digit, target):
    """Along random directions: both sides use the same TargetSet, once in the graph and once in numpy."""
    x = digit[:1]
    slope = xaionnx.explain(digits, x, Saliency(absolute=False), target).values[0].astype(np.float64)
    directions = np.random.default_rng(2).normal(size=(16, *x.shape[1:]))
    step = 1e-3
    ends = np.concatenate([x + step * directions, x - step * directions]).astype(np.float32)
    values = xaionnx.explain(digits, ends, InputXGradient(), target).prediction
    central = (values[:16] - values[16:]) / (2 * step)
    ours = (directions * slope).reshape(16, -1).sum(axis=1)
    errors = np.abs(ours - central)
    # Rectifiers flip within the step, so the median error counts, as for float32 frameworks.
    assert np.median(errors) < 0.02 * np.abs(central).max()
    assert np.linalg.norm(errors) < 0.05 * np.linalg.norm(central)


def test_the_cat_against_central_differences(lite, cat):
    found = xaionnx.explain(lite, cat, Saliency(absolute=False), 285)
    slope = found.values[0].astype(np.float64)
    # Along the gradient of random halves of the pixels, where the change is far above rounding; the logit curves so
    # much there that the step must be small.
    halves = np.random.default_rng(3).random((8, *cat.shape[1:])) < 0.5
    directions = halves * slope / np.sqrt((slope**2).mean())
    step = 2e-5
    ends = np.concatenate([cat + step * directions, cat - step * directions]).astype(np.float32)
    values = lite.run({lite.input().name: ends})[lite.output().name][:, 285].astype(np.float64)
    central = (values[:8] - values[8:]) / (2 * step)
    ours = (directions * slope).reshape(8, -1).sum(axis=1)
    assert np.linalg.norm(ours - central) < 0.05 * np.linalg.norm(central)


@pytest.mark.slow
def test_tolerance_refines_the_steps_of_the_cat(lite, cat):
    found = xaionnx.explain(lite, cat, IntegratedGradients(steps=32, tolerance=0.05))
    change = found.prediction - found.baseline_prediction
    assert abs(found.values.sum(dtype=np.float64) - change[0]) < 0.05 * abs(change[0])
    assert found.diagnostics["relative_gap"][0] < 0.05
    assert found.diagnostics["stopped_by"] == ["tolerance"]
    steps = found.diagnostics["steps"][0]
    assert steps in 32 * 2 ** np.arange(1, 4)
    # The points of Gauss-Legendre differ each time, and all evaluations count.
    assert found.diagnostics["gradients"] == [2 * steps - 32]


@pytest.mark.parametrize(("rule", "steps", "final"), [("trapezoid", 5, 33), ("left", 4, 32), ("right", 4, 32),
                                                      ("middle", 4, 36)])  # fmt: skip
def test_a_rule_that_nests_keeps_what_it_has_evaluated(digits, digit, rule, steps, final):
    refined = xaionnx.explain(
        digits, digit, IntegratedGradients(rule=rule, steps=steps, tolerance=1e-9, max_steps=final), [3, 5]
    )
    whole = xaionnx.explain(digits, digit, IntegratedGradients(rule=rule, steps=final), [3, 5])
    assert_close(refined.values, whole.values, Tolerance.ORDER_ONE, np.abs(whole.values).max())
    assert refined.diagnostics["gradients"] == whole.diagnostics["gradients"] == [2 * final] * 2
    assert refined.diagnostics["stopped_by"] == [["max_steps"] * 2] * 2
    # One entry for each sample, with one for each target.
    assert_close(
        np.array(refined.diagnostics["completeness_gap"]).T,
        refined.values.sum(axis=(2, 3, 4)) - (refined.prediction - refined.baseline_prediction),
        Tolerance.DEEP,
    )


def test_tolerance_refines_each_sample_and_target_alone():
    model = planted.load(planted.net_c())
    x = np.array([[3, 0], [3, 1]], dtype=np.float32)
    kind = IntegratedGradients(steps=2, rule="left", tolerance=1e-3, max_steps=16)
    both = kind.attribute(model, x, 0)
    singles = [kind.attribute(model, x[n : n + 1], 0) for n in range(2)]
    assert both.diagnostics["steps"] == [s.diagnostics["steps"][0] for s in singles]
    assert_close(both.values, np.concatenate([s.values for s in singles]), Tolerance.OPERATIONS)
    # It stops at the limit, and reports it.
    assert both.diagnostics["steps"] == [16, 16]
    assert min(both.diagnostics["relative_gap"]) > 1e-3


def test_where_nothing_changes_the_gap_is_not_a_number_divided_by_zero():
    found = xaionnx.explain(planted.load(planted.null((3,))), row(1, 2, 3), IntegratedGradients(tolerance=0.1), 0)
    assert found.diagnostics["relative_gap"] == [0.0]
    assert found.diagnostics["steps"] == [128]


def test_steps_must_suit_the_rule_and_the_limit():
    with pytest.raises(ParameterError, match="at least 2 for the trapezoid"):
        IntegratedGradients(rule="trapezoid", steps=1)
    with pytest.raises(ParameterError, match="'max_steps' parameter of IntegratedGradients must be at least"):
        IntegratedGradients(tolerance=0.1, steps=64, max_steps=32)


def test_both_images_of_a_model_with_two_are_explained():
    model = planted.load(planted.net_b(two_images=True))
    feeds = {"x": CANONICAL / 2, "x2": CANONICAL / 2}
    for kind in (Saliency(absolute=False), IntegratedGradients()):
        found = kind.attribute(model, feeds, 0)
        assert set(found.values) == {"x", "x2"}
        assert_close(found.values["x"], found.values["x2"], Tolerance.QUOTIENTS)
    slope = Saliency(absolute=False).attribute(model, feeds, 0).values["x"]
    assert_close(slope[0, 0], [[0, 1, 1, 1]] * 3 + [[0] * 4], Tolerance.OPERATIONS)


def test_an_input_of_integers_and_a_slope_of_infinity_are_refused():
    tokens = loaded("""g (int64[N, 3] ids) => (float[N, 3] y) { b = Equal(ids, ids) y = Cast<to: int = 1>(b) }""")
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is \(N, 3\) int64, which has no gradient"):
        xaionnx.explain(tokens, np.ones((1, 3), dtype=np.int64), "saliency", 0)
    root = loaded("""g (float[N, 2] x) => (float[N, 2] y) { y = Sqrt(x) }""")
    said = r"The gradient of .* is NaN or infinity for sample 1: output 'y' of a Sqrt is a root at 0\. Check the sample"
    with pytest.raises(OutputError, match=said):
        xaionnx.explain(root, np.float32([[1, 1], [0, 1]]), "saliency", 0)


def test_a_slope_of_infinity_is_blamed_on_the_point_where_it_is():
    root = loaded("""g (float[N, 2] x) => (float[N, 2] y) { y = Sqrt(x) }""")
    x = np.float32([[1, 1], [4, 1]])
    way = r"is NaN or infinity at a point on the way from the baseline to sample 0, or near it: output 'y' of a Sqrt "
    way += r"is a root at 0\. Choose a baseline where this is not so"
    with pytest.raises(OutputError, match=way):  # the trapezoid takes the baseline itself
        xaionnx.explain(root, x, IntegratedGradients(rule="trapezoid", baseline=0.0), 0)
    assert_close(xaionnx.explain(root, x, "saliency", 0).values, [[0.5, 0], [0.25, 0]], Tolerance.OPERATIONS)
    falling = loaded(
        """g (float[N, 2] x) => (float[N, 2] y) <float one = {1}> { p = Exp(x)  m = Sub(p, one)  y = Log(m) }"""
    )
    with pytest.raises(OutputError, match="returns NaN or infinity at the baseline of sample 0"):
        xaionnx.explain(falling, x, IntegratedGradients(baseline=0.0), 0)


def test_a_quotient_of_zeros_at_the_baseline_is_named():
    """x over its largest number, with a guard against 0 / 0: finite at zeros, but without multipliers from there."""
    text = """g (float[N, 3] x) => (float[N, 1] y) { m = ReduceMax<axes = [1], keepdims = 1>(x)  z = Equal(m, o)
      q = Div(x, m)  h = Where(z, o, q)  y = MatMul(h, w) }"""
    model, x = loaded(text, o=np.float32(0), w=np.float32([[1], [2], [3]])), np.float32([[0.5, 1, 2]])
    said = r"for sample 0 and its baseline: output 'q' of a Div divides by 0 at the baseline\. Choose a baseline"
    with pytest.raises(OutputError, match=said):
        xaionnx.explain(model, x, "deep_lift", 0, baseline=0.0)
    alike = model.reopened(spec=InputSpec(kind="array"))
    found = xaionnx.explain(alike, x, "deep_lift", 0, baseline="uniform")
    assert_close(found.values.sum(), found.prediction - found.baseline_prediction, Tolerance.QUOTIENTS)


def test_the_deviation_of_a_channel_that_is_dead_near_the_baseline():
    """Near zeros the first channel is rectified away, and its deviation has slope 0; the values add up."""
    deviation = loaded(
        """g (float[N, 2, 6] x) => (float[N, 2] y) { c = Add(x, b)  r = Relu(c)  m = ReduceMean<axes = [2]>(r)
        d = Sub(r, m)  q = Mul(d, d)  v = ReduceMean<axes = [2], keepdims = 0>(q)  y = Sqrt(v) }""",
        b=np.float32([[[-1], [-1]]]),
    )
    x = np.float32([[[0, 1, 2, 3, 4, 5], [0] * 6]])
    found = xaionnx.explain(deviation, x, IntegratedGradients(baseline=0.0, steps=512), 0)
    assert abs(found.diagnostics["completeness_gap"][0]) < 5e-3  # the integrand jumps where the channel comes alive
    assert not found.values[0, 1].any()
    np.testing.assert_array_equal(xaionnx.explain(deviation, x, Saliency(), 1).values, np.zeros_like(x))


def test_progress_is_told_of_every_evaluation(digits, digit):
    heard = Heard()
    with progress.listening(heard):
        found = xaionnx.explain(digits, digit, IntegratedGradients(steps=4), [0, 1])
    assert heard.planned == heard.done == sum(found.diagnostics["evaluations"]) - 2  # the predictions are made before


def test_expected_gradients_average_paths_from_a_background():
    """On x^2 a path from b gives x^2 - b^2; each point gives 2 (x - b) (b + a (x - b)), of known variance."""
    rows = np.random.default_rng(5).normal(size=(10, 3)).astype(np.float32)
    x = np.array([1.0, 2.0, 3.0])
    kind = ExpectedGradients(baseline=Baseline.background(rows), draws=4000, seed=3)
    found = kind.attribute(planted.load(planted.five_x1_x2sq_sinx3()), x[None].astype(np.float32), 0)
    expected = np.array([5 * (x - rows)[:, 0], x[1] ** 2 - rows[:, 1] ** 2, np.sin(x[2]) - np.sin(rows[:, 2])])
    error = found.standard_error[0]
    # The linear term varies only with the baseline, and all baselines are taken equally often.
    assert error[0] < 1e-6
    assert (np.abs(found.values[0] - expected.mean(axis=1)) < 4 * error + 1e-6).all()
    gap = found.values.sum() - (found.prediction - found.baseline_prediction)[0]
    assert_close(found.diagnostics["completeness_gap"], [gap], Tolerance.DEEP)
    assert_close(found.baseline_prediction, [expected.sum(0).mean() * -1 + found.prediction[0]], Tolerance.LAYERS)
    # One baseline after another: ten forward passes and the prediction.
    assert found.diagnostics["evaluations"] == [1 + 10 + 4000]


def test_expected_gradients_weigh_the_baselines_that_were_taken():
    rows = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=np.float32)
    model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    kind = ExpectedGradients(baseline=Baseline.background(rows), draws=3)
    found = kind.attribute(model, row(3, 2, 2), 0)
    # A linear model has no gap, whichever baseline occurs twice.
    assert_close(found.diagnostics["completeness_gap"], [0], Tolerance.ORDER_ONE)
    assert_close(found.values.sum(), found.prediction[0] - found.baseline_prediction[0], Tolerance.ORDER_ONE)


def test_without_the_factor_the_values_are_the_mean_slopes_of_the_path():
    """On x^2 the mean slope from b to x is x + b; net C has the slopes (0.5, -0.5) at (3, 1)."""
    kind = IntegratedGradients(steps=1024, rule="middle", factor="none")
    found = kind.attribute(planted.load(planted.net_c()), row(3, 1), 0)
    np.testing.assert_allclose(found.values, [[0.5, -0.5]], atol=2e-3)
    assert found.value_kind == "slope"
    assert found.baseline_prediction is None
    assert not {"completeness_gap", "relative_gap", "steps"} & found.diagnostics.keys()

    starts = np.float32([[1, -1, 0], [0, 3, 2]])
    square = loaded("g (float[N, 3] x) => (float[N, 1] y) { s = Mul(x, x)  y = MatMul(s, a) }", a=[[1.0], [2.0], [3.0]])
    kind = IntegratedGradients(steps=4, factor="none", baseline=Baseline.background(starts))
    found = kind.attribute(square, row(2, 0, 4), 0)
    assert_close(found.values, [(row(2, 0, 4)[0] + starts.mean(axis=0)) * [1, 2, 3]], Tolerance.SUMS)


def test_slopes_have_no_gap_that_could_be_refined():
    with pytest.raises(ParameterError, match=r"'tolerance' .* must be None for factor='none': slopes have no"):
        IntegratedGradients(factor="none", tolerance=0.05)


def test_expected_gradients_without_the_factor():
    """On x^2 each draw is 2 (b + a (x - b)), whose mean is x + E[b]."""
    rows = np.random.default_rng(5).normal(size=(10, 3)).astype(np.float32)
    kind = ExpectedGradients(baseline=Baseline.background(rows), draws=2000, seed=3, factor="none")
    found = kind.attribute(planted.load(planted.five_x1_x2sq_sinx3()), row(1, 2, 3), 0)
    error = found.standard_error[0]
    assert_close(found.values[0, 0], 5, Tolerance.OPERATIONS)
    assert abs(found.values[0, 1] - (2 + rows[:, 1].mean())) < 4 * error[1]
    assert found.baseline_prediction is None
    assert "completeness_gap" not in found.diagnostics
