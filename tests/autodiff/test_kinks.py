"""Where a derivative jumps, the rule returns a subgradient. Which one is a convention; its sum has to be correct.

Entries that tie for an extremum share the gradient, except in pooling, where the first entry gets all of it.
"""

import numpy as np
import pytest
from onnx import helper

from tests.autodiff.differences import COTANGENT, built, either, gradient_name, reference, single, slopes
from tests.tiny import loaded
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import gradient
from xaionnx.autodiff.rules.activations import AT_MINIMUM

DY = np.array([[2.0, 3.0, 5.0, 7.0]])
# Op, attributes, inputs, and the gradient there for a cotangent of 1.
KINKS = [
    ("Relu", {}, [-1, -0.0, 0.0, 1], [0, 0, 0, 1]),
    ("LeakyRelu", {"alpha": 0.1}, [-1, -0.0, 0.0, 1], [0.1, 1, 1, 1]),
    ("Elu", {"alpha": 2.0}, [-1e-9, -0.0, 0.0, 1], [2, 1, 1, 1]),
    ("Selu", {"alpha": 2.0, "gamma": 3.0}, [-1e-9, -0.0, 0.0, 1], [6, 3, 3, 3]),
    ("Celu", {"alpha": 2.0}, [-1e-9, -0.0, 0.0, 1], [1, 1, 1, 1]),
    ("ThresholdedRelu", {"alpha": 1.0}, [0, 1, 1, 2], [0, 0, 0, 1]),
    ("Abs", {}, [-2, -0.0, 0.0, 2], [-1, 0, 0, 1]),
    ("Sign", {}, [-2, -0.0, 0.0, 2], [0, 0, 0, 0]),
    ("Shrink", {"lambd": 1.0}, [-1, 1, 1.5, -1.5], [0, 0, 1, 1]),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.5}, [-1, 1, 0, 2], [0, 0, 0.5, 0]),
    ("HardSwish", {}, [-3, 3, 0, 4], [0, 1, 0.5, 1]),
    ("Softsign", {}, [-1, -0.0, 0.0, 1], [0.25, 1, 1, 0.25]),
    ("ReduceMax", {"keepdims": 1}, [3, 1, 3, 3], [1 / 3, 0, 1 / 3, 1 / 3]),
    ("ReduceMin", {"keepdims": 1}, [1, 1, 3, 3], [0.5, 0.5, 0, 0]),
    ("ReduceL1", {"keepdims": 1}, [0, -1, 0, 2], [0, -1, 0, 1]),
    ("ReduceL2", {"keepdims": 1}, [0, 0, 0, 0], [0, 0, 0, 0]),
    ("ReduceProd", {"keepdims": 1}, [0, 2, 3, 1], [6, 0, 0, 0]),
    ("ReduceProd", {"keepdims": 1}, [0, 0, 3, 1], [0, 0, 0, 0]),
]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize(("op", "attributes", "places", "slope"), KINKS)
def test_the_convention_at_a_kink(op, attributes, places, slope, kind):
    x = np.array([places], dtype=kind)
    model = single(op, ["x"], {"x": x}, **attributes)
    dy = (DY[:, :1].reshape(1, 1) if op.startswith("Reduce") else DY).astype(kind)
    found = slopes(model, {"x": x}, dy)
    assert_close(found, dy * np.array([slope]), Tolerance.OPERATIONS)
    # A subgradient lies between the one-sided derivatives.
    if op not in ("Sign", "ThresholdedRelu", "Shrink") and kind == np.float64 and not op.startswith("Reduce"):
        run = either(model)
        left, right = ((run({"x": x + s * 1e-7}, ["y"])[0] - run({"x": x}, ["y"])[0]) / (s * 1e-7) for s in (-1, 1))
        inner = found / dy
        assert (np.minimum(left, right) - 1e-5 <= inner).all()
        assert (inner <= np.maximum(left, right) + 1e-5).all()


def test_the_root_of_zero_is_steeper_than_any_number():
    x = np.array([[0.0, 4.0]])
    found = slopes(single("Sqrt", ["x"], {"x": x}), {"x": x}, np.ones((1, 2)))
    np.testing.assert_array_equal(found, [[np.inf, 0.25]])


@pytest.mark.parametrize("op", ["Max", "Min"])
@pytest.mark.parametrize("count", [2, 3])
def test_operands_that_tie_share_the_slope(op, count):
    names = ["a", "b", "c"][:count]
    feeds = {name: np.array([[1.0, 1.0, 2.0 if op == "Max" else -2.0]]) for name in names}
    feeds["b"] = np.array([[1.0, 0.0 if op == "Max" else 3.0, 1.0]])
    _, run = built(single(op, names, feeds), [feeds], names)
    found = run({**feeds, COTANGENT: np.array([[6.0, 6.0, 6.0]])}, [gradient_name(name) for name in names])
    assert_close(np.sum(found, axis=0), [[6, 6, 6]], Tolerance.OPERATIONS)
    others = 6 / (count - 1)
    assert_close(found[0], [[6 / count, others, others]], Tolerance.OPERATIONS)
    assert_close(found[1], [[6 / count, 0, 0]], Tolerance.OPERATIONS)


def test_a_broadcast_operand_that_ties_gets_the_sum_of_its_shares():
    feeds = {"a": np.array([[1.0, 0.0, 1.0]]), "b": np.array([[1.0]])}
    _, run = built(single("Max", ["a", "b"], feeds), [feeds], ["a", "b"])
    left, right = run({**feeds, COTANGENT: np.array([[2.0, 4.0, 8.0]])}, [gradient_name("a"), gradient_name("b")])
    assert_close(left, [[1, 0, 4]], Tolerance.OPERATIONS)
    assert_close(right, [[1 + 4 + 4]], Tolerance.OPERATIONS)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_pooling_gives_all_of_the_slope_to_its_first_maximum(kind):
    x = np.array([[[1, 2, 2, 0], [2, 2, 0, 0], [0, 0, 3, 3], [0, 0, 3, 3]]], dtype=kind)[None]
    model = single("MaxPool", ["x"], {"x": x}, kernel_shape=[2, 2], strides=[2, 2])
    dy = np.array([[[[2, 3], [5, 7]]]], dtype=kind)
    found = slopes(model, {"x": x}, dy)
    expected = [[0, 2, 3, 0], [0, 0, 0, 0], [5, 0, 7, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(found[0, 0], expected)
    # Overlapping windows: each contributes its full gradient, so that none is lost.
    model = single("MaxPool", ["x"], {"x": x}, kernel_shape=[3, 3], strides=[1, 1])
    dy = np.array([[[[2, 3], [5, 7]]]], dtype=kind)
    assert slopes(model, {"x": x}, dy).sum() == 17


def test_a_pooling_of_everything_shares_the_slope():
    x = np.array([[[4.0, 1.0, 4.0], [0.0, 0.0, 0.0]]])
    found = slopes(single("GlobalMaxPool", ["x"], {"x": x}), {"x": x}, np.array([[[6.0], [3.0]]]))
    assert_close(found, [[[3, 0, 3], [1, 1, 1]]], Tolerance.OPERATIONS)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-1.0, None), (None, 1.0), (0.0, 0.0), (1.0, -1.0)])
def test_clips_sum_to_the_cotangent(low, high):
    """On a bound the gradient goes to the bound; if the bounds cross, to the upper one."""
    feeds = {"x": np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]])}
    feeds |= {n: np.array(v) for n, v in (("low", low), ("high", high)) if v is not None}
    names = ["x", "low" if low is not None else "", *(["high"] if high is not None else [])]
    _, run = built(single("Clip", names, feeds), [feeds], list(feeds))
    dy = np.array([[1.0, 2.0, 4.0, 8.0, 16.0]])
    found = dict(zip(feeds, run({**feeds, COTANGENT: dy}, [gradient_name(name) for name in feeds]), strict=True))
    assert sum(slope.sum() for slope in found.values()) == dy.sum()
    x = feeds["x"]
    least, most = -np.inf if low is None else low, np.inf if high is None else high
    np.testing.assert_array_equal(found["x"], np.where((x > least) & (x < most), dy, 0))
    if low is not None:
        np.testing.assert_array_equal(found["low"], dy[(x <= least) & (least < most)].sum())


def test_top_k_and_norms_at_ties():
    x = np.array([[5.0, 5.0, 1.0, 5.0]])
    model = single("TopK", ["x", "k"], {"x": x}, ("y", "i"), {"k": np.array([2])})
    found = slopes(model, {"x": x}, np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(found, [[2, 3, 0, 0]])
    zeros = np.zeros((1, 2, 3))
    for p in (1, 2, 3):
        model = single("GlobalLpPool", ["x"], {"x": zeros}, p=p)
        assert not slopes(model, {"x": zeros}, np.ones((1, 2, 1))).any()


@pytest.mark.parametrize("slope", [0.25, 2.0])
def test_prelu_at_zero_takes_the_side_of_the_positive(slope):
    feeds = {"x": np.array([[-1.0, 0.0, 1.0]]), "s": np.array([[slope]])}
    _, run = built(single("PRelu", ["x", "s"], feeds), [feeds], ["x", "s"], evaluate=reference)
    dx, ds = run({**feeds, COTANGENT: np.array([[2.0, 3.0, 5.0]])}, [gradient_name("x"), gradient_name("s")])
    np.testing.assert_array_equal(dx, [[2 * slope, 3, 5]])
    np.testing.assert_array_equal(ds, [[-2]])


def test_powers_of_zero():
    """x^2, x^1 and x^0 are smooth at 0; x^y log x tends to 0 there, so the exponent has gradient 0."""
    for exponent, expected in ((2.0, 0.0), (1.0, 1.0), (0.0, 0.0)):
        feeds = {"x": np.array([[0.0]]), "p": np.array([[exponent]])}
        _, run = built(single("Pow", ["x", "p"], feeds), [feeds], ["x", "p"])
        dx, dp = run({**feeds, COTANGENT: np.ones((1, 1))}, [gradient_name("x"), gradient_name("p")])
        assert dx.item() == expected
        assert dp.item() == 0


def test_masked_numbers_pass_nothing_on_even_where_they_are_not_finite():
    """Where drops a branch, which may be infinite without turning the rest into NaN."""
    x = np.array([[0.0, 4.0]])
    model = single("Where", ["c", "r", "x"], {"x": x}, constants={"c": np.array([False, True])})
    model.graph.node.insert(0, helper.make_node("Exp", ["x"], ["r"]))
    found = slopes(model, {"x": x}, np.ones((1, 2)))
    assert_close(found, [[1, np.exp(4)]], Tolerance.OPERATIONS)


# Roots and powers whose operand is never negative, at an input where the operand is 0, with the slope there.
ROOTS = {
    "sum of squares": ("q = Mul(x, x)  v = ReduceSum(q, axes)", "y = Sqrt(v)"),
    "deviation": ("m = ReduceMean(x, axes)  d = Sub(x, m)  e = Pow(d, two)  v = ReduceMean(e, axes)", "y = Sqrt(v)"),
    "squared, weighted": ("q = Pow(x, two)  v = MatMul(q, w)", "y = Pow(v, half)"),
    "rectified": ("v = Relu(x)", "y = Sqrt(v)"),
    "absolute, scaled": ("a = Abs(x)  s = Mul(a, two)  v = Div(s, three)", "y = Pow(v, third)"),
    "clipped": ("v = Clip(x, zero, two)", "y = Sqrt(v)"),
    "squashed": ("s = Sigmoid(x)  t = Mul(s, x2)  u = Mul(t, t)  v = Max(u, zero)", "y = Sqrt(v)"),
}
CONSTANTS = {
    "axes": np.int64([1]), "two": 2.0, "three": 3.0, "half": 0.5, "third": 1 / 3, "zero": 0.0,
    "w": np.float32([[0, 1], [2, 3], [1, 0]]), "x2": np.float32([[0, 0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_is_flat_at_the_minimum_of_its_operand(name):
    """0 times infinity is 0: the operand has a slope of 0 there, and elsewhere the slope is the derivative."""
    inner, root = ROOTS[name]
    used = {key: np.float32(v) if key != "axes" else v for key, v in CONSTANTS.items() if f"{key})" in inner + root
            or f"{key}," in inner + root}  # fmt: skip
    model = loaded(f"g (float[N, 3] x) => (float[N, K] y) {{ {inner}  {root} }}", opset=18, **used)
    found = gradient(model, "y", ["x"])
    assert any(AT_MINIMUM in label for label in found.approximations)
    run = lambda x: found.run({"x": x}, np.ones_like(model.run({"x": x})["y"]))[1]["x"]  # noqa: E731 - used thrice
    low = np.float32([[-1, -1, -1]]) if name == "rectified" else np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(run(low), np.zeros((1, 3)))
    if name == "squashed":
        return  # it is 0 everywhere
    x = np.float32([[0.3, 0.7, 1.1]])
    y = lambda at: model.run({"x": np.float32(at)})["y"].sum(dtype=float)  # noqa: E731 - as above
    for place in range(3):
        step = 0.01 * np.eye(3)[place]
        np.testing.assert_allclose(run(x)[0, place], (y(x + step) - y(x - step)) / 0.02, rtol=2e-3, atol=2e-3)


def test_a_root_that_never_reaches_zero_needs_no_convention():
    model = loaded(
        "g (float[N, 3] x) => (float[N, 3] y) { q = Mul(x, x)  v = Add(q, e)  y = Sqrt(v) }", e=np.float32(1e-5)
    )
    assert gradient(model, "y", ["x"]).approximations == ()


# What is left out by a Where, a product with 0, a maximum or a constant, though its slope is infinite or undefined.
LEFT_OUT = {
    "root": "p = Greater(x, zero)  r = Sqrt(x)  y = Where(p, r, zero)",
    "logarithm": "p = Greater(x, zero)  r = Log(x)  y = Where(p, r, zero)",
    "quotient": "p = Equal(x, zero)  r = Div(one, x)  y = Where(p, zero, r)",
    "quotient of itself": "p = Equal(x, zero)  r = Div(x, x)  y = Where(p, zero, r)",
    "reciprocal": "p = Equal(x, zero)  q = Reciprocal(x)  r = Mul(q, x)  y = Where(p, zero, r)",
    "power": "p = Greater(x, zero)  r = Pow(x, most)  y = Where(p, r, zero)",
    "inverse power": "p = Greater(x, zero)  r = Pow(x, least)  y = Where(p, r, zero)",
    "exponential": "p = Less(x, one)  b = Mul(x, huge)  r = Exp(b)  y = Where(p, zero, r)",
    "maximum": "r = Sqrt(x)  y = Max(r, one)",
    "logarithm of a sum": "p = Greater(x, zero)  v = ReduceLogSum<keepdims = 1>(x, axes)  y = Where(p, v, zero)",
    "arc cosine": "p = Equal(x, zero)  a = Add(x, one)  r = Acos(a)  y = Where(p, zero, r)",
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_has_no_gradient_even_where_its_slope_is_infinite(name):
    numbers = {"zero": 0.0, "one": 1.0, "huge": 1e30, "most": 0.3, "least": -2.0}
    text = LEFT_OUT[name]
    used = {key: np.float32(v) for key, v in numbers.items() if f"{key}," in text or f"{key})" in text}
    if "axes" in text:
        used["axes"] = np.int64([1])
    model = loaded(f"g (float[N, 1] x) => (float[N, 1] y) {{ {text} }}", opset=18, **used)
    x = np.float32([[0.5 if name == "exponential" else 0]])
    _, found = gradient(model, "y", ["x"]).run({"x": x}, np.ones((1, 1), np.float32))
    np.testing.assert_array_equal(found["x"], [[0]])
