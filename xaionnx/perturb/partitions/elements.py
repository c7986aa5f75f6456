"""Every element of every input that is data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.features import Features
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Elements(Features):
    """Every element of every input that is data of a sample, numbered consecutively across inputs."""

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("elements", lambda _: Elements()),)
    noun: ClassVar[str] = "element"

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps, first = {}, 0
        for name, array in sample.data.items():
            maps[name] = np.arange(first, first + array.size).reshape(array.shape)
            first += array.size
        return maps

    def are_shared(self, sample: Sample) -> bool:
        return True
