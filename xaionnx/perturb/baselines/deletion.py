"""Removed words are deleted, and those after them move up."""

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
class Deletion(Baseline):
    """No replacement: the text is made shorter, and the tokens after a removed word move up."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("delete", lambda _: Deletion()),)

    def removal(self, sample: Sample, players: Players) -> Removal:
        from xaionnx.perturb.deleting import DeletedTokens
        from xaionnx.perturb.rewriting import RewrittenText

        if sample.text is not None and sample.text.file is not None:
            raise InputMismatchError(
                "baseline='delete' would move the bytes after the deleted ones, and others would be at the end "
                "of the file. Use 'pad', or the number to put in the place of removed bytes."
            )
        if sample.array.dtype == object:
            return RewrittenText(sample, players, "")
        return DeletedTokens(sample, players)

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        raise InputMismatchError(
            "baseline='delete' removes words of a text, so it needs features of a text and a method whose features are "
            "present or absent, such as kernel_shap. Use another baseline."
        )
