"""Distinct words of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.text import Text
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.perturb.text_players import text_players
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class DistinctWords(Features):
    """The distinct words of a text: all occurrences of a word, in any case, are one player."""

    noun: ClassVar[str] = "word"
    forms: ClassVar[tuple[Form[Features], ...]] = (Form("distinct_words", lambda _: DistinctWords()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return dict(self.players(sample).maps)

    def players(self, sample: Sample) -> Players:
        return text_players(sample, self, _distinct, "features='distinct_words'")


def _distinct(text: Text) -> Array:
    words = text.words
    known: dict[str, int] = {}
    players = []
    for start, stop, *_ in text.spans_of(words):
        players.append(known.setdefault(text.text[start:stop].casefold(), len(known)))
    return np.where(words < 0, -1, np.array(players)[words])
