"""A separate baseline for each input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnknownNameError
from xaionnx.hooks import hook
from xaionnx.perturb.baseline import BASELINES, Baseline
from xaionnx.perturb.baselines.constant import Constant
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class ByInput(Baseline):
    """One baseline for each named input; zero for the others."""

    parts: Mapping[str, Baseline]

    __repr__ = short_repr

    def bind(self, model: Model) -> Baseline:
        return replace(self, parts={name: part.bind(model) for name, part in self.parts.items()})

    @hook
    def interpolates(self, name: str) -> bool:
        return name in self.parts and self.parts[name].interpolates(name)

    def is_shared(self, sample: Sample) -> bool:
        return all(part.is_shared(sample) for part in self.parts.values())

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        for known in self.parts:
            if known in sample.x:
                continue
            error = UnknownNameError.among("input", known, sample.x)
            if known in BASELINES.forms():
                raise UnknownNameError(f"{error} The baseline '{known}' is written with a colon: {_example(known)}.")
            raise error
        part = self.parts.get(name, Constant(0.0))
        part.check_tokens(sample, name)
        return part.fill(sample, name, rng)


def _example(name: str) -> str:
    form = BASELINES.forms()[name]
    return f"'{form.example or name}'"
