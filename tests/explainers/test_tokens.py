"""Token models, explained at their embedding, against closed forms."""

import numpy as np
import pytest

from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.input_x_gradient import InputXGradient
from xaionnx.explainers.integrated_gradients import IntegratedGradients
from xaionnx.explainers.layer_activation import LayerActivation
from xaionnx.explainers.saliency import Saliency
from xaionnx.explainers.smooth_grad import SmoothGrad

# Token models: numbers of tokens are looked up in E, averaged over the tokens, and scored by K.
E, K = normal(10, 4), normal(4, 3)
TOKENS = """g (int64[N, T] ids) => (float[N, 3] y) {
  held = Gather<axis: int = 0>(E, ids)
  mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(held)
  bent = Tanh(mean)
  y = MatMul(bent, K)
}"""
IDS = np.array([[1, 2, 3, 0, 9], [4, 4, 7, 1, 1]], dtype=np.int64)


@pytest.fixture(scope="module")
def words():
    return loaded(TOKENS, E=E, K=K)


def test_tokens_are_explained_where_they_are_embedded(words):
    mean = E[IDS].mean(axis=1).astype(np.float64)
    slope = ((1 - np.tanh(mean) ** 2) * K[:, 2])[:, None] / 5 * np.ones((1, 5, 1))
    found = Saliency(absolute=False).attribute(words, IDS, 2)
    assert_close(found.values, slope, Tolerance.LAYERS)
    assert found.provenance["layer"] == {"name": "held", "axes": "TD", "grid": None, "before": 0, "after": 0}
    assert found.provenance["parameters"]["layer"] == "held"
    assert_close(
        InputXGradient().attribute(words, IDS, 2).values, slope * E[IDS].astype(np.float64), Tolerance.QUOTIENTS
    )
    for n in range(2):
        one = Saliency(absolute=False).attribute(words, IDS[n : n + 1], 2)
        assert_close(one.values[0], found.values[n], Tolerance.SUMS)


@pytest.mark.parametrize("kind", [IntegratedGradients, Conductance])
def test_a_baseline_of_tokens_is_lifted_through_the_embedding(words, kind):
    """From the padding token 8: the attribution of a token is its share of the change of the mean, along a curve."""
    found = kind(baseline=8, steps=64, **({"layer": "held"} if kind is Conductance else {})).attribute(words, IDS, 1)
    share = (np.arange(2000) + 0.5) / 2000
    for n in range(2):
        mean, pad = E[IDS[n]].mean(axis=0).astype(np.float64), E[8].astype(np.float64)
        slope = np.mean([(1 - np.tanh(pad + a * (mean - pad)) ** 2) * K[:, 1] for a in share], axis=0)
        assert_close(found.values[n], (E[IDS[n]] - pad) * slope / 5, Tolerance.QUOTIENTS)
        start = np.tanh(pad) @ K[:, 1]
        assert_close(found.baseline_prediction[n], start, Tolerance.LAYERS)
        np.testing.assert_allclose(found.values[n].sum(), found.prediction[n] - start, rtol=1e-2, atol=1e-4)


def test_a_layer_behind_the_embedding_and_noise_in_it(words):
    mean = E[IDS].mean(axis=1).astype(np.float64)
    assert_close(
        Saliency(layer="mean", absolute=False).attribute(words, IDS, 0).values,
        (1 - np.tanh(mean) ** 2) * K[:, 0],
        Tolerance.LAYERS,
    )
    # The path is straight in the embedding, and so is the mean over tokens.
    path = Conductance(layer="mean", baseline=8, steps=64).attribute(words, IDS, 0)
    whole = IntegratedGradients(layer="mean", baseline=8, steps=64).attribute(words, IDS, 0)
    assert_close(path.values, whole.values, Tolerance.QUOTIENTS)
    noisy = SmoothGrad(noise=1e-4, draws=4).attribute(words, IDS, 0)
    np.testing.assert_allclose(noisy.values, Saliency(absolute=False).attribute(words, IDS, 0).values, rtol=1e-2)
    assert LayerActivation(layer="held").attribute(words, IDS).values.tolist() == E[IDS].tolist()


def test_the_ids_reach_the_embedding_through_casts_and_beside_positions_and_a_mask():
    text = """g (int64[N, 4] ids, int64[N, 4] places, float[N, 4] mask) => (float[N, 3] y) {
      narrow = Cast<to: int = 6>(ids)
      lines = Reshape(narrow, flat)
      looked = Gather<axis: int = 0>(E, lines)
      held = Reshape(looked, block)
      where = Gather<axis: int = 0>(P, places)
      both = Add(held, where)
      column = Unsqueeze(mask, last)
      masked = Mul(both, column)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(masked)
      y = MatMul(mean, K)
    }"""
    model = loaded(text, E=E, P=normal(4, 4), K=K, last=np.array([2]), flat=np.array([0, 4]), block=np.array([0, 4, 4]))
    feeds = {
        "ids": IDS[:, :4],
        "places": np.tile(np.arange(4), (2, 1)),
        "mask": np.float32([[1, 1, 1, 0], [1, 1, 0, 0]]),
    }
    found = Saliency(absolute=False).attribute(model, feeds, 2)
    assert found.provenance["layer"]["name"] == "looked"
    assert_close(found.values, feeds["mask"][:, :, None] * K[:, 2] / 4, Tolerance.LAYERS)
    path = IntegratedGradients(baseline=8).attribute(model, feeds, 2)
    assert_close(path.values, feeds["mask"][:, :, None] * (E[feeds["ids"]] - E[8]) * K[:, 2] / 4, Tolerance.QUOTIENTS)


def test_one_hot_tokens_are_explained_where_they_are_spread():
    text = """g (int64[N, 5] ids) => (float[N, 3] y) {
      spread = OneHot<axis: int = -1>(ids, depth, ends)
      held = MatMul(spread, E)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(held)
      y = MatMul(mean, K)
    }"""
    model = loaded(text, E=E, K=K, depth=np.array(10), ends=np.float32([0, 1]))
    found = InputXGradient().attribute(model, IDS, 0)
    assert found.provenance["layer"]["name"] == "spread"
    assert_close(found.values.sum(axis=-1), E[IDS] @ K[:, 0] / 5, Tolerance.SIGNED_LAYERS)


def test_tokens_without_one_embedding_are_refused(words):
    twice = """g (int64[N, 5] ids) => (float[N, 3] y) {
      a = Gather<axis: int = 0>(E, ids)  b = Gather<axis: int = 0>(F, ids)  both = Add(a, b)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(both)  y = MatMul(mean, K)
    }"""
    model = loaded(twice, E=E, F=normal(10, 4, seed=1), K=K)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is looked up several times: a, b. Choose"):
        Saliency().attribute(model, IDS, 0)
    joined = Saliency(layer="both", absolute=False).attribute(model, IDS, 0)
    assert_close(joined.values[0, 0], K[:, 0] / 5, Tolerance.LAYERS)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is \(N, T\) int64, which has no gradient"):
        Saliency(layer="ids").attribute(words, IDS, 0)
