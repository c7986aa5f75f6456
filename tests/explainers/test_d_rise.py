"""D-RISE against its equations, written out."""

from __future__ import annotations

import numpy as np
import pytest
from xaionnx_kernels import masks

import xaionnx
from models import planted
from tests.targets.test_boxes import d_rise, nms, yolo_v5
from tests.tolerances import Tolerance, assert_close
from xaionnx import Target, discovery, parameters
from xaionnx.errors import AbsentTargetError, UnsupportedModelError, XaionnxError

SIZE, GRID, COUNT = 16, 4, 60


def detector():
    return planted.load(planted.detector(), device="cpu")


def picture():
    x = np.random.default_rng(2).uniform(0, 0.2, (1, 1, SIZE, SIZE)).astype(np.float32)
    x[..., 4:8, 8:12] = 1
    x[..., 12:, :4] = 0.7
    return x


def explained(model, x, target=None, **options):
    return xaionnx.explain(model, x, "d_rise", target, **{"budget": COUNT + 1, "grid": GRID, "seed": 5, **options})


def detections(model, x):
    outputs = model.run({"x": x})
    scores = outputs["scores"]
    return np.concatenate([outputs["boxes"], scores.max(axis=2, keepdims=True), scores], axis=2)


def test_the_sum_of_masks_weighted_by_similarities():
    model, x = detector(), picture()
    cell = (SIZE // GRID, SIZE // GRID)
    shown = masks.rise_masks(
        masks.rise_cells(5, 0, COUNT, (GRID, GRID), 0.5), masks.rise_shifts(5, 0, COUNT, cell), cell, (SIZE, SIZE)
    )
    target = detections(model, x)[0, 6]
    weights = [max(d_rise(target, one) for one in detections(model, x * mask)[0]) for mask in shown]
    expected = np.einsum("m,mhw->hw", weights, shown) / (COUNT * 0.5)
    found = explained(model, x, estimator="plain")
    assert_close(found.values[0, 0], expected, Tolerance.LAYERS)
    assert found.target.tolist() == ["similarity to class 0 in box 6 at (8, 4, 12, 8)"]


def test_the_map_is_largest_in_the_box_that_is_explained():
    model, x = detector(), picture()
    found = explained(model, x, Target.boxes(2), budget=801)
    for values, (x0, y0, x1, y1) in zip(found.values[:, 0, 0], np.int64(found.diagnostics["box"][0]), strict=True):
        inside = values[y0:y1, x0:x1].mean()
        assert inside > 3 * np.abs(values).mean()
    assert found.diagnostics["box"] == [[[8, 4, 12, 8], [0, 12, 4, 16]]]


def test_a_box_stands_for_the_similarity_to_it():
    model, x = detector(), picture()
    by_box, by_detection = (explained(model, x, make(near=(2, 14))) for make in (Target.box, Target.detection))
    np.testing.assert_array_equal(by_box.values, by_detection.values)
    assert by_box.target.tolist() == ["similarity to class 0 in box 12 at (0, 12, 4, 16)"]


def test_other_targets_are_explained_as_rise_does():
    model, x = detector(), picture()
    target = Target.index((6, 0), output="scores")
    other = xaionnx.explain(model, x, "rise", target, budget=COUNT + 1, grid=GRID, seed=5)
    np.testing.assert_array_equal(explained(model, x, target).values, other.values)


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "feature_ablation", "lime"])
def test_methods_by_removal_explain_a_detection(method):
    settings = {"window": 4, "stride": 4} if method == "occlusion" else {"features": "grid:4"}
    found = xaionnx.explain(detector(), picture(), method, Target.detection(), **settings)
    values = found.values[0, 0]
    assert np.unravel_index(values.argmax(), values.shape) == (4, 8)
    assert values[4:8, 8:12].min() > 5 * np.abs(values[:4]).max()


def test_a_detector_that_suppresses_boxes_in_its_graph():
    model, x, scores = nms()
    found = explained(model, x, grid=(1, 5))
    assert_close(found.prediction, scores.max(), Tolerance.SIGNED_LAYERS)


def test_methods_by_gradients_refuse_a_similarity():
    model, x, _ = yolo_v5()
    for method in ("saliency", "integrated_gradients"):
        with pytest.raises(UnsupportedModelError, match="similarity"):
            xaionnx.explain(model, x, method, Target.detection())


@pytest.mark.sampled(percent=30)
@pytest.mark.parametrize("method", [m for m in discovery.methods() if discovery.method(m).needs == "gradient"])
def test_gradients_of_a_detection_are_refused_with_a_sentence(method):
    """Of the similarity to a box; the box's own score has them."""
    model = planted.load(planted.detector())
    x = np.zeros((1, 1, 16, 16), np.float32)
    x[..., 4:8, 8:12] = 1
    known = parameters.declared(discovery.method(method))
    if "patterns" in known or method in ("attention_relevance", "cam", "causal_cam", "contrast_cam", "finer_cam"):
        with pytest.raises(XaionnxError):
            xaionnx.explain(model, x, method, Target.detection())
        return
    with pytest.raises(UnsupportedModelError, match=r"The similarity to a detection is a maximum .* Use Target.box"):
        xaionnx.explain(model, x, method, Target.detection())
    assert np.abs(xaionnx.explain(model, x, method, Target.box()).values).max() > 0 or method == "counterfactual_cam"


def test_how_many_boxes_there_are():
    x = np.zeros((1, 1, 16, 16), np.float32)
    x[..., 4:8, 8:12] = 1
    with pytest.raises(AbsentTargetError, match="finds only 1 distinct box in this sample"):
        xaionnx.explain(planted.load(planted.detector()), x, "saliency", Target.boxes(2))
