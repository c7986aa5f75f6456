"""The inputs of short samples as one table of words, which a kernel selects and compares whatever their types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xaionnx.perturb.removal import Removal
from xaionnx.perturb.removals import Removals
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, DType


@final
class InputWords:
    """The elements of all inputs of R samples and of B baselines as unsigned integers, side by side.

    Numbers have their bits, so that NaN equals NaN, and 0 and -0 differ; strings the place in a list.

    Parameters
    ----------
    x : mapping of arrays (R, ...) by input name
    baseline : mapping of arrays (R or 1, B, ...)
        Inputs without one are never removed.
    draws : int
        The number B.

    Attributes
    ----------
    x : array (R, E)
    baseline : array (R or 1, B, E)
    """

    def __init__(self, x: Mapping[str, Array], baseline: Mapping[str, Array], draws: int) -> None:
        samples = len(next(iter(x.values())))
        self._columns: dict[str, _Columns] = {}
        stop = 0
        for name, array in x.items():
            start, stop = stop, stop + int(np.prod(array.shape[1:]))
            self._columns[name] = _Columns.of(array, baseline.get(name), slice(start, stop))
        wide = any(columns.is_wide for columns in self._columns.values())
        self._removed = frozenset(baseline)
        self.x = np.empty((samples, stop), np.uint64 if wide else np.uint32)
        own = max((len(array) for array in baseline.values()), default=1)
        self.baseline = np.zeros((own, draws, stop), self.x.dtype)
        for name, columns in self._columns.items():
            self.x[:, columns.place] = columns.words(x[name]).reshape(samples, -1)
            if name in baseline:
                self.baseline[:, :, columns.place] = columns.words(baseline[name]).reshape(-1, draws, columns.size)

    def inputs(self, rows: Array) -> dict[str, Array]:
        """Return the inputs (n, ...) of words (n, E), by name."""
        return {name: columns.elements(rows[:, columns.place]) for name, columns in self._columns.items()}

    def labels(self, removals: Removals) -> Array | None:
        """Return the player of each element, (R, E) or (1, E) if samples do not differ; None if codes are not players.

        -1 is for elements that are never removed.
        """
        different, which = removals.by_players()
        labels = np.full((len(different), self.x.shape[1]), -1, dtype=np.int32)
        for row, one in zip(labels, different, strict=True):
            for name in self._removed:
                each = one.element_labels(name)
                if each is None:
                    return None
                row[self._columns[name].place] = each
        return labels if len(labels) == 1 else np.asarray(labels[which])

    def kept(self, removal: Removal, codes: Array) -> tuple[Array, Array]:
        """Return whether each element that can be removed stays, bool (M, Q), and the column of each, (1, E)."""
        labels = np.full((1, self.x.shape[1]), -1, dtype=np.int32)
        parts, stop = [], 0
        for name in self._removed:
            parts.append(removal.kept_elements(codes, name))
            start, stop = stop, stop + parts[-1].shape[1]
            labels[0, self._columns[name].place] = np.arange(start, stop)
        return np.concatenate(parts, axis=1), labels

    def mixed(self, x: Array, baseline: Array, shares: Array, labels: Array) -> Array:
        """Return mixtures of the words of samples (R, E) and of baselines, (R M B, E); arrays as for `selections`.

        ``shares`` are floats, of the sample.
        """
        out = np.empty((len(x), len(shares), baseline.shape[1], x.shape[1]), x.dtype)
        out[...] = x[:, None, None]
        for name in self._removed:
            columns = self._columns[name]
            own = columns.numbers(x[:, columns.place])[:, None, None]
            removed = columns.numbers(baseline[:, :, columns.place])[:, None]
            weights = shares[:, labels[:, columns.place]].transpose(1, 0, 2)[:, :, None].astype(columns.dtype)
            written = own * weights + removed * (1 - weights)
            written = np.where(weights == 1, own, written)
            out[..., columns.place] = columns.words(np.where(weights == 0, removed, written))
        return out.reshape(math.prod(out.shape[:-1]), x.shape[1])


@final
@dataclass(frozen=True, eq=False)
class _Columns:
    """The columns of one input among the words.

    Attributes
    ----------
    place : slice
    shape : tuple of int
        Of the input, without the batch axis.
    dtype : DType
    listed : tuple
        The distinct elements, if their bits are no words.
    """

    place: slice
    shape: tuple[int, ...]
    dtype: DType
    listed: tuple[Any, ...] = ()  # Any: strings, or numbers of 16 bytes

    __repr__ = short_repr

    @classmethod
    def of(cls, x: Array, baseline: Array | None, place: slice) -> _Columns:
        """The columns of samples (R, ...) and baselines (R or 1, B, ...)."""
        if _has_bits(x.dtype):
            return cls(place, x.shape[1:], x.dtype)
        found = dict.fromkeys(x.reshape(-1).tolist())
        if baseline is not None:
            found |= dict.fromkeys(baseline.reshape(-1).tolist())
        return cls(place, x.shape[1:], x.dtype, tuple(found))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def is_wide(self) -> bool:
        return _has_bits(self.dtype) and self.dtype.itemsize > 4

    def words(self, array: Array) -> Array:
        """The words of elements, in the same shape."""
        if _has_bits(self.dtype):
            return np.ascontiguousarray(array, self.dtype).view(f"u{self.dtype.itemsize}").reshape(array.shape)
        numbers = {element: number for number, element in enumerate(self.listed)}
        return np.array([numbers[e] for e in array.reshape(-1).tolist()], np.uint32).reshape(array.shape)

    def numbers(self, words: Array) -> Array:
        """The elements of words, in the same shape."""
        if _has_bits(self.dtype):
            narrow = np.ascontiguousarray(words, f"u{self.dtype.itemsize}")
            return narrow.view(self.dtype).reshape(words.shape)
        listed = np.empty(len(self.listed), dtype=self.dtype)
        listed[:] = self.listed
        return np.asarray(listed[words])

    def elements(self, rows: Array) -> Array:
        """The inputs (n, ...) of their words (n, L)."""
        return self.numbers(rows).reshape(len(rows), *self.shape)


def _has_bits(dtype: DType) -> bool:
    return dtype.kind != "O" and dtype.itemsize in (1, 2, 4, 8)
