"""What people met with prompts, pieces of words and special tokens. The log is text.toml; the numbers are by hand."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import xaionnx
from xaionnx import Model, Target
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.typing import Array

tokenizers = pytest.importorskip("tokenizers")
MODELS = Path(__file__).resolve().parents[2] / "models"
PROMPT = "Anna lives in Paris. Bert lives in Rome. Bert speaks"
WORDS = ["<pad>", "<s>", "[INST]", "[/INST]", "<unk>", "good", "bad", "film", "not"]


def scores(model: Model, text: str) -> Array:
    """The log probabilities of the token after a text, by hand."""
    logits = model.run(model.read(text).arrays, ["logits"])["logits"][0, -1].astype(np.float64)
    logits -= logits.max()
    return np.asarray(logits - np.log(np.exp(logits).sum()))


@pytest.fixture(scope="module")
def gpt() -> Model:
    return Model.load(MODELS / "tiny_gpt.onnx")


def products(folder: Path, *, template: str = "", split: object = None) -> Model:
    """Two scores: the sum over tokens of a number of each word, squared, and another sum."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = split or tokenizers.pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(WORDS[:4])
    if template:
        made.post_processor = tokenizers.processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        products (int64[N, T] ids) => (float[N, 2] y) {
          worth = Gather (table, ids)
          sums = ReduceSum <keepdims = 0> (worth, one)
          y = Pow (sums, exponents)
        }""")
    table = np.arange(1, 2 * len(WORDS) + 1, dtype=np.float32).reshape(-1, 2)
    constants = {"table": table, "one": np.array([1]), "exponents": np.float32([2, 1])}
    proto.graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in constants.items()])
    onnx.save(proto, folder / "products.onnx")
    return Model.load(folder / "products.onnx")


def product(*words: str) -> float:
    return float(sum(2 * WORDS.index(word) + 1 for word in words)) ** 2


def test_special_tokens_that_a_prompt_holds_are_no_players(tmp_path: Path) -> None:
    model = products(tmp_path)
    written = "<s> [INST] good film [/INST]"
    found = xaionnx.explain(model, written, "feature_ablation", 0, baseline="unk")
    assert found.feature_names == ("good", "film")
    kept = "<s>", "[INST]", "<unk>", "film", "[/INST]"
    np.testing.assert_allclose(found.prediction[0] - found.feature_values[0, 0], product(*kept), rtol=1e-5)
    ids = np.array([[1, 2, 5, 7, 3]])
    as_numbers = xaionnx.explain(model, ids, "feature_ablation", 0, baseline="unk")
    np.testing.assert_array_equal(as_numbers.feature_values, found.feature_values)
    # A word that the tokenizer does not know is one all the same.
    unknown = xaionnx.explain(model, "weird film", "feature_ablation", 0, baseline="delete")
    assert unknown.feature_names == ("weird", "film")
    np.testing.assert_allclose(unknown.prediction[0] - unknown.feature_values[0], [product("film"), product("<unk>")])
    assert xaionnx.explain(model, np.array([[4, 7]]), "feature_ablation", 0, baseline=0).feature_values.shape == (1, 2)


@pytest.mark.parametrize("method", ["partition_shap", "kernel_shap", "exact_shapley", "anchors", "banzhaf"])
def test_a_text_of_one_token_has_a_value(tmp_path: Path, method: str) -> None:
    found = xaionnx.explain(products(tmp_path), "good", method, 1, baseline="unk")
    assert found.feature_names == ("good",)
    if method != "anchors":
        # The second number of each word is one above its first.
        np.testing.assert_allclose(
            found.feature_values, [[2 * (WORDS.index("good") - WORDS.index("<unk>"))]], rtol=1e-3
        )


def test_pieces_of_one_character_are_removed_together(gpt: Model) -> None:
    text = "Anna \N{WAVING HAND SIGN} lives in Paris. Anna speaks"
    assert gpt.tokenizer is not None
    assert len(gpt.tokenizer.id_of("\N{WAVING HAND SIGN}")) > 1
    found = xaionnx.explain(gpt, text, "feature_ablation", Target.next_token(" French"), features="tokens")
    (number,) = [n for n, name in enumerate(found.feature_names) if "\N{WAVING HAND SIGN}" in name]
    french = gpt.tokenizer.id_of(" French")[0]
    [read] = gpt.read(text).texts
    kept = read.ids[read.tokens != number]
    logits = gpt.run({"input_ids": kept[None], "attention_mask": np.ones_like(kept[None])}, ["logits"])["logits"][0, -1]
    without = logits[french] - np.log(np.exp(logits.astype(np.float64)).sum())
    np.testing.assert_allclose(found.prediction[0] - found.feature_values[0, number], without, atol=1e-4)
    sums = xaionnx.explain(gpt, text, "kernel_shap", Target.next_token(" French"), features="tokens", budget=4000)
    np.testing.assert_allclose(sums.feature_values.sum(), sums.prediction - sums.baseline_prediction, rtol=1e-4)


def test_a_tokenizer_may_add_a_token_at_one_end_alone(tmp_path: Path) -> None:
    found = xaionnx.explain(products(tmp_path, template="<s> $A"), "good film", "feature_ablation", 0, baseline="unk")
    assert found.feature_names == ("good", "film")
    by_hand = [
        product("<s>", "good", "film") - product("<s>", *kept) for kept in (("<unk>", "film"), ("good", "<unk>"))
    ]
    np.testing.assert_allclose(found.feature_values[0], by_hand, rtol=1e-5)


def test_a_continuation_may_be_one_token(gpt: Model) -> None:
    one = xaionnx.explain(gpt, f"{PROMPT} French", "feature_ablation", Target.continuation(" French"))
    token = xaionnx.explain(gpt, PROMPT, "feature_ablation", Target.next_token(" French"))
    np.testing.assert_allclose(one.prediction, token.prediction, atol=1e-5)
    np.testing.assert_allclose(one.feature_values, token.feature_values, atol=1e-4)


def test_a_prompt_without_words_is_refused(gpt: Model, tmp_path: Path) -> None:
    for model, prompt in ((gpt, ""), (products(tmp_path), "<s> [INST]")):
        with pytest.raises(DataError, match="empty for the tokenizer, so there is nothing to explain"):
            xaionnx.explain(model, prompt, "integrated_gradients", target=xaionnx.Target.sum())


def test_each_label_has_integrated_gradients_of_its_own(tmp_path: Path) -> None:
    model = products(tmp_path)
    found = xaionnx.explain(model, "good film", "integrated_gradients", [0, 1], baseline="unk")
    good, film, unknown = (WORDS.index(word) for word in ("good", "film", "<unk>"))
    # The slope of a square at the middle of a straight path, and of a sum anywhere.
    middle = (2 * good + 1 + 2 * film + 1) / 2 + 2 * unknown + 1
    expected = [[2 * middle * 2 * (word - unknown) for word in (good, film)], [2 * (w - unknown) for w in (good, film)]]
    np.testing.assert_allclose(found.feature_values[:, 0], expected, rtol=1e-4)


def test_characters_are_players_of_a_model_that_reads_characters(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({c: n for n, c in enumerate("?abcdef ")}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    model = products(tmp_path)
    made.save(str(tmp_path / "tokenizer.json"))
    letters = xaionnx.explain(model, "bad cab", "exact_shapley", 1, features="tokens", baseline="unk")
    words = xaionnx.explain(model, "bad cab", "exact_shapley", 1, baseline="unk")
    assert letters.feature_names == ("b", "a", "d", " ", "c", "a", "b")
    np.testing.assert_allclose(letters.feature_values[0], [2 * "?abcdef ".index(c) for c in "bad cab"], rtol=1e-4)
    assert words.feature_names == ("bad", "cab")
    np.testing.assert_allclose(words.feature_values.sum(), letters.feature_values.sum(), rtol=1e-4)


@pytest.mark.parametrize("method", ["kernel_shap", "saliency", "integrated_gradients"])
def test_numbers_of_tokens_have_the_values_of_their_text(gpt: Model, method: str) -> None:
    text = xaionnx.explain(gpt, PROMPT, method)
    arrays = gpt.read(PROMPT).arrays
    numbers = xaionnx.explain(gpt, dict(arrays), method)
    assert numbers.feature_names == text.feature_names
    np.testing.assert_array_equal(numbers.feature_values, text.feature_values)


def test_every_word_is_marked_in_a_page(tmp_path: Path) -> None:
    found = xaionnx.explain(products(tmp_path), "good film not bad", "exact_shapley", 0, baseline="unk")
    marked = re.findall(r"<mark[^>]*>(.*?)</mark>", found._repr_html_())
    assert marked == ["good", "film", "not", "bad"]


@pytest.mark.parametrize("baseline", ["blur", "mean", "noise", "gaussian", "uniform", "max_distance"])
@pytest.mark.parametrize("method", ["integrated_gradients", "feature_ablation"])
def test_numbers_of_tokens_are_not_computed_with(tmp_path: Path, method: str, baseline: str) -> None:
    model = products(tmp_path)
    with pytest.raises(InputMismatchError, match=r"input 'ids' holds tokens, whose numbers mean nothing. Use 'mask'"):
        xaionnx.explain(model, "good film", method, 0, baseline=baseline)
    with pytest.raises(InputMismatchError, match="whose numbers mean nothing"):
        xaionnx.explain(model, "good film", method, 0, baseline={"ids": baseline})


def test_features_of_different_lengths_and_no_texts_are_refused(tmp_path: Path) -> None:
    model = products(tmp_path)
    with pytest.raises(ParameterError, match=r"a label for each element. Got lists of different lengths instead"):
        xaionnx.explain(model, "good film", "kernel_shap", 0, features=[[0], [1, 2]])
    with pytest.raises(DataError, match=r"There are no texts to explain. Give at least one"):
        xaionnx.explain(model, [], "kernel_shap", 0)
