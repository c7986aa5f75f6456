"""Local evidence against loops over patches."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import node, opened
from tests.tolerances import Tolerance, assert_close
from xaionnx import Baseline, Model, Target
from xaionnx.errors import ParameterError, UnknownNameError, UnsupportedModelError
from xaionnx.explainers.local_evidence import LocalEvidence


def starts(size, window, stride):
    """The starts of patches on an axis: multiples of the stride; the last patch ends at the border."""
    found = [0]
    while found[-1] + window < size:
        found.append(min(found[-1] + stride, size - window))
    return found


def laid(answer, extent, window, stride):
    """The mean over the patches that cover each pixel (H, W), and the evidence of each patch, by loops."""
    rows, columns = (starts(size, q, s) for size, q, s in zip(extent, window, stride, strict=True))
    total, count, evidence = np.zeros(extent), np.zeros(extent), np.zeros((len(rows), len(columns)))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            evidence[i, j] = answer(top, left)
            total[top : top + window[0], left : left + window[1]] += evidence[i, j]
            count[top : top + window[0], left : left + window[1]] += 1
    return total / count, evidence


@pytest.fixture(scope="module")
def cnn():
    return Model.load("models/mnist_cnn.onnx")


@pytest.fixture(scope="module")
def bag():
    return planted.load(planted.bag_of_patches())


X = np.random.default_rng(5).normal(size=(2, 3, 13, 11)).astype(np.float32)


@pytest.mark.parametrize("baseline", [0, 0.5, "mean"])
def test_covered_patches_stand_in_the_baseline(cnn, baseline):
    x = np.random.default_rng(0).random((2, 1, 28, 28)).astype(np.float32)
    method = LocalEvidence(window=(9, 12), stride=(5, 7), baseline=baseline)
    result = method.attribute(cnn, x, [3, Target.margin(1, 2)])
    drawn = {"mean": lambda one: one.mean()}.get(baseline, lambda one: baseline)

    for n in range(2):

        def logits(top, left, one=x[n]):
            shown = np.full_like(one, drawn(one))
            shown[:, top : top + 9, left : left + 12] = one[:, top : top + 9, left : left + 12]
            return cnn.run({"pixels": shown[None]})["logits"][0]

        for t, score in enumerate((lambda y: y[3], lambda y: y[1] - y[2])):
            values, evidence = laid(lambda *at, of=score: of(logits(*at)), (28, 28), (9, 12), (5, 7))
            assert_close(result.maps["evidence"][t, n], evidence, Tolerance.SIGNED_SUMS)
            assert_close(result.values[t, n, 0], values, Tolerance.SIGNED_SUMS)
    assert result.diagnostics["evaluations"] == [1 + evidence.size] * 2
    assert result.provenance["parameters"]["patches"] == "covered"


def test_patches_alone_are_cut_out_and_fed(bag):
    result = LocalEvidence(patches="alone", window=(5, 4), stride=3).attribute(bag, X, 1)
    for n in range(2):

        def answer(top, left, one=X[n]):
            return bag.run({"x": one[None, :, top : top + 5, left : left + 4]})["y"][0, 1]

        values, evidence = laid(answer, (13, 11), (5, 4), (3, 3))
        assert_close(result.maps["evidence"][n], evidence, Tolerance.SIGNED_SUMS)
        assert_close(result.values[n], np.broadcast_to(values, (3, 13, 11)), Tolerance.SIGNED_SUMS)
    assert result.diagnostics["evaluations"] == [1 + evidence.size] * 2


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("layer", [None, "scores"])
def test_scores_by_place_are_found_and_answer_in_one_run(channels_last, layer):
    model = planted.load(planted.bag_of_patches(channels_last=channels_last))
    result = LocalEvidence(layer=layer).attribute(model, X, [0, Target.margin(2, 1)])
    shown = model.with_outputs(["scores"]).run({"x": X}, ["scores"])["scores"]
    scores = shown if channels_last else np.moveaxis(shown, 1, -1)
    expected = np.stack([scores[..., 0], scores[..., 2] - scores[..., 1]])
    assert_close(result.maps["evidence"], expected, Tolerance.SIGNED_SUMS)
    assert_close(result.maps["evidence"].mean(axis=(2, 3)), result.prediction, Tolerance.SIGNED_SUMS)
    parameters = result.provenance["parameters"]
    assert (parameters["patches"], parameters["layer"]) == ("scores", "scores")
    assert result.diagnostics["evaluations"] == [1, 1]
    assert result.values.shape == (2, *X.shape)
    assert_close(result.values[0, 0, :, 0, 0], expected[0, 0, 0, 0], Tolerance.SIGNED_SUMS)


def test_scores_by_place_are_what_patches_alone_answer(bag):
    # A position sees 3 x 3 pixels, and the next one starts 2 pixels later.
    by_place = LocalEvidence().attribute(bag, X[:, :, :, :11], 2).maps["evidence"]
    alone = LocalEvidence(patches="alone", window=3, stride=2).attribute(bag, X[:, :, :, :11], 2).maps["evidence"]
    assert_close(by_place, alone, Tolerance.SIGNED_SUMS)


def test_a_layer_that_is_not_averaged_is_refused(bag, cnn):
    with pytest.raises(UnsupportedModelError, match=r"Layer 'features' of .* does not hold spatial scores whose mean"):
        LocalEvidence(layer="features").attribute(bag, X, 0)
    with pytest.raises(UnknownNameError, match=r"No layer named 'score'. Nearest: scores"):
        LocalEvidence(layer="score").attribute(bag, X, 0)
    with pytest.raises(UnsupportedModelError, match=r"No tensor of mnist_cnn.onnx holds spatial scores"):
        LocalEvidence(patches="scores").attribute(cnn, np.zeros((1, 1, 28, 28), np.float32))
    with pytest.raises(ParameterError, match="The 'layer' parameter of LocalEvidence must be None for patches='alone'"):
        LocalEvidence(layer="scores", patches="alone")


@pytest.mark.parametrize(
    ("shape", "axes", "window"),
    [
        ((2, "D", "H", "W"), (1, 2, 3), (2, 3, 4)),
        (("D", "H", "W", 2), (0, 1, 2), (2, 3, 4)),
        (("H", "W"), (0, 1), (3, 4)),
        (("T", 5), (0,), (3,)),
        ((5, "T"), (1,), (3,)),
    ],
)
def test_patches_alone_are_cut_along_the_positions(shape, axes, window):
    """The mean of the squares of what is fed, whatever the places of the channels; windows that tile the input."""
    letters = {"D": 4, "H": 6, "W": 8, "T": 9}
    sizes = tuple(letters[size] if isinstance(size, str) else size for size in shape)
    roles = ["N", *("C" if isinstance(size, int) else size for size in shape)]
    every = [*range(1, len(shape) + 1)]
    nodes = [node("Mul", ["x", "x"], ["q"]), node("ReduceMean", ["q"], ["m"], axes=every, keepdims=0)]
    nodes.append(node("Unsqueeze", ["m", "last"], ["y"]))
    proto = tiny.model(nodes, [tiny.tensor("x", ["N", *shape])], [tiny.tensor("y", ["N", 1])], {"last": np.array([1])})
    model = planted.load(proto, axes=" ".join(roles))
    x = np.random.default_rng(0).normal(size=(1, *sizes)).astype(np.float32)
    found = LocalEvidence(patches="alone", window=window, stride=window).attribute(model, x, 0)
    expected = np.empty(sizes)
    for place in np.ndindex(*(sizes[axis] // side for axis, side in zip(axes, window, strict=True))):
        cut = [slice(None)] * len(sizes)
        for axis, side, k in zip(axes, window, place, strict=True):
            cut[axis] = slice(k * side, (k + 1) * side)
        expected[tuple(cut)] = (x[0][tuple(cut)].astype(np.float64) ** 2).mean()
    assert_close(found.values[0], expected, Tolerance.SIGNED_SUMS)
    shown = found.maps["evidence"].shape[1:]
    counts = tuple(sizes[axis] // side for axis, side in zip(axes, window, strict=True))
    assert shown == (counts if len(counts) > 1 else (1, *counts))
    covered = LocalEvidence(patches="covered").attribute(model, x, 0)
    assert covered.values.shape == x.shape


def test_patches_alone_need_a_model_of_any_size(cnn):
    with pytest.raises(UnsupportedModelError, match=r"Input 'pixels' of mnist_cnn.onnx is \(N, 1, 28, 28\) float32"):
        LocalEvidence(patches="alone").attribute(cnn, np.zeros((1, 1, 28, 28), np.float32))


def test_several_baselines_are_averaged(cnn):
    x = np.random.default_rng(1).random((1, 1, 28, 28)).astype(np.float32)
    rows = np.random.default_rng(2).random((3, 1, 28, 28)).astype(np.float32)
    options = {"window": 14, "stride": 14}
    together = LocalEvidence(baseline=Baseline.background(rows), **options).attribute(cnn, x, 4).values
    each = [LocalEvidence(baseline=row[None], **options).attribute(cnn, x, 4).values for row in rows]
    assert_close(together, np.mean(each, axis=0), Tolerance.SIGNED_SUMS)


def test_a_quarter_of_each_side_is_usual(cnn):
    result = xaionnx.explain(cnn, np.zeros((1, 1, 28, 28), np.float32), "local_evidence")
    assert result.provenance["parameters"]["window"] == [7, 7]
    # The default stride is a quarter of the patch: 1 pixel.
    assert result.maps["evidence"].shape == (1, 22, 22)


def test_relative_evidence_is_what_a_patch_adds_to_the_baseline(cnn):
    x = np.random.default_rng(3).random((1, 1, 28, 28)).astype(np.float32)
    options = {"window": 10, "stride": 6, "baseline": 0.3}
    plain, relative = (LocalEvidence(relative=r, **options).attribute(cnn, x, 2) for r in (False, True))
    blank = cnn.run({"pixels": np.full_like(x, 0.3)})["logits"][:, 2]
    assert_close(relative.baseline_prediction, blank, Tolerance.SIGNED_SUMS)
    assert_close(relative.maps["evidence"], plain.maps["evidence"] - blank[:, None, None], Tolerance.SIGNED_SUMS)
    assert relative.diagnostics["evaluations"] == [plain.diagnostics["evaluations"][0] + 1]
    with pytest.raises(ParameterError, match="The 'relative' parameter of LocalEvidence must be False for patches"):
        LocalEvidence(relative=True, patches="alone")


def test_scores_by_place_are_those_whose_mean_is_the_answer():
    """Before a ReLU there are as many channels as classes, but their means are not the scores."""
    rng = np.random.default_rng(6)
    nodes = [node("Conv", ["x", "w"], ["s"]), node("Relu", ["s"], ["r"]),
             node("ReduceMean", ["r", "axes"], ["y"], keepdims=0)]  # fmt: skip
    model = opened(nodes, [3, 13, 11], [4], {"w": rng.normal(size=(4, 3, 3, 3)), "axes": np.array([2, 3])})
    assert LocalEvidence().attribute(model, X, 0).provenance["parameters"]["layer"] == "r"
    with pytest.raises(UnsupportedModelError, match=r"Layer 's' of .* does not hold spatial scores whose mean"):
        LocalEvidence(layer="s").attribute(model, X, 0)


def test_targets_of_two_tensors_have_no_scores_in_common():
    """ "mean" has such scores, but a tensor computed from it does not."""
    rng = np.random.default_rng(7)
    nodes = [node("Conv", ["x", "w"], ["s"]), node("ReduceMean", ["s", "axes"], ["mean"], keepdims=0),
             node("Exp", ["mean"], ["y"])]  # fmt: skip
    model = opened(nodes, [3, 13, 11], [4], {"w": rng.normal(size=(4, 3, 3, 3)), "axes": np.array([2, 3])})
    targets, patch = [Target.index(1, output="mean"), 2], {"window": 5, "stride": 4}
    assert LocalEvidence(**patch).attribute(model, X, targets[0]).provenance["parameters"]["patches"] == "scores"
    found = LocalEvidence(**patch).attribute(model, X, targets)
    assert found.provenance["parameters"]["patches"] == "covered"
    each = [LocalEvidence(**patch, patches="covered").attribute(model, X, one).values for one in targets]
    assert_close(found.values, each, Tolerance.SIGNED_SUMS)
