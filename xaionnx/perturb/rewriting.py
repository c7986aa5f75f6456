"""Removal of words of a string: the string is written again without them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnsupportedModelError
from xaionnx.hooks import hook
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.text_players import text_of
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder


@final
class RewrittenText(Removal):
    """Writes the present words with the white space after them, and ``word`` for each absent one, or nothing.

    Codes are coalitions, bool (M, P).
    """

    on_host: ClassVar[bool] = True

    def __init__(self, sample: Sample, players: Players, word: str) -> None:
        super().__init__(sample, players, {sample.main: np.array([word], dtype=object)})
        text = text_of(sample, "Deletion of words")
        assert players.parts is not None  # players of strings have them
        self._labels = players.parts
        starts = text.spans[:, 0].tolist()
        stops = [*starts[1:], len(text.text)]
        self._pieces = [text.text[start:stop] for start, stop in zip(starts, stops, strict=True)]
        self._others = [(word + piece[len(piece.rstrip()) :]) if word else "" for piece in self._pieces]
        self._before = text.text[: starts[0]]

    @property
    @hook
    def empty(self) -> Array:
        return np.zeros((1, self.players.count), dtype=bool)

    def text(self, code: Array) -> str:
        """Return the string of one coalition."""
        kept = np.append(code, True)[self._labels]
        pairs = zip(self._pieces, self._others, kept, strict=True)
        return self._before + "".join(piece if here else other for piece, other, here in pairs)

    def _fill_one(self, codes: Array, draw: int, out: Mapping[str, Array]) -> None:
        buffer = out[self.sample.main]
        for row, code in enumerate(codes):
            buffer[row] = self.text(code)

    @property
    def structure(self) -> tuple[Hashable, ...]:
        return (type(self).__name__,)

    def emit(self, g: Builder) -> dict[str, ir.Value]:
        raise UnsupportedModelError("Strings are written on the host only. Use applier='host'.")

    def codes(self, codes: Array) -> dict[str, Array]:
        raise UnsupportedModelError("Strings are written on the host only. Use applier='host'.")

    def shared(self, draw: int) -> dict[str, Array]:
        raise UnsupportedModelError("Strings are written on the host only. Use applier='host'.")
