"""Class activation maps, against published numbers, oracles from the papers, and real models."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree
from tests.explainers.maps import PICTURES, opened, seen
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target, compilation, discovery
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.ablation_cam import AblationCam
from xaionnx.explainers.cam import Cam
from xaionnx.explainers.contrast_cam import ContrastCam
from xaionnx.explainers.eigen_cam import EigenCam
from xaionnx.explainers.eigen_grad_cam import EigenGradCam
from xaionnx.explainers.finer_cam import FinerCam
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.grad_cam_pp import GradCamPp
from xaionnx.explainers.guided_grad_cam import GuidedGradCam
from xaionnx.explainers.score_cam import ScoreCam
from xaionnx.explainers.x_grad_cam import XGradCam
from xaionnx.layers.spatial_map import enlargement

CANONICAL = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


def test_published_numbers():
    """Captum's Grad-CAM without rectifier, and guided Grad-CAM, on net B."""
    net_b = planted.load(planted.net_b())
    at = {"conv": [[11.25, 13.5], [20.25, 22.5]], "relu1": [[0, 4], [28, 32.5]]}
    for layer, expected in at.items():
        assert_close(seen(net_b, CANONICAL, GradCam(layer=layer, relu=False))[0], expected, Tolerance.OPERATIONS)
    found = GuidedGradCam(layer="relu1", upsampling="nearest").attribute(net_b, CANONICAL, 0)
    fine = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    assert_close(found.values[0, 0], fine, Tolerance.OPERATIONS)


@pytest.mark.parametrize(
    ("a", "weight"),
    [(np.ones((2, 2)), 1 / 3), ([[1, 1], [0, 0]], 0.2), (np.zeros((2, 2)), 0), ([[0.5, 0], [0, 0]], 0.0606)],
)  # fmt: skip
def test_published_weights_of_grad_cam_pp(tmp_path, a, weight):
    """Xplique's numbers for a 2x2 map whose gradient is a quarter of the map, as for half the mean of its squares."""
    nodes = [
        node("Mul", ["x", "half"], ["a"]),
        node("Mul", ["a", "a"], ["square"]),
        node("ReduceMean", ["square"], ["mean"], axes=[2, 3], keepdims=0),
        node("Mul", ["mean", "quarter"], ["y"]),
    ]
    weights = {"half": np.float32(0.5), "quarter": np.float32(0.5)}
    path = tiny.saved(tmp_path / "m.onnx", nodes, [tensor("x", ["N", 1, 2, 2])], [tensor("y", ["N", 1])], weights)
    model = Model.load(path)
    x = 2 * np.asarray(a, np.float32)[None, None]
    assert_close(seen(model, x, GradCamPp(layer="a"))[0], weight * np.asarray(a), Tolerance.DEEP)


@pytest.mark.parametrize("method", sorted(oracle.ORACLES))
@pytest.mark.parametrize("relu", [True, False])
def test_every_map_follows_its_paper(random_net, method, relu):
    net, model = random_net
    found = xaionnx.explain(model, PICTURES, method, [1, 4], layer="a", relu=relu)
    for t, c in enumerate((1, 4)):
        for n, x in enumerate(PICTURES.astype(np.float64)):
            small = oracle.ORACLES[method](net, x, c)
            small = np.maximum(small, 0) if relu else small
            scale = np.abs(small).max() or 1
            assert_close(found.maps["cam"][t, n] / scale, small / scale, Tolerance.DEEP)
            large = oracle.enlarged(small, 11, 9)
            for plane in found.values[t, n]:
                assert_close(plane / scale, large / scale, Tolerance.DEEP)


@pytest.mark.parametrize("method", sorted(oracle.ORACLES))
def test_what_speaks_against_the_target_is_drawn_where_the_paper_draws_it(random_net, method):
    """Before the ReLU, where maps have both signs; Layer-CAM keeps gradients where the ReLU is open."""
    ways = ({}, {"relu": False})
    usual, signed = (xaionnx.explain(random_net[1], PICTURES, method, 1, layer="z", **how).maps["cam"] for how in ways)
    assert (signed < 0).any() == (method != "layer_cam")
    paper = signed if method in ("hi_res_cam", "eigen_cam") else np.maximum(signed, 0)
    np.testing.assert_array_equal(usual, paper)


def test_eigen_grad_cam_tells_what_speaks_for_the_target(random_net):
    _, model = random_net
    found, sides = (seen(model, PICTURES, name, 1, layer="a", relu=False) for name in ("eigen_grad_cam", "hi_res_cam"))
    assert ((found * sides).sum(axis=(1, 2)) > 0).all()


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_pp", "ablation_cam", "score_cam", "full_grad"])
def test_channels_may_come_last(tmp_path, random_net, method):
    net, model = random_net
    other = opened(tmp_path / "last.onnx", net, channels_last=True)
    settings = {} if method == "full_grad" else {"layer": "a"}
    one = xaionnx.explain(model, PICTURES, method, 2, **settings)
    last = xaionnx.explain(other, np.ascontiguousarray(np.moveaxis(PICTURES, 1, -1)), method, 2, **settings)
    assert_close(np.moveaxis(last.values, -1, 1), one.values, Tolerance.DEEP)


def test_eigen_cam_of_what_is_left_without_the_means(random_net):
    net, model = random_net
    found = seen(model, PICTURES, EigenCam(layer="a", centred=True))
    sloped = seen(model, PICTURES, EigenGradCam(layer="a", centred=True, relu=False), 1)
    for n, x in enumerate(PICTURES.astype(np.float64)):
        assert_close(found[n], oracle.eigen_cam_centred(net, x, 0), Tolerance.DEEP)
        assert_close(sloped[n], oracle.eigen_grad_cam(net, x, 1, centred=True), Tolerance.DEEP)


def test_the_mean_of_a_class_activation_map_is_the_score():
    model = planted.load(planted.pooled(np.random.default_rng(1).normal(size=(5, 3)), np.eye(5)[:3] * 2, (11, 9)))
    found = Cam().attribute(model, PICTURES, [0, 1, 2])
    assert_close(found.maps["cam"].mean(axis=(-2, -1)), found.prediction, Tolerance.DEEP)
    # Grad-CAM is the same, divided by the number of positions.
    same = GradCam(relu=False).attribute(model, PICTURES, [0, 1, 2])
    assert_close(found.maps["cam"], 99 * same.maps["cam"], Tolerance.DEEP)


def test_a_class_activation_map_asks_for_a_linear_head(random_net):
    linear = planted.load(planted.linear(np.ones((2, 3, 4, 4))))
    with pytest.raises(UnsupportedModelError, match=r"but Relu follows layer 'a' of net.onnx. Use grad_cam"):
        Cam(layer="a").attribute(random_net[1], PICTURES, 0)
    with pytest.raises(UnsupportedModelError, match="no global pooling follows layer 'flat'"):
        Cam(layer="flat").attribute(linear, np.ones((1, 3, 4, 4), np.float32), 0)


def test_a_pooling_that_is_not_over_all_places(tmp_path):
    nodes = [
        node("Conv", ["x", "k"], ["a"]),
        node("AveragePool", ["a"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["pooled"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    weights = {"k": rng.normal(size=(2, 1, 1, 1)).astype(np.float32), "w": rng.normal(size=(8, 2)).astype(np.float32)}
    path = tiny.saved(tmp_path / "m.onnx", nodes, [tensor("x", ["N", 1, 4, 4])], [tensor("y", ["N", 2])], weights)
    with pytest.raises(UnsupportedModelError, match="no global pooling follows layer 'a'"):
        Cam(layer="a").attribute(Model.load(path), CANONICAL, 0)


@pytest.mark.parametrize(("small", "large"), [(1, 3), (2, 5), (7, 224), (3, 3)])
def test_enlarging_keeps_what_is_the_same_everywhere_and_the_order_of_places(small, large):
    for how in ("bilinear", "nearest"):
        matrix = enlargement(small, large, how)
        assert_close(matrix.sum(axis=1), 1, Tolerance.OPERATIONS)
        assert (np.diff(matrix @ np.arange(small)) >= 0).all()
        # It is not biased towards one side.
        if how == "bilinear":
            assert_close(matrix, matrix[::-1, ::-1], Tolerance.FLOAT64)


def test_only_the_strongest_channels_may_be_tried(random_net):
    net, model = random_net
    a = net.layer(PICTURES[0].astype(np.float64))
    strongest = np.argsort(-a.mean(axis=(1, 2)))[:2]
    for method, oracled in ((AblationCam, oracle.ablation_cam), (ScoreCam, oracle.score_cam)):
        every = method(layer="a", relu=False).attribute(model, PICTURES[:1], 1)
        some = method(layer="a", relu=False, channels=2).attribute(model, PICTURES[:1], 1)
        assert every.diagnostics["evaluations"] == [5]
        assert some.diagnostics["evaluations"] == [3]
        assert_close(every.maps["cam"][0], oracled(net, PICTURES[0].astype(np.float64), 1), Tolerance.DEEP)
    y, weights = net.behind(a)[1], np.zeros(4)
    for k in strongest:
        weights[k] = (y - net.behind(np.where(np.arange(4)[:, None, None] == k, 0, a))[1]) / abs(y)
    found = seen(model, PICTURES[:1], AblationCam(layer="a", relu=False, channels=2), 1)[0]
    assert_close(found, oracle.weighted(a, weights), Tolerance.DEEP)


def test_the_strongest_channels_are_the_largest_of_either_sign(random_net):
    """Before the ReLU, where channels may be negative; compared with removing them one by one."""
    net, model = random_net
    x = PICTURES[:1]
    z = model.with_outputs(["z"]).run({"x": x}, ["z"])["z"][0].astype(np.float64)
    strongest = np.argsort(-np.abs(z).mean(axis=(1, 2)))[:2]
    assert set(strongest) != set(np.argsort(-z.mean(axis=(1, 2)))[:2])
    y, weights = net.behind(np.maximum(z, 0))[1], np.zeros(4)
    for k in strongest:
        weights[k] = (y - net.behind(np.maximum(np.where(np.arange(4)[:, None, None] == k, 0, z), 0))[1]) / abs(y)
    found = seen(model, x, AblationCam(layer="z", relu=False, channels=2), 1)[0]
    assert_close(found, np.einsum("k,kij->ij", weights, z), Tolerance.DEEP)


def test_score_cam_takes_each_channel_from_its_least_to_its_greatest(random_net):
    """Before the ReLU, where the minimum is negative."""
    net, model = random_net
    x = PICTURES[0].astype(np.float64)
    z, scores = model.with_outputs(["z"]).run({"x": PICTURES[:1]}, ["z"])["z"][0].astype(np.float64), []
    for k in range(4):
        mask = oracle.enlarged(z[k], 11, 9)
        scores.append(net.scores(x * (mask - mask.min()) / np.ptp(mask))[2])
    found = seen(model, PICTURES[:1], ScoreCam(layer="z", relu=False), 2)[0]
    assert_close(found, np.einsum("k,kij->ij", oracle.softmax(np.array(scores)), z), Tolerance.DEEP)


def test_score_cam_of_large_scores():
    """Scores whose exponentials would overflow; only the best channel is left."""
    model = planted.load(planted.pooled(np.eye(3), [[1e5, 2e5, 3e4]], (11, 9)))
    x = np.abs(PICTURES[:1])
    scores = [
        (x[0] * (x[0, k] - x[0, k].min()) / np.ptp(x[0, k])).mean(axis=(1, 2)) @ [1e5, 2e5, 3e4] for k in range(3)
    ]
    found = seen(model, x, ScoreCam(layer="features"))
    assert_close(found[0], x[0, np.argmax(scores)], Tolerance.SUMS)


def test_a_channel_whose_sum_vanishes_has_no_weight():
    """X-Grad-CAM divides by the sum over positions, which is 0 for 1 and -1 although the gradient is not."""
    nodes = [
        node("Mul", ["x", "half"], ["a"]),
        node("Mul", ["a", "c"], ["weighed"]),
        node("ReduceSum", ["weighed", "axes"], ["y"], keepdims=0),
    ]
    weights = {
        "half": 0.5,
        "c": [[[3.0, 1.0], [0.0, 0.0]], [[1.0, 2.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]],
        "axes": np.array([2, 3]),
    }
    model = tiny.opened(nodes, [3, 2, 2], [3], weights)
    x = np.float32([[[[2, -2], [0, 0]], [[2, 6], [0, 0]], [[0, 0], [0, 0]]]])
    method = XGradCam(layer="a", relu=False)
    # Second channel: gradient (1, 2) at positions 0 and 1, a = (1, 3), so its weight is 7 / 4.
    found = seen(model, x, method, Target.sum())
    assert_close(found, [[[1.75, 5.25], [0, 0]]], Tolerance.OPERATIONS)
    agree(model, {"x": x}, method, Target.sum())


def test_score_cam_from_another_baseline(random_net):
    net, model = random_net
    x = PICTURES[0].astype(np.float64)
    a, scores = net.layer(x), []
    for k in range(4):
        mask = oracle.enlarged(a[k], 11, 9)
        mask = (mask - mask.min()) / (np.ptp(mask) or 1)
        scores.append(net.scores(x * mask + 0.5 * (1 - mask))[2])
    found = seen(model, PICTURES[:1], ScoreCam(layer="a", baseline=0.5), 2)[0]
    assert_close(found, oracle.weighted(a, oracle.softmax(np.array(scores))), Tolerance.DEEP)


def test_finer_cam_between_grad_cam_and_margins(random_net):
    net, model = random_net
    plain = seen(model, PICTURES, GradCam(layer="a", relu=False), 1)
    assert_close(seen(model, PICTURES, FinerCam(layer="a", relu=False, strength=0.0), 1), plain, Tolerance.DEEP)
    x = PICTURES[:1]
    y = net.scores(x[0].astype(np.float64))
    nearest = min((d for d in range(6) if d != 1), key=lambda d: abs(y[d] - y[1]))
    margin = seen(model, x, GradCam(layer="a", relu=False), Target.margin(1, nearest))
    one = FinerCam(layer="a", relu=False, strength=1.0, similar=1, weighting="equal")
    assert_close(seen(model, x, one, 1), margin, Tolerance.DEEP)


def test_contrast_with_a_class_is_grad_cam_of_the_loss_against_it(random_net):
    _, model = random_net
    loss = seen(model, PICTURES, GradCam(layer="a"), Target.loss([2, 2, 2]))
    assert_close(seen(model, PICTURES, ContrastCam(layer="a", contrast=2), None), loss, Tolerance.DEEP)
    with pytest.raises(ParameterError, match=r"must be a class other than the target. Got 4"):
        ContrastCam(contrast=4).attribute(model, PICTURES, 4)
    with pytest.raises(
        UnsupportedModelError, match=r"ContrastCam compares classes, but the target .* is not the score"
    ):
        ContrastCam().attribute(model, PICTURES, Target.margin(1, 2))


@pytest.mark.parametrize("method", [m for m in compilation.methods() if m.endswith(("_cam", "_pp")) and m != "cam"])
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_compiled_map_is_the_explained_one(tmp_path, random_net, method, upsampling):
    net, model = random_net
    kind = discovery.method(method)
    for relu in (True, False):
        agree(model, {"x": PICTURES}, kind(layer="a", relu=relu, upsampling=upsampling), Target.probability(2))
    # Transposed before a layer with channels last and not after it, so that no runtime removes the Transpose.
    weights = {"k": net.first.astype(np.float32), "w": np.random.default_rng(1).normal(size=(4 * 99, 2))}
    nodes = [
        node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        node("Conv", ["first", "k"], ["z"], pads=[1] * 4),
        node("Transpose", ["z"], ["last"], perm=[0, 2, 3, 1]),
        node("Sigmoid", ["last"], ["a"]),
        node("Flatten", ["a"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    weights["w"] = weights["w"].astype(np.float32)
    path = tiny.saved(tmp_path / "m.onnx", nodes, [tensor("x", ["N", 11, 9, 3])], [tensor("y", ["N", 2])], weights)
    agree(Model.load(path), {"x": np.ascontiguousarray(np.moveaxis(PICTURES, 1, -1))}, kind(layer="a"), None)


def test_a_compiled_map_of_no_places_is_refused():
    model = Model.load("models/mnist_vit.onnx")
    layer = "/blocks/blocks.3/Softmax_output_0"
    with pytest.raises(UnsupportedModelError, match=r"has no spatial positions over the input"):
        compilation.compile(model, GradCam(layer=layer), 0)
    with pytest.raises(UnsupportedModelError, match=r"has no spatial positions over the input"):
        GradCam(layer=layer).attribute(model, np.zeros((1, 1, 28, 28), np.float32), 0)


def test_a_compiled_map_of_patches(tmp_path):
    model = Model.load("models/mnist_vit.onnx")
    x = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)
    agree(model, {model.input().name: x}, GradCam(relu=False), None)
