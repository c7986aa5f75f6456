"""Token models, explained at their embedding, against closed forms."""

import shutil

import numpy as np
import pytest

import xaionnx
from tests.tiny import loaded, normal
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers.conductance import Conductance
from xaionnx.explainers.expected_gradients import ExpectedGradients
from xaionnx.explainers.grad_cam import GradCam
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


@pytest.fixture(scope="module")
def floats():
    """The same model as exports of Keras write it: the numbers are floats, and cast."""
    cast = "number = Cast<to: int = 6>(ids)\n  held = Gather<axis: int = 0>(E, number)"
    text = TOKENS.replace("int64[N, T]", "float[N, T]").replace("held = Gather<axis: int = 0>(E, ids)", cast)
    return loaded(text, E=E, K=K)


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
    """Two look-ups that are summed are one embedding; two that are used apart are not."""
    twice = """g (int64[N, 5] ids) => (float[N, 3] y) {
      a = Gather<axis: int = 0>(E, ids)  b = Gather<axis: int = 0>(F, ids)  both = Add(a, b)
      mean = ReduceMean<axes: ints = [1], keepdims: int = 0>(both)  y = MatMul(mean, K)
    }"""
    tables = {"E": E, "F": normal(10, 4, seed=1)}
    joined = Saliency(absolute=False).attribute(loaded(twice, **tables, K=K), IDS, 0)
    assert joined.provenance["layer"]["name"] == "both"
    assert_close(joined.values[0, 0], K[:, 0] / 5, Tolerance.LAYERS)
    apart = loaded(twice.replace("both = Add(a, b)", "bent = Tanh(b)  both = Add(a, bent)"), **tables, K=K)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is looked up several times: a, b. Choose"):
        Saliency().attribute(apart, IDS, 0)
    with pytest.raises(UnsupportedModelError, match=r"Input 'ids' of .* is \(N, T\) int64, which has no gradient"):
        Saliency(layer="ids").attribute(words, IDS, 0)


@pytest.mark.parametrize("method", [Saliency, InputXGradient, IntegratedGradients, SmoothGrad, Conductance])
def test_tokens_given_as_floats_are_explained_like_whole_numbers(words, floats, method):
    """Exports of Keras cast them; the values are those of the same model of whole numbers."""
    settings = {"layer": "held"} if method is Conductance else {}
    found = method(**settings).attribute(floats, IDS.astype(np.float32), 2)
    wanted = method(**settings).attribute(words, IDS, 2)
    assert_close(found.values, wanted.values, Tolerance.DEEP)
    assert found.provenance["layer"] == wanted.provenance["layer"]


def test_maps_and_layers_of_tokens_given_as_floats(words, floats):
    x = IDS.astype(np.float32)
    found = GradCam(layer="held", relu=False).attribute(floats, x, 2)
    assert_close(found.values, GradCam(layer="held", relu=False).attribute(words, IDS, 2).values, Tolerance.DEEP)
    with pytest.raises(UnsupportedModelError, match=r"'ids' of .* holds the numbers of tokens, .* embedding: held"):
        Saliency(layer="ids").attribute(floats, x, 2)
    np.testing.assert_array_equal(
        LayerActivation(layer="held").attribute(floats, x).values,
        LayerActivation(layer="held").attribute(words, IDS).values,
    )


@pytest.mark.parametrize("by_hand", [False, True])
def test_quantised_tables_are_explained_at_the_floats_behind_them(by_hand):
    rows = "held = DequantizeLinear(q, s, z)"
    if by_hand:
        rows = "wide = Cast<to: int = 1>(q)  off = Sub(wide, zf)  held = Mul(off, s)"
    text = TOKENS.replace("held = Gather<axis: int = 0>(E, ids)", f"q = Gather<axis: int = 0>(Q, ids)  {rows}")
    q = np.random.default_rng(0).integers(0, 255, (10, 4)).astype(np.uint8)
    model = loaded(text, Q=q, s=np.float32(0.02), K=K, **({"zf": np.float32(128)} if by_hand else {"z": np.uint8(128)}))
    table = (q.astype(np.float64) - 128) * 0.02
    mean = table[IDS].mean(axis=1)
    slope = ((1 - np.tanh(mean) ** 2) * K[:, 2])[:, None] / 5 * np.ones((1, 5, 1))
    found = Saliency(absolute=False).attribute(model, IDS, 2)
    first = "wide" if by_hand else "held"
    assert found.provenance["layer"]["name"] == first
    assert_close(found.values, slope * (0.02 if by_hand else 1), Tolerance.LAYERS)
    assert_close(Saliency(layer="held", absolute=False).attribute(model, IDS, 2).values, slope, Tolerance.LAYERS)
    path = IntegratedGradients(baseline=8, steps=64).attribute(model, IDS, 2)
    np.testing.assert_allclose(
        path.values.sum(axis=(1, 2)), path.prediction - path.baseline_prediction, rtol=1e-3, atol=1e-5
    )


def test_one_hot_rows_that_the_graph_compares_are_explained():
    """As in models of bytes: the numbers are compared with all there are."""
    text = TOKENS.replace(
        "held = Gather<axis: int = 0>(E, ids)",
        "column = Unsqueeze(ids, last)  bits = Equal(column, lines)  spread = Cast<to: int = 1>(bits)"
        "  held = MatMul(spread, E)",
    )
    model = loaded(text, E=E, K=K, last=np.array([2]), lines=np.arange(10))
    found = Saliency(absolute=False).attribute(model, IDS, 2)
    assert found.provenance["layer"]["name"] == "spread"
    mean = E[IDS].mean(axis=1).astype(np.float64)
    slope = ((1 - np.tanh(mean) ** 2) * K[:, 2]) @ E.T.astype(np.float64) / 5
    assert_close(found.values, slope[:, None] * np.ones((1, 5, 1)), Tolerance.LAYERS)


def test_columns_that_are_looked_up_beside_numbers_are_warned_of():
    """A table of one input whose first column is a category: it has no slope, which is not the same as no effect."""
    text = """g (float[N, 3] x) => (float[N, 2] y) {
      category = Slice(x, zero, one, one)  number = Cast<to: int = 7>(category)  row = Gather<axis: int = 0>(E, number)
      flat = Squeeze(row, one)  rest = Slice(x, one, three, one)  both = Concat<axis: int = 1>(flat, rest)
      y = MatMul(both, W) }"""
    ends = {"zero": np.array([0]), "one": np.array([1]), "three": np.array([3])}
    model, weights = loaded(text, E=E, W=normal(6, 2), **ends), normal(6, 2)
    x = np.float32([[3, 0.5, -1]])
    found = Saliency(absolute=False).attribute(model, x, 0)
    assert_close(found.values[0], [0, *weights[4:, 0]], Tolerance.DEEP)
    (warning,) = found.warnings
    assert warning.startswith("Some numbers of the input are looked up in a table, at row: their values are zero.")
    both = InputXGradient(layer="both").attribute(model, x, 0)
    assert not both.warnings
    assert_close(both.values[0, :4], E[3] * weights[:4, 0], Tolerance.DEEP)


def test_categories_with_a_table_each_are_explained_beside_numbers():
    """Two columns of categories are one input, which is explained where its rows are joined, and numbers another."""
    text = """g (int64[N, 2] categories, float[N, 3] numbers) => (float[N, 2] y) {
      a, b = Split<axis: int = 1>(categories)  p = Gather<axis: int = 0>(E, a)  q = Gather<axis: int = 0>(F, b)
      joined = Concat<axis: int = 2>(p, q)  flat = Flatten<axis: int = 1>(joined)
      both = Concat<axis: int = 1>(flat, numbers)  y = MatMul(both, W) }"""
    tables, weights = {"E": E, "F": normal(3, 5)}, normal(12, 2)
    feeds = {"categories": np.array([[7, 2], [0, 1]]), "numbers": normal(2, 3)}
    model = loaded(text, **tables, W=weights)
    found = InputXGradient().attribute(model, feeds, 1)
    assert found.provenance["layer"]["name"] == "joined"
    rows = np.concatenate([E[feeds["categories"][:, 0]], tables["F"][feeds["categories"][:, 1]]], axis=1)
    assert_close(found.values["joined"][:, 0], rows * weights[:9, 1], Tolerance.DEEP)
    assert_close(found.values["numbers"], feeds["numbers"] * weights[9:, 1], Tolerance.DEEP)


def test_noise_and_background_tokens_reach_the_embedding(words):
    """Numbers of tokens take no noise; their embedding does, and baselines are tokens."""
    found = ExpectedGradients(baseline=8).attribute(words, IDS, 1)
    assert found.values.shape == (2, 5, 4)
    np.testing.assert_allclose(
        found.values.sum(axis=(1, 2)), found.prediction - found.baseline_prediction, rtol=0.1, atol=0.02
    )


def test_a_path_of_numbers_begins_where_that_of_their_text_does(tmp_path):
    model, text = Model.load("models/spam.onnx"), "you have won a prize"
    feeds = model.read(text).arrays
    named = xaionnx.explain(model, text, "integrated_gradients", 1)
    numbered = xaionnx.explain(model, feeds, "integrated_gradients", 1)
    assert numbered.provenance["parameters"]["baseline"] == {"kind": "SpecialToken", "which": "pad"}
    np.testing.assert_array_equal(numbered.baseline_prediction, named.baseline_prediction)
    # Without a tokenizer nobody knows which number is padding.
    bare = shutil.copy("models/spam.onnx", tmp_path / "bare.onnx")
    unknown = xaionnx.explain(bare, feeds, "integrated_gradients", 1)
    zero = xaionnx.explain(bare, feeds, "integrated_gradients", 1, baseline=0)
    np.testing.assert_array_equal(unknown.values, zero.values)
    assert unknown.baseline_prediction[0] != named.baseline_prediction[0]
