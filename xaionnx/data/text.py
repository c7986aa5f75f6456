"""A text and its tokens, the characters that each token stands for, and the words and sentences that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.words import sentences_of, words_of
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.data.tokens import TextTokenizer


@final
@dataclass(frozen=True)
class FilePart:
    """The bytes of a file that a model sees.

    Attributes
    ----------
    ranges : tuple of (int, int)
        From where to where in the file, in order and apart.
    size : int
        Bytes of the whole file.
    padding : int or None
        The number that the model reads where there is no byte; None if it has none.
    """

    ranges: tuple[tuple[int, int], ...]
    size: int
    padding: int | None


@final
@dataclass(frozen=True, eq=False)
class Text:
    """A text and its T tokens, as a model reads them, or the bytes of a file, of which each is a token.

    Attributes
    ----------
    text : str
        Of a file, the bytes that the model sees, as characters 0 to 255.
    ids : int array (T,)
        The numbers of the tokens.
    spans : int array (T, 2)
        The characters of each token, from start to stop, of a file the place of each byte in it; two equal numbers for
        special tokens and padding.
    special : bool array (T,)
        Tokens that stand for no text: those that the tokenizer adds, and padding.
    cut : int
        How many further tokens of the text the model does not see.
    tokenizer : TextTokenizer or None
    file : FilePart or None
        For the bytes of a file.
    types : int array (T,) or None
        The number of the text that each token belongs to, of a pair; all 0 if None.
    """

    text: str
    ids: Array
    spans: Array
    special: Array
    cut: int = 0
    tokenizer: TextTokenizer | None = None
    file: FilePart | None = None
    types: Array | None = None

    __repr__ = short_repr

    @property
    def pad_id(self) -> int:
        """The number of the token that stands for nothing."""
        if self.file is not None:
            return self.file.padding or 0
        return 0 if self.tokenizer is None else self.tokenizer.pad_id

    def padded(self, length: int) -> Text:
        """Return the text with padding to ``length`` tokens."""
        missing = length - len(self.ids)
        if missing <= 0:
            return self
        return dataclasses.replace(
            self,
            ids=np.concatenate([self.ids, np.full(missing, self.pad_id, self.ids.dtype)]),
            spans=np.concatenate([self.spans, np.zeros((missing, 2), self.spans.dtype)]),
            special=np.concatenate([self.special, np.ones(missing, bool)]),
            types=None if self.types is None else np.concatenate([self.types, np.zeros(missing, self.types.dtype)]),
        )

    def keeping(self, tokens: range) -> Text:
        """Return the text with some tokens that are never removed, such as a continuation."""
        special = self.special.copy()
        special[tokens.start : tokens.stop] = True
        return dataclasses.replace(self, special=special)

    @property
    def seen(self) -> int:
        """The number of characters, from the start, that the model sees."""
        return len(self.text) if not self.cut or self.file is not None else int(self.spans[:, 1].max(initial=0))

    @cached_property
    def units(self) -> Array:
        """The players of which a reader wants the values: words, or the bytes of a file, (T,)."""
        return self.words if self.file is None else self.runs(1)

    def runs(self, length: int) -> Array:
        """The player of each token if every ``length`` bytes of the file, counted from its start, are one, (T,).

        A byte that the model sees twice, at the start and at the end of a short file, is of one player.
        """
        return _numbered(np.where(self.special, -1, self.spans[:, 0] // length))

    @cached_property
    def tokens(self) -> Array:
        """The player of each token if each is one, (T,); tokens of one character, such as its bytes, are one."""
        return _numbered(_joined(np.arange(len(self.ids)), self._shown_spans, self.special))

    @cached_property
    def words(self) -> Array:
        """The player of each token if the tokens of a word are one, (T,); -1 for special tokens and padding."""
        return self._grouped(words_of(self.text))

    @cached_property
    def sentences(self) -> Array:
        """The player of each token if the tokens of a sentence are one, (T,); -1 for special tokens and padding."""
        return self._grouped(sentences_of(self.text))

    def spans_of(self, players: Array) -> list[list[int]]:
        """Return the characters from start to stop of each of the players (T,) 0 .. P - 1.

        A player whose tokens do not follow each other has several starts and stops, one after the other.
        """
        if self.file is not None:
            return self._places_of(players)
        found: list[list[int]] = [[] for _ in range(int(players.max(initial=-1)) + 1)]
        before = -1
        for player, (start, stop) in zip(players.tolist(), self.spans.tolist(), strict=True):
            if player < 0:
                continue
            if player == before:
                found[player][-2:] = min(found[player][-2], start), max(found[player][-1], stop)
            else:
                found[player] += [start, stop]
            before = player
        return [
            [end for k in range(0, len(own), 2) for end in self._without_white_space(own[k], own[k + 1])]
            for own in found
        ]

    def name_of(self, spans: Sequence[int]) -> str:
        """Return what a reader calls a player: its first characters, or the offsets of its bytes: ``0x10-0x1f``."""
        start, stop = spans[:2]
        if self.file is None:
            return self.text[start:stop]
        return f"0x{start:x}" if stop == start + 1 else f"0x{start:x}-0x{stop - 1:x}"

    def _places_of(self, players: Array) -> list[list[int]]:
        """The bytes from start to stop of each player, each once and in order."""
        found: list[list[int]] = [[] for _ in range(int(players.max(initial=-1)) + 1)]
        for player, place in sorted({*zip(players.tolist(), self.spans[:, 0].tolist(), strict=True)}):
            if player < 0:
                continue
            if found[player] and found[player][-1] == place:
                found[player][-1] += 1
            else:
                found[player] += [place, place + 1]
        return found

    def _without_white_space(self, start: int, stop: int) -> list[int]:
        """Characters from start to stop without white space at their ends, if they hold anything else."""
        part = self.text[start:stop]
        if not part.strip():
            return [start, stop]
        return [start + len(part) - len(part.lstrip()), stop - len(part) + len(part.rstrip())]

    @cached_property
    def _shown_spans(self) -> Array:
        """The spans without white space at their ends, if they hold anything else."""
        shown = self.spans.copy()
        for place in np.flatnonzero(~self.special):
            shown[place] = self._without_white_space(*shown[place].tolist())
        return shown

    def _grouped(self, by_character: Array) -> Array:
        """Players of tokens whose characters share a number; a token with characters of several joins them."""
        spans, groups = self._shown_spans, np.full(len(self.ids), -1, dtype=np.int64)
        # The group that each number stands for: a token with characters of several joins them.
        group, blank = np.arange(len(self.text) + 1), list[int]()
        for place in np.flatnonzero(~self.special).tolist():
            start, stop = spans[place]
            own = by_character[start:stop]
            own = own[own >= 0]
            if not len(own):
                blank.append(place)
                continue
            group[own[0] : own[-1] + 1] = group[own[0]]
            groups[place] = group[own[0]]
            # White space that is a token belongs to what follows it.
            groups[blank] = groups[place]
            blank = []
        known = groups[groups >= 0]
        groups[blank] = known[-1] if len(known) else 0
        return _numbered(_joined(groups, spans, self.special))


def _joined(groups: Array, spans: Array, special: Array) -> Array:
    """Give tokens that share a character one group, such as the bytes of one; -1 to special tokens."""
    joined, stop, group = groups.copy(), -1, -1
    joined[special] = -1
    for place in np.flatnonzero(~special):
        if spans[place, 0] < stop and spans[place, 1] > spans[place, 0]:
            joined[joined == joined[place]] = group
        group, stop = joined[place], max(stop, int(spans[place, 1]))
    return joined


def _numbered(groups: Array) -> Array:
    """Number the groups 0 .. P - 1 by their first token; negative ones stay -1."""
    known: dict[int, int] = {}
    for group in groups.tolist():
        if group >= 0:
            known.setdefault(group, len(known))
    return np.array([known.get(group, -1) for group in groups.tolist()], dtype=np.int32)
