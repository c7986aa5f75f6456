"""Pictures of whole numbers are scored as those of floats, but for rounding; categories are refused."""

import numpy as np
import pytest

import xaionnx
from models import planted
from tests import tiny
from tests.tiny import loaded, normal
from xaionnx import InputSpec
from xaionnx.errors import InputMismatchError

TAIL = "c = Conv<pads=[1, 1, 1, 1]>(t, w) p = GlobalAveragePool(c) f = Flatten(p) y = MatMul(f, v) }"
HEAD = {"w": normal(4, 3, 3, 3), "v": normal(4, 2)}
X = np.random.default_rng(0).integers(60, 190, (3, 9, 9, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def models():
    """The same linear net of pictures of floats and of uint8."""
    transposed = "t = Transpose<perm=[0, 3, 1, 2]>"
    floats = loaded(f"g (float[N, 9, 9, 3] x) => (float[N, 2] y) {{ {transposed}(x) " + TAIL, **HEAD)
    bytes_ = loaded(
        f"g (uint8[N, 9, 9, 3] x) => (float[N, 2] y) {{ x0 = Cast<to=1>(x) {transposed}(x0) " + TAIL, **HEAD
    )
    return floats, bytes_


@pytest.mark.parametrize(
    ("metric", "settings"),
    [
        ("average_drop", {"quantity": "target"}),
        ("average_increase", {"quantity": "target"}),
        ("adcc", {"quantity": "target"}),
        ("road", {"noise": 0}),
        ("max_sensitivity", {"radius": 0.1}),
        ("average_sensitivity", {"radius": 0.1}),
        ("local_lipschitz", {"radius": 0.1}),
        ("relative_output_stability", {"radius": 0.1}),
    ],
)
def test_a_picture_of_whole_numbers_is_scored_as_one_of_floats(models, metric, settings):
    floats, bytes_ = (
        xaionnx.evaluate(model, X.astype(kind), "input_x_gradient", metric, 0, controls=(), **settings)
        for model, kind in zip(models, (np.float32, np.uint8), strict=True)
    )
    assert np.isfinite(floats.values).any()
    np.testing.assert_allclose(bytes_.values, floats.values, rtol=0.05)


def test_a_step_below_half_a_level_moves_nothing_and_is_no_stability(models):
    scores = xaionnx.evaluate(models[1], X, "saliency", "max_sensitivity", 0, controls=(), radius=0.001)
    assert np.isnan(scores.values).all()
    assert scores.reasons[0] == "every neighbour is rounded to the input itself: raise the radius"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("max_sensitivity", "categories or text, which have no near ones"),
        ("average_drop", "AverageDrop, which multiplies the input by its map, needs floats"),
        ("adcc", "ADCC, which multiplies the input by its map, needs floats"),
        ("road", "is no picture"),
    ],
)
def test_tokens_are_no_numbers(metric, said):
    means = "g (int64[N, 5] x) => (float[N, 2] y) { e = Gather(E, x) y = ReduceMean<axes=[1], keepdims=0>(e) }"
    with pytest.raises(InputMismatchError, match=said):
        xaionnx.evaluate(loaded(means, E=normal(9, 2)), np.arange(5)[None], "occlusion", metric, 0, controls=())


LOOKED_UP = """g ({given}[N, 8] ids) => (float[N, 2] y) {{
    i = Cast <to = 7> (ids)  e = Gather(table, i)  t = Transpose <perm = [0, 2, 1]> (e)
    c = Conv(t, k)  r = Relu(c)  m = ReduceMean <axes = [2], keepdims = 0> (r)  y = MatMul(m, w) }}"""


def reader_of_tokens(given):
    """A convolution over the embeddings of eight tokens, as those that divide texts into words are."""
    rng = np.random.default_rng(2)
    shapes = {"table": (9, 4), "k": (3, 4, 3), "w": (3, 2)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return planted.load(tiny.parsed(LOOKED_UP.format(given=given), **weights), device="cpu")


@pytest.mark.parametrize("given", ["float", "int64", "uint8"])
@pytest.mark.parametrize(
    "metric", ["max_sensitivity", "relative_input_stability", "gaussian_infidelity", "average_drop", "adcc"]
)
def test_the_numbers_of_tokens_are_not_mixed_where_a_convolution_makes_them_a_series(given, metric):
    """They were: 40 was explained as the neighbour of 41, and 41.6 as 41."""
    x = np.array([[1, 2, 3, 4, 5, 6, 7, 8]], {"float": np.float32}.get(given, given))
    model = reader_of_tokens(given)
    with pytest.raises(InputMismatchError, match=r"hold categories or text|holds the numbers of tokens"):
        xaionnx.evaluate(model, x, "feature_ablation", metric, controls=())
    with pytest.raises(InputMismatchError, match="holds the numbers of tokens"):
        xaionnx.explain(model, x, "rise")


def test_pixels_that_a_curve_of_tones_maps_are_mixed():
    text = """g (uint8[N, 1, 8, 8] x) => (float[N, 2] y) {
        i = Cast <to = 7> (x)  t = Gather(curve, i)  f = Flatten(t)  y = MatMul(f, w) }"""
    w = np.random.default_rng(2).normal(size=(64, 2)).astype(np.float32)
    proto = tiny.parsed(text, curve=np.sqrt(np.arange(256)).astype(np.float32), w=w)
    spec = InputSpec(kind="picture", name="x", layout="NCHW", size=(8, 8), color="L", mean=0.0, scale=1.0)
    x = np.random.default_rng(3).integers(0, 256, (1, 1, 8, 8), np.uint8)
    model = planted.load(proto, spec=spec)
    assert xaionnx.explain(model, x, "rise", 0, budget=20).values.shape == x.shape
    assert np.isfinite(xaionnx.evaluate(model, x, "feature_ablation", "max_sensitivity", 0, controls=()).values).all()
