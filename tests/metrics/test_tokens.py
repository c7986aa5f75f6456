"""Values at the floats that are made of tokens are judged as one number a token: their sum."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, normal
from xaionnx.errors import ParameterError
from xaionnx.explainers.saliency import Saliency

X = np.array([[1, 2, 0, 3], [3, 3, 1, 0], [2, 1, 1, 2]], np.int64)
EMBEDDING, WEIGHTS = normal(4, 5), np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
JUDGED = (
    "deletion", "insertion", "pixel_flipping", "irof", "infidelity", "mu_fidelity", "sensitivity_n", "monotonicity",
    "faithfulness_estimate", "sparseness", "entropy", "non_sensitivity", "effective_complexity", "selectivity",
)  # fmt: skip
TEXTS = ["win a free prize now call", "see you at lunch tomorrow", "urgent! claim your cash"]


@pytest.fixture(scope="module")
def model():
    """y = sum over places t of w_t . E[x_t], squared in part, so that an order of tokens matters."""
    body = "e = Gather(table, x) m = Mul(e, w) s = ReduceSum<keepdims=0>(m, axes) q = Mul(s, s) y = Add(s, q)"
    return loaded(
        f"g (int64[N, 4] x) => (float[N, 1] y1) {{ {body} y1 = Unsqueeze(y, one) }}",
        table=EMBEDDING,
        w=WEIGHTS,
        axes=np.array([1, 2]),
        one=np.array([1]),
    )


def scored(model, x, judged, metric):
    return xaionnx.evaluate(model, x, judged, metric, controls=()).values


@pytest.mark.parametrize("metric", JUDGED)
def test_contributions_are_summed_over_the_embedding_of_a_token(model, metric):
    each = EMBEDDING[X] * WEIGHTS
    slope = 1 + 2 * each.sum(axis=(1, 2))
    own = each.sum(axis=2) * slope[:, None]
    np.testing.assert_allclose(
        scored(model, X, "input_x_gradient", metric), scored(model, X, own, metric), rtol=1e-4, atol=1e-6
    )


def test_slopes_are_summed_without_their_signs(model):
    slope = 1 + 2 * (EMBEDDING[X] * WEIGHTS).sum(axis=(1, 2))
    sizes = np.abs(WEIGHTS).sum(axis=1) * np.abs(slope)[:, None]
    for metric in ("deletion", "insertion", "pixel_flipping"):
        np.testing.assert_allclose(
            scored(model, X, "guided_backprop", metric), scored(model, X, sizes, metric), rtol=1e-4
        )


@pytest.mark.parametrize("method", ["integrated_gradients", "attention_rollout", "occlusion"])
@pytest.mark.parametrize("metric", ["mu_fidelity", "sensitivity_n", "infidelity"])
def test_words_of_several_tokens(method, metric):
    """A word has the sum of its tokens, or the value that a game gives to it as a whole."""
    spam = xaionnx.Model.load("models/spam.onnx")
    record = xaionnx.explain(spam, TEXTS, method)
    array = np.asarray(record.values, dtype=np.float64)
    tokens = array.sum(axis=2) if array.ndim == 3 else array.copy()
    if method == "occlusion":
        for n, k in np.ndindex(tokens.shape):
            tokens[n, k] /= np.sum(record.features[n] == record.features[n, k])
    np.testing.assert_allclose(scored(spam, TEXTS, method, metric), scored(spam, TEXTS, tokens, metric), rtol=1e-3)


def test_another_layer_of_the_input_s_shape_is_refused():
    model = loaded("g (float[N, 3] x) => (float[N, 1] y) { h = Relu(x) y = MatMul(h, w) }", w=normal(3, 1))
    with pytest.raises(ParameterError, match=r"and these are values of a tensor inside the model\. "):
        xaionnx.evaluate(model, np.ones((1, 3), np.float32), Saliency(layer="h"), "sparseness")
