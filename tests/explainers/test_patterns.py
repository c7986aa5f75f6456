"""PatternNet and PatternAttribution against the paper's linear model and loops over patches."""

import json

import numpy as np
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests.tiny import node, opened
from xaionnx import Model
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnsupportedModelError
from xaionnx.explainers.pattern_attribution import PatternAttribution
from xaionnx.explainers.pattern_net import PatternNet
from xaionnx.patterns import Patterns, estimate_patterns

SIGNAL, DISTRACTOR = np.array([1.0, 0.5]), np.array([1.0, 1.0])
# Orthogonal to the distractor, and 1 along the signal.
FILTER = np.array([2.0, -2.0])


@pytest.fixture(scope="module")
def linear():
    """Section 2 of the paper: x = a s y + a d e, of which w reads y alone."""
    rng = np.random.default_rng(0)
    y, e = rng.normal(size=(2, 4000, 1))
    x = (y * SIGNAL + e * DISTRACTOR).astype(np.float32)
    model = planted.load(planted.linear([FILTER]))
    return model, x, estimate_patterns(model, x)


def test_the_pattern_is_the_direction_of_the_signal(linear):
    model, _, found = linear
    np.testing.assert_allclose(found.layers["y"], [SIGNAL], atol=0.03)
    # The weights are not: they have to cancel the distractor.
    assert abs(FILTER @ SIGNAL / np.linalg.norm(FILTER) / np.linalg.norm(SIGNAL)) < 0.4
    assert (found.samples, found.estimator, found.model_sha256) == (4000, "two_component", model.sha256)


def test_the_signal_and_what_it_contributes(linear):
    model, x, found = linear
    y = x[:3] @ FILTER[:, None]
    signal = xaionnx.explain(model, x[:3], PatternNet(patterns=found), 0)
    np.testing.assert_allclose(signal.values, y * found.layers["y"], rtol=1e-5)
    owed = xaionnx.explain(model, x[:3], PatternAttribution(patterns=found), 0)
    np.testing.assert_allclose(owed.values, y * FILTER * found.layers["y"], rtol=1e-5, atol=1e-6)
    # w.a = 1, so a linear model's contributions add up to its answer.
    np.testing.assert_allclose(owed.values.sum(axis=1), y[:, 0], rtol=1e-3)
    told = owed.provenance["parameters"]["patterns"]
    assert told == {"sha256": found.sha256, "estimator": "two_component", "samples": 4000}


def by_hand(patches, w, b, rectified):
    """The pattern of one unit from the rows that it sees, (R, I), in the words of equations 5 and 8."""
    y = patches @ w + b
    inside = y > 0 if rectified else np.ones(len(y), bool)
    change = (patches[inside] * y[inside, None]).mean(axis=0) - patches[inside].mean(axis=0) * y.mean()
    return change / (w @ change)


def patches_of(x, k, stride, pad):
    """What a k x k window sees, (N * places, C, k, k)."""
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    count = (wide.shape[2] - k) // stride + 1
    places = [(r * stride, c * stride) for r in range(count) for c in range(count)]
    return np.stack([wide[:, :, r : r + k, c : c + k] for r, c in places], axis=1).reshape(-1, x.shape[1], k, k)


@pytest.mark.parametrize("estimator", ["two_component", "linear"])
def test_patterns_of_layers_by_loops(estimator):
    """A convolution, one of two groups, a Gemm, and a MatMul whose bias is added behind it; the last has no ReLU."""
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(4, 2, 2, 2))
    m, h, b, c, d = rng.normal(size=(16, 5)), rng.normal(size=(5, 2)), *(rng.normal(size=s) for s in (4, 4, 5))
    nodes = [
        node("Conv", ["x", "w", "b"], ["p"], pads=[1, 1, 1, 1], strides=[2, 2]), node("Relu", ["p"], ["q"]),
        node("Conv", ["q", "v", "c"], ["r"], group=2), node("Relu", ["r"], ["s"]), node("Flatten", ["s"], ["f"]),
        node("Gemm", ["f", "mt", "d"], ["g"], transB=1), node("Relu", ["g"], ["u"]), node("MatMul", ["u", "h"], ["y"]),
    ]  # fmt: skip
    model = opened(nodes, [2, 6, 6], [2], {"w": w, "v": v, "mt": m.T, "h": h, "b": b, "c": c, "d": d}
    )  # fmt: skip
    x = rng.normal(size=(50, 2, 6, 6)).astype(np.float32) + 0.3
    found = estimate_patterns(model, x, estimator)
    assert list(found.layers) == ["p", "r", "g", "y"]
    held = model.with_outputs(["q", "s", "u"]).run({"x": x}, ["q", "s", "u"])
    held = {name: array.astype(np.float64) for name, array in held.items()}
    rectified = estimator == "two_component"
    seen = patches_of(x.astype(np.float64), 3, 2, 1).reshape(-1, 18)
    for unit in range(4):
        expected = by_hand(seen, w[unit].ravel(), b[unit], rectified)
        np.testing.assert_allclose(found.layers["p"][unit].ravel(), expected, rtol=2e-3, atol=1e-4)
        own = held["q"][:, 2 * (unit // 2) : 2 * (unit // 2) + 2]
        expected = by_hand(patches_of(own, 2, 1, 0).reshape(-1, 8), v[unit].ravel(), c[unit], rectified)
        np.testing.assert_allclose(found.layers["r"][unit].ravel(), expected, rtol=2e-3, atol=1e-4)
    flat = held["s"].reshape(50, -1)
    for unit in range(5):
        expected = by_hand(flat, m[:, unit], d[unit], rectified)
        np.testing.assert_allclose(found.layers["g"][unit], expected, rtol=2e-3, atol=1e-4)
    for unit in range(2):
        expected = by_hand(held["u"], h[:, unit], 0, rectified=False)
        np.testing.assert_allclose(found.layers["y"][:, unit], expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_patterns_go_back_through_the_rectifiers_that_were_open(weighted):
    rng = np.random.default_rng(2)
    w, v, b = rng.normal(size=(4, 6)), rng.normal(size=(6, 3)), rng.normal(size=6)
    nodes = [
        node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "b"], ["q"]), node("Relu", ["q"], ["r"]),
        node("MatMul", ["r", "v"], ["y"]),
    ]  # fmt: skip
    model = opened(nodes, [4], [3], {"w": w, "v": v, "b": b})
    x = rng.normal(size=(40, 4)).astype(np.float32)
    found = estimate_patterns(model, x)
    first, last = found.layers.values()
    method = (PatternAttribution if weighted else PatternNet)(patterns=found)
    values = xaionnx.explain(model, x[:5], method, 1).values
    open_ = x[:5] @ w + b > 0
    y = np.maximum(x[:5] @ w + b, 0) @ v[:, 1]
    a, c = (first * w, last * v) if weighted else (first, last)
    np.testing.assert_allclose(values, (y[:, None] * c[:, 1] * open_) @ a.T, rtol=1e-4, atol=1e-5)


def test_a_unit_that_never_varies_has_no_pattern():
    nodes = [node("Gemm", ["x", "w", "b"], ["p"]), node("Relu", ["p"], ["r"]), node("MatMul", ["r", "v"], ["y"])]
    model = opened(nodes, [2], [1], {"w": np.eye(2), "b": [-100.0, 0.0], "v": np.ones((2, 1))})
    found = estimate_patterns(model, np.random.default_rng(3).normal(size=(30, 2)).astype(np.float32))
    np.testing.assert_array_equal(found.layers["p"][:, 0], 0)
    assert np.isfinite(found.layers["p"]).all()


def test_a_file_is_kept_and_belongs_to_its_model(linear, tmp_path):
    model, x, found = linear
    file = found.save(tmp_path / "patterns.npz")
    again = Patterns.load(file)
    assert again.sha256 == found.sha256
    kept = xaionnx.explain(model, x[:2], PatternNet(patterns=str(file)), 0)
    np.testing.assert_array_equal(kept.values, xaionnx.explain(model, x[:2], PatternNet(patterns=found), 0).values)
    made = xaionnx.compile(model, "pattern_net", 0, patterns=file)
    assert json.loads(made.facts["parameters"])["patterns"]["sha256"] == found.sha256
    other = planted.load(planted.linear([[1.0, 1.0]]))
    with pytest.raises(InputMismatchError, match="another model than linear"):
        xaionnx.explain(other, x[:2], PatternNet(patterns=str(file)), 0)


def test_refusals(linear, tmp_path):
    model, x, _ = linear
    with pytest.raises(ParameterError, match=r"xaionnx patterns MODEL FOLDER -o FILE\.npz"):
        xaionnx.explain(model, x[:1], "pattern_net", 0)
    np.savez(tmp_path / "other.npz", a=x)
    for name in ("other.npz", "missing.npz"):
        with pytest.raises(DataError, match="holds no patterns"):
            xaionnx.explain(model, x[:1], "pattern_net", 0, patterns=tmp_path / name)
    with pytest.raises(ParameterError, match="'two_component' or 'linear'"):
        estimate_patterns(model, x, "positive")
    no_weights = opened([node("Relu", ["x"], ["y"])], [2], [2], {})
    with pytest.raises(UnsupportedModelError, match="no layer with weights"):
        estimate_patterns(no_weights, x)


def test_a_folder_of_pictures(tmp_path):
    model = Model.load("models/mnist_cnn.onnx", "cpu")
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    found = estimate_patterns(model, tmp_path)
    assert found.samples == 3
    x = model.spec.to_tensor(np.repeat(pixels[..., None], 3, axis=-1))
    same = estimate_patterns(model, x)
    assert same.sha256 == found.sha256
    values = xaionnx.explain(model, x[:1], PatternAttribution(patterns=tmp_path)).values
    assert np.isfinite(values).all()
    assert np.abs(values).max() > 0
