"""Sentences of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.perturb.text_players import text_players
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Sentences(Features):
    """The sentences of a text; a line ends a sentence too.

    Special tokens and padding are never players.
    """

    noun: ClassVar[str] = "sentence"
    forms: ClassVar[tuple[Form[Features], ...]] = (Form("sentences", lambda _: Sentences()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return dict(self.players(sample).maps)

    def players(self, sample: Sample) -> Players:
        return text_players(sample, self, lambda text: text.sentences, "features='sentences'")
