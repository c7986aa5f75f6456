"""What people met who explained detectors, sequence models and layers with other tools, on small models.

The log is real_models.toml; the numbers of a test come from the model's own weights, or from onnxruntime alone.
"""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded
from xaionnx import InputSpec, Model, Target

RNG = np.random.default_rng(67)


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def yolox() -> Model:
    """Two grids of a picture of 32 x 32 pixels, of which the coarse one is made of the fine."""
    text = """g (float[N, 3, 32, 32] x) => (float[N, 7, 4, 4] p8, float[N, 7, 2, 2] p16) {
      a = Conv<strides = [8, 8]>(x, k)  fine = Relu(a)  b = Conv<strides = [2, 2]>(fine, k2)  coarse = Relu(b)
      p8 = Conv(fine, h8)  p16 = Conv(coarse, h16) }"""
    weights = {"k": np.abs(drawn(4, 3, 8, 8)), "k2": np.abs(drawn(4, 4, 2, 2)), "h8": drawn(7, 4, 1, 1) / 100}
    model = loaded(text, **weights, h16=drawn(7, 4, 1, 1) / 2000)
    return Model.load(model.path, "cpu", spec=InputSpec(labels=("one", "two"), scale=1))


def test_a_box_of_undecoded_heads_is_mapped_at_its_own_grid():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    fine, coarse = (xaionnx.explain(model, x, "hi_res_cam", Target.box(number=n), relu=False) for n in (6, 17))
    assert fine.maps["cam"][0].shape == (4, 4)
    assert coarse.maps["cam"][0].shape == (2, 2)
    # A box reads one cell: row 1, column 2 of the fine grid, and row 0, column 1 of the coarse one.
    assert np.argwhere(fine.maps["cam"][0]).tolist() == [[1, 2]]
    assert np.argwhere(coarse.maps["cam"][0]).tolist() == [[0, 1]]


def test_maps_of_two_objects_of_one_picture_differ():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    found = xaionnx.explain(model, x, "saliency", [Target.box(near=(4, 4)), Target.box(number=15)])
    places = [np.argwhere(values.sum(axis=(0, 1))) for values in found.values]
    assert (places[1].min(axis=0) == [24, 24]).all()
    assert (places[0].max(axis=0) < 24).any()


def test_the_similarity_of_a_box_to_itself_is_its_objectness():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    outputs = model.run({"x": x})
    found = xaionnx.explain(model, x, "occlusion", Target.detection(number=5), window=8)
    objectness = 1 / (1 + np.exp(-outputs["p8"][0, 4, 1, 1]))
    np.testing.assert_allclose(found.prediction, objectness, rtol=1e-4)


def test_one_element_of_a_map_of_features_is_a_target():
    weight = drawn(6, 3, 2, 2)
    model = loaded("g (float[N, 3, 10, 10] x) => (float[N, 6, 5, 5] y) { y = Conv<strides = [2, 2]>(x, w) }", w=weight)
    found = xaionnx.explain(model, drawn(1, 3, 10, 10), "saliency", Target.index((4, 2, 3)), absolute=False)
    expected = np.zeros((1, 3, 10, 10), np.float32)
    expected[0, :, 4:6, 6:8] = weight[4]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)


def lstm() -> Model:
    text = """g (float[N, 5, 3] x) => (float[N, 5, 2] y) {
      t = Transpose<perm = [1, 0, 2]>(x)  h, e, c = LSTM<hidden_size = 4>(t, w, r)  s = Squeeze(h, one)
      b = Transpose<perm = [1, 0, 2]>(s)  y = MatMul(b, v) }"""
    return loaded(text, w=drawn(1, 16, 3), r=drawn(1, 16, 4), one=np.array([1]), v=drawn(4, 2))


def test_an_output_that_keeps_the_axis_of_time_has_a_target_for_each_step():
    model, x = lstm(), drawn(2, 5, 3)
    found = xaionnx.explain(model, x, "integrated_gradients", Target.index((2, 1)), steps=64)
    change = model.run({"x": x})["y"][:, 2, 1] - model.run({"x": np.zeros_like(x)})["y"][:, 2, 1]
    np.testing.assert_allclose(found.values.sum(axis=(1, 2)), change, rtol=2e-3, atol=2e-4)
    # Later steps cannot matter.
    assert not found.values[:, 3:].any()


def test_shapley_values_of_steps_times_features():
    model, x = lstm(), drawn(1, 5, 3)
    found = xaionnx.explain(model, x, "kernel_shap", Target.index((1, 0)), budget=2000)
    assert found.values.shape == x.shape
    change = model.run({"x": x})["y"][0, 1, 0] - model.run({"x": np.zeros_like(x)})["y"][0, 1, 0]
    np.testing.assert_allclose(found.values.sum(), change, rtol=1e-3, atol=1e-4)
    # An estimate from 2,000 of 32,768 coalitions.
    assert np.abs(found.values[:, 2:]).max() < 0.05 * np.abs(found.values).max()


def test_two_records_of_embeddings_have_values_each():
    text = """g (float[N, 4, 3] a, float[N, 4, 3] b) => (float[N, 1] y) {
      ta = Transpose<perm = [1, 0, 2]>(a)  tb = Transpose<perm = [1, 0, 2]>(b)
      ha, ea = LSTM<hidden_size = 2>(ta, w, r)  hb, eb = LSTM<hidden_size = 2>(tb, w, r)
      sa = Squeeze(ea, zero)  sb = Squeeze(eb, zero)  d = Sub(sa, sb)  q = Mul(d, d)
      y = ReduceSum<keepdims = 1>(q, last) }"""
    model = loaded(text, w=drawn(1, 8, 3), r=drawn(1, 8, 2), zero=np.array([0]), last=np.array([1]))
    feeds = {"a": drawn(2, 4, 3), "b": drawn(2, 4, 3)}
    found = xaionnx.explain(model, feeds, "deep_lift")
    assert found.values.keys() == feeds.keys()
    change = model.run(feeds)["y"] - model.run({name: np.zeros_like(x) for name, x in feeds.items()})["y"]
    total = sum(values.sum(axis=(1, 2)) for values in found.values.values())
    np.testing.assert_allclose(total, change[:, 0], rtol=1e-3, atol=1e-5)


def vit() -> Model:
    """A class token and the 2 x 2 patches of a picture through one block of attention; the class token is read."""
    text = """g (float[N, 3, 8, 8] x) => (float[N, 3] y) {
      p = Conv<strides = [4, 4]>(x, k)  f = Reshape(p, flat)  t = Transpose<perm = [0, 2, 1]>(f)
      sh = Shape(t)  n = Slice(sh, zero, one)  s = Concat<axis = 0>(n, rest)  c = Expand(cls, s)
      u = Concat<axis = 1>(c, t)  q = MatMul(u, wq)  kk = MatMul(u, wk)  v = MatMul(u, wv)
      kt = Transpose<perm = [0, 2, 1]>(kk)  a = MatMul(q, kt)  m = Softmax<axis = 2>(a)  o = MatMul(m, v)
      r = Add(u, o)  z = LayerNormalization(r, g, b)  first = Gather<axis = 1>(z, at)  y = MatMul(first, head) }"""
    weights = {name: drawn(6, 6) for name in ("wq", "wk", "wv")}
    return loaded(
        text, **weights, k=drawn(6, 3, 4, 4), flat=np.array([0, 6, 4]), zero=np.array([0]), one=np.array([1]),
        rest=np.array([1, 6]), cls=drawn(1, 1, 6), g=np.ones(6, np.float32), b=np.zeros(6, np.float32),
        at=np.array(0), head=drawn(6, 3),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["grad_cam", "x_grad_cam", "hi_res_cam"])
def test_tokens_after_the_last_block_that_nobody_reads_are_not_the_default_layer(method):
    model, x = vit(), drawn(1, 3, 8, 8)
    found = xaionnx.explain(model, x, method, 1, relu=False)
    # After the block only the class token is read, so that a map of the patches there would be zero.
    assert found.values.shape == x.shape
    assert found.maps["cam"][0].shape == (2, 2)
    assert found.maps["cam"].any()


def test_several_layers_of_a_detector_are_fused():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    one = xaionnx.explain(model, x, "layer_cam", Target.box(number=17), layer="coarse")
    both = xaionnx.explain(model, x, "layer_cam", Target.box(number=17), layer=["fine", "coarse"])
    assert both.values.shape == one.values.shape
    columns = both.values.sum(axis=(0, 1, 2))
    # The coarse cell of column 1 lies on the right, and is made of fine ones there.
    assert columns[16:].sum() > 3 * columns[:16].sum() > 0
    assert not columns[:4].any()


def test_two_objects_of_one_class_have_maps_of_their_own():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    targets = [Target.detection(number=0), Target.detection(number=15)]
    found = xaionnx.explain(model, x, "occlusion", targets, window=8, stride=8, class_maps=False)
    outputs = model.run({"x": x})["p8"][0]
    np.testing.assert_allclose(found.prediction[:, 0], 1 / (1 + np.exp(-outputs[4, [0, 3], [0, 3]])), rtol=1e-4)
    # Without its own cell another box is the nearest, and one less alike.
    strongest = [np.unravel_index(np.abs(values[0, 0]).argmax(), (32, 32)) for values in found.values]
    assert max(strongest[0]) < 16 <= min(strongest[1])


def test_every_class_of_a_box_is_a_target_not_its_highest_alone():
    model, x = yolox(), np.abs(drawn(1, 3, 32, 32))
    outputs = 1 / (1 + np.exp(-model.run({"x": x})["p8"][0, :, 1, 1]))
    for name, score in (("one", outputs[5]), ("two", outputs[6])):
        found = xaionnx.explain(model, x, "saliency", Target.box(name, number=5))
        np.testing.assert_allclose(found.prediction, outputs[4] * score, rtol=1e-4)
