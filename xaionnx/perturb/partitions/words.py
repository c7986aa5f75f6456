"""Words of a text."""

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
class Words(Features):
    """The words of a text, however many tokens each has; signs such as commas are players too.

    Special tokens and padding are never players. Tokens that share characters are one.
    """

    noun: ClassVar[str] = "word"
    forms: ClassVar[tuple[Form[Features], ...]] = (Form("words", lambda _: Words()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return dict(self.players(sample).maps)

    def players(self, sample: Sample) -> Players:
        return text_players(sample, self, lambda text: text.words, "features='words'")
