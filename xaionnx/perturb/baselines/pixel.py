"""A gray pixel, scaled according to the InputSpec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.baseline import Baseline
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Pixel(Baseline):
    """A gray pixel value in [0, 255], scaled according to the InputSpec."""

    forms: ClassVar[tuple[Form[Baseline], ...]] = (
        Form("black", lambda _: Pixel(0.0)),
        Form("white", lambda _: Pixel(255.0)),
    )
    fixed: ClassVar[bool] = True

    value: float

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        spec = sample.pixels_of(name)
        if spec is None:
            raise ParameterError(
                f"A black or white baseline of input '{name}' needs an InputSpec with the scale of pixels. "
                "Put a TOML beside the model, or use 'zero' or a number."
            )
        return spec.pixel(self.value)
