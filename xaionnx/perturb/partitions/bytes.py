"""Runs of bytes of a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, final

from xaionnx.data.sample import Sample
from xaionnx.data.text import Text
from xaionnx.perturb.features import Features, check_positive
from xaionnx.perturb.players import Players
from xaionnx.perturb.text_players import text_of, text_players
from xaionnx.registry import Form, integers
from xaionnx.typing import Array

# A line of a hexadecimal dump, and how many players a game of a thousand evaluations tells apart.
_LINE: Final = 16
_MOST: Final = 64
_WHAT: Final = "features='bytes'"


@final
@dataclass(frozen=True)
class Bytes(Features):
    """The bytes of a file in runs of ``length``, counted from the start of the file.

    By default the shortest of 16, 32, 64 and so on that makes at most 64 runs. Padding is never a player.
    """

    noun: ClassVar[str] = "run of bytes"
    forms: ClassVar[tuple[Form[Features], ...]] = (
        Form("bytes", lambda length: Bytes(*integers(length)), "[:length]", "bytes:4"),
    )

    length: int | None = None

    def __post_init__(self) -> None:
        if self.length is not None:
            check_positive("Features.bytes", "length", self.length)

    def resolved(self, sample: Sample) -> Features:
        return replace(self, length=self._length(text_of(sample, _WHAT)))

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        return dict(self.players(sample).maps)

    def players(self, sample: Sample) -> Players:
        return text_players(sample, self, lambda text: text.runs(self._length(text)), _WHAT, of_file=True)

    def _length(self, text: Text) -> int:
        if self.length is not None:
            return self.length
        length = _LINE
        while int(text.runs(length).max()) >= _MOST:
            length *= 2
        return length
