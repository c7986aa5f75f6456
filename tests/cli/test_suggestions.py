"""Without --target, an output that is not one axis of classes is refused with targets that work as typed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from xaionnx_cli._suggestions import suggest_targets

from tests import tiny
from tests.tiny import node, tensor
from xaionnx import InputSpec, Model

MODELS = Path(__file__).resolve().parents[2] / "models"


def _detector(folder: Path, shape: list[int], labels: list[str], more: bool = False) -> Model:
    picture, out = ["N", 3, 4, 4], ["N", *shape]
    count = int(np.prod(shape))
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("MatMul", ["f", "w"], ["m"]),
        node("Reshape", ["m", "shape"], ["boxes"]),
    ]
    outputs = [tensor("boxes", out)]
    if more:
        nodes.append(node("MatMul", ["f", "v"], ["scores"]))
        outputs.append(tensor("scores", ["N", 3]))
    weights = {
        "w": np.arange(48 * count, dtype=np.float32).reshape(48, count),
        "v": np.ones((48, 3), np.float32),
        "shape": np.array([-1, *shape], np.int64),
    }
    if not more:
        del weights["v"]
    path = tiny.saved(folder / "m.onnx", nodes, [tensor("x", picture)], outputs, weights)
    return Model.load(path, spec=InputSpec(size=(4, 4), labels=labels))


@pytest.mark.parametrize(
    ("shape", "labels", "typed", "meaning"),
    [
        ([6, 20], ["cat", "dog"], "element:4,0", "the score of cat in box 0"),
        ([20, 7], ["cat", "dog"], "element:0,5", "the score of cat in box 0"),
        ([20, 7], [], "element:0,4", "number 4 of box 0"),
        ([20, 4], [], "element:0,3", "number 3 of box 0"),
    ],
)
def test_a_box_of_a_detector(run, tmp_path, shape, labels, typed, meaning):
    model = _detector(tmp_path, shape, labels)
    said = suggest_targets(model, "boxes", shape)
    assert said == (
        f"Choose what to explain: --target {typed} (if it is a detector: {meaning}) or --target sum (the sum of all "
        "numbers)."
    )
    x = np.ones((1, 3, 4, 4), np.float32)
    np.save(tmp_path / "x.npy", x)
    place = tuple(int(i) for i in typed.removeprefix("element:").split(","))
    done = run("explain", "saliency", tmp_path / "m.onnx", tmp_path / "x.npy", "-t", typed)
    assert done.exit_code == 0, done.stderr
    value = model.run({"x": x})["boxes"][0][place]
    assert f"  saliency of boxes[{', '.join(map(str, place))}] = {value:.4g}\n" in done.stdout


def test_an_output_of_classes_beside_the_boxes(tmp_path):
    model = _detector(tmp_path, [20, 7], [], more=True)
    assert suggest_targets(model, "boxes", (20, 7)).endswith(" or --output scores (an output with one axis).")


def test_the_default_of_a_mask_is_said_and_the_suggestions_work(run):
    model, photo = MODELS / "selfie_segmentation.onnx", MODELS / "photos" / "astronaut.jpg"
    done = run("explain", "saliency", model, photo)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"saliency of the mask over its \d+ of 65536 pixels = ", done.stdout)
    said = suggest_targets(Model.load(model), "mask", (256, 256, 1))
    assert said == (
        "Choose what to explain: --target region (the sum of the values above 0.5, as for a mask), --target "
        "element:128,128,0 (one number) or --target sum (the sum of all numbers)."
    )
    for typed in re.findall(r"--target (\S+)", said):
        done = run("explain", "saliency", model, photo, "-t", typed)
        assert done.exit_code == 0, done.stderr


def test_maps_with_channels_first(tmp_path):
    path = tiny.saved(
        tmp_path / "m.onnx",
        [node("Identity", ["x"], ["y"])],
        [tensor("x", ["N", 3, 8, 8])],
        [tensor("y", ["N", 3, 8, 8])],
    )
    assert "--target channel:0 (the mean of one of its 3 maps)" in suggest_targets(Model.load(path), "y", (3, 8, 8))


def test_an_answer_for_each_place_of_a_series(tmp_path):
    path = tiny.saved(
        tmp_path / "m.onnx",
        [node("Identity", ["x"], ["y"])],
        [tensor("x", ["N", 12, 5])],
        [tensor("y", ["N", 12, 5])],
    )
    assert suggest_targets(Model.load(path), "y", (12, 5)) == (
        "Choose what to explain: --target element:0,4 (the last number at its first position), --target path (the text "
        "of a CTC output) or --target sum (the sum of all numbers)."
    )
