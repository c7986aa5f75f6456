"""Files that onnxruntime optimised are explained as their source."""

import numpy as np
import onnxruntime
import pytest

import xaionnx
from tests.tiny import node, saved, tensor
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.cut import count_ops

LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def optimised(path, level, folder):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return folder / f"{level}.onnx"


METHODS = [
    ("saliency", {"absolute": False}),
    ("grad_cam", {}),
    ("layer_cam", {}),
    ("deep_lift", {}),
    ("guided_backprop", {}),
    ("lrp", {"composite": "epsilon_plus"}),
    ("lrp", {"composite": "epsilon_gamma_flat"}),
    ("lrp", {"composite": "alpha2_beta1"}),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "methods"), [("digits_cnn", METHODS), ("mnist_cnn", METHODS)])
def test_nets_are_explained_as_their_source(name, methods, level, tmp_path):
    source = Model.load(f"models/{name}.onnx", device="cpu")
    model = Model.load(optimised(f"models/{name}.onnx", level, tmp_path), device="cpu")
    assert level == "basic" or any("." in op for op in count_ops(model.file.proto))
    assert not any("." in op for op in count_ops(model.graph))
    x = np.random.default_rng(0).uniform(size=(2, *source.input().shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(
        model.run(model.check(x))[model.output().name], source.run(source.check(x))[source.output().name]
    )
    for method, options in methods:
        ours, theirs = (xaionnx.explain(each, x, method, 3, **options).values for each in (model, source))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max(), err_msg=method)


@pytest.mark.parametrize("level", LEVELS)
def test_transformers_are_explained_as_their_source(level, tmp_path):
    source = Model.load("models/mnist_vit.onnx", device="cpu")
    model = Model.load(optimised("models/mnist_vit.onnx", level, tmp_path), device="cpu")
    x = np.random.default_rng(0).uniform(size=(1, *source.input().shape[1:])).astype(np.float32)
    for method, options in (("saliency", {}), ("attention_rollout", {}), ("lrp", {"composite": "epsilon"})):
        ours, theirs = (xaionnx.explain(each, x, method, 3, **options).values for each in (model, source))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max(), err_msg=method)


def test_layers_of_an_optimised_file_are_named_as_in_it(tmp_path):
    model = Model.load(optimised("models/mnist_cnn.onnx", "all", tmp_path), device="cpu")
    names = [each.output[0] for each in model.file.proto.graph.node if each.op_type == "Conv"]
    x = np.random.default_rng(0).uniform(size=(1, 1, 28, 28)).astype(np.float32)
    for name in names:
        assert model.with_outputs([name]).run(model.check(x), [name])[name].ndim == 4
        assert np.isfinite(xaionnx.explain(model, x, "layer_cam", 3, layer=name).values).all()


def test_an_op_without_plain_form_is_refused_by_name_with_the_reason(tmp_path):
    made = node("FusedGemm", ["x", "w"], ["y"], name="last", domain="com.microsoft", activation="ScaledTanh",
                activation_alpha=1.0, activation_beta=1.0)  # fmt: skip
    weights = {"w": np.ones((3, 2), np.float32)}
    path = saved(tmp_path / "m.onnx", [made], [tensor("x", ["N", 3])], [tensor("y", ["N", 2])], weights,
                 domains={"com.microsoft": 1})  # fmt: skip
    model = Model.load(path, device="cpu")
    x = np.ones((1, 3), np.float32)
    said = (
        r"^No rule for ONNX op 'com.microsoft.FusedGemm' \(node 'last': its activation 'ScaledTanh' has no plain "
        r"form\), on the path from 'x' to 'y'. Take the file from before onnxruntime optimised it.$"
    )
    with pytest.raises(UnsupportedModelError, match=said):
        xaionnx.explain(model, x, "lrp", 0)
    assert np.isfinite(xaionnx.explain(model, x, "kernel_shap", 0).values).all()
