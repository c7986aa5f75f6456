"""A table whose columns are inputs of their own is scored as one whose columns are one input."""

import numpy as np
import pytest
from onnx import TensorProto

import xaionnx
from models import planted
from tests.tiny import loaded, model, node, tensor
from xaionnx.errors import DataError
from xaionnx.evaluation import metrics
from xaionnx.evaluation.metric import METRICS

WEIGHTS = np.float32([[4, 3, -2, 1], [1, -2, 3, 2]])
X = np.random.default_rng(0).uniform(0.5, 2, (3, 4)).astype(np.float32)
BODY = "h = MatMul(x, w) t = Tanh(h) y = MatMul(t, v) }"
HEAD = {"w": np.float32([[1, -0.5, 0.3], [0.2, 0.8, -0.4], [-0.7, 0.1, 0.6], [0.5, 0.5, 0.2]]), "v": WEIGHTS[:, :3].T}
COLUMNS = {f"c{n}": X[:, n : n + 1] for n in range(4)}
MASKS = np.array([[True, False, True, False]] * 3)
# Neighbours and noise are drawn for each input apart; ROAD is of pictures.
DRAWN = {name for name in metrics() if METRICS.find(name).category() == "robustness"}
DRAWN |= {"gaussian_infidelity", "smooth_parameter_randomisation", "road"}


@pytest.fixture(scope="module")
def one_input():
    return loaded("g (float[N, 4] x) => (float[N, 2] y) { " + BODY, **HEAD)


@pytest.fixture(scope="module")
def four_inputs():
    inputs = ", ".join(f"float[N, 1] c{n}" for n in range(4))
    return loaded(f"g ({inputs}) => (float[N, 2] y) {{ x = Concat<axis=1>(c0, c1, c2, c3) " + BODY, **HEAD)


@pytest.mark.parametrize("name", sorted(set(metrics()) - DRAWN))
def test_a_metric_sees_the_columns_of_all_inputs(name, one_input, four_inputs):
    def scores(model, x):
        settings = {"similarity": {"other": "saliency"}, "label_randomisation": {"control_model": model}}
        masks = MASKS if "masks" in METRICS.find(name).needs else None
        controls = ("edges",)
        return xaionnx.evaluate(
            model, x, "input_x_gradient", name, 0, masks=masks, controls=controls, **settings.get(name, {})
        )

    one, four = scores(one_input, X), scores(four_inputs, COLUMNS)
    np.testing.assert_allclose(four.values, one.values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(four.control.values, one.control.values, rtol=1e-5, atol=1e-6)


def test_columns_that_a_method_leaves_as_they_are_have_the_value_zero():
    """Gradients leave a column of whole numbers."""
    inputs = "float[N, 1] a, int64[N, 1] k, float[N, 1] b"
    mixed = loaded(
        f"g ({inputs}) => (float[N, 2] y) {{ f = Cast<to=1>(k) x = Concat<axis=1>(a, f, b) y = MatMul(x, w) }}",
        w=np.float32([[1, 2], [3, 4], [3, 4]]),
    )
    x = {"a": np.float32([[1]]), "k": np.array([[2]]), "b": np.float32([[1]])}
    found = {
        name: xaionnx.evaluate(mixed, x, "input_x_gradient", name, 0) for name in ("sparseness", "input_invariance")
    }
    # Of the sizes 1, 0, 3.
    assert found["sparseness"].values == pytest.approx([(2 * 3) / (3 * 4)])
    assert found["input_invariance"].values == pytest.approx([1])
    masks = np.array([[False, True, True]])
    inside = xaionnx.evaluate(mixed, x, "input_x_gradient", "relevance_mass_accuracy", 0, masks=masks)
    assert inside.values == pytest.approx([3 / 4])
    alike = xaionnx.evaluate(mixed, x, "input_x_gradient", "similarity", 0, other="feature_ablation", kind="cosine")
    # Those of feature ablation are 1, 6, 3.
    assert alike.values == pytest.approx([10 / np.sqrt(10 * 46)])
    # Of 1 + 6 + 3, the first times 1/3, and the second as it is.
    masked = xaionnx.evaluate(mixed, x, "input_x_gradient", "average_drop", 0, quantity="target")
    assert masked.values == pytest.approx([(2 / 3) / 10])


def test_random_values_of_equal_columns_differ(four_inputs):
    ones = {name: np.ones((1, 1), np.float32) for name in COLUMNS}
    scores = xaionnx.evaluate(four_inputs, ones, "input_x_gradient", "sparseness", 0)
    assert 0.05 < scores.control.values[0] < 0.75


def test_a_mask_of_another_number_of_columns_is_refused(four_inputs):
    with pytest.raises(DataError, match=r"A mask must have the shape \(4,\)"):
        xaionnx.evaluate(four_inputs, COLUMNS, "input_x_gradient", "pointing_game", 0, masks=MASKS[:, :2])


def test_two_pictures_are_not_one_row():
    """Localisation is of the explained one."""
    two = planted.load(planted.net_b(two_images=True))
    picture = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    feeds = {one.name: picture for one in two.inputs}
    masks = np.ones((1, 4, 4), dtype=bool)
    assert xaionnx.evaluate(two, feeds, "input_x_gradient", "pointing_game", 0, masks=masks, controls=()).values == [1]


def test_sizes_and_similarities_are_of_all_explained_inputs():
    """The values of the second picture may be those that count."""
    two = planted.load(planted.net_b(two_images=True))
    picture = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    feeds = {one.name: picture**power for one, power in zip(two.inputs, (1, 2), strict=True)}
    found, other = (xaionnx.explain(two, feeds, method, 0) for method in ("input_x_gradient", "saliency"))
    one, another = (np.abs(np.concatenate([r.values[name].reshape(-1) for name in feeds])) for r in (found, other))
    gini = np.abs(one[:, None] - one).sum() / (2 * one.size * one.sum())
    assert xaionnx.evaluate(two, feeds, found, "sparseness", 0).values == pytest.approx([gini])
    cosine = one @ another / np.sqrt(one @ one * (another @ another))
    assert xaionnx.evaluate(two, feeds, found, "similarity", 0, other=other, kind="cosine").values == pytest.approx(
        [cosine]
    )


def test_edges_of_words_and_of_missing_numbers_are_zero():
    encoder = node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", keys_strings=["a"], values_floats=[1.0])
    inputs = [tensor("x", ["N", 1]), tensor("word", ["N", 1], TensorProto.STRING)]
    nodes = [encoder, node("Add", ["code", "x"], ["y"])]
    words = planted.load(model(nodes, inputs, [tensor("y", ["N", 1])], {}, 17, {"ai.onnx.ml": 2}))
    feeds = {"x": np.float32([[2]]), "word": np.array([["a"]])}
    background = {"x": np.float32([[0]]), "word": np.array([["b"]])}
    scores = xaionnx.evaluate(
        words, feeds, xaionnx.explain(words, feeds, "feature_ablation", 0, background=background), "sparseness", 0,
        controls=("edges",),
    )  # fmt: skip
    # Sizes 2 and 1; edges 2 and 0.
    assert scores.values == pytest.approx([1 / 6])
    assert scores.control.values == pytest.approx([1 / 2])
