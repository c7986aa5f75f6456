"""Explanations at a layer: gradient methods, the roles of its axes, and refused layers."""

import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.explainers import nets
from tests.explainers.nets import layer_of, mobile, slopes_of, target_of
from tests.tiny import loaded, node, normal, row, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers._gradients.gradient import input_path
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.expected_gradients import ExpectedGradients
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.layer_activation import LayerActivation
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad
from xaionnx.request import Request


@pytest.mark.parametrize(
    "kind",
    [Saliency, InputXGradient, IntegratedGradients, ExpectedGradients, SmoothGrad],
)
def test_the_input_named_as_a_layer_is_no_layer(curved, kind):
    x = normal(2, 3)
    plain, named = kind().attribute(curved, x, 0), kind(layer="x").attribute(curved, x, 0)
    np.testing.assert_array_equal(plain.values, named.values)
    assert plain.diagnostics["evaluations"] == named.diagnostics["evaluations"]
    assert "layer" not in named.provenance


def test_the_gradient_methods_at_a_layer(curved):
    x = normal(2, 3)
    h = layer_of(x)
    slopes = slopes_of(h, 1)
    assert_close(Saliency(layer="h", absolute=False).attribute(curved, x, 1).values, slopes, Tolerance.QUOTIENTS)
    assert_close(InputXGradient(layer="h").attribute(curved, x, 1).values, slopes * h, Tolerance.QUOTIENTS)
    assert_close(LayerActivation(layer="h").attribute(curved, x, 1).values, h, Tolerance.SUMS)
    # A straight path at the layer, from its value at the baseline of the input.
    start = np.array([0.3, -0.3, 1.0])
    found = IntegratedGradients(layer="h", steps=24, baseline=start.astype(np.float32)).attribute(curved, x, 1)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    h0 = layer_of(start)
    for n in range(2):
        along = slopes_of(h0 + (nodes[:, None] + 1) / 2 * (h[n] - h0), 1)
        assert_close(found.values[n], (h[n] - h0) * (weights / 2 @ along), Tolerance.QUOTIENTS)
    assert_close(found.baseline_prediction, [target_of(h0, 1)] * 2, Tolerance.LAYERS)
    expected = ExpectedGradients(layer="h", draws=64, baseline=start.astype(np.float32)).attribute(curved, x, 1)
    assert (np.abs(expected.values - found.values) < 4 * expected.standard_error).all()


def test_noise_stays_at_the_input_and_is_lifted_to_the_layer():
    """h = x^2, y = h^2: the gradient at the layer is 2 (x + e)^2, whose mean is 2 (x^2 + sigma^2)."""
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  y = Mul(h, h) }")
    x, noise = np.array([1.0, 2.0]), 0.2
    found = SmoothGrad(layer="h", noise=noise, draws=6000, seed=1).attribute(
        model, x[None].astype(np.float32), Target.sum()
    )
    assert (np.abs(found.values[0] - 2 * (x**2 + (noise * x) ** 2)) < 4 * found.standard_error[0]).all()
    assert (found.standard_error[0] < 0.05).all()
    wrapped = SmoothGrad(inner="conductance", layer="h", noise=1e-6, draws=2).attribute(model, row(1, 3), Target.sum())
    plain = Conductance(layer="h").attribute(model, row(1, 3), Target.sum())
    assert_close(wrapped.values, plain.values, Tolerance.LAYERS)


def test_the_usual_layer():
    """The last map before the pooling; the tokens that enter the last attention; else the input of the last layer."""

    def usual(model, x, target=0):
        feeds = model.check(x)
        return input_path(Request(model, feeds, target)).default_layer()

    assert usual(mobile(), normal(1, 3, 17, 13)) == "sum"
    assert usual(Model.load("models/efficientnet_lite0.onnx"), normal(1, 3, 224, 224)) == "/_swish_1/Clip_output_0"
    # The sum after block 2 (of 0 to 3) is the input of the last attention.
    assert usual(Model.load("models/mnist_vit.onnx"), normal(1, 1, 28, 28)) == "/blocks/blocks.2/Add_1_output_0"
    assert usual(Model.load("models/german_credit_mlp.onnx"), normal(1, 20)) == "/4/Relu_output_0"
    one = loaded("g (float[N, 3] x) => (float[N, 3] y) { y = Tanh(x) }")
    with pytest.raises(UnsupportedModelError, match=r"Nothing lies between the input of .* and 'y'. Explain the input"):
        usual(one, normal(1, 3))


def test_a_record_of_a_layer_survives_its_file(tmp_path):
    model = Model.load("models/mnist_vit.onnx")
    found = Conductance(steps=2).attribute(model, normal(1, 1, 28, 28))
    assert found.provenance["layer"] == {
        "name": "/blocks/blocks.2/Add_1_output_0", "axes": "TD", "grid": [7, 7], "before": 1, "after": 0,
    }  # fmt: skip
    again = xaionnx.Explanation.load(found.save(tmp_path / "record.npz"))
    assert again.provenance == found.provenance


def test_what_a_layer_holds_is_told_of_a_model_whose_answer_is_a_map():
    model = Model.load("models/selfie_segmentation.onnx")
    x = np.random.default_rng(0).random((1, *model.input().shape[1:])).astype(np.float32)
    found = LayerActivation().attribute(model, x)
    assert found.target.tolist() == [f"sum of {model.output().name}"]
    assert found.provenance["layer"]["axes"] == "CHW"


def test_products_of_attention_are_no_maps():
    """(heads, T, T) has the shape of a map, but its axes are not spatial."""
    model = Model.load("models/mnist_vit.onnx")
    found = LayerActivation(layer="/blocks/blocks.3/Softmax_output_0").attribute(model, normal(1, 1, 28, 28))
    assert found.provenance["layer"]["axes"] == "---"


def test_layers_that_cannot_be_explained():
    text = """g (float[N, 4] x) => (float[N, 2] y, float[N, 4] z) {
      h = MatMul(x, W)  y = Tanh(h)  z = Exp(x)  turned = Transpose(h)
      mixed = ReduceSum<keepdims: int = 0>(h, first)
      count = Shape(x)  whole = Cast<to: int = 7>(h)
    }"""
    model, x = loaded(text, W=normal(4, 2), first=np.array([0])), normal(3, 4)

    def refused(layer, message, kind=Saliency):
        with pytest.raises(UnsupportedModelError, match=message):
            kind(layer=layer).attribute(model, x, 0)

    refused("z", r"'y\[0\]' of sample 0 does not depend on layer 'z' of .* all values there are zero. Name .* as h\.")
    refused("turned", r"'y\[0\]' of sample 0 does not depend on layer 'turned'")
    refused("mixed", r"Layer 'mixed' of .* has no leading batch axis: its shape is \(6,\) for 3 samples")
    refused("whole", r"Layer 'whole' of .* holds int64, not floats. Name a layer of floats.")
    # Layer activation works at any layer.
    assert_close(LayerActivation(layer="z").attribute(model, x, 0).values, np.exp(x), Tolerance.SUMS)
    with pytest.raises(UnknownNameError, match=r"No layer named 'hh'\. Nearest: h"):
        Conductance(layer="hh").attribute(model, x, 0)
    with pytest.raises(ParameterError, match="The 'layer' parameter of Saliency must be a str, or a list of different"):
        Saliency(layer=3)


def test_layers_of_a_model_for_one_sample_at_a_time(curved):
    """A file with fixed batch size 1 and one with free sizes give the same results as one with a free batch."""
    fixed = nets.curved(batch="1")
    x = normal(3, 3)
    for kind in (Saliency(layer="h"), IntegratedGradients(layer="h"), Conductance(layer="h")):
        assert_close(kind.attribute(fixed, x, 0).values, kind.attribute(curved, x, 0).values, Tolerance.SIGNED_LAYERS)
    free = planted.load(
        tiny.model(
            [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("GlobalAveragePool", ["r"], ["m"]),
             node("Flatten", ["m"], ["y"])],
            [tensor("x", ["N", 1, "H", "W"])], [tensor("y", ["N", 2])], {"w": normal(2, 1, 3, 3)},
        )
    )  # fmt: skip
    for size in (6, 9):
        found = Saliency(layer="c").attribute(free, normal(2, 1, size, size), 1)
        held = LayerActivation(layer="c").attribute(free, normal(1, 1, size, size)).values
        assert held.shape == (1, 2, size - 2, size - 2)
        assert set(np.unique(found.values)) <= {0, np.float32(1 / (size - 2) ** 2)}
        assert (found.values[:, 0] == 0).all()


def test_neurons_and_channels_as_targets_of_layers(curved):
    x = normal(2, 3)
    found = Saliency(layer="a", absolute=False).attribute(curved, x, Target.neuron("h", 2))
    expected = np.zeros((2, 4))
    expected[:, 2] = 1 - layer_of(x)[:, 2] ** 2
    assert_close(found.values, expected, Tolerance.QUOTIENTS)
    assert found.target.tolist() == ["h[2]", "h[2]"]
    both = Saliency(layer="a", absolute=False).attribute(curved, x, [Target.neuron("h", 2), Target.index(1)])
    assert_close(both.values[0], found.values, Tolerance.SUMS)
    assert_close(both.values[1], slopes_of(layer_of(x), 1) * (1 - layer_of(x) ** 2), Tolerance.QUOTIENTS)


def test_activation_layers_hold_their_dtype():
    half = TensorProto.FLOAT16
    nodes = [node("Cast", ["x"], ["n"], to=half), node("Relu", ["n"], ["h"]), node("Cast", ["h"], ["y"], to=1)]
    model = planted.load(tiny.model(nodes, [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]))
    assert LayerActivation(layer="h").attribute(model, row(1, -1, 2)).values.dtype == np.float16
    assert Saliency(layer="h").attribute(model, row(1, -1, 2), 0).values.tolist() == [[1, 0, 0]]
