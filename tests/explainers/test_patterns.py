"""PatternNet and PatternAttribution against the paper's linear model and loops over patches."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import node, opened, tensor
from tests.tolerances import Tolerance, assert_close
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
    assert_close(signal.values, y * found.layers["y"], Tolerance.SUMS)
    owed = xaionnx.explain(model, x[:3], PatternAttribution(patterns=found), 0)
    assert_close(owed.values, y * FILTER * found.layers["y"], Tolerance.SIGNED_SUMS)
    # w.a = 1, so a linear model's contributions add up to its answer.
    assert_close(owed.values.sum(axis=1), y[:, 0], Tolerance.QUOTIENTS)
    told = owed.provenance["parameters"]["patterns"]
    assert told == {
        "sha256": found.sha256, "estimator": "two_component", "samples": 4000, "units": 1, "zero": 0, "within": 0,
    }  # fmt: skip


def by_hand(patches, w, b, rectified):
    """The pattern of one unit from the rows that it sees, (R, I), by equations 5 and 8.

    If a bias admits rows that are negative on average, the covariance is taken within the active rows.
    """
    y = patches @ w + b
    inside = y > 0 if rectified else np.ones(len(y), bool)
    average = y[inside].mean() if (patches[inside] @ w).mean() < 0 else y.mean()
    change = (patches[inside] * y[inside, None]).mean(axis=0) - patches[inside].mean(axis=0) * average
    return change / (w @ change)


def patches_of(x, k, stride, pad):
    """The k x k patches, (N * positions, C, k, k)."""
    wide = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    count = (wide.shape[2] - k) // stride + 1
    places = [(r * stride, c * stride) for r in range(count) for c in range(count)]
    return np.stack([wide[:, :, r : r + k, c : c + k] for r, c in places], axis=1).reshape(-1, x.shape[1], k, k)


@pytest.mark.parametrize("estimator", ["two_component", "linear"])
def test_patterns_of_layers_by_loops(estimator):
    """A convolution, a grouped convolution, a Gemm, and a MatMul with a bias added after it; the last has no ReLU."""
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
        assert_close(found.layers["p"][unit].ravel(), expected, Tolerance.QUOTIENTS)
        own = held["q"][:, 2 * (unit // 2) : 2 * (unit // 2) + 2]
        expected = by_hand(patches_of(own, 2, 1, 0).reshape(-1, 8), v[unit].ravel(), c[unit], rectified)
        assert_close(found.layers["r"][unit].ravel(), expected, Tolerance.QUOTIENTS)
    flat = held["s"].reshape(50, -1)
    for unit in range(5):
        expected = by_hand(flat, m[:, unit], d[unit], rectified)
        assert_close(found.layers["g"][unit], expected, Tolerance.QUOTIENTS)
    for unit in range(2):
        expected = by_hand(held["u"], h[:, unit], 0, rectified=False)
        assert_close(found.layers["y"][:, unit], expected, Tolerance.QUOTIENTS)


@pytest.mark.parametrize(
    ("bias", "shift", "within"),
    [(-1, 0, 0), (0, 0, 0), (1, 0, 0), (6, 0, 0), (1, -2, 1), (2, -2, 1), (3, -2, 1), (6, -2, 1), (-3, 3, 0)],
)
@pytest.mark.sampled(percent=33)
def test_the_direction_of_the_signal_behind_a_rectifier_with_a_bias(bias, shift, within):
    """x = s a + d, with w.a = 1 and w.d = 0; shift is the mean of s, negative, and admitted by the bias or not."""
    rng = np.random.default_rng(8)
    s, e = shift + rng.normal(size=(20000, 1)), rng.normal(size=(20000, 1))
    x = (s * SIGNAL + e * DISTRACTOR).astype(np.float32)
    nodes = [node("Gemm", ["x", "w", "b"], ["p"]), node("Relu", ["p"], ["y"])]
    model = opened(nodes, [2], [1], {"w": FILTER[:, None], "b": [float(bias)]})
    found = estimate_patterns(model, x)
    y = x @ FILTER + bias
    mean, open_ = (y[y > 0] - bias).mean(), (y > 0).mean()
    # The slope of a regression: 4 of its standard errors, plus those of the means in equation 8.
    spread = np.sqrt(2) * (1 if within else 1 + abs(mean)) / y[y > 0].std() / np.sqrt(len(y) * open_)
    np.testing.assert_allclose(found.layers["p"][:, 0], SIGNAL, atol=4 * spread)
    assert (found.units, found.zero, found.within) == (1, 0, within)


@pytest.mark.parametrize("high", [1.9, 3.0, 4.0])
def test_a_unit_that_falls_from_its_bias(high):
    """y = relu(2 - x): the denominator of equation 8 is negative if the unit switches off within the range of x."""
    nodes = [node("Gemm", ["x", "w", "b"], ["p"]), node("Relu", ["p"], ["y"])]
    model = opened(nodes, [1], [1], {"w": [[-1.0]], "b": [2.0]})
    x = np.random.default_rng(9).uniform(0, high, (2000, 1)).astype(np.float32)
    found = estimate_patterns(model, x)
    assert_close(found.layers["p"], [[-1]], Tolerance.OPERATIONS)
    assert (found.zero, found.within) == (0, int(high > 2))


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
    assert_close(values, (y[:, None] * c[:, 1] * open_) @ a.T, Tolerance.SIGNED_LAYERS)


def unit(explanation):
    """The exponent of the power of two that scales the values; 0 if they are as published."""
    found = [
        re.search(r"published ones times 2\*\*(-?\d+)", label) for label in explanation.provenance["approximations"]
    ]
    return sum(int(one[1]) for one in found if one)


def rescaled(s, exponent):
    """The same numbers scaled to about one, and the exponent of the scale."""
    taken = int(np.frexp(np.abs(s).max())[1])
    return np.ldexp(s, -taken), exponent + taken


@pytest.mark.parametrize("depth", [5, 40, pytest.param(100, marks=pytest.mark.slow)])
def test_depth_does_not_end_in_infinity(depth):
    """Against float64 backpropagation with a separate exponent: a hundred layers reach 1e133; float32 ends at 1e38."""
    rng = np.random.default_rng(10)
    w = {f"w{i}": (rng.normal(size=(64, 64)) / np.sqrt(32)).astype(np.float32) for i in range(depth)}
    v = rng.normal(size=(64, 3)).astype(np.float32)
    nodes = [node("MatMul", [f"r{depth}", "v"], ["y"])]
    for i in range(depth):
        nodes[-1:-1] = [
            node("MatMul", [f"r{i}" if i else "x", f"w{i}"], [f"p{i}"]), node("Relu", [f"p{i}"], [f"r{i + 1}"])
        ]  # fmt: skip
    model = opened(nodes, [64], [3], {**w, "v": v})
    x = rng.normal(size=(200, 64)).astype(np.float32)
    found = estimate_patterns(model, x)
    names = [f"p{i}" for i in range(depth)]
    held = model.with_outputs(names).run({"x": x[:3]}, [*names, "y"])
    for method in (PatternNet, PatternAttribution):

        def swapped(name, weights, weighted=method is PatternAttribution):
            return np.float64(found.layers[name]) * (weights if weighted else 1)

        s, exponent = rescaled(held["y"][:, :1] * swapped("y", v)[:, 0], 0)
        for i in reversed(range(depth)):
            s, exponent = rescaled((s * (held[f"p{i}"] > 0)) @ swapped(f"p{i}", w[f"w{i}"]).T, exponent)
        shown = xaionnx.explain(model, x[:3], method(patterns=found), 0)
        expected = np.ldexp(s, exponent + unit(shown))
        assert_close(shown.values, expected, Tolerance.SIGNED_LAYERS, np.abs(expected).max())
        assert 1e-9 < np.abs(shown.values).max() < 1e9
        assert (unit(shown) < 0) == (method is PatternNet and depth > 5)
        if unit(shown):
            compiled = xaionnx.compile(model, "pattern_net", 0, patterns=found)
            assert any(f"2**{unit(shown)}" in entry.value for entry in compiled.proto.metadata_props)


@pytest.mark.parametrize(
    "exponents",
    [(0, 0, 0, 0), (60, 50, 0, -20), (80, -60, 10, 10), (-90, -40, 3, -2), (0, 110, 40, 0), (40, 40, 90, 40)],
)
def test_units_agree_where_connections_meet(exponents):
    """A residual connection, a separate branch, and a concatenation: each sums the gradients of several consumers."""
    rng = np.random.default_rng(11)
    names = ["p", "q", "c", "y"]
    w = dict(zip(names, (rng.normal(size=shape) for shape in ((4, 5), (5, 5), (5, 3), (13, 2))), strict=True))
    nodes = [
        node("MatMul", ["x", "wp"], ["p"]), node("Relu", ["p"], ["r"]), node("MatMul", ["r", "wq"], ["q"]),
        node("Relu", ["q"], ["s"]), node("Add", ["s", "r"], ["t"]), node("MatMul", ["t", "wc"], ["c"]),
        node("Concat", ["t", "c", "r"], ["u"], axis=1), node("MatMul", ["u", "wy"], ["y"]),
    ]  # fmt: skip
    model = opened(nodes, [4], [2], {f"w{name}": array for name, array in w.items()})
    x = rng.normal(size=(40, 4)).astype(np.float32)
    found = estimate_patterns(model, x)
    more = dict(zip(names, exponents, strict=True))
    found = replace(
        found,
        layers={name: np.ldexp(array, more[name]) for name, array in found.layers.items()},
        gains={name: gain + more[name] for name, gain in found.gains.items()},
    )
    held = model.with_outputs(["p", "q"]).run({"x": x[:5]}, ["p", "q", "y"])
    p, q, c, y = (found.layers[name].astype(np.float64) for name in names)
    back = held["y"][:, :1] * y[:, 0]
    t = back[:, :5] + back[:, 5:8] @ c.T
    r = back[:, 8:] + t + (t * (held["q"] > 0)) @ q.T
    expected = (r * (held["p"] > 0)) @ p.T
    shown = xaionnx.explain(model, x[:5], PatternNet(patterns=found), 0)
    expected = np.ldexp(expected, unit(shown))
    assert_close(shown.values, expected, Tolerance.SIGNED_LAYERS, np.abs(expected).max())
    assert 1e-9 < np.abs(shown.values).max() < 1e25
    # As published if no value comes near the range of float32.
    assert (unit(shown) == 0) == (exponents == (0, 0, 0, 0))


def test_several_inputs_are_told_in_one_unit(tmp_path):
    """One of the inputs is a layer further back, which scales values by 2**70."""
    rng = np.random.default_rng(12)
    w, v = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    nodes = [
        node("MatMul", ["x", "w"], ["p"]), node("Concat", ["p", "z"], ["u"], axis=1), node("MatMul", ["u", "v"], ["y"])
    ]  # fmt: skip
    given = [tensor("x", ["N", 3]), tensor("z", ["N", 2])]
    model = Model.load(
        tiny.saved(tmp_path / "two.onnx", nodes, given, [tensor("y", ["N", 2])], {"w": w, "v": v}), "cpu"
    )
    feeds = {name: rng.normal(size=(30, size)).astype(np.float32) for name, size in (("x", 3), ("z", 2))}
    found = estimate_patterns(model, feeds)
    found = replace(
        found,
        layers=found.layers | {"p": np.ldexp(found.layers["p"], 70)},
        gains={**found.gains, "p": found.gains["p"] + 70},
    )
    shown = xaionnx.explain(model, feeds, PatternNet(patterns=found), 0)
    y = np.concatenate([feeds["x"] @ w, feeds["z"]], axis=1) @ v[:, :1]
    back = y * found.layers["y"].astype(np.float64)[:, 0]
    assert unit(shown) < -60
    for name, expected in (("x", back[:, :4] @ found.layers["p"].astype(np.float64).T), ("z", back[:, 4:])):
        expected = np.ldexp(expected, unit(shown))
        assert_close(shown.values[name], expected, Tolerance.SIGNED_LAYERS, np.abs(expected).max())


def test_a_unit_that_never_varies_has_no_pattern():
    nodes = [node("Gemm", ["x", "w", "b"], ["p"]), node("Relu", ["p"], ["r"]), node("MatMul", ["r", "v"], ["y"])]
    model = opened(nodes, [2], [1], {"w": np.eye(2), "b": [-100.0, 0.0], "v": np.ones((2, 1))})
    found = estimate_patterns(model, np.random.default_rng(3).normal(size=(30, 2)).astype(np.float32))
    np.testing.assert_array_equal(found.layers["p"][:, 0], 0)
    assert (found.units, found.zero) == (3, 1)
    assert np.isfinite(found.layers["p"]).all()


def test_a_file_is_kept_and_belongs_to_its_model(linear, tmp_path):
    model, x, found = linear
    file = found.save(tmp_path / "patterns.npz")
    again = Patterns.load(file)
    assert again.sha256 == found.sha256
    assert (again.units, again.zero, again.within) == (found.units, found.zero, found.within)
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
    about = {"model_sha256": model.sha256, "estimator": "linear", "samples": 3, "layers": []}
    np.savez(tmp_path / "earlier.npz", about=np.array(json.dumps(about)))
    for name, said in (
        ("other.npz", r"other\.npz' contains no patterns"),
        ("missing.npz", r"There is no file '.*missing\.npz' with patterns\. Make a file"),
        ("earlier.npz", r"earlier\.npz' contains patterns in format 1, but this version of xaionnx reads format 2"),
    ):
        with pytest.raises(DataError, match=said):
            PatternNet(patterns=tmp_path / name)
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


def test_patterns_are_estimated_once_for_a_model_and_its_inputs(linear, tmp_path, monkeypatch):
    _, x, _ = linear
    model, counted = planted.load(planted.linear([FILTER, SIGNAL])), []
    monkeypatch.setattr(
        "xaionnx.patterns.estimate_patterns", lambda *given: (counted.append(given), estimate_patterns(*given))[1]
    )
    first = xaionnx.explain(model, x[:1], PatternNet(patterns=x[:50]), 0)
    again = xaionnx.explain(model, x[:1], PatternAttribution(patterns=x[:50].copy()), 0)
    assert len(counted) == 1
    told = [one.provenance["parameters"]["patterns"]["sha256"] for one in (first, again)]
    assert told[0] == told[1] == estimate_patterns(model, x[:50]).sha256
    changed = x[:50].copy()
    changed[0, 0] += 1
    xaionnx.explain(model, x[:1], PatternNet(patterns=changed), 0)
    assert len(counted) == 2
    xaionnx.explain(planted.load(planted.linear([SIGNAL, FILTER])), x[:1], PatternNet(patterns=changed), 0)
    assert len(counted) == 3
    for number, rows in enumerate((x[:30], x[:30], x[:31])):
        if number != 1:
            np.save(tmp_path / "rows.npy", rows)
        xaionnx.explain(model, x[:1], PatternNet(patterns=tmp_path), 0)
        assert len(counted) == (4, 4, 5)[number]
