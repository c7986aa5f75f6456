"""Tokens of a text."""

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
class Tokens(Features):
    """The tokens of a text; those that share a character, such as the bytes of one, are one player.

    Special tokens and padding are never players.
    """

    noun: ClassVar[str] = "token"
    forms: ClassVar[tuple[Form[Features], ...]] = (Form("tokens", lambda _: Tokens()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return dict(self.players(sample).maps)

    def players(self, sample: Sample) -> Players:
        return text_players(sample, self, lambda text: text.tokens, "features='tokens'")
