"""SmoothGrad against closed forms, and with every kind of inner method."""

import dataclasses
import zlib

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import Heard
from tests.tiny import loaded, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import Features, InputSpec, Model, Target
from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError, ParameterError, UnknownNameError
from xaionnx.explainers.exact_shapley import ExactShapley
from xaionnx.explainers.feature_ablation import FeatureAblation
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.lime import Lime
from xaionnx.explainers.occlusion import Occlusion
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.explainers.xrai import XRAI
from xaionnx.perturb.element_types import value_range
from xaionnx.runtime import progress
from xaionnx.student import student
from xaionnx.targets.selection import TargetTerm


@pytest.fixture(scope="module")
def digit():
    return np.random.default_rng(0).uniform(0, 1, size=(2, 1, 28, 28)).astype(np.float32)


@pytest.fixture
def squares():
    return loaded("g (float[N, 3] x) => (float[N, 1] y) { s = Mul(x, x)  y = MatMul(s, a) }", a=[[1.0], [2.0], [-3.0]])


@pytest.mark.parametrize("statistic", ["mean", "squared", "variance"])
def test_the_smooth_grad_family_has_its_closed_forms(squares, statistic):
    x, a = np.array([2.0, -1.0, 0.5]), np.array([1.0, 2.0, -3.0])
    noise = 0.2
    sigma = noise * np.maximum(np.abs(x), 1)
    expected = {
        "mean": 2 * a * x,
        "squared": 4 * a**2 * (x**2 + sigma**2),
        "variance": 4 * a**2 * sigma**2,
    }[statistic]
    found = xaionnx.explain(
        squares, x[None].astype(np.float32), SmoothGrad(statistic=statistic, noise=noise, draws=2000, seed=7), 0
    )
    # Of a normal g the standard error of the mean of its squares, and of its variance, are these.
    deviation = 2 * np.abs(a) * sigma
    error = {
        "mean": deviation,
        "squared": np.sqrt(2 * deviation**4 + 4 * deviation**2 * (2 * a * x) ** 2),
        "variance": np.sqrt(2) * deviation**2,
    }[statistic] / np.sqrt(2000)
    assert (np.abs(found.values[0] - expected) < 4 * error).all()
    if statistic == "mean":
        np.testing.assert_allclose(found.standard_error[0], error, rtol=0.15)
    else:
        assert found.standard_error is None
        assert found.diagnostics["no_standard_error"] == [f"a {statistic} of few draws is too skewed"]


def noise_of(model, x, **settings):
    """The standard deviation of the noise of each element, from the variance of slopes of the sum of squares."""
    found = xaionnx.explain(model, x, SmoothGrad(statistic="variance", draws=4000, **settings), 0)
    return np.sqrt(found.values) / 2, found.provenance["noise_range"]


# Four standard errors of a deviation of 4000 draws.
DRAWN = 4 / np.sqrt(2 * 4000)


class TestRanges:
    """The noise is a share of the range of the input, or of each column of a table."""

    X = np.float32([[40, 40_000, 0.5]])
    TABLE = InputSpec(name="x", kind="table", columns=("age", "income", "share"))

    @pytest.fixture
    def table(self, squares):
        ones = loaded("g (float[N, 3] x) => (float[N, 1] y) { s = Mul(x, x)  y = MatMul(s, a) }", a=np.ones((3, 1)))
        return ones.reopened(spec=self.TABLE)

    def test_of_columns_of_other_units(self, table):
        """Noise of the income drowned the age."""
        deviation, told = noise_of(table, self.X, noise=0.1)
        np.testing.assert_allclose(deviation[0], [4, 4000, 0.1], rtol=DRAWN)
        assert told == {"x": "max(|x|, 1) of each column"}

    @pytest.mark.parametrize("form", ["array", "mapping", "file"])
    def test_of_columns_over_rows_of_data(self, table, tmp_path, form):
        rows = np.float32([[20, 1000, 0.25], [90, np.nan, 0.75], [70, 81_000, np.inf]])
        (tmp_path / "rows.csv").write_text("age,income,share\n20,1000,0.25\n90,5000,0.75\n70,81000,0.5\n")
        given = {"array": rows, "mapping": {"x": rows}, "file": tmp_path / "rows.csv"}[form]
        deviation, told = noise_of(table, self.X, noise=0.1, background=given)
        np.testing.assert_allclose(deviation[0], [7, 8000, 0.05], rtol=DRAWN)
        assert told == {"x": "of each column over the background"}

    def test_of_a_column_that_all_rows_agree_on(self, table):
        rows = np.repeat(self.X, 3, axis=0) + np.float32([[0, 1, 0]]) * np.arange(3)[:, None]
        assert noise_of(table, self.X, background=rows)[0][0, [0, 2]].tolist() == [0, 0]

    @pytest.mark.parametrize("rows", [np.ones((2, 4), np.float32), np.array([["a", "b", "c"]]), np.ones(3, np.float32)])
    def test_rows_of_another_input_are_refused(self, table, rows):
        with pytest.raises((InputMismatchError, ParameterError)):
            xaionnx.explain(table, self.X, SmoothGrad(background=rows), 0)

    def test_of_a_sound(self):
        """Steps of one sound are alike: its range is from the lowest to the highest, however soft it is."""
        text = "g (float[N, T] x) => (float[N, 1] y) { s = Mul(x, x)  y = ReduceSum<keepdims = 1>(s, one) }"
        sound = loaded(text, one=np.array([1])).reopened(axes="N T")
        deviation, told = noise_of(sound, np.float32([[0.01, -0.01, 0.004, 0.0]]), noise=0.1)
        np.testing.assert_allclose(deviation[0], 0.002, rtol=DRAWN)
        assert told == {"x": "lowest to highest value"}
        louder = noise_of(sound, np.float32([[0.01, -0.01]]), noise=0.1, background=np.float32([[0.3, -0.1], [0, 0]]))
        np.testing.assert_allclose(louder[0][0], 0.04, rtol=DRAWN)

    def test_of_an_inner_method_with_rows_of_its_own(self, table):
        rows = np.float32([[20, 1000, 0.25], [90, 81_000, 0.75]])
        inner = ExactShapley(background=rows)
        found = xaionnx.explain(table, self.X, SmoothGrad(inner=inner, draws=4, background=rows[:1]), 0)
        # Of one row no column has a range.
        assert_close(found.values, xaionnx.explain(table, self.X, inner, 0).values, Tolerance.OPERATIONS)


def copies(squares_noise, seed, draws, x):
    """The noisy copies of a table's rows, as the documentation describes them."""
    deviation = squares_noise * np.maximum(np.abs(x.astype(np.float64)), 1)
    noise = [np.random.default_rng([seed, zlib.crc32(b"x"), d]).standard_normal(x.shape[1:]) for d in range(draws)]
    return np.stack([x + (deviation * one).astype(np.float32) for one in noise])


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("method", ["integrated_gradients", "saliency", "feature_ablation", "lime", "guided_ig"])
@pytest.mark.parametrize("target", [0, [0, Target.sum()]])
def test_any_method_is_joined_over_the_copies_one_by_one(squares, method, target):
    x = np.array([[2, -1, 0.5], [1, 3, -2]], dtype=np.float32)
    kind = SmoothGrad(inner=method, draws=5, noise=0.3, seed=2)
    found = xaionnx.explain(squares, x, kind, target)
    singles = [xaionnx.explain(squares, copy, method, target) for copy in copies(0.3, 2, 5, x)]
    each = np.stack([one.values for one in singles]).astype(np.float64)
    assert_close(found.values, each.mean(axis=0), Tolerance.DEEP)
    scale = np.abs(each).max()
    assert_close(found.standard_error, student(4) * each.std(axis=0, ddof=1) / np.sqrt(5), Tolerance.PROPAGATION, scale)
    spent = np.sum([one.diagnostics["evaluations"] for one in singles], axis=0) + 1
    assert found.diagnostics["evaluations"] == spent.tolist()
    told = np.array(found.diagnostics["noisy_prediction"]).T
    assert_close(told, np.mean([one.prediction for one in singles], axis=0), Tolerance.SUMS)


def test_a_method_by_name_is_the_method_itself_and_is_recorded(squares):
    x = row(2, -1, 0.5)
    named = xaionnx.explain(squares, x, SmoothGrad(inner="integrated_gradients", draws=8, noise=1e-6), 0)
    inner = xaionnx.explain(squares, x, "integrated_gradients", 0)
    assert_close(named.values, inner.values, Tolerance.QUOTIENTS)
    # Eight paths, each with its baseline and its end.
    assert named.diagnostics["gradients"] == [8 * 128]
    assert named.diagnostics["evaluations"] == [1 + 8 * (128 + 2)]
    assert_close(named.diagnostics["relative_gap"], 0, Tolerance.DEEP)
    given = SmoothGrad(inner=IntegratedGradients(), draws=8, noise=1e-6).attribute(squares, x, 0)
    np.testing.assert_array_equal(given.values, named.values)
    assert given.provenance["parameters"]["inner"]["kind"] == "IntegratedGradients"
    assert given.provenance["parameters"]["inner"]["baseline"] == {"kind": "Constant", "value": 0.0}


def test_the_clean_sample_decides_the_target(digits, digit):
    plain = xaionnx.explain(digits, digit, "saliency")
    noisy = xaionnx.explain(digits, digit, SmoothGrad(draws=2, noise=5.0))
    assert (noisy.target == plain.target).all()
    np.testing.assert_array_equal(noisy.prediction, plain.prediction)
    # The noise is too large, and the result reports it.
    assert (np.abs(np.array(noisy.diagnostics["noisy_prediction"]) - plain.prediction) > 1).all()
    assert (SmoothGrad(inner="rise").default_target(digits) is None) == (
        xaionnx.discovery.method("rise")().default_target(digits) is None
    )


def test_the_clean_sample_decides_the_features(digits, digit):
    """A noisy picture has other superpixels; players and their values are those of the clean one."""
    plain = xaionnx.explain(digits, digit, FeatureAblation(features="superpixels:9"))
    found = xaionnx.explain(digits, digit, SmoothGrad(inner=FeatureAblation(features="superpixels:9"), draws=3))
    np.testing.assert_array_equal(found.features, plain.features)
    assert found.feature_values.shape == found.standard_error.shape == plain.feature_values.shape
    for n in range(2):
        labels = np.broadcast_to(found.features, digit.shape)[n]
        np.testing.assert_array_equal(found.values[n], found.feature_values[n].astype(np.float32)[labels])
    maps = np.stack([np.arange(784).reshape(28, 28) // 392, np.arange(784).reshape(28, 28) % 2])
    each = SmoothGrad(inner=FeatureAblation(features=maps[:, None]), draws=3).attribute(digits, digit, 3)
    np.testing.assert_array_equal(each.features[:, 0], maps)


def test_the_clean_sample_decides_the_baseline():
    """The mean of a copy differs from that of its sample; with the latter the values are w (x + e - mean)."""
    model = Model.load(planted.load(planted.linear([[1.0, 2.0, -3.0]])).path, spec=InputSpec(kind="array"))
    x = row(1, 4, 7)
    found = xaionnx.explain(model, x, SmoothGrad(inner=ExactShapley(baseline="mean"), draws=4, seed=1), 0)
    expected = np.array([1.0, 2.0, -3.0]) * (copies(0.15, 1, 4, x).mean(axis=0) - 4)
    assert_close(found.values, expected, Tolerance.LAYERS)
    assert_close(found.baseline_prediction, [0], Tolerance.ORDER_ONE)


def test_values_of_another_shape_than_the_input_are_joined(digits, digit):
    """A method that explains a layer returns values in the shape of the layer."""

    class Layered(Saliency):
        def explain_points(self, slopes, points):
            found = super().explain_points(slopes, points)
            (values,) = found.values.values()
            return dataclasses.replace(found, values={"layer": values.reshape(1, -1, 14, 56), "y": values})

    found = SmoothGrad(inner=Layered(), draws=3).attribute(digits, digit, 3)
    plain = SmoothGrad(inner=Saliency(), draws=3).attribute(digits, digit, 3)
    assert_close(found.values["layer"], plain.values.reshape(2, 14, 56), Tolerance.OPERATIONS)
    assert_close(found.maps["standard_error_y"], plain.standard_error, Tolerance.OPERATIONS)


def test_the_noise_is_of_the_seed_and_not_of_the_batch(digits, digit, monkeypatch):
    first, second = (xaionnx.explain(digits, digit, SmoothGrad(draws=4, seed=s)).values for s in (0, 1))
    assert np.abs(first - second).max() > 0.01 * np.abs(first).max()
    # Fewer copies at a time, as for a large picture, are the same copies.
    monkeypatch.setattr("xaionnx.explainers.smooth_grad._PIECE", 1600)
    few = xaionnx.explain(digits, digit, SmoothGrad(draws=4, seed=0)).values
    assert_close(few, first, Tolerance.ORDER_ONE, np.abs(first).max())


@pytest.mark.parametrize("piece", [2**24, 800])
@pytest.mark.parametrize("method", [None, Lime(budget=60, features=Features.grid(2, 2), tolerance=0.5)])
def test_progress_ends_where_it_was_planned(digits, digit, monkeypatch, method, piece):
    heard = Heard()
    monkeypatch.setattr("xaionnx.explainers.smooth_grad._PIECE", piece)
    with progress.listening(heard):
        found = xaionnx.explain(digits, digit, SmoothGrad(inner=method, draws=3), 3)
    # Predictions are not reported as progress: those of the samples, and those of copies if they do not come with the
    # gradients.
    predictions = 2 if method is None else 2 + 6
    assert heard.planned == heard.done == sum(found.diagnostics["evaluations"]) - predictions


def test_both_images_of_a_model_with_two_are_smoothed():
    model = planted.load(planted.net_b(two_images=True))
    half = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) / 2
    for method in (None, FeatureAblation(features="elements")):
        found = SmoothGrad(inner=method, draws=3, noise=1e-3).attribute(model, {"x": half, "x2": half}, 0)
        assert set(found.values) == {"x", "x2"}
        np.testing.assert_allclose(found.values["x"], found.values["x2"], rtol=0.05, atol=0.05)


def of_two():
    """y = 2 x0^2 - x1^2 + 3 b0^2 + b1^2 of the inputs x and b."""
    return loaded(
        """g (float[N, 2] x, float[N, 2] b) => (float[N, 1] y) {
        s = Mul(x, x)  t = Mul(b, b)  left = MatMul(s, v)  right = MatMul(t, w)  y = Add(left, right) }""",
        v=[[2.0], [-1.0]], w=[[3.0], [1.0]],
    )  # fmt: skip


def test_only_the_inputs_that_are_named_get_noise():
    x = {"x": row(1, 3), "b": row(-2, 4)}
    kind = SmoothGrad(noise={"x": 0.3}, statistic="variance", draws=64)
    found = xaionnx.explain(of_two(), x, kind, 0)
    sigma = 0.3 * 2
    assert (found.values["x"] > 0.2 * np.array([16, 4]) * sigma**2).all()
    np.testing.assert_array_equal(found.values["b"], [[0, 0]])
    mean = xaionnx.explain(of_two(), x, SmoothGrad(noise={"x": 0.3, "b": 0}), 0)
    np.testing.assert_array_equal(mean.values["b"], [[-12, 8]])
    assert mean.provenance["parameters"]["noise"] == {"x": 0.3, "b": 0}


def test_each_input_gets_noise_of_its_own_size():
    x = {"x": row(1, 3), "b": row(-2, 4)}
    kind = SmoothGrad(noise={"x": 0.1, "b": 0.4}, statistic="variance", draws=500)
    found = xaionnx.explain(of_two(), x, kind, 0)
    for name, slopes, sigma in (("x", (4, 2), 0.1 * np.array([1, 3])), ("b", (6, 2), 0.4 * np.array([2, 4]))):
        variance = np.square(slopes) * sigma**2
        assert (np.abs(found.values[name][0] - variance) < 4 * variance * np.sqrt(2 / 500)).all()
    together = xaionnx.explain(of_two(), x, SmoothGrad(noise=0.2, draws=8), 0)
    apart = xaionnx.explain(of_two(), x, SmoothGrad(noise={"b": 0.2, "x": 0.2}, draws=8), 0)
    np.testing.assert_array_equal(together.values["b"], apart.values["b"])


@pytest.mark.parametrize("noise", [0, -0.1, {}, {"x": 0}, {"x": -1.0}, {"x": "much"}, "x", True, np.inf])
def test_noise_that_is_none_is_refused(noise):
    with pytest.raises(ParameterError, match="The 'noise' parameter of SmoothGrad must be a float in"):
        SmoothGrad(noise=noise)


def test_noise_for_what_is_no_float_input_is_refused():
    with pytest.raises(UnknownNameError, match=r"No float input named 'xx'\. Nearest: x"):
        xaionnx.explain(of_two(), {"x": row(1, 3), "b": row(-2, 4)}, SmoothGrad(noise={"xx": 0.1}), 0)


@pytest.mark.parametrize(
    ("text", "noise"), [("0.2", 0.2), ("x=0.2", {"x": 0.2}), ("a:0=0.1, b=0", {"a:0": 0.1, "b": 0})]
)
def test_noise_is_read_from_text(text, noise):
    assert xaionnx.parameters.declared(SmoothGrad)["noise"][0].parse(text) == noise


PROPAGATED = ("lrp", "deep_lift", "guided_backprop", "deconvnet", "input_x_gradient", "full_grad", "grad_cam")


@pytest.mark.parametrize(("method", "layer"), [*((method, None) for method in PROPAGATED), ("lrp", "/4/Conv_output_0")])
def test_propagation_is_smoothed_as_gradients_are(digits, digit, method, layer):
    """Each copy by itself; of a layer too."""
    options, name = {} if layer is None else {"layer": layer}, digits.input().name
    found = xaionnx.explain(digits, digit, SmoothGrad(inner=method, draws=3, noise=0.2, seed=4, **options), 3)
    low, high = value_range(Sample({name: digit[0]}, name, digits.spec), name)
    each = []
    for draw in range(3):
        noise = np.random.default_rng([4, zlib.crc32(name.encode()), draw]).standard_normal(digit.shape[1:])
        copy = digit + (0.2 * (high - low) * noise).astype(np.float32)
        each.append(xaionnx.explain(digits, copy, method, 3, **options).values.astype(np.float64))
    assert found.values.shape == each[0].shape
    assert_close(found.values, np.mean(each, axis=0), Tolerance.DEEP, np.abs(each).max())


@pytest.mark.parametrize("kind", [Occlusion(window=7), XRAI(inner="saliency")])
def test_methods_without_features_are_joined_by_element(digits, digit, kind):
    found = SmoothGrad(inner=kind, draws=2).attribute(digits, digit, 3)
    assert found.feature_values is found.features is None
    assert found.values.shape == found.standard_error.shape == digit.shape


@pytest.mark.parametrize("method", ["smooth_grad", 3, SmoothGrad()])
def test_what_is_no_other_method_is_refused(method):
    with pytest.raises(ParameterError, match="The 'inner' parameter of SmoothGrad must be"):
        SmoothGrad(inner=method)
    with pytest.raises(UnknownNameError, match=r"No method named 'salience'. Nearest: saliency"):
        SmoothGrad(inner="salience")


def test_integers_take_no_noise():
    tokens = loaded("""g (int64[N, 3] ids) => (float[N, 3] y) { y = Cast<to: int = 1>(ids) }""")
    with pytest.raises(ParameterError, match=r"without a baseline for .* whose noise is added to the floats made of"):
        xaionnx.explain(tokens, np.ones((1, 3), dtype=np.int64), SmoothGrad(inner="lime"), 0)


def test_a_held_target_repeats_the_picks_of_its_samples():
    from xaionnx.explainers._gradients.nested import CleanTarget

    term = TargetTerm("y", "identity", np.array([[2], [0]]), np.ones((2, 1)), ("a", "b"))
    (tiled,) = CleanTarget(term).terms(np.zeros((4, 3)), None)
    assert tiled.indices.ravel().tolist() == [2, 0, 2, 0]
    assert tiled.names == ("a", "b", "a", "b")
