"""For each method, `validate`, which runs no sample, agrees with the outcome of an explanation."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.maskers import masker_of
from tests.tiny import node, tensor
from xaionnx import Model, Target, discovery, parameters
from xaionnx.errors import InputMismatchError, ModelError, ParameterError
from xaionnx.layers.dry_run import DryRun
from xaionnx.patterns import estimate_patterns

# Settings so small that every method is fast; the values are not checked.
SMALL = {"budget": 60, "window": 7, "stride": 7, "grid": 3, "steps": 2, "draws": 2, "channels": 2}


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def groups(model, x):
    """Four players, which suit every method."""
    if x.ndim == 4:
        return xaionnx.Features.grid(2, 2)
    return np.broadcast_to(np.arange(x.shape[-1]) % 4, x.shape[1:])


def small(kind, model, x):
    known = parameters.declared(kind)
    settings = {key: value for key, value in SMALL.items() if key in known and known[key][0].accepts(value)}
    if "features" in known:
        settings["features"] = groups(model, x)
    if "patterns" in known:
        # A layer has to vary between the inputs.
        settings["patterns"] = estimate_patterns(
            model, np.concatenate([x, np.flip(x, axis=-1) // 2 if x.dtype.kind == "i" else -x / 2])
        )
    if kind.name() in ("tree_shap", "linear_shap", "additive_shap", "dependence"):
        # Its rows are compared with others.
        settings["background"] = np.concatenate([x, x])
    if "masker" in known:
        settings["masker"] = masker_of(model, x)
    if "donors" in known:
        settings["donors"] = np.concatenate([x, x])
    return kind(**settings)


def refusal(action):
    try:
        action()
    except (ModelError, InputMismatchError, ParameterError) as error:
        return str(error)
    return None


def differing(model, x=None):
    """Methods whose validation of a model disagrees with their explanation."""
    dry_run = DryRun.of(model)
    x = dry_run.rows[model.input().name] if x is None else x
    target = Target.sum() if len(model.output().shape) > 2 else None
    found = {}
    for name in discovery.methods():
        kind = discovery.method(name)
        # With four players, or masks of few cells, they answer otherwise than with one for each element.
        asked = small(kind, model, x) if name in ("exact_shapley", "rise", "d_rise") else kind()
        said = refusal(lambda asked=asked: asked.validate(dry_run))
        done = refusal(lambda kind=kind: small(kind, model, x).attribute(model, x, target))
        if said != done:
            found[name] = (said, done)
    return found


def possible(model):
    """Methods that can explain a model, with the source of their gradients."""
    dry_run, found = DryRun.of(model), {}
    for name in discovery.methods():
        method = discovery.method(name)()
        if refusal(lambda method=method: method.validate(dry_run)) is None:
            found[name] = method.validate(dry_run).get("gradient")
    return found


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize(
    "name",
    [
        "mnist_cnn", "mnist_vit", "mnist_vae_decoder", "german_credit_mlp", "german_credit_forest",
        pytest.param("selfie_segmentation", marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_real_models(name):
    model = Model.load(f"models/{name}.onnx", device="cpu")
    assert differing(model) == {}
    told = possible(model)
    # The special feature of each model.
    assert ("attention_rollout" in told) is (name == "mnist_vit")
    assert ("cam" in told) is (name == "efficientnet_lite0")
    assert ("grad_cam" in told) is (name not in ("mnist_vae_decoder", "german_credit_mlp", "german_credit_forest"))
    assert ("saliency" in told) is (name != "german_credit_forest")
    assert {"occlusion", "kernel_shap", "local_evidence"} <= told.keys()


PLANTED = {
    "pooled": planted.pooled(random(4, 3), random(3, 4), (12, 12)),
    "classes pooled to one": planted.pooled(random(4, 3), random(1, 4), (12, 12)),
    "linear picture": planted.linear(random(3, 3, 12, 12)),
    "table": planted.second_order(),
    "class token": planted.attending(),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_models(name):
    assert differing(planted.load(PLANTED[name])) == {}


def test_sizes_that_are_left_free_are_no_reason_to_refuse():
    model = planted.load(planted.bag_of_patches())
    assert DryRun.of(model).rows is None
    assert differing(model, random(2, 3, 16, 16)) == {}
    assert "cam" in possible(model)


def net(nodes, weights, x, y, opset=18):
    made = tiny.model([node(*one[:3], **(one[3] if len(one) > 3 else {})) for one in nodes], [x], [y], weights, opset)
    onnx.checker.check_model(made)
    return planted.load(made)


def test_tokens():
    weights = {"table": random(9, 4), "mix": random(4, 4), "out": random(4, 3)}
    nodes = [
        ("Gather", ["table", "x"], ["looked"]),
        ("MatMul", ["looked", "mix"], ["mixed"]),
        ("Tanh", ["mixed"], ["bent"]),
        ("ReduceMean", ["bent"], ["mean"], {"axes": [1], "keepdims": 0}),
        ("MatMul", ["mean", "out"], ["y"]),
    ]
    model = net(nodes, weights, tensor("x", ["N", 6], TensorProto.INT64), tensor("y", ["N", 3]), 17)
    assert differing(model) == {}
    told = possible(model)
    # A mean over tokens and a linear head, as class activation maps need.
    assert {"saliency", "conductance", "occlusion", "lime", "cam"} <= told.keys()
    # Masks of 7 cells keep or remove each of 6 tokens by itself.
    assert "rise" in told
    assert not {"full_grad", "guided_grad_cam", "sobol", "xrai"} & told.keys()


def convolutional(ending, size=8):
    """Two convolutions; ``ending`` may put an op without a rule before the second."""
    nodes = [
        ("Conv", ["x", "first"], ["a"], {"pads": [1] * 4}),
        ("OptionalGetElement", ["a"], ["b"], {"name": "strange"}) if ending == "before" else ("Relu", ["a"], ["b"]),
        ("Conv", ["b", "second"], ["c"], {"pads": [1] * 4}),
        ("Relu", ["c"], ["layer"]),
    ]
    if ending == "quarters":
        nodes += [
            ("AveragePool", ["layer"], ["pooled"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
            ("Flatten", ["pooled"], ["flat"]),
        ]
        wide = 4 * (size // 4) ** 2
    else:
        nodes += [
            ("GlobalAveragePool", ["layer"], ["pooled"]),
            ("Flatten", ["pooled"], ["wide"]),
            ("OptionalGetElement", ["wide"], ["flat"], {"name": "strange"})
            if ending == "behind"
            else ("Identity", ["wide"], ["flat"]),
        ]
        wide = 4
    weights = {"first": random(4, 3, 3, 3), "second": random(4, 4, 3, 3), "out": random(wide, 3)}
    nodes.append(("MatMul", ["flat", "out"], ["y"]))
    return net(nodes, weights, tensor("x", ["N", 3, size, size]), tensor("y", ["N", 3]))


def test_a_pooling_over_parts_is_no_head_of_a_class_activation_map():
    model = convolutional("quarters")
    assert differing(model) == {}
    assert "cam" not in possible(model)
    assert "grad_cam" in possible(model)


def test_series():
    nodes = [
        ("Conv", ["x", "first"], ["a"], {"pads": [1, 1]}),
        ("Relu", ["a"], ["layer"]),
        ("GlobalAveragePool", ["layer"], ["pooled"]),
        ("Flatten", ["pooled"], ["flat"]),
        ("MatMul", ["flat", "out"], ["y"]),
    ]
    weights = {"first": random(4, 2, 3), "out": random(4, 3)}
    model = net(nodes, weights, tensor("x", ["N", 2, 8]), tensor("y", ["N", 3]))
    assert differing(model) == {}
    assert {"cam", "grad_cam", "score_cam", "guided_grad_cam", "blur_ig"} <= possible(model).keys()


RULED = {"lrp", "guided_backprop", "deconvnet", "deep_lift", "pattern_net", "pattern_attribution", "full_grad"}


def test_an_op_without_a_rule_ahead_of_the_layer_leaves_maps_alone():
    # Too many elements for finite differences at the input; gradients at the layer do not pass the op.
    model = convolutional("before", 40)
    assert differing(model) == {}
    told = possible(model)
    assert {name: told.get(name) for name in ("grad_cam", "cam", "conductance")} == dict.fromkeys(
        ("grad_cam", "cam", "conductance"), "graph"
    )
    assert not {"saliency", "integrated_gradients", "smooth_grad", "xrai", *RULED} & told.keys()


def test_rules_have_no_finite_differences():
    model = convolutional("behind", 5)
    assert differing(model) == {}
    told = possible(model)
    assert {told[name] for name in ("saliency", "grad_cam", "hi_res_cam", "smooth_grad")} == {"finite_differences"}
    assert not RULED & told.keys()


def test_attention_within_windows():
    # Four tokens in each of two windows, which share the batch axis.
    weights = {"k": random(8, 3, 2, 2), "out": random(8, 3)} | {
        "windows": np.array([-1, 2, 8], np.int64), "back": np.array([-1, 4, 8], np.int64)
    }  # fmt: skip
    nodes = [
        ("Conv", ["x", "k"], ["patches"], {"strides": [2, 2]}),
        ("Reshape", ["patches", "flat"], ["rows"]),
        ("Transpose", ["rows"], ["tokens"], {"perm": [0, 2, 1]}),
        ("Reshape", ["tokens", "windows"], ["parted"]),
        ("Transpose", ["parted"], ["turned"], {"perm": [0, 2, 1]}),
        ("MatMul", ["parted", "turned"], ["scores"]),
        ("Softmax", ["scores"], ["a"]),
        ("MatMul", ["a", "parted"], ["mixed"]),
        ("Reshape", ["mixed", "back"], ["whole"]),
        ("ReduceMean", ["whole"], ["mean"], {"axes": [1], "keepdims": 0}),
        ("MatMul", ["mean", "out"], ["y"]),
    ]
    weights["flat"] = np.array([0, 8, 4], np.int64)
    model = net(nodes, weights, tensor("x", ["N", 3, 4, 4]), tensor("y", ["N", 3]), 17)
    assert differing(model) == {}
    assert not {"attention_rollout", "attention_relevance"} & possible(model).keys()


@pytest.mark.parametrize("columns", [16, 17])
def test_too_many_features_are_foreseen(columns):
    model, x = planted.load(planted.linear(np.ones((2, columns)))), np.ones((1, columns), np.float32)
    method = discovery.method("exact_shapley")()
    said = refusal(lambda: method.validate(DryRun.of(model)))
    assert said == refusal(lambda: method.attribute(model, x, 0))
    assert (said is not None) is (columns == 17)


def test_features_are_counted_where_they_are_known():
    model = planted.load(planted.linear(random(3, 3, 12, 12)))
    kind, dry_run = discovery.method("exact_shapley"), DryRun.of(model)
    # The number of superpixels depends on the picture; a grid has a fixed number.
    assert refusal(lambda: kind().validate(dry_run)) is None
    assert refusal(lambda: kind(features="grid:4").validate(dry_run)) is None
    assert refusal(lambda: kind(features="grid:5").validate(dry_run)).startswith(
        "ExactShapley takes at most 16 features. Got 25 instead."
    )
    free = DryRun.of(planted.load(planted.bag_of_patches()))
    assert free.rows is None
    assert refusal(lambda: kind(features="grid:5").validate(free)) is None


def test_nothing_is_possible_without_scores():
    made = tiny.model(
        [node("Cast", ["x"], ["y"], to=7)],
        [tensor("x", ["N", 4])],
        [tensor("y", ["N", 4], TensorProto.INT64)],
    )
    assert possible(planted.load(made)) == {}
