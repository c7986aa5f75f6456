"""Evaluation of codes for many short samples at once, such as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from xaionnx_kernels.distinct import distinct_rows

from xaionnx.perturb.removal import Removal
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array

LONGEST: Final = 1024
"""Elements of a sample that is short: writing and comparing inputs takes less than running them."""

# Elements of inputs that are written at once.
_ELEMENTS: Final = 2**19
# Above this share of distinct inputs, looking for equal ones costs more than it saves.
_MOSTLY_DISTINCT: Final = 0.9
# Fewer inputs say nothing about the share.
_TELLING: Final = 256


def are_short(model: Model, removals: Sequence[Removal]) -> bool:
    """Whether :class:`ShortRows` can evaluate codes for these samples."""
    sample = removals[0].sample
    sizes = [array.size for name, array in sample.own.items()]
    if model.on_gpu or sum(sizes) > LONGEST or not sizes:
        return False
    return not removals[0].sample.shared & removals[0].baseline.keys() and removals[0].writes_shares


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The targets of some samples for some codes.

    Attributes
    ----------
    samples, codes : slice
    values : array (R, M, B, T)
    """

    samples: slice
    codes: slice
    values: Array

    __repr__ = short_repr


@final
class ShortRows:
    """Writes the inputs of all samples, codes and baselines into one table, and runs equal ones once.

    Parameters
    ----------
    model : Model
    removals : sequence of R Removal
        Of samples with as many players.
    selection : TargetSet
        The T targets of the R samples.

    Attributes
    ----------
    repeats : int
        Inputs that were not run, since they are equal to others.
    """

    def __init__(self, model: Model, removals: Sequence[Removal], selection: TargetSet) -> None:
        self.repeats = 0
        self._model, self._removal, self._selection = model, removals[0], selection
        same_players = all(one.players is removals[0].players for one in removals)
        self._removals = removals[:1] if same_players else removals
        sample = removals[0].sample
        self._x = {name: np.stack([one.sample.x[name] for one in removals]) for name in sample.own}
        self._shared = {name: array for name, array in sample.x.items() if name not in sample.own}
        self._baseline: dict[str, Array] = {}
        for name in removals[0].baseline:
            each = [one.baseline[name] for one in removals]
            same = all(array is each[0] for array in each)
            self._baseline[name] = each[0][None] if same else np.stack(each)
        self._uniform = selection.of_samples(np.array([0])) if selection.is_uniform else None
        self._compares = all(array.dtype != object for array in self._x.values())

    def evaluate(self, codes: Array) -> Iterator[Block]:
        """Yield the targets in blocks; each sample has all codes and baselines."""
        samples, draws = len(next(iter(self._x.values()))), self._removal.draws
        elements = draws * sum(array[0].size for array in self._x.values())
        some_codes = min(len(codes), max(1, _ELEMENTS // elements))
        some = max(1, _ELEMENTS // (elements * some_codes))
        for first in range(0, samples, some):
            which = slice(first, min(samples, first + some))
            for start in range(0, len(codes), some_codes):
                part = slice(start, min(len(codes), start + some_codes))
                inputs = {name: self._written(name, which, codes[part]) for name in self._x}
                values = self._run(inputs, which.start, (part.stop - part.start) * draws)
                shape = (which.stop - which.start, part.stop - part.start, draws, -1)
                yield Block(which, part, values.reshape(shape))

    def _written(self, name: str, which: slice, codes: Array) -> Array:
        """The inputs of the samples ``which`` for each code and baseline, (n, ...)."""
        x, draws = self._x[name][which], self._removal.draws
        flat = x.reshape(len(x), 1, 1, -1)
        if name not in self._baseline:
            repeated = np.broadcast_to(flat, (len(x), len(codes), draws, flat.shape[-1]))
            # Inputs of no elements do not say how many they are.
            return np.ascontiguousarray(repeated).reshape(len(x) * len(codes) * draws, *x.shape[1:])
        baseline = self._baseline[name]
        removed = baseline[which] if len(baseline) > 1 else baseline
        removed = removed.reshape(len(removed), 1, draws, -1)
        divided = self._removals[which] if len(self._removals) > 1 else self._removals
        shares = np.stack([one.shares(codes, name) for one in divided])[:, :, None, :]
        if shares.dtype == bool:
            written = np.where(shares, flat, removed)
        else:
            weights = shares.astype(x.dtype)
            written = flat * weights + removed * (1 - weights)
            written = np.where(weights == 1, flat, written)
            written = np.where(weights == 0, removed, written)
        return np.ascontiguousarray(written).reshape(-1, *x.shape[1:])

    def _run(self, inputs: dict[str, Array], first_sample: int, each: int) -> Array:
        """The targets (n, T) of inputs, of which each sample has ``each``."""
        count = len(next(iter(inputs.values())))
        numbers, which = self._distinct(inputs, count, each)
        run = count if numbers is None else len(numbers)

        def feed(start: int, stop: int) -> dict[str, Array]:
            if numbers is None:
                return {name: array[start:stop] for name, array in inputs.items()}
            return {name: array[numbers[start:stop]] for name, array in inputs.items()}

        values, done = np.empty((run, len(self._selection))), 0
        for start, stop, outputs in self._model.batches(run, feed, self._selection.tensors, self._shared):
            rows = np.arange(start, stop) if numbers is None else numbers[start:stop]
            values[start:stop] = (
                self._selection.select(outputs, first_sample + rows // each)
                if self._uniform is None
                else self._uniform.select(outputs)
            )
            # Equal inputs count as evaluated with the first of them.
            progress.advance(stop * count // run - done)
            done = stop * count // run
        return values if which is None else values[which]

    def _distinct(self, inputs: dict[str, Array], count: int, each: int) -> tuple[Array | None, Array | None]:
        """The numbers of distinct inputs, and which of them each input is; None if all are run.

        Targets of samples that differ are read from other elements, so that only inputs of one sample may be equal.
        """
        if not self._compares or count == 1:
            return None, None
        parts = list(inputs.values())
        if self._uniform is None:
            parts.append(np.arange(count) // each)
        found = distinct_rows(parts)
        if found is None or (count >= _TELLING and len(found[0]) > _MOSTLY_DISTINCT * count):
            self._compares = found is None
            return None, None
        self.repeats += count - len(found[0])
        return found
