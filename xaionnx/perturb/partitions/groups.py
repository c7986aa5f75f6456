"""The groups of columns that the spec names, such as the columns of a one-hot code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Groups(Features):
    """Groups of columns as in ``[input.groups]`` of the spec; a column in no group is a player of its own.

    All columns of a group are present or absent together, and absent ones come from the same row of a background.
    """

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("groups", lambda _: Groups()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        columns, groups = _of_spec(sample)
        labels = np.arange(len(columns))
        for group in groups.values():
            numbers = sorted(columns.index(name) for name in group)
            labels[numbers] = numbers[0]
        return {sample.main: labels}

    def players(self, sample: Sample) -> Players:
        """Return the players of one sample, with the names of groups and columns."""
        columns, groups = _of_spec(sample)
        named = {min(columns.index(column) for column in group): name for name, group in groups.items()}
        players = super().players(sample)
        return replace(players, names=tuple(named.get(first, columns[first]) for first in players.labels.tolist()))

    def are_shared(self, sample: Sample) -> bool:
        del sample
        return True


def _of_spec(sample: Sample) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """The columns and the groups of the spec."""
    if sample.spec is None or not sample.spec.groups:
        raise ParameterError(
            "features='groups' needs a spec that names them: write NAME = [COLUMNS] under [input.groups]."
        )
    return list(sample.spec.columns), sample.spec.groups
