"""Evaluation of codes for many short samples at once, such as the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from xaionnx_kernels.selections import distinct_selections, mean_of_draws, selections

from xaionnx.perturb.input_words import InputWords
from xaionnx.perturb.neighbours import Neighbours
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.removals import Removals
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


def are_short(model: Model, removal: Removal) -> bool:
    """Whether :class:`ShortRows` can evaluate codes for samples like that of a removal."""
    sizes = [array.size for array in removal.sample.own.values()]
    if model.on_gpu or sum(sizes) > LONGEST or not sizes:
        return False
    return not removal.sample.shared & removal.baseline.keys() and removal.is_by_element


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The targets of some samples for some codes, averaged over the baselines.

    Attributes
    ----------
    samples : array of int (R,)
    codes : slice
    values : array (R, M, T)
    spent : int or array of int (R,)
        Evaluations for each sample.
    """

    samples: Array
    codes: slice
    values: Array
    spent: Array | int

    __repr__ = short_repr


@final
class ShortRows:
    """Writes the inputs of all samples, codes and baselines into one table, and runs equal ones once.

    Parameters
    ----------
    model : Model
    removals : Removals
        Of R samples with as many players.
    selection : TargetSet
        The T targets of the R samples.
    weights : array (B,), optional
        The weights of the baselines in means over them, which sum to 1; all are equal by default.
    neighbours : sequence of R Neighbours
        Give the weights instead, for each code; empty by default.

    Attributes
    ----------
    repeats : int
        Inputs that were not run, since they are equal to others.
    """

    def __init__(
        self,
        model: Model,
        removals: Removals,
        selection: TargetSet,
        weights: Array | None = None,
        neighbours: Sequence[Neighbours] = (),
    ) -> None:
        self.repeats = 0
        self._weights, self._neighbours = weights, neighbours
        self._model, self._removal, self._selection = model, removals[0], selection
        sample = self._removal.sample
        self._shared = {name: array for name, array in sample.x.items() if name not in sample.own}
        x = {name: removals.inputs(name) for name in sample.own}
        baseline = {name: removals.baselines(name) for name in self._removal.baseline}
        self._words = InputWords(x, baseline, self._removal.draws)
        self._labels = self._words.labels(removals)
        self._uniform = selection.of_samples(np.array([0])) if selection.is_uniform else None
        self._compares = True

    def evaluate(self, codes: Array, numbers: Array) -> Iterator[Block]:
        """Yield the targets of the samples ``numbers`` in blocks; each has all codes.

        Raises
        ------
        NotFiniteError
            A target is NaN or infinite.
        """
        elements = self._words.x.shape[1] * self._removal.draws
        some_codes = min(len(codes), max(1, _ELEMENTS // max(1, elements)))
        some = max(1, _ELEMENTS // max(1, elements * some_codes))
        for first in range(0, len(numbers), some):
            samples = numbers[first : first + some]
            for start in range(0, len(codes), some_codes):
                part = slice(start, min(len(codes), start + some_codes))
                rows, which = self._inputs(codes[part], samples)
                if self._neighbours:
                    yield self._of_near_rows(rows, which, codes[part], part, samples)
                    continue
                values = self._run(rows, self._owners(len(rows), which, samples), which.size)
                self.repeats += which.size - len(rows)
                self._check_finite(values, which, start, samples)
                spent = which.shape[1] * which.shape[2]
                yield Block(samples, part, mean_of_draws(values, which, self._weights), spent)

    def evaluate_each(self, codes: Sequence[Array]) -> Iterator[tuple[int, Array, int]]:
        """Yield each sample, its targets (M, T) and what they cost, for codes (M, ...) of its own.

        Raises
        ------
        NotFiniteError
            A target is NaN or infinite.
        """
        elements = self._words.x.shape[1] * self._removal.draws
        start = 0
        while start < len(codes):
            rows, which, owners, count = [], list[Array](), list[Array](), 0
            while start + len(which) < len(codes) and (not which or count * elements < _ELEMENTS):
                sample = np.array([start + len(which)])
                own, numbers = self._inputs(codes[sample[0]], sample)
                rows.append(own)
                which.append(numbers + sum(map(len, rows[:-1])))
                owners.append(np.full(len(own), sample[0]))
                count += len(codes[sample[0]])
            spent = sum(numbers.size for numbers in which)
            every = np.concatenate(rows)
            values = self._run(every, np.concatenate(owners), spent)
            self.repeats += spent - len(every)
            for place, numbers in enumerate(which, start=start):
                self._check_finite(values, numbers, 0, np.array([place]))
                yield place, mean_of_draws(values, numbers, self._weights)[0], numbers.size
            start += len(which)

    def _of_near_rows(self, rows: Array, which: Array, codes: Array, part: slice, samples: Array) -> Block:
        """The block of codes for which only the inputs with baselines near the sample are run."""
        weights = np.stack([self._neighbours[sample].weights(codes) for sample in samples.tolist()])
        counts = (weights > 0).sum(axis=(1, 2))
        near = np.unique(which[weights > 0])
        self.repeats += int(counts.sum()) - len(near)
        values = np.zeros((len(rows), len(self._selection)))
        values[near] = self._run(rows[near], self._owners(len(rows), which, samples)[near], int(counts.sum()))
        self._check_finite(values, which, part.start, samples)
        means = [np.einsum("mb,mbt->mt", own, values[each]) for own, each in zip(weights, which, strict=True)]
        return Block(samples, part, np.stack(means), counts)

    def _owners(self, count: int, which: Array, samples: Array) -> Array:
        """The sample of each of ``count`` inputs, of which those of the samples are ``which``, (R, M, B)."""
        owners = np.empty(count, dtype=np.intp)
        if self._uniform is None:
            owners[which] = samples[:, None, None]
        return owners

    def _check_finite(self, values: Array, which: Array, start: int, samples: Array) -> None:
        if not np.isfinite(values).all():
            sample, code = np.argwhere(~np.isfinite(values[which]).all(axis=(2, 3)))[0]
            raise NotFiniteError(int(samples[sample]), start + int(code))

    def _inputs(self, codes: Array, samples: Array) -> tuple[Array, Array]:
        """The inputs to run for some samples, as words (K, E), and the number of each input, (R, M, B)."""
        words, removal = self._words, self._removal
        x, baseline = words.x[samples], words.baseline if len(words.baseline) == 1 else words.baseline[samples]
        if self._labels is None:
            members, labels = words.kept(removal, codes)
        else:
            members, labels = codes, self._labels if len(self._labels) == 1 else self._labels[samples]
        # The last column is that of label -1, of elements that are never removed.
        members = np.concatenate([members, np.ones((len(members), 1), dtype=members.dtype)], axis=1)
        labels = np.where(labels < 0, members.shape[1] - 1, labels)
        if members.dtype != bool or not self._compares:
            write = selections if members.dtype == bool else words.mixed
            rows = write(x, baseline, members, labels)
            return rows, np.arange(len(rows), dtype=np.int32).reshape(len(x), len(codes), removal.draws)
        # Targets that differ by sample are read from other elements of equal outputs.
        rows, which = distinct_selections(x, baseline, members, labels, apart=self._uniform is None)
        self._compares = which.size < _TELLING or len(rows) <= _MOSTLY_DISTINCT * which.size
        return rows, which

    def _run(self, rows: Array, owners: Array, evaluations: int) -> Array:
        """The targets (K, T) of the inputs of some samples, which count as so many evaluations."""

        def feed(start: int, stop: int) -> dict[str, Array]:
            return self._words.inputs(rows[start:stop])

        values, done = np.empty((len(rows), len(self._selection))), 0
        for start, stop, outputs in self._model.batches(len(rows), feed, self._selection.tensors, self._shared):
            values[start:stop] = (
                self._selection.select(outputs, owners[start:stop])
                if self._uniform is None
                else self._uniform.select(outputs)
            )
            # Equal inputs count as evaluated with the first of them.
            progress.advance(stop * evaluations // len(rows) - done)
            done = stop * evaluations // len(rows)
        return values


class NotFiniteError(Exception):
    """A target of a sample and a code is NaN or infinite; caught by the game, which knows their names."""

    def __init__(self, sample: int, code: int) -> None:
        super().__init__(sample, code)
        self.sample, self.code = sample, code
