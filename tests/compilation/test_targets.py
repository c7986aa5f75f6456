"""Targets that a graph finds by itself, against those resolved for a batch."""

from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest

import xaionnx
from models import planted
from tests.compilation.files import agree, answers, small
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target, compilation
from xaionnx.errors import ParameterError
from xaionnx.targets.in_graph import Chosen
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.selection import TargetTerm

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
        Target.channel("h", peak=True),
        Target.channel("h", 1, peak=True),
        Target.region(np.eye(4, dtype=bool), channel=1),
        Target.region(threshold=0.2, channel=0),
        Target.index((1, 2, 3)),
        Target.sum(output="h"),
        Target.channel("mixed"),
    ],
)
def test_maps_and_inner_tensors(target):
    model = loaded(
        """g (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y) {
        h = Mul(x, x)  sine = Sin(x)  mixed = Concat<axis = 1>(h, sine)  y = Tanh(h) }""",
    )
    feeds = {"x": np.random.default_rng(2).normal(size=(3, 2, 4, 4)).astype(np.float32)}
    agree(model, feeds, small("input_x_gradient"), target)
    agree(model, feeds, small("integrated_gradients"), target)


@pytest.mark.parametrize("target", [None, Target.box(), Target.box(1)])
def test_the_best_box_of_a_detector(target):
    model = planted.load(planted.detector(), device="cpu")
    feeds = {"x": np.random.default_rng(3).uniform(size=(3, 1, 16, 16)).astype(np.float32)}
    found, _ = agree(model, feeds, small("input_x_gradient"), target)
    assert set(found) >= {"boxes", "scores", "attribution"}
    assert not any(name.startswith("xaionnx") for name in found)


def test_a_similarity_to_a_vector():
    weights = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    model = loaded("g (float[N, 6] x) => (float[N, 4] e) { h = MatMul(x, w)  e = Tanh(h) }", w=weights)
    feeds = {"x": np.random.default_rng(6).normal(size=(3, 6)).astype(np.float32)}
    agree(model, feeds, small("integrated_gradients"), Target.similarity(np.array([1.0, -1.0, 2.0, 0.5])))


@pytest.mark.parametrize("target", [Target.box(near=(1, 2)), Target.box(number=3), Target.boxes(2)])
def test_boxes_that_no_file_can_follow(target):
    with pytest.raises(ParameterError, match=r"which box is meant depends|A compiled file has one target"):
        compilation.compile(planted.load(planted.detector(), device="cpu"), "saliency", target)


def test_the_first_of_equal_classes_is_the_top():
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
        assert_close(found["attribution"], told.values, Tolerance.SIGNED_LAYERS)
        assert_close(found["target_value"], told.prediction, Tolerance.SUMS)
        assert "target" not in found
    session = onnxruntime.InferenceSession(made.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="out of data bounds"):
        session.run(None, {name: x, "target": np.array([1, CLASSES, 2])})
    with pytest.raises(ParameterError, match="gets its class when a compiled file runs"):
        xaionnx.explain(digits, x, "saliency", Chosen())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([1, 2], "A compiled file has one target"),
        (Target.top(3), "A compiled file has one target"),
        (np.array([3]), "cannot have one class for each sample"),
        (Target.loss(np.array([3])), "cannot have one class for each sample"),
        (Target.index(CLASSES), r"must be an int in \[0, 9\]"),
    ],
)
def test_targets_that_no_file_can_hold(digits, target, words):
    with pytest.raises(ParameterError, match=words):
        compilation.compile(digits, "saliency", target)


@dataclass(frozen=True)
class Lead(Target):
    """The highest score minus the second, as a target that cannot be compiled."""

    output: str | None = None

    def terms(self, output, model):
        order = np.argsort(-output, axis=1, kind="stable")[:, :2]
        signs = np.tile([1.0, -1.0], (len(order), 1))
        return [TargetTerm(self.tensor(model), "identity", order, signs, ("lead",) * len(order))]


def test_elements_that_are_found_for_each_sample_are_not_frozen(digits):
    with pytest.raises(ParameterError, match="the elements of the target 'lead' depend on the sample"):
        compilation.compile(digits, "saliency", Lead())
