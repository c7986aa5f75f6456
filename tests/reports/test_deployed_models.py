"""What people met with models as they are deployed: detectors, sound, series and sets, each on a small model.

The log is real_models.toml; the numbers of a test come from the model's own weights, or from onnxruntime alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import node, run, tensor
from xaionnx import Target
from xaionnx.errors import XaionnxError

Array = np.ndarray[Any, Any]


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def uniform(*shape: int) -> Array:
    return np.random.default_rng([1, *shape]).uniform(0.5, 1.5, shape).astype(np.float32)


CORNER = """{{
    t = {first} (x)
    c = Conv <strides = [{window}]> (t, k)
    r = Relu(c)
    m = Mul(r, mask)
    p = GlobalAveragePool(m)
    f = Flatten(p)
    z = MatMul(f, w)
    y = {last} (z) }}"""


def corner(declared: str, first: str, last: str, channels: int, window: tuple[int, ...], outputs: int) -> Any:
    """A model that reads the first of two windows along each axis, over all its channels, with equal weights."""
    text = CORNER.format(first=first, last=last, window=", ".join(map(str, window)))
    mask = np.zeros((1, 1, *(2,) * len(window)))
    mask[(0, 0, *(0,) * len(window))] = 1
    kernel = np.full((1, channels, *window), 1 / (channels * np.prod(window)))
    weights = {"k": kernel, "mask": mask, "w": np.linspace(1, 2, outputs)[None]}
    return tiny.parsed(f"g (float[{declared}] x) => (float[N, {outputs}] y) {text}", **weights)


def test_grad_cam_is_deployed_as_an_onnx_file(tmp_path):
    proto = corner("N, 3, 8, 8", "Identity", "Identity", 3, (4, 4), 2)
    x = uniform(2, 3, 8, 8)
    model = planted.load(proto, device="cpu")
    xaionnx.compile(model, "grad_cam", 1).save(tmp_path / "cam.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "cam.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x})
    values = xaionnx.explain(model, x, "grad_cam", 1).values
    assert any(array.size == values.size and np.allclose(array.ravel(), values.ravel(), atol=1e-5) for array in found)
    assert not np.any(values[..., 6:])


def test_a_small_score_of_a_one_class_machine_is_its_own_row():
    """The score of the second row is what is left of large sums, and rounded otherwise when it is alone."""
    vectors = drawn(40, 4) * 3
    machine = node(
        "SVMRegressor", ["x"], ["score"], domain="ai.onnx.ml", kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0],
        support_vectors=vectors.ravel().tolist(), coefficients=[1.0] * 40, n_supports=40, rho=[0.0], one_class=0,
        post_transform="NONE",
    )  # fmt: skip
    proto = tiny.model([machine], [tensor("x", ["N", 4])], [tensor("score", ["N", 1])], domains={"ai.onnx.ml": 1})
    weights = vectors.sum(axis=0)
    x = drawn(3, 4, seed=2)
    x[1] -= weights * (x[1] @ weights) / (weights @ weights)
    own = run(proto, {"x": x})["score"][:, 0]
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "feature_ablation", baseline=0.0)
    np.testing.assert_allclose(result.prediction, own, atol=1e-3)
    np.testing.assert_allclose(result.values, x * weights, atol=1e-2)


def test_a_value_for_each_step_of_a_sequence_sums_to_its_change():
    weights = {"w": drawn(1, 12, 3) / 2, "r": drawn(1, 12, 4) / 2, "v": drawn(4, 1), "one": np.array([1])}
    proto = tiny.parsed(
        """g (float[N, T, 3] x) => (float[N, T, 1] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            all, last = GRU <hidden_size = 4> (t, w, r)
            s = Squeeze(all, one)
            b = Transpose <perm = [1, 0, 2]> (s)
            z = MatMul(b, v)
            y = Sigmoid(z) }""",
        **weights,
    )
    x = drawn(2, 6, 3)
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "deep_lift", Target.index((3, 0)))
    change = run(proto, {"x": x})["y"][:, 3, 0] - run(proto, {"x": 0 * x})["y"][:, 3, 0]
    np.testing.assert_allclose(result.values.sum(axis=(1, 2)), change, atol=1e-5)
    assert not np.any(result.values[:, 4:])


def test_a_table_row_that_is_convolved_as_a_series_has_shapley_values():
    """Keras takes the 12 columns of a row as 12 steps of one channel."""
    proto = corner("N, 12, 1", "Transpose <perm = [0, 2, 1]>", "Sigmoid", 1, (6,), 4)
    x = uniform(2, 12, 1)
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "kernel_shap", 2, baseline=0.0)
    change = run(proto, {"x": x})["y"][:, 2] - 0.5
    np.testing.assert_allclose(result.values.sum(axis=(1, 2)), change, atol=1e-4)
    assert np.abs(result.values[:, 6:]).max() < 1e-4
    assert result.values[:, :6].min() > 1e-3


@pytest.mark.parametrize(
    ("declared", "first", "channels", "shape"),
    [
        ("N, 7, 16, 16", "Identity", 7, (1, 7, 16, 16)),
        ("N, 16, 16, 1", "Transpose <perm = [0, 3, 1, 2]>", 1, (1, 16, 16, 1)),
    ],
    ids=["seven bands", "gray, channels last"],
)
def test_lime_segments_pictures_of_any_number_of_bands(declared, first, channels, shape):
    proto = corner(declared, first, "Identity", channels, (8, 8), 2)
    x = uniform(*shape)
    settings = {"features": "grid:4", "budget": 400, "baseline": 0.0}
    values = xaionnx.explain(planted.load(proto, device="cpu"), x, "lime", 0, **settings).values[0]
    places = values[0] if channels == 7 else values[..., 0]
    assert channels == 1 or np.ptp(values, axis=0).max() == 0
    assert places[:8, :8].min() > 10 * max(np.abs(places[8:]).max(), np.abs(places[:, 8:]).max())


def test_a_single_sigmoid_has_no_second_class():
    model = planted.load(corner("N, 3, 8, 8", "Identity", "Sigmoid", 3, (4, 4), 1), device="cpu")
    x = uniform(1, 3, 8, 8)
    with pytest.raises(XaionnxError, match=r"must be an int in \[0, 0\] for 'y'\. Got 1"):
        xaionnx.explain(model, x, "occlusion", 1)
    values = xaionnx.explain(model, x, "occlusion", 0, window=4, stride=4, class_maps=False).values
    assert values[..., :4, :4].min() > 1e-3
    assert not np.any(values[..., 4:])


def test_a_window_of_a_volume_covers_all_its_channels():
    proto = corner("N, 4, 4, 8, 8", "Identity", "Identity", 4, (2, 4, 4), 2)
    x = uniform(1, 4, 4, 8, 8)
    settings = {"window": 2, "stride": 2, "class_maps": False}
    values = xaionnx.explain(planted.load(proto, device="cpu"), x, "occlusion", 0, **settings).values[0]
    assert np.ptp(values, axis=0).max() == 0
    covered = x.copy()
    covered[:, :, :2, :2, :2] = 0
    drop = (run(proto, {"x": x})["y"] - run(proto, {"x": covered})["y"])[0, 0]
    np.testing.assert_allclose(values[:, :2, :2, :2], drop, rtol=1e-4)


GRID = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(16, 2)[:, ::-1] * 4.0
CELLS = """
    c = Conv <strides = [4, 4]> (x, k)
    s = Reshape(c, rows)
    zero = MatMul(s, none)
    boxes = Add(zero, corners)
    z = MatMul(s, classes)
    scores = Sigmoid(z)"""
WEIGHTS = {
    "k": np.full((1, 3, 4, 4), 1 / 48),
    "none": np.zeros((1, 4)),
    "corners": np.concatenate([GRID, GRID + 4], axis=1)[None],
    "classes": [[2.0, 1.0, 0.5]],
    "rows": np.array([-1, 16, 1]),
}


@pytest.fixture
def picture() -> Array:
    x = np.random.default_rng(3).uniform(0, 0.2, (1, 3, 16, 16)).astype(np.float32)
    x[:, :, 4:8, 8:12] = 1
    return x


@pytest.mark.parametrize("method", ["saliency", "occlusion", "d_rise"])
def test_the_rows_of_an_end_to_end_detector_are_boxes(picture, method):
    """Rows (N, M, 6) of corners, score and class, in places that change with the picture."""
    proto = tiny.parsed(
        "g (float[N, 3, 16, 16] x) => (float[N, 5, 6] output0) {" + CELLS + """
            best = ReduceMax <axes = [2], keepdims = 0> (scores)
            v, i = TopK <axis = 1> (best, five)
            i1 = Unsqueeze(i, two)
            i4 = Tile(i1, four)
            b = GatherElements <axis = 1> (boxes, i4)
            v1 = Unsqueeze(v, two)
            label = ArgMax <axis = 2, keepdims = 1> (scores)
            l1 = GatherElements <axis = 1> (label, i1)
            l2 = Cast <to = 1> (l1)
            output0 = Concat <axis = 2> (b, v1, l2) }""",
        **WEIGHTS, five=np.array([5]), two=np.array([2]), four=np.array([1, 1, 4]),
    )  # fmt: skip
    settings: dict[str, Any] = {"budget": 300} if method == "d_rise" else {}
    if method == "occlusion":
        settings = {"window": 4, "stride": 4, "class_maps": False, "baseline": 0.0}
    result = xaionnx.explain(planted.load(proto, device="cpu"), picture, method, **settings)
    assert "class 0 in box" in result.target[0]
    inside = np.abs(result.values[..., 4:8, 8:12]).mean()
    outside = np.abs(result.values).sum() - 48 * inside
    assert inside > 1.3 * outside / (768 - 48)
    if method != "d_rise":
        assert outside < 1e-4 * inside


def test_boxes_and_scores_without_a_batch_axis_are_of_one_picture(picture):
    """Scores (B, K) and boxes (B, 4), as the exports of YOLOv3 have them."""
    proto = tiny.parsed(
        "g (float[1, 3, 16, 16] x) => (float[16, 3] scores0, float[16, 4] boxes0) {" + CELLS + """
            scores0 = Squeeze(scores, first)
            boxes0 = Squeeze(boxes, first) }""",
        **WEIGHTS, first=np.array([0]),
    )  # fmt: skip
    model = planted.load(proto, device="cpu")
    result = xaionnx.explain(model, picture, "saliency", Target.index((6, 0), output="scores0"))
    assert not np.any(result.values[..., :4, :])
    assert result.values[..., 4:8, 8:12].min() > 0
    assert result.prediction == pytest.approx(run(proto, {"x": picture})["scores0"][6:7, 0])


def test_molecules_of_a_batch_that_attend_to_each_other_are_found():
    """A transformer that takes time first is fed samples first: each molecule attends to those beside it."""
    proto = tiny.parsed(
        """g (float[N, T, 4] x) => (float[N, 2] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            k = Transpose <perm = [0, 2, 1]> (t)
            s = MatMul(t, k)
            a = Softmax <axis = -1> (s)
            v = MatMul(a, t)
            m = ReduceMean <axes = [0], keepdims = 0> (v)
            y = MatMul(m, w) }""",
        w=drawn(4, 2),
    )
    x = drawn(3, 5, 4)
    model = planted.load(proto, device="cpu")
    with pytest.raises(XaionnxError, match="depends on the other rows"):
        xaionnx.explain(model, x, "integrated_gradients", 1)
    result = xaionnx.explain(model, x, "feature_ablation", Target.index((2, 1)), baseline=0.0)
    own = run(proto, {"x": x})["y"]
    assert result.prediction == pytest.approx(own[2:, 1], rel=1e-5)
    changed = x.copy()
    changed[0, 0, 0] = 0
    np.testing.assert_allclose(result.values[0, 0, 0], own[2, 1] - run(proto, {"x": changed})["y"][2, 1], atol=1e-5)
    assert np.abs(result.values[0]).max() > 1e-3


def test_strings_of_classes_name_the_scores_of_a_map():
    """ZipMap answers maps by label; the same scores are explained by name."""
    made = node("LinearClassifier", ["x"], ["label", "p"], domain="ai.onnx.ml", coefficients=[1.0, 0.0, 0.0, 1.0],
                intercepts=[0.0, 0.0], classlabels_strings=["cat", "dog"], post_transform="SOFTMAX")  # fmt: skip
    mapped = node("ZipMap", ["p"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"])
    outputs = [tensor("label", ["N"], TensorProto.STRING)]
    proto = tiny.model([made, mapped], [tensor("x", ["N", 2])], outputs, domains={"ai.onnx.ml": 1})
    scores = proto.graph.output.add()
    scores.name = "scores"
    scores.type.sequence_type.elem_type.map_type.key_type = TensorProto.STRING
    scores.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    model = planted.load(proto, device="cpu")
    x = np.array([[2.0, 1.0], [0.0, 3.0]], np.float32)
    result = xaionnx.explain(model, x, "exact_shapley", baseline=0.0)
    assert [name.split()[0] for name in result.target] == ["cat", "dog"]
    found = run(proto, {"x": x})
    assert result.prediction == pytest.approx([found["scores"][0]["cat"], found["scores"][1]["dog"]])
    by_name = xaionnx.explain(model, x, "exact_shapley", "dog", baseline=0.0)
    assert by_name.prediction == pytest.approx([one["dog"] for one in found["scores"]])
    np.testing.assert_allclose(by_name.values.sum(axis=1), by_name.prediction - 0.5, atol=1e-6)


def test_boxes_without_a_batch_axis_are_no_samples(picture):
    proto = tiny.parsed(
        "g (float[1, 3, 16, 16] x) => (float[16, 3] scores0) {" + CELLS + " scores0 = Squeeze(scores, first) }",
        **WEIGHTS, first=np.array([0]),
    )  # fmt: skip
    model = planted.load(proto, device="cpu")
    for method in ("saliency", "occlusion", "grad_cam"):
        with pytest.raises(XaionnxError, match=r"shape \(N, 16, 3\), not one axis of classes|\(N, 16, 3\)"):
            xaionnx.explain(model, picture, method, 1)


def test_the_score_beside_a_label_is_explained():
    """An isolation forest answers -1 or 1, and how far a row is from the border; trees are summed as exporters do."""
    trees = tiny.tree(None)
    trees.output[0] = "depth"
    nodes = [trees, node("Sub", ["depth", "border"], ["scores"]), node("Sign", ["scores"], ["sign"])]
    nodes.append(node("Cast", ["sign"], ["label"], to=TensorProto.INT64))
    outputs = [tensor("label", ["N", 1], TensorProto.INT64), tensor("scores", ["N", 1])]
    weights = {"border": np.float32(12)}
    proto = tiny.model(nodes, [tensor("x", ["N", 2])], outputs, weights, domains={"ai.onnx.ml": 3})
    x = np.array([[0.0, 5.0], [1.0, 5.0]], np.float32)
    result = xaionnx.explain(planted.load(proto, device="cpu"), x, "exact_shapley", baseline=0.7)
    assert result.prediction.tolist() == [-2, 8]
    np.testing.assert_allclose(result.values, [[-10, 0], [0, 0]])
