"""What is explained if nothing is named: labels, label maps, segmentations and outputs that tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests import tiny
from tests.targets.faces import both_faces, words
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import AbsentTargetError, ParameterError, UnsupportedModelError
from xaionnx.targets.kinds.predicted import Predicted
from xaionnx.targets.kinds.top import Top
from xaionnx.targets.resolve import resolve

RNG = np.random.default_rng(4)


def machine(strings: bool = False) -> Model:
    """A support vector machine with two classes that decides for the class of the lower score."""
    names = {"classlabels_strings": ["no", "yes"]} if strings else {"classlabels_ints": [0, 1]}
    made = node(
        "SVMClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[1.0, -1.0],
        kernel_type="LINEAR",
        kernel_params=[0.0, 0.0, 0.0],
        support_vectors=[1.0, 0.0, 0.0, 1.0],
        vectors_per_class=[1, 1],
        rho=[0.0],
        post_transform="NONE",
        **names,
    )
    kind = TensorProto.STRING if strings else TensorProto.INT64
    outputs = [tensor("label", ["N"], kind), tensor("scores", ["N", 2])]
    return planted.load(tiny.model([made], [tensor("x", ["N", 2])], outputs, domains={"ai.onnx.ml": 3}))


def thresholded(share: float) -> Model:
    """A classifier of two classes that says 1 from a probability of ``share`` on."""
    nodes = [
        node("Softmax", ["x"], ["scores"]),
        node("Gather", ["scores", "one"], ["second"], axis=1),
        node("Greater", ["second", "share"], ["above"]),
        node("Cast", ["above"], ["label"], to=7),
    ]
    outputs = [tensor("scores", ["N", 2]), tensor("label", ["N"], TensorProto.INT64)]
    weights = {"one": np.array(1), "share": np.float32(share)}
    return planted.load(tiny.model(nodes, [tensor("x", ["N", 2])], outputs, weights))


def by_argmax(op: str = "Softmax") -> Model:
    """A classifier whose label is the class with the highest logit, looked up in a list."""
    nodes = [
        node(op, ["x"], ["scores"]),
        node("ArgMax", ["x"], ["at"], axis=1, keepdims=0),
        node("Gather", ["names", "at"], ["label"]),
    ]
    outputs = [tensor("scores", ["N", 3]), tensor("label", ["N"], TensorProto.INT64)]
    return planted.load(tiny.model(nodes, [tensor("x", ["N", 3])], outputs, {"names": np.array([4, 5, 6])}))


class TestLabels:
    @pytest.mark.parametrize("strings", [False, True])
    def test_the_class_that_the_label_names_is_explained_and_this_is_said(self, strings):
        model, x = machine(strings), np.float32([[2, -1], [-1, 3], [2, 2]])
        outputs = model.run({"x": x})
        numbers = [0, 1, 1]
        assert outputs["label"].tolist() == ([["no", "yes"][k] for k in numbers] if strings else numbers)
        found = xaionnx.explain(model, x, "feature_ablation", baseline=0.0)
        assert_close(found.prediction, outputs["scores"][[0, 1, 2], numbers], Tolerance.SIGNED_SUMS)
        assert [name.endswith(f"scores[{k}]") for name, k in zip(found.target, numbers, strict=True)] == [True] * 3
        assert found.target[0] == "the class of the label output 'label', though scores[1] is higher: scores[0]"
        assert found.diagnostics["label_disagrees"] == (outputs["scores"].argmax(axis=1) != numbers).tolist()
        assert any("the model's label output names" in warning for warning in found.warnings)

    def test_a_label_with_a_threshold(self):
        model, x = thresholded(0.3), np.log(np.float32([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]))
        found = xaionnx.explain(model, x, "kernel_shap", baseline=0.0)
        assert_close(found.prediction, [0.4, 0.9, 0.8], Tolerance.SIGNED_LAYERS)
        assert found.diagnostics["label_disagrees"] == [True, False, False]
        assert found.target[1:].tolist() == ["scores[0]", "scores[1]"]
        gradient = xaionnx.explain(model, x[:1], "saliency", absolute=False).values
        assert_close(gradient, [[-0.24, 0.24]], Tolerance.SIGNED_LAYERS)

    def test_the_probability_of_the_label(self):
        model, x = thresholded(0.3), np.log(np.float32([[0.6, 0.4]]))
        assert_close(both_faces(Target.probability(), model, x), [[0.4]], Tolerance.SIGNED_LAYERS)

    @pytest.mark.parametrize("op", ["Softmax", "Identity", "Sigmoid"])
    def test_a_label_that_is_the_highest_score_changes_nothing(self, op):
        assert isinstance(Top().bind(by_argmax(op), {"x": np.ones((1, 3), np.float32)}), Top)

    def test_a_label_that_is_the_highest_of_other_numbers_is_followed(self):
        nodes = [
            node("Neg", ["x"], ["scores"]),
            node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        ]
        outputs = [tensor("scores", ["N", 3]), tensor("label", ["N"], TensorProto.INT64)]
        model = planted.load(tiny.model(nodes, [tensor("x", ["N", 3])], outputs))
        x = np.float32([[1, 3, 2]])
        assert isinstance(Top().bind(model, {"x": x}), Predicted)
        assert_close(both_faces(None, model, x), [[-3]], Tolerance.SIGNED_SUMS)

    def test_a_named_class_is_not_replaced(self):
        model, x = machine(), np.float32([[2, -1]])
        assert words(1, model, x) == [["scores[1]"]]
        assert "label_disagrees" not in xaionnx.explain(model, x, "feature_ablation", 1).diagnostics


class TestArgMax:
    """Outputs that are an ArgMax: the scores ahead of it are explained."""

    def test_of_classes(self):
        nodes = [node("Tanh", ["x"], ["scores"]), node("ArgMax", ["scores"], ["label"], axis=1)]
        model = planted.load(tiny.model(nodes, [tensor("x", ["N", 3])], [tensor("label", ["N", 1], TensorProto.INT64)]))
        x = np.float32([[0.1, 0.5, 0.2]])
        assert_close(both_faces(None, model, x), np.tanh([[0.5]]), Tolerance.SIGNED_SUMS)
        assert_close(both_faces(Target.index(2, output="label"), model, x), np.tanh([[0.2]]), Tolerance.SIGNED_SUMS)
        gradient = xaionnx.explain(model, x, "saliency").values
        assert_close(gradient, [[0, 1 - np.tanh(0.5) ** 2, 0]], Tolerance.SIGNED_LAYERS)

    def test_of_pixels(self):
        model = segmenting(["Tanh"], labelmap=True)
        x = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
        check_largest_region(model, x, np.tanh(x))


def segmenting(ops: list[str], labelmap: bool = False, **spec) -> Model:
    """A model that returns its picture (N, 3, 4, 5) after some ops, or the highest channel of each pixel."""
    names = ["x", *(f"h{i}" for i in range(len(ops)))]
    nodes = [node(op, [a], [b]) for op, a, b in zip(ops, names, names[1:], strict=False)]
    outputs = [tensor(names[-1], ["N", 3, 4, 5])]
    if labelmap:
        nodes.append(node("ArgMax", [names[-1]], ["map"], axis=1, keepdims=0))
        outputs = [tensor("map", ["N", 4, 5], TensorProto.INT64)]
    path = planted.load(tiny.model(nodes, [tensor("x", ["N", 3, 4, 5])], outputs)).path
    return Model.load(path, "cpu", spec=InputSpec(**spec) if spec else None)


def check_largest_region(model, x, scores, background=None):
    """The default target is the sum of the scores of the class with most pixels, over these."""
    found = both_faces(None, model, x)
    for n, maps in enumerate(scores):
        highest = maps.argmax(axis=0)
        sizes = np.bincount(highest.ravel(), minlength=3)
        k = max((k for k in range(3) if k != background), key=lambda k: sizes[k])
        assert_close(found[0, n], maps[k][highest == k].sum(), Tolerance.SIGNED_SUMS)
        assert f"({k})" in words(None, model, x)[0][n] or f"class {k} " in words(None, model, x)[0][n]
        assert words(None, model, x)[0][n].endswith(f"over its {sizes[k]} of 20 pixels")


class TestSegmentation:
    @pytest.mark.parametrize(
        ("ops", "spec"),
        [
            (["Tanh"], {"labels": ("sky", "tree", "road")}),
            (["Tanh"], {"labels": ("background", "tree", "road")}),
        ],
    )
    def test_the_largest_region_that_is_not_the_background(self, ops, spec):
        x = RNG.normal(size=(3, 3, 4, 5)).astype(np.float32)
        x[:, 0, :3] += 5
        background = 0 if spec["labels"][0] == "background" else None
        check_largest_region(segmenting(ops, **spec), x, np.tanh(x), background)

    def test_a_named_class(self):
        model = segmenting(["Tanh"], labels=("sky", "tree", "road"))
        x = RNG.normal(size=(1, 3, 4, 5)).astype(np.float32)
        scores = np.tanh(x)[0]
        expected = scores[1][scores.argmax(axis=0) == 1].sum()
        for target in (Target.segment(1), Target.segment("tree"), Target.read("segment:tree", model)):
            assert_close(both_faces(target, model, x), [[expected]], Tolerance.SIGNED_SUMS)

    def test_one_map(self):
        nodes = [node("Sigmoid", ["x"], ["mask"])]
        model = planted.load(tiny.model(nodes, [tensor("x", ["N", 1, 4, 5])], [tensor("mask", ["N", 1, 4, 5])]))
        x = RNG.normal(size=(2, 1, 4, 5)).astype(np.float32)
        mask = 1 / (1 + np.exp(-x))
        expected = np.where(mask > 0.5, mask, 0).sum(axis=(1, 2, 3))
        assert_close(both_faces(None, model, x), [expected], Tolerance.SIGNED_SUMS)

    def test_maps_whose_meaning_is_unknown_are_refused(self):
        # Three channels from three: as likely a filtered picture.
        x = RNG.normal(size=(1, 3, 4, 5)).astype(np.float32)
        with pytest.raises(ParameterError, match="not one axis of classes"):
            resolve(None, segmenting(["Tanh"]), {"x": x})

    def test_maps_of_another_shape_than_the_picture_are_refused(self):
        # Scores of the cells of a grid, as one of several outputs of a detector.
        nodes = [node("Reshape", ["x", "shape"], ["h"]), node("Sigmoid", ["h"], ["y"])]
        inputs, outputs = [tensor("x", ["N", 3, 8, 8])], [tensor("y", ["N", 48, 4])]
        model = planted.load(tiny.model(nodes, inputs, outputs, {"shape": np.array([-1, 48, 4])}))
        with pytest.raises(ParameterError, match="not one axis of classes"):
            resolve(None, model, {"x": RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)})

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Target.segment(3), r"an int in \[0, 2\]"),
            (Target.segment(0), r"class 0 is the highest class of no pixel"),
        ],
    )
    def test_messages(self, target, message):
        x = np.stack([np.full((4, 5), value, np.float32) for value in (-1, 0.5, 1)])[None]
        with pytest.raises((AbsentTargetError, ParameterError), match=message):
            resolve(target, segmenting(["Tanh"], True), {"x": x})


def test_selected_boxes_of_unknown_layout_are_no_classes():
    nodes = [
        node("NonMaxSuppression", ["b", "s", "most"], ["at"]),
        node("Cast", ["at"], ["found"], to=1),
        node("Concat", ["x", "x", "x", "x"], ["wide"], axis=3),
        node("Reshape", ["wide", "bs"], ["b"]),
        node("Reshape", ["x", "ss"], ["s0"]),
        node("TopK", ["s0", "four"], ["s", "order"]),
    ]
    weights = {"most": np.array([2]), "bs": np.array([1, -1, 4]), "ss": np.array([1, 1, -1]), "four": np.array([4])}
    proto = tiny.model(nodes[2:] + nodes[:2], [tensor("x", [1, 1, 2, 2])], [tensor("found", ["M", 3])], weights)
    with pytest.raises(UnsupportedModelError, match="selects boxes, but their layout is not recognised"):
        resolve(None, planted.load(proto), {"x": np.ones((1, 1, 2, 2), np.float32)})


def in_columns() -> Model:
    """A classifier that returns the probability of each class as an output of its own, in an order of its own."""
    text = """g (float[N, 4] x) => (string[N] label, float[N] pc, float[N] pa, float[N] pb)
      <int64 n0 = {0}, int64[1] s1 = {1}, int64[1] s2 = {2}, int64[1] s3 = {3}, int64[1] flat = {-1},
       string[3] names = {"a", "b", "c"}> {
        h = MatMul(x, w)  p = Softmax(h)  highest = ArgMax<axis = 1, keepdims = 0>(h)  label = Gather(names, highest)
        pa = Gather<axis = 1>(p, n0)  b = Slice(p, s1, s2, s1)  pb = Reshape(b, flat)
        c = Slice(p, s2, s3, s1)  pc = Squeeze(c, s1) }"""
    return planted.load(tiny.parsed(text, w=RNG.normal(size=(4, 3)).astype(np.float32)))


@pytest.mark.parametrize("method", ["saliency", "feature_ablation"])
def test_columns_of_class_scores_are_one_matrix(method):
    model = in_columns()
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    own = model.run({"x": x})
    found = xaionnx.explain(model, x, method)
    assert model.labels == ("a", "b", "c")
    assert [name.split(" ")[0] for name in found.target] == own["label"].tolist()
    expected = [own[f"p{label}"][n] for n, label in enumerate(own["label"])]
    np.testing.assert_allclose(found.prediction, expected, rtol=1e-5)
    for target in ("c", 2, Target.index(0, output="pc")):
        np.testing.assert_allclose(xaionnx.explain(model, x, method, target).prediction, own["pc"], rtol=1e-5)


def test_columns_without_a_label_of_as_many_classes_stay_apart():
    """A mean and a variance are no classes, whatever label is beside them."""
    text = """g (float[N, 4] x) => (float[N] mean, float[N] variance, int64[N] count)
      <int64 first = {0}, int64 second = {1}> {
        h = MatMul(x, w)  mean = Gather<axis = 1>(h, first)  variance = Gather<axis = 1>(h, second)
        s = ReduceSum<keepdims = 0>(x, one)  count = Cast<to = 7>(s) }"""
    model = planted.load(tiny.parsed(text, w=RNG.normal(size=(4, 2)).astype(np.float32), one=np.array([1])))
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(xaionnx.explain(model, x, "saliency").prediction, model.run({"x": x})["mean"], rtol=1e-5)


HEADS = {
    "the corners of a box": ("box = MatMul(x, v)  face = Softmax(s)", "face"),
    "the logarithms of shares": ("box = MatMul(x, v)  face = LogSoftmax(s)", "face"),
    "the scores themselves": ("box = Identity(s)  face = Softmax(s)", "box"),
    "other shares": ("t = MatMul(x, v)  box = Softmax(t)  face = Softmax(s)", "box"),
    "chances of labels": ("t = MatMul(x, v)  box = Sigmoid(t)  face = Softmax(s)", "box"),
    "one number": ("t = MatMul(x, v)  box = ReduceSum <keepdims = 1> (t, one)  face = Softmax(s)", "box"),
    "scores without a softmax": ("box = MatMul(x, v)  face = Identity(s)", "box"),
}


@pytest.mark.parametrize("first", HEADS)
def test_probabilities_of_classes_are_explained_rather_than_the_box_before_them(first):
    """As in files that find faces: the largest corner of a box was taken for the most probable class."""
    nodes, explained = HEADS[first]
    rng = np.random.default_rng(3)
    v, w = (rng.normal(size=(3, count)).astype(np.float32) for count in (4, 2))
    sizes = {"the scores themselves": 2, "one number": 1}
    text = f"""g (float[N, 3] x) => (float[N, {sizes.get(first, 4)}] box, float[N, 2] face) {{
        s = MatMul(x, w)  {nodes} }}"""
    proto = tiny.parsed(text, v=v, w=w, one=np.array([1]))
    x = rng.normal(size=(2, 3)).astype(np.float32)
    found = xaionnx.explain(planted.load(proto, device="cpu"), x, "feature_ablation", baseline=0.0)
    right = tiny.run(proto, {"x": x})[explained]
    best = right.argmax(axis=1)
    np.testing.assert_allclose(found.prediction, right[[0, 1], best], rtol=1e-5)
    without = tiny.run(proto, {"x": x * np.float32([0, 1, 1])})[explained]
    drops = right[[0, 1], best] - without[[0, 1], best]
    np.testing.assert_allclose(found.values[:, 0], drops, rtol=1e-4, atol=1e-6)
