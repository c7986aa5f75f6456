"""Players: the parts of one sample that can be present or absent, and their elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.perturb.features import Features

# Values of players that are converted at once.
_NUMBERS = 2**19


@final
@dataclass(frozen=True, eq=False)
class Players:
    """P players resolved for one sample.

    Attributes
    ----------
    maps : dict of arrays of int32 by input name
        The number of each element's player, broadcasting to the input; inputs without a map are never changed.
    labels : array
        The original label of each player, (P,).
    features : Features or None
        The features that divided the sample.
    names : tuple of str
        One a player, if it covers a part of a series or one of several inputs; else empty.
    parts : array (parts,) or None
        The player of each part of an input whose single element, a string, holds all players. Its map has -1, which
        elsewhere stands for elements that are never removed.
    followers : tuple of str
        Inputs with a map that change with the players but have no values, such as the mask of removed tokens.
    whole : Players or None
        The players of which these are some, see :meth:`only`.
    """

    maps: Mapping[str, Array]
    labels: Array
    features: Features | None = None
    names: tuple[str, ...] = ()
    parts: Array | None = None
    followers: tuple[str, ...] = ()
    whole: Players | None = None

    __repr__ = short_repr

    @classmethod
    def of(cls, maps: Mapping[str, Array], features: Features | None = None) -> Players:
        """Number the players of label maps: equal labels are one player, also across inputs; empty maps have none."""
        maps = {name: labels for name, labels in maps.items() if np.size(labels)}
        each = [np.asarray(m, dtype=np.int64).reshape(-1) for m in maps.values()]
        lowest, highest = min(int(m.min()) for m in each), max(int(m.max()) for m in each)
        if lowest == 0 and highest < sum(m.size for m in each):
            # For many pixels, counting is faster than sorting.
            count = np.bincount(np.concatenate(each))
            if count.all():
                numbered = {name: np.asarray(m).astype(np.int32) for name, m in maps.items()}
                return cls(numbered, np.arange(len(count)), features)
        known = np.unique(np.concatenate(each))
        return cls({name: np.searchsorted(known, m).astype(np.int32) for name, m in maps.items()}, known, features)

    @property
    def count(self) -> int:
        """The number P of players."""
        return len(self.labels)

    def only(self, kept: Array) -> Players:
        """Return the players where ``kept`` (P,) is True, renumbered; the others become -1, never removed."""
        if kept.all():
            return self
        numbers = np.full(self.count + 1, -1, dtype=np.int32)
        numbers[:-1][kept] = np.arange(kept.sum())
        maps = {name: numbers[labels] for name, labels in self.maps.items()}
        names = tuple(name for name, keep in zip(self.names, kept, strict=True) if keep) if self.names else ()
        return replace(self, maps=maps, labels=self.labels[kept], names=names, whole=self.whole or self)

    @property
    def numbers(self) -> Array:
        """The number of each player among those of which they are some, (P,)."""
        return np.arange(self.count) if self.whole is None else np.searchsorted(self.whole.labels, self.labels)

    def spread(self, values: Array, x: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays (T, ...) by input with each player's value (T, P) at its elements; 0 without a player.

        They are broadcast along axes of an input that its map leaves out, and cannot be written. A string that holds
        all players has the sum of their values.
        """
        spread = {}
        some = max(1, _NUMBERS // max(1, values.shape[1]))
        fixed = any(labels.size and int(labels.min()) < 0 for labels in self.maps.values())
        if fixed:
            # The last column is that of label -1.
            rest = values.sum(axis=1) if self.parts is not None else np.zeros(len(values))
            values = np.concatenate([values, rest[:, None]], axis=1)
        for name, array in x.items():
            if name in self.maps:
                # Looked up once for all elements that share a label, such as the channels of a pixel.
                labels = self.maps[name].reshape((1,) * (array.ndim - self.maps[name].ndim) + self.maps[name].shape)
                taken = np.empty((len(values), *labels.shape), dtype=np.float32)
                for start in range(0, len(values), some):
                    taken[start : start + some] = values[start : start + some].astype(np.float32)[:, labels]
                spread[name] = np.broadcast_to(taken, (len(values), *array.shape))
            else:
                spread[name] = np.zeros((len(values), *array.shape), dtype=np.float32)
        return spread
