"""FullGrad: the input and every bias of a ReLU net add up to its score."""

import numpy as np

import xaionnx
from models import planted
from tests import tiny
from tests.explainers.maps import PICTURES
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.explainers.full_grad import FullGrad


def test_full_grad_adds_up_and_is_drawn_as_the_paper_draws_it(random_net):
    net, model = random_net
    found = FullGrad().attribute(model, PICTURES, [0, 5])
    assert_close(found.diagnostics["completeness_gap"], 0, Tolerance.DEEP)
    assert found.diagnostics["biases"] == 3
    for t, c in enumerate((0, 5)):
        for n, x in enumerate(PICTURES.astype(np.float64)):
            drawn, total = oracle.full_grad(net, x, c)
            assert_close(total, found.prediction[t, n], Tolerance.LAYERS)
            for plane in found.values[t, n]:
                assert_close(plane, drawn, Tolerance.QUOTIENTS)


def test_biases_in_all_their_forms(tmp_path):
    """Batch normalisation, constants added and subtracted, a Constant node: input and biases sum to the score."""
    rng = np.random.default_rng(3)
    weights = {
        "k": rng.normal(size=(4, 3, 3, 3)), "scale": rng.normal(size=4), "shift": rng.normal(size=4),
        "mean": rng.normal(size=4), "variance": rng.uniform(0.5, 2, 4), "one": rng.normal(size=(4, 1, 1)),
        "two": rng.normal(size=(1, 4, 1, 1)), "w": rng.normal(size=(4, 2)), "b": rng.normal(size=2),
        "mean3": rng.normal(size=(3, 1, 1)),
    }  # fmt: skip
    nodes = [
        node("Sub", ["x", "mean3"], ["centred"]),
        node("Conv", ["centred", "k"], ["z"]),
        node("BatchNormalization", ["z", "scale", "shift", "mean", "variance"], ["normal"]),
        node("Relu", ["normal"], ["r"]),
        node("Sub", ["one", "r"], ["less"]),
        node("MaxPool", ["less"], ["pooled"], kernel_shape=[2, 2]),
        node("Add", ["pooled", "two"], ["more"]),
        node("Relu", ["more"], ["r2"]),
        node("ReduceMean", ["r2"], ["flat"], axes=[2, 3], keepdims=0),
        node("Gemm", ["flat", "w", "b"], ["y"], beta=0.5),
    ]
    floats = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    path = tiny.saved(tmp_path / "m.onnx", nodes, [tensor("x", ["N", 3, 11, 9])], [tensor("y", ["N", 2])], floats)
    found = FullGrad().attribute(Model.load(path), PICTURES, 1)
    assert found.diagnostics["biases"] == 5
    assert_close(found.diagnostics["completeness_gap"], 0, Tolerance.DEEP)


def test_a_smooth_activation_leaves_a_gap():
    found = FullGrad().attribute(Model.load("models/mnist_vit.onnx"), np.zeros((1, 1, 28, 28), np.float32), 0)
    assert abs(found.diagnostics["completeness_gap"][0]) > 0.1


def test_the_map_of_a_linear_model_goes_from_its_least_to_its_greatest():
    """Equation 6: absolute values are rescaled to [0, 1]; without biases there is no other term."""
    model = planted.load(planted.linear([[[[1.0, -2.0], [3.0, 5.0]]]]))
    found = FullGrad().attribute(model, np.ones((1, 1, 2, 2), np.float32), 0)
    assert_close(found.values[0, 0], [[0, 0.25], [0.5, 1]], Tolerance.OPERATIONS)
    assert found.diagnostics["biases"] == 0
    assert found.diagnostics["completeness_gap"] == [0]


def test_a_bias_whose_axes_are_no_places_is_counted_and_not_drawn():
    """Three axes that a Reshape made from features are not spatial."""
    rng = np.random.default_rng(4)
    nodes = [
        node("Flatten", ["x"], ["flat"]), node("MatMul", ["flat", "w"], ["h"]),
        node("Reshape", ["h", "shape"], ["cube"]), node("Add", ["cube", "b"], ["sum"]),
        node("Relu", ["sum"], ["r"]), node("Flatten", ["r"], ["row"]),
        node("MatMul", ["row", "v"], ["y"]),
    ]  # fmt: skip
    weights = {"w": rng.normal(size=(99 * 3, 8)), "b": rng.normal(size=(2, 2, 2)), "v": rng.normal(size=(8, 2)),
               "shape": np.array([0, 2, 2, 2])}  # fmt: skip
    model = tiny.opened(nodes, [3, 11, 9], [2], weights)
    found = FullGrad().attribute(model, PICTURES, 1)
    assert found.diagnostics["biases"] == 1
    assert_close(found.diagnostics["completeness_gap"], 0, Tolerance.DEEP)
    owed = np.abs(xaionnx.explain(model, PICTURES, "input_x_gradient", 1).values)
    low, high = (of(owed, axis=(1, 2, 3), keepdims=True) for of in (np.min, np.max))
    drawn = ((owed - low) / (high - low)).sum(axis=1, keepdims=True)
    assert_close(found.values, np.broadcast_to(drawn, found.values.shape), Tolerance.SIGNED_LAYERS)
