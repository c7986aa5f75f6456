"""Heads that a graph returns undecoded, one output a stride: every box against formulas written out in loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import node, tensor
from xaionnx import InputSpec, Model, Target
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.targets.layout import DETECTIONS, find_layout
from xaionnx.targets.resolve import resolve

HEIGHT, WIDTH = 64, 128
ANCHORED = ("five", "five last", "last")
RNG = np.random.default_rng(10)
X = RNG.random((1, 3, HEIGHT, WIDTH), dtype=np.float32)


class Heads:
    """A model whose outputs are linear in the mean colour of each cell, and these outputs as arrays (rows, columns, F).

    An output has the axes (N, F, H, W), or as ``rows`` (N, B, F), or as ``two`` (B, F); with three boxes a cell as
    ``five`` (N, 3, H, W, F), as ``five last`` (N, H, W, 3, F), or as ``last`` (N, H, W, 3 F).
    """

    def __init__(self, axes: str, producer: str = "pytorch", batch: int | str = "N", **spec) -> None:
        self.axes, self.producer, self.batch, self.spec = axes, producer, batch, spec
        self.nodes, self.weights, self.outputs, self.cells = [], {}, [], {}

    def add(self, name: str, numbers: int, stride: int, op: str = "Identity", scale: float = 1.0) -> np.ndarray:
        """Add the output of one stride, and return it for :data:`X`."""
        weight = RNG.normal(size=(numbers, 3, 1, 1)).astype(np.float32) * scale
        self.weights[f"{name}_weight"] = weight
        self.nodes.append(node("AveragePool", ["x"], [f"{name}_mean"], kernel_shape=[stride] * 2, strides=[stride] * 2))
        self.nodes.append(node("Conv", [f"{name}_mean", f"{name}_weight"], [f"{name}_map"]))
        means = X[0].reshape(3, HEIGHT // stride, stride, WIDTH // stride, stride).mean(axis=(2, 4))
        self.cells[name] = np.einsum("fc,cij->ijf", weight[:, :, 0, 0], means)
        self._end(name, numbers, op)
        return sigmoid(self.cells[name]) if op == "Sigmoid" else self.cells[name]

    def _end(self, name: str, numbers: int, op: str) -> None:
        last, per_box = f"{name}_map", numbers // (2 if self.axes == "two" else 1)
        if self.axes in ANCHORED:
            last = self._anchored(name, numbers)
        elif self.axes != "maps":
            # As SCRFD moves them, where a batch is of one picture, and as all others do.
            order, shape = ([2, 3, 0, 1], [-1, per_box]) if self.axes == "two" else ([0, 2, 3, 1], [0, -1, per_box])
            self.weights[f"{name}_shape"] = np.array(shape)
            self.nodes.append(node("Transpose", [last], [f"{name}_last"], perm=order))
            self.nodes.append(node("Reshape", [f"{name}_last", f"{name}_shape"], [f"{name}_rows"]))
            last = f"{name}_rows"
        self.nodes.append(node(op, [last], [name]))
        sides = [f"h_{name}", f"w_{name}"]
        if self.axes in ANCHORED:
            shape = {
                "five": [3, *sides, numbers // 3],
                "five last": [*sides, 3, numbers // 3],
                "last": [*sides, numbers],
            }
            self.outputs.append(tensor(name, ["N", *shape[self.axes]]))
            return
        free = {"maps": ["N", numbers, f"h_{name}", f"w_{name}"], "two": [f"b_{name}", per_box]}
        self.outputs.append(tensor(name, free.get(self.axes, ["N", f"b_{name}", per_box])))

    def _anchored(self, name: str, numbers: int) -> str:
        """Move the map (N, 3 F, H, W) to other axes."""
        self.weights[f"{name}_shape"] = np.array([0, 3, numbers // 3, *self.cells[name].shape[:2]])
        if self.axes == "last":
            self.nodes.append(node("Transpose", [f"{name}_map"], [f"{name}_moved"], perm=[0, 2, 3, 1]))
            return f"{name}_moved"
        self.nodes.append(node("Reshape", [f"{name}_map", f"{name}_shape"], [f"{name}_five"]))
        order = [0, 1, 3, 4, 2] if self.axes == "five" else [0, 3, 4, 1, 2]
        self.nodes.append(node("Transpose", [f"{name}_five"], [f"{name}_moved"], perm=order))
        return f"{name}_moved"

    def load(self, first: tuple[str, ...] = ()) -> Model:
        """The model, with the outputs that begin with these words before the others."""
        order = sorted(self.outputs, key=lambda info: next((i for i, w in enumerate(first) if info.name[:2] == w), 9))
        x = tensor("x", [self.batch, 3, "h", "w"])
        proto = tiny.model(self.nodes, [x], order, self.weights)
        proto.producer_name = self.producer
        path = Path(planted.load(proto, device="cpu").path)
        return Model.load(path, "cpu", spec=InputSpec(**self.spec) if self.spec else None)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def cells(stride):
    return [(i, j) for i in range(HEIGHT // stride) for j in range(WIDTH // stride)]


def sides(x, y, distances):
    left, top, right, bottom = distances
    return [x - left, y - top, x + right, y + bottom]


def around(x, y, width, height):
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def distributions(offset, producer="pytorch", axes="rows", bins=8, **spec):
    heads, rows = Heads(axes, producer, **spec), []
    for stride in (8, 16, 32):
        scores = heads.add(f"s_{stride}", 3, stride, "Sigmoid")
        boxes = heads.add(f"d_{stride}", 4 * bins, stride, scale=4)
        for i, j in cells(stride):
            mean = [softmax(part) @ np.arange(bins) for part in boxes[i, j].reshape(4, bins)]
            corners = sides((j + offset) * stride, (i + offset) * stride, np.array(mean) * stride)
            rows.append([*corners, scores[i, j].max(), *scores[i, j]])
    return heads.load(("s_", "d_")), rows


def picodet():
    return distributions(0.5, "PaddlePaddle")


def picodet_stated():
    return distributions(0.5, axes="maps", bins=17, boxes="picodet")


def gfl():
    return distributions(0, boxes="gfl")


def scrfd(axes, batch):
    heads, rows = Heads(axes, batch=batch), []
    for stride in (8, 16, 32):
        scores = heads.add(f"s_{stride}", 2, stride, "Sigmoid").reshape(HEIGHT // stride, WIDTH // stride, 2, 1)
        boxes = heads.add(f"d_{stride}", 8, stride, scale=2).reshape(*scores.shape[:3], 4)
        heads.add(f"k_{stride}", 20, stride)
        for i, j in cells(stride):
            for score, distances in zip(scores[i, j], boxes[i, j], strict=True):
                rows.append([*sides(j * stride, i * stride, distances * stride), score[0], score[0]])
    return heads.load(("s_", "d_", "k_")), rows


def scrfd_of_one_picture():
    return scrfd("two", 1)


def scrfd_in_maps():
    return scrfd("maps", "N")


def yolox_heads(**spec):
    heads, rows = Heads("maps", labels=("a", "b", "c"), color="RGB"), []
    for stride in (8, 16, 32):
        numbers = heads.add(f"y_{stride}", 8, stride)
        for i, j in cells(stride):
            x, y, w, h, *certain = numbers[i, j]
            objectness, *scores = sigmoid(np.array(certain))
            corners = around((j + x) * stride, (i + y) * stride, np.exp(w) * stride, np.exp(h) * stride)
            rows.append([*corners, objectness, *(objectness * np.array(scores))])
    return heads.load(), rows


def with_anchors(by_stride, points):
    heads, rows = Heads("maps"), []
    kinds = [("loc", 4), ("conf", 2), *([("landms", 10)] if points else [])]
    for stride, anchors in by_stride.items():
        per_cell = {kind: heads.add(f"{kind}_{stride}", count * len(anchors), stride, scale=3) for kind, count in kinds}
        for i, j in cells(stride):
            loc, conf = (per_cell[kind][i, j].reshape(len(anchors), -1) for kind in ("loc", "conf"))
            for anchor, (x, y, w, h), logits in zip(anchors, loc, conf, strict=True):
                centre = (j + 0.5) * stride + 0.1 * x * anchor, (i + 0.5) * stride + 0.1 * y * anchor
                score = softmax(logits)[1]
                rows.append([*around(*centre, np.exp(0.2 * w) * anchor, np.exp(0.2 * h) * anchor), score, score])
    heads.outputs = []
    for kind, count in kinds:
        for stride in by_stride:
            name = f"{kind}_{stride}"
            heads.weights[f"{name}_shape"] = np.array([0, -1, count])
            heads.nodes.append(node("Transpose", [name], [f"{name}_last"], perm=[0, 2, 3, 1]))
            heads.nodes.append(node("Reshape", [f"{name}_last", f"{name}_shape"], [f"{name}_rows"]))
        joined = "joined" if kind == "conf" else kind
        heads.nodes.append(node("Concat", [f"{kind}_{stride}_rows" for stride in by_stride], [joined], axis=1))
        heads.outputs.append(tensor(kind, ["N", "B", count]))
    heads.nodes.append(node("Softmax", ["joined"], ["conf"], axis=2))
    return heads.load(), rows


def retinaface():
    return with_anchors({8: (16, 32), 16: (64, 128), 32: (256, 512)}, points=True)


def ultraface():
    return with_anchors({8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}, points=False)


def centerface():
    heads, rows = Heads("maps"), []
    scores = heads.add("hm", 1, 4, "Sigmoid")
    sizes, offsets = heads.add("wh", 2, 4), heads.add("off", 2, 4)
    heads.add("points", 10, 4)
    for i, j in cells(4):
        (h, w), (y, x) = sizes[i, j], offsets[i, j]
        corners = around((j + x + 0.5) * 4, (i + y + 0.5) * 4, np.exp(w) * 4, np.exp(h) * 4)
        rows.append([*corners, scores[i, j, 0], scores[i, j, 0]])
    return heads.load(("hm", "wh", "of", "po")), rows


def yolo(decode, sizes, axes, sigmoid_in_graph=False, strides=(8, 16, 32), classes=3, **spec):
    """Boxes relative to anchors: ``decode`` returns the centre in cells, the size in anchors and the scores."""
    heads, rows = Heads(axes, **spec), []
    for stride, anchors in zip(strides, sizes, strict=True):
        count = len(anchors)
        numbers = heads.add(f"y_{stride}", count * (5 + classes), stride, "Sigmoid" if sigmoid_in_graph else "Identity")
        for i, j in cells(stride):
            for (a, b), one in zip(anchors, numbers[i, j].reshape(count, -1), strict=True):
                (x, y), (w, h), objectness, scores = decode(one, stride)
                corners = around((j + x) * stride, (i + y) * stride, a * w, b * h)
                rows.append([*corners, objectness, *(objectness * scores)])
    return heads.load(), rows


def of_v3(one, stride):
    return sigmoid(one[:2]), np.exp(one[2:4]), sigmoid(one[4]), sigmoid(one[5:])


def of_v4(one, stride):
    stretch = {8: 1.2, 16: 1.1, 32: 1.05}[stride]
    return stretch * sigmoid(one[:2]) - (stretch - 1) / 2, np.exp(one[2:4]), sigmoid(one[4]), sigmoid(one[5:])


def of_v5(one, stride):
    return of_v5_after_sigmoid(sigmoid(one), stride)


def of_v5_after_sigmoid(one, stride):
    return 2 * one[:2] - 0.5, (2 * one[2:4]) ** 2, one[4], one[5:]


def of_v2(one, stride):
    return sigmoid(one[:2]), np.exp(one[2:4]), sigmoid(one[4]), softmax(one[5:])


V3 = [[(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)]]
V4 = [[(12, 16), (19, 36), (40, 28)], [(36, 75), (76, 55), (72, 146)], [(142, 110), (192, 243), (459, 401)]]
TINY = [[(10, 14), (23, 27), (37, 58)], [(81, 82), (135, 169), (344, 319)]]
V2 = [[(w * 32, h * 32) for w, h in [(1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52)]]]


def yolo_v5_heads():
    return yolo(of_v5, V3, "five", boxes="yolo_v5_heads:yolov5")


def yolo_v5_heads_after_sigmoid():
    return yolo(of_v5_after_sigmoid, V3, "maps", True, boxes="yolo_v5_heads:yolov5")


def yolo_v7_heads():
    return yolo(of_v5, V4, "maps", classes=1, boxes="yolo_v5_heads:yolov7")


def yolo_v3_heads():
    return yolo(of_v3, V3, "maps", boxes="yolo_v3_heads:yolov3")


def yolo_v3_tiny_heads():
    return yolo(of_v3, TINY, "last", strides=(16, 32), boxes="yolo_v3_heads:yolov3-tiny")


def yolo_v3_heads_with_own_anchors():
    own = [[(8, 9), (20, 12)], [(30, 40), (60, 45)], [(90, 80), (120, 150)]]
    return yolo(of_v3, own, "maps", boxes="yolo_v3_heads:8,9 20,12; 30,40 60,45; 90,80 120,150")


def yolo_v4_heads():
    return yolo(of_v4, V4, "five last", boxes="yolo_v3_heads:yolov4")


def yolo_v2_heads():
    return yolo(of_v2, V2, "maps", strides=(32,), boxes="yolo_v2_heads:yolov2-tiny-voc")


def by_distances(offset, unit, centerness, axes="maps", strides=(8, 16, 32), **spec):
    heads, rows = Heads(axes, **spec), []
    for stride in strides:
        scores = sigmoid(heads.add(f"s_{stride}", 3, stride))
        boxes = heads.add(f"d_{stride}", 4, stride, scale=2)
        factor = sigmoid(heads.add(f"c_{stride}", 1, stride)) if centerness else None
        for i, j in cells(stride):
            distances = boxes[i, j] * (1 if unit == "pixels" else stride)
            each = scores[i, j] if factor is None else scores[i, j] * factor[i, j]
            certain = each.max() if factor is None else factor[i, j, 0]
            rows.append([*sides((j + offset) * stride, (i + offset) * stride, distances), certain, *each])
    return heads.load(("s_", "d_", "c_")), rows


def fcos_in_pixels():
    return by_distances(0.5, "pixels", True, strides=(8, 16, 32, 64), boxes="fcos:pixels")


def fcos_in_cells():
    return by_distances(0.5, "cells", True, "rows", boxes="fcos:cells")


def middles_without_centerness():
    return by_distances(0.5, "cells", False, boxes="fcos:cells")


def rtmdet_in_pixels():
    return by_distances(0, "pixels", False, boxes="rtmdet:pixels")


def rtmdet_in_cells():
    return by_distances(0, "cells", False, "rows", boxes="rtmdet:cells")


def yolo_v8_heads():
    heads, rows = Heads("maps", labels=("a", "b", "c"), color="RGB"), []
    for stride in (8, 16, 32):
        numbers = heads.add(f"y_{stride}", 64 + 3, stride, scale=3)
        for i, j in cells(stride):
            mean = np.array([softmax(part) @ np.arange(16) for part in numbers[i, j, :64].reshape(4, 16)])
            scores = sigmoid(numbers[i, j, 64:])
            rows.append([*sides((j + 0.5) * stride, (i + 0.5) * stride, mean * stride), scores.max(), *scores])
    return heads.load(), rows


def nanodet(offset=0.5, boxes="nanodet", strides=(8, 16, 32, 64)):
    heads, rows = Heads("maps", labels=("a", "b", "c"), color="RGB", boxes=boxes), []
    for stride in strides:
        scores = sigmoid(heads.add(f"s_{stride}", 3, stride))
        boxes = heads.add(f"d_{stride}", 32, stride, scale=3)
        for i, j in cells(stride):
            mean = np.array([softmax(part) @ np.arange(8) for part in boxes[i, j].reshape(4, 8)])
            corners = sides((j + offset) * stride, (i + offset) * stride, mean * stride)
            rows.append([*corners, scores[i, j].max(), *scores[i, j]])
    heads.weights["shape"] = np.array([0, 35, -1])
    for stride in strides:
        heads.nodes.append(node("Sigmoid", [f"s_{stride}"], [f"p_{stride}"]))
        heads.nodes.append(node("Concat", [f"p_{stride}", f"d_{stride}"], [f"j_{stride}"], axis=1))
        heads.nodes.append(node("Reshape", [f"j_{stride}", "shape"], [f"r_{stride}"]))
    heads.nodes.append(node("Concat", [f"r_{stride}" for stride in strides], ["joined"], axis=2))
    heads.nodes.append(node("Transpose", ["joined"], ["output"], perm=[0, 2, 1]))
    heads.outputs = [tensor("output", ["N", "B", 35])]
    return heads.load(), rows


def nanodet_plus():
    return nanodet(0, "nanodet:plus")


def nanodet_of_three_strides():
    return nanodet(strides=(8, 16, 32))


KINDS = [
    (picodet, "picodet"),
    (picodet_stated, "picodet"),
    (gfl, "gfl"),
    (scrfd_of_one_picture, "scrfd"),
    (scrfd_in_maps, "scrfd"),
    (yolox_heads, "yolox_heads"),
    (retinaface, "retinaface"),
    (ultraface, "retinaface"),
    (centerface, "centerface"),
    (yolo_v5_heads, "yolo_v5_heads"),
    (yolo_v5_heads_after_sigmoid, "yolo_v5_heads"),
    (yolo_v7_heads, "yolo_v5_heads"),
    (yolo_v3_heads, "yolo_v3_heads"),
    (yolo_v3_tiny_heads, "yolo_v3_heads"),
    (yolo_v3_heads_with_own_anchors, "yolo_v3_heads"),
    (yolo_v4_heads, "yolo_v3_heads"),
    (yolo_v2_heads, "yolo_v2_heads"),
    (fcos_in_pixels, "fcos"),
    (fcos_in_cells, "fcos"),
    (middles_without_centerness, "fcos"),
    (rtmdet_in_pixels, "rtmdet"),
    (rtmdet_in_cells, "rtmdet"),
    (yolo_v8_heads, "yolo_v8_heads"),
    (nanodet, "nanodet"),
    (nanodet_plus, "nanodet"),
    (nanodet_of_three_strides, "nanodet"),
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0].__name__)
def heads(request):
    make, layout = request.param
    return *make(), layout


def test_every_box_is_where_the_formulas_say(heads):
    model, rows, layout = heads
    found = find_layout(model, {"x": X})
    assert found is not None
    assert found.name() == layout
    detections = found.extended(model).run({"x": X}, [DETECTIONS])[DETECTIONS]
    np.testing.assert_allclose(detections[0], np.array(rows), rtol=2e-4, atol=2e-4)


def test_the_best_box_is_the_default_and_its_slope_is_that_of_its_score(heads):
    model, rows, _ = heads
    found = xaionnx.explain(model, X, "saliency", absolute=False)
    best = max(rows, key=lambda row: max(row[5:]))
    np.testing.assert_allclose(found.diagnostics["box"][0], best[:4], rtol=2e-4, atol=2e-3)
    np.testing.assert_allclose(found.prediction, max(best[5:]), rtol=1e-4)
    step = 1e-2 * found.values / np.abs(found.values).max()
    box = Target.box(number=int(np.argmax([max(row[5:]) for row in rows])))
    moved = [resolve(box, model, {"x": X + sign * step}) for sign in (1, -1)]
    slope = (moved[0].values - moved[1].values)[0, 0] / 2
    np.testing.assert_allclose(slope, (found.values * step).sum(), rtol=2e-2)


def test_boxes_of_two_pictures():
    model, rows = scrfd_in_maps()
    detections = find_layout(model, {"x": X}).extended(model).run({"x": np.concatenate([X * 0.5, X])}, [DETECTIONS])
    np.testing.assert_allclose(detections[DETECTIONS][1], np.array(rows), rtol=2e-4, atol=2e-4)


def test_distributions_that_may_start_from_the_middle_or_the_corner_are_refused():
    model, _ = distributions(0.5)
    with pytest.raises(UnsupportedModelError, match=r"boxes = 'picodet' \(the middle.* or boxes = 'gfl'"):
        resolve(Target.box(), model, {"x": X})


def test_distances_that_may_be_pixels_are_refused():
    heads = Heads("rows")
    for stride in (8, 16, 32):
        heads.add(f"s_{stride}", 3, stride, "Sigmoid")
        heads.add(f"d_{stride}", 4, stride)
    with pytest.raises(UnsupportedModelError, match=r"nothing in the file tells what they are.*boxes = 'scrfd'"):
        resolve(Target.box(), heads.load(("s_", "d_")), {"x": X})


def test_centerness_with_distances_of_unknown_unit_is_refused():
    model, _ = by_distances(0.5, "pixels", True)
    with pytest.raises(UnsupportedModelError, match=r"boxes = 'fcos:pixels' .* or boxes = 'fcos:cells'"):
        resolve(Target.box(), model, {"x": X})


def test_one_output_of_scores_and_distributions_is_refused_until_it_is_stated():
    model, _ = nanodet(boxes=None)
    with pytest.raises(UnsupportedModelError, match=r"boxes = 'nanodet' .* or boxes = 'nanodet:plus'"):
        resolve(Target.box(), model, {"x": X})


@pytest.mark.parametrize("axes", ["maps", "five", "five last", "last"])
def test_boxes_relative_to_anchors_are_refused_until_anchors_are_stated(axes):
    model, _ = yolo(of_v5, V3, axes, classes=4)
    with pytest.raises(UnsupportedModelError, match=r"nothing in the file tells the anchors.*'yolo_v5_heads:yolov5'"):
        resolve(Target.box(), model, {"x": X})


def test_one_grid_of_five_anchors_is_refused_until_they_are_stated():
    model, _ = yolo(of_v2, V2, "maps", strides=(32,), classes=20)
    with pytest.raises(UnsupportedModelError, match=r"of stride 32, 5 boxes a cell.*'yolo_v2_heads:yolov2'"):
        resolve(Target.box(), model, {"x": X})


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ("yolo_v5_heads", r"needs anchors: state boxes = 'yolo_v5_heads:NAME' with one of yolov5, .*Got ''"),
        ("yolo_v5_heads:yolov9", "needs anchors.*Got 'yolov9'"),
        ("yolo_v5_heads:1,2 3", "needs anchors"),
        ("yolo_v5_heads:1,2 3,4; 5,6", "needs anchors"),
        ("yolo_v5_heads:0,2 3,4 5,6", "needs anchors"),
        ("yolo_v5_heads:yolov5-p6", r"of 4 grids, but .* has 3, of strides 8, 16, 32"),
        ("yolo_v3_heads:1,2 3,4 5,6 7,8 9,10", "states boxes = 'yolo_v3_heads:.*', but the outputs"),
        ("yolox_heads:yolov5", "The layout 'yolox_heads' has no settings"),
        ("nanodet:8", "must be stated as 'nanodet' or 'nanodet:plus'"),
        ("fcos", r"needs the unit of the distances: state boxes = 'fcos:pixels' or 'fcos:cells'"),
    ],
)
def test_settings_that_a_layout_does_not_have_are_refused(boxes, message):
    model, _ = yolo(of_v5, V3, "maps", boxes=boxes)
    with pytest.raises(ParameterError, match=message):
        resolve(Target.box(), model, {"x": X})


@pytest.mark.parametrize(
    ("boxes", "sigmoid_in_graph", "message"),
    [("yolo_v3_heads:yolov3", "all", "none is negative"), ("yolo_v5_heads:yolov5", "centres", "some are negative")],
)
def test_sizes_that_are_those_of_another_version_are_refused(boxes, sigmoid_in_graph, message):
    heads = Heads("maps", boxes=boxes)
    for stride in (8, 16, 32):
        heads.add(f"y_{stride}", 24, stride, "Sigmoid" if sigmoid_in_graph == "all" else "Identity")
        if sigmoid_in_graph == "centres":
            mask = np.tile([1, 1, 0, 0, 0, 0, 0, 0], 3).astype(bool)[None, :, None, None]
            heads.nodes[-1].output[0] = f"raw_{stride}"
            heads.weights[f"mask_{stride}"] = mask
            heads.nodes.append(node("Sigmoid", [f"raw_{stride}"], [f"s_{stride}"]))
            heads.nodes.append(node("Where", [f"mask_{stride}", f"s_{stride}", f"raw_{stride}"], [f"y_{stride}"]))
    with pytest.raises(ParameterError, match=message):
        resolve(Target.box(), heads.load(), {"x": X})


@pytest.mark.parametrize("channels", [64, 96, 192])
def test_maps_of_features_are_no_boxes(channels):
    heads = Heads("maps")
    for stride in (8, 16, 32):
        heads.add(f"s_{stride}", channels, stride)
    assert find_layout(heads.load(), {"x": X}) is None
