"""A masker: its objective against a slow one, its gradients, and what a short training changes."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from models import planted
from tests.tiny import loaded, trained
from xaionnx import Model
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.masker import Masker
from xaionnx.optimization.classifier import Classifier
from xaionnx.optimization.masker import MaskerTraining, TrainingInterrupted

DIGITS = np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255
# The mean of one quarter of the picture decides between the classes; the other three are noise.
QUARTER = np.index_exp[..., 6:, :6]


def quarters():
    weights = np.zeros((2, 1, 12, 12), np.float32)
    weights[0][QUARTER], weights[1][QUARTER] = 0.5, -0.5
    return planted.load(planted.linear(weights, [-6.0, 6.0]), axes="N C H W", device="cpu")


def noise(count, seed=0):
    """Pictures of which each is of the first class: bright in the quarter, noise elsewhere."""
    x = np.random.default_rng(seed).uniform(0, 1, (count, 1, 12, 12)).astype(np.float32)
    x[QUARTER] = np.random.default_rng(seed + 1).uniform(0.8, 1, x[QUARTER].shape)
    return x


def slow_objective(training, model, x, b, masks, wanted, real_ones):
    """Equation 3 of the paper, one input at a time."""
    total = []
    for n in range(len(x)):
        m = masks[n].astype(np.float64)
        value = training.area * m.mean()
        value += training.total_variation * (np.diff(m, axis=0) ** 2).sum() / m.size
        value += training.total_variation * (np.diff(m, axis=1) ** 2).sum() / m.size
        if real_ones[n]:
            kept, left = (
                model.run({model.input().name: (part * x[n] + (1 - part) * b[n])[None].astype(np.float32)})
                for part in (m, 1 - m)
            )
            kept, left = (np.exp(o - o.max())[0] / np.exp(o - o.max()).sum() for o in (kept["logits"], left["logits"]))
            value += -np.log(kept[wanted[n]] + 1e-6) + training.destroy * (left[wanted[n]] + 1e-6) ** training.power
        total.append(value)
    return np.mean(total)


def test_the_objective_and_its_slope():
    training, model = MaskerTraining(area=1.5, total_variation=3.0, destroy=2.0, power=0.4), trained("mnist_cnn")
    classifier = Classifier.of(model, DIGITS[:4])
    rng = np.random.default_rng(0)
    masks = rng.uniform(0.2, 0.8, (4, 28, 28)).astype(np.float32)
    x, top = DIGITS[:4], classifier.top(DIGITS[:4])
    b, real_ones = classifier.baselines(["blur:2"], x, rng), np.array([True, True, False, True])
    expected = slow_objective(training, model, x, b, masks, top, real_ones)
    value, slope = training.objective(classifier, x, b, masks, top, real_ones)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    direction = slope / np.linalg.norm(slope)
    above, below = (
        training.objective(classifier, x, b, masks + sign * 1e-2 * direction, top, real_ones)[0] for sign in (1, -1)
    )
    np.testing.assert_allclose((above - below) / 2e-2, np.linalg.norm(slope), rtol=0.05)


def test_each_input_has_one_of_the_baselines():
    classifier = Classifier.of(trained("mnist_cnn"), DIGITS[:8])
    x = np.tile(DIGITS[:8], (4, 1, 1, 1))
    found = classifier.baselines(["zero", "constant:0.5", "noise"], x, np.random.default_rng(0))
    kinds = [0 if not b.any() else 1 if (b == 0.5).all() else 2 for b in found]
    assert set(kinds) == {0, 1, 2}
    noise = [b for b, kind in zip(found, kinds, strict=True) if kind == 2]
    assert all(np.abs(one - noise[0]).max() > 0.1 for one in noise[1:])


def test_a_short_training_finds_the_part_that_decides(tmp_path):
    model, x = quarters(), noise(64)
    training = MaskerTraining(steps=150, batch=16, width=4, fake=0.25, baselines=["zero"])
    masker = training.train(model, x, tmp_path / "masker.onnx")
    new = noise(16, seed=7)
    masks = masker.masks(new, np.zeros(16, int))
    assert masks.shape == (16, 12, 12)
    inside = masks[QUARTER].mean()
    outside = (masks.sum() - masks[QUARTER].sum()) / (masks.size - masks[QUARTER].size)
    assert inside > 0.8
    assert outside < 0.2
    # What it keeps is the class by itself; what it leaves is not.
    classifier = Classifier.of(model, new)
    kept, left = (classifier.probabilities(classifier.scores(part[:, None] * new))[:, 0] for part in (masks, 1 - masks))
    assert np.median(kept) > 0.9
    assert np.median(left) < 0.5
    # The mask of a class that is not there is nearly empty.
    assert masker.masks(new, np.ones(16, int)).mean() < 0.1


def test_the_file_is_the_masker_and_the_seed_decides(tmp_path):
    training = MaskerTraining(steps=2, batch=4, width=2)
    first, _, other = (
        replace(training, seed=seed).train(trained("mnist_cnn"), DIGITS[:8], tmp_path / f"{name}.onnx")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    classes = np.arange(8)
    found = first.masks(DIGITS[:8], classes)
    assert np.abs(found - other.masks(DIGITS[:8], classes)).max() > 1e-3
    assert first.of == trained("mnist_cnn").sha256
    again = Masker.load(tmp_path / "a.onnx", "cpu")
    np.testing.assert_array_equal(again.masks(DIGITS[:8], classes), found)
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"), full_check=True)


def stopped_after(monkeypatch, steps):
    """Let a training be stopped by Ctrl-C after some steps."""
    whole = MaskerTraining._stepped

    def stepped(self, graphs, classifier, now, step, x):
        if step == steps:
            raise KeyboardInterrupt
        return whole(self, graphs, classifier, now, step, x)

    monkeypatch.setattr(MaskerTraining, "_stepped", stepped)


def test_a_training_that_was_stopped_goes_on_to_the_same_masker(tmp_path, monkeypatch):
    training = MaskerTraining(steps=5, batch=4, width=2)
    whole = training.train(trained("mnist_cnn"), DIGITS[:8], tmp_path / "whole.onnx")
    part = tmp_path / "part.onnx"
    with monkeypatch.context() as patch:
        stopped_after(patch, 2)
        with pytest.raises(TrainingInterrupted, match="2 of 5 steps are done") as stop:
            training.train(trained("mnist_cnn"), DIGITS[:8], part)
    assert stop.value.found.objective == whole.objective[:2]
    assert stop.value.found.masks(DIGITS[:2], np.array([1, 2])).shape == (2, 28, 28)
    with pytest.raises(
        ParameterError, match=r"had another area: 2.0 instead of 3.0. Give the same settings, or do not resume"
    ):
        replace(training, area=3.0).train(trained("mnist_cnn"), DIGITS[:8], part, resume=part)
    with pytest.raises(ParameterError, match="had another inputs: 8 instead of 7"):
        training.train(trained("mnist_cnn"), DIGITS[:7], part, resume=part)
    with pytest.raises(ParameterError, match="had another model_sha256"):
        training.train(quarters(), noise(8), part, resume=part)
    again = training.train(trained("mnist_cnn"), DIGITS[:8], part, resume=part)
    assert part.read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    assert again.objective == whole.objective
    with pytest.raises(DataError, match="was not stopped, so there is nothing to resume"):
        training.train(trained("mnist_cnn"), DIGITS[:8], part, resume=part)


def test_a_stop_before_the_first_step_leaves_no_file(tmp_path, monkeypatch):
    stopped_after(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt) as stop:
        MaskerTraining(steps=2, batch=4, width=2).train(trained("mnist_cnn"), DIGITS[:8], tmp_path / "m.onnx")
    assert not isinstance(stop.value, TrainingInterrupted)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("axes", ["N H W C", "N H W"])
def test_pictures_with_channels_last_or_without_any(tmp_path, axes):
    shape = (2, 12, 12, 1)[: len(axes.split())]
    weights = np.zeros(shape, np.float32)
    weights[0, 6:, :6], weights[1, 6:, :6] = 0.5, -0.5
    model = planted.load(planted.linear(weights, [-6.0, 6.0]), axes=axes, device="cpu")
    x = noise(64).reshape(64, *shape[1:])
    training = MaskerTraining(steps=60, batch=16, width=4, baselines=["zero"], learning_rate=0.01)
    masks = training.train(model, x, tmp_path / "masker.onnx").masks(x[:8], np.zeros(8, int))
    assert masks.shape == (8, 12, 12)
    assert masks[QUARTER].mean() > 2 * masks[:, :6].mean()


def test_probabilities_are_taken_as_they_are():
    proto = planted.linear(np.random.default_rng(0).normal(size=(3, 1, 12, 12)))
    proto.graph.output[0].name = "probabilities"
    proto.graph.node.append(onnx.helper.make_node("Softmax", ["y"], ["probabilities"], axis=1))
    model = planted.load(proto, axes="N C H W", device="cpu")
    some = np.random.default_rng(0).uniform(0, 1, (3, 1, 12, 12)).astype(np.float32)
    classifier = Classifier.of(model, some)
    assert not classifier.logits
    np.testing.assert_allclose(classifier.probabilities(classifier.scores(some)).sum(axis=1), 1, rtol=1e-5)


def test_refusals(tmp_path):
    row = planted.load(planted.linear([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(UnsupportedModelError, match="Masks are learned for models of one picture"):
        MaskerTraining().train(row, np.ones((2, 2), np.float32), tmp_path / "m.onnx")
    with pytest.raises(DataError, match="is not a masker"):
        Masker.load("models/mnist_cnn.onnx")
    with pytest.raises(DataError, match=r"There is no file 'nope.onnx' with a masker. Make one with xaionnx masker"):
        Masker.load("nope.onnx")
    with pytest.raises(ParameterError, match="'steps' parameter of MaskerTraining"):
        MaskerTraining(steps=0)
    with pytest.raises(ParameterError, match="'baselines' parameter of MaskerTraining must be one baseline or several"):
        MaskerTraining(baselines=())
    with pytest.raises(UnknownNameError, match="No baseline named"):
        MaskerTraining(baselines=("zero", "nope"))
    masker = MaskerTraining(steps=1, batch=2, width=1).train(trained("mnist_cnn"), DIGITS[:2], tmp_path / "m.onnx")
    with pytest.raises(InputMismatchError, match=r"must be numbers in \[0, 10\)"):
        masker.masks(DIGITS[:1], np.array([10]))
    assert isinstance(masker.model, Model)


def test_rows_that_are_not_those_of_the_pictures_are_no_classes():
    """As of readers of text, which return the characters of all pictures one after another."""
    model = loaded("""g (float[N, 1, 8, 8] x) => (float[M, 4] y) <int64[2] rows = {-1, 4}> {
        p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x) y = Reshape(p, rows) }""")
    with pytest.raises(UnsupportedModelError, match="Masks are learned for models of one picture"):
        Classifier.of(model, np.random.default_rng(0).uniform(0, 1, (3, 1, 8, 8)).astype(np.float32))


def test_a_single_score_is_no_class():
    one = planted.load(planted.linear(np.ones((1, 1, 12, 12), np.float32)), axes="N C H W", device="cpu")
    with pytest.raises(UnsupportedModelError, match="that return a score for each class"):
        Classifier.of(one, noise(2))
