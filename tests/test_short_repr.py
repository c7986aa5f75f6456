"""Short representations of all values."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import xaionnx
from xaionnx import Baseline, Explanation, Features, InputSpec, Model, Target, discovery
from xaionnx.short_repr import short

MOST_LINES, MOST_CHARACTERS = 6, 900


def small(value):
    text = repr(value)
    assert len(text.splitlines()) <= MOST_LINES, text
    assert len(text) <= MOST_CHARACTERS, text
    return text


@pytest.mark.parametrize("name", ["efficientnet_lite0", "german_credit_mlp", "german_credit_forest", "mnist_cnn"])
def test_a_model_says_where_it_lies_what_runs_it_and_what_it_takes(name):
    model = Model.load(f"models/{name}.onnx", "cpu")
    lines = small(model).splitlines()
    assert lines[0].startswith(f"Model {name}.onnx (")
    assert lines[0].endswith("), CPUExecutionProvider")
    assert lines[1].split() == ["inputs", model.inputs[0].name, *str(model.inputs[0]).split()]
    assert f"{model.output().name} {model.output()}" in lines[2]
    assert lines[3].endswith(f", {len(model.labels)} labels")
    small(model.file)


def test_a_spec_shows_what_was_given_and_not_every_label():
    labels = [f"class {k}" for k in range(1000)]
    text = small(InputSpec(kind="table", columns=["age"], labels=labels))
    assert "columns=('age',), labels=('class 0', 'class 1', 'class 2', ... 1000 in all))" in text
    assert "layout" not in text


def test_an_explanation_says_what_a_reader_wants_to_know():
    x = np.load("models/data/mnist_sample.npz")["images"][:2].astype(np.float32).reshape(2, 1, 28, 28)
    found = xaionnx.explain("models/mnist_cnn.onnx", x, "saliency", [2, 7])
    lines = small(found).splitlines()
    assert lines[0] == "Explanation by saliency of mnist_cnn.onnx, 2 samples, 2 targets"
    shown = [f"{found.target[t, n]} = {found.prediction[t, n]:.4g}" for t, n in ((0, 0), (0, 1), (1, 0))]
    assert lines[1] == f"  target   {'; '.join(shown)}; ... 4 in all"
    assert lines[2].startswith("  values   (2, 2, 1, 28, 28) float32, sensitivity: of the target")
    assert lines[3].startswith(f"  cost     {sum(found.diagnostics['evaluations'])} evaluations, ")
    assert repr(Explanation("a", np.ones((1, 2)), np.array(["y"]), np.ones(1))).count("\n") == 2


def test_a_compiled_method_says_what_it_computes():
    text = small(xaionnx.compile(Model.load("models/mnist_cnn.onnx", "cpu"), "saliency", target=3))
    assert text.startswith(
        "Compiled saliency of mnist_cnn.onnx, target 3 (3)\n  inputs   pixels (N, 1, 28, 28) float32"
    )


@pytest.mark.parametrize(
    "value",
    [
        Features.of(np.zeros((300, 300), int)),
        Features.of({"a": np.zeros((300, 300), int)}),
        Features.columns([list(range(500)), list(range(500, 1000))]),
        Target.of(np.arange(2000))[0][0],
        Target.loss(np.arange(2000)),
        Target.region(np.ones((300, 300), bool)),
        Baseline.of(np.zeros((3, 300, 300))),
        Baseline.of({"a": np.zeros((3, 300, 300)), "b": 0}),
        Baseline.background(np.zeros((50, 300))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arrays_are_told_by_their_shape(value):
    text = small(value)
    assert text.startswith(f"{type(value).__name__}(")
    assert "array(" not in text


@pytest.mark.parametrize("name", discovery.methods())
def test_a_method_with_arrays_among_its_parameters_is_short(name):
    kind = discovery.method(name)
    fields = {field.name for field in dataclasses.fields(kind)}
    arrays = {"features": np.zeros((300, 300), int), "baseline": np.zeros((3, 300, 300))}
    given = {key: value for key, value in arrays.items() if key in fields}
    if name.startswith("pattern"):
        given["patterns"] = np.zeros((9, 3, 300, 300))
    text = small(kind(**given))
    assert all(f"{key}=array {value.shape} {value.dtype}" in text for key, value in given.items())


def test_every_public_dataclass_that_holds_arrays_is_short():
    """Arrays, graphs and mappings among the fields are shown by their shape or count."""
    long = re.compile(r"Array|Proto|Mapping|dict\[|Sequence")
    found = []
    for module in pkgutil.walk_packages(xaionnx.__path__, "xaionnx."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        for name, item in vars(importlib.import_module(module.name)).items():
            if not inspect.isclass(item) or item.__module__ != module.name or name.startswith("_"):
                continue
            if not dataclasses.is_dataclass(item):
                continue
            shown = [field for field in dataclasses.fields(item) if field.repr and long.search(str(field.type))]
            if shown and getattr(item.__repr__, "__wrapped__", None) is not None:
                found.append(f"{module.name}.{name}")  # the default one of dataclasses
    assert found == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.arange(3), "array([0, 1, 2])"),
        (np.zeros((4, 5), np.float32), "array (4, 5) float32"),
        ((1,), "(1,)"),
        ([], "[]"),
        ({"a": np.zeros(9)}, "{'a': array (9,) float64}"),
        (list(range(7)), "[0, 1, 2, ... 7 in all]"),
        ("x" * 100, f"'{'x' * 80}'... (100 characters)"),
        (frozenset([1]), "{1}"),
        (np.float32(0.5), repr(np.float32(0.5))),
    ],
)
def test_values_on_one_line(value, text):
    assert short(value) == text


def test_a_class_without_fields_is_named():
    axes = xaionnx.Model.load("models/digits_cnn.onnx").axes
    assert repr(axes).startswith("ModelAxes(finder=<AxisFinder>, inputs=(TensorInfo(")
