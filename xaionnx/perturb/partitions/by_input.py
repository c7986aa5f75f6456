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

    def are_shared(self, sample: Sample) -> bool:
        return all(part.are_shared(sample) for part in self.parts.values())

    def noun_of(self, name: str) -> str:
        return self.parts[name].noun_of(name)

    def players(self, sample: Sample) -> Players:
        maps = self.label_maps(sample)
        if all((labels >= 0).all() for labels in maps.values()):
            return super().players(sample)
        # Special tokens of a text belong to no player.
        count = max(int(labels.max()) for labels in maps.values()) + 1
        return Players({name: m.astype(np.int32) for name, m in maps.items()}, np.arange(count), self)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        maps, first = dict[str, Array](), 0
        for name, part in self.parts.items():
            if name not in sample.x:
                raise UnknownNameError.among("input", name, sample.x)
            known = sample.spec if name == sample.main else None
            text = sample.text if name == sample.main else None
            one = replace(sample, x={name: sample.x[name]}, main=name, spec=known, text=text)
            players = part.players(one)
            labels = players.maps[name].astype(np.int64)
            maps[name] = np.where(labels < 0, labels, labels + first)
            first += players.count
        return maps
