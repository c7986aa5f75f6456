"""Metrics that move inputs a little leave the categories of a table as they are."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import parsed
from xaionnx import InputSpec
from xaionnx.errors import InputMismatchError

# Column 2 is a category: any number but 1 and 2 answers 1000. Columns 3 and 4 are a one-hot code, whose sum is 1.
NET = """g (float[N, 5] x) => (float[N, 1] y) {
  k = Gather<axis=1>(x, place) r = Round(k) d = Sub(k, r) e = Abs(d) s = Sign(e) m = Mul(s, thousand)
  v = Gather<axis=1>(x, hot) t = ReduceSum<keepdims=1>(v, axis) b = Sub(t, one) q = Abs(b) h = Sign(q)
  n = Mul(h, thousand) l = MatMul(x, w) f = Add(l, m) y = Add(f, n) }"""
COLUMNS = ("a", "b", "kind", "red", "blue")
X = np.array([[1.0, 2.0, 2.0, 1.0, 0.0]], np.float32)


def model(**spec):
    net = parsed(
        NET, place=np.array([2]), hot=np.array([3, 4]), axis=np.array([1]), one=np.ones(1, np.float32),
        thousand=np.full(1, 1000, np.float32), w=np.array([[1], [1], [0], [0], [0]], np.float32),
    )  # fmt: skip
    return planted.load(net, spec=InputSpec(name="x", kind="table", columns=COLUMNS, **spec))


TABLE = {"categories": {"kind": ("new", "old")}, "groups": {"colour": ("red", "blue")}}
SLOPES = np.array([[1.0, 1.0, 0.0, 0.0, 0.0]])


def test_noise_does_not_move_categories():
    for spec, expected in ((TABLE, True), ({}, False)):
        scores = xaionnx.evaluate(model(**spec), X, SLOPES, "gaussian_infidelity", 0, controls=(), scaled=False)
        assert (scores.values[0] < 1e-6) == expected


def test_neighbours_have_the_categories_of_the_sample():
    scores = xaionnx.evaluate(model(**TABLE), X, "feature_ablation", "max_sensitivity", 0, controls=())
    assert scores.values[0] < 0.05


def test_a_group_of_numbers_is_moved():
    table = {"groups": {"sizes": ("a", "b")}, "categories": TABLE["categories"]}
    x = X * np.array([1, 1, 1, 0, 0], np.float32) + np.array([0, 0, 0, 0.5, 0.5], np.float32)
    scores = xaionnx.evaluate(model(**table), x, "feature_ablation", "max_sensitivity", 0, controls=())
    assert scores.values[0] > 0


def test_a_row_of_categories_alone_has_no_neighbours():
    only = model(categories=dict.fromkeys(COLUMNS, ("x", "y")))
    with pytest.raises(InputMismatchError, match="hold categories or text, which have no near ones"):
        xaionnx.evaluate(only, X, "feature_ablation", "max_sensitivity", 0, controls=())


def test_smooth_grad_explains_copies_with_the_same_categories():
    smooth = xaionnx.explain(model(**TABLE), X, "smooth_grad", 0)
    assert smooth.diagnostics["noisy_prediction"][0] == pytest.approx(3, abs=1)


# Any number but 1 and 2 in column 2 answers 1000, as before, but the graph asks which number it is.
ASKS = """g (float[N, 5] x) => (float[N, 1] y) { k = Gather<axis=1>(x, place) e = Equal(k, codes) f = Cast<to=1>(e)
  s = ReduceSum<keepdims=1>(f, axis) d = Sub(one, s) m = Mul(d, thousand) r = Gather<axis=1>(x, rest)
  l = MatMul(r, w) y = Add(l, m) }"""


@pytest.mark.parametrize("spec", [None, InputSpec(name="x", kind="table", columns=COLUMNS)])
def test_categories_that_the_graph_shows_are_left_as_they_are(spec):
    net = parsed(
        ASKS, place=np.array([2]), codes=np.float32([[1, 2]]), axis=np.array([1]), one=np.ones((1, 1), np.float32),
        thousand=np.float32([[1000]]), rest=np.array([0, 1, 3, 4]), w=np.float32([[1], [1], [0], [0]]),
    )  # fmt: skip
    asks = planted.load(net, spec=spec)
    scores = xaionnx.evaluate(asks, X, SLOPES, "gaussian_infidelity", 0, controls=(), scaled=False)
    assert scores.values[0] < 1e-6
    scores = xaionnx.evaluate(asks, X, "feature_ablation", "max_sensitivity", 0, controls=())
    assert 0 < scores.values[0] < 0.05
    smooth = xaionnx.explain(asks, X, "smooth_grad", 0)
    assert smooth.diagnostics["noisy_prediction"][0] == pytest.approx(3, abs=1)


def test_pixels_that_the_graph_casts_are_numbers():
    net = parsed(
        """g (float[N, 1, 4, 4] x) => (float[N, 1] y) { i = Cast<to=2>(x) f = Cast<to=1>(i)
        c = Conv<kernel_shape=[4, 4]>(f, w) y = Flatten(c) }""",
        w=np.ones((1, 1, 4, 4), np.float32),
    )
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4) * 16
    scores = xaionnx.evaluate(planted.load(net, axes="N C H W"), x, "occlusion", "max_sensitivity", 0, controls=())
    assert scores.values[0] > 0
