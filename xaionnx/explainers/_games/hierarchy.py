"""Hierarchies of players: groups of groups, down to single players."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.perturb.by_name import read_option
from xaionnx.perturb.features import Features
from xaionnx.perturb.removal import Removal
from xaionnx.typing import Array, FeaturesLike, HierarchyLike

NAMED: Final = ("correlation", "flat", "positions")
"""Hierarchies by name; every other is one of coarser features."""

# With fewer rows of data a correlation says little.
_FEWEST_ROWS: Final = 10


@final
@dataclass(frozen=True, eq=False)
class Group:
    """A group of players; groups are compared by identity.

    Attributes
    ----------
    players : tuple of int
    parts : tuple of Group
        The groups that it consists of, at least two; none for a single player.
    """

    players: tuple[int, ...]
    parts: tuple[Group, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[Group]) -> Group:
        """The group of some parts; of a single one the part itself."""
        if len(parts) == 1:
            return parts[0]
        return cls(tuple(player for part in parts for player in part.players), tuple(parts))

    def only(self, numbers: dict[int, int]) -> Group | None:
        """The group without the players that have no new number; None if none has one."""
        if not self.parts:
            return Group((numbers[self.players[0]],)) if self.players[0] in numbers else None
        parts = [part for part in (one.only(numbers) for one in self.parts) if part is not None]
        return Group.of(parts) if parts else None

    @property
    def form(self) -> Hashable:
        """Equal for groups of the same players in the same order, level by level."""
        return self.players[0] if not self.parts else tuple(part.form for part in self.parts)

    @classmethod
    def flat(cls, players: Sequence[int]) -> Group:
        """A group of single players."""
        return cls.of([cls((int(player),)) for player in players])


def read_hierarchy(text: str) -> HierarchyLike:
    """A hierarchy from the command line: a name, or coarser features with a plus between levels, coarse first."""
    if text in NAMED:
        return text
    levels = [read_option(level) for level in text.split("+")]
    return levels[0] if len(levels) == 1 else levels


def check_hierarchy(given: HierarchyLike) -> object:
    """The features of each level, or the name; raises ParameterError for anything else."""
    if given is None or (isinstance(given, str) and given in NAMED):
        return given
    return [Features.of(level) for level in _levels(given)]


def hierarchy_of(given: HierarchyLike, removal: Removal) -> tuple[Group, str]:
    """The hierarchy of the players of a sample, and its name for the record.

    That of some players is the hierarchy of all without the others.

    Raises
    ------
    ParameterError
        The correlation of columns is asked for, and the baseline has fewer than 10 rows of data.
    """
    if removal.players.whole is not None:
        whole, kind = hierarchy_of(given, removal.of_players(removal.players.whole))
        some = whole.only({number: k for k, number in enumerate(removal.players.numbers.tolist())})
        assert some is not None  # a game has players
        return some, kind
    players = removal.players.count
    if given is None:
        enough = removal.draws >= _FEWEST_ROWS
        given = "positions" if any(removal.sample.positions(n) for n in removal.players.maps) else "flat"
        given = "correlation" if given == "flat" and enough else given
    if players < 3 or (isinstance(given, str) and given == "flat"):
        return Group.flat(range(players)), "flat"
    if isinstance(given, str) and given == "correlation":
        return _clustered(_correlation_distances(removal), "average"), given
    if isinstance(given, str) and given == "positions":
        return _clustered(_centres(removal), "ward"), given
    return _by_levels(_levels(given), removal), "features"


def may_differ(given: HierarchyLike, sample: Sample) -> bool:
    """Whether the hierarchy of samples with the same players and baselines may depend on the sample."""
    named = given is None or (isinstance(given, str) and given in NAMED)
    return not named and not all(Features.of(level).are_shared(sample) for level in _levels(given))


def _levels(given: HierarchyLike) -> list[FeaturesLike]:
    if isinstance(given, list | tuple) and not all(isinstance(one, int) for one in given):
        return [*given]
    return [given]  # type: ignore[list-item]  # a label map may be a list of int


def _by_levels(levels: Sequence[FeaturesLike], removal: Removal) -> Group:
    """Players in the coarser features that hold most of their elements."""
    maps, count = removal.players.maps, removal.players.count
    columns = []
    for level in levels:
        coarse = Features.of(level).players(removal.sample)
        shares = np.zeros((count, coarse.count + 1))
        for name, labels in maps.items():
            shape = removal.sample.x[name].shape
            # Inputs that the coarser features leave out are a group of their own.
            own = np.broadcast_to(coarse.maps[name], shape) if name in coarse.maps else np.full(shape, coarse.count)
            np.add.at(shares, (np.broadcast_to(labels, shape).reshape(-1), own.reshape(-1)), 1)
        columns.append(shares.argmax(axis=1))

    def grouped(players: Array, level: int) -> Group:
        if level == len(columns):
            return Group.flat(players.tolist())
        own = columns[level][players]
        return Group.of([grouped(players[own == label], level + 1) for label in np.unique(own)])

    return grouped(np.arange(count), 0)


def _clustered(points_or_distances: Array, linkage: str) -> Group:
    """The binary tree of a hierarchical clustering."""
    from scipy.cluster import hierarchy

    merges = hierarchy.linkage(points_or_distances, linkage)
    groups = [Group((player,)) for player in range(len(merges) + 1)]
    for first, second in merges[:, :2].astype(int):
        groups.append(Group.of([groups[first], groups[second]]))
    return groups[-1]


def _correlation_distances(removal: Removal) -> Array:
    """1 - |r| between players over the rows of the baseline, as scipy's condensed matrix."""
    if removal.draws < _FEWEST_ROWS:
        raise ParameterError(
            f"The 'hierarchy' parameter of PartitionShap must not be 'correlation' for a baseline of {removal.draws} "
            f"rows. Give at least {_FEWEST_ROWS} rows of data as the baseline, such as baseline='background:rows.csv'."
        )
    columns = np.zeros((removal.draws, removal.players.count))
    for name, labels in removal.players.maps.items():
        rows = removal.baseline[name]
        if rows.dtype.kind not in "fiub":
            raise ParameterError(
                f"The 'hierarchy' parameter of PartitionShap must not be 'correlation' for input '{name}' of "
                f"{rows.dtype}. Give groups of features."
            )
        flat = np.nan_to_num(rows.reshape(removal.draws, -1).astype(np.float64))
        deviation = flat.std(axis=0)
        standard = (flat - flat.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
        own = np.broadcast_to(labels, removal.sample.x[name].shape).reshape(-1)
        np.add.at(columns.T, own, standard.T)
    spread = columns.std(axis=0)
    columns = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    r = columns.T @ columns / removal.draws
    first, second = np.triu_indices(len(r), 1)
    return np.asarray(np.maximum(1 - np.abs(r[first, second]), 0))


def _centres(removal: Removal) -> Array:
    """The mean position of the elements of each player, one input after the other."""
    players = removal.players.count
    totals, counts, offset = np.zeros((players, 8)), np.zeros(players), 0.0
    for name, labels in removal.players.maps.items():
        shape = removal.sample.x[name].shape
        positions = removal.sample.positions(name)
        axes = range(len(shape)) if positions is None else positions.axes
        own = np.broadcast_to(labels, shape).reshape(-1)
        np.add.at(counts, own, 1)
        for column, axis in enumerate([*axes][:7]):
            place = np.broadcast_to(
                np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape
            )
            np.add.at(totals[:, column], own, place.reshape(-1))
        np.add.at(totals[:, 7], own, offset)
        offset += 10.0 * sum(shape)
    centres: Array = totals / counts[:, None]
    return centres
