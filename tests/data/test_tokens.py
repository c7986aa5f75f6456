"""Tokens of a text: their characters, the words that they form, special tokens, and what is cut off."""

from pathlib import Path

import numpy as np
import pytest

from xaionnx.data.text import Text
from xaionnx.data.token_feeds import TokenInput, token_feeds
from xaionnx.data.tokens import TextTokenizer, tokenizer_file
from xaionnx.errors import DataError, ParameterError

tokenizers = pytest.importorskip("tokenizers")
MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.fixture(scope="module")
def pieces() -> TextTokenizer:
    return TextTokenizer(MODELS / "spam.tokenizer.json")


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """A byte-level tokenizer without merges: every byte is a token, as in GPT-2 for rare characters."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=257,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["a"], trainer)
    path = tmp_path_factory.mktemp("bytes") / "tokenizer.json"
    made.save(str(path))
    return TextTokenizer(path)


def shown(text: Text, players: np.ndarray) -> list[str]:
    return [text.text[start:stop] for start, stop in text.spans_of(players)]


def test_subwords_of_a_word_are_one_player_and_special_tokens_none(pieces: TextTokenizer) -> None:
    text = pieces.encode("Unsubscribing, FRIEND!")
    assert text.special.tolist() == [True, *[False] * (len(text.ids) - 2), True]
    assert text.words[0] == text.words[-1] == -1
    assert shown(text, text.words) == ["Unsubscribing", ",", "FRIEND", "!"]
    assert len(shown(text, text.tokens)) == len(text.ids) - 2 > 4
    assert "".join(shown(text, text.tokens)) == "Unsubscribing,FRIEND!"


@pytest.mark.parametrize("text", ["I 👍🏽 you", "日本語 text", "été", "👨‍👩‍👧 x"])
def test_bytes_of_one_character_are_one_player(byte_level: TextTokenizer, text: str) -> None:
    found = byte_level.encode(text)
    assert len(found.ids) == len(text.encode())
    for players in (found.tokens, found.words):
        assert players.min() == 0
        starts = [start for start, _ in found.spans_of(players)]
        assert starts == sorted(set(starts))
    assert all(part.strip() == part and part for part in shown(found, found.words))


def test_white_space_belongs_to_the_word_after_it(byte_level: TextTokenizer) -> None:
    found = byte_level.encode("ab  cd ")
    assert shown(found, found.words) == ["ab", "cd"]
    assert found.words.tolist() == [0, 0, 1, 1, 1, 1, 1]


def test_what_is_cut_off_is_counted(pieces: TextTokenizer) -> None:
    whole = pieces.encode("free money now " * 10)
    cut = pieces.encode("free money now " * 10, max_length=12)
    assert len(cut.ids) == 12
    assert cut.ids[-1] == whole.ids[-1]
    assert cut.cut == len(whole.ids) - 12
    assert cut.text[: cut.seen] == "free money now " * 3 + "free"


def test_padding_is_no_player_and_hidden_by_masks(pieces: TextTokenizer) -> None:
    short = pieces.encode("hello").padded(8)
    assert (short.words[3:] == -1).all()
    assert short.words.max() == 0
    declared = [
        TokenInput("ids", "data", np.dtype(np.int32), ("N", "T")),
        TokenInput("mask", "mask", np.dtype(np.float32), ("N", "T")),
        TokenInput("types", "token types", np.dtype(np.int64), ("N", "T")),
        TokenInput("at", "positions", np.dtype(np.int64), ("N", "T")),
        TokenInput("past_key_values.0.key", "state", np.dtype(np.float32), ("N", 4, "P", 16)),
    ]
    feeds = token_feeds([short], declared, "m.onnx")
    assert feeds["ids"].dtype == np.int32
    assert feeds["ids"].tolist() == [short.ids.tolist()]
    assert feeds["mask"].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]
    assert not feeds["types"].any()
    assert feeds["at"][0].tolist() == list(range(8))
    assert feeds["past_key_values.0.key"].shape == (1, 4, 0, 16)


@pytest.mark.parametrize("text", ["", "  \n "])
def test_empty_text_is_refused(pieces: TextTokenizer, text: str) -> None:
    with pytest.raises(DataError, match="nothing to explain"):
        pieces.encode(text)


def test_half_a_surrogate_is_refused(pieces: TextTokenizer) -> None:
    with pytest.raises(DataError, match="surrogate"):
        pieces.encode("a \ud83d b")


def test_tokens_are_turned_back_into_text(pieces: TextTokenizer, byte_level: TextTokenizer) -> None:
    text = pieces.encode("unsubscribing now")
    back = pieces.decode(text.ids)
    assert back.text == "unsubscribing now"
    assert shown(back, back.words) == ["unsubscribing", "now"]
    assert back.special.tolist() == text.special.tolist()
    assert byte_level.decode(byte_level.encode("ab cd").ids).text == "ab cd"


def test_special_tokens_are_found_in_the_file_and_beside_it(tmp_path: Path, pieces: TextTokenizer) -> None:
    assert [pieces.special_id(which) for which in ("mask", "pad", "unknown")] == [4, 0, 1]
    (tmp_path / "tokenizer.json").write_bytes((MODELS / "spam.tokenizer.json").read_bytes())
    (tmp_path / "special_tokens_map.json").write_text('{"mask_token": {"content": "[SEP]"}}')
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 7}')
    beside = TextTokenizer(tmp_path / "tokenizer.json")
    assert beside.special_id("mask") == 3
    # The file itself says 160.
    assert beside.max_length == 160


def test_the_tokenizer_of_a_model_is_named_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    model = tmp_path / "onnx" / "m.onnx"
    assert tokenizer_file(model, None) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert tokenizer_file(model, None) == tmp_path / "tokenizer.json"
    (tmp_path / "onnx" / "m.tokenizer.json").write_text("{}")
    assert tokenizer_file(model, None) == tmp_path / "onnx" / "m.tokenizer.json"
    with pytest.raises(ParameterError, match="There is no tokenizer file"):
        tokenizer_file(model, "other.json")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"is not a tokenizer\.json file"):
        TextTokenizer(tmp_path / "tokenizer.json")
