"""What people met who explained detectors, segmentations and sequences with other tools, on small models.

The log is real_models.toml; the numbers of a test come from the model's own weights, or from onnxruntime alone.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import xaionnx
from tests.tiny import loaded
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError

RNG = np.random.default_rng(68)


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def with_spec(model: Model, **fields) -> Model:
    return Model.load(model.path, "cpu", spec=InputSpec(**fields))


def anchored(**spec) -> Model:
    """Heads (N, 3, 4, 4, 7) and (N, 3, 2, 2, 7) of a YOLOv7 with the sigmoids in the graph, for 32 x 32 pixels."""
    text = """g (float[N, 3, 32, 32] x) => (float[N, 3, 4, 4, 7] a, float[N, 3, 2, 2, 7] b) {
      c = Conv<strides = [8, 8]>(x, k)  f = Relu(c)  d = Conv<strides = [2, 2]>(f, k2)  e = Relu(d)
      m = Conv(f, h)  n = Conv(e, h)  u = Reshape(m, s)  v = Reshape(n, t)
      p = Transpose<perm = [0, 1, 3, 4, 2]>(u)  q = Transpose<perm = [0, 1, 3, 4, 2]>(v)
      a = Sigmoid(p)  b = Sigmoid(q) }"""
    sizes = {"s": np.array([0, 3, 7, 4, 4]), "t": np.array([0, 3, 7, 2, 2])}
    weights = {"k": np.abs(drawn(5, 3, 8, 8)) / 50, "k2": np.abs(drawn(5, 5, 2, 2)), "h": drawn(21, 5, 1, 1)}
    return with_spec(loaded(text, **weights, **sizes), scale=1, **spec)


OWN = {"boxes": "yolo_v5_heads:4,5 8,8 9,12; 16,12 20,20 24,30", "labels": ("one", "two")}


def test_gradients_pass_the_decoding_of_heads_with_anchors():
    model, x = anchored(**OWN), np.abs(drawn(1, 3, 32, 32))
    found = xaionnx.explain(model, x, "saliency", Target.box("two", number=20), absolute=False)
    head = model.run({"x": x})["a"][0].transpose(1, 2, 0, 3).reshape(-1, 7)[20]
    np.testing.assert_allclose(found.prediction, head[4] * head[6], rtol=1e-5)
    step = 1e-3 * found.values / np.abs(found.values).max()
    moved = [
        xaionnx.explain(model, x + sign * step, "saliency", Target.box("two", number=20)).prediction[0]
        for sign in (1, -1)
    ]
    np.testing.assert_allclose((moved[0] - moved[1]) / 2, (found.values * step).sum(), rtol=1e-2)


def test_what_four_numbers_of_a_box_mean_is_told_or_asked_for():
    x = np.abs(drawn(1, 3, 32, 32))
    with pytest.raises(UnsupportedModelError, match=r"grids of strides 8, 16, 3 boxes a cell.*State them"):
        xaionnx.explain(anchored(labels=("one", "two")), x, "saliency", Target.box())
    found = xaionnx.explain(anchored(**OWN), x, "saliency", Target.box(number=17))
    low, high = np.array(found.diagnostics["box"][0]).reshape(2, 2)
    # The last of three anchors, 9 x 12 pixels, at most twice as far; cell 5 is row 1, column 1.
    assert ((high - low) <= 4 * np.array([9, 12])).all()
    assert ((low + high) / 2 >= 4).all()
    assert ((low + high) / 2 <= 20).all()


def ssd() -> Model:
    """Boxes (N, 16, 4) with corners and scores (N, 16, 3) of the 16 cells of a picture of 16 x 16 pixels."""
    j, i = np.meshgrid(np.arange(4), np.arange(4))
    corners = np.stack([j, i, j + 1, i + 1], axis=-1).reshape(16, 4) * 4
    text = """g (float[N, 3, 16, 16] x) => (float[N, 16, 4] boxes, float[N, 16, 3] scores) {
      p = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(x)  r = Reshape(p, s)
      scores = Transpose<perm = [0, 2, 1]>(r)  z = ReduceMean<axes = [2], keepdims = 1>(scores)  n = Mul(z, zero)
      boxes = Add(n, corners) }"""
    return loaded(text, s=np.array([0, 3, 16]), zero=np.float32(0), corners=corners.astype(np.float32)[None])


def seen(*bright: tuple[int, int, int, float]) -> np.ndarray:
    """A picture with values in some cells, by channel, row and column."""
    x = np.full((1, 3, 16, 16), 0.02, np.float32)
    for channel, row, column, value in bright:
        x[0, channel, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = value
    return x


def test_an_output_of_boxes_by_scores_needs_no_flattening():
    found = xaionnx.explain(ssd(), seen((1, 2, 3, 0.9)), "kernel_shap", Target.box(), features="grid", budget=600)
    assert found.target[0] == "class 1 in box 11 at (12, 8, 16, 12)"
    values = np.abs(found.values).sum(axis=1)[0]
    assert values[8:12, 12:].min() > 10 * values[:4, :8].max()


def test_several_objects_share_the_runs_of_d_rise():
    x = seen((1, 2, 3, 0.9), (0, 0, 1, 0.6))
    together = xaionnx.explain(ssd(), x, "d_rise", Target.boxes(2), budget=301, grid=4)
    alone = xaionnx.explain(ssd(), x, "d_rise", Target.boxes(1), budget=301, grid=4)
    assert together.diagnostics["evaluations"] == alone.diagnostics["evaluations"]
    np.testing.assert_allclose(together.values[0], alone.values[0], atol=1e-6)
    places = [np.unravel_index(one.sum(axis=(0, 1)).argmax(), (16, 16)) for one in together.values]
    assert (places[0][0] // 4, places[0][1] // 4) == (2, 3)
    assert (places[1][0] // 4, places[1][1] // 4) == (0, 1)


def test_the_class_of_d_rise_is_that_of_the_box():
    x = seen((1, 1, 1, 0.8), (0, 3, 3, 0.7))
    found = xaionnx.explain(ssd(), x, "d_rise", Target.box(near=(14, 14)), budget=301, grid=4)
    assert found.target[0].startswith("similarity to class 0 in box 15")
    np.testing.assert_allclose(found.prediction, 0.7, rtol=1e-5)


def test_a_detector_that_is_never_sure_has_a_map_of_d_rise():
    """Boxes are compared before any threshold, so that hidden objects lower a similarity instead of ending it."""
    found = xaionnx.explain(ssd(), seen((1, 2, 3, 0.06)), "d_rise", budget=301, grid=4)
    assert np.isfinite(found.values).all()
    assert found.values[0].sum(axis=0)[8:12, 12:].mean() > 5 * abs(found.values[0].sum(axis=0)[:8].mean())


def mask(ends: str = "y = Sigmoid(h)", channels: int = 1, kind: str = "float") -> Model:
    shape = f"N, {channels}, 6, 6" if channels > 1 or kind == "float" else "N, 6, 6"
    text = f"""g (float[N, 1, 6, 6] x) => ({kind}[{shape}] y) {{
      c = Conv<pads = [1, 1, 1, 1]>(x, k)  f = Relu(c)  h = Conv(f, w)  {ends} }}"""
    return loaded(text, k=np.abs(drawn(3, 1, 3, 3)), w=drawn(channels, 3, 1, 1))


def test_a_mask_of_one_channel_has_no_second_class():
    model = loaded(
        "g (float[N, 1, 6, 6] x) => (float[N, 1, 6, 6] y) { h = Sub(x, half)  y = Sigmoid(h) }", half=np.float32(0.5)
    )
    x = np.zeros((1, 1, 6, 6), np.float32)
    x[..., 2:4, 2:5] = 2
    found = xaionnx.explain(model, x, "saliency", Target.segment())
    assert found.target[0] == "the mask over its 6 of 36 pixels"
    assert np.argwhere(found.values[0, 0]).tolist() == [[i, j] for i in (2, 3) for j in (2, 3, 4)]
    with pytest.raises(ParameterError, match=r"class of Target.segment must be an int in \[0, 0\]"):
        xaionnx.explain(model, x, "saliency", Target.segment(1))


def test_a_segmentation_that_returns_class_numbers_is_explained_by_its_scores():
    weights = {"k": np.abs(drawn(3, 1, 3, 3)), "w": drawn(4, 3, 1, 1)}
    head = "c = Conv<pads = [1, 1, 1, 1]>(x, k)  f = Relu(c)  h = Conv(f, w) "
    numbers = loaded(
        f"g (float[N, 1, 6, 6] x) => (int64[N, 6, 6] y) {{ {head} y = ArgMax<axis = 1, keepdims = 0>(h) }}", **weights
    )
    scores = loaded(f"g (float[N, 1, 6, 6] x) => (float[N, 4, 6, 6] y) {{ {head} y = Identity(h) }}", **weights)
    x = np.abs(drawn(1, 1, 6, 6))
    k = int(scores.run({"x": x})["y"][0].argmax(axis=0)[3, 3])
    one, other = (xaionnx.explain(model, x, "grad_cam", Target.segment(k), relu=False) for model in (numbers, scores))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.prediction, other.prediction, rtol=1e-5)
    assert np.abs(one.values).max() > 0


def test_every_frame_of_a_sequence_is_a_target_of_one_request():
    model = loaded("g (float[N, 5, 3] x) => (float[N, 5, 4] y) { y = MatMul(x, v) }", v=(v := drawn(3, 4)))
    x = drawn(2, 5, 3)
    classes = model.run({"x": x})["y"][0].argmax(axis=1)
    targets = [Target.index((frame, int(k))) for frame, k in enumerate(classes)]
    found = xaionnx.explain(model, x, "input_x_gradient", targets)
    expected = np.zeros((5, 2, 5, 3), np.float32)
    for frame, k in enumerate(classes):
        expected[frame, :, frame] = x[:, frame] * v[:, k]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)


def test_a_coordinate_of_a_regression_of_key_points_is_a_target():
    model = loaded(
        "g (float[N, 1, 4, 4] x) => (float[N, 6] y) { f = Flatten(x)  y = MatMul(f, v) }", v=(v := drawn(16, 6))
    )
    x = drawn(2, 1, 4, 4)
    found = xaionnx.explain(model, x, "integrated_gradients", Target.index(3), steps=8)
    np.testing.assert_allclose(found.values, x * v[:, 3].reshape(1, 1, 4, 4), rtol=1e-4, atol=1e-5)


def test_pictures_of_several_sizes_are_explained_one_after_the_other(tmp_path):
    text = """g (float[N, 3, h, w] x) => (float[N, 2] y) {
      c = Conv<pads = [1, 1, 1, 1]>(x, k)  f = Relu(c)  p = GlobalAveragePool(f)  y = Flatten(p) }"""
    model = with_spec(loaded(text, k=drawn(2, 3, 3, 3)), scale=255)
    for side in (12, 20):
        path = tmp_path / f"{side}.png"
        Image.fromarray(RNG.integers(0, 256, size=(side, side + 4, 3), dtype=np.uint8)).save(path)
        found = xaionnx.explain(model, path, "grad_cam", 1)
        assert found.values.shape == (1, 3, side, side + 4)
        read = model.read([path], display_side=896)
        assert read.displays[0].shape == (side, side + 4, 3)


def test_a_layer_that_only_detects_is_no_layer_to_look_at():
    """The last map of scores has a channel for each class and anchor; the features before it are mapped."""
    model, x = anchored(**OWN), np.abs(drawn(1, 3, 32, 32))
    seen = [xaionnx.explain(model, x, "grad_cam", Target.box(number=number)) for number in (4, 50)]
    assert [one.provenance["seen_at"]["name"] for one in seen] == ["f", "e"]
