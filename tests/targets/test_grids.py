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
from xaionnx.errors import UnsupportedModelError
from xaionnx.targets.layout import DETECTIONS, find_layout
from xaionnx.targets.resolve import resolve

HEIGHT, WIDTH = 64, 128
RNG = np.random.default_rng(10)
X = RNG.random((1, 3, HEIGHT, WIDTH), dtype=np.float32)


class Heads:
    """A model whose outputs are linear in the mean colour of each cell, and these outputs as arrays (rows, columns, F).

    An output has the axes (N, F, H, W), or as ``rows`` (N, B, F), or as ``flat`` (B, F).
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
        if self.axes != "maps":
            # As SCRFD moves them, where a batch is of one picture, and as all others do.
            order, shape = ([2, 3, 0, 1], [-1, per_box]) if self.axes == "two" else ([0, 2, 3, 1], [0, -1, per_box])
            self.weights[f"{name}_shape"] = np.array(shape)
            self.nodes.append(node("Transpose", [last], [f"{name}_last"], perm=order))
            self.nodes.append(node("Reshape", [f"{name}_last", f"{name}_shape"], [f"{name}_rows"]))
            last = f"{name}_rows"
        self.nodes.append(node(op, [last], [name]))
        free = {"maps": ["N", numbers, f"h_{name}", f"w_{name}"], "two": [f"b_{name}", per_box]}
        self.outputs.append(tensor(name, free.get(self.axes, ["N", f"b_{name}", per_box])))

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


def test_maps_of_features_are_no_boxes():
    heads = Heads("maps")
    for stride in (8, 16, 32):
        heads.add(f"s_{stride}", 64, stride)
    assert find_layout(heads.load(), {"x": X}) is None
