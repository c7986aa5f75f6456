"""What people met with inputs of several kinds and with missing values: each on a small model that stands for it.

The log is real_models.toml; the numbers are by hand.
"""

from __future__ import annotations

import numpy as np
import pytest

import xaionnx
from models import planted
from tests.tiny import loaded, model, row, tensor, tree
from xaionnx import Baseline, Features, Model
from xaionnx.errors import InputMismatchError

# A sentence is the sum of its words that the mask keeps: 1 and -1 for the words 1 and 2, 0 for padding.
SENTENCE = """g (int64[N,T] input_ids, int64[N,T] attention_mask, int64[N,T] token_type_ids) => (float[N,1] y)
    <float[3] words = {0, 1, -1}, float[2] kinds = {0, 0.5}, float zero = {0}, int64[1] one = {1}> {
    w = Gather(words, input_ids)  k = Gather(kinds, token_type_ids)  s = Add(w, k)
    b = Cast<to = 9>(attention_mask)  kept = Where(b, s, zero)  y = ReduceSum(kept, one) }"""


@pytest.mark.parametrize("method", ["feature_ablation", "kernel_shap", "integrated_gradients"])
def test_tokens_are_explained_and_the_rest_of_the_tokenizer_is_fed(method):
    x = {
        "input_ids": np.array([[1, 2, 1, 0]]),
        "attention_mask": np.array([[1, 1, 1, 0]]),
        "token_type_ids": np.array([[0, 0, 1, 1]]),
    }
    result = xaionnx.explain(loaded(SENTENCE), x, method, 0, baseline=0)
    np.testing.assert_allclose(result.values.reshape(1, 4), [[1, -1, 1, 0]], atol=1e-5)
    assert result.provenance["left_as_is"] == {"attention_mask": "a mask", "token_type_ids": "token types"}


def routed(tracks):
    proto = model([tree(tracks)], [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], domains={"ai.onnx.ml": 3})
    return planted.load(proto)


@pytest.mark.parametrize(("tracks", "missing"), [([1, 0, 0], 10), ([0, 0, 0], 20)])
def test_a_tree_sends_a_missing_value_either_way(tracks, missing):
    x = row(np.nan, 1)
    result = xaionnx.explain(routed(tracks), x, "exact_shapley", 0, baseline=np.float32([0, 1]))
    assert result.prediction.tolist() == [missing]
    # 10 at the baseline, which is below 0.5.
    np.testing.assert_allclose(result.feature_values, [[missing - 10, 0]])
    lime = xaionnx.explain(routed(tracks), x, "lime", 0, baseline=np.float32([0, 1]), alpha=0)
    np.testing.assert_allclose(lime.feature_values, [[missing - 10, 0]], atol=1e-9)


# A word and two numbers; the numbers count as they are.
MIXED = """g (int64[N,2] words, float[N,2] numbers) => (float[N,1] y) <float[3] worth = {0, 1, 5}, int64[1] one = {1}> {
    e = Gather(worth, words)  s = Add(e, numbers)  y = ReduceSum(s, one) }"""
WORDS = {"words": np.array([[1, 2]]), "numbers": row(3, 4)}


def test_words_and_numbers_are_players_of_one_game():
    for method in ("feature_ablation", "exact_shapley", "kernel_shap"):
        result = xaionnx.explain(loaded(MIXED), WORDS, method, 0, baseline={"words": 0, "numbers": 1})
        np.testing.assert_allclose(result.values["words"], [[1, 5]], atol=1e-5)
        np.testing.assert_allclose(result.values["numbers"], [[2, 3]], atol=1e-5)


def test_gradients_cover_words_and_numbers_or_say_which_they_leave_out():
    at_words = xaionnx.explain(loaded(MIXED), WORDS, "integrated_gradients", 0, baseline={"words": 0, "numbers": 1})
    np.testing.assert_allclose(at_words.values["e"], [[1, 5]], atol=1e-5)
    np.testing.assert_allclose(at_words.values["numbers"], [[2, 3]], atol=1e-5)
    assert at_words.warnings == ()
    numbers_first = loaded(
        MIXED.replace("int64[N,2] words, float[N,2] numbers", "float[N,2] numbers, int64[N,2] words")
    )
    at_numbers = xaionnx.explain(numbers_first, WORDS, "integrated_gradients", 0, baseline=0)
    # Not zeros for the words, as if they did not matter.
    assert at_numbers.values.shape == (1, 2)
    assert at_numbers.warnings[0].startswith("The values do not cover 'words': this input is left as it is.")


FOUR = """g (float[N,1] a, float[N,2] b, float[N,3] c, float[N,1] unread) => (float[N,1] y) <int64[1] one = {1}> {
    p = ReduceSum(b, one)  q = ReduceSum(c, one)  r = Mul(p, q)  y = Add(a, r) }"""


def test_four_inputs_one_of_which_the_model_does_not_read():
    x = {"a": row(7), "b": row(1, 2), "c": row(1, 1, 2), "unread": row(5)}
    result = xaionnx.explain(loaded(FOUR), x, "integrated_gradients", 0, baseline=0)
    # b and c share their product, 12, by halves.
    np.testing.assert_allclose(result.values["a"], [[7]], rtol=1e-5)
    np.testing.assert_allclose(result.values["b"], [[2, 4]], rtol=1e-5)
    np.testing.assert_allclose(result.values["c"], [[1.5, 1.5, 3]], rtol=1e-5)
    assert "unread" not in result.values
    assert result.warnings == ()


def test_a_group_across_inputs_is_one_player():
    x = {"a": row(7), "b": row(1, 2), "c": row(1, 1, 2), "unread": row(5)}
    groups = {"a": [0], "b": [0, 1], "c": [1, 1, 1]}
    result = xaionnx.explain(loaded(FOUR), x, "feature_ablation", 0, features=groups, baseline=0)
    # 7 + 3 * 4 without a and the first of b is 2 * 4; without the second of b and c it is 7.
    np.testing.assert_allclose(result.feature_values, [[11, 12]])


def test_a_map_for_some_inputs_leaves_the_others_and_says_so():
    x = {"a": row(7), "b": row(1, 2), "c": row(1, 1, 2), "unread": row(5)}
    result = xaionnx.explain(loaded(FOUR), x, "feature_ablation", 0, features={"b": [0, 1]}, baseline=0)
    assert set(result.values) == {"b"}
    assert result.provenance["left_as_is"] == {"a": "data", "c": "data"}


ADDED = "g (float[N,2] x) => (float[N,1] y) <int64[1] one = {1}> { q = Mul(x, x)  y = ReduceSum(q, one) }"


def test_every_coalition_is_averaged_over_all_rows_of_the_background():
    rows = np.float32([[0, 0], [2, 0], [1, 3]])
    result = xaionnx.explain(loaded(ADDED), row(3, 1), "exact_shapley", 0, baseline=Baseline.background(rows))
    # x^2 less the mean of the rows' squares: 9 - 5 / 3 and 1 - 3.
    np.testing.assert_allclose(result.feature_values, [[9 - 5 / 3, -2]], rtol=1e-6)
    # The input, and three rows for each of the three other coalitions.
    assert result.diagnostics["evaluations"] == [1 + 3 * 3]


def test_rows_of_a_frame_with_the_names_of_columns_are_a_baseline(tmp_path):
    (tmp_path / "m.onnx").write_bytes(loaded(ADDED).path.read_bytes())
    (tmp_path / "m.toml").write_text('[input]\nkind = "table"\ncolumns = ["height", "width"]\n')
    # Columns in another order, as a frame may have them.
    (tmp_path / "rows.csv").write_text("width,height\n0,0\n0,2\n3,1\n")
    table = Model.load(tmp_path / "m.onnx")
    result = xaionnx.explain(table, row(3, 1), "exact_shapley", 0, baseline=Baseline.background(tmp_path / "rows.csv"))
    np.testing.assert_allclose(result.feature_values, [[9 - 5 / 3, -2]], rtol=1e-6)
    (tmp_path / "rows.csv").write_text("height\n1\n")
    with pytest.raises(xaionnx.errors.DataError, match="lacks the column 'width' that the model needs"):
        xaionnx.explain(table, row(3, 1), "exact_shapley", 0, baseline=Baseline.background(tmp_path / "rows.csv"))


def test_a_picture_a_text_and_a_row_at_once():
    text = """g (float[N,1,2,2] picture, int64[N,2] words, float[N,2] numbers) => (float[N,1] y)
        <float[3] worth = {0, 1, 5}, int64[1] one = {1}, int64[3] axes = {1, 2, 3}> {
        e = Gather(worth, words)  s = Add(e, numbers)  t = ReduceSum(s, one)
        p = ReduceSum<keepdims = 0>(picture, axes)  q = Unsqueeze(p, one)  y = Add(t, q) }"""
    x = {"picture": np.float32([[[[1, 2], [3, 4]]]]), **WORDS}
    features = {"picture": Features.grid(1, 2), "words": "elements", "numbers": "elements"}
    result = xaionnx.explain(loaded(text), x, "exact_shapley", 0, features=features, baseline=0)
    np.testing.assert_allclose(result.feature_values, [[4, 6, 1, 5, 3, 4]], rtol=1e-6)
    with pytest.raises(InputMismatchError, match="needs a picture"):
        xaionnx.explain(loaded(text), x, "exact_shapley", 0, features={"numbers": "grid"})
