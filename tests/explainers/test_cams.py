"""Class activation maps, against published numbers, oracles from the papers, and real models."""

import numpy as np
import pytest
from onnx import numpy_helper, parser

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from xaionnx import Model, Target, compilation, discovery
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers._field import enlargement
from xaionnx.explainers.ablation_cam import AblationCam
from xaionnx.explainers.cam import Cam
from xaionnx.explainers.contrast_cam import ContrastCam
from xaionnx.explainers.eigen_cam import EigenCam
from xaionnx.explainers.finer_cam import FinerCam
from xaionnx.explainers.full_grad import FullGrad
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.grad_cam_pp import GradCamPp
from xaionnx.explainers.guided_grad_cam import GuidedGradCam
from xaionnx.explainers.hi_res_cam import HiResCam
from xaionnx.explainers.score_cam import ScoreCam

CANONICAL = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
# float32 against float64; the second convolution sums 36 products.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-4}
PICTURES = np.random.default_rng(8).normal(size=(3, 3, 11, 9)).astype(np.float32)


def opened(path, net, channels_last=False):
    """The oracle's net as a file; its pictures, and the layer, have their channels last if asked."""
    weights = {name: np.asarray(value, np.float32) for name, value in vars(net).items()}
    start, layer = ("x", "a") if not channels_last else ("first", "front")
    nodes = [
        node("Conv", [start, "first", "first_bias"], ["z"], pads=[1] * 4),
        node("Relu", ["z"], [layer]),
        node("Conv", [layer, "second", "second_bias"], ["z2"], strides=[2, 2]),
        node("Relu", ["z2"], ["a2"]),
        node("GlobalAveragePool", ["a2"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "head", "head_bias"], ["y"], transB=1),
    ]
    shape = ["N", 3, 11, 9]
    if channels_last:
        weights["kernel"] = weights.pop("first")
        nodes[0] = node("Conv", ["first", "kernel", "first_bias"], ["z"], pads=[1] * 4)
        nodes.insert(0, node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]))
        nodes.insert(3, node("Transpose", ["front"], ["a"], perm=[0, 2, 3, 1]))
        nodes.insert(4, node("Transpose", ["a"], ["back"], perm=[0, 3, 1, 2]))
        nodes[5] = node("Conv", ["back", "second", "second_bias"], ["z2"], strides=[2, 2])
        shape = ["N", 11, 9, 3]
    return Model.load(tiny.saved(path, nodes, [tensor("x", shape)], [tensor("y", ["N", 6])], weights))


@pytest.fixture(scope="module")
def random_net(tmp_path_factory):
    net = oracle.Net.random(np.random.default_rng(21))
    return net, opened(tmp_path_factory.mktemp("cam") / "net.onnx", net)


@pytest.fixture(scope="module")
def net_b():
    return planted.load(planted.net_b())


def seen(model, x, method, target=0, **settings):
    return xaionnx.explain(model, x, method, target, **settings).maps["cam"]


def test_published_numbers(net_b):
    """Captum's Grad-CAM, which rectifies nothing, and guided Grad-CAM, on net B."""
    at = {"conv": [[11.25, 13.5], [20.25, 22.5]], "relu1": [[0, 4], [28, 32.5]]}
    for layer, expected in at.items():
        np.testing.assert_allclose(seen(net_b, CANONICAL, GradCam(layer=layer, relu=False))[0], expected)
    found = GuidedGradCam(layer="relu1", upsampling="nearest").attribute(net_b, CANONICAL, 0)
    fine = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    np.testing.assert_allclose(found.values[0, 0], fine)


@pytest.mark.parametrize(
    ("a", "weight"),
    [(np.ones((2, 2)), 1 / 3), ([[1, 1], [0, 0]], 0.2), (np.zeros((2, 2)), 0), ([[0.5, 0], [0, 0]], 0.0606)],
)  # fmt: skip
def test_published_weights_of_grad_cam_pp(tmp_path, a, weight):
    """Xplique's: of a 2x2 map whose gradient is a quarter of itself, as that of the mean of its squares over 2 is."""
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
    np.testing.assert_allclose(seen(model, x, GradCamPp(layer="a"))[0], weight * np.asarray(a), atol=1e-4)


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
            np.testing.assert_allclose(found.maps["cam"][t, n] / scale, small / scale, **TOLERANCE)
            large = oracle.enlarged(small, 11, 9)
            for plane in found.values[t, n]:
                np.testing.assert_allclose(plane / scale, large / scale, **TOLERANCE)


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
    np.testing.assert_allclose(np.moveaxis(last.values, -1, 1), one.values, **TOLERANCE)


def test_eigen_cam_of_what_is_left_without_the_means(random_net):
    net, model = random_net
    found = seen(model, PICTURES, EigenCam(layer="a", centred=True))
    for n, x in enumerate(PICTURES.astype(np.float64)):
        np.testing.assert_allclose(found[n], oracle.eigen_cam_centred(net, x, 0), **TOLERANCE)


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


def test_the_mean_of_a_class_activation_map_is_the_score():
    model = planted.load(planted.pooled(np.random.default_rng(1).normal(size=(5, 3)), np.eye(5)[:3] * 2, (11, 9)))
    found = Cam().attribute(model, PICTURES, [0, 1, 2])
    np.testing.assert_allclose(found.maps["cam"].mean(axis=(-2, -1)), found.prediction, **TOLERANCE)
    # Grad-CAM is the same, divided by the number of places.
    same = GradCam(relu=False).attribute(model, PICTURES, [0, 1, 2])
    np.testing.assert_allclose(found.maps["cam"], 99 * same.maps["cam"], **TOLERANCE)


def test_a_class_activation_map_asks_for_a_linear_head(random_net):
    linear = planted.load(planted.linear(np.ones((2, 3, 4, 4))))
    with pytest.raises(UnsupportedModelError, match=r"but Relu stands behind layer 'a' of net.onnx. Use grad_cam"):
        Cam(layer="a").attribute(random_net[1], PICTURES, 0)
    with pytest.raises(UnsupportedModelError, match="no pooling over all places stands behind layer 'flat'"):
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
    with pytest.raises(UnsupportedModelError, match="no pooling over all places stands behind layer 'a'"):
        Cam(layer="a").attribute(Model.load(path), CANONICAL, 0)


def test_layers_without_places_are_refused(net_b):
    with pytest.raises(UnsupportedModelError, match=r"Tensor 'linear' of .*, \('N', 4\), has no places that lie over"):
        GradCam(layer="linear").attribute(net_b, CANONICAL, 0)
    with pytest.raises(UnknownNameError, match=r"No layer named 'relu2'. Nearest: relu1"):
        GradCam(layer="relu2").attribute(net_b, CANONICAL, 0)


def test_the_input_itself_may_be_the_layer(random_net):
    _, model = random_net
    found = HiResCam(layer="x").attribute(model, PICTURES, 3)
    saliency = xaionnx.explain(model, PICTURES, "input_x_gradient", 3).values.sum(axis=1)
    np.testing.assert_allclose(found.maps["cam"], saliency, **TOLERANCE)


@pytest.mark.parametrize(("small", "large"), [(1, 3), (2, 5), (7, 224), (3, 3)])
def test_enlarging_keeps_what_is_the_same_everywhere_and_the_order_of_places(small, large):
    for how in ("bilinear", "nearest"):
        matrix = enlargement(small, large, how)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
        assert (np.diff(matrix @ np.arange(small)) >= 0).all()
        # It does not lean to one side.
        if how == "bilinear":
            np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_only_the_strongest_channels_may_be_tried(random_net):
    net, model = random_net
    a = net.layer(PICTURES[0].astype(np.float64))
    strongest = np.argsort(-a.mean(axis=(1, 2)))[:2]
    for method, oracled in ((AblationCam, oracle.ablation_cam), (ScoreCam, oracle.score_cam)):
        every = method(layer="a", relu=False).attribute(model, PICTURES[:1], 1)
        some = method(layer="a", relu=False, channels=2).attribute(model, PICTURES[:1], 1)
        assert every.diagnostics["evaluations"] == [5]
        assert some.diagnostics["evaluations"] == [3]
        np.testing.assert_allclose(every.maps["cam"][0], oracled(net, PICTURES[0].astype(np.float64), 1), **TOLERANCE)
    y, weights = net.behind(a)[1], np.zeros(4)
    for k in strongest:
        weights[k] = (y - net.behind(np.where(np.arange(4)[:, None, None] == k, 0, a))[1]) / abs(y)
    found = seen(model, PICTURES[:1], AblationCam(layer="a", relu=False, channels=2), 1)[0]
    np.testing.assert_allclose(found, oracle.weighted(a, weights), **TOLERANCE)


def test_score_cam_from_another_baseline(random_net):
    net, model = random_net
    x = PICTURES[0].astype(np.float64)
    a, scores = net.layer(x), []
    for k in range(4):
        mask = oracle.enlarged(a[k], 11, 9)
        mask = (mask - mask.min()) / (np.ptp(mask) or 1)
        scores.append(net.scores(x * mask + 0.5 * (1 - mask))[2])
    found = seen(model, PICTURES[:1], ScoreCam(layer="a", baseline=0.5), 2)[0]
    np.testing.assert_allclose(found, oracle.weighted(a, oracle.softmax(np.array(scores))), **TOLERANCE)


def test_finer_cam_between_grad_cam_and_margins(random_net):
    net, model = random_net
    plain = seen(model, PICTURES, GradCam(layer="a", relu=False), 1)
    np.testing.assert_allclose(
        seen(model, PICTURES, FinerCam(layer="a", relu=False, strength=0.0), 1), plain, **TOLERANCE
    )
    x = PICTURES[:1]
    y = net.scores(x[0].astype(np.float64))
    nearest = min((d for d in range(6) if d != 1), key=lambda d: abs(y[d] - y[1]))
    margin = seen(model, x, GradCam(layer="a", relu=False), Target.margin(1, nearest))
    one = FinerCam(layer="a", relu=False, strength=1.0, similar=1, weighting="equal")
    np.testing.assert_allclose(seen(model, x, one, 1), margin, **TOLERANCE)


def test_contrast_with_a_class_is_grad_cam_of_the_loss_against_it(random_net):
    _, model = random_net
    loss = seen(model, PICTURES, GradCam(layer="a"), Target.loss([2, 2, 2]))
    np.testing.assert_allclose(seen(model, PICTURES, ContrastCam(layer="a", contrast=2), None), loss, **TOLERANCE)
    with pytest.raises(ParameterError, match=r"must be another class than the target. Got 4"):
        ContrastCam(contrast=4).attribute(model, PICTURES, 4)
    with pytest.raises(
        UnsupportedModelError, match=r"ContrastCam compares classes, and the target .* is not the score"
    ):
        ContrastCam().attribute(model, PICTURES, Target.margin(1, 2))


@pytest.mark.parametrize("method", [m for m in compilation.methods() if m.endswith(("_cam", "_pp")) and m != "cam"])
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_compiled_map_is_the_explained_one(tmp_path, random_net, method, upsampling):
    net, model = random_net
    kind = discovery.method(method)
    for relu in (True, False):
        agree(model, {"x": PICTURES}, kind(layer="a", relu=relu, upsampling=upsampling), Target.probability(2))
    # Turned ahead of a layer with channels last, and no more behind it, so that no runtime takes the turn out.
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
    with pytest.raises(UnsupportedModelError, match=r"has four axes, but not the places of the picture. Name another."):
        compilation.compile(model, GradCam(layer=layer), 0)
    with pytest.raises(UnsupportedModelError, match=r"has no places that lie over the input"):
        GradCam(layer=layer).attribute(model, np.zeros((1, 1, 28, 28), np.float32), 0)


def test_a_compiled_map_of_patches(tmp_path):
    model = Model.load("models/mnist_vit.onnx")
    x = np.random.default_rng(0).random((3, 1, 28, 28)).astype(np.float32)
    agree(model, {model.input().name: x}, GradCam(relu=False), None)


def test_patches_of_a_transformer_lie_over_the_picture():
    """The 49 patches are places of a grid; the class token is none."""
    model = Model.load("models/mnist_vit.onnx")
    x = np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32)
    layer = "/blocks/blocks.3/norm1/LayerNormalization_output_0"
    held = model.with_outputs([layer]).run({model.input().name: x}, [layer])[layer].astype(np.float64)
    slope = xaionnx.explain(model, x, "saliency", 3, layer=layer, absolute=False).values.astype(np.float64)
    small = np.einsum("nd,ntd->nt", slope[:, 1:].mean(axis=1), held[:, 1:]).reshape(2, 7, 7)
    found = GradCam(relu=False).attribute(model, x, 3)
    assert found.provenance["seen_at"] == {"name": layer, "axes": "TD", "grid": [7, 7], "before": 1}
    np.testing.assert_allclose(found.maps["cam"], small, rtol=1e-3, atol=1e-5)
    assert found.values.shape == x.shape
    # Ahead of the normalisation, which forgets how large a token is, a token and its slope are at right angles.
    ahead, behind = (
        np.abs(seen(model, x, HiResCam(layer=name), 3)).max() for name in ("/blocks/blocks.2/Add_1_output_0", None)
    )
    assert ahead < 1e-3 * behind
    ablated = AblationCam(channels=3, relu=False).attribute(model, x, 3)
    assert np.abs(ablated.maps["cam"]).max() > 0


def test_tokens_have_a_number_each(tmp_path):
    """Of those that are looked up, bent one by one, averaged and scored."""
    rng = np.random.default_rng(2)
    table, weights = rng.normal(size=(10, 4)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    nodes = [
        node("Gather", ["table", "ids"], ["held"]),
        node("Tanh", ["held"], ["bent"]),
        node("ReduceMean", ["bent"], ["mean"], axes=[1], keepdims=0),
        node("MatMul", ["mean", "w"], ["y"]),
    ]
    path = tiny.saved(
        tmp_path / "m.onnx",
        nodes,
        [tensor("ids", ["N", "T"], 7)],
        [tensor("y", ["N", 3])],
        {"table": table, "w": weights},
    )
    ids = np.array([[1, 2, 3, 0, 9], [4, 4, 7, 1, 1]])
    model = Model.load(path)
    found = GradCam(layer="bent", relu=False).attribute(model, ids, 2)
    np.testing.assert_allclose(found.values, np.tanh(table[ids]) @ weights[:, 2] / 5, **TOLERANCE)
    agree(model, {"ids": ids}, GradCam(layer="bent", relu=False), 2, shapes={"ids": (5,)})


def test_tokens_are_seen_behind_a_normalisation_that_is_written_out(tmp_path):
    """As the mean, the deviation and a scale and shift of each token; what goes around attention is left aside."""
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 1, 8, 8] x) => (float[N, 4] y)
    <float[6,1,2,2] patch, float[6] scale, float[6] shift, float[6,6] q, float[6,6] k, float[6,4] w, float e = {1e-5},
     float two = {2}, int64[3] flat = {0, 6, 16}> {
      cut = Conv<strides = [2, 2]>(x, patch)  rows = Reshape(cut, flat)  tokens = Transpose<perm = [0, 2, 1]>(rows)
      twice = Mul(tokens, two)  sum = Add(twice, tokens)
      mean = ReduceMean<axes = [-1]>(sum)  off = Sub(sum, mean)  squares = Pow(off, two)
      variance = ReduceMean<axes = [-1]>(squares)  more = Add(variance, e)  deviation = Sqrt(more)
      unit = Div(off, deviation)  scaled = Mul(unit, scale)  normal = Add(scaled, shift)
      qs = MatMul(normal, q)  ks = MatMul(normal, k)  turned = Transpose<perm = [0, 2, 1]>(ks)
      products = MatMul(qs, turned)  shares = Softmax(products)  mixed = MatMul(shares, normal)
      after = Add(mixed, sum)  pooled = ReduceMean<axes = [1], keepdims = 0>(after)  y = MatMul(pooled, w) }"""
    proto = parser.parse_model(text)
    rng = np.random.default_rng(0)
    shapes = {"patch": (6, 1, 2, 2), "scale": (6,), "shift": (6,), "q": (6, 6), "k": (6, 6), "w": (6, 4)}
    del proto.graph.initializer[:]
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"e": np.float32(1e-5), "two": np.float32(2), "flat": np.array([0, 6, 16])}
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items())
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    x = rng.normal(size=(2, 1, 8, 8)).astype(np.float32)
    found = GradCam().attribute(Model.load(path), x, 0)
    assert found.provenance["seen_at"] == {"name": "normal", "axes": "TD", "grid": [4, 4], "before": 0}


def test_a_segmentation_is_seen_at_a_layer_of_its_decoder():
    model = Model.load("models/selfie_segmentation.onnx")
    x = np.random.default_rng(0).random((1, *model.input().shape[1:])).astype(np.float32)
    found = GradCam(layer="v120").attribute(model, x, Target.sum())
    assert found.maps["cam"].shape == (1, 64, 64)
    assert found.values.shape == x.shape
    # One channel of probabilities is no layer of features.
    assert GradCam().attribute(model, x, Target.sum()).provenance["seen_at"]["name"] == "v135"


def test_the_head_alone_is_differentiated(monkeypatch):
    """A prediction, and a gradient of the part behind the layer."""
    from xaionnx.session import Session

    model = Model.load("models/efficientnet_lite0.onnx")
    x = np.random.default_rng(0).random((1, 3, 224, 224)).astype(np.float32)
    GradCam().attribute(model, x)
    fed, run = [], Session.run

    def watched(self, fetch, feeds, *rest):
        fed.append(set(feeds))
        return run(self, fetch, feeds, *rest)

    monkeypatch.setattr(Session, "run", watched)
    found = GradCam().attribute(model, x)
    assert fed == [{model.input().name}, {"/_swish_1/Clip_output_0", "cotangent"}]
    assert found.diagnostics["evaluations"] == [2]
