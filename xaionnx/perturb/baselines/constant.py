"""One number in the model's input tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.text_players import in_place_of_words
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Constant(Baseline):
    """One number; of a text, the number of a token in place of all but special tokens."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("constant", lambda value: Constant(float(value)), ":value", "constant:0.5"),
        Form("zero", lambda _: Constant(0.0)),
    )
    fixed: ClassVar[bool] = True

    value: float

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        if sample.text is not None and name == sample.main and sample.array.dtype.kind in "iu":
            return in_place_of_words(sample, sample.text, self.value)
        return np.asarray(self.value)
