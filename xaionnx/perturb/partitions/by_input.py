"""Separate features for each input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import UnknownNameError
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True, eq=False)
class FeaturesByInput(Features):
    """The features of each named input, numbered consecutively across inputs; other inputs are never changed."""

    parts: Mapping[str, Features]

    __repr__ = short_repr

    def noun_of(self, name: str) -> str:
        return self.parts[name].noun_of(name)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps, first = dict[str, Array](), 0
        for name, part in self.parts.items():
            if name not in sample.x:
                raise UnknownNameError.among("input", name, sample.x)
            known = sample.spec if name == sample.main else None
            players = Players.of(part.label_maps(replace(sample, x={name: sample.x[name]}, main=name, spec=known)))
            maps[name] = players.maps[name].astype(np.int64) + first
            first += players.count
        return maps
