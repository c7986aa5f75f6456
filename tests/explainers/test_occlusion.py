"""Occlusion and feature ablation against published numbers and a slow oracle."""

import tracemalloc

import numpy as np
import onnx
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features, Model, Target
from xaionnx.errors import ParameterError

A = np.array([[20.0, 50.0, 30.0]], dtype=np.float32)
CANONICAL = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.fixture(scope="module")
def net_a():
    return planted.load(planted.net_a())


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("feature_ablation", {}, (80, 200, 120)),
        ("occlusion", {"window": 1, "stride": 1}, (80, 200, 120)),
        ("feature_ablation", {"features": np.array([1, 1, 2])}, (280, 280, 120)),
        ("feature_ablation", {"features": np.array([1, 1, 2]), "baseline": 4}, (248, 248, 104)),
        ("occlusion", {"window": 2, "stride": 1, "baseline": 10}, (200, 220, 240)),
        ("occlusion", {"window": 2, "stride": 2}, (280, 280, 120)),
    ],
)
def test_published_values_on_net_a(net_a, method, settings, expected):
    assert_close(xaionnx.explain(net_a, A, method, 0, **settings).values[0], expected, Tolerance.OPERATIONS)


def test_groups_may_differ_from_row_to_row(net_a):
    x = np.array([[2, 10, 3], [20, 50, 30]], dtype=np.float32)
    groups = np.array([[0, 0, 1], [1, 1, 0]])
    grouped = xaionnx.explain(net_a, x, "feature_ablation", 0, features=groups).values
    assert_close(grouped, [[41, 41, 12], [280, 280, 120]], Tolerance.OPERATIONS)
    single = xaionnx.explain(net_a, x, "feature_ablation", 0).values
    assert_close(single, [[8, 35, 12], [80, 200, 120]], Tolerance.OPERATIONS)


def test_a_window_as_large_as_the_picture():
    # The published 67 is for the net with two images, with a second image of ones.
    model = planted.load(planted.net_b(two_images=True))
    x = {"x": CANONICAL, "x2": np.ones_like(CANONICAL)}
    result = xaionnx.explain(model, x, "occlusion", 0, window=4, stride=4)
    before = model.run(x)["y"][0, 0]
    after = model.run({"x": np.zeros_like(CANONICAL), "x2": x["x2"]})["y"][0, 0]
    assert_close(
        result.values["x"] if isinstance(result.values, dict) else result.values, before - after, Tolerance.OPERATIONS
    )
    alone = xaionnx.explain(planted.load(planted.net_b()), CANONICAL, "occlusion", 0, window=4, stride=4).values
    assert_close(alone, np.full((1, 1, 4, 4), 54.0), Tolerance.OPERATIONS)


@pytest.mark.parametrize(("shape", "window"), [((1, 8, 12), (2, 3)), ((1, 2, 16), (1, 4)), ((1, 8, 17), 16)])
def test_the_window_of_a_small_input_is_a_quarter_of_it(shape, window):
    """One of 16 pixels would cover all of it at once, and tell no place from another."""
    model = planted.load(planted.linear(np.arange(1.0, 1 + np.prod(shape)).reshape(1, *shape)))
    x = np.ones((1, *shape), np.float32)
    found = xaionnx.explain(model, x, "occlusion")
    assert_close(found.values, xaionnx.explain(model, x, "occlusion", window=window).values, Tolerance.OPERATIONS)
    assert found.provenance["parameters"]["window"] == (list(window) if isinstance(window, tuple) else window)
    assert len(np.unique(found.values)) > 1


def test_the_window_of_a_long_series_is_a_share_of_it():
    model = planted.load(planted.linear(np.ones((1, 6400))))
    x = np.ones((1, 6400), np.float32)
    for axes, window in (("N T", 100), ("N F", 16)):
        read = xaionnx.Model.load(model.path, "cpu", axes={model.input().name: axes})
        found = xaionnx.explain(read, x, "occlusion", 0)
        assert found.provenance["parameters"]["window"] == window
        assert_close(found.values, np.full((1, 6400), window), Tolerance.OPERATIONS)


def test_overlaps_are_summed_as_in_pair():
    model = planted.load(planted.linear(np.full((1, 1, 5, 5), 3.0)))
    x = np.zeros((1, 1, 5, 5), np.float32)
    x[0, 0, 1, 1] = x[0, 0, 3, 3] = 1
    summed = xaionnx.explain(model, x, "occlusion", 0, window=3, stride=1, overlap="sum").values[0, 0]
    expected = [[3, 6, 6, 3, 0], [6, 15, 18, 12, 3], [6, 18, 24, 18, 6], [3, 12, 18, 15, 6], [0, 3, 6, 6, 3]]
    assert_close(summed, expected, Tolerance.ORDER_ONE)
    averaged = xaionnx.explain(model, x, "occlusion", 0, window=3, stride=1).values[0, 0]
    covered = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1])
    assert_close(averaged, np.array(expected) / covered, Tolerance.ORDER_ONE)


def slow_occlusion(f, x, window, stride, baseline, overlap):
    """Loops over windows and pixels, from the definition."""
    _, height, width = x.shape
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    whole = f(x)

    def starts(length, size, step):
        count = max(0, -(-(length - size) // step)) + 1
        return [i * step for i in range(count)]

    for top in starts(height, window[0], stride[0]):
        for left in starts(width, window[1], stride[1]):
            part = x.copy()
            part[:, top : top + window[0], left : left + window[1]] = baseline
            drop = whole - f(part)
            for row in range(top, min(top + window[0], height)):
                for column in range(left, min(left + window[1], width)):
                    total[row, column] += drop
                    covered[row, column] += 1
    return total / covered if overlap == "mean" else total


@pytest.mark.parametrize(
    ("window", "stride"), [((3, 5), (3, 2)), ((11, 4), (1, 3)), ((11, 4), None), ((40, 40), 4), (7, (7, 7))]
)
@pytest.mark.parametrize("overlap", ["mean", "sum"])
def test_against_the_definition(window, stride, overlap):
    model = Model.load("models/mnist_cnn.onnx")
    x = np.random.default_rng(0).normal(size=(1, 1, 28, 28)).astype(np.float32)
    result = xaionnx.explain(
        model, x, "occlusion", 4, window=window, stride=stride, baseline=0.3, overlap=overlap, class_maps=False
    )

    def score(sample):
        return float(model.run({model.input().name: sample[None]})[model.output().name][0, 4])

    window = (window, window) if isinstance(window, int) else window
    stride = (window[0] // 2, window[1] // 2) if stride is None else stride
    stride = (stride, stride) if isinstance(stride, int) else stride
    expected = slow_occlusion(score, x[0], window, stride, 0.3, overlap)
    assert_close(result.values[0, 0], expected, Tolerance.DEEP, np.abs(expected).max() + 0.05)


def test_maps_by_position_are_those_of_the_paper():
    data = np.load("models/data/mnist_sample.npz")
    model = Model.load("models/mnist_cnn.onnx")
    spec = model.spec
    x = (data["images"][:2].astype(np.float32) - spec.mean[0]) / spec.scale[0]
    layer = model.file.proto.graph.node[1].output[0]
    result = xaionnx.explain(model, x, "occlusion", None, window=8, stride=4, activation=layer)
    exposed = model.with_outputs([layer])
    for n in range(2):
        clean = exposed.run({model.input().name: x[n : n + 1]})
        logits, hidden = clean[model.output().name][0], clean[layer][0]
        strongest = hidden.mean(axis=(1, 2)).argmax()
        top = int(logits.argmax())
        grid = result.maps["drop"][n].shape
        assert grid == (6, 6)
        for i in range(grid[0]):
            for j in range(grid[1]):
                covered = x[n : n + 1].copy()
                covered[..., 4 * i : 4 * i + 8, 4 * j : 4 * j + 8] = 0
                out = exposed.run({model.input().name: covered})
                scores = out[model.output().name][0].astype(float)
                probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
                assert result.maps["top_class"][n, i, j] == scores.argmax()
                assert_close(result.maps["probability"][n, i, j], probabilities[top], Tolerance.ORDER_ONE)
                assert_close(result.maps["drop"][n, i, j], logits[top] - scores[top], Tolerance.DEEP)
                assert_close(result.maps["activation"][n, i, j], out[layer][0, strongest].mean(), Tolerance.DEEP)


def test_ablation_of_a_loss_against_labels():
    model = Model.load("models/mnist_cnn.onnx")
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    labels = np.array([3, 8])
    grid = Features.grid(4)
    result = xaionnx.explain(model, x, "feature_ablation", Target.loss(labels), features=grid)

    def losses(batch):
        logits = model.run({model.input().name: batch})[model.output().name].astype(float)
        return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(2), labels]

    for cell in (0, 5, 15):
        removed = x.copy()
        row, column = divmod(cell, 4)
        removed[..., 7 * row : 7 * row + 7, 7 * column : 7 * column + 7] = 0
        assert_close(result.feature_values[:, cell], losses(x) - losses(removed), Tolerance.DEEP)


def test_a_baseline_for_each_feature(net_a):
    result = xaionnx.explain(net_a, A, "feature_ablation", 0, baseline=np.array([10.0, 0.0, 30.0], np.float32))
    assert_close(result.values[0], (40, 200, 0), Tolerance.OPERATIONS)


def test_background_rows_are_averaged_over(net_a):
    rows = np.array([[0, 0, 0], [20, 50, 30], [10, 25, 15]], np.float32)
    result = xaionnx.explain(net_a, A, "feature_ablation", 0, baseline=Baseline.background(rows))
    assert_close(result.values[0], np.array([80, 200, 120]) / 2, Tolerance.OPERATIONS)
    assert result.diagnostics["evaluations"] == [1 + 3 * 3]


def test_a_stride_that_leaves_gaps_is_refused(net_a):
    with pytest.raises(ParameterError, match="The 'stride' parameter of Occlusion must not exceed the window 1"):
        xaionnx.explain(net_a, A, "occlusion", 0, window=1, stride=2)


def test_a_window_of_the_wrong_rank_is_refused(net_a):
    with pytest.raises(ParameterError, match="The 'window' parameter must be an int for this input"):
        xaionnx.explain(net_a, A, "occlusion", 0, window=(2, 2))


@pytest.mark.parametrize(("method", "settings", "most"), [("occlusion", {}, 24), ("rise", {"budget": 41}, 56)])
def test_the_memory_of_many_targets_is_that_of_their_record(method, settings, most):
    """At most so many bytes by target and pixel: values and errors in float64, the map in float32 once, and sums."""
    targets, side = 60, 96
    weights = np.random.default_rng(0).normal(size=(targets, 3, side, side))
    model = planted.load(planted.linear(weights))
    x = np.random.default_rng(1).normal(size=(1, 3, side, side)).astype(np.float32)
    if method == "occlusion":
        settings = {"window": 32, "stride": 32}
    peaks = []
    for given in ([0, 1], list(range(targets))):
        xaionnx.explain(model, x, method, given[:1], **settings)
        tracemalloc.start()
        found = xaionnx.explain(model, x, method, given, **settings)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found.values.shape == (targets, 1, 3, side, side)
    assert peaks[1] - peaks[0] < most * targets * side**2


@pytest.mark.parametrize("window", [None, 2, (3, 2)])
def test_windows_over_a_layer_are_those_of_the_part_after_it(window):
    """Each position of a map is covered on all channels, and the rest of the model answers."""
    model = Model.load("models/mnist_cnn.onnx")
    x = np.random.default_rng(0).uniform(size=(2, 1, 28, 28)).astype(np.float32)
    layer = "/4/Conv_output_0"
    found = xaionnx.explain(model, x, "occlusion", 3, layer=layer, window=window, stride=1, baseline=0.2)
    after = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model.file.proto)).extract_model(
        [layer], [model.output().name]
    )
    held = tiny.run(exposing(model.file.proto, layer), {model.input().name: x})[layer]
    height, width = (1, 1) if window is None else (window, window) if isinstance(window, int) else window

    def score(one):
        return float(tiny.run(after, {layer: one[None]})[model.output().name][0, 3])

    assert found.values.shape == held.shape
    for n in range(2):
        total, count = np.zeros(held.shape[2:]), np.zeros(held.shape[2:])
        for i in range(held.shape[2] - height + 1):
            for j in range(held.shape[3] - width + 1):
                covered = held[n].copy()
                covered[:, i : i + height, j : j + width] = 0.2
                total[i : i + height, j : j + width] += score(held[n]) - score(covered)
                count[i : i + height, j : j + width] += 1
        for channel in found.values[n]:
            assert_close(channel, total / count, Tolerance.DEEP, np.abs(total).max())
    assert found.provenance["layer"]["name"] == layer
    assert found.provenance["parameters"]["window"] == (
        1 if window is None else [*window] if window == (3, 2) else window
    )
    assert found.maps["top_class"].shape == found.maps["drop"].shape


def exposing(proto, name):
    """A model that also returns a tensor."""
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    copy.graph.output.append(tiny.tensor(name, None))
    return copy


def test_windows_over_the_columns_of_a_picture_inside_a_reader_of_text():
    text = """g (float[N, 1, 4, 8] x) => (float[N, 8, 3] y) {
      h = Conv<strides = [4, 1]>(x, k)  s = Squeeze(h, two)  t = Transpose<perm = [0, 2, 1]>(s)  y = MatMul(t, v) }"""
    weights = {"k": normal(5, 1, 4, 1), "two": np.array([2]), "v": normal(5, 3)}
    model, x = loaded(text, **weights), normal(1, 1, 4, 8)
    found = xaionnx.explain(model, x, "occlusion", Target.index((6, 1)), layer="t", window=1, stride=1)
    hidden = model.with_outputs(["t"]).run({"x": x}, ["t"])["t"]
    expected = np.zeros((1, 8, 5))
    expected[0, 6] = hidden[0, 6] @ weights["v"][:, 1]
    assert_close(found.values, expected, Tolerance.OPERATIONS)


def test_windows_over_time_inside_a_series():
    """The sum over steps of a mean of features: a step is worth its part."""
    text = """g (float[N, 6, 3] x) => (float[N, 1] y) {
      h = Abs(x)  t = Transpose<perm = [0, 2, 1]>(h)  m = MatMul(w, h)  y = ReduceSum<keepdims = 0>(m, last) }"""
    proto = tiny.parsed(text, w=np.arange(1, 7, dtype=np.float32)[None], last=np.array([2]))
    x = np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)
    found = xaionnx.explain(planted.load(proto, axes="N T F"), x, "occlusion", 0, layer="h", baseline=0.0)
    expected = np.arange(1, 7) * np.abs(x[0]).sum(axis=1)
    assert_close(found.values[0], np.repeat(expected[:, None], 3, axis=1), Tolerance.SUMS)


def test_windows_slide_over_the_units_of_a_row_and_run_as_a_whole():
    model = Model.load("models/mnist_cnn.onnx")
    x = np.zeros((1, 1, 28, 28), np.float32)
    flat = next(node.output[0] for node in model.file.proto.graph.node if node.op_type == "Flatten")
    found = xaionnx.explain(model, x, "occlusion", 3, layer=flat, window=64, stride=64)
    assert found.values.shape[0] == 1
    with pytest.raises(ParameterError, match="The 'incremental' parameter of Occlusion must be False with a layer"):
        xaionnx.explain(model, x, "occlusion", 3, layer=flat, incremental=True)
