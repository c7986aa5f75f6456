"""What people met with series and several inputs: each on a small model that stands for it.

The log is series.toml; the numbers are by hand, or sums that must hold.
"""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded, row
from xaionnx import Target

RNG = np.random.default_rng(8)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("axes", ["N C T", "N T C"])
def test_lime_finds_the_channel_and_the_time(axes):
    weights = np.zeros((1, 3, 40))
    weights[0, 2, 20:30] = 1
    weights = weights if axes == "N C T" else weights.swapaxes(1, 2)
    model = planted.load(planted.linear(weights), axes=axes)
    x = np.ones((1, *weights.shape[1:]), np.float32)
    result = xaionnx.explain(model, x, "lime", 0, features="channel_segments:4", alpha=0)
    values = dict(zip(result.feature_names, result.feature_values[0], strict=True))
    assert values.pop("channel 2, 20-29") == pytest.approx(10, abs=1e-4)
    np.testing.assert_allclose(list(values.values()), 0, atol=1e-4)
    channels = xaionnx.explain(model, x, "lime", 0, features="channels", alpha=0)
    assert channels.feature_names == ("channel 0", "channel 1", "channel 2")
    np.testing.assert_allclose(channels.feature_values, [[0, 0, 10]], atol=1e-4)


def test_all_methods_return_values_of_the_shape_of_the_series():
    model, x = planted.load(planted.linear(normal(2, 3, 40)), axes="N C T"), normal(2, 3, 40)
    for method in ("lime", "rise", "occlusion", "kernel_shap", "feature_ablation", "integrated_gradients"):
        result = xaionnx.explain(model, x, method, 1)
        assert isinstance(result, xaionnx.Explanation)
        assert result.values.shape == x.shape


TWO_TABLES = """g (int64[N,2] words, int64[N,2] kinds, float[N,2] numbers) => (float[N,1] y)
    <float[3] worth = {0, 1, 5}, float[3] weight = {0, 2, 3}, int64[1] one = {1}> {
    e = Gather(worth, words)  f = Gather(weight, kinds)  s = Add(e, f)  t = Add(s, numbers)  y = ReduceSum(t, one) }"""


def test_two_inputs_of_tokens_and_a_row():
    x = {"words": np.array([[1, 2]]), "kinds": np.array([[2, 1]]), "numbers": row(3, 4)}
    slopes = xaionnx.explain(loaded(TWO_TABLES), x, "integrated_gradients", 0, baseline=0)
    np.testing.assert_allclose(slopes.values["e"], [[1, 5]], atol=1e-5)
    np.testing.assert_allclose(slopes.values["numbers"], [[3, 4]], atol=1e-5)
    assert slopes.provenance["left_as_is"] == {"kinds": "data"}
    assert any("The values do not cover 'kinds'" in warning for warning in slopes.warnings)
    removed = xaionnx.explain(loaded(TWO_TABLES), x, "exact_shapley", 0, baseline=0)
    np.testing.assert_allclose(removed.feature_values, [[1, 5, 3, 2, 3, 4]], atol=1e-5)
    assert removed.feature_names == ("words[0]", "words[1]", "kinds[0]", "kinds[1]", "numbers[0]", "numbers[1]")
    assert removed.warnings == ()


# Time first inside, as recurrent networks of ONNX have it; samples first outside.
RECURRENT = """g (float[N,T,2] x) => (float[N,T,3] y) {
    t = Transpose<perm = [1, 0, 2]>(x)  h = GRU<hidden_size = 3>(t, w, r)  s = Squeeze(h, one)
    y = Transpose<perm = [1, 0, 2]>(s) }"""


def recurrent():
    return loaded(RECURRENT, w=normal(1, 9, 2), r=normal(1, 9, 3), one=np.array([1]))


@pytest.mark.parametrize("method", ["shapley_sampling", "integrated_gradients", "deep_lift"])
def test_an_answer_for_each_step_is_explained_by_its_place(method):
    x = normal(1, 8, 2)
    result = xaionnx.explain(recurrent(), x, method, Target.index((5, 1)), baseline=0)
    players = result.values if result.feature_values is None else result.feature_values
    np.testing.assert_allclose(players.sum(), (result.prediction - result.baseline_prediction)[0], atol=2e-3)
    # The future does not matter to step 5.
    np.testing.assert_allclose(result.values[0, 6:], 0, atol=1e-6)


def test_series_of_one_channel_behind_time():
    model = loaded(
        RECURRENT.replace("float[N,T,2]", "float[N,29,1]").replace("float[N,T,3]", "float[N,29,3]"),
        w=normal(1, 9, 1),
        r=normal(1, 9, 3),
        one=np.array([1]),
    )
    result = xaionnx.explain(model, normal(1, 29, 1), "kernel_shap", Target.index((28, 0)), baseline=0)
    assert result.feature_names[::14] == ("step 0", "step 14", "step 28")
    gap = result.feature_values.sum() - (result.prediction - result.baseline_prediction)[0]
    assert abs(gap) < 1e-6


PAST_AND_FUTURE = """g (float[N,24,5] past, float[N,1,5] future) => (float[N,1,1] y) {
    p = Transpose<perm = [1, 0, 2]>(past)  f = Transpose<perm = [1, 0, 2]>(future)
    h, last = GRU<hidden_size = 4>(p, w, r)
    s, end = GRU<hidden_size = 4>(f, v, q, , , last)
    o = Transpose<perm = [1, 0, 2]>(end)  y = MatMul(o, c) }"""


def test_past_and_future_are_one_explanation():
    weights = {"w": normal(1, 12, 5), "r": normal(1, 12, 4), "v": normal(1, 12, 5), "q": normal(1, 12, 4)}
    model = loaded(PAST_AND_FUTURE, **weights, c=normal(4, 1))
    x = {"past": normal(1, 24, 5), "future": normal(1, 1, 5)}
    result = xaionnx.explain(model, x, "kernel_shap", 0, baseline=0)
    assert result.feature_names[0] == "past: channel 0, 0"
    assert result.feature_names[-1].startswith("future: channel 4")
    assert len(result.feature_names) == 24 * 5 + 5
    change = (result.prediction - result.baseline_prediction)[0]
    np.testing.assert_allclose(result.feature_values.sum(), change, atol=1e-6)
    slopes = xaionnx.explain(model, x, "integrated_gradients", 0, baseline=0)
    np.testing.assert_allclose(sum(array.sum() for array in slopes.values.values()), change, atol=1e-3)
    assert result.plot().mode == "RGB"
