"""Maps over the positions of any input: waveforms, tokens, rows, and the default layers that have them."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.hi_res_cam import HiResCam


def seen_at(model, x, target=0, **settings):
    """The HiResCAM of a target, whose sum is the score where the head is linear, and the name of its layer."""
    found = HiResCam(relu=False, upsampling="nearest", **settings).attribute(model, x, target)
    return found, found.provenance["seen_at"]


def test_a_waveform_has_positions_along_its_frames():
    """130 numbers are cut to 128 and to 8 frames; the score reads the third."""
    text = """g (float[N, 130] x) => (float[N, 2] y) <int64[1] n0 = {0}, int64[1] n128 = {128}, int64[1] n1 = {1}> {
      s = Slice(x, n0, n128, n1)  f = Reshape(s, frames)  a = MatMul(f, basis)  b = Relu(a)  m = Mul(b, mask)
      p = ReduceSum(m, n1)  q = Squeeze(p, n1)  y = MatMul(q, w) }"""
    mask = np.zeros((1, 8, 1), np.float32)
    mask[0, 2] = 1
    model = loaded(text, frames=np.array([-1, 8, 16]), basis=normal(16, 5), mask=mask, w=normal(5, 2))
    x = normal(2, 130)
    stated = Model.load(model.path, "cpu", axes="N T")
    found, layer = seen_at(stated, x)
    assert layer["name"] == "m"
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)
    assert np.flatnonzero(found.values[0]).tolist() == [*range(32, 49)]  # the third eighth
    with pytest.raises(UnsupportedModelError, match="need a picture, a series or tokens"):
        GradCam().attribute(model, x, 0)  # nothing tells that the columns are in time


def test_sizes_that_the_model_computes_are_measured():
    """The padding depends on the size of the picture in a way that inference does not follow."""
    text = """g (float[N, 3, 7, 7] x) => (float[N, 2] y)
    <int64[1] n3 = {3}, int64[1] n4 = {4}, float[1] half = {0.14}, int64[7] zeros = {0, 0, 0, 0, 0, 0, 0}> {
      size = Shape(x)  wide = Slice(size, n3, n4)  f = Cast<to = 1>(wide)  g = Mul(f, half)  one = Ceil(g)
      pad = Cast<to = 7>(one)  pads = Concat<axis = 0>(zeros, pad)  p = Pad(x, pads)
      c = Conv<strides = [2, 2], pads = [0, 0, 1, 0]>(p, k)  r = Relu(c)  a = GlobalAveragePool(r)  q = Flatten(a)
      y = MatMul(q, w) }"""
    model = loaded(text, k=normal(4, 3, 2, 2), w=normal(4, 2))
    found, layer = seen_at(model, normal(1, 3, 7, 7))
    assert (layer["name"], layer["axes"]) == ("r", "CHW")
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)


TOKENS = """g (int64[N, 6] x) => (float[N, 6, 3] y) {
  e = Gather(table, x)  t = Transpose<perm = [0, 2, 1]>(e)  c = Conv<pads = [1, 1]>(t, k)  r = Relu(c)
  u = Unsqueeze(r, two)  d = Conv(u, w)  q = Squeeze(d, two)  s = Softmax<axis = 1>(q)
  y = Transpose<perm = [0, 2, 1]>(s) }"""


def test_convolutions_along_tokens_have_their_positions():
    weights = {"table": normal(9, 4), "k": normal(5, 4, 3), "w": normal(3, 5, 1, 1), "two": np.array([2])}
    model = loaded(TOKENS, **weights)
    x = np.array([[1, 2, 3, 4, 5, 6]])
    found, layer = seen_at(model, x, Target.index((4, 1)))
    # Scores of the positions are not features, nor is a layer with another axis.
    assert (layer["name"], layer["axes"]) == ("r", "CT")
    assert found.values.shape == (1, 6)
    assert np.flatnonzero(found.values[0]).tolist() == [4]


def test_layers_that_run_on_tokens_have_their_positions_in_either_order():
    """An LSTM over embedded tokens: the last tensor of tokens, not the softmax of the classes."""
    text = """g (int64[N, 6] x) => (float[N, 2] y) {
      e = Gather(table, x)  t = Transpose<perm = [1, 0, 2]>(e)  all, last = LSTM<hidden_size = 4>(t, W, R)
      z = Squeeze(all, one)  b = Transpose<perm = [1, 0, 2]>(z)  g = Tanh(b)
      m = ReduceMean<axes = [1], keepdims = 0>(g)  s = MatMul(m, w)  y = Softmax(s) }"""
    weights = {"table": normal(9, 3), "W": normal(1, 16, 3), "R": normal(1, 16, 4), "w": normal(4, 2)}
    model = loaded(text, **weights, one=np.array([1]))
    x = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]])
    found, layer = seen_at(model, x, Target.neuron("s", 0))
    assert layer["name"] == "g"
    assert_close(found.values.sum(axis=1), found.prediction, Tolerance.DEEP)
    # The samples of the layer's series, (T, 1, N, C), are on its third axis.
    found, layer = seen_at(model, x, Target.neuron("s", 0), layer="all")
    assert layer["axes"] == "TCC"
    assert found.values.shape == x.shape


def test_rows_that_are_one_sample_have_a_map_each():
    """Four views of a picture are averaged; the last one alone is read."""
    text = """g (float[V, 1, 4, 4] x) => (float[M, 2] y) <int64[2] views = {-1, 4}> {
      c = Conv<pads = [1, 1, 1, 1]>(x, k)  r = Relu(c)  a = GlobalAveragePool(r)  f = Flatten(a)  s = MatMul(f, w)
      t = Transpose<perm = [1, 0]>(s)  v = Reshape(t, views)  p = MatMul(v, last)  y = Reshape(p, two) }"""
    last = np.array([[0], [0], [0], [1]], np.float32)
    model = loaded(text, k=normal(3, 1, 3, 3), w=normal(3, 2), last=last, two=np.array([1, 2]))
    joint = Model.load(model.path, "cpu", rows="joint")
    found, layer = seen_at(joint, normal(4, 1, 4, 4), Target.index((0, 1)))
    assert (layer["name"], layer["axes"]) == ("r", "RCHW")
    assert found.values.shape == (4, 1, 4, 4)
    assert found.values[3].any()
    assert not found.values[:3].any()
    assert_close(found.maps["cam"].sum(), found.prediction.sum(), Tolerance.DEEP)


def test_a_layer_without_samples_in_a_file_for_one_sample():
    text = """g (float[1, 32] x) => (float[1, 2] y) <int64[1] n0 = {0}> {
      f = Reshape(x, frames)  a = MatMul(f, basis)  r = Relu(a)  m = ReduceMean<axes = [0]>(r)  y = MatMul(m, w) }"""
    model = loaded(text, frames=np.array([8, 4]), basis=normal(4, 5), w=normal(5, 2))
    stated = Model.load(model.path, "cpu", axes="N T")
    found, layer = seen_at(stated, normal(3, 32))
    assert (layer["name"], layer["axes"]) == ("r", "TC")
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)


def test_casts_and_turns_of_the_input_are_no_layers():
    text = """g (float[N, 4, 4, 3] x) => (float[N, 2] y) {
      h = Cast<to = 10>(x)  t = Transpose<perm = [0, 3, 1, 2]>(h)  f = Flatten(t)  s = MatMul(f, w)
      y = Cast<to = 1>(s) }"""
    model = loaded(text, w=normal(48, 2).astype(np.float16))
    with pytest.raises(
        UnsupportedModelError, match=r"No tensor between .* the positions of 'x', .*, end at MatMul 's'"
    ):
        GradCam().attribute(model, normal(1, 4, 4, 3), 0)
    assert GradCam(layer="t").attribute(model, normal(1, 4, 4, 3), 0).maps["cam"].shape == (1, 4, 4)


def test_a_map_lies_over_the_input_that_its_layer_has_positions_of():
    text = """g (float[N, 1, 4, 4] a, float[N, 1, 6, 6] b) => (float[N, 2] y) {
      ca = Conv(a, k)  ra = Relu(ca)  cb = Conv(b, k)  rb = Relu(cb)  pa = GlobalAveragePool(ra)
      pb = GlobalAveragePool(rb)  m = Mul(pa, pb)  f = Flatten(m)  y = MatMul(f, w) }"""
    model = loaded(text, k=normal(3, 1, 3, 3), w=normal(3, 2))
    x = {"a": normal(2, 1, 4, 4), "b": normal(2, 1, 6, 6, seed=1)}
    found, layer = seen_at(model, x, layer="rb")
    assert layer["axes"] == "CHW"
    assert list(found.values) == ["b"]
    assert found.values["b"].shape == (2, 1, 6, 6)
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)
    assert seen_at(model, x)[1]["name"] == "ra"


def test_axes_are_known_from_ops_inside_branches():
    text = """g (float[N, A] x, bool c) => (float[N, 2] y) <int64[1] one = {1}> {
      y = If (c) <
        then_branch = one_way () => (float[N, 2] p) { u = Unsqueeze(x, one)  a = Conv<strides = [2]>(u, k)  r = Relu(a)
          g = GlobalAveragePool(r)  f = Flatten(g)  p = MatMul(f, w) },
        else_branch = other_way () => (float[N, 2] q) { v = Unsqueeze(x, one)  h = Conv<strides = [4]>(v, k)
          d = GlobalAveragePool(h)  e = Flatten(d)  q = MatMul(e, w) }> }"""
    model = loaded(text, k=normal(3, 1, 2), w=normal(3, 2))
    assert [axis.role.value for axis in model.axes.of("x").axes] == ["sample", "time"]
    found, layer = seen_at(model, {"x": normal(1, 16), "c": np.array(True)})
    assert layer["axes"] == "CT"
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)


def test_parts_of_a_picture_s_positions_are_a_map_where_nothing_else_is():
    """Rows are features of the columns, as in readers of text: the map is the same for each row."""
    text = """g (float[N, 1, 4, 12] x) => (float[N, 2] y) {
      t = Transpose<perm = [0, 3, 1, 2]>(x)  f = Reshape(t, columns)  a = MatMul(f, k)  r = Relu(a)
      m = ReduceMean<axes = [1], keepdims = 0>(r)  y = MatMul(m, w) }"""
    model = loaded(text, columns=np.array([0, 12, 4]), k=normal(4, 5), w=normal(5, 2))
    stated = Model.load(model.path, "cpu", axes="N C H W")
    found, layer = seen_at(stated, normal(2, 1, 4, 12))
    assert (layer["name"], layer["axes"]) == ("r", "WC")
    assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)
    assert np.ptp(found.values, axis=2).max() == 0


def test_the_output_is_a_layer():
    text = """g (float[N, 3, 8, 8] x) => (float[N, 2, 8, 8] y) {
      c = Conv<pads = [1, 1, 1, 1]>(x, k)  f = Relu(c)  y = Conv(f, w) }"""
    model = loaded(text, k=normal(4, 3, 3, 3), w=normal(2, 4, 1, 1))
    x = normal(2, 3, 8, 8)
    target = Target.index((1, 2, 3))
    for layer in ("y", "output"):
        found = xaionnx.explain(model, x, "hi_res_cam", target, layer=layer, relu=False)
        assert_close(found.maps["cam"].sum(axis=(1, 2)), found.prediction, Tolerance.DEEP)
        assert np.argwhere(found.maps["cam"][0]).tolist() == [[2, 3]]
