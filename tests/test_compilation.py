"""Compiled files against the methods that they were made of."""

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, parser

import xaionnx
from models import planted
from tests import tiny
from xaionnx import Baseline, Model, Target, compilation
from xaionnx.aim import Chosen
from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import (
    InputMismatchError,
    ParameterError,
    StorageError,
    UnknownNameError,
    UnsupportedModelError,
    UsageError,
)
from xaionnx.explainers._graph import Emitted, GraphExplainer
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.target import Top

# Paths of a few steps: both faces take the same ones.
SMALL = {"steps": 4}
# The graph sums in float32 and numpy in float64; of the rest both run the same nodes.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}
CLASSES = 10

TARGETS = {
    "top": None,
    "class": 3,
    "label": Target.label("7"),
    "probability of the top": Target.probability(),
    "probability": Target.probability(2),
    "second": Top(1),
    "margin": Target.margin(3, 5),
    "sum": Target.sum(),
    "loss": Target.loss(np.array(4)),
    "squared error": Target.loss(np.arange(CLASSES) / 5, "squared_error"),
    "region": Target.region(threshold=0.0),
    "neuron": Target.neuron("logits", 2),
}


def small(method, **more):
    kind = compilation.method(method)
    known = xaionnx.parameters.declared(kind)
    return kind(**{key: value for key, value in {**SMALL, **more}.items() if key in known})


def answers(made, feeds):
    """What bare onnxruntime answers, after the checker of ONNX has passed the file in full."""
    onnx.checker.check_model(made.proto, full_check=True)
    onnx.shape_inference.infer_shapes(made.proto, check_type=True, strict_mode=True, data_prop=True)
    session = onnxruntime.InferenceSession(made.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == [info.name for info in made.outputs]
    return dict(zip([info.name for info in made.outputs], session.run(None, feeds), strict=True))


def agree(model, feeds, method, target, **options):
    """A compiled file and the explanation answer the same; both."""
    made = compilation.compile(model, method, target, **options)
    found = answers(made, feeds)
    told = method.attribute(model, feeds, target)
    for name, output in model.run(model.check(feeds)).items():
        np.testing.assert_allclose(found[name], output, **TOLERANCE)
    values = told.values if isinstance(told.values, dict) else {"": told.values}
    for name, expected in values.items():
        size = np.abs(expected).max()
        got = found[f"attribution_{name}" if name else "attribution"]
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got / size, expected / size, **TOLERANCE)
    np.testing.assert_allclose(found["target_value"], told.prediction, rtol=1e-4, atol=1e-4)
    return found, told


def parsed(tmp_path, text, opset=17):
    path = tmp_path / "model.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}'), path)
    return Model.load(path, device="cpu")


@pytest.fixture(scope="module")
def digits():
    return Model.load("models/mnist_cnn.onnx", "cpu")


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)


@pytest.mark.parametrize("method", compilation.methods())
def test_every_method_answers_in_a_graph_what_it_answers_here(digits, x, method):
    found, told = agree(digits, {digits.input().name: x}, small(method), None)
    np.testing.assert_array_equal(found["target"], [int(name.split()[0]) for name in told.target])


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_every_target_in_a_graph(digits, x, target):
    found, told = agree(digits, {digits.input().name: x}, small("saliency", absolute=False), target)
    if "target" in found:
        np.testing.assert_array_equal(found["target"], [int(name.split()[0]) for name in told.target])


@pytest.mark.parametrize(
    "target",
    [
        Target.channel("h"),
        Target.channel("h", 1),
        Target.region(np.eye(4, dtype=bool), channel=1),
        Target.region(threshold=0.2, channel=0),
        Target.index((1, 2, 3)),
        Target.sum(output="h"),
        Target.channel("mixed"),
    ],
)
def test_maps_and_inner_tensors(tmp_path, target):
    model = parsed(
        tmp_path,
        """g (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) {
        h = Mul(x, x)  sine = Sin(x)  mixed = Concat<axis = 1>(h, sine)  y = Tanh(h) }""",
    )
    feeds = {"x": np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)}
    agree(model, feeds, small("input_x_gradient"), target)
    agree(model, feeds, small("integrated_gradients"), target)


def test_the_first_of_equal_classes_is_the_top(tmp_path):
    model = planted.load(planted.linear([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0]]))
    feeds = {"x": np.float32([[1, 1], [2, 0]])}
    found, _ = agree(model, feeds, small("saliency"), None)
    assert found["target"].tolist() == [0, 0]
    found, _ = agree(model, feeds, small("saliency"), Top(1))
    assert found["target"].tolist() == [1, 1]


def test_a_class_that_is_named_at_each_run(digits, x):
    name = digits.input().name
    for target in ("input", Chosen()):
        made = compilation.compile(digits, "saliency", target)
        assert [info.name for info in made.inputs] == [name, "target"]
        classes = np.array([9, 0, 4])
        found = answers(made, {name: x, "target": classes})
        told = xaionnx.explain(digits, x, "saliency", classes)
        np.testing.assert_allclose(found["attribution"], told.values, **TOLERANCE)
        np.testing.assert_allclose(found["target_value"], told.prediction, rtol=1e-5)
        assert "target" not in found
    session = onnxruntime.InferenceSession(made.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="out of data bounds"):
        session.run(None, {name: x, "target": np.array([1, CLASSES, 2])})
    with pytest.raises(ParameterError, match="names its class when a compiled file runs"):
        xaionnx.explain(digits, x, "saliency", Chosen())


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
    np.testing.assert_allclose(found["completeness_gap"], told.diagnostics["completeness_gap"], atol=1e-5)
    assert np.abs(found["completeness_gap"]).max() > 1e-4  # three steps are too few


def test_several_inputs_of_several_types(tmp_path):
    model = parsed(
        tmp_path,
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
def test_half_precision(tmp_path, opset):
    text = "g (float16[N, 3] x) => (float16[N, 3] y) { h = Mul(x, x)  y = Add(h, x) }"
    model = parsed(tmp_path, text, opset)
    feeds = {"x": np.float16([[1, 2, 3], [0.5, -4, 0]])}
    made = compilation.compile(model, "input_x_gradient")
    found = answers(made, feeds)
    # y = x^2 + x at the top class.
    np.testing.assert_array_equal(found["attribution"], np.float16([[0, 0, 21], [0, 28, 0]]))
    assert found["attribution"].dtype == np.float16
    assert found["target"].tolist() == [2, 1]
    assert made.proto.ir_version >= onnx.helper.find_min_ir_version_for(list(made.proto.opset_import))


def test_bytes_have_no_gradient(tmp_path):
    model = parsed(tmp_path, "g (uint8[N, 3] x) => (float[N, 3] y) { y = Cast<to = 1>(x) }")
    with pytest.raises(UnsupportedModelError, match=r"Input 'x' of model.onnx is \(N, 3\) uint8, which has no"):
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


def test_names_that_the_model_uses_stay_its_own(tmp_path):
    text = "g (float[N, 2] target) => (float[N, 2] attribution) { attribution = Mul(target, target) }"
    model = parsed(tmp_path, text)
    feeds = {"target": np.float32([[1, 3]])}
    found = answers(compilation.compile(model, "saliency"), feeds)
    np.testing.assert_array_equal(found["attribution"], [[1, 9]])
    np.testing.assert_array_equal(found["xaionnx_attribution"], [[0, 6]])
    assert found["xaionnx_target"].tolist() == [1]
    made = compilation.compile(model, "saliency", "input")
    found = answers(made, {**feeds, "xaionnx_target": np.array([0])})
    np.testing.assert_array_equal(found["xaionnx_attribution"], [[2, 0]])


FREE = "g (float[N, C, T] x) => (float[N, C] y) { h = Mul(x, x)  y = ReduceMean<axes = [2], keepdims = 0>(h) }"


def test_a_free_size_is_fixed_and_told(tmp_path):
    model = parsed(tmp_path, FREE)
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
        ({}, InputMismatchError, r"shapes, 2 whole numbers\.$"),
        ({"x": (3,)}, InputMismatchError, "2 whole numbers. Got 3 instead"),
        ({"x": (3, 0)}, InputMismatchError, "Got 3, 0 instead"),
        ({"z": (3, 5)}, UnknownNameError, "No input named 'z'"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path, shapes, error, words):
    with pytest.raises(error, match=words):
        compilation.compile(parsed(tmp_path, FREE), "saliency", shapes=shapes)


def test_a_size_that_the_model_fixes_is_not_another(digits):
    with pytest.raises(InputMismatchError, match="Got 1, 32, 32 instead"):
        compilation.compile(digits, "saliency", shapes={digits.input().name: (1, 32, 32)})


def test_the_spec_gives_the_size_of_pictures(tmp_path):
    model = parsed(tmp_path, FREE.replace("float[N, C, T]", "float[N, H, W, C]").replace("axes = [2]", "axes = [1, 2]"))
    spec = xaionnx.InputSpec(layout="NHWC", size=(4, 6))
    model = Model.load(model.path, "cpu", spec=spec)
    made = compilation.compile(model, "saliency")
    assert made.inputs[0].shape == ("N", 4, 6, 3)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([1, 2], "A compiled file holds one target"),
        (Target.top(3), "A compiled file holds one target"),
        (np.array([3]), "cannot hold one class for each sample"),
        (Target.loss(np.array([3])), "cannot hold one class for each sample"),
        (Target.index(CLASSES), r"must be an int in \[0, 9\]"),
    ],
)
def test_targets_that_no_file_can_hold(digits, target, words):
    with pytest.raises(ParameterError, match=words):
        compilation.compile(digits, "saliency", target)


def test_methods_that_are_no_graphs(digits):
    told = "lime is not a graph, so it cannot be compiled. Methods that can: .*integrated_gradients, .*saliency"
    with pytest.raises(UnsupportedModelError, match=told):
        compilation.compile(digits, "lime")
    with pytest.raises(UnknownNameError, match="Nearest: saliency"):
        compilation.compile(digits, "salincy")
    with pytest.raises(UnknownNameError, match="No parameter of saliency named 'step'"):
        compilation.compile(digits, "saliency", step=3)
    with pytest.raises(ParameterError, match="Take a number, zero"):
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
    assert json.loads(told["xaionnx.parameters"]) == {"absolute": False}
    assert told["xaionnx.target"] == "3 (3) - 5 (5)"
    assert told["xaionnx.source"] == "mnist_cnn.onnx"
    assert told["xaionnx.source_sha256"] == digits.sha256
    assert told["xaionnx.version"] == xaionnx.__version__
    assert "saliency of 3 (3) - 5 (5)" in read.doc_string
    assert {entry.key for entry in digits.file.proto.metadata_props} <= set(told)
    with pytest.raises(UnsupportedModelError, match=r"made\.onnx is a compiled file already"):
        compilation.compile(tmp_path / "made.onnx", "saliency")


def external(folder):
    """A model whose weights lie in a file below its folder."""
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
    np.testing.assert_allclose(values.sum(axis=1), value, rtol=1e-4)  # a linear model without bias


def test_what_is_read_is_never_overwritten(tmp_path):
    source = external(tmp_path)
    made = compilation.compile(source, "saliency")
    before = source.read_bytes()
    with pytest.raises(UsageError, match="would overwrite"):
        made.save(source)
    assert source.read_bytes() == before
    with pytest.raises(StorageError, match="Cannot write"):
        made.save(tmp_path / "none" / "made.onnx")


def test_a_fixed_number_of_samples(tmp_path):
    text = """g (float[2, 3] x) => (float[2, 3] y) <int64[2] shape = {2, 3}> {
        flat = Reshape(x, shape)  y = Mul(flat, flat) }"""
    model = parsed(tmp_path, text)
    found, _ = agree(model, {"x": np.float32([[1, 2, 3], [6, 5, 4]])}, small("saliency"), None)
    assert found["target"].tolist() == [2, 0]
    with pytest.raises(UnsupportedModelError, match="takes a fixed number of samples"):
        compilation.compile(model, "integrated_gradients")


def test_an_output_that_mixes_samples_stops_methods_of_several_points(tmp_path):
    text = "g (float[N, 3] x) => (float[N, 3] y, float[3] all) { y = Mul(x, x)  all = ReduceSum<keepdims = 0>(y) }"
    text = text.replace("ReduceSum<keepdims = 0>(y)", "ReduceMean<axes = [0], keepdims = 0>(y)")
    model = parsed(tmp_path, text)
    assert compilation.compile(model, "saliency").outputs[1].shape == (3,)
    with pytest.raises(UnsupportedModelError, match=r"Output 'all' of model\.onnx has no batch axis"):
        compilation.compile(model, "integrated_gradients")


def test_bfloat16_is_refused(tmp_path):
    path = tiny.saved(
        tmp_path / "b.onnx",
        [tiny.node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT), tiny.node("Mul", ["wide", "wide"], ["y"])],
        [tiny.tensor("x", ["N", 2], TensorProto.BFLOAT16)],
        [tiny.tensor("y", ["N", 2])],
    )
    with pytest.raises(UnsupportedModelError, match=r"b\.onnx computes in bfloat16"):
        compilation.compile(path, "saliency", 1)


def test_a_model_declared_for_one_sample_takes_any_number(tmp_path):
    model = parsed(tmp_path, "g (float[1, 3] x) => (float[1, 3] y) { y = Mul(x, x) }")
    made = compilation.compile(model, "integrated_gradients", 1, steps=2)
    assert [info.shape for info in made.outputs] == [("N", 3), ("N", 3), ("N",), ("N",), ("N",)]
    found = answers(made, {"x": np.float32([[1, 2, 3], [0, 4, 0]])})
    np.testing.assert_allclose(found["attribution"], [[0, 4, 0], [0, 16, 0]], rtol=1e-6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidedChannels(GraphExplainer):
    """A map from an inner tensor and swapped rules: the sum of h * dy/dh over channels, given to every element of x."""

    reference = "this test"

    def trace(self, slopes, points):
        raise NotImplementedError

    def rules(self):
        def doubled(g, node, cotangents, needed):
            return [g.op("Mul", cotangents[0], 2.0)]

        return STANDARD | {"Sin": doubled}

    def wrt(self, model):
        return ("h",)

    def emit(self, g, traced):
        weighted = g.op("Mul", traced.tensors["h"], traced.gradients["h"])
        summed = g.op("ReduceSum", weighted, np.array([1]), keepdims=1)
        return Emitted({"x": g.op("Expand", summed, g.op("Shape", traced.x["x"]))})


def test_a_method_of_its_own_rules_and_tensors(tmp_path):
    model = parsed(tmp_path, "g (float[N, 2] x) => (float[N, 2] y) { h = Mul(x, x)  s = Sin(h)  y = Mul(s, s) }")
    x = np.float32([[1, 2], [0.5, 3]])
    found = answers(compilation.compile(model, GuidedChannels(), Target.sum()), {"x": x})
    h = x**2
    expected = (h * 2 * np.sin(h) * 2).sum(axis=1, keepdims=True)  # d(s^2)/ds = 2 s, and the rule of Sin says 2
    np.testing.assert_allclose(found["attribution"], np.broadcast_to(expected, x.shape), rtol=1e-5)
