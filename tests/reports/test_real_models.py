"""What people met when they explained real models with other tools: each on a small model that stands for it.

The log is real_models.toml; the numbers of a test come from the model's own weights, or from onnxruntime alone.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import xaionnx
from tests.tiny import model as made
from tests.tiny import node, run, tensor
from xaionnx import Model, Target
from xaionnx.errors import XaionnxError

Array = np.ndarray[Any, Any]


@pytest.fixture
def opened(tmp_path):
    """Save a model and open it."""

    def save(proto: onnx.ModelProto) -> Model:
        path = tmp_path / "model.onnx"
        onnx.save(proto, path)
        return Model.load(path)

    return save


def written(text: str, **weights: Any) -> onnx.ModelProto:
    """A model in ONNX's text form, with weights by name."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]> g {text}')
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items())
    return proto


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def slopes(proto: onnx.ModelProto, feeds: dict[str, Array], name: str, output: str, index: Any) -> Array:
    """Central differences of one element of an output, in onnxruntime alone."""
    found = np.zeros(feeds[name].shape)
    for place in np.ndindex(*found.shape):
        ends = []
        for step in (1e-2, -1e-2):
            moved = feeds[name].copy()
            moved[place] += step
            ends.append(float(run(proto, {**feeds, name: moved})[output][index]))
        found[place] = (ends[0] - ends[1]) / 2e-2
    return found


def recurrent(op: str, size: int, hidden: int, seed: int = 0) -> dict[str, Array]:
    """Weights of an LSTM or GRU of one direction."""
    gates = {"LSTM": 4, "GRU": 3}[op] * hidden
    return {"w": drawn(1, gates, size, seed=seed) / 2, "r": drawn(1, gates, hidden, seed=seed + 1) / 2}


# time, batch, states -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_deep_lift_of_a_recurrent_net_sums_to_the_change(opened, op):
    proto = written(
        f"""(float[N, T, 3] x) => (float[N, 4] y) {{
            t = Transpose <perm = [1, 0, 2]> (x)
            s, last = {op} <hidden_size = 4> (t, w, r)
            axis = Constant <value = int64[1] {{0}}> ()
            y = Squeeze(last, axis) }}""",
        **recurrent(op, 3, 4),
    )
    x = drawn(2, 5, 3)
    result = xaionnx.explain(opened(proto), x, "deep_lift", 0)
    change = run(proto, {"x": x})["y"][:, 0] - run(proto, {"x": 0 * x})["y"][:, 0]
    np.testing.assert_allclose(result.values.sum(axis=(1, 2)), change, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_relevance_passes_a_recurrent_net(opened, op):
    proto = written(
        f"""(float[N, T, 3] x) => (float[N, 4] y) {{
            t = Transpose <perm = [1, 0, 2]> (x)
            s, last = {op} <hidden_size = 4> (t, w, r)
            axis = Constant <value = int64[1] {{0}}> ()
            y = Squeeze(last, axis) }}""",
        **recurrent(op, 3, 4),
    )
    result = xaionnx.explain(opened(proto), drawn(1, 5, 3), "lrp", 0, composite="epsilon")
    # Without biases the first state is 0 and nothing is absorbed but by the stabiliser.
    np.testing.assert_allclose(result.values.sum(), result.prediction[0], rtol=1e-3)


def test_a_recurrent_net_with_time_first(opened):
    weights = recurrent("LSTM", 3, 4)
    proto = written(
        """(float[T, N, 3] x) => (float[N, 4] y) {
            h, last, c = LSTM <hidden_size = 4> (x, w, r)
            axis = Constant <value = int64[1] {0}> ()
            y = Squeeze(last, axis) }""",
        **weights,
    )
    x = drawn(5, 2, 3)
    result = xaionnx.explain(opened(proto), x, "integrated_gradients", 1, steps=64)
    assert result.values.shape == x.shape
    assert result.prediction.shape == (2,)
    change = run(proto, {"x": x})["y"][:, 1] - run(proto, {"x": 0 * x})["y"][:, 1]
    np.testing.assert_allclose(result.values.sum(axis=(0, 2)), change, rtol=1e-3)


def test_states_of_a_recurrent_net_belong_to_their_sample(opened):
    proto = written(
        """(float[N, T, 3] x, float[1, N, 4] h) => (float[N, 4] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            s, last = GRU <hidden_size = 4> (t, w, r, , , h)
            axis = Constant <value = int64[1] {0}> ()
            y = Squeeze(last, axis) }""",
        **recurrent("GRU", 3, 4),
    )
    model, x, h = opened(proto), drawn(2, 6, 3), drawn(1, 2, 4)
    result = xaionnx.explain(model, {"x": x, "h": h}, "occlusion", 0, window=2, stride=2, class_maps=False)
    for sample in range(2):
        feeds = {"x": x[sample : sample + 1], "h": h[:, sample : sample + 1]}
        for start in (0, 2, 4):
            covered = feeds["x"].copy()
            covered[:, start : start + 2] = 0
            drop = (run(proto, feeds)["y"] - run(proto, {**feeds, "x": covered})["y"])[0, 0]
            np.testing.assert_allclose(result.values[sample, start : start + 2], drop, atol=1e-6)


def test_windows_of_a_series_run_along_time(opened):
    proto = written(
        """(float[N, T, 4] x) => (float[N, 3] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            s, last, c = LSTM <hidden_size = 3> (t, w, r)
            axis = Constant <value = int64[1] {0}> ()
            y = Squeeze(last, axis) }""",
        **recurrent("LSTM", 4, 3),
    )
    model, x = opened(proto), drawn(1, 6, 4)
    occlusion = xaionnx.explain(model, x, "occlusion", 0, window=2, stride=2, class_maps=False)
    # A window covers all features of its steps.
    assert np.ptp(occlusion.values, axis=2).max() == 0
    for start in (0, 2, 4):
        covered = x.copy()
        covered[:, start : start + 2] = 0
        drop = (run(proto, {"x": x})["y"] - run(proto, {"x": covered})["y"])[0, 0]
        np.testing.assert_allclose(occlusion.values[0, start : start + 2], drop, atol=1e-6)
    rise = xaionnx.explain(model, x, "rise", 0, budget=200)
    assert np.ptp(rise.values, axis=2).max() == pytest.approx(0, abs=1e-7)


def test_towers_with_shared_weights_are_told_apart(opened):
    proto = written(
        """(float[N, 1, 8, 8] a, float[N, 1, 8, 8] b) => (float[N, 1] y) {
            fa = Conv <kernel_shape = [4, 4], strides = [4, 4]> (a, k)
            fb = Conv <kernel_shape = [4, 4], strides = [4, 4]> (b, k)
            ra = Relu(fa)
            rb = Relu(fb)
            p = Mul(ra, rb)
            s = GlobalAveragePool(p)
            y = Flatten(s) }""",
        k=np.abs(drawn(2, 1, 4, 4)),
    )
    feeds = {"a": np.abs(drawn(1, 1, 8, 8)), "b": np.abs(drawn(1, 1, 8, 8, seed=1))}
    feeds["b"][..., :4, :] = 0  # so that the upper half of `a` cannot matter
    result = xaionnx.explain(opened(proto), feeds, "integrated_gradients", 0, steps=32)
    assert not np.any(result.values["a"][..., :4, :])
    assert sum(array.sum() for array in result.values.values()) == pytest.approx(result.prediction[0], rel=1e-3)
    cam = xaionnx.explain(opened(proto), feeds, "hi_res_cam", 0, layer="ra").maps["cam"]
    assert cam.shape == (1, 2, 2)
    assert not np.any(cam[0, 0])
    assert np.all(cam[0, 1] > 0)


def test_one_step_of_an_output_over_time(opened):
    proto = written(
        """(float[N, T, 3] x) => (float[N, T, 2] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            s, last, c = LSTM <hidden_size = 4> (t, w, r)
            axis = Constant <value = int64[1] {1}> ()
            h = Squeeze(s, axis)
            k = MatMul(h, head)
            y = Transpose <perm = [1, 0, 2]> (k) }""",
        **recurrent("LSTM", 3, 4),
        head=drawn(4, 2),
    )
    x = drawn(1, 5, 3)
    result = xaionnx.explain(opened(proto), x, "saliency", Target.index((2, 1)), absolute=False)
    np.testing.assert_allclose(result.values, slopes(proto, {"x": x}, "x", "y", (0, 2, 1)), atol=2e-4)
    # Steps that come later cannot matter.
    assert not np.any(result.values[0, 3:])


# pictures, volumes, bands ------------------------------------------------------------------------------------------


def corner(channels: int, *sides: int) -> onnx.ModelProto:
    """A convolutional net over any number of axes of space that sees the first eight places of each alone."""
    space = len(sides)
    kernel = np.ones((1, channels, *(8,) * space), np.float32) / (channels * 8**space)
    seen = np.zeros((1, 1, *(side // 8 for side in sides)), np.float32)
    seen[(0,) * seen.ndim] = 1
    nodes = [
        node("Conv", ["x", "kernel"], ["a"], kernel_shape=[8] * space, strides=[8] * space),
        node("Relu", ["a"], ["b"]),
        node("Mul", ["b", "seen"], ["c"]),
        node("GlobalAveragePool", ["c"], ["d"]),
        node("Flatten", ["d"], ["y"]),
    ]
    return made(
        nodes, [tensor("x", ["N", channels, *sides])], [tensor("y", ["N", 1])], {"kernel": kernel, "seen": seen}
    )


@pytest.mark.parametrize(
    ("channels", "sides"), [(5, (32, 32)), (2, (32, 32)), (13, (32, 24)), (1, (16, 16, 24)), (4, (40,))]
)
@pytest.mark.parametrize("method", ["occlusion", "rise", "lime"])
def test_any_number_of_channels_and_axes(opened, channels, sides, method):
    x = 1 + 0.1 * drawn(1, channels, *sides) ** 2
    settings: dict[str, Any] = {
        "occlusion": {"window": 8, "stride": 8},
        "rise": {"budget": 300},
        "lime": {
            "features": sum((np.indices(sides)[axis] // 8) * 10**axis for axis in range(len(sides))),
            "budget": 400,
        },
    }[method]
    result = xaionnx.explain(opened(corner(channels, *sides)), x, method, 0, **settings)
    by_place = result.values[0]
    assert by_place.shape == (channels, *sides)
    # What is removed is all channels of a place.
    assert np.ptp(by_place, axis=0).max() <= 1e-6 * np.abs(by_place).max()
    assert max(np.unravel_index(by_place[0].argmax(), sides)) < 8


def test_channels_of_a_picture_stand_where_the_convolution_says(opened):
    kernel = np.zeros((1, 3, 4, 4), np.float32)
    kernel[0, 0] = 1
    proto = written(
        """(float[N, 12, 16, 3] x) => (float[N, 1] y) {
            t = Transpose <perm = [0, 3, 1, 2]> (x)
            a = Conv <kernel_shape = [4, 4], strides = [4, 4]> (t, k)
            b = Mul(a, m)
            c = GlobalMaxPool(b)
            y = Flatten(c) }""",
        k=kernel,
        m=np.eye(1, 12, dtype=np.float32).reshape(1, 1, 3, 4),
    )
    x = 1 + np.abs(drawn(1, 12, 16, 3))
    result = xaionnx.explain(opened(proto), x, "occlusion", 0, window=4, stride=4)
    assert np.ptp(result.values, axis=3).max() == 0
    assert np.unravel_index(result.values[0, ..., 0].argmax(), (12, 16)) == (0, 0)
    assert not np.any(result.values[0, 4:])


def test_a_single_probability_is_explained_as_it_is(opened):
    proto = written(
        "(float[N, 4] x) => (float[N, 1] y) { a = MatMul(x, w) y = Sigmoid(a) }", w=np.float32([[1], [-2], [0], [3]])
    )
    x = np.float32([[1, 1, 1, -1]])
    result = xaionnx.explain(opened(proto), x, "feature_ablation")
    p = run(proto, {"x": x})["y"][0, 0]
    by_hand = [p - run(proto, {"x": np.where(np.arange(4) == i, 0, x).astype(np.float32)})["y"][0, 0] for i in range(4)]
    assert result.prediction[0] == pytest.approx(p)
    np.testing.assert_allclose(result.feature_values[0], by_hand, atol=1e-6)


# detectors, keypoints ----------------------------------------------------------------------------------------------


def two_heads() -> onnx.ModelProto:
    """Boxes of two strides: 16 of a fine map, and 4 of a coarse one that is made of the fine."""
    return written(
        """(float[N, 3, 16, 16] x) => (float[N, 5, 20] boxes) {
            a = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, k)
            fine = Relu(a)
            b = Conv <kernel_shape = [2, 2], strides = [2, 2]> (fine, k2)
            coarse = Relu(b)
            hf = Conv <kernel_shape = [1, 1]> (fine, head)
            hc = Conv <kernel_shape = [1, 1]> (coarse, head)
            sf = Constant <value = int64[3] {0, 5, 16}> ()
            sc = Constant <value = int64[3] {0, 5, 4}> ()
            f = Reshape(hf, sf)
            c = Reshape(hc, sc)
            boxes = Concat <axis = 2> (f, c) }""",
        k=np.abs(drawn(4, 3, 4, 4)),
        k2=np.abs(drawn(4, 4, 2, 2)),
        head=np.abs(drawn(5, 4, 1, 1)),
    )


@pytest.mark.parametrize(("box", "cell", "side"), [(5, (1, 1), 4), (17, (0, 1), 2)])
def test_the_map_of_a_box_is_that_of_its_own_head(opened, box, cell, side):
    x = np.abs(drawn(1, 3, 16, 16))
    result = xaionnx.explain(opened(two_heads()), x, "hi_res_cam", Target.index((4, box)))
    cam = result.maps["cam"][0]
    assert cam.shape == (side, side)
    assert np.unravel_index(cam.argmax(), cam.shape) == cell
    # One box of these heads sees one place of its map.
    assert np.count_nonzero(cam) == 1


def test_a_layer_that_the_box_does_not_depend_on_is_refused(opened):
    with pytest.raises(XaionnxError, match="does not depend on"):
        xaionnx.explain(
            opened(two_heads()), np.abs(drawn(1, 3, 16, 16)), "grad_cam", Target.index((4, 5)), layer="coarse"
        )


def test_every_box_is_a_target_of_removal(opened):
    proto, x = two_heads(), np.abs(drawn(1, 3, 16, 16))
    targets = [Target.index((4, box)) for box in (0, 19)]
    result = xaionnx.explain(opened(proto), x, "occlusion", targets, window=8, stride=8, class_maps=False)
    for number, box in enumerate((0, 19)):
        for top, left in itertools.product((0, 8), (0, 8)):
            covered = x.copy()
            covered[:, :, top : top + 8, left : left + 8] = 0
            drop = (run(proto, {"x": x})["boxes"] - run(proto, {"x": covered})["boxes"])[0, 4, box]
            np.testing.assert_allclose(
                result.values[number, 0, :, top : top + 8, left : left + 8], drop, rtol=1e-5, atol=1e-5
            )


# several inputs ----------------------------------------------------------------------------------------------------


def series_and_table() -> onnx.ModelProto:
    return written(
        """(float[N, T, 3] seq, float[N, 4] other) => (float[N, 1] y) {
            t = Transpose <perm = [1, 0, 2]> (seq)
            s, last, c = LSTM <hidden_size = 4> (t, w, r)
            axis = Constant <value = int64[1] {0}> ()
            h = Squeeze(last, axis)
            both = Concat <axis = 1> (h, other)
            a = MatMul(both, head)
            y = Sigmoid(a) }""",
        **recurrent("LSTM", 3, 4),
        head=drawn(8, 1),
    )


def test_contributions_over_two_inputs_sum_to_the_change(opened):
    proto, feeds = series_and_table(), {"seq": drawn(2, 5, 3), "other": drawn(2, 4)}
    result = xaionnx.explain(opened(proto), feeds, "integrated_gradients", 0, steps=64)
    assert {name: array.shape for name, array in result.values.items()} == {"seq": (2, 5, 3), "other": (2, 4)}
    change = run(proto, feeds)["y"] - run(proto, {name: 0 * array for name, array in feeds.items()})["y"]
    total = result.values["seq"].sum(axis=(1, 2)) + result.values["other"].sum(axis=1)
    np.testing.assert_allclose(total, change[:, 0], rtol=1e-3)


def test_removal_counts_the_players_of_every_input(opened):
    proto, feeds = series_and_table(), {"seq": drawn(1, 4, 3), "other": drawn(1, 4)}
    groups = {"seq": np.arange(4)[:, None] // 2 * np.ones((1, 3), int), "other": np.array([2, 2, 3, 3])}
    result = xaionnx.explain(opened(proto), feeds, "exact_shapley", 0, features=groups)
    assert result.feature_values.shape == (1, 4)
    worth = {}
    for kept in itertools.product((False, True), repeat=4):
        shown = {name: np.where(np.array(kept)[groups[name]], feeds[name], 0).astype(np.float32) for name in feeds}
        worth[kept] = run(proto, shown)["y"][0, 0]
    for player in range(4):
        total = 0.0
        for order in itertools.permutations(range(4)):
            before = tuple(order.index(other) < order.index(player) for other in range(4))
            after = tuple(order.index(other) <= order.index(player) for other in range(4))
            total += (worth[after] - worth[before]) / 24
        assert result.feature_values[0, player] == pytest.approx(total, abs=1e-6)


def test_two_pictures_of_one_model_have_values_each(opened):
    proto = written(
        """(float[N, 3, 8, 8] rgb, float[N, 1, 8, 8] depth) => (float[N, 2] y) {
            a = Conv <kernel_shape = [4, 4], strides = [4, 4]> (rgb, k)
            b = Conv <kernel_shape = [4, 4], strides = [4, 4]> (depth, k2)
            c = Concat <axis = 1> (a, b)
            d = Relu(c)
            p = GlobalAveragePool(d)
            f = Flatten(p)
            y = MatMul(f, head) }""",
        k=drawn(2, 3, 4, 4),
        k2=drawn(2, 1, 4, 4),
        head=drawn(4, 2),
    )
    feeds = {"rgb": drawn(1, 3, 8, 8), "depth": drawn(1, 1, 8, 8)}
    result = xaionnx.explain(opened(proto), feeds, "saliency", 1, absolute=False)
    for name in feeds:
        np.testing.assert_allclose(result.values[name], slopes(proto, feeds, name, "y", (0, 1)), atol=3e-3)


def test_the_similarity_to_another_embedding(opened):
    proto = written(
        """(float[N, 4] x) => (float[N, 3] e) { h = MatMul(x, w) e = Tanh(h) }""",
        w=drawn(4, 3),
    )
    x, other = drawn(1, 4), drawn(1, 4, seed=1)
    reference = run(proto, {"x": other})["e"][0]

    def dot(row: Array) -> float:
        return float(run(proto, {"x": row})["e"][0] @ reference)

    model = opened(proto)
    result = xaionnx.explain(model, x, "saliency", [0, 1, 2], absolute=False)
    combined = np.tensordot(reference, result.values, axes=1)
    by_hand = [(dot(x + 1e-2 * row) - dot(x - 1e-2 * row)) / 2e-2 for row in np.eye(4, dtype=np.float32)]
    np.testing.assert_allclose(combined[0], by_hand, atol=2e-3)


# tokens and masks --------------------------------------------------------------------------------------------------


def masked_words() -> onnx.ModelProto:
    """The mean of the embeddings of the words that the mask keeps."""
    return written(
        """(int64[N, T] input_ids, int64[N, T] attention_mask) => (float[N, 2] y) {
            e = Gather(table, input_ids)
            m = Cast <to = 1> (attention_mask)
            axis = Constant <value = int64[1] {2}> ()
            one = Constant <value = int64[1] {1}> ()
            w = Unsqueeze(m, axis)
            kept = Mul(e, w)
            total = ReduceSum <keepdims = 0> (kept, one)
            count = ReduceSum <keepdims = 1> (m, one)
            mean = Div(total, count)
            y = MatMul(mean, head) }""",
        table=drawn(10, 3),
        head=drawn(3, 2),
    )


def test_a_mask_is_kept_while_words_change(opened):
    feeds = {"input_ids": np.array([[3, 5, 7, 0]]), "attention_mask": np.array([[1, 1, 1, 0]])}
    proto = masked_words()
    model = opened(proto)
    result = xaionnx.explain(model, feeds, "integrated_gradients", 0)
    table, head = (numpy_helper.to_array(w) for w in proto.graph.initializer)
    # Linear in the embedding, and a third of each word that is kept; the path starts at word 0.
    np.testing.assert_allclose(result.values[0, :3], (table[[3, 5, 7]] - table[0]) * head[:, 0] / 3, atol=1e-6)
    assert not np.any(result.values[0, 3])
    ablated = xaionnx.explain(model, feeds, "feature_ablation", 0, baseline=0)
    values = ablated.values if not isinstance(ablated.values, dict) else ablated.values["input_ids"]
    assert values.shape == (1, 4)
    np.testing.assert_allclose(values[0, :3], ((table[[3, 5, 7]] - table[0]) @ head[:, 0]) / 3, atol=1e-6)
    assert values[0, 3] == pytest.approx(0, abs=1e-7)


def test_whole_numbers_into_an_embedding_and_a_recurrent_net(opened):
    proto = written(
        """(int32[N, T] words) => (float[N, 1] y) {
            e = Gather(table, words)
            t = Transpose <perm = [1, 0, 2]> (e)
            s, last, c = LSTM <hidden_size = 4> (t, w, r)
            axis = Constant <value = int64[1] {0}> ()
            h = Squeeze(last, axis)
            a = MatMul(h, head)
            y = Sigmoid(a) }""",
        table=drawn(12, 3),
        head=drawn(4, 1),
        **recurrent("LSTM", 3, 4),
    )
    words = np.array([[4, 9, 2, 7]], dtype=np.int32)
    result = xaionnx.explain(opened(proto), words, "integrated_gradients", 0, baseline=0, steps=64)
    assert result.values.shape == (1, 4, 3)
    change = run(proto, {"words": words})["y"] - run(proto, {"words": 0 * words})["y"]
    assert result.values.sum() == pytest.approx(change[0, 0], rel=1e-3)


def test_a_batch_inside_the_graph_may_be_fixed(opened):
    """A view of heads of attention that was exported with its batch of one written into it."""
    proto = written(
        """(float[1, 3, 4] x) => (float[1, 2] y) {
            q = MatMul(x, wq)
            heads = Constant <value = int64[3] {2, 3, 2}> ()
            split = Reshape(q, heads)
            scores = Softmax <axis = -1> (split)
            back = Constant <value = int64[2] {1, 12}> ()
            flat = Reshape(scores, back)
            y = MatMul(flat, head) }""",
        wq=drawn(4, 4),
        head=drawn(12, 2),
    )
    x = drawn(1, 3, 4)
    result = xaionnx.explain(opened(proto), x, "integrated_gradients", 1, steps=64)
    change = run(proto, {"x": x})["y"] - run(proto, {"x": 0 * x})["y"]
    assert result.values.sum() == pytest.approx(change[0, 1], rel=1e-3)
    ablated = xaionnx.explain(opened(proto), x, "feature_ablation", 1)
    for place in np.ndindex(3, 4):
        removed = x.copy()
        removed[(0, *place)] = 0
        drop = (run(proto, {"x": x})["y"] - run(proto, {"x": removed})["y"])[0, 1]
        assert ablated.values[(0, *place)] == pytest.approx(drop, abs=1e-6)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "deep_lift", "lrp", "occlusion"])
def test_a_batch_is_explained_as_its_samples_are(opened, method):
    proto = written(
        """(float[N, 3, 8] x) => (float[N, 2] y) {
            a = Conv <kernel_shape = [3], pads = [1, 1]> (x, k)
            b = Relu(a)
            p = GlobalAveragePool(b)
            f = Flatten(p)
            y = MatMul(f, head) }""",
        k=drawn(4, 3, 3),
        head=drawn(4, 2),
    )
    model, x = opened(proto), drawn(3, 3, 8)
    together = xaionnx.explain(model, x, method, [0, 1])
    for sample in range(3):
        alone = xaionnx.explain(model, x[sample : sample + 1], method, [0, 1])
        np.testing.assert_allclose(together.values[:, sample], alone.values[:, 0], rtol=1e-4, atol=1e-6)


def test_a_loss_does_not_couple_the_samples_of_a_batch(opened):
    proto = written("(float[N, 3] x) => (float[N, 3] y) { y = MatMul(x, w) }", w=drawn(3, 3))
    model, x = opened(proto), drawn(2, 3)
    result = xaionnx.explain(model, x, "saliency", Target.loss([0, 2]), absolute=False)
    w = numpy_helper.to_array(proto.graph.initializer[0])
    logits = x @ w
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result.values, (p - np.eye(3)[[0, 2]]) @ w.T, atol=1e-5)


# relevance and references ------------------------------------------------------------------------------------------


def test_relevance_of_a_probability_behind_a_softmax(opened):
    proto = written("(float[N, 3] x) => (float[N, 3] y) { z = MatMul(x, w) y = Softmax(z) }", w=drawn(3, 3))
    x = drawn(1, 3)
    result = xaionnx.explain(opened(proto), x, "lrp", 1, composite="epsilon")
    w = numpy_helper.to_array(proto.graph.initializer[0])
    share = x[0] * w[:, 1] / (x[0] @ w[:, 1])
    np.testing.assert_allclose(result.values[0], share * run(proto, {"x": x})["y"][0, 1], rtol=1e-4)


def test_relevance_of_a_sum_of_two_branches_is_shared(opened):
    proto = written(
        """(float[N, 3] x) => (float[N, 2] y) {
            a = MatMul(x, w) b = Relu(a) c = MatMul(x, v) d = Add(b, c) y = MatMul(d, u) }""",
        w=np.abs(drawn(3, 3)),
        v=np.abs(drawn(3, 3, seed=1)),
        u=np.abs(drawn(3, 2)),
    )
    x = np.abs(drawn(1, 3))
    result = xaionnx.explain(opened(proto), x, "lrp", 0, composite="epsilon")
    w, v, u = (numpy_helper.to_array(each) for each in proto.graph.initializer)
    np.testing.assert_allclose(result.values[0], x[0] * ((w + v) @ u[:, 0]), rtol=1e-4)
    assert result.values.sum() == pytest.approx(result.prediction[0], rel=1e-4)


def test_deep_lift_of_a_layer_norm_where_an_element_equals_its_reference(opened):
    nodes = [node("LayerNormalization", ["x", "g", "b"], ["n"]), node("MatMul", ["n", "w"], ["y"])]
    weights = {"g": np.ones(3, np.float32), "b": np.zeros(3, np.float32), "w": drawn(3, 1)}
    proto = made(nodes, [tensor("x", ["N", 3])], [tensor("y", ["N", 1])], weights)
    x, baseline = np.float32([[1, 2, -0.5]]), np.float32([[1, -1, 0.5]])
    result = xaionnx.explain(opened(proto), x, "deep_lift", 0, baseline=baseline)
    change = run(proto, {"x": x})["y"] - run(proto, {"x": baseline})["y"]
    assert result.values.sum() == pytest.approx(change[0, 0], rel=1e-3)


# tables ------------------------------------------------------------------------------------------------------------


def stump(missing_left: int) -> onnx.ModelProto:
    """Two trees of one split each: x0 <= 0 gives -1, else 2; x1 <= 1 gives 10, else 20."""
    nodes = [
        node(
            "TreeEnsembleRegressor",
            ["x"],
            ["y"],
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=[0, 0, 0, 1, 1, 1],
            nodes_nodeids=[0, 1, 2, 0, 1, 2],
            nodes_featureids=[0, 0, 0, 1, 0, 0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
            nodes_values=[0.0, 0, 0, 1.0, 0, 0],
            nodes_truenodeids=[1, 0, 0, 1, 0, 0],
            nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
            nodes_missing_value_tracks_true=[missing_left, 0, 0, missing_left, 0, 0],
            target_treeids=[0, 0, 1, 1],
            target_nodeids=[1, 2, 1, 2],
            target_ids=[0, 0, 0, 0],
            target_weights=[-1.0, 2.0, 10.0, 20.0],
        )
    ]
    return made(nodes, [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 3})


def test_trees_of_an_onnx_file_have_exact_shapley_values(opened):
    result = xaionnx.explain(opened(stump(0)), np.float32([[3, 4]]), "kernel_shap", 0, baseline=0)
    np.testing.assert_allclose(result.feature_values[0], [3, 10], atol=1e-5)


def test_a_missing_value_as_the_reference(opened):
    proto = stump(1)
    x = np.float32([[3, 4]])
    result = xaionnx.explain(opened(proto), x, "kernel_shap", 0, baseline=float("nan"))
    empty = run(proto, {"x": np.full((1, 2), np.nan, np.float32)})["y"][0, 0]
    assert empty == 9
    np.testing.assert_allclose(result.feature_values[0], [3, 10], atol=1e-5)


def test_a_row_with_a_missing_value(opened):
    x = np.float32([[np.nan, 4]])
    result = xaionnx.explain(opened(stump(1)), x, "feature_ablation", 0, baseline=np.float32([[3, 0]]))
    np.testing.assert_allclose(result.feature_values[0], [-3, 10], atol=1e-5)


# shapes that are not series -----------------------------------------------------------------------------------------


def test_a_matrix_is_no_series_of_columns(opened):
    """Height and width of a plain matrix: a map of both, not one number a row."""
    proto = written(
        """(float[N, 6, 8] x) => (float[N, 1] y) {
            axis = Constant <value = int64[1] {1}> ()
            c = Unsqueeze(x, axis)
            a = Conv <kernel_shape = [2, 2], strides = [2, 2]> (c, k)
            b = Mul(a, m)
            p = GlobalMaxPool(b)
            y = Flatten(p) }""",
        k=np.ones((1, 1, 2, 2), np.float32),
        m=np.eye(1, 12, 5, dtype=np.float32).reshape(1, 1, 3, 4),
    )
    x = 1 + np.abs(drawn(1, 6, 8))
    result = xaionnx.explain(opened(proto), x, "feature_ablation", 0, features="elements")
    values = result.values[0]
    assert np.count_nonzero(values) == 4
    assert np.all(values[2:4, 2:4] > 0)


def test_rows_and_columns_at_once_are_players(opened):
    proto = written("(float[N, 3, 4] x) => (float[N, 1] y) { f = Flatten(x) y = MatMul(f, w) }", w=drawn(12, 1))
    x = drawn(1, 3, 4)
    w = numpy_helper.to_array(proto.graph.initializer[0]).reshape(3, 4)
    model = opened(proto)
    rows = xaionnx.explain(model, x, "feature_ablation", 0, features=np.arange(3)[:, None])
    columns = xaionnx.explain(model, x, "feature_ablation", 0, features=np.arange(4)[None])
    np.testing.assert_allclose(rows.feature_values[0], (x[0] * w).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(columns.feature_values[0], (x[0] * w).sum(axis=0), atol=1e-5)


# quantised ---------------------------------------------------------------------------------------------------------


def test_slopes_pass_a_quantised_model(opened):
    scale = np.float32(0.05)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["qx"]),
        node("DequantizeLinear", ["qx", "s", "z"], ["dx"]),
        node("DequantizeLinear", ["qw", "s", "z"], ["w"]),
        node("MatMul", ["dx", "w"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("QuantizeLinear", ["r", "s", "z"], ["qr"]),
        node("DequantizeLinear", ["qr", "s", "z"], ["y"]),
    ]
    weights = {"s": scale, "z": np.int8(0), "qw": np.int8([[10, -4], [20, 6], [-8, 2]])}
    proto = made(nodes, [tensor("x", ["N", 3])], [tensor("y", ["N", 2])], weights)
    x = np.float32([[1, 2, 0.5]])
    result = xaionnx.explain(opened(proto), x, "saliency", 0, absolute=False)
    np.testing.assert_allclose(result.values[0], scale * np.float32([10, 20, -8]), rtol=1e-5)
    assert result.provenance["approximations"]


def test_a_class_number_alone_is_explained_by_its_scores(opened):
    proto = written(
        "(float[N, 3] x) => (int64[N] label) { z = MatMul(x, w) label = ArgMax <axis = 1, keepdims = 0> (z) }",
        w=drawn(3, 3),
    )
    x = drawn(1, 3)
    w = numpy_helper.to_array(proto.graph.initializer[0])
    best = int((x @ w).argmax())
    result = xaionnx.explain(opened(proto), x, "saliency", absolute=False)
    np.testing.assert_allclose(result.values[0], w[:, best], rtol=1e-5)
