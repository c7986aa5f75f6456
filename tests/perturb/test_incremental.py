"""Incremental occlusion gives the values of plain occlusion, for every graph."""

import dataclasses

import numpy as np
import onnx
import pytest

import xaionnx
from tests import tiny
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Features, Model, Target
from xaionnx.data.sample import Sample
from xaionnx.perturb import incremental
from xaionnx.perturb.game import Game
from xaionnx.perturb.windows import WindowOcclusion
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(3)


@pytest.fixture
def eager(monkeypatch):
    """Assume that dividing costs nothing, so that small nets are divided too."""
    monkeypatch.setattr(incremental, "_PART_SHARE", 0.0)
    monkeypatch.setattr(incremental, "_PART_WORK", 0)
    monkeypatch.setattr(incremental, "_LEAST_GAIN", 1.0)


def random_net(path, seed, layout="NCHW", extent=(37, 42), batch="N"):
    """Residual blocks with random kernels, strides, dilations, pads and pools, then a matrix."""
    rng = np.random.default_rng(seed)
    weights, source, channels = {}, "x", 3
    nodes = []
    if layout == "NHWC":
        nodes.append(node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]))
        source = "planes"
    for block in range(4):
        kernel = rng.integers(1, 4, 2).tolist()
        dilations = rng.integers(1, 3, 2).tolist()
        strides = rng.integers(1, 3, 2).tolist()
        padding = [
            {"pads": rng.integers(0, 3, 4).tolist()}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"},
        ][rng.integers(3)]  # fmt: skip
        dilated = {"dilations": dilations} if "pads" in padding else {}
        weights[f"k{block}"] = (rng.normal(size=(6, channels, *kernel)) / channels).astype(np.float32)
        weights[f"s{block}"] = (rng.normal(size=(6, 1, 3, 3)) / 3).astype(np.float32)
        weights[f"b{block}"] = rng.normal(size=(1, 6, 1, 1)).astype(np.float32)
        nodes += [
            node("Conv", [source, f"k{block}"], [f"c{block}"], strides=strides, **dilated, **padding),
            node("Relu", [f"c{block}"], [f"r{block}"]),
            node("Conv", [f"r{block}", f"s{block}"], [f"d{block}"], pads=[1, 1, 1, 1], group=6),
            node("Add", [f"d{block}", f"r{block}"], [f"a{block}"]),
            node("Add", [f"a{block}", f"b{block}"], [f"e{block}"]),
        ]
        source, channels = f"e{block}", 6
        if block == 1:
            pool, extra = [("MaxPool", {"ceil_mode": 1}), ("AveragePool", {"pads": [1, 1, 1, 1]})][seed % 2]
            nodes.append(node(pool, [source], ["pool"], kernel_shape=[2, 3], strides=[2, 1], **extra))
            source = "pool"
    shape = [3, *extent] if layout == "NCHW" else [*extent, 3]
    nodes.append(node("Sigmoid", [source], ["last"]))
    body = tiny.model(nodes, [tensor("x", [1, *shape])], [tensor("last", [1, 6, None, None])], weights)
    dims = onnx.shape_inference.infer_shapes(body).graph.output[0].type.tensor_type.shape.dim
    # A weight for each position, so that a box off by one step is detected.
    size = int(np.prod([dim.dim_value for dim in dims]))
    weights["w"] = rng.normal(size=(size, 5)).astype(np.float32)
    nodes += [node("Flatten", ["last"], ["f"]), node("MatMul", ["f", "w"], ["y"])]
    file = tiny.saved(path, nodes, [tensor("x", [batch, *shape])], [tensor("y", [batch, 5])], weights)
    return Model.load(file), shape


def both(model, x, window, codes, target=1, baseline=0.5, sample=0):
    """Outputs of the two appliers, and the cuts."""
    resolution = resolve(target, model, {"x": x})
    one = Sample({"x": x[sample]}, "x", None, sample, len(x))
    draws = Baseline.of(baseline).draws(one, ("x",), 0)
    removal = WindowOcclusion(one, Features.pixels().players(one), draws, window)
    found = []
    for kind in ("host", "incremental"):
        selection = resolution.selection.of_sample(sample)
        game = Game(resolution.model, selection, removal, resolution.values[:, sample], applier_kind=kind)
        found.append(game.values(codes))
        assert game.evaluations == 1 + len(codes) * removal.draws
    return *found, game.cuts


def corners(extent, step=5):
    return np.array([[i, j] for i in range(-4, extent[0] + 3, step) for j in range(-4, extent[1] + 3, step)], np.int32)


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("seed", range(12))
def test_random_nets_answer_as_the_whole(tmp_path, eager, seed):
    extent = (37 + seed % 3, 42 - seed % 5)
    model, shape = random_net(tmp_path / "net.onnx", seed, extent=extent)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    plain, found, cuts = both(model, x, (4, 5), corners(extent), [1, Target.margin(0, 2)])
    assert cuts
    assert_close(found, plain, Tolerance.SIGNED_SUMS)
    assert np.ptp(plain, axis=0).min() > 1e-2


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("baseline", [0, "gaussian", "blur"])
def test_layouts_batches_and_baselines(tmp_path, eager, layout, batch, baseline):
    model, shape = random_net(tmp_path / "net.onnx", 4, layout, batch=batch)
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    plain, found, cuts = both(model, x, (7, 3), corners((37, 42)), 2, baseline, sample=1)
    assert cuts
    assert_close(found, plain, Tolerance.SIGNED_SUMS)


def test_several_baselines_are_averaged(tmp_path, eager):
    model, shape = random_net(tmp_path / "net.onnx", 2)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    rows = Baseline.background(RNG.normal(size=(3, *shape)).astype(np.float32))
    plain, found, cuts = both(model, x, (6, 6), corners((37, 42), 9), 0, rows)
    assert cuts
    assert_close(found, plain, Tolerance.SIGNED_SUMS)


def test_windows_outside_the_picture_change_nothing(tmp_path, eager):
    model, shape = random_net(tmp_path / "net.onnx", 0)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    codes = np.array([[-9, 0], [37, 4], [3, 60], [12, 12]], np.int32)
    plain, found, cuts = both(model, x, (4, 4), codes)
    assert cuts
    assert_close(found, plain, Tolerance.SIGNED_SUMS)
    np.testing.assert_array_equal(both(model, x, (4, 4), codes[:3])[1], plain[:3])


def test_what_is_read_in_front_of_the_cut_falls_back(tmp_path, eager):
    model, shape = random_net(tmp_path / "net.onnx", 0)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    plain, found, cuts = both(model, x, (4, 4), corners((37, 42), 9), [1, Target.channel("c0", 1)])
    assert cuts == ()
    np.testing.assert_array_equal(found, plain)
    plain, found, cuts = both(model, x, (4, 4), corners((37, 42), 9), [1, Target.channel("e3", 1)])
    assert cuts
    assert_close(found, plain, Tolerance.SIGNED_SUMS)


@pytest.mark.parametrize("name", ["mnist_cnn", "digits_cnn", "mnist_vit"])
def test_models_of_the_repository(name, eager):
    model = Model.load(f"models/{name}.onnx")
    shape = [size for size in model.input().shape[1:] if isinstance(size, int)]
    x = RNG.normal(size=(2, *shape)).astype(np.float32)
    found = [xaionnx.explain(model, x, "occlusion", 3, window=4, stride=3, incremental=i) for i in (True, False)]
    scale = np.abs(found[1].values).max()
    assert_close(found[0].values, found[1].values, Tolerance.DEEP, scale)
    assert found[0].diagnostics["evaluations"] == found[1].diagnostics["evaluations"]
    assert found[1].diagnostics["incremental"] == [None, None]


def test_a_model_of_real_size_says_what_was_kept():
    model = Model.load("models/efficientnet_lite0.onnx")
    shape = [size for size in model.input().shape[1:] if isinstance(size, int)]
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    found = [xaionnx.explain(model, x, "occlusion", 3, window=32, stride=32, incremental=i) for i in (True, False)]
    scale = np.abs(found[1].values).max()
    assert_close(found[0].values, found[1].values, Tolerance.DEEP, scale)
    assert found[0].diagnostics["incremental"][0]


def test_a_part_of_another_shape_than_expected_falls_back(tmp_path, eager, monkeypatch):
    model, shape = random_net(tmp_path / "net.onnx", 0)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    real = incremental.separators

    def longer(*arguments):
        found, work = real(*arguments)
        last = found[-1].field.reaches
        grown = tuple(dataclasses.replace(reach, length=reach.length + 1) for reach in last)
        field = dataclasses.replace(found[-1].field, reaches=grown)
        return [*found[:-1], dataclasses.replace(found[-1], field=field)], work

    codes = corners((37, 42), 9)
    assert "last" in both(model, x, (4, 4), codes)[2]
    monkeypatch.setattr(incremental, "separators", longer)
    plain, found, cuts = both(model, x, (4, 4), codes)
    assert cuts == ()
    np.testing.assert_array_equal(found, plain)


def test_a_row_and_a_net_without_gain_run_as_a_whole(tmp_path):
    model = Model.load(tiny.linear(tmp_path / "row.onnx", np.ones((5, 2))))
    found = xaionnx.explain(model, np.ones((1, 5), np.float32), "occlusion", 0, window=2, incremental=True)
    assert found.diagnostics["incremental"] == [None]
    model, shape = random_net(tmp_path / "net.onnx", 0)
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    assert xaionnx.explain(model, x, "occlusion", 0, incremental=True).diagnostics["incremental"] == [None]
