"""Pictures of whole numbers are scored as those of floats, but for rounding; categories are refused."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, normal
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
