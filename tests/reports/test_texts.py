"""What people met when they explained text with other libraries. The log is text.toml; the numbers are by hand."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import xaionnx
from xaionnx import Model
from xaionnx.data.tokens import TextTokenizer
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.typing import Array

tokenizers = pytest.importorskip("tokenizers")
REPORTS = tomllib.loads(Path(__file__).with_name("text.toml").read_text(encoding="utf-8"))["report"]
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "good", "bad", "film", "not", "un", "##seen", "who"]
SPECIAL = WORDS[:5]


def saved_tokenizer(folder: Path) -> TextTokenizer:
    """Word pieces in lower case without accents, with two separators between the texts of a pair, as RoBERTa has."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(SPECIAL)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.save(str(folder / "tokenizer.json"))
    return TextTokenizer(folder / "tokenizer.json")


RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(len(WORDS), 3)).astype(np.float32)
PLACES = RNG.normal(size=(32, 3)).astype(np.float32)


def squares(folder: Path, length: int | str = "T", spec: str = "") -> Model:
    """The sum over tokens of (word + place)**2, each three numbers, with a mask."""
    saved_tokenizer(folder)
    proto = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        squares (int64[N, {length}] input_ids, int64[N, {length}] attention_mask) => (float[N, 1] y) {{
          words = Gather (table, input_ids)
          shape = Shape (input_ids)
          length = Gather (shape, one)
          all = Slice (places, zero, length)
          both = Add (words, all)
          squared = Mul (both, both)
          each = ReduceSum <keepdims = 0> (squared, last)
          mask = Cast <to = 1> (attention_mask)
          kept = Mul (each, mask)
          y = ReduceSum (kept, one)
        }}""")
    constants = {
        "table": TABLE,
        "places": PLACES,
        "zero": np.array([0]),
        "one": np.array([1]),
        "last": np.array([2]),
    }
    proto.graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in constants.items()])
    onnx.save(proto, folder / "squares.onnx")
    if spec:
        (folder / "squares.toml").write_text(f'[input]\nkind = "text"\n{spec}\n')
    return Model.load(folder / "squares.onnx")


def squared(model: Model, ids: Array) -> float:
    feeds = {"input_ids": ids[None], "attention_mask": np.ones_like(ids[None])}
    return float(model.run(feeds, ["y"])["y"][0, 0])


def test_every_report_has_tests_here() -> None:
    here = Path(__file__)
    written = [here, here.with_name("test_prompts.py"), here.parents[1] / "targets" / "test_language.py"]
    code = "".join(file.read_text(encoding="utf-8") for file in written)
    tests = {*re.findall(r"^def (test_\w+)", code, re.MULTILINE)}
    for report in REPORTS:
        assert {*report["tests"]} <= tests


@pytest.mark.parametrize(("baseline", "number"), [("pad", 1), ("mask", 4), ("unk", 3)])
def test_a_baseline_of_padding_keeps_the_special_tokens(tmp_path: Path, baseline: str, number: int) -> None:
    model = squares(tmp_path)
    found = xaionnx.explain(model, "good film", "integrated_gradients", baseline=baseline)
    assert found.baseline_prediction is not None
    start = squared(model, np.array([0, number, number, 2]))
    np.testing.assert_allclose(found.baseline_prediction[0], start, rtol=1e-5)
    np.testing.assert_allclose(found.feature_values.sum(), found.prediction[0] - start, rtol=1e-3)


def squares_without(folder: Path, *names: str) -> Model:
    """The model with a tokenizer without some of the special tokens: words of other names have their numbers."""
    model, file = squares(folder), folder / "tokenizer.json"
    written = json.loads(file.read_text())
    vocabulary = written["model"]["vocab"]
    written["model"]["vocab"] = {f"x{word}" if word in names else word: n for word, n in vocabulary.items()}
    written["model"]["unk_token"] = "none" if "<unk>" in names else "<unk>"
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] not in names]
    file.write_text(json.dumps(written))
    return model


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift", "guided_ig", "conductance"])
@pytest.mark.parametrize(
    ("missing", "first", "number"),
    [
        ((), "pad", 1),
        (("<pad>",), "mask", 4),
        (("<pad>", "<mask>"), "unknown", 3),
        (("<pad>", "<mask>", "<unk>"), "start", 0),
    ],
)
def test_a_path_begins_at_a_token_that_means_nothing(
    tmp_path: Path, method: str, missing: tuple[str, ...], first: str, number: int
) -> None:
    model = squares_without(tmp_path, *missing)
    found = xaionnx.explain(model, "good film", method)
    assert found.provenance["parameters"]["baseline"] == {"kind": "SpecialToken", "which": first}
    start = squared(model, np.array([0, number, number, 2]))
    np.testing.assert_allclose(found.baseline_prediction, [start], rtol=1e-5)


def test_a_path_that_has_no_token_to_begin_at_is_refused(tmp_path: Path) -> None:
    model = squares_without(tmp_path, "<pad>", "<mask>", "<unk>", "<s>")
    with pytest.raises(ParameterError, match=r"no padding, mask, unknown or start token.*such as baseline=0"):
        xaionnx.explain(model, "good film", "integrated_gradients")
    found = xaionnx.explain(model, "good film", "integrated_gradients", baseline=7)
    np.testing.assert_allclose(found.baseline_prediction, [squared(model, np.array([0, 7, 7, 2]))], rtol=1e-5)


def test_the_path_at_the_embedding_is_straight_and_positions_stay(tmp_path: Path) -> None:
    model = squares(tmp_path)
    found = xaionnx.explain(model, "good film", "integrated_gradients", baseline="pad", steps=200)
    assert found.provenance["layer"]["name"] == "words"
    # The slope of a square along a straight line is that of its middle.
    by_hand = [
        ((TABLE[word] - TABLE[1]) * 2 * ((TABLE[word] + TABLE[1]) / 2 + PLACES[place])).sum()
        for place, word in ((1, 5), (2, 7))
    ]
    np.testing.assert_allclose(found.feature_values[0], by_hand, rtol=1e-3)


def test_swapped_ends_change_the_sign_alone(tmp_path: Path) -> None:
    model = squares(tmp_path)
    ends = np.array([[0, 5, 7, 2]]), np.array([[0, 1, 1, 2]])
    mask = np.ones((1, 4), np.int64)
    there, back = (
        xaionnx.explain(
            model, {"input_ids": x, "attention_mask": mask}, "integrated_gradients", baseline={"input_ids": b}
        )
        for x, b in (ends, ends[::-1])
    )
    np.testing.assert_allclose(there.values, -back.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(there.values.sum(), there.prediction[0] - back.prediction[0], rtol=1e-3)


def test_a_text_that_is_too_long_is_cut_and_said_to_be(tmp_path: Path) -> None:
    model = squares(tmp_path, spec="max_length = 6")
    found = xaionnx.explain(model, "good film not bad film", "feature_ablation")
    assert found.feature_names == ("good", "film", "not", "bad")
    assert "sees 6 of 7 tokens; the text after character 17 is cut off" in found.provenance["conversions"][-1]
    assert found.provenance["seen"] == [17]


def test_pairs_have_the_separators_of_their_tokenizer(tmp_path: Path) -> None:
    model = squares(tmp_path)
    [text] = model.read(("Who?", "Not bad")).texts
    assert text.ids.tolist() == [0, 11, 3, 2, 2, 8, 6, 2]
    assert text.types is not None
    assert text.types.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    found = xaionnx.explain(model, [("Who?", "Not bad"), ("bad", "good")], "exact_shapley", baseline="mask")
    assert found.provenance["feature_names"] == [["Who", "?", "Not", "bad"], ["bad", "good"]]
    assert next(iter(found.display.values())).texts == ("Who?\nNot bad", "bad\ngood")
    start = squared(model, np.array([0, 4, 4, 2, 2, 4, 4, 2]))
    np.testing.assert_allclose(found.feature_values[0].sum(), found.prediction[0] - start, rtol=1e-4)
    without = TextTokenizer(Path(__file__).resolve().parents[2] / "models" / "tiny_gpt.tokenizer.json")
    with pytest.raises(DataError, match="no template for pairs"):
        without.encode("Who?", second="Not bad")


def test_every_word_of_a_pair_has_a_value_up_to_its_separator(tmp_path: Path) -> None:
    model = squares(tmp_path)
    ids = np.array([0, 5, 7, 2, 2, 8, 6, 2])
    found = xaionnx.explain(model, ("good film", "not bad"), "feature_ablation", baseline="mask")
    assert found.feature_names == ("good", "film", "not", "bad")
    for number, place in enumerate((1, 2, 5, 6)):
        without = squared(model, np.where(np.arange(8) == place, 4, ids))
        np.testing.assert_allclose(found.prediction[0] - found.feature_values[0, number], without, rtol=1e-4)


def test_the_place_of_an_answer_stays_that_of_its_token(tmp_path: Path) -> None:
    model = squares(tmp_path)
    third = xaionnx.Target.index((2,), output="kept")
    pair = ("good film", "not bad")
    found = xaionnx.explain(model, pair, "feature_ablation", third, baseline="mask")
    own = ((TABLE[7] + PLACES[2]) ** 2).sum() - ((TABLE[4] + PLACES[2]) ** 2).sum()
    np.testing.assert_allclose(found.feature_values[0], [0, own, 0, 0], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputMismatchError, match=r"belongs to token 2 .*Use baseline='mask', 'pad' or 'unk'"):
        xaionnx.explain(model, pair, "feature_ablation", third, baseline="delete")


def test_occurrences_of_a_word_are_players_of_their_own(tmp_path: Path) -> None:
    model = squares(tmp_path)
    each = xaionnx.explain(model, "Good film not good", "exact_shapley", baseline="mask")
    joined = xaionnx.explain(model, "Good film not good", "exact_shapley", baseline="mask", features="distinct_words")
    assert each.feature_names == ("Good", "film", "not", "good")
    assert abs(each.feature_values[0, 0] - each.feature_values[0, 3]) > 0.1
    assert joined.feature_names == ("Good", "film", "not")
    np.testing.assert_allclose(joined.feature_values[0, 0], each.feature_values[0, [0, 3]].sum(), rtol=1e-4)


def test_pieces_of_words_and_characters_are_joined(tmp_path: Path) -> None:
    model = squares(tmp_path)
    whole = xaionnx.explain(model, "Unseen film", "exact_shapley", baseline="mask")
    pieces = xaionnx.explain(model, "Unseen film", "exact_shapley", baseline="mask", features="tokens")
    assert whole.feature_names == ("Unseen", "film")
    assert pieces.feature_names == ("Un", "seen", "film")
    np.testing.assert_allclose(whole.feature_values[0, 0], pieces.feature_values[0, :2].sum(), rtol=1e-4)
    both = squared(model, np.array([0, 4, 4, 7, 2]))
    np.testing.assert_allclose(whole.feature_values[0, 0], whole.prediction[0] - both, rtol=1e-4)


def test_characters_are_those_of_the_text_as_it_was_written(tmp_path: Path) -> None:
    text = saved_tokenizer(tmp_path).encode("Ünséen  FILM\N{NO-BREAK SPACE}góod")
    assert [WORDS[number] for number in text.ids] == ["<s>", "un", "##seen", "film", "good", "</s>"]
    assert [text.text[start:stop] for start, stop in text.spans] == ["", "Ün", "séen", "FILM", "góod", ""]


def test_a_model_of_a_fixed_length_gets_padding(tmp_path: Path) -> None:
    model = squares(tmp_path, length=10)
    found = xaionnx.explain(model, ["good film", "bad"], "exact_shapley", baseline="mask")
    arrays = model.read(["good film", "bad"]).arrays
    assert arrays["input_ids"].tolist() == [[0, 5, 7, 2, *[1] * 6], [0, 6, 2, *[1] * 7]]
    assert arrays["attention_mask"].sum(axis=1).tolist() == [4, 3]
    assert found.provenance["feature_names"] == [["good", "film"], ["bad"]]
    shorter = squares(tmp_path)
    alone = xaionnx.explain(shorter, "good film", "exact_shapley", baseline="mask")
    np.testing.assert_allclose(found.feature_values[0], alone.feature_values[0], rtol=1e-4)


def test_a_prompt_without_room_for_its_continuation_is_refused() -> None:
    from xaionnx.data.texts import TextOptions

    model = Model.load(Path(__file__).resolve().parents[2] / "models" / "tiny_gpt.onnx")
    with pytest.raises(DataError, match=r"have 108 tokens, and the model takes 64.*Shorten the prompt"):
        model.read("Anna lives in Paris. " * 21, text=TextOptions(ending=" Anna speaks"))


def test_unknown_is_the_token_of_the_tokenizer(tmp_path: Path) -> None:
    model = squares(tmp_path)
    found = xaionnx.explain(model, "good film", "feature_ablation", baseline="unk")
    without = squared(model, np.array([0, 3, 7, 2]))
    np.testing.assert_allclose(found.feature_values[0, 0], found.prediction[0] - without, rtol=1e-4)
    anchored = xaionnx.explain(model, "good film", "anchors", baseline="unk", target=xaionnx.Target.sum())
    assert {*anchored.diagnostics["rule"][0][0].split(" and ")} <= {"good", "film", ""}


def test_sentences_are_compared_by_the_mean_over_their_tokens(tmp_path: Path) -> None:
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        embedder (int64[N, T] input_ids, int64[N, T] attention_mask) => (float[N, T, 3] hidden) {
          hidden = Gather (table, input_ids)
        }""")
    proto.graph.initializer.extend([numpy_helper.from_array(TABLE, "table")])
    onnx.save(proto, tmp_path / "embedder.onnx")
    saved_tokenizer(tmp_path)
    model = Model.load(tmp_path / "embedder.onnx")

    def embedded(ids: list[int]) -> Array:
        mean = TABLE[ids].astype(np.float64).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    other = embedded([0, 6, 2])
    target = xaionnx.Target.similarity("bad")
    # Texts of several lengths: padding is not in the mean.
    found = xaionnx.explain(model, ["good film", "who"], "feature_ablation", target, baseline="mask")
    np.testing.assert_allclose(
        found.prediction, [embedded([0, 5, 7, 2]) @ other, embedded([0, 11, 2]) @ other], atol=1e-5
    )
    assert found.target[0] == "cosine similarity of the mean over tokens of hidden to 'bad'"
    by_hand = embedded([0, 5, 7, 2]) @ other - embedded([0, 4, 7, 2]) @ other
    np.testing.assert_allclose(found.feature_values[0, 0], by_hand, atol=1e-5)
    (tmp_path / "other.txt").write_text("bad\n")
    file = xaionnx.Target.read(f"similarity:{tmp_path / 'other.txt'}", model)
    np.testing.assert_allclose(
        xaionnx.explain(model, "who", "saliency", file).prediction, found.prediction[1:], atol=1e-5
    )
    # Removed by padding, a word leaves the mean.
    padded = xaionnx.explain(model, "good film", "feature_ablation", target, baseline="pad")
    by_hand = embedded([0, 5, 7, 2]) @ other - embedded([0, 7, 2]) @ other
    np.testing.assert_allclose(padded.feature_values[0, 0], by_hand, atol=1e-5)
