"""Class activation maps of series, (N, C, T), against the papers' oracles for pictures of height 1."""

from dataclasses import dataclass

import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree
from tests.oracles import cam as oracle
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model, Target, compilation, discovery, parameters
from xaionnx.data.series import series
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.full_grad import FullGrad
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.explainers.guided_grad_cam import GuidedGradCam
from xaionnx.explainers.hi_res_cam import HiResCam
from xaionnx.explainers.layer_activation import LayerActivation
from xaionnx.layers.axes import Axes
from xaionnx.render.layers import layer_of, parts

LONG = 17
SERIES = np.random.default_rng(8).normal(size=(3, 3, LONG)).astype(np.float32)
DRAWN = [m for m in discovery.methods() if {"layer", "upsampling"} <= parameters.declared(discovery.method(m)).keys()]


@dataclass(frozen=True)
class Flat(oracle.Net):
    """The oracle's net for pictures of one row: only the middle row of a kernel has an effect."""

    def behind(self, a):
        held = np.maximum(self._second(a), 0)
        return self.head @ held.mean(axis=(1, 2)) + self.head_bias

    def slope(self, a, weights):
        z = self._second(a)
        each = (weights @ self.head) / z[0].size
        tall = (len(a), 3, a.shape[2])
        return oracle.conv_back(each[:, None, None] * (z > 0), self.second, 2, 0, tall)[:, 1:2]

    def _second(self, a):
        return oracle.conv(np.pad(a, ((0, 0), (1, 1), (0, 0))), self.second, self.second_bias, 2, 0)


FORMS = ("channels first", "channels last", "keras", "picture")


def opened(path, net, form="channels first"):
    """The net as a file: for series, for those with channels last, as Keras writes it, or for pictures of one row."""
    weights = {name: np.asarray(value, np.float32) for name, value in vars(net).items()}
    first, second = weights.pop("first")[:, :, 1], weights.pop("second")[:, :, 1]
    flat = form in ("keras", "picture")
    weights |= {"k": first[:, :, None] if flat else first, "k2": second[:, :, None] if flat else second}
    pads, strides = ([0, 1, 0, 1], [1, 2]) if flat else ([1, 1], [2])
    nodes = [
        node("Conv", ["in", "k", "first_bias"], ["z"], pads=pads),
        node("Relu", ["z"], ["a"]),
        node("Conv", ["a", "k2", "second_bias"], ["z2"], strides=strides),
        node("Relu", ["z2"], ["a2"]),
        node("GlobalAveragePool", ["a2"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("Gemm", ["flat", "head", "head_bias"], ["y"], transB=1),
    ]
    shape = ["N", LONG, 3]
    if form == "channels last":
        nodes.insert(0, node("Transpose", ["x"], ["in"], perm=[0, 2, 1]))
    elif form == "keras":
        # A height axis is added before time, and removed after the convolution.
        weights["one"], weights["two"] = np.array([1], np.int64), np.array([2], np.int64)
        nodes[1:3] = [
            node("Squeeze", ["z", "two"], ["narrow"]),
            node("Transpose", ["narrow"], ["time"], perm=[0, 2, 1]),
            node("Relu", ["time"], ["a"]),
            node("Unsqueeze", ["a", "one"], ["wide"]),
            node("Transpose", ["wide"], ["again"], perm=[0, 3, 1, 2]),
            node("Conv", ["again", "k2", "second_bias"], ["z2"], strides=strides),
        ]
        nodes[:0] = [
            node("Unsqueeze", ["x", "one"], ["row"]),
            node("Transpose", ["row"], ["in"], perm=[0, 3, 1, 2]),
        ]
    else:
        shape = ["N", 3, 1, LONG] if form == "picture" else ["N", 3, LONG]
        nodes[0].input[0] = "x"
    return Model.load(tiny.saved(path, nodes, [tensor("x", shape)], [tensor("y", ["N", 6])], weights), device="cpu")


def fed(form):
    if form == "picture":
        return SERIES[:, :, None]
    return SERIES if form == "channels first" else np.ascontiguousarray(np.swapaxes(SERIES, 1, 2))


def series_of(values, form):
    """Values as (..., 3, T) for every form."""
    if form == "picture":
        return values[..., 0, :]
    return values if form == "channels first" else np.swapaxes(values, -1, -2)


@pytest.fixture(scope="module")
def net():
    found = oracle.Net.random(np.random.default_rng(21))
    middle = np.array([0, 1, 0])[:, None]
    return Flat(found.first * middle, found.first_bias, found.second * middle, *list(vars(found).values())[3:])


@pytest.fixture(scope="module")
def models(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    return {form: opened(folder / f"{form}.onnx", net, form) for form in FORMS}


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("method", sorted(oracle.ORACLES))
def test_every_map_follows_its_paper(net, models, method, relu):
    found = xaionnx.explain(models["channels first"], SERIES, method, [1, 4], layer="a", relu=relu)
    for t, c in enumerate((1, 4)):
        for n, x in enumerate(SERIES.astype(np.float64)[:, :, None]):
            small = oracle.ORACLES[method](net, x, c)
            small = np.maximum(small, 0) if relu else small
            scale = np.abs(small).max() or 1
            assert_close(found.maps["cam"][t, n] / scale, small / scale, Tolerance.DEEP)
            large = oracle.enlarged(small, 1, LONG)[0]
            for line in found.values[t, n]:
                assert_close(line / scale, large / scale, Tolerance.DEEP)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("method", [m for m in DRAWN if m != "cam"] + ["full_grad"])
def test_the_form_of_the_file_does_not_count(models, method, form):
    settings = {} if method == "full_grad" else {"layer": "a", "upsampling": "nearest"}
    one = xaionnx.explain(models["channels first"], SERIES, method, 2, **settings).values
    other = xaionnx.explain(models[form], fed(form), method, 2, **settings).values
    scale = np.abs(one).max()
    assert scale > 0
    assert_close(series_of(other, form) / scale, one / scale, Tolerance.DEEP)


@pytest.mark.parametrize("form", FORMS)
def test_the_last_map_is_looked_at_and_enlarged_between_its_places(net, models, form):
    found = GradCam(relu=False).attribute(models[form], fed(form), 2)
    assert found.provenance["seen_at"]["name"] == "a2"
    letters = "CHW" if form == "picture" else "C1T" if form == "keras" else "CT"
    assert found.provenance["seen_at"]["axes"] == letters
    assert found.maps["cam"].shape == (3, 1, 8)
    # Straight lines between centres, 17 / 8 apart.
    centres, places = (np.arange(8) + 0.5) * LONG / 8 - 0.5, np.arange(LONG)
    for n in range(3):
        line = np.interp(places, centres, found.maps["cam"][n, 0])
        assert_close(series_of(found.values, form)[n], [line] * 3, Tolerance.SIGNED_SUMS)


def test_the_class_activation_map_has_the_score_as_its_mean(net, models):
    found = xaionnx.explain(models["channels first"], SERIES, "cam", 2)
    mean = found.maps["cam"].mean(axis=(1, 2))
    assert_close(mean + net.head_bias[2], found.prediction, Tolerance.LAYERS)


def test_full_grad_adds_up(models):
    found = FullGrad().attribute(models["channels first"], SERIES, [0, 5])
    assert_close(found.diagnostics["completeness_gap"], 0, Tolerance.DEEP)
    # The value of a position is given to all its channels.
    assert_close(found.values, found.values[:, :, :1].repeat(3, axis=2), Tolerance.OPERATIONS)


@pytest.mark.sampled(percent=40)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("layer", ["a", "a2"])
def test_a_compiled_map_is_the_explained_one(models, form, upsampling, layer):
    for relu in (True, False):
        method = HiResCam(layer=layer, relu=relu, upsampling=upsampling)
        agree(models[form], {"x": fed(form)}, method, Target.probability(2))


def test_every_map_that_compiles_does_so_for_a_series(models):
    for name in set(compilation.methods()) & set(DRAWN):
        agree(models["channels first"], {"x": SERIES}, compilation.method(name)(), 1)


def test_lines_are_drawn_in_every_channel(models):
    model = models["channels first"]
    found = GuidedGradCam(layer="a").attribute(model, SERIES, 2)
    fine = xaionnx.explain(model, SERIES, "guided_backprop", 2).values
    where = GradCam(layer="a").attribute(model, SERIES, 2).values
    assert_close(found.values, fine * where, Tolerance.OPERATIONS)


def test_a_layer_of_a_series_is_told_by_its_channels(models):
    found = LayerActivation(layer="a").attribute(models["channels last"], fed("channels last"), 0)
    layer = layer_of(found)
    assert (layer.axes, layer.is_map) == ("CT", False)
    sums, names, words = parts(found.values[0], layer)
    assert_close(sums, found.values[0].sum(axis=1), Tolerance.SUMS)
    assert names == ["channel 0", "channel 1", "channel 2", "channel 3"]
    assert words == "Values of a channel are summed over its positions."


def read(nodes, shape, weights, name, held):
    made = tiny.model(nodes, [tensor("x", ["N", *shape])], [tensor("y", None)], weights)
    model = planted.load(made)
    sample = model.samples({"x": np.zeros((1, *shape), np.float32)})[0]
    return series(sample), Axes.at(model, name, held, sample).letters


def test_what_leaves_the_places_alone_and_what_does_not():
    k = {"k": np.ones((5, 4, 3), np.float32), "w": np.ones((9, 9), np.float32), "two": np.array([2], np.int64)}
    conv = node("Conv", ["x", "k"], ["a"], pads=[1, 1])
    # As many steps as channels: only the convolution shows which axis is time.
    square = {**k, "k": np.ones((9, 9, 3), np.float32)}
    found, letters = read([conv, node("Tanh", ["a"], ["y"])], [9, 9], square, "y", (9, 9))
    assert (found.channel, letters) == (0, "CT")
    turned = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("Conv", ["t", "k"], ["a"], pads=[1, 1])]
    found, letters = read([*turned, node("Transpose", ["a"], ["y"], perm=[0, 2, 1])], [9, 9], square, "y", (9, 9))
    assert (found.channel, letters) == (1, "TC")
    # A product along time, or a mean over it: no positions are left.
    assert read([conv, node("MatMul", ["a", "w"], ["y"])], [4, 9], k, "y", (5, 9))[1] == "--"
    assert read([conv, node("ReduceMean", ["a"], ["y"], axes=[2])], [4, 9], k, "y", (5, 1))[1] == "--"
    assert read([conv, node("ReduceMean", ["a"], ["y"], axes=[2], keepdims=0)], [4, 9], k, "y", (5,))[1] == "F"
    # A gate of channels keeps the map.
    gate = [node("ReduceMean", ["a"], ["m"], axes=[2], keepdims=0), node("Unsqueeze", ["m", "two"], ["g"])]
    assert read([conv, *gate, node("Mul", ["g", "a"], ["y"])], [4, 9], k, "y", (5, 9))[1] == "CT"
    # Without a convolution, time and channels cannot be distinguished.
    assert read([node("Tanh", ["x"], ["y"])], [4, 9], {}, "y", (4, 9)) == (None, "--")


def test_a_table_of_two_axes_is_no_series():
    model = Model.load("models/german_credit_mlp.onnx", device="cpu")
    assert series(model.samples({"features": np.zeros((1, 20), np.float32)})[0]) is None
    with pytest.raises(
        UnsupportedModelError, match=r"No tensor between .* has positions over the input: .* Use integrated_grad"
    ):
        GradCam().attribute(model, np.zeros((1, 20), np.float32), 0)


def test_free_length(tmp_path, net):
    model = opened(tmp_path / "m.onnx", net)
    free = model.file.proto
    free.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "T"
    assert free.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    (tmp_path / "free.onnx").write_bytes(free.SerializeToString())
    one, other = (GradCam().attribute(m, SERIES, 2) for m in (model, Model.load(tmp_path / "free.onnx", device="cpu")))
    assert_close(other.values, one.values, Tolerance.DEEP)
