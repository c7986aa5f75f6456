"""The layer of a class activation map: feature maps, patches, tokens, decoders, and layers without positions."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree
from tests.explainers.maps import PICTURES, seen
from tests.tiny import loaded, node, normal, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.errors import UnknownNameError, UnsupportedModelError
from xaionnx.explainers.ablation_cam import AblationCam
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.hi_res_cam import HiResCam


def test_layers_without_places_are_refused():
    net_b, x = planted.load(planted.net_b()), normal(1, 1, 4, 4)
    with pytest.raises(
        UnsupportedModelError, match=r"Tensor 'linear' of .*, \('N', 4\), has no spatial positions over"
    ):
        GradCam(layer="linear").attribute(net_b, x, 0)
    with pytest.raises(UnknownNameError, match=r"No layer named 'relu2'. Nearest: relu1"):
        GradCam(layer="relu2").attribute(net_b, x, 0)


def test_the_input_itself_may_be_the_layer(random_net):
    _, model = random_net
    found = HiResCam(layer="x").attribute(model, PICTURES, 3)
    saliency = xaionnx.explain(model, PICTURES, "input_x_gradient", 3).values.sum(axis=1)
    assert_close(found.maps["cam"], saliency, Tolerance.DEEP)


def test_patches_of_a_transformer_lie_over_the_picture():
    """The 49 patches are positions of a grid; the class token has no position."""
    model = Model.load("models/mnist_vit.onnx")
    x = np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32)
    layer = "/blocks/blocks.3/norm1/LayerNormalization_output_0"
    held = model.with_outputs([layer]).run({model.input().name: x}, [layer])[layer].astype(np.float64)
    slope = xaionnx.explain(model, x, "saliency", 3, layer=layer, absolute=False).values.astype(np.float64)
    small = np.einsum("nd,ntd->nt", slope[:, 1:].mean(axis=1), held[:, 1:]).reshape(2, 7, 7)
    found = GradCam(relu=False).attribute(model, x, 3)
    assert found.provenance["seen_at"] == {"name": layer, "axes": "TD", "grid": [7, 7], "before": 1, "after": 0}
    assert_close(found.maps["cam"], small, Tolerance.QUOTIENTS)
    assert found.values.shape == x.shape
    # Before the normalisation, which is invariant to scale, a token and its gradient are orthogonal.
    ahead, behind = (
        np.abs(seen(model, x, HiResCam(layer=name), 3)).max() for name in ("/blocks/blocks.2/Add_1_output_0", None)
    )
    assert ahead < 1e-3 * behind
    ablated = AblationCam(channels=3, relu=False).attribute(model, x, 3)
    assert np.abs(ablated.maps["cam"]).max() > 0


def test_tokens_have_a_number_each(tmp_path):
    """Tokens are looked up, transformed one by one, averaged and scored."""
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
    assert_close(found.values, np.tanh(table[ids]) @ weights[:, 2] / 5, Tolerance.DEEP)
    agree(model, {"ids": ids}, GradCam(layer="bent", relu=False), 2, shapes={"ids": (5,)})


def test_tokens_are_seen_behind_a_normalisation_that_is_written_out():
    """Written as mean, deviation, scale and shift of each token; the residual path around attention is ignored."""
    text = """g (float[N, 1, 8, 8] x) => (float[N, 4] y)
    <float e = {1e-5}, float two = {2}, int64[3] flat = {0, 6, 16}> {
      cut = Conv<strides = [2, 2]>(x, patch)  rows = Reshape(cut, flat)  tokens = Transpose<perm = [0, 2, 1]>(rows)
      twice = Mul(tokens, two)  sum = Add(twice, tokens)
      mean = ReduceMean<axes = [-1]>(sum)  off = Sub(sum, mean)  squares = Pow(off, two)
      variance = ReduceMean<axes = [-1]>(squares)  more = Add(variance, e)  deviation = Sqrt(more)
      unit = Div(off, deviation)  scaled = Mul(unit, scale)  normal = Add(scaled, shift)
      qs = MatMul(normal, q)  ks = MatMul(normal, k)  turned = Transpose<perm = [0, 2, 1]>(ks)
      products = MatMul(qs, turned)  shares = Softmax(products)  mixed = MatMul(shares, normal)
      after = Add(mixed, sum)  pooled = ReduceMean<axes = [1], keepdims = 0>(after)  y = MatMul(pooled, w) }"""
    rng = np.random.default_rng(0)
    shapes = {"patch": (6, 1, 2, 2), "scale": (6,), "shift": (6,), "q": (6, 6), "k": (6, 6), "w": (6, 4)}
    model = loaded(text, **{name: rng.normal(size=shape) for name, shape in shapes.items()})
    x = rng.normal(size=(2, 1, 8, 8)).astype(np.float32)
    found = GradCam().attribute(model, x, 0)
    assert found.provenance["seen_at"] == {"name": "normal", "axes": "TD", "grid": [4, 4], "before": 0, "after": 0}


def test_parts_of_a_joint_projection_are_no_map_before_attention():
    rng = np.random.default_rng(0)
    model = tiny.loaded(
        '''g (int64[N, 5] x) => (float[N, 2] y) <int64[4] s = {0, 0, 3, 4}, int64[1] first = {0}> {
        e = Gather(table, x)  p = MatMul(e, w)  r = Reshape(p, s)  t = Transpose<perm = [2, 0, 1, 3]>(r)
        q0, k0, v0 = Split<axis = 0>(t)  q = Squeeze(q0, first)  k = Squeeze(k0, first)  v = Squeeze(v0, first)
        kt = Transpose<perm = [0, 2, 1]>(k)  z = MatMul(q, kt)  a = Softmax<axis = -1>(z)  c = MatMul(a, v)
        sum = Add(e, c)  h = Relu(sum)  m = ReduceMean<axes = [1], keepdims = 0>(h)  y = MatMul(m, u) }''',
        table=rng.normal(size=(9, 4)),
        w=rng.normal(size=(4, 12)),
        u=rng.normal(size=(4, 2)),
    )  # fmt: skip
    found = xaionnx.explain(model, np.array([[1, 2, 3, 4, 5]]), "grad_cam", 0)
    assert found.provenance["seen_at"]["name"] in ("sum", "h")


def test_a_segmentation_is_seen_at_a_layer_of_its_decoder():
    model = Model.load("models/selfie_segmentation.onnx")
    x = np.random.default_rng(0).random((1, *model.input().shape[1:])).astype(np.float32)
    found = GradCam(layer="v120").attribute(model, x, Target.sum())
    assert found.maps["cam"].shape == (1, 64, 64)
    assert found.values.shape == x.shape
    # A single channel of probabilities is not a layer of features.
    assert GradCam().attribute(model, x, Target.sum()).provenance["seen_at"]["name"] == "v135"


def test_the_head_alone_is_differentiated(monkeypatch):
    """One prediction, and one gradient of the part after the layer."""
    from xaionnx.runtime.session import Session

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
