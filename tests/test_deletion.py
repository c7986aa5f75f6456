"""Deletion and insertion curves, against models whose answers are known."""

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx.errors import ParameterError
from xaionnx.targets.scores import flat

MODEL = "models/mnist_cnn.onnx"


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_curves_are_the_probabilities_of_the_inputs_by_hand():
    model = xaionnx.Model.load(MODEL)
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    result = xaionnx.explain(model, x, "saliency", [3, 5])
    curves = xaionnx.removal_curves(model, x, result, [3, 5], steps=4, baseline=0.5)
    for t, digit in enumerate((3, 5)):
        for n in range(2):
            order = np.argsort(-result.values[t, n].ravel(), kind="stable")
            for step in range(5):
                gone = order[: round(step * 784 / 4)]
                removed, inserted = x[n].ravel().copy(), np.full(784, 0.5, np.float32)
                removed[gone], inserted[gone] = 0.5, x[n].ravel()[gone]
                both = np.stack([removed, inserted]).reshape(2, 1, 28, 28)
                (name,) = [info.name for info in model.outputs]
                expected = softmax(flat(model.run({model.input().name: both}, [name])[name]).astype(np.float64))
                assert curves.maps["deletion"][t, n, step] == pytest.approx(expected[0, digit], abs=1e-6)
                assert curves.maps["insertion"][t, n, step] == pytest.approx(expected[1, digit], abs=1e-6)


@pytest.mark.parametrize(
    ("baseline", "shown"), [(None, (124, 116, 104)), ("black", (0, 0, 0)), ("white", (255, 255, 255))]
)
def test_the_record_has_what_replaces_removed_parts_of_a_picture(baseline, shown):
    model = xaionnx.Model.load("models/efficientnet_lite0.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    x = model.spec.to_tensor(pixels)
    result = xaionnx.explain(model, x, "grad_cam", [3, 5])
    curves = xaionnx.removal_curves(model, x, result, [3, 5], steps=1, baseline=baseline)
    replaced = curves.maps["baseline"]
    assert replaced.shape == (2, 1, 224, 224, 3)
    # The mean that the spec subtracts, if nothing else is given.
    expected = np.rint(model.spec.mean) if baseline is None else shown
    np.testing.assert_array_equal(replaced, np.broadcast_to(expected, replaced.shape))


def test_what_replaces_removed_parts_is_on_the_scale_of_the_input():
    x = np.zeros((2, 1, 28, 28), np.float32)
    x[:, :, :14] = 2.0
    x[1] *= 2
    result = xaionnx.explain(MODEL, np.random.default_rng(0).normal(size=x.shape).astype(np.float32), "saliency")
    curves = xaionnx.removal_curves(MODEL, x, result, steps=1, baseline=1.0)
    # Without a spec, each picture is drawn from its least to its greatest value.
    spec = xaionnx.Model.load(MODEL).spec
    wanted = (128, 64) if spec is None else spec.to_pictures(np.ones_like(x))[:, 0, 0, 0]
    np.testing.assert_array_equal(curves.maps["baseline"][:, 0, 0, 0], wanted)
    blurred = xaionnx.removal_curves(MODEL, x, result, steps=1, baseline="blur:3").maps["baseline"][0, :, 0, 0]
    assert (np.diff(blurred.astype(int)) <= 0).all()
    assert len(np.unique(blurred)) > 5
    several = xaionnx.removal_curves(MODEL, x, result, steps=1, baseline="uniform:4")
    assert several.provenance["removal_curves"]["rows"] == 4


def test_the_record_has_probability_and_rival_of_logits():
    x = np.random.default_rng(1).normal(size=(3, 1, 28, 28)).astype(np.float32)
    model = xaionnx.Model.load(MODEL)
    (name,) = [info.name for info in model.outputs]
    chances = softmax(flat(model.run({model.input().name: x}, [name])[name]).astype(np.float64))
    result = xaionnx.explain(model, x, "saliency")
    ranked = np.argsort(-chances, axis=1)
    np.testing.assert_allclose(result.diagnostics["probability"], chances.max(axis=1), rtol=1e-6)
    for n, (label, chance) in enumerate(result.diagnostics["rival"]):
        assert str(ranked[n, 1]) in label
        assert chance == pytest.approx(chances[n, ranked[n, 1]], rel=1e-6)


def test_scores_of_unknown_kind_have_no_probability():
    model = planted.load(planted.linear(np.ones((3, 4))))
    result = xaionnx.explain(model, np.ones((1, 4), np.float32), "feature_ablation")
    assert "probability" not in result.diagnostics


def test_curves_need_a_value_for_each_element():
    x = np.zeros((1, 1, 28, 28), np.float32)
    result = xaionnx.explain(MODEL, x, "saliency")
    with pytest.raises(ParameterError, match="'steps' parameter of removal_curves"):
        xaionnx.removal_curves(MODEL, x, result, steps=0)
    with pytest.raises(ParameterError, match="of the same samples"):
        xaionnx.removal_curves(MODEL, np.zeros((2, 1, 28, 28), np.float32), result)
