"""Boxes of detectors: every layout against boxes and scores that are written down."""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.targets.detectors import CORNERS, OBJECTNESS, PROBABILITIES, centres, labelled, picture, returning
from tests.targets.faces import both_faces, words
from tests.tiny import loaded, node
from tests.tolerances import Tolerance, assert_close
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import AbsentTargetError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.targets.layout import DETECTIONS, find_layout
from xaionnx.targets.resolve import resolve

COUNT, K = PROBABILITIES.shape
SCORES = PROBABILITIES * OBJECTNESS[:, None]


def yolo_v8():
    rows = np.concatenate([centres(CORNERS), PROBABILITIES], axis=1)
    return returning({"y": (4 + K, COUNT)}, spec=labelled(boxes="yolo_v8")), picture(rows.T), PROBABILITIES


def yolo_v5():
    rows = np.concatenate([centres(CORNERS), OBJECTNESS[:, None], PROBABILITIES], axis=1)
    return returning({"y": (COUNT, 5 + K)}, spec=labelled(boxes="yolo_v5")), picture(rows), SCORES


def ssd():
    scores = np.concatenate([1 - PROBABILITIES.sum(axis=1, keepdims=True), PROBABILITIES], axis=1)
    model = returning({"loc": (COUNT, 4), "conf": (COUNT, K + 1)}, spec=labelled())
    return model, picture(CORNERS, scores), PROBABILITIES


def ssd_of_tensorflow():
    model = returning({"boxes": (COUNT, 1, 4), "scores": (COUNT, K)}, producer="tf2onnx", spec=labelled())
    return model, picture(CORNERS[:, [1, 0, 3, 2]], PROBABILITIES), PROBABILITIES


def detr():
    # Logits of a softmax with "no object" last; most queries find nothing.
    nothing = np.tile(np.float32([40, 30, 2, 2]), (20, 1))
    boxes = np.concatenate([centres(CORNERS), nothing])
    logits = np.log(np.concatenate([PROBABILITIES, 1 - PROBABILITIES.sum(axis=1, keepdims=True)], axis=1))
    logits = np.concatenate([logits, np.tile(np.float32([-9, -9, -9, 9]), (20, 1))])
    model = returning({"logits": (25, K + 1), "pred_boxes": (25, 4)}, spec=labelled())
    return model, picture(logits, boxes), PROBABILITIES


def detr_of_sigmoids():
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    model = returning({"logits": (COUNT, K), "pred_boxes": (COUNT, 4)}, spec=labelled())
    return model, picture(logits, centres(CORNERS)), PROBABILITIES


def nms():
    suppress = node("NonMaxSuppression", ["boxes", "scores", "most", "share", "least"], ["chosen"])
    weights = {"most": np.array([9]), "share": np.float32([0.5]), "least": np.float32([0.01])}
    gather = [
        suppress,
        node("Gather", ["chosen", "two"], ["box"], axis=1),
        node("Gather", ["boxes", "box"], ["found"], axis=1),
    ]
    weights["two"] = np.array(2)
    parts = {"boxes": (COUNT, 4), "scores": (K, COUNT)}
    model = returning(parts, gather, weights=weights, shapes={"found": ["N", "M", 4]}, spec=labelled())
    return model, picture(CORNERS, PROBABILITIES.T), PROBABILITIES


MAKERS = [yolo_v8, yolo_v5, ssd, ssd_of_tensorflow, detr, detr_of_sigmoids, nms]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def detector(request):
    return request.param()


def number(model, k):
    """The number of a class in the output, where the background may come first."""
    return k + any(info.name == "conf" for info in model.outputs)


class TestEveryLayout:
    def test_the_best_box(self, detector):
        model, x, scores = detector
        values = both_faces(Target.box(), model, x)
        assert_close(values, [[scores[0, 1]]], Tolerance.SIGNED_LAYERS)
        assert words(Target.box(), model, x) == [[f"dog ({number(model, 1)}) in box 0 at (10, 10, 30, 40)"]]

    def test_the_best_box_of_a_class_by_label_and_number(self, detector):
        model, x, scores = detector
        assert_close(both_faces(Target.box("cat"), model, x), [[scores[2, 0]]], Tolerance.SIGNED_LAYERS)
        [[name]] = words(Target.box("bird"), model, x)
        assert name == f"bird ({number(model, 2)}) in box 3 at (0, 0, 80, 60)"

    def test_a_box_near_a_point(self, detector):
        model, x, scores = detector
        # Inside the third box and the one around everything, nearer to the centre of the third.
        assert_close(both_faces(Target.box(near=(52, 48)), model, x), [[scores[2, 0]]], Tolerance.SIGNED_LAYERS)
        # Inside no confident box but the one around everything.
        [[name]] = words(Target.box(near=(2, 58)), model, x)
        assert "box 3 " in name

    def test_a_box_by_its_overlap(self, detector):
        model, x, scores = detector
        assert_close(both_faces(Target.box(iou=(48, 20, 72, 52)), model, x), [[scores[2, 0]]], Tolerance.SIGNED_LAYERS)
        [[name]] = words(Target.box(iou=(0, 0, 79, 60)), model, x)
        assert "box 3 " in name
        # A box of a score so low that it only counts where no other overlaps.
        [[name]] = words(Target.box(iou=(52, 5, 60, 14)), model, x)
        assert "box 4 " in name

    def test_a_box_by_number(self, detector):
        model, x, scores = detector
        assert_close(both_faces(Target.box(number=1), model, x), [[scores[1, 1]]], Tolerance.SIGNED_LAYERS)
        assert_close(both_faces(Target.box("cat", number=1), model, x), [[scores[1, 0]]], Tolerance.SIGNED_LAYERS)

    def test_the_best_distinct_boxes(self, detector):
        model, x, scores = detector
        expected = [[scores[0, 1]], [scores[2, 0]], [scores[3, 2]]]
        assert_close(both_faces(Target.boxes(3), model, x), expected, Tolerance.SIGNED_LAYERS)

    def test_the_default_target_is_the_best_box(self, detector):
        model, x, scores = detector
        found = xaionnx.explain(model, x, "feature_ablation", features="elements")
        assert found.target[0] == f"dog ({number(model, 1)}) in box 0 at (10, 10, 30, 40)"
        assert_close(found.prediction, [scores[0, 1]], Tolerance.SIGNED_LAYERS)
        np.testing.assert_allclose(found.diagnostics["box"], CORNERS[:1], atol=1e-3)
        assert found.provenance["target"][0]["layout"]["kind"] == type(find_layout(model, {"x": x})).__name__

    def test_a_gradient_passes_to_the_score_alone(self, detector):
        model, x, _ = detector
        map_ = xaionnx.explain(model, x, "saliency", Target.box(number=2), absolute=False).values.ravel()
        step = 1e-3
        place = int(np.argmax(np.abs(map_)))
        moved = x.copy()
        moved[..., place] += step
        before, after = (
            xaionnx.explain(model, each, "saliency", Target.box("cat", number=2)).prediction for each in (x, moved)
        )
        assert_close((after - before) / step, map_[place], Tolerance.DIFFERENCE_QUOTIENTS)

    def test_all_detections_in_one_form(self, detector):
        model, x, scores = detector
        form = find_layout(model, {"x": x}).extended(model)
        found = form.run({"x": x}, [DETECTIONS])[DETECTIONS][0, :COUNT]
        np.testing.assert_allclose(found[:, :4], CORNERS, atol=1e-3)
        np.testing.assert_allclose(found[:, 5:], scores, atol=1e-5)


def test_yolox_boxes_are_decoded_on_their_grids():
    # A picture of 64 x 32 pixels has 8 x 4, 4 x 2 and 2 x 1 cells of 8, 16 and 32 pixels.
    rows = np.zeros((42, 7), np.float32)
    rows[:, 4:] = 0.01
    rows[9] = [0.25, 0.5, np.log(2), np.log(3), 0.5, 0.1, 0.8]  # row 1, column 1 of the first grid
    rows[32 + 6] = [0, 0.5, 0, np.log(2), 0.9, 0.7, 0.2]  # row 1, column 2 of the second
    text = "g (float[N, 1, 32, 64] x) => (float[N, 42, 7] y) { z = Mul(x, zero)  t = ReduceMean<keepdims=0>(z)  "
    model = loaded(
        text + "a = Mul(t, e)  b = Concat<axis=0>(k, a)  c = Slice(b, i, j, i)  y = Expand(c, n) }",
        zero=np.float32(0),
        e=np.zeros((1, 42, 7), np.float32),
        k=rows[None],
        i=np.array([0]),
        j=np.array([1]),
        n=np.array([1, 42, 7]),
    )
    x = np.ones((1, 1, 32, 64), np.float32)
    assert words(Target.boxes(2), model, x) == [
        ["class 0 in box 38 at (24, 8, 40, 40)"],
        ["class 1 in box 9 at (2, 0, 18, 24)"],
    ]
    assert_close(resolve(Target.boxes(2), model, {"x": x}).values, [[0.63], [0.4]], Tolerance.SIGNED_LAYERS)
    assert find_layout(model, {"x": x}).name() == "yolox"


class TestSelected:
    """Outputs that hold only selected boxes; the graph takes the three best of five candidates."""

    def graph(self, outputs):
        top = [
            node("ReduceMax", ["scores"], ["best"], axes=[2], keepdims=0),
            node("ArgMax", ["scores"], ["class"], axis=2, keepdims=0),
            node("TopK", ["best", "count"], ["score", "at"], axis=1),
            node("GatherElements", ["class", "at"], ["label"], axis=1),
            node("Unsqueeze", ["at", "last"], ["at3"]),
            node("Expand", ["at3", "four"], ["at4"]),
            node("GatherElements", ["boxes", "at4"], ["box"], axis=1),
        ]
        weights = {"count": np.array([3]), "last": np.array([2]), "four": np.array([1, 1, 4])}
        if outputs == "rows":
            top += [
                node("Cast", ["label"], ["number"], to=1),
                node("Unsqueeze", ["number", "last"], ["number3"]),
                node("Unsqueeze", ["score", "last"], ["score3"]),
                node("Concat", ["box", "score3", "number3"], ["rows"], axis=2),
            ]
        parts, spec = {"boxes": (COUNT, 4), "scores": (COUNT, K)}, labelled()
        shapes = {"rows": ["N", 3, 6], "box": ["N", 3, 4], "score": ["N", 3], "label": ["N", 3]}
        return returning(parts, top, weights=weights, shapes=shapes, kinds={"label": 7}, spec=spec)

    @pytest.mark.parametrize("outputs", ["rows", "apart"])
    def test_a_box_is_matched_with_its_candidate(self, outputs):
        model, x = self.graph(outputs), picture(CORNERS, PROBABILITIES)
        [[best], [second]] = words([Target.box(), Target.box(number=2)], model, x)
        assert best == "dog (1) in box 0 at (10, 10, 30, 40)"
        assert second == "cat (0) in box 2 at (50, 20, 70, 50)"
        resolution = resolve(Target.box(number=2), model, {"x": x})
        [term] = resolution.terms
        # The third row of the output is candidate 2 of the scores.
        assert (term.tensor, term.indices.tolist()) == ("scores", [[2 * K]])
        # It stays the same candidate where the picture changes the order.
        both_faces(Target.box(number=2), model, x)
        gradient = xaionnx.explain(model, x, "saliency", Target.box(number=2), absolute=False).values.ravel()
        assert np.flatnonzero(gradient).tolist() == [COUNT * 4 + 2 * K]

    def test_similarity_of_selected_boxes(self):
        model, x = self.graph("rows"), picture(CORNERS, PROBABILITIES)
        values = both_faces(Target.detection("cat"), model, x)
        assert_close(values, [[0.6]], Tolerance.SIGNED_LAYERS)


def test_equal_scores_of_a_selection_are_told_apart_by_their_class():
    model = TestSelected().graph("apart")
    equal = PROBABILITIES.copy()
    equal[0, 1] = equal[2, 0] = 0.75
    [term] = resolve(Target.box("cat"), model, {"x": picture(CORNERS, equal)}).terms
    assert term.indices.tolist() == [[2 * K]]


def test_class_names_that_the_file_holds(tmp_path):
    model, x, _ = yolo_v8()
    proto = model.file.proto
    proto.metadata_props.add(key="names", value="{0: 'tabby', 1: 'poodle', 2: 'wren'}")
    path = tmp_path / "named.onnx"
    path.write_bytes(proto.SerializeToString())
    named = Model.load(path, "cpu")
    assert words(Target.box("poodle"), named, x) == [["poodle (1) in box 0 at (10, 10, 30, 40)"]]


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (lambda: Target.box(near=(1,)), ParameterError, "must be the numbers x, y. Got"),
        (lambda: Target.box(iou=(5, 5, 4, 9)), ParameterError, "with x0 < x1 and y0 < y1"),
        (lambda: Target.box(number=-1), ParameterError, r"an int in \[0, inf\)"),
        (lambda: Target.box(near=(1, 2), number=3), ParameterError, "takes one of"),
        (lambda: Target.boxes(0), ParameterError, r"an int in \[1, inf\)"),
        (lambda: Target.box("dgo"), UnknownNameError, "dog"),
        (lambda: Target.box(3), ParameterError, r"must be an int in \[0, 2\]"),
        (lambda: Target.box(number=5), AbsentTargetError, r"\[0, 4\]"),
        (lambda: Target.box(iou=(200, 200, 300, 300)), AbsentTargetError, "No box .* overlaps"),
        (lambda: Target.boxes(9), AbsentTargetError, "only 4 distinct boxes"),
    ],
)
def test_messages(target, error, message):
    model, x, _ = yolo_v8()
    with pytest.raises(error, match=message):
        resolve(target(), model, {"x": x})


def test_no_layout_is_recognised_in_a_classifier():
    model = loaded("g (float[N, 1, 2, 2] x) => (float[N, 4] y) { y = Flatten(x) }")
    with pytest.raises(UnsupportedModelError, match="No layout of boxes is recognised"):
        resolve(Target.box(), model, {"x": np.ones((1, 1, 2, 2), np.float32)})


def test_a_stated_layout_that_the_outputs_do_not_have():
    model = returning({"y": (3, 4, 4)}, spec=InputSpec(color="L", boxes="detr"))
    with pytest.raises(ParameterError, match="states boxes = 'detr', but the outputs"):
        resolve(Target.box(), model, {"x": picture(np.ones(48))})
    model = returning({"y": (3, 4, 4)}, spec=InputSpec(color="L", boxes="yolo_v9"))
    with pytest.raises(UnknownNameError, match="yolo_v8"):
        resolve(Target.box(), model, {"x": picture(np.ones(48))})


def test_boxes_that_a_loop_writes_one_after_the_other_are_no_detector():
    text = """g (float[N, 3, 8, 8] x) => (float[N, 6, 4] boxes, float[N, 6, 5] scores) {
      m = ReduceMean<axes = [1, 2], keepdims = 0>(x)  b = Slice(m, i, j, o)  s = Slice(m, i, k, o)
      bs, ss = Loop (n, t) <body = step (int64 at, bool go) => (bool on, float[N, 4] box, float[N, 5] score) {
        on = Identity(go)  box = Abs(b)  score = Softmax(s) }>
      boxes = Transpose<perm = [1, 0, 2]>(bs)  scores = Transpose<perm = [1, 0, 2]>(ss) }"""
    ints = {name: np.array([value]) for name, value in (("i", 0), ("j", 4), ("k", 5), ("o", 1))}
    model = loaded(text, n=np.array(6), t=np.array(True), **ints)
    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    assert find_layout(model, {"x": x}) is None


def test_a_corner_just_left_of_the_picture_is_at_zero():
    model, _, _ = yolo_v8()
    moved = CORNERS.copy()
    moved[0, 0] = -0.3
    rows = np.concatenate([centres(moved), PROBABILITIES], axis=1)
    assert words(Target.box(), model, picture(rows.T)) == [["dog (1) in box 0 at (0, 10, 30, 40)"]]


def test_anchors_outside_the_file():
    offsets = np.tile(np.float32([[0.1, -0.2, -0.3, 0.1], [-0.4, 0.1, 0.2, -0.1]]), (3, 1))[:COUNT]
    model = returning({"loc": (COUNT, 4), "conf": (COUNT, K)}, spec=labelled())
    x = picture(offsets, PROBABILITIES)
    assert words(Target.box(), model, x) == [["dog (1) in box 0"]]
    for target in (Target.box(near=(1, 2)), Target.boxes(2), Target.detection()):
        with pytest.raises(UnsupportedModelError, match="relative to anchors that are not in the file"):
            resolve(target, model, {"x": x})


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("box", Target.box()),
        ("box:dog", Target.box("dog")),
        ("box:2", Target.box(2)),
        ("box:3,4.5", Target.box(near=(3, 4.5))),
        ("box:1,2,3,4", Target.box(iou=(1, 2, 3, 4))),
        ("box:#7", Target.box(number=7)),
        ("boxes:3", Target.boxes(3)),
        ("detection:dog", Target.detection("dog")),
    ],
)
def test_forms_of_the_command_line(text, target):
    model, _, _ = yolo_v8()
    assert Target.read(text, model) == target
    with pytest.raises(ParameterError, match="Leave out the output"):
        Target.read(text, model, "y")


class TestSimilarity:
    def test_against_the_equation(self, detector):
        model, x, _ = detector
        rng = np.random.default_rng(3)
        masked = x * (1 - 0.2 * rng.random((4, *x.shape[1:]), dtype=np.float32))
        resolution = resolve(Target.detection(near=(60, 35)), model, {"x": x})
        found = resolution.selection.select(resolution.model.run({"x": masked}, [DETECTIONS]))[:, 0]
        for row, value in zip(masked, found, strict=True):
            detections = resolution.model.run({"x": row[None]}, [DETECTIONS])[DETECTIONS][0]
            target = resolution.outputs[DETECTIONS][0, 2]
            assert_close(value, max(d_rise(target, one) for one in detections), Tolerance.SIGNED_LAYERS)

    def test_in_numpy_and_in_the_graph(self, detector):
        model, x, scores = detector
        certain = OBJECTNESS[2] if model.outputs[0].shape[1:] == (COUNT, 5 + K) else scores[2].max()
        assert_close(both_faces(Target.detection(near=(60, 35)), model, x), [[certain]], Tolerance.SIGNED_LAYERS)

    def test_of_several_samples_and_targets(self):
        model, x, _ = yolo_v5()
        both = np.concatenate([x, x * 0.9])
        values = both_faces([Target.detection(), Target.box(), Target.detection("cat")], model, both)
        assert_close(values[:, 0], [0.9, 0.72, 0.5], Tolerance.SIGNED_LAYERS)
        assert values.shape == (3, 2)


def d_rise(target, one):
    """The similarity of two detections, written out: equations 3 to 6 of arXiv:2006.03204."""
    sides = [min(target[i + 2], one[i + 2]) - max(target[i], one[i]) for i in (0, 1)]
    inside = max(0, sides[0]) * max(0, sides[1])
    areas = [(d[2] - d[0]) * (d[3] - d[1]) for d in (target, one)]
    iou = inside / (sum(areas) - inside)
    p, q = target[5:], one[5:]
    lengths = np.sqrt((p @ p) * (q @ q))
    return iou * (p @ q) / lengths * one[4] if lengths > 0 else 0.0


class TestNotBoxes:
    """Outputs of the shape of boxes that are none."""

    @pytest.mark.parametrize(
        "values",
        [
            np.random.default_rng(0).normal(size=(12, 40)),  # tokens, or logits of characters
            np.random.default_rng(0).dirichlet(np.ones(40), 12),  # probabilities of characters
            np.random.default_rng(0).uniform(size=(12, 40)),  # probabilities of sounds in frames
        ],
    )
    def test_an_output_of_three_axes(self, values):
        model = returning({"y": values.shape}, spec=InputSpec(color="L"))
        assert find_layout(model, {"x": picture(values)}) is None
        with pytest.raises(ParameterError, match="not one axis of classes"):
            resolve(None, model, {"x": picture(values)})

    def test_boxes_in_pixels_with_probabilities_are_known_without_labels(self):
        rows = np.concatenate([centres(CORNERS), PROBABILITIES], axis=1)
        rows = np.concatenate([rows, rows])
        model = returning({"y": (4 + K, 2 * COUNT)}, spec=InputSpec(color="L"))
        assert find_layout(model, {"x": picture(rows.T)}).name() == "yolo_v8"


def test_boxes_without_a_batch_axis_are_of_one_picture():
    nodes = [
        node("Reshape", ["x", "rows"], ["b"]),
        node("Gather", ["b", "four"], ["score"], axis=1),
        node("TopK", ["score", "count"], ["best", "at"], axis=0),
        node("Gather", ["b", "at"], ["y"], axis=0),
    ]
    weights = {"rows": np.array([-1, 6]), "four": np.array(4), "count": np.array([2])}
    made = tiny.model(nodes, [tiny.tensor("x", ["N", 1, 3, 6])], [tiny.tensor("y", ["M", 6])], weights)
    model = planted.load(made, device="cpu")
    rows = np.float32([[1, 1, 9, 9, 0.3, 1], [2, 2, 8, 6, 0.9, 0], [3, 3, 5, 5, 0.6, 1]])
    x = rows[None, None]
    assert words(Target.boxes(2), model, x) == [
        ["class 0 in box 0 at (2, 2, 8, 6)"],
        ["class 1 in box 1 at (3, 3, 5, 5)"],
    ]
    values = both_faces(Target.box(), model, x)
    assert_close(values, [[0.9]], Tolerance.SIGNED_LAYERS)
    assert_close(both_faces(Target.detection(1), model, x), [[0.6]], Tolerance.SIGNED_LAYERS)
    with pytest.raises(UnsupportedModelError, match="Explain one picture at a time"):
        resolve(Target.box(), model, {"x": np.concatenate([x, x])})
