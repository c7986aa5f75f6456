"""The groups of columns that the spec names, such as the columns of a one-hot code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.perturb.features import Features
from xaionnx.perturb.names import row_columns
from xaionnx.perturb.players import Players
from xaionnx.registry import Form
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Groups(Features):
    """Groups of columns as in ``[input.groups]`` of the spec; a column in no group is a player of its own.

    All columns of a group are present or absent together, and absent ones come from the same row of a background. The
    columns may be those of several inputs, such as one input for each.
    """

    forms: ClassVar[tuple[Form[Features], ...]] = (Form("groups", lambda _: Groups()),)

    def label_maps(self, sample: Sample) -> dict[str, Array]:
        columns, groups = _columns(sample), _groups(sample)
        labels = np.arange(len(columns))
        for name, group in groups.items():
            if unknown := [column for column in group if column not in columns]:
                raise UnknownNameError.among(f"column for the group '{name}'", unknown[0], columns)
            numbers = sorted(columns.index(column) for column in group)
            labels[numbers] = numbers[0]
        stops = np.cumsum([array.size for array in sample.data.values()])
        parts = np.split(labels, stops[:-1])
        return {name: part.reshape(array.shape) for (name, array), part in zip(sample.data.items(), parts, strict=True)}

    def players(self, sample: Sample) -> Players:
        """Return the players of one sample, with the names of groups and columns."""
        columns, players = _columns(sample), super().players(sample)
        named = {min(columns.index(column) for column in group): name for name, group in _groups(sample).items()}
        return replace(players, names=tuple(named.get(first, columns[first]) for first in players.labels.tolist()))

    def are_shared(self, sample: Sample) -> bool:
        del sample
        return True


def _columns(sample: Sample) -> list[str]:
    """The columns of all inputs that are data, one after the other."""
    return [column for columns in row_columns(sample, [*sample.data]).values() for column in columns]


def _groups(sample: Sample) -> Mapping[str, Sequence[str]]:
    """The groups of the spec."""
    if sample.spec is None or not sample.spec.groups:
        raise ParameterError(
            "features='groups' needs a spec that names them: write NAME = [COLUMNS] under [input.groups]."
        )
    return sample.spec.groups
