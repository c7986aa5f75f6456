"""Compiled files against their methods."""

import dataclasses
import json
import os
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.compilation.files import agree, answers, small
from tests.explainers.test_branches import SIGNED
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, Target, compilation
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import (
    InputMismatchError,
    ModelFileError,
    ParameterError,
    StorageError,
    UnknownNameError,
    UnsupportedModelError,
    UsageError,
)
from xaionnx.explainers import ClosedForm
from xaionnx.explainers._gradients.compilable import Emitted
from xaionnx.explainers._gradients.gradient import AtLayer, GradientExplainer
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.patterns import estimate_patterns

GRADIENTS = [name for name in compilation.methods() if not issubclass(compilation.method(name), ClosedForm)]


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("method", GRADIENTS)
def test_every_method_answers_in_a_graph_what_it_answers_here(digits, x, method):
    model = digits
    if method == "cam":  # which needs a head with pooling
        model = planted.load(planted.pooled([[1.0], [-1.0]], [[3.0, -1.0], [2.0, 2.0]], (28, 28)))
    settings = small(method, patterns=estimate_patterns(model, x))
    found, told = agree(model, {model.input().name: x}, settings, None)
    np.testing.assert_array_equal(found["target"], [int(re.findall(r"\d+", name)[0]) for name in told.target])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_samples(digits, x, count):
    batch = np.resize(x, (count, 1, 28, 28))
    agree(digits, {digits.input().name: batch}, small("integrated_gradients"), None)


@pytest.mark.parametrize(
    "baseline",
    [0.5, np.full((1, 20), 0.25, np.float32), Baseline.background(np.random.default_rng(1).normal(size=(3, 20)))],
)
@pytest.mark.parametrize("target", [None, Target.probability(1)])
def test_the_gap_of_a_compiled_path(baseline, target):
    model = Model.load("models/german_credit_mlp.onnx", "cpu")
    rows = np.random.default_rng(4).normal(size=(2, 20)).astype(np.float32)
    method = IntegratedGradients(steps=3, rule="trapezoid", baseline=baseline)
    found, told = agree(model, {model.input().name: rows}, method, target)
    assert_close(found["completeness_gap"], told.diagnostics["completeness_gap"], Tolerance.ORDER_ONE)
    assert np.abs(found["completeness_gap"]).max() > 1e-4  # three steps are too few for completeness


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
@pytest.mark.parametrize("baseline", [0.5, Baseline.background(np.random.default_rng(1).normal(size=(3, 20)))])
def test_slopes_without_the_factor_have_no_gap(method, baseline):
    model = Model.load("models/german_credit_mlp.onnx", "cpu")
    rows = np.random.default_rng(4).normal(size=(2, 20)).astype(np.float32)
    found, told = agree(model, {model.input().name: rows}, small(method, baseline=baseline, factor="none"), None)
    assert told.value_kind == "slope"
    assert "completeness_gap" not in found


def test_several_inputs_of_several_types():
    model = loaded(
        """g (float[N, 3] a, double[N, 3] b, int64[N, 3] mask, float[2] scale) => (float[N, 3] y, int64[N, 3] same) {
        wide = Mul(b, b)  narrow = Cast<to = 1>(wide)  sum = Add(a, narrow)  own = Mul(sum, a)
        one = Constant<value = int64[1] {1}>()  s = Gather(scale, one)  scaled = Mul(own, s)
        m = Cast<to = 1>(mask)  y = Mul(scaled, m)  same = Identity(mask) }""",
    )
    rng = np.random.default_rng(0)
    feeds = {
        "a": rng.normal(size=(4, 3)).astype(np.float32),
        "b": rng.normal(size=(4, 3)),
        "mask": rng.integers(1, 4, (4, 3)),
        "scale": np.float32([1, 3]),
    }
    for method in ("input_x_gradient", "integrated_gradients"):
        found, _ = agree(model, feeds, small(method), None)
        assert {"attribution_a", "attribution_b"} <= set(found)


@pytest.mark.parametrize("opset", [17, 21])
def test_half_precision(opset):
    text = "g (float16[N, 3] x) => (float16[N, 3] y) { h = Mul(x, x)  y = Add(h, x) }"
    model = loaded(text, opset=opset)
    feeds = {"x": np.float16([[1, 2, 3], [0.5, -4, 0]])}
    made = compilation.compile(model, "input_x_gradient")
    found = answers(made, feeds)
    # y = x^2 + x at the top class.
    np.testing.assert_array_equal(found["attribution"], np.float32([[0, 0, 21], [0, 28, 0]]))
    assert found["attribution"].dtype == np.float32
    assert found["target"].tolist() == [2, 1]
    assert made.proto.ir_version >= onnx.helper.find_min_ir_version_for(list(made.proto.opset_import))


def test_bytes_have_the_gradient_of_their_floats():
    model = loaded("g (uint8[N, 3] x) => (float[N, 3] y) { c = Cast<to = 1>(x)  y = Mul(c, c) }")
    found, _ = agree(model, {"x": np.array([[1, 2, 3]], np.uint8)}, small("saliency"), 1)
    np.testing.assert_array_equal(found["attribution"], [[0, 4, 0]])


def test_bytes_that_are_compared_have_no_gradient():
    model = loaded("g (uint8[N, 3] x) => (float[N, 3] y) { b = Equal(x, x)  y = Cast<to = 1>(b) }")
    with pytest.raises(UnsupportedModelError, match=r"Input 'x' of g-.*onnx is \(N, 3\) uint8, which has no"):
        compilation.compile(model, "saliency")


def test_a_zipmap_becomes_its_matrix(tmp_path):
    path = tiny.saved(
        tmp_path / "zip.onnx",
        [
            tiny.node("MatMul", ["x", "w"], ["p"]),
            tiny.node("ZipMap", ["p"], ["zip"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]),
        ],
        [tiny.tensor("x", ["N", 3])],
        [tiny.tensor("zip", None)],
        {"w": np.float32([[1, 2], [0, 1], [-1, 0]])},
        domains={"ai.onnx.ml": 3},
    )
    model = Model.load(path, "cpu")
    found, _ = agree(model, {"x": np.float32([[1, 2, 3]])}, small("input_x_gradient"), "yes")
    np.testing.assert_array_equal(found["zip"], [[-2, 4]])
    np.testing.assert_array_equal(found["attribution"], [[2, 2, 0]])


def test_names_that_the_model_uses_stay_its_own():
    text = "g (float[N, 2] target) => (float[N, 2] attribution) { attribution = Mul(target, target) }"
    model = loaded(text)
    feeds = {"target": np.float32([[1, 3]])}
    found = answers(compilation.compile(model, "saliency"), feeds)
    np.testing.assert_array_equal(found["attribution"], [[1, 9]])
    np.testing.assert_array_equal(found["xaionnx_attribution"], [[0, 6]])
    assert found["xaionnx_target"].tolist() == [1]
    made = compilation.compile(model, "saliency", "input")
    found = answers(made, {**feeds, "xaionnx_target": np.array([0])})
    np.testing.assert_array_equal(found["xaionnx_attribution"], [[2, 0]])


FREE = "g (float[N, C, T] x) => (float[N, C] y) { h = Mul(x, x)  y = ReduceMean<axes = [2], keepdims = 0>(h) }"


def test_a_free_size_is_fixed_and_told():
    model = loaded(FREE)
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)}
    agree(model, feeds, small("saliency"), None, shapes={"x": (3, 5)})
    made = compilation.compile(model, "saliency", shapes={"x": (3, 5)})
    assert made.fixed == ("x",)
    assert made.inputs[0].shape == ("N", 3, 5)
    assert json.loads(made.facts["sizes"]) == {"x": [3, 5]}
    session = onnxruntime.InferenceSession(made.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {"x": np.ones((1, 3, 6), np.float32)})


@pytest.mark.parametrize(
    ("shapes", "error", "words"),
    [
        ({}, InputMismatchError, r"shapes=, or --shape: 2 whole numbers\.$"),
        ({"x": (3,)}, InputMismatchError, "2 whole numbers. Got 3 instead"),
        ({"x": (3, 0)}, InputMismatchError, "Got 3, 0 instead"),
        ({"z": (3, 5)}, UnknownNameError, "No input named 'z'"),
    ],
)
def test_sizes_that_do_not_fit(shapes, error, words):
    with pytest.raises(error, match=words):
        compilation.compile(loaded(FREE), "saliency", shapes=shapes)


def test_a_size_that_the_model_fixes_is_not_another(digits):
    name = digits.input().name
    assert compilation.compile(digits, "saliency", shapes={name: (1, 28, 28)}).fixed == ()
    with pytest.raises(InputMismatchError, match="Got 1, 32, 32 instead"):
        compilation.compile(digits, "saliency", shapes={name: (1, 32, 32)})


def test_the_spec_gives_the_size_of_pictures():
    model = loaded(FREE.replace("float[N, C, T]", "float[N, H, W, C]").replace("axes = [2]", "axes = [1, 2]"))
    spec = xaionnx.InputSpec(layout="NHWC", size=(4, 6))
    model = Model.load(model.path, "cpu", spec=spec)
    made = compilation.compile(model, "saliency")
    assert made.inputs[0].shape == ("N", 4, 6, 3)


def test_methods_that_are_no_graphs(digits):
    told = "lime is not a graph, so it cannot be compiled. Methods that can: .*integrated_gradients, .*saliency"
    with pytest.raises(UnsupportedModelError, match=told):
        compilation.compile(digits, "lime")
    with pytest.raises(UnknownNameError, match="Nearest: saliency"):
        compilation.compile(digits, "salincy")
    with pytest.raises(UnknownNameError, match="No parameter of saliency named 'step'"):
        compilation.compile(digits, "saliency", step=3)
    with pytest.raises(ParameterError, match="Use a number, an array"):
        compilation.compile(digits, "integrated_gradients", baseline="blur")
    with pytest.raises(ParameterError, match="Set 'steps' instead"):
        compilation.compile(digits, "integrated_gradients", tolerance=0.1)


def test_the_file_names_what_made_it(digits, tmp_path):
    made = compilation.compile(digits, "saliency", Target.margin(3, 5), absolute=False)
    assert made.save(tmp_path / "made.onnx") == (tmp_path / "made.onnx",)
    read = onnx.load(tmp_path / "made.onnx")
    told = {entry.key: entry.value for entry in read.metadata_props}
    assert (read.producer_name, read.producer_version) == ("xaionnx", xaionnx.__version__)
    assert told["xaionnx.method"] == "saliency"
    assert json.loads(told["xaionnx.parameters"]) == {"gradient": "graph", "absolute": False, "layer": None}
    assert told["xaionnx.target"] == "3 (3) - 5 (5)"
    assert told["xaionnx.source"] == "mnist_cnn.onnx"
    assert told["xaionnx.source_sha256"] == digits.sha256
    assert told["xaionnx.version"] == xaionnx.__version__
    assert "saliency of 3 (3) - 5 (5)" in read.doc_string
    assert {entry.key for entry in digits.file.proto.metadata_props} <= set(told)
    with pytest.raises(UnsupportedModelError, match=r"made\.onnx is already a compiled file"):
        compilation.compile(tmp_path / "made.onnx", "saliency")


def external(folder):
    """A model with weights in a file below its folder."""
    proto = planted.linear(np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32))
    (folder / "parts").mkdir(parents=True)
    onnx.save(proto, folder / "big.onnx", save_as_external_data=True, location="parts/weights.bin", size_threshold=64)
    return folder / "big.onnx"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_external_weights_are_found_from_the_file(tmp_path, monkeypatch, elsewhere):
    source = external(tmp_path / "source")
    place = tmp_path / "other" / "made.onnx" if elsewhere else source.parent / "made.onnx"
    place.parent.mkdir(exist_ok=True)
    model = Model.load(source, "cpu")
    files = compilation.compile(model, "input_x_gradient").save(place)
    assert [file.name for file in files] == (["made.onnx", "made.onnx.data"] if elsewhere else ["made.onnx"])
    assert place.stat().st_size < source.stat().st_size + 4000  # the weights are not in it
    onnx.checker.check_model(place, full_check=True)
    if elsewhere:
        for file in source.parent.rglob("*.*"):
            file.unlink()
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(place, providers=["CPUExecutionProvider"])
    y, values, top, value = session.run(["y", "attribution", "target", "target_value"], {"x": x})
    np.testing.assert_array_equal(top, y.argmax(axis=1))
    assert_close(values.sum(axis=1), value, Tolerance.LAYERS)  # a linear model without bias


@pytest.mark.parametrize("elsewhere", [False, True])
def test_weights_that_changed_since_they_were_read_are_not_compiled(tmp_path, elsewhere):
    source = external(tmp_path / "source")
    place = tmp_path / "other" / "made.onnx" if elsewhere else source.parent / "made.onnx"
    place.parent.mkdir(exist_ok=True)
    made = compilation.compile(source, "input_x_gradient")
    weights = source.parent / "parts/weights.bin"
    status = weights.stat()
    weights.write_bytes(bytes(status.st_size))
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))  # only the content tells
    with pytest.raises(ModelFileError, match=r"weights\.bin has changed or gone since the model was read\. Load the"):
        made.save(place)
    assert not [file for file in place.parent.iterdir() if "made" in file.name]
    weights.unlink()
    with pytest.raises(ModelFileError, match="has changed or gone"):
        made.save(place)


def test_what_is_read_is_never_overwritten(tmp_path):
    source = external(tmp_path)
    made = compilation.compile(source, "saliency")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="would overwrite"):
        made.save(source)
    assert source.read_bytes() == before
    with pytest.raises(StorageError, match="Cannot write"):
        made.save(tmp_path / "none" / "made.onnx")


def test_a_fixed_number_of_samples():
    text = """g (float[2, 3] x) => (float[2, 3] y) <int64[2] shape = {2, 3}> {
        flat = Reshape(x, shape)  y = Mul(flat, flat) }"""
    model = loaded(text)
    found, _ = agree(model, {"x": np.float32([[1, 2, 3], [6, 5, 4]])}, small("saliency"), None)
    assert found["target"].tolist() == [2, 0]
    with pytest.raises(UnsupportedModelError, match="takes a fixed number of samples"):
        compilation.compile(model, "integrated_gradients")


def test_an_output_that_mixes_samples_stops_methods_of_several_points():
    text = "g (float[N, 3] x) => (float[N, 3] y, float[3] all) { y = Mul(x, x)  all = ReduceSum<keepdims = 0>(y) }"
    text = text.replace("ReduceSum<keepdims = 0>(y)", "ReduceMean<axes = [0], keepdims = 0>(y)")
    model = loaded(text)
    assert compilation.compile(model, "saliency").outputs[1].shape == (3,)
    with pytest.raises(UnsupportedModelError, match=r"Output 'all' of g-.*\.onnx has no batch axis"):
        compilation.compile(model, "integrated_gradients")


def test_bfloat16_is_fed_and_answered_as_float32(tmp_path):
    path = tiny.saved(
        tmp_path / "b.onnx",
        [tiny.node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT), tiny.node("Mul", ["wide", "wide"], ["y"])],
        [tiny.tensor("x", ["N", 2], TensorProto.BFLOAT16)],
        [tiny.tensor("y", ["N", 2])],
    )
    found = answers(compilation.compile(path, "saliency", 1), {"x": np.float32([[1, 2], [3, -4]])})
    np.testing.assert_array_equal(found["attribution"], [[0, 4], [0, 8]])


def test_a_model_declared_for_one_sample_takes_any_number():
    model = loaded("g (float[1, 3] x) => (float[1, 3] y) { y = Mul(x, x) }")
    made = compilation.compile(model, "integrated_gradients", 1, steps=2)
    assert [info.shape for info in made.outputs] == [("N", 3), ("N", 3), ("N",), ("N",), ("N",)]
    found = answers(made, {"x": np.float32([[1, 2, 3], [0, 4, 0]])})
    assert_close(found["attribution"], [[0, 4, 0], [0, 16, 0]], Tolerance.OPERATIONS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidedChannels(AtLayer, GradientExplainer):
    """A map of an inner tensor with other rules: the sum of h * dy/dh over channels, broadcast to all of x."""

    value_kind = "contribution"
    reference = "this test"

    def explain_points(self, slopes, points):
        raise NotImplementedError

    def rules(self, model):
        def doubled(g, node, cotangents, needed):
            return [g.op("Mul", cotangents[0], 2.0)]

        return STANDARD | {"Sin": doubled}

    def wrt(self, model, sample, tensor):
        return ("h",)

    def emit(self, g, traced):
        weighted = g.op("Mul", traced.tensors["h"], traced.gradients["h"])
        summed = g.op("ReduceSum", weighted, np.array([1]), keepdims=1)
        return Emitted({"x": g.op("Expand", summed, g.op("Shape", traced.x["x"]))})


def test_a_method_of_its_own_rules_and_tensors():
    model = loaded("g (float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  s = Sin(h)  y = Mul(s, s) }")
    x = np.float32([[1, 2], [0.5, 3]])
    found = answers(compilation.compile(model, GuidedChannels(), Target.sum()), {"x": x})
    h = x**2
    expected = (h * 2 * np.sin(h) * 2).sum(axis=1, keepdims=True)  # d(s^2)/ds = 2 s, and the rule of Sin returns 2
    assert_close(found["attribution"], np.broadcast_to(expected, x.shape), Tolerance.SUMS)


def test_a_shared_number():
    model = loaded("g (float[N, 2] x, float s) => (float[N, 2] y) { h = Mul(x, x)  y = Mul(h, s) }")
    feeds = {"x": np.float32([[1, 2], [3, -1]]), "s": np.array(3, np.float32)}
    found, _ = agree(model, feeds, small("saliency"), 0)
    np.testing.assert_array_equal(found["attribution"], [[6, 0], [18, 0]])
    agree(model, feeds, small("integrated_gradients"), None)


@pytest.mark.slow
def test_a_model_of_more_than_two_gigabytes(tmp_path):
    """y = x + 0 x, with the zeros in 34 weights of 64 MB: the graph stays small and the weights are not copied."""
    side, layers = 4096, 34
    with (tmp_path / "zeros.bin").open("wb") as weights:
        weights.truncate(layers * side * side * 4)  # a sparse file, without any block on the disk
    nodes, tensors, last = [], [], "x"
    for layer in range(layers):
        place = {"location": "zeros.bin", "offset": layer * side * side * 4, "length": side * side * 4}
        weight = onnx.TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[side, side])
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.extend(onnx.StringStringEntryProto(key=k, value=str(v)) for k, v in place.items())
        tensors.append(weight)
        nodes.append(tiny.node("MatMul", [last, weight.name], [f"p{layer}"]))
        nodes.append(tiny.node("Add", [last, f"p{layer}"], [f"s{layer}" if layer < layers - 1 else "y"]))
        last = f"s{layer}"
    proto = tiny.model(nodes, [tiny.tensor("x", ["N", side])], [tiny.tensor("y", ["N", side])])
    proto.graph.initializer.extend(tensors)
    (tmp_path / "big.onnx").write_bytes(proto.SerializeToString())
    made = compilation.compile(tmp_path / "big.onnx", "saliency", 7)
    assert made.save(tmp_path / "made.onnx") == (tmp_path / "made.onnx",)
    assert (tmp_path / "made.onnx").stat().st_size < 2**20
    onnx.checker.check_model(tmp_path / "made.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "made.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(2, side)).astype(np.float32)
    y, values = session.run(["y", "attribution"], {"x": x})
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(values, np.tile(np.arange(side) == 7, (2, 1)))


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient"])
def test_a_layer_is_explained_as_explain_does(method):
    model = Model.load("models/mnist_vit.onnx", device="cpu")
    layer = "/blocks/blocks.3/norm1/LayerNormalization_output_0"
    x = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
    made = xaionnx.compile(model, method, layer=layer)
    onnx.checker.check_model(made.proto, full_check=True)
    found = onnxruntime.InferenceSession(made.proto.SerializeToString()).run(["attribution"], {"pixels": x})[0]
    told = xaionnx.explain(model, x, method, layer=layer).values
    assert found.shape == (3, 50, 64)
    assert_close(found, told, Tolerance.ORDER_ONE, np.abs(told).max())


def test_a_path_is_not_compiled_at_a_layer():
    with pytest.raises(ParameterError, match="compiled only at float inputs, not at a layer"):
        xaionnx.compile("models/digits_cnn.onnx", "integrated_gradients", layer="/4/MaxPool_output_0")


def test_branches_by_values_and_detections_are_refused_as_such():
    model = loaded(SIGNED, opset=20)
    with pytest.raises(UnsupportedModelError, match=r"one graph, and 'up' of .* chooses a branch of If by values"):
        compilation.compile(model, "saliency", 0)
    detector = planted.load(planted.detector())
    with pytest.raises(UnsupportedModelError, match=r"a maximum over the boxes, .* Use Target.box"):
        compilation.compile(detector, "saliency", Target.detection())


def test_one_layer_is_compiled_at_a_time(digits):
    with pytest.raises(ParameterError, match="A compiled file explains one layer"):
        compilation.compile(digits, "grad_cam", 0, layer=["/2/Conv_output_0", "/4/Conv_output_0"])
