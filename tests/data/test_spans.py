"""The characters of tokens, words and sentences divide any text, whatever the tokenizer makes of it."""

from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xaionnx.data.text import Text
from xaionnx.data.tokens import TextTokenizer
from xaionnx.errors import DataError

MODELS = Path(__file__).resolve().parents[2] / "models"
# Accents that are stripped, ligatures, half-width and combined signs, right-to-left, unspaced scripts, pictures.
CHARACTERS = "aéÉßﬁ½İ①ａ  \t\n.,!?'-_0123שלוםمَرْ今日ภาไท👍🏽👨‍👩‍👧🇩🇪e\u0301\u200b\ufeff\u2028"
TEXTS = st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters(exclude_categories=["Cs"])), max_size=40)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TextTokenizer]:
    """Tokenizers by kind: word pieces in lower case, pairs of bytes, pieces with a mark ahead, single characters."""
    folder = tmp_path_factory.mktemp("tokenizers")
    pieces = [("<unk>", 0.0), ("▁", -1.0), *((one, -2.0) for one in "abcdeé0123.,今"), ("▁a", -1.5), ("de", -1.5)]
    metaspace = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    metaspace.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    metaspace.pre_tokenizer, metaspace.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    metaspace.post_processor = processors.TemplateProcessing(
        single="<unk> $A <unk>", pair="<unk> $A <unk> $B:1 <unk>:1", special_tokens=[("<unk>", 0)]
    )
    characters = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "今": 2}, "[UNK]"))
    characters.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    characters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    metaspace.save(str(folder / "metaspace.json"))
    characters.save(str(folder / "characters.json"))
    return {
        "word pieces": TextTokenizer(MODELS / "spam.tokenizer.json"),
        "byte pairs": TextTokenizer(MODELS / "tiny_gpt.tokenizer.json"),
        "metaspace": TextTokenizer(folder / "metaspace.json"),
        "characters": TextTokenizer(folder / "characters.json"),
    }


def check_divides(text: Text, players: str) -> None:
    labels = getattr(text, players)
    spans = text.spans_of(labels)
    assert (labels[text.special] == -1).all()
    assert (labels[~text.special] >= 0).all()
    assert sorted({*labels[labels >= 0].tolist()}) == list(range(len(spans)))
    ranges = sorted((own[k], own[k + 1]) for own in spans for k in range(0, len(own), 2))
    shown = [(start, stop) for start, stop in ranges if start < stop]
    # In order, and no character belongs to two.
    assert all(0 <= start < stop <= len(text.text) for start, stop in shown)
    assert all(before[1] <= after[0] for before, after in pairwise(shown))
    # What the model reads of the text is part of one.
    for (start, stop), special in zip(text.spans.tolist(), text.special.tolist(), strict=True):
        read = {place for place in range(start, stop) if not text.text[place].isspace()}
        assert special or read <= {place for first, last in shown for place in range(first, last)}


@pytest.mark.parametrize("kind", ["word pieces", "byte pairs", "metaspace", "characters"])
@given(string=TEXTS)
@settings(max_examples=60, deadline=None)
def test_players_divide_the_text(opened: dict[str, TextTokenizer], kind: str, string: str) -> None:
    try:
        text = opened[kind].encode(string)
    except DataError:
        # Nothing is left of it.
        return
    assert text.text == string
    for players in ("tokens", "words", "sentences"):
        check_divides(text, players)


@given(first=TEXTS, second=TEXTS)
@settings(max_examples=40, deadline=None)
def test_players_divide_pairs(opened: dict[str, TextTokenizer], first: str, second: str) -> None:
    try:
        text = opened["metaspace"].encode(first, second=second)
    except DataError:
        return
    assert text.text == f"{first}\n{second}"
    assert text.types is not None
    for (start, _), special, which in zip(text.spans, text.special, text.types, strict=True):
        assert special or (start > len(first)) == bool(which)
    for players in ("tokens", "words", "sentences"):
        check_divides(text, players)
