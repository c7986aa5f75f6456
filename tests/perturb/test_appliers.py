"""The two appliers give the same values: a kernel on the host, and nodes in the graph."""

import numpy as np
import pytest

from models import planted
from tests import tiny
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features, Model, Target
from xaionnx.data.sample import Sample
from xaionnx.perturb.feature_removal import Mix, Select
from xaionnx.perturb.game import Game
from xaionnx.perturb.windows import Reveal, SmoothMask, WindowOcclusion
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(0)


def convolutional(tmp_path, layout, batch, opset=17):
    shape = [3, 12, 10] if layout == "NCHW" else [12, 10, 3]
    nodes = [] if layout == "NCHW" else [node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2])]
    nodes += [
        node("Conv", ["x" if layout == "NCHW" else "planes", "k"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Flatten", ["r"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    weights = {
        "k": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "w": (RNG.normal(size=(4 * 10 * 8, 5)) / 30).astype(np.float32),
    }
    path = tmp_path / f"{layout}{batch}.onnx"
    return tiny.saved(path, nodes, [tensor("x", [batch, *shape])], [tensor("y", [batch, 5])], weights, opset), shape


def codes_for(kind, removal):
    players = removal.players.count
    return {
        "Select": lambda: RNG.random((33, players)) < 0.5,
        "Mix": lambda: RNG.random((33, players)).astype(np.float32),
        "WindowOcclusion": lambda: np.array(
            [[i - 2, j - 2] for i in range(0, 14, 3) for j in range(0, 12, 3)], dtype=np.int32
        ),
        "SmoothMask": lambda: np.arange(5, 38),
    }[windowed(kind)]()


def windowed(kind):
    return "WindowOcclusion" if kind == "Reveal" else kind


def removal_of(kind, sample, baseline):
    features = Features.grid(4, 3) if kind in ("Select", "Mix") else Features.pixels()
    players = features.players(sample)
    draws = Baseline.of(baseline).draws(sample, ("x",), 0)
    extra = {"WindowOcclusion": (4,), "SmoothMask": (4, 0.5, 7)}.get(windowed(kind), ())
    made = {
        "Select": Select,
        "Mix": Mix,
        "WindowOcclusion": WindowOcclusion,
        "Reveal": Reveal,
        "SmoothMask": SmoothMask,
    }[kind]
    return made(sample, players, draws, *extra)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("kind", ["Select", "Mix", "WindowOcclusion", "Reveal", "SmoothMask"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("baseline", [0, 0.7, "gaussian"])
def test_host_and_graph_agree(tmp_path, kind, layout, batch, baseline):
    path, shape = convolutional(tmp_path, layout, batch)
    check_agreement(Model.load(path), shape, kind, baseline)


@pytest.mark.parametrize("kind", ["WindowOcclusion", "Reveal", "SmoothMask"])
@pytest.mark.parametrize("axes", ["N C D H W", "N D H W C"])
def test_host_and_graph_agree_on_volumes(kind, axes):
    shape = (2, 3, 7, 6) if axes == "N C D H W" else (3, 7, 6, 2)
    model = planted.load(planted.linear(RNG.normal(size=(5, *shape)) / 30), axes=axes)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    (sample,) = model.samples({"x": x})
    players = Features.grid(2, 2).players(sample)
    draws = Baseline.of(0.7).draws(sample, ("x",), 0)
    options = {"SmoothMask": ((2, 3, 4), 0.5, 7)}.get(kind, ((2, 4, 3),))
    removal = {"WindowOcclusion": WindowOcclusion, "Reveal": Reveal, "SmoothMask": SmoothMask}[kind](
        sample, players, draws, *options
    )
    codes = np.arange(5, 38) if kind == "SmoothMask" else RNG.integers(-2, 6, (33, 3)).astype(np.int32)
    resolution = resolve([1, 3], model, {"x": x})
    found = [
        Game(model, resolution.selection.of_sample(0), removal, resolution.values[:, 0], applier_kind=how).values(codes)
        for how in ("host", "graph")
    ]
    assert_close(found[0], found[1], Tolerance.DEEP)
    assert np.ptp(found[0], axis=0).min() > 0


def check_agreement(model, shape, kind, baseline):
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    target = [1, Target.margin(0, 3), Target.probability(2), Target.loss(np.array([4, 0])), Target.channel("r", 2)]
    resolution = resolve(target, model, {"x": x})
    sample = Sample({"x": x[1]}, "x", None, 1, 2)
    removal = removal_of(kind, sample, baseline)
    codes = codes_for(kind, removal)
    values = {}
    for applier in ("host", "graph"):
        selection = resolution.selection.of_sample(1)
        game = Game(resolution.model, selection, removal, resolution.values[:, 1], applier_kind=applier)
        values[applier] = game.values(codes)
        assert game.evaluations == 1 + len(codes)
    assert_close(values["graph"], values["host"], Tolerance.DEEP)
    assert np.ptp(values["host"], axis=0).min() > 0


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["Select", "Mix", "WindowOcclusion", "Reveal", "SmoothMask"])
def test_both_agree_on_cuda(tmp_path, kind):
    path, shape = convolutional(tmp_path, "NCHW", "N")
    model = Model.load(path, device="cuda")
    assert model.provider == "CUDAExecutionProvider"
    check_agreement(model, shape, kind, 0.7)


@pytest.mark.parametrize("kind", ["SmoothMask", "Mix"])
def test_whole_numbers_are_rounded_alike_on_both_sides(kind):
    model = planted.load(
        tiny.parsed("g (uint8[N, 3, 12, 10] x) => (float[N, 360] y) { c = Cast <to = 1> (x) y = Flatten(c) }")
    )
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 12, 10)).astype(np.uint8)
    resolution = resolve(Target.classes(), model, {"x": x})
    (sample,) = model.samples({"x": x})
    removal = removal_of(kind, sample, 0)
    codes = np.arange(20) if kind == "SmoothMask" else np.random.default_rng(1).random((20, removal.players.count))
    shown = {}
    for applier in ("host", "graph"):
        game = Game(resolution.model, resolution.selection, removal, resolution.values[:, 0], applier_kind=applier)
        shown[applier] = game.values(codes.astype(np.float32) if kind == "Mix" else codes)
    assert np.all(shown["host"] == np.rint(shown["host"]))
    # Halves may go either way.
    assert np.abs(shown["graph"] - shown["host"]).max() <= 1
    assert np.mean(shown["graph"] != shown["host"]) < 1e-3


def test_masks_of_rise_are_equal_on_both_sides_bit_for_bit_of_cells(tmp_path):
    # A model that returns its input shows the masked input itself.
    path = tiny.saved(
        tmp_path / "show.onnx",
        [node("Flatten", ["x"], ["y"])],
        [tensor("x", ["N", 3, 12, 10])],
        [tensor("y", ["N", 360])],
    )
    model = Model.load(path)
    x = np.ones((1, 3, 12, 10), np.float32)
    resolution = resolve(Target.classes(), model, {"x": x})
    sample = Sample({"x": x[0]}, "x")
    removal = removal_of("SmoothMask", sample, 0)
    shown = {}
    for applier in ("host", "graph"):
        game = Game(resolution.model, resolution.selection, removal, resolution.values[:, 0], applier_kind=applier)
        shown[applier] = game.values(np.arange(20)).reshape(20, 3, 12, 10)
    assert_close(shown["host"][:, 0], removal.masks(np.arange(20)), Tolerance.ORDER_ONE)
    assert_close(shown["graph"], shown["host"], Tolerance.ORDER_ONE)


def test_several_inputs_some_left_alone(tmp_path):
    path = tiny.saved(
        tmp_path / "several.onnx",
        [
            node("Concat", ["a", "b"], ["ab"], axis=1),
            node("Mul", ["ab", "gain"], ["g"]),
            node("MatMul", ["g", "w"], ["y"]),
        ],
        [tensor("a", ["N", 3]), tensor("b", ["N", 2]), tensor("gain", [1])],
        [tensor("y", ["N", 2])],
        {"w": RNG.normal(size=(5, 2)).astype(np.float32)},
    )
    model = Model.load(path)
    feeds = {"a": np.ones((1, 3), np.float32), "b": np.ones((1, 2), np.float32), "gain": np.array([2], np.float32)}
    resolution = resolve([0, 1], model, feeds)
    sample = Sample({"a": feeds["a"][0], "b": feeds["b"][0], "gain": feeds["gain"]}, "a")
    players = Features.of({"a": np.array([0, 1, 1])}).players(sample)
    removal = Select(sample, players, Baseline.of(0.5).draws(sample, ("a",), 0))
    codes = np.array([[1, 0], [0, 1], [0, 0], [1, 1]], dtype=bool)
    answers = [
        Game(resolution.model, resolution.selection, removal, resolution.values[:, 0], applier_kind=kind).values(codes)
        for kind in ("host", "graph")
    ]
    assert_close(answers[0], answers[1], Tolerance.SUMS)
    assert_close(answers[0][3], resolution.values[:, 0], Tolerance.OPERATIONS)


def test_the_graph_is_made_once_for_all_samples(tmp_path):
    path, shape = convolutional(tmp_path, "NCHW", "N")
    model = Model.load(path)
    x = RNG.normal(size=(3, *shape)).astype(np.float32)
    resolution = resolve(2, model, {"x": x})
    for n in range(3):
        removal = removal_of("Select", Sample({"x": x[n]}, "x", None, n, 3), 0)
        selection = resolution.selection.of_sample(n)
        Game(resolution.model, selection, removal, resolution.values[:, n], applier_kind="graph").values(
            codes_for("Select", removal)
        )
    assert len(resolution.model._state.derived) == 1
