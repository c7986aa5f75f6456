"""Words and sentences of texts in several scripts."""

import pytest

from xaionnx.data.words import sentences_of, words_of


def parts(text: str, numbers: list[int]) -> list[str]:
    found: dict[int, str] = {}
    for character, number in zip(text, numbers, strict=True):
        if number >= 0:
            found[number] = found.get(number, "") + character
    return list(found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't, OK?", ["I", "don't", ",", "OK", "?"]),
        ("costs $1,000.50 at 10:30.", ["costs", "$", "1,000.50", "at", "10:30", "."]),
        ("snake_case 'quoted'", ["snake_case", "'", "quoted", "'"]),
        # Letters with combining marks: e + acute, Devanagari vowel signs, Arabic with short vowels.
        ("cafe\u0301 नमस्ते مَرْحَبًا", ["cafe\u0301", "नमस्ते", "مَرْحَبًا"]),
        ("今天天气", ["今", "天", "天", "气"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        # A family of four joined by zero-width joiners, a thumb with a skin tone, two flags.
        ("👨‍👩‍👧‍👦 👍🏽🇩🇪🇫🇷", ["👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("شكرا جزيلا", ["شكرا", "جزيلا"]),
        ("  \n", []),
        ("", []),
    ],
)
def test_words_are_what_a_reader_sees_as_one(text: str, words: list[str]) -> None:
    assert parts(text, words_of(text).tolist()) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("Version 1.5 is out. Yes.", ["Version 1.5 is out. ", "Yes."]),
        ('He said "no." Then left', ['He said "no." ', "Then left"]),
        ("Title\nBody text\n", ["Title\n", "Body text\n"]),
        ("今天。明天！", ["今天。", "明天！"]),
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_at_signs_and_lines(text: str, sentences: list[str]) -> None:
    assert parts(text, sentences_of(text).tolist()) == sentences
