"""The source of a gradient: the choice of ``auto``, and gradient models that the user supplies."""

import functools
import hashlib
import re

import numpy as np
import onnx
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.counting import rows_run
from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx import Explanation, FiniteDifferences, Model, Target, parameters
from xaionnx.autodiff import gradient
from xaionnx.errors import ModelFileError, ParameterError, UnsupportedModelError
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.render.captions import made_by

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)  # 4 inputs, 3 outputs
loaded = functools.partial(tiny.loaded, opset=18)
X = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """y = tanh(x) W, whose gradient for class k is (1 - tanh(x)^2) W[:, k]."""
    return loaded("explained (float[N, 4] x) => (float[N, 3] y) { t = Tanh(x)  y = MatMul(t, w) }", w=WEIGHTS)


# The derivative of tanh, times the row s of the target.
_TAIL = "t = Tanh(x)  tt = Mul(t, t)  one = Constant<value_float: float = 1.0>()  d = Sub(one, tt)"


def by_cotangent(inputs="float[N, 4] x, float[N, 3] cotangent", outputs="float[N, 4] gradient_x"):
    return loaded(
        f"by_cotangent ({inputs}) => ({outputs}) {{ {_TAIL} s = MatMul(cotangent, wt)  gradient_x = Mul(d, s) }}",
        wt=WEIGHTS.T.copy(),
    )


def by_class():
    return loaded(
        "by_class (float[N, 4] x, int64[N] class) => (float[N, 3] y, float[N, 4] gradient_x) "
        f"{{ {_TAIL} s = Gather<axis: int = 0>(wt, class)  gradient_x = Mul(d, s)  y = MatMul(t, w) }}",
        wt=WEIGHTS.T.copy(),
        w=WEIGHTS,
    )


def slopes(model, x, target, source, **more):
    return Saliency(absolute=False, gradient=source, **more).attribute(model, x, target)


def refusal(model, source, target=0, kind=UnsupportedModelError, x=X):
    with pytest.raises(kind) as refused:
        slopes(model, x, target, source)
    return re.sub(r"-[0-9a-f]{8}\.onnx", ".onnx", str(refused.value))


TARGETS = {
    "class": 1,
    "several": [0, 2],
    "one a sample": np.array([2, 0]),
    "margin": Target.margin(0, 2),
    "sum": Target.sum(),
    "probability": Target.probability(1),
    "cross entropy": Target.loss(2),
    "squared error": Target.loss(0.5, "squared_error"),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_a_cotangent_answers_every_target_as_the_graph_does(model, target):
    expected, found = slopes(model, X, target, "graph"), slopes(model, X, target, by_cotangent())
    assert_close(found.values, expected.values, Tolerance.ORDER_ONE)
    assert expected.diagnostics["gradient"] == "graph"
    assert expected.provenance["parameters"]["gradient"] == "graph"
    assert found.diagnostics["gradient"].startswith("by_cotangent")


def test_a_class_answers_for_scores_and_for_nothing_else(model):
    source = by_class()
    for target in (1, [0, 2], np.array([2, 0])):
        found = slopes(model, X, target, source).values
        assert_close(found, slopes(model, X, target, "graph").values, Tolerance.ORDER_ONE)
    assert refusal(model, source, Target.margin(0, 2)) == (
        "The gradient model by_class.onnx is of one class, input 'class', and this target reads several numbers. "
        "Explain the score of a class, or give a model with a cotangent."
    )


def test_a_model_of_one_number_needs_neither():
    model = planted.load(planted.linear(np.ones((1, 3))))
    source = loaded("bare (float[N, 3] x) => (float[N, 3] dx) { z = Sub(x, x)  dx = Exp(z) }")
    np.testing.assert_array_equal(slopes(model, X[:, :3], 0, source).values, np.ones((2, 3)))
    assert_close(
        slopes(model, X[:, :3], Target.loss(0.5, "squared_error"), source).values,
        slopes(model, X[:, :3], Target.loss(0.5, "squared_error"), "graph").values,
        Tolerance.ORDER_ONE,
    )


def test_inputs_and_outputs_of_other_names_are_known_by_their_shapes(model):
    source = loaded(
        "other (float[N, 4] picture, float[N, 3] how_much) => (float[N, 3] scores, float[N, 4] slope) "
        "{ t = Tanh(picture)  tt = Mul(t, t)  one = Constant<value_float: float = 1.0>()  d = Sub(one, tt) "
        "s = MatMul(how_much, wt)  slope = Mul(d, s)  scores = MatMul(t, w) }",
        wt=WEIGHTS.T.copy(),
        w=WEIGHTS,
    )
    assert_close(slopes(model, X, 2, source).values, slopes(model, X, 2, "graph").values, Tolerance.ORDER_ONE)


def test_our_own_gradient_is_accepted_as_it_is_and_as_a_file(model, tmp_path):
    ours = gradient(model, "y", ["x"])
    path = tmp_path / "own_gradient.onnx"
    onnx.save(ours.model.graph, path)
    expected = slopes(model, X, [0, 1], "graph").values
    for source in (ours, path, str(path), Model.load(path)):
        found = slopes(model, X, [0, 1], source)
        assert_close(found.values, expected, Tolerance.ORDER_ONE)
    assert found.diagnostics["gradient"] == "own_gradient.onnx"
    told = found.provenance["parameters"]["gradient"]
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (told["name"], told["derived"]) == ("own_gradient.onnx", False)
    again = Explanation.load(found.save(tmp_path / "record.npz"))
    assert again.provenance == found.provenance


def test_a_compiled_saliency_is_accepted_and_compiles_from_the_graph_alone(model, tmp_path):
    path = tmp_path / "compiled.onnx"
    xaionnx.compile(model, Saliency(absolute=False), "input").save(path)
    found = slopes(model, X, [0, 2], path)
    assert_close(found.values, slopes(model, X, [0, 2], "graph").values, Tolerance.ORDER_ONE)
    for source in (path, "finite_differences", FiniteDifferences()):
        with pytest.raises(ParameterError) as refused:
            xaionnx.compile(model, Saliency(gradient=source))
        assert str(refused.value) == (
            "A compiled file contains the gradient graph. Leave 'gradient' out, or give 'graph'."
        )


def test_the_photographs_network_by_its_own_gradient():
    lite = trained("efficientnet_lite0")
    x = np.random.default_rng(2).normal(size=(1, 3, 224, 224), scale=0.4).astype(np.float32)
    found = slopes(lite, x, 285, gradient(lite, lite.output().name, [lite.input().name]))
    assert_close(found.values, slopes(lite, x, 285, "graph").values, Tolerance.ORDER_ONE)


def test_every_method_takes_it(model):
    for kind in (InputXGradient, IntegratedGradients):
        found = kind(gradient=by_cotangent()).attribute(model, X, 1)
        assert_close(found.values, kind().attribute(model, X, 1).values, Tolerance.ORDER_ONE)
    noisy = SmoothGrad(draws=3, gradient=by_cotangent()).attribute(model, X, 1)
    assert_close(noisy.values, SmoothGrad(draws=3).attribute(model, X, 1).values, Tolerance.ORDER_ONE)


def test_both_inputs_and_a_setting_beside_them():
    """y = sum(a * x * x2): a second explained input, and an integer input that is only passed on."""
    body = "f = Cast<to: int = 1>(k)  p = Mul(x, x2)  q = Mul(p, f)  y = ReduceSum<keepdims: int = 1>(q, axis)"
    axis = {"axis": np.array([1])}
    model = loaded(
        f"pair (float[N, 3] x, float[N, 3] x2, int64[N, 3] k) => (float[N, 1] y) {{ {body} }}",
        **axis,
    )
    source = loaded(
        "slopes (float[N, 3] x, float[N, 3] x2, int64[N, 3] k) => (float[N, 3] grad_x, float[N, 3] grad_x2) "
        "{ f = Cast<to: int = 1>(k)  grad_x = Mul(x2, f)  grad_x2 = Mul(x, f) }"
    )
    feeds = {"x": X[:, :3], "x2": X[::-1, :3].copy(), "k": np.array([[1, 2, 3], [4, 5, 6]])}
    found = slopes(model, feeds, 0, source).values
    assert_close(found["x"], feeds["x2"] * feeds["k"], Tolerance.OPERATIONS)
    assert_close(found["x2"], feeds["x"] * feeds["k"], Tolerance.OPERATIONS)


@pytest.mark.parametrize("target", [1, [0, 1, 2], Target.probability(1)], ids=["class", "several", "probability"])
def test_its_evaluations_are_counted_with_those_of_the_check(monkeypatch, target):
    options = {"batch_size": 1}
    model = loaded("explained (float[N, 4] x) => (float[N, 3] y) { t = Tanh(x)  y = MatMul(t, w) }", w=WEIGHTS)
    model, source = Model.load(model.path, **options), Model.load(by_cotangent().path, **options)
    counted = rows_run(monkeypatch)
    found = slopes(model, X, target, source)
    assert sum(counted) == sum(found.diagnostics["evaluations"])


def test_a_wrong_gradient_is_refused_with_both_numbers(model):
    """Likely mistakes of an export: twice the gradient, the gradient of another class, its negative, zeros."""
    wrong = {
        "doubled": "two = Constant<value_float: float = 2.0>()  r = MatMul(cotangent, wt)  s = Mul(r, two)",
        "negative": "r = MatMul(cotangent, wt)  s = Neg(r)",
        "zero": "r = MatMul(cotangent, wt)  s = Sub(r, r)",
        "other": "i = Constant<value_ints: ints = [1, 2, 0]>()  c = Gather<axis: int = 1>(cotangent, i)  "
        "s = MatMul(c, wt)",
    }
    for name, emitted in wrong.items():
        source = loaded(
            f"{name} (float[N, 4] x, float[N, 3] cotangent) => (float[N, 4] gradient_x) "
            f"{{ {_TAIL} {emitted}  gradient_x = Mul(d, s) }}",
            wt=WEIGHTS.T.copy(),
        )
        said = refusal(model, source, 1)
        told = re.fullmatch(
            rf"The gradient model {name}\.onnx is not the gradient of explained\.onnx: in a random direction from "
            r"sample 0 it says that y\[1\] changes by (\S+), and it changes by (\S+)\.",
            said,
        )
        assert told, said
        claimed, true = float(told[1]), float(told[2])
        assert abs(true) > 0
        if name in ("doubled", "negative", "zero"):
            factor = {"doubled": 2, "negative": -1, "zero": 0}[name]
            assert claimed == pytest.approx(factor * true, rel=0.05, abs=1e-9)  # differences in float32


MISFITS = {
    "(float[N, 5] x) => (float[N, 5] g) { g = Neg(x) }": (
        "Input 'x' of the gradient model m.onnx is (N, 5) float32, and that of explained.onnx is (N, 4) float32. "
        "Export both with the same shapes and types."
    ),
    "(float[N, 4] x, float[N, 3] a, float[N, 3] b) => (float[N, 4] g) { c = Add(a, b) g = Neg(x) }": (
        "The gradient model m.onnx has the inputs 'x' (N, 4) float32, 'a' (N, 3) float32, 'b' (N, 3) float32, and "
        "explained.onnx 'x' (N, 4) float32. Give it inputs of these names, and at most one more: a cotangent in the "
        "shape of the output, or a class of shape (N,) int64."
    ),
    "(float[N, 4] x, int64[N, 3] a) => (float[N, 4] g) { c = Neg(a) g = Neg(x) }": (
        "The gradient model m.onnx has the inputs 'x' (N, 4) float32, 'a' (N, 3) int64, and explained.onnx 'x' (N, 4) "
        "float32. Give it inputs of these names, and at most one more: a cotangent in the shape of the output, or a "
        "class of shape (N,) int64."
    ),
    "(float[N, 4] x, float[N, 7] a) => (float[N, 4] g) { c = Neg(a) g = Neg(x) }": (
        "Input 'a' of the gradient model m.onnx is (N, 7) float32, which is neither an input of explained.onnx nor a "
        "cotangent in the shape of 'y', (N, 3) float32."
    ),
    "(float[N, 4] x) => (float[N, 4] g) { g = Neg(x) }": (
        "The gradient model m.onnx has no input that says which number of 'y' (N, 3) float32 it is the gradient of. "
        "Give it a cotangent in the shape of that output, or a class of shape (N,) int64."
    ),
    "(float[N, 4] x, float[N, 3] a) => (float[N, 3] gradient_x) { gradient_x = Neg(a) }": (
        "Output 'gradient_x' of the gradient model m.onnx is (N, 3) float32, and input 'x' of explained.onnx is (N, 4) "
        "float32. Export the gradient in the shape of its input."
    ),
    "(float[N, 4] x, float[N, 3] a) => (float[N, 3] g) { g = Neg(a) }": (
        "The gradient model m.onnx has the outputs 'g' (N, 3) float32, none of which fits input 'x' (N, 4) float32. "
        "Name the gradient 'gradient_x'."
    ),
    "(float[N, 4] x, float[N, 3] a) => (float[N, 4] g, float[N, 4] h) { g = Neg(x) h = Abs(x) }": (
        "The gradient model m.onnx has the outputs 'g' (N, 4) float32, 'h' (N, 4) float32, more than one of which fits "
        "input 'x' (N, 4) float32. Name the gradient 'gradient_x'."
    ),
}


@pytest.mark.parametrize(("graph", "sentence"), MISFITS.items(), ids=range(len(MISFITS)))
def test_what_does_not_match_is_refused(model, graph, sentence):
    assert refusal(model, loaded(f"m {graph}")) == sentence


def test_a_file_that_is_not_there(model, tmp_path):
    assert str(tmp_path / "none.onnx") in refusal(model, tmp_path / "none.onnx", kind=ModelFileError)


@pytest.mark.parametrize("given", ["autodiff", "gradient.pt", 3, None, np.zeros(3)])
def test_what_names_no_source_is_refused_at_once(given):
    with pytest.raises(
        ParameterError, match=r"The 'gradient' parameter of Saliency must be one of auto, graph, finite_"
    ):
        Saliency(gradient=given)


def without_rule(size):
    """OptionalGetElement has no rule."""
    return loaded(
        f"without_rule (float[N, {size}] x) => (float[N, {size}] y) {{ h = OptionalGetElement(x)  y = Mul(h, h) }}"
    )


def test_auto_takes_differences_where_an_op_has_no_rule():
    model, x = without_rule(4), np.abs(X) + 0.5
    found = slopes(model, x, 2, "auto")
    np.testing.assert_allclose(found.values, 2 * x * np.array([0, 0, 1, 0]), atol=2e-3)
    assert found.diagnostics["gradient"] == "finite_differences"
    assert found.provenance["parameters"]["gradient"]["kind"] == "FiniteDifferences"
    with pytest.raises(UnsupportedModelError, match="No rule for ONNX op 'OptionalGetElement'"):
        slopes(model, x, 2, "graph")


def test_auto_asks_where_differences_would_take_long():
    model, x = without_rule(4097), np.ones((1, 4097), np.float32)
    with pytest.raises(UnsupportedModelError) as refused:
        slopes(model, x, 0, "auto")
    assert re.search(r"No rule for ONNX op 'OptionalGetElement' .*, on the path from 'x' to 'y'\.", str(refused.value))
    assert str(refused.value).endswith(
        " Or choose gradient='finite_differences:random:500' (1,000 evaluations a gradient) or 'finite_differences' "
        "(8,194), or give a gradient model, a .onnx file."
    )
    found = slopes(model, x, 0, "finite_differences:random:10")
    assert found.diagnostics["evaluations"] == [21]


def test_a_source_is_given_as_an_object_too(model):
    named = slopes(model, X, 1, "finite_differences:step=0.01").values
    np.testing.assert_array_equal(named, slopes(model, X, 1, FiniteDifferences(step=0.01)).values)
    assert "gradient" in parameters.declared(Saliency)
    assert xaionnx.explain(model, X, "saliency", 1, gradient="graph").diagnostics["gradient"] == "graph"


def test_a_caption_names_a_source_other_than_the_graph(model):
    captions = [made_by(slopes(model, X, 1, source)) for source in ("graph", "finite_differences", by_cotangent())]
    assert "gradient" not in captions[0]
    assert "gradients by finite differences" in captions[1]
    assert "gradients by by_cotangent" in captions[2]
