"""A word in place of removed words of a string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.players import Players
from xaionnx.perturb.removal import Removal
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Word(Baseline):
    """One word for each removed word, for models that read strings."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("word", lambda text: Word(str(text)), ":text", "word:UNKNOWN"),)

    text: str

    def removal(self, sample: Sample, players: Players) -> Removal:
        from xaionnx.perturb.rewriting import RewrittenText

        if sample.array.dtype != object:
            raise InputMismatchError(
                f"baseline='word:{self.text}' replaces words of a string, but input '{sample.main}' holds numbers of "
                "tokens. Use 'mask', 'pad', 'unk' or 'delete'."
            )
        return RewrittenText(sample, players, self.text)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        return np.array(self.text, dtype=object)
