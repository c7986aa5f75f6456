"""Words and sentences of a text in any script: the parts that a reader sees as one, by character."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import numpy as np

from xaionnx.typing import Array

_JOINERS: Final = frozenset("\u200c\u200d")
_INSIDE_WORDS: Final = frozenset("'\N{RIGHT SINGLE QUOTATION MARK}_\u00ad")
_INSIDE_NUMBERS: Final = frozenset(".,:")
# Scripts that are written without spaces: each character is a part, unless a token holds several.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_REGIONAL: Final = range(0x1F1E6, 0x1F200)
_SKIN: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0020, 0xE0080)
_SENTENCE_END: Final = re.compile(
    r"[.!?\u2026\u0589\u061f\u06d4\u0964\u0965]+[\"'\u2019\u201d\u00bb)\]]*(?=\s|$)|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]?|\n\s*"
)


def words_of(text: str) -> Array:
    """Return the number of the word of each character, -1 for white space.

    A run of letters, digits and marks is a word, a sign such as a comma is one of its own, and so are a picture
    character with all that modifies it, and each character of a script without spaces, such as Chinese.

    Parameters
    ----------
    text : str

    Returns
    -------
    int array (characters,)

    Examples
    --------
    >>> words_of("I don't, OK?").tolist()
    [0, -1, 1, 1, 1, 1, 1, 2, -1, 3, 3, 4]
    >>> words_of("\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}\u4eca\u5929").tolist()
    [0, 0, 1, 2]
    """
    numbers = np.full(len(text), -1, dtype=np.int64)
    word, kind, joined, flags = -1, "", False, 0
    for place, character in enumerate(text):
        own = _kind(character)
        if own == "space":
            kind, joined = "", False
            continue
        if own == "mark":
            # A mark without a character before it stands alone.
            extends = kind != ""
        elif own == "flag":
            extends = kind == "flag" and flags % 2 == 1
        elif own == "inner":
            extends = kind == "letter" and _is_inside(text, place)
            own = "letter" if extends or character == "_" else "sign"
        else:
            extends = own == kind == "letter"
        if joined and kind == "sign":
            extends = True
        word += not extends
        numbers[place] = word
        flags = flags + 1 if own == "flag" and extends else int(own == "flag")
        joined = character == "\u200d"
        kind = kind if own == "mark" and kind else own
    return numbers


def _is_inside(text: str, place: int) -> bool:
    """Whether a sign after a letter belongs to its word, as an apostrophe does, or after a digit to its number."""
    before, character, after = text[place - 1], text[place], text[place + 1 : place + 2]
    if character in _INSIDE_NUMBERS:
        return before.isdigit() and after.isdigit()
    return character == "_" or (after.isalnum() and not _UNSPACED.match(after))


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    code = ord(character)
    if character in _JOINERS or code in _SKIN or code in _TAGS or unicodedata.category(character)[0] == "M":
        return "mark"
    if code in _REGIONAL:
        return "flag"
    if character in _INSIDE_WORDS or character in _INSIDE_NUMBERS:
        return "inner"
    if _UNSPACED.match(character):
        return "unspaced"
    return "letter" if character.isalnum() else "sign"


def sentences_of(text: str) -> Array:
    """Return the number of the sentence of each character; a line ends a sentence too.

    Examples
    --------
    >>> sentences_of("Yes. No!").tolist()
    [0, 0, 0, 0, 0, 1, 1, 1]
    """
    numbers, start, sentence = np.zeros(len(text), dtype=np.int64), 0, 0
    for found in _SENTENCE_END.finditer(text):
        stop = found.end()
        while stop < len(text) and text[stop].isspace():
            stop += 1
        if not text[start : found.end()].strip():
            continue
        numbers[start:stop] = sentence
        sentence, start = sentence + 1, stop
    numbers[start:] = sentence if text[start:].strip() else max(0, sentence - 1)
    return numbers
