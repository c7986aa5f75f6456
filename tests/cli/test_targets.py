"""A value of ``--target`` equals the Target in Python."""

from __future__ import annotations

import numpy as np
import pytest
from xaionnx_cli._targets import read_targets

from models import planted
from tests import tiny
from xaionnx.data.spec import InputSpec
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.runtime.model import Model
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import resolve
from xaionnx.targets.target import Target


@pytest.fixture(scope="module")
def model() -> Model:
    labels = ["zero", "one, two", "two", "tiger cat", "region", "five", "six", "seven", "eight", "nine"]
    return Model.load("models/digits_cnn.onnx", spec=InputSpec(size=(8, 8), color="L", scale=255, labels=labels))


@pytest.fixture(scope="module")
def x(model: Model) -> dict[str, np.ndarray]:
    return model.check(np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("3", Target.index(3)),
        ("tiger cat", Target.index(3)),
        ("TIGER", Target.index(3)),
        ("one, two", Target.index(1)),
        ("label:region", Target.index(4)),
        ("region:-100", Target.region(threshold=-100)),
        ("top:3", Target.top(3)),
        ("probability", Target.probability()),
        ("probability:five", Target.probability(5)),
        ("margin:3,5", Target.margin(3, 5)),
        ("margin:tiger cat, five", Target.margin(3, 5)),
        ("margin:one, two,five", Target.margin(1, 5)),
        ("loss:3", Target.loss(np.array(3))),
        ("element:7", Target.index([7])),
        ("channel:2", Target.channel("logits", 2)),
        ("peak:2", Target.channel("logits", 2, peak=True)),
        ("peak", Target.channel("logits", peak=True)),
        ("neuron:/3/Relu_output_0:5,0,3", Target.neuron("/3/Relu_output_0", (5, 0, 3))),
        ("neuron:logits:7", Target.neuron("logits", 7)),
        ("sum", Target.sum()),
    ],
)
def test_words_mean_the_target(model, x, text, same):
    found, expected = resolve(read_targets([text], None, model), model, x), resolve(same, model, x)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.several == expected.several
    assert found.selection.names.tolist() == expected.selection.names.tolist()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("element:5,0,3", Target.neuron("/3/Relu_output_0", (5, 0, 3))),
        ("channel:5", Target.channel("/3/Relu_output_0", 5)),
        ("channel", Target.channel("/3/Relu_output_0")),
        ("sum", Target.sum(output="/3/Relu_output_0")),
    ],
)
def test_words_about_a_tensor_inside_the_model(model, x, text, same):
    found = resolve(read_targets([text], "/3/Relu_output_0", model), model, x)
    expected = resolve(same, model, x)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.selection.names.tolist() == expected.selection.names.tolist()


def test_repeated_words_are_several_targets(model, x):
    found = resolve(read_targets(["3", "margin:3,5"], None, model), model, x)
    assert found.several
    assert found.selection.names[:, 0].tolist() == ["tiger cat (3)", "tiger cat (3) - five (5)"]


def test_no_words_are_the_top_class_or_the_strongest_channel(model, x):
    assert read_targets([], None, model) is None
    assert read_targets([], "logits", model) == Top(output="logits")
    inside = next(t for t in targets_of(model) if t not in {o.name for o in model.outputs})
    assert read_targets([], inside, model) == Target.channel(inside)


def targets_of(model: Model) -> list[str]:
    return [name for node in model.file.proto.graph.node for name in node.output]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top:x", "The target 'top' must be written as 'top:3'. Got 'top:x' instead."),
        ("region:x", "The target 'region' must be written as 'region' or 'region:0.5'. Got 'region:x' instead."),
        ("sum:3", "The target 'sum' must be written as 'sum'. Got 'sum:3' instead."),
        ("labelled:3", "The target 'labelled' must be written as 'labelled'. Got 'labelled:3' instead."),
        ("loss", "The target 'loss' must be written as 'loss:3'. Got 'loss' instead."),
        ("margin:3", "The target 'margin' must be written as 'margin:281,207'. Got 'margin:3' instead."),
        ("margin:,3", "The target 'margin' must be written as 'margin:281,207'. Got 'margin:,3' instead."),
        (
            "neuron:3",
            "The target 'neuron' must be written as 'neuron:/relu/Relu_output_0:5,0,3'. Got 'neuron:3' instead.",
        ),
        (
            "neuron:a:b:c",
            "The target 'neuron' must be written as 'neuron:/relu/Relu_output_0:5,0,3'. Got 'neuron:a:b:c' instead.",
        ),
        (
            "margin:one, two, six, nine",
            "The target 'margin' must be written as 'margin:281,207'. Got 'margin:one, two, six, nine' instead.",
        ),
    ],
)
def test_words_that_mean_nothing(model, text, message):
    with pytest.raises(ParameterError) as error:
        read_targets([text], None, model)
    assert str(error.value) == message


def test_a_label_that_is_unknown(model, x):
    with pytest.raises(UnknownNameError) as error:
        resolve(read_targets(["sevn"], None, model), model, x)
    assert str(error.value) == "No label named 'sevn'. Nearest: seven."


def test_the_scores_ahead_of_an_argmax_are_explained(run, tmp_path):
    path = planted.load(
        tiny.parsed("g (float[N, 3] x) => (int64[N] y) { h = Tanh(x)  y = ArgMax<axis=1, keepdims=0>(h) }")
    ).path
    np.save(tmp_path / "x.npy", np.float32([[0.1, 0.5, 0.2]]))
    done = run("explain", "saliency", path, tmp_path / "x.npy")
    assert "saliency of h[1] = 0.4621" in done.stdout


def test_the_best_box_is_explained_by_default_and_said(run, tmp_path):
    path = planted.load(planted.detector()).path
    x = np.zeros((1, 1, 16, 16), np.float32)
    x[..., 4:8, 8:12] = 1
    np.save(tmp_path / "x.npy", x)
    done = run("explain", "saliency", path, tmp_path / "x.npy")
    assert "saliency of class 0 in box 6 at (8, 4, 12, 8) = 1" in done.stdout, done.stderr
    done = run("explain", "saliency", path, tmp_path / "x.npy", "-t", "box:1", "-t", "box:0,0,4,4")
    assert "class 1 in box 6" in done.stdout
    assert "class 0 in box 0 at (0, 0, 4, 4) = 0" in done.stdout
