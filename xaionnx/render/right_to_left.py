"""Arabic and Hebrew lines for fonts that draw one character after another: letters joined, and in the order on paper.

Both engines that draw text here differ between their versions in whether they do this, so it is done once, before them.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_STRONG: Final = {"L": "L", "R": "R", "AL": "R"}
# What joins the two halves of a number, and of which kind.
_SEPARATORS: Final = {("CS", "EN"), ("CS", "AN"), ("ES", "EN")}
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_MIRRORED: Final = str.maketrans("()[]{}<>«»‹›≤≥", ")(][}{><»«›‹≥≤")
_LAM, _TATWEEL = "\u0644", "\u0640"


def is_right_to_left(text: str) -> bool:
    """Whether a text has letters that run from right to left."""
    return _RIGHT_TO_LEFT.search(text) is not None


def begins_at_the_right(text: str) -> bool:
    """Whether the first letter of a line runs from right to left, and so the line (UAX #9, P2)."""
    strong = (_STRONG.get(unicodedata.bidirectional(character)) for character in text)
    return next(filter(None, strong), "L") == "R"


def on_paper(line: str) -> str:
    """The characters of a line from left to right, in the forms that they have beside their neighbours.

    Parameters
    ----------
    line : str
        In the order in which it is read.

    Notes
    -----
    Explicit embeddings (rules X1 to X8) have no effect.

    References
    ----------
    Unicode Standard Annex #9, Unicode Bidirectional Algorithm; The Unicode Standard, section 9.2, Arabic, cursive
    joining.

    Examples
    --------
    >>> on_paper("age 30"), on_paper("\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} 30")
    ('age 30', '30 בא')
    """
    return _ordered(_joined(line)) if is_right_to_left(line) else line


class _Forms(NamedTuple):
    """The forms of a letter; empty where it has none."""

    isolated: str = ""
    final: str = ""
    initial: str = ""
    medial: str = ""


@functools.cache
def _forms() -> dict[str, _Forms]:
    """The forms of each Arabic letter, and of lam with the alef after it, from the names that Unicode gives them."""
    found: dict[str, _Forms] = {}
    for code in itertools.chain(range(0xFB50, 0xFBB2), range(0xFBD3, 0xFC00), range(0xFE80, 0xFEFD)):
        kind, _, letters = unicodedata.decomposition(chr(code)).partition(" ")
        text = "".join(chr(int(letter, 16)) for letter in letters.split())
        if kind and (len(text) == 1 or text[0] == _LAM):
            found[text] = found.get(text, _Forms())._replace(**{kind.strip("<>"): chr(code)})
    return found


def _joined(line: str) -> str:
    """A line, its Arabic letters in the forms that they have beside their neighbours."""
    forms = _forms()
    # The letters by place, without marks, which stand on the letter before them and join nothing.
    places = [at for at, character in enumerate(line) if unicodedata.category(character) != "Mn"]
    shown, after, skipped = list(line), False, False
    for number, at in enumerate(places):
        if skipped:
            skipped = False
            continue
        letter = line[at]
        later = places[number + 1] if number + 1 < len(places) else None
        if letter == _LAM and later is not None and letter + line[later] in forms:
            shown[later], skipped = "", True
            shown[at] = forms[letter + line[later]].final if after else forms[letter + line[later]].isolated
            after = False
            continue
        known = forms.get(letter, _Forms())
        before = after and _takes_from_before(letter)
        after = bool(known.initial or letter == _TATWEEL)
        joins = after and later is not None and _takes_from_before(line[later])
        wanted = (known.medial if joins else known.final) if before else (known.initial if joins else known.isolated)
        shown[at] = wanted or letter
    return "".join(shown)


def _takes_from_before(letter: str) -> bool:
    """Whether a letter joins the one before it."""
    return letter == _TATWEEL or bool(_forms().get(letter, _Forms()).final)


def _ordered(line: str) -> str:
    """The characters of a line from left to right."""
    base = int(begins_at_the_right(line))
    levels = _levels(_resolved(line, base), base)
    # Spaces at the end stay there (L1).
    for at in range(len(line.rstrip()), len(line)):
        levels[at] = base
    # Marks come before the letter on which they stand: the font draws them over what follows (L3).
    order = list(range(len(line)))
    for level in range(max(levels, default=0), 0, -1):
        for start, stop in _runs([levels[at] >= level for at in order]):
            order[start:stop] = order[start:stop][::-1]
    return "".join(line[at].translate(_MIRRORED) if levels[at] % 2 else line[at] for at in order)


def _runs(flags: list[bool]) -> Iterator[tuple[int, int]]:
    """The start and stop of each run of flags that are set."""
    at = 0
    for flag, group in itertools.groupby(flags):
        length = sum(1 for _ in group)
        if flag:
            yield at, at + length
        at += length


def _resolved(line: str, base: int) -> list[str]:
    """The direction of each character: L, R, or EN and AN of numbers."""
    edge = "R" if base else "L"
    kinds = _of_numbers(line, edge)
    _resolve_brackets(line, kinds, edge)
    for start, stop in _runs([not _side(kind) for kind in kinds]):
        sides = {_side(kinds[start - 1]) if start else edge, _side(kinds[stop]) if stop < len(kinds) else edge}
        kinds[start:stop] = [sides.pop() if len(sides) == 1 else edge] * (stop - start)
    return kinds


def _side(kind: str) -> str:
    """The direction that a character gives to its neighbours; empty if it has none (N1)."""
    return {"L": "L", "R": "R", "EN": "R", "AN": "R"}.get(kind, "")


def _resolve_brackets(line: str, kinds: list[str], edge: str) -> None:
    """Give both brackets of a pair the direction of what is between them (N0)."""
    pairs, waiting = [], list[tuple[str, int]]()
    for at, character in enumerate(line):
        if character in _CLOSING:
            waiting.append((_CLOSING[character], at))
        elif any(character == closing for closing, _ in waiting):
            while waiting[-1][0] != character:
                waiting.pop()
            pairs.append((waiting.pop()[1], at))
    for start, stop in sorted(pairs):
        inside = {_side(kind) for kind in kinds[start + 1 : stop]} - {""}
        before = next(filter(None, map(_side, reversed(kinds[:start]))), edge)
        if inside:
            kinds[start] = kinds[stop] = edge if edge in inside else before


def _of_numbers(line: str, edge: str) -> list[str]:
    """The kinds of characters, with those of numbers and their signs resolved (W1 to W7)."""
    kinds = [unicodedata.bidirectional(character) or "L" for character in line]
    before, strong = edge, edge
    for at, kind in enumerate(kinds):
        if kind == "NSM":
            kinds[at] = before
        elif kind == "EN" and strong == "AL":
            kinds[at] = "AN"
        strong = kinds[at] if kinds[at] in _STRONG else strong
        before = kinds[at]
    kinds = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        beside = kinds[at - 1]
        if beside == kinds[at + 1] and (kinds[at], beside) in _SEPARATORS:
            kinds[at] = beside
    for start, stop in _runs([kind == "ET" for kind in kinds]):
        if "EN" in (kinds[start - 1] if start else "", kinds[stop] if stop < len(kinds) else ""):
            kinds[start:stop] = ["EN"] * (stop - start)
    strong = edge
    for at, kind in enumerate(kinds):
        strong = kind if kind in _STRONG else strong
        kinds[at] = "L" if kind == "EN" and strong == "L" else kind
    return kinds


def _levels(kinds: list[str], base: int) -> list[int]:
    """The level of each character: even runs from left to right, odd from right to left (I1, I2)."""
    if base:
        return [1 if kind == "R" else 2 for kind in kinds]
    return [{"L": 0, "R": 1}.get(kind, 2) for kind in kinds]
