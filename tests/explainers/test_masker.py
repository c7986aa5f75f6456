"""The masker as a method: its contracts, and what it refuses."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import trained
from xaionnx import Explanation, Model, Target
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError
from xaionnx.explainers.masker import LearnedMask
from xaionnx.layers.dry_run import DryRun
from xaionnx.masker import Masker
from xaionnx.optimization import MaskerTraining

DIGITS = np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255
SHORT = MaskerTraining(steps=2, batch=4, width=2)


@pytest.fixture(scope="module")
def masker(tmp_path_factory):
    return SHORT.train(trained("mnist_cnn"), DIGITS[:8], tmp_path_factory.mktemp("masker") / "digits.onnx")


def test_values_are_the_masks_of_the_classes(masker):
    model = trained("mnist_cnn")
    found = xaionnx.explain(model, DIGITS[:3], LearnedMask(masker=masker))
    top = model.run({model.input().name: DIGITS[:3]})["logits"].argmax(axis=1)
    np.testing.assert_array_equal(found.values[:, 0], masker.masks(DIGITS[:3], top))
    np.testing.assert_allclose(found.diagnostics["area"], found.values.mean(axis=(1, 2, 3)), rtol=1e-5)
    assert found.provenance["quantity"] == "probability"
    # One run of the model for the prediction, and none for the mask.
    assert found.diagnostics["evaluations"] == [1, 1, 1]
    several = xaionnx.explain(model, DIGITS[:3], LearnedMask(masker=masker), [2, Target.probability(2), 5])
    assert several.values.shape == (3, 3, 1, 28, 28)
    np.testing.assert_array_equal(several.values[0], several.values[1])
    assert np.abs(several.values[0] - several.values[2]).max() > 0
    for n in range(3):
        alone = xaionnx.explain(model, DIGITS[n : n + 1], LearnedMask(masker=masker), 2)
        np.testing.assert_allclose(alone.values[0], several.values[0, n], rtol=1e-5, atol=1e-7)


def test_the_record_names_the_masker_by_its_hash(masker, tmp_path):
    found = xaionnx.explain(trained("mnist_cnn"), DIGITS[:1], "masker", masker=masker)
    told = found.provenance["parameters"]["masker"]
    assert (told["model"]["sha256"], told["of"]) == (masker.sha256, trained("mnist_cnn").sha256)
    again = Explanation.load(found.save(tmp_path / "record.npz"))
    np.testing.assert_array_equal(again.values, found.values)
    assert again.provenance == found.provenance


def test_other_models_sizes_and_targets_are_refused(masker, tmp_path):
    model, method = trained("mnist_cnn"), LearnedMask(masker=masker)
    with pytest.raises(InputMismatchError, match=r"trained for another model than mnist_vit.onnx: sha256 c7e89caba3ae"):
        method.attribute(trained("mnist_vit"), DIGITS[:1])
    with pytest.raises(ParameterError, match=r"'masker' parameter must be a Masker, or its .onnx file. Got None"):
        xaionnx.explain(model, DIGITS[:1], "masker")
    with pytest.raises(DataError, match=r"There is no file 'nope.onnx' with a masker. Make one with xaionnx masker"):
        xaionnx.explain(model, DIGITS[:1], "masker", masker="nope.onnx")
    with pytest.raises(DataError, match=r"mnist_cnn.onnx' is not a masker"):
        xaionnx.explain(model, DIGITS[:1], "masker", masker="models/mnist_cnn.onnx")
    for target in (Target.margin(3, 5), Target.sum()):
        with pytest.raises(ParameterError, match="A masker explains one class of 'logits', and the target is"):
            method.attribute(model, DIGITS[:1], target)
    # A model of pictures of any size has a masker of one size.
    free = tmp_path / "free.onnx"
    tiny.saved(
        free,
        [tiny.node("GlobalAveragePool", ["x"], ["m"]), tiny.node("Flatten", ["m"], ["f"]),
         tiny.node("MatMul", ["f", "w"], ["y"])],
        [tiny.tensor("x", ["N", 1, "H", "W"])], [tiny.tensor("y", ["N", 2])], {"w": np.float32([[1, -1]])},
    )  # fmt: skip
    small = SHORT.train(free, np.ones((4, 1, 8, 8), np.float32), tmp_path / "small.onnx")
    with pytest.raises(InputMismatchError, match=r"takes inputs \(N, 1, 8, 8\), as it was trained with. Got \(1, 1, 9"):
        LearnedMask(masker=small).attribute(Model.load(free, "cpu"), np.ones((1, 1, 9, 9), np.float32))


def test_what_is_no_classifier_of_a_picture_is_refused_before_any_sample():
    row = planted.load(planted.linear([[1.0, 2.0], [0.0, 1.0]]))
    one = planted.load(planted.linear(np.ones((1, 1, 12, 12), np.float32)), axes="N C H W", device="cpu")
    for model in (row, one, trained("selfie_segmentation")):
        with pytest.raises(UnsupportedModelError, match="Masks are learned for models of one picture"):
            LearnedMask().validate(DryRun.of(model))
    assert LearnedMask().validate(DryRun.of(trained("mnist_cnn"))) == {}


def test_a_file_and_its_masker_give_the_same(masker):
    found = xaionnx.explain(trained("mnist_cnn"), DIGITS[:2], "masker", 3, masker=masker.model.file.path)
    np.testing.assert_array_equal(
        found.values, xaionnx.explain(trained("mnist_cnn"), DIGITS[:2], LearnedMask(masker=masker), 3).values
    )
    assert isinstance(LearnedMask(masker=masker.model.file.path).bind(trained("mnist_cnn")).masker, Masker)


def test_the_digits_that_a_trained_masker_keeps_are_seen_and_those_it_removes_are_not():
    model = trained("mnist_cnn")
    found = xaionnx.explain(model, DIGITS, "masker", masker="models/mnist_masker.onnx")
    top, rows = model.run({"pixels": DIGITS})["logits"].argmax(axis=1), np.arange(len(DIGITS))

    def probability(x):
        scores = model.run({"pixels": x})["logits"].astype(np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True))[rows, top]

    assert np.median(probability(found.values * DIGITS)) > 0.95
    assert np.median(probability((1 - found.values) * DIGITS)) < 0.05
    areas = np.mean(found.diagnostics["area"])
    assert areas < 0.3
    # The masks of digits that are not there are small.
    others = Masker.load("models/mnist_masker.onnx", "cpu").masks(DIGITS, (top + 1 + rows % 9) % 10)
    assert others.mean() < areas / 2
