"""Finite differences against closed forms, the built gradient, and the expected error of random signs."""

import dataclasses

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.counting import Heard, rows_run
from tests.tiny import loaded, row
from tests.tolerances import Tolerance, assert_close
from xaionnx import FiniteDifferences, Model
from xaionnx.data.table_files import read_table
from xaionnx.errors import OutputError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.saliency import Saliency
from xaionnx.runtime import progress


def slopes(model, x, target=0, **options):
    return Saliency(absolute=False, gradient=FiniteDifferences(**options)).attribute(model, x, target)


def built(model, x, target=0):
    return Saliency(absolute=False, gradient="graph").attribute(model, x, target).values


@pytest.fixture(scope="module")
def quadratic():
    """y = x A x for A = [[1, 2, 0], [0, -1, 3], [0, 0, 2]], whose gradient is x (A + A^T)."""
    return loaded(
        "g (float[N, 3] x) => (float[N, 1] y) { ax = MatMul(x, a)  p = Mul(x, ax)  y = ReduceSum(p, one) }",
        a=[[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [0.0, 0.0, 2.0]],
        one=[1],
    )


QUADRATIC_AT = row(1.5, -2, 0.5)
# x (A + A^T) by hand: 2*1.5 + 2*-2, 2*1.5 - 2*-2 + 3*0.5, 3*-2 + 4*0.5
QUADRATIC_SLOPES = np.array([-1.0, 8.5, -4.0])


def test_of_a_quadratic_they_are_exact(quadratic):
    """Steps and values are short binary fractions, so nothing is rounded even though the steps are large."""
    for step in (0.25, np.array([0.25, 0.5, 2.0])):
        found = slopes(quadratic, QUADRATIC_AT, step=step)
        np.testing.assert_array_equal(found.values[0], QUADRATIC_SLOPES)
    assert found.diagnostics["gradient"] == "finite_differences"
    assert found.diagnostics["evaluations"] == [1 + 6]
    assert found.diagnostics["gradients"] == [1]
    assert found.standard_error is None
    told = found.provenance["parameters"]["gradient"]
    assert (told["kind"], told["smallest_step"], told["largest_step"]) == ("FiniteDifferences", 0.25, 2.0)


def test_the_values_of_a_feature_add_up_to_the_derivative_along_its_indicator(quadratic):
    found = slopes(quadratic, QUADRATIC_AT, features=[7, 3, 7], step=np.array(0.5))
    np.testing.assert_array_equal(found.values[0], [-2.5, 8.5, -2.5])  # (-1 - 4) / 2 for each of the pair
    assert found.diagnostics["evaluations"] == [1 + 4]
    columns = slopes(quadratic, QUADRATIC_AT, features=xaionnx.Features.columns([[0, 2]]), step=np.array(0.5))
    np.testing.assert_array_equal(columns.values, found.values)


def test_the_elements_of_a_feature_move_by_its_largest_step(quadratic):
    found = slopes(quadratic, QUADRATIC_AT, features=[0, 1, 0], step=np.array([0.25, 1.0, 0.5]))
    assert found.provenance["parameters"]["gradient"]["smallest_step"] == 0.5
    np.testing.assert_array_equal(found.values[0], [-2.5, 8.5, -2.5])


def test_random_signs_have_the_standard_error_that_theory_gives():
    """Of a linear model: Var_p = sum over the others q of (w_q h_q / h_p)^2 / M; its own gradient adds nothing."""
    weights, steps, count = np.array([1.0, 2.0, -3.0]), np.array([0.25, 0.5, 1.0]), 2000
    model = planted.load(planted.linear(weights[None]))
    found = slopes(model, row(1, 0, 2), directions=count, step=steps, seed=3)
    moved = weights * steps
    expected = np.sqrt(((moved**2).sum() - moved**2) / count) / steps
    np.testing.assert_allclose(found.standard_error[0], expected, rtol=0.02)
    assert (np.abs(found.values[0] - weights) < 4 * found.standard_error[0]).all()
    assert np.abs(found.values[0] - weights).max() > 0
    assert found.diagnostics["evaluations"] == [1 + 2 * count]
    one = slopes(model, row(1, 0, 2), features=[0, 0, 0], directions=2, step=np.array(0.5))
    np.testing.assert_array_equal(one.values[0], [0, 0, 0])  # (1 + 2 - 3) / 3
    np.testing.assert_array_equal(one.standard_error[0], [0, 0, 0])


def test_standard_errors_are_honest_over_seeds():
    model, truth = planted.load(planted.five_x1_x2sq_sinx3()), np.array([5.0, 4.0, np.cos(3.0)])
    found = [slopes(model, row(1, 2, 3), directions=30, step=np.array(0.01), seed=seed) for seed in range(80)]
    scores = np.array([(f.values[0] - truth) / f.standard_error[0] for f in found])
    # A t of 29 degrees has a deviation of 1.04 and is widened by 1.04; that of 80 draws is known to 1 / sqrt(160).
    assert np.abs(scores.std(axis=0) - 1).max() < 4 / np.sqrt(160)
    assert np.abs(scores.mean(axis=0)).max() < 4 / np.sqrt(80)


def test_standard_errors_reach_input_x_gradient_in_its_units():
    model, x = planted.load(planted.linear([[1.0, 2.0, -3.0]])), row(2, -5, 0)
    source = FiniteDifferences(directions=50)
    plain = Saliency(absolute=False, gradient=source).attribute(model, x, 0)
    times = InputXGradient(gradient=source).attribute(model, x, 0)
    assert_close(times.standard_error, plain.standard_error * np.abs(x), Tolerance.OPERATIONS)
    assert_close(times.values, plain.values * x, Tolerance.OPERATIONS)
    folded = Saliency(gradient=source).attribute(model, np.tile(x, (2, 1)), 0)
    assert folded.standard_error is None
    assert all("absolute=False has errors" in why for why in folded.diagnostics["no_standard_error"])
    assert len(folded.diagnostics["no_standard_error"]) == 2


def test_points_of_a_path_draw_directions_of_their_own():
    """With the same directions at all 64 points, the error would be that of one point, which is 8 times larger."""
    weights = np.arange(1.0, 13.0)
    model, x = planted.load(planted.linear(weights[None])), np.ones((1, 12), np.float32)
    path = IntegratedGradients(steps=64, gradient=FiniteDifferences(directions=20, step=0.01)).attribute(model, x, 0)
    deviation = np.sqrt(((weights**2).sum() - weights**2) / 20)
    error = (path.values[0] - weights) / deviation
    assert np.abs(error).max() < 4 / np.sqrt(64)
    assert path.diagnostics["evaluations"] == [1 + 1 + 64 * 40]
    assert path.diagnostics["gradients"] == [64]


def test_targets_at_one_point_share_its_evaluations():
    weights = np.random.default_rng(0).normal(size=(4, 5))
    model, x = planted.load(planted.linear(weights)), np.random.default_rng(1).normal(size=(2, 5)).astype(np.float32)
    found = slopes(model, x, [0, 2, 3], step=0.1)
    assert found.diagnostics["evaluations"] == [1 + 10, 1 + 10]
    assert found.diagnostics["gradients"] == [3, 3]
    assert_close(found.values, np.broadcast_to(weights[[0, 2, 3], None], (3, 2, 5)), Tolerance.LAYERS)


@pytest.mark.parametrize("options", [{}, {"features": [0, 0, 1, 1, 2]}, {"directions": 7}])
def test_evaluations_are_counted_and_foretold_truly(monkeypatch, options):
    model = planted.load(planted.linear(np.ones((2, 5))), batch_size=1)  # one row a run, without probing
    counted = rows_run(monkeypatch)
    heard = Heard()
    with progress.listening(heard):
        found = slopes(model, np.ones((3, 5), np.float32), [0, 1], **options)
    assert sum(counted) == sum(found.diagnostics["evaluations"])
    assert heard.planned == heard.done == sum(counted) - 3  # the predictions are made before


@pytest.mark.parametrize("options", [{}, {"features": "grid:4"}, {"features": "grid:7", "directions": 9}])
def test_batches_change_nothing(options):
    x = np.random.default_rng(2).random((3, 1, 8, 8)).astype(np.float32)
    reference = slopes(Model.load("models/digits_cnn.onnx"), x, 3, step=0.02, **options)
    scale = np.abs(reference.values).max()
    for size in (1, 5, 64):
        model = Model.load("models/digits_cnn.onnx", batch_size=size)
        again = slopes(model, x, 3, step=0.02, **options)
        np.testing.assert_allclose(again.values / scale, reference.values / scale, atol=2e-3)
    singles = np.concatenate([slopes(model, x[n : n + 1], 3, step=0.02, **options).values for n in range(3)])
    np.testing.assert_allclose(singles / scale, reference.values / scale, atol=2e-3)


def test_the_digits_against_the_built_gradient():
    model = Model.load("models/digits_cnn.onnx")
    x = np.random.default_rng(3).random((4, 1, 8, 8)).astype(np.float32)
    graph, found = built(model, x, 5), slopes(model, x, 5).values
    errors = np.linalg.norm((found - graph).reshape(4, -1), axis=1) / np.linalg.norm(graph.reshape(4, -1), axis=1)
    # Rectifiers and pools flip within a step.
    assert np.median(errors) < 0.02
    assert errors.max() < 0.1


def test_the_credit_columns_against_the_built_gradient():
    """Columns range from 0..1 to thousands; the step adapts to each."""
    model = Model.load("models/german_credit_mlp.onnx")
    x = credit(model) + np.float32(0.3)  # categories have kinks at integer codes
    graph, found = built(model, x, 1), slopes(model, x, 1).values
    np.testing.assert_allclose(found, graph, atol=0.01 * np.abs(graph).max())
    assert np.corrcoef(np.log(np.abs(graph[0])), np.log(np.abs(found[0])))[0, 1] > 0.99


def credit(model):
    table, refused = read_table("models/data/german_credit_sample.csv", model.spec)
    assert refused == []
    return table.values[:4].astype(np.float32)


def test_a_photograph_in_one_random_direction():
    model = Model.load("models/efficientnet_lite0.onnx")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1, 3, 224, 224), scale=0.4).astype(np.float32)
    halves = rng.integers(0, 2, size=(3, 224, 224))
    graph, found = built(model, x, 285)[0], slopes(model, x, 285, features=halves[None]).values[0]
    for half in (0, 1):
        along = np.where(halves == half, graph, 0).sum(dtype=np.float64)
        ours = np.where(halves == half, found, 0).sum(dtype=np.float64)
        # Relative to the derivative along a random direction of that length.
        assert abs(ours - along) < 0.1 * np.linalg.norm(graph) * np.sqrt(halves.size / 2)


def test_the_default_step_is_an_eighth_of_the_cube_root_of_precision_over_elements():
    model = Model.load("models/mnist_cnn.onnx")
    x = np.random.default_rng(5).normal(size=(1, 1, 28, 28)).astype(np.float32)
    black, white = model.spec.pixel(0.0), model.spec.pixel(255.0)
    span = float(np.max(np.abs(white - black)))
    eps = np.finfo(np.float32).eps
    for features, smallest, largest in ((None, 1, 1), ("grid:4", 49, 49), ("grid:1", 784, 784)):
        told = slopes(model, x, 0, features=features).provenance["parameters"]["gradient"]
        assert told["largest_step"] == pytest.approx(np.cbrt(eps / smallest) / 8 * span)
        assert told["smallest_step"] == pytest.approx(np.cbrt(eps / largest) / 8 * span)
    told = slopes(model, x, 0, directions=2).provenance["parameters"]["gradient"]
    assert told["largest_step"] == pytest.approx(np.cbrt(eps / 784) / 8 * span)
    table = planted.load(planted.linear(np.ones((1, 2))))
    told = slopes(table, row(300, 0.1)).provenance["parameters"]["gradient"]
    assert told["largest_step"] == pytest.approx(np.cbrt(eps) / 8 * 300)
    assert told["smallest_step"] == pytest.approx(np.cbrt(eps) / 8)


def test_a_forest_is_flat_but_for_a_step_that_is_wide_enough():
    model = Model.load("models/german_credit_forest.onnx")
    x = credit(model)[:2]
    with pytest.raises(UnsupportedModelError) as refused:
        Saliency().attribute(model, x, 1)
    assert str(refused.value).endswith(
        " Or choose gradient='finite_differences:step=0.1', a share of the value range: trees are piecewise "
        "constant, so the step decides which changes count."
    )
    flat = Saliency(gradient="finite_differences").attribute(model, x, 1)
    assert flat.diagnostics["gradient"] == "finite_differences"
    assert flat.diagnostics["evaluations"] == [41, 41]
    steps = np.where(x.max(axis=0) > 20, 0.25 * x.max(axis=0), 1.0)
    found = slopes(model, x, 1, step=steps).values
    output = model.output().name
    expected = np.empty(x.shape)
    for n, column in np.ndindex(*x.shape):
        up, down = x[n : n + 1].copy(), x[n : n + 1].copy()
        up[0, column] += steps[column]
        down[0, column] -= steps[column]
        change = [model.run({model.input().name: end}, [output])[output][0, 1] for end in (up, down)]
        expected[n, column] = (float(change[0]) - float(change[1])) / (float(up[0, column]) - float(down[0, column]))
    assert np.count_nonzero(expected) > 10
    assert_close(found, expected, Tolerance.SIGNED_SUMS)
    assert np.count_nonzero(flat.values) < np.count_nonzero(found)


def test_both_inputs_of_a_model_with_two_are_moved():
    model = planted.load(planted.net_b(two_images=True))
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) / 2
    feeds = {"x": x, "x2": x}
    graph = Saliency(absolute=False).attribute(model, feeds, 0)
    found = slopes(model, feeds, 0, step=0.001)
    labels = np.arange(16).reshape(4, 4)
    # A label in both inputs is one feature in each.
    grouped = slopes(model, feeds, 0, step=0.001, features={"x": labels, "x2": labels})
    for name in feeds:
        np.testing.assert_allclose(found.values[name], graph.values[name], atol=2e-3)
        np.testing.assert_allclose(grouped.values[name], found.values[name], atol=2e-3)
    assert found.diagnostics["evaluations"] == [1 + 64]
    with pytest.raises(ParameterError) as refused:
        slopes(model, feeds, 0, features="grid:2")
    assert str(refused.value) == (
        "The features of finite differences leave out input 'x2'. Give a label map for each of x, x2 by name, or leave "
        "the features out."
    )


def test_a_point_beside_the_domain_is_refused():
    root = loaded("""g (float[N, 2] x) => (float[N, 2] y) { y = Sqrt(x) }""")
    with pytest.raises(OutputError, match=r"The gradient of .* is NaN or infinity for sample 1: .* Check the sample"):
        slopes(root, np.float32([[1, 1], [0, 1]]))


def test_a_step_that_rounding_loses_is_refused(quadratic):
    with pytest.raises(ParameterError) as refused:
        slopes(quadratic, row(1e8, 1, 1), step=np.array(0.5))
    assert str(refused.value) == (
        "A step of 0.5 is lost in the rounding of the input. Give finite differences a larger step."
    )


@pytest.mark.parametrize("step", [0, -1.0, np.inf, np.nan, "wide", np.array([1.0, 0.0]), True])
def test_a_step_must_be_positive(step):
    with pytest.raises(ParameterError, match="The 'step' parameter of FiniteDifferences must be a float in"):
        FiniteDifferences(step=step)


def test_options_are_refused_by_name(quadratic):
    with pytest.raises(ParameterError, match=r"The 'directions' parameter of FiniteDifferences must be an int in \[2,"):
        FiniteDifferences(directions=1)
    with pytest.raises(ParameterError, match=r"The 'seed' parameter of FiniteDifferences must be an int in \[0,"):
        FiniteDifferences(seed=-1)
    with pytest.raises(UnknownNameError, match=r"No features named 'superpixel'\. Nearest: superpixels"):
        FiniteDifferences(features="superpixel")
    with pytest.raises(ParameterError) as refused:
        slopes(quadratic, QUADRATIC_AT, step=np.ones(4))
    assert str(refused.value) == (
        "The 'step' parameter of FiniteDifferences has the shape (4,), which does not broadcast to input 'x' of shape "
        "('N', 3) without its batch axis."
    )


def test_the_shorthand_says_the_same():
    read = FiniteDifferences.of("finite_differences:superpixels:100:random:30:step=0.01:seed=4")
    assert dataclasses.astuple(read) == ("superpixels:100", 30, 0.01, 4)
    assert dataclasses.astuple(FiniteDifferences.of("finite_differences")) == (None, None, None, 0)
    assert FiniteDifferences.of("finite_differences:grid:6x8").features == "grid:6x8"


@pytest.mark.parametrize("text", ["finite_differences:random", "finite_differences:random:many",
                                  "finite_differences:width=3", "finite_differences:step=wide"])  # fmt: skip
def test_a_shorthand_that_cannot_be_read_is_refused(text):
    with pytest.raises(ParameterError) as refused:
        FiniteDifferences.of(text)
    assert str(refused.value) == (
        f"'{text}' is no source of gradients. Write finite_differences, then as needed :FEATURES such as "
        ":superpixels:100, :random:DIRECTIONS, :step=SHARE and :seed=INT."
    )


STEPS = {
    "Round": "r = Round(m)",
    "Floor": "r = Floor(m)",
    "Cast": "i = Cast<to = 7>(m)  r = Cast<to = 1>(i)",
    "QuantizeLinear": "q = QuantizeLinear(m, one)  r = DequantizeLinear(q, one)",
    "Greater": "b = Greater(m, one)  r = Cast<to = 1>(b)",
    "ArgMax": "i = ArgMax<axis = 1>(m)  f = Cast<to = 1>(i)  s = Sign(m)  z = Mul(s, zero)  r = Add(z, f)",
}


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad", "input_x_gradient"])
@pytest.mark.parametrize("op", STEPS)
def test_values_that_are_zero_since_the_model_goes_in_steps_say_so(op, method):
    text = f"g (float[N, 3] x) => (float[N, 2] y) {{ m = Mul(x, one)  {STEPS[op]}  y = MatMul(r, w) }}"
    model = loaded(text, one=np.float32(1), zero=np.float32(0), w=np.float32([[1, 2], [3, 4], [5, 6]]))
    x = np.float32([[2.31, -1.4, 4.2]])
    settings = {"smooth_grad": {"noise": 1e-3}, "integrated_gradients": {"baseline": x + np.float32(0.01)}}
    # The rules of gradient graphs pass a quantiser.
    source = {"gradient": "finite_differences"} if op == "QuantizeLinear" else {}
    found = xaionnx.explain(model, x, method, 1, **settings.get(method, {}), **source)
    assert not found.values.any()
    (said,) = [text for text in found.warnings if text.startswith("Every value is zero")]
    assert f"on the way to the target the model goes in steps ({op}" in said
    assert "occlusion" in said
    assert xaionnx.explain(model, x, "feature_ablation", 1, baseline=-9.0).values.any()
    # A difference over more than a step of the model.
    assert xaionnx.explain(model, x, "saliency", 1, gradient="finite_differences:step=0.9").values.any()


def test_a_gap_that_rounding_leaves_is_not_to_be_closed_by_steps():
    text = "g (float[N, 3] x) => (float[N, 2] y) { r = Floor(x)  s = Add(r, x)  y = MatMul(s, w) }"
    model = loaded(text, w=np.float32([[1, 2], [3, 4], [5, 6]]))
    found = xaionnx.explain(model, np.float32([[2.3, 1.4, 4.2]]), "integrated_gradients", 1, baseline=0.0)
    assert found.provenance["steps"] == {"rounding": ["Floor"]}
    assert any("The model rounds on the way to the target (Floor)" in said for said in found.warnings)
