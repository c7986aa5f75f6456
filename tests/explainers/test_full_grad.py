"""FullGrad: the input and every bias of a ReLU net add up to its score."""

import numpy as np

from tests import tiny
from tests.explainers.maps import PICTURES
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from xaionnx import Model
from xaionnx.explainers.full_grad import FullGrad


def test_full_grad_adds_up_and_is_drawn_as_the_paper_draws_it(random_net):
    net, model = random_net
    found = FullGrad().attribute(model, PICTURES, [0, 5])
    np.testing.assert_allclose(found.diagnostics["completeness_gap"], 0, atol=1e-4)
    assert found.diagnostics["biases"] == 3
    for t, c in enumerate((0, 5)):
        for n, x in enumerate(PICTURES.astype(np.float64)):
            drawn, total = oracle.full_grad(net, x, c)
            np.testing.assert_allclose(total, found.prediction[t, n], rtol=1e-4)
            for plane in found.values[t, n]:
                np.testing.assert_allclose(plane, drawn, rtol=1e-3, atol=1e-3)


def test_biases_in_all_their_forms(tmp_path):
    """Batch normalisation, constants added and subtracted, a Constant node: the sum is the score of a ReLU net."""
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
    np.testing.assert_allclose(found.diagnostics["completeness_gap"], 0, atol=1e-4)


def test_a_smooth_activation_leaves_a_gap():
    found = FullGrad().attribute(Model.load("models/mnist_vit.onnx"), np.zeros((1, 1, 28, 28), np.float32), 0)
    assert abs(found.diagnostics["completeness_gap"][0]) > 0.1
