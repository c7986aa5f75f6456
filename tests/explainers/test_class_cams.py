"""Class activation maps that compare classes: the compared classes, and the scores of the maps."""

import numpy as np
import pytest

from models import planted
from tests import tiny
from tests.tiny import node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx import Explanation, Model, Target
from xaionnx.data.spec import InputSpec
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers.causal_cam import CausalCam
from xaionnx.explainers.contrast_cam import ContrastCam
from xaionnx.explainers.finer_cam import FinerCam
from xaionnx.explainers.grad_cam import GradCam
from xaionnx.layers.dry_run import DryRun
from xaionnx.render import captions

RNG = np.random.default_rng(5)
WEIGHTS = {
    "w": RNG.normal(size=(5, 3, 3, 3)).astype(np.float32),
    "v": (RNG.normal(size=(5, 4)) / 3).astype(np.float32),
}
X = RNG.normal(size=(4, 3, 8, 8)).astype(np.float32)
BODY = [
    node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
    node("Relu", ["c"], ["r"]),
    node("GlobalAveragePool", ["r"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("Gemm", ["f", "v"], ["logits"]),
]
ENDS = {
    "softmax": [node("Softmax", ["logits"], ["y"], axis=-1)],
    "sigmoid": [node("Sigmoid", ["logits"], ["y"])],
    "log-softmax": [node("LogSoftmax", ["logits"], ["y"], axis=1)],
    "softmax, then moved": [node("Softmax", ["logits"], ["q"]), node("Identity", ["q"], ["y"])],
}
METHODS = [
    ContrastCam(relu=False),
    FinerCam(relu=False),
    FinerCam(relu=False, weighting="equal"),
    CausalCam(relu=False),
]


def opened(path, ending, weights=None):
    path = tiny.saved(
        path, [*BODY, *ending], [tensor("x", ["N", 3, 8, 8])], [tensor("y", ["N", 4])], {**WEIGHTS, **(weights or {})}
    )
    return Model.load(path)


@pytest.fixture(scope="module")
def logits(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("logits") / "logits.onnx", [node("Identity", ["logits"], ["y"])])


@pytest.mark.sampled(percent=50)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("method", METHODS)
def test_maps_of_probabilities_are_those_of_their_logits(tmp_path, logits, end, method):
    model = opened(tmp_path / "m.onnx", ENDS[end])
    for target in (None, [0, 2]):
        found, expected = (method.attribute(one, X, target) for one in (model, logits))
        largest = np.abs(expected.maps["cam"]).max(axis=(-2, -1), keepdims=True)
        assert (largest > 1e-4).all()
        assert_close(found.maps["cam"] / largest, expected.maps["cam"] / largest, Tolerance.DEEP)
        assert found.diagnostics.get("against") == expected.diagnostics.get("against")
        # The target is unchanged.
        assert_close(np.atleast_2d(found.prediction), _picked(model, target), Tolerance.SUMS)


def _answer(model):
    return model.run({"x": X})["y"]


def _picked(model, target):
    y = _answer(model)
    return [y.max(axis=1)] if target is None else [y[:, k] for k in target]


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_that_show_no_logits_are_refused(tmp_path, method):
    shares = [
        node("Exp", ["logits"], ["grown"]),
        node("ReduceSum", ["grown", "last"], ["whole"]),
        node("Div", ["grown", "whole"], ["y"]),
    ]
    model = opened(tmp_path / "m.onnx", shares, {"last": np.array([1])})
    with pytest.raises(UnsupportedModelError, match=r"'y' of m.onnx holds probabilities, .* output='LOGITS'"):
        method.attribute(model, X, 0)
    top = Target.top(output="logits")
    assert np.isfinite(method.attribute(model, X, top).values).all()


def test_what_the_spec_calls_logits_is_taken_as_such(tmp_path, logits):
    model = opened(tmp_path / "m.onnx", ENDS["softmax"])
    spec = InputSpec(kind="picture", size=(8, 8), activation="logits")
    told = Model.load(model.path, spec=spec)
    found = CausalCam(relu=False).attribute(told, X, 0).maps["cam"]
    assert not np.allclose(found, CausalCam(relu=False).attribute(logits, X, 0).maps["cam"], atol=1e-2)


def test_the_record_tells_what_a_class_is_compared_with(tmp_path, logits):
    y = _answer(logits)
    order = np.argsort(-y, axis=1)
    found = ContrastCam().attribute(logits, X)
    assert found.diagnostics["against"] == [f"y[{row[1]}]" for row in order]
    found = Explanation.load(found.save(tmp_path / "found.npz"))
    for n, row in enumerate(order):
        assert f"against y[{row[1]}]" in captions.made_by(found.sample(n))
    every = ContrastCam().attribute(logits, X, [0, 3])
    for n, row in enumerate(order):
        told = [
            f"y[{row[1]}]" if row[0] == p else f"y[{row[0]}], the predicted class, whatever the target" for p in (0, 3)
        ]
        assert every.diagnostics["against"][n] == told
        assert f"against {told[1]}" in captions.made_by(every.sample(n, 1))
    alike = FinerCam(similar=2).attribute(logits, X, 1)
    for n, scores in enumerate(y):
        near = sorted((k for k in range(4) if k != 1), key=lambda k: abs(scores[k] - scores[1]))[:2]
        assert alike.diagnostics["against"][n] == f"y[{near[0]}], y[{near[1]}]"
    assert "against" not in CausalCam().attribute(logits, X).diagnostics


def test_a_contrast_is_of_the_models_answer_alone(logits):
    best = _answer(logits).argmax(axis=1)
    other = next(k for k in range(4) if k not in best[:1])
    third = next(k for k in range(4) if k not in (best[0], other))
    with pytest.raises(ParameterError, match=rf"for row 0 that is class {best[0]}, not {third}. Leave the target out"):
        ContrastCam(contrast=other).attribute(logits, X[:1], third)
    with pytest.raises(ParameterError, match=r"The 'contrast' parameter must be an int in \[0, 3\] for 'y'. Got 4"):
        ContrastCam(contrast=4).attribute(logits, X[:1])
    found = ContrastCam(contrast=other).attribute(logits, X[:1])
    assert found.diagnostics["against"] == [f"y[{other}]"]
    np.testing.assert_array_equal(ContrastCam(contrast=str(other)).attribute(logits, X[:1]).values, found.values)


def test_what_is_causal_never_exceeds_what_grad_cam_shows(logits):
    pictures = np.random.default_rng(1).normal(size=(20, 3, 8, 8))
    x = pictures.astype(np.float32)
    for target in range(4):
        grown = GradCam().attribute(logits, x, target).maps["cam"]
        largest = grown.max(axis=(1, 2), keepdims=True)
        shown = grown / np.where(largest == 0, 1, largest)
        signed = CausalCam(relu=False).attribute(logits, x, target).maps["cam"]
        assert (signed <= shown + 1e-6).all()
        assert (signed >= shown - 1 - 1e-6).all()
        # Context is subtracted at some positions, not everywhere.
        assert (signed < shown - 1e-3).any()
        assert (np.abs(signed - shown) < 1e-6).any()


def test_a_planted_class_is_kept_and_its_context_taken_off():
    model = planted.load(planted.pooled([[1.0], [-1.0]], [[8.0, -4.0], [0.0, 4.0]], (12, 12)))
    x = np.zeros((1, 1, 12, 12), np.float32)
    x[..., :6, :6], x[..., 6:, 6:] = 2, -2
    found = CausalCam(relu=False).attribute(model, x, 0).maps["cam"][0]
    assert_close(found[:6, :6], 1, Tolerance.ORDER_ONE)
    assert found[6:, 6:].max() <= 0


@pytest.mark.parametrize("method", [CausalCam, ContrastCam, FinerCam])
def test_a_refusal_numbers_sizes_that_are_formulas(method, tmp_path):
    """Exporters name a size by the formula that makes it, up to hundreds of letters."""
    long = "floor(floor(floor(height/2 - 1/2)/2)/2) + floor(floor(width/2 - 1/2)/2) + 1"
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("Reshape", ["r", "flat"], ["y"])]
    weights = {"w": np.ones((3, 1, 1, 1), np.float32), "flat": np.array([0, 3, -1])}
    inputs, outputs = [tensor("x", ["N", 1, "h", "w"])], [tensor("y", ["N", 3, long])]
    model = Model.load(tiny.saved(tmp_path / "m.onnx", nodes, inputs, outputs, weights), "cpu")
    with pytest.raises(UnsupportedModelError, match=r"\('N', 3, 'd1'\), not one axis of classes"):
        method().validate(DryRun.of(model))
    assert "floor" not in f"{model!r} {model.outputs[0]}"
