"""Game: the values of coalitions of players, at the speed of the bare session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import numpy as np

from xaionnx.errors import BudgetError, OutputError
from xaionnx.perturb.appliers import Applier, applier
from xaionnx.perturb.neighbours import Neighbours
from xaionnx.perturb.removal import Removal
from xaionnx.perturb.removals import Removals
from xaionnx.perturb.short_rows import NotFiniteError, ShortRows, are_short
from xaionnx.runtime import progress
from xaionnx.runtime.batch_runner import Feed
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array, Entry


@final
class Game:
    """Evaluates coalitions of players for T targets of one sample, or of R short samples with the same players.

    The games of R samples are played together: each coalition is evaluated for all of them, and the targets of the
    samples follow each other.

    Parameters
    ----------
    model : Model
    selection : TargetSet
        The targets of the samples.
    removal : Removal or sequence of R Removal
        The players, and the values that replace absent ones; the attribute ``removals`` has all of them.
    full : array (T + W,) or (T + W, R)
        The targets at the input, which have cost one evaluation before the game begins.
    explained : int, optional
        The number T of targets that are explained; the other W are watched. All by default.
    weights : array (B,), optional
        The weights of the baselines in means over them, which sum to 1; all are equal by default.
    neighbours : int, optional
        Evaluate only so many of the baselines for each coalition, those nearest to the sample in what is present, and
        those that are as near. A budget counts all baselines.
    budget : int, optional
        Maximum number of model evaluations, including the one at the input.
    applier : str
        ``host``, ``graph``, ``auto`` or ``incremental``; see `xaionnx.perturb.appliers.applier`.
    evaluations : Evaluations, optional
        The counter of the batch, which includes the evaluation at the input.
    """

    def __init__(  # noqa: PLR0913 - options of a public class, by keyword
        self,
        model: Model,
        selection: TargetSet,
        removal: Removal | Sequence[Removal],
        full: Array,
        *,
        explained: int | None = None,
        weights: Array | None = None,
        neighbours: int | None = None,
        budget: int | None = None,
        applier_kind: str = "auto",
        evaluations: Evaluations | None = None,
    ) -> None:
        self.removals = removals = Removals.of(removal)
        self.removal = removals[0]
        self.selection = selection
        self.samples = len(removals)
        self._all = len(full)
        self._explained = self._all if explained is None else explained
        self.full = np.reshape(full[: self._explained].T, -1)
        self.full_watched = np.reshape(full[self._explained :].T, -1)
        self.budget = budget
        self._weights = weights
        self._neighbours = [] if neighbours is None else [Neighbours(one, neighbours) for one in removals]
        self._numbers = removals.numbers
        if evaluations is None:
            evaluations = Evaluations(self.removal.sample.count)
            evaluations.add(self._numbers)
        self._spent = evaluations
        self._model = model
        self._name = model.name
        together = applier_kind == "auto" and are_short(model, self.removal)
        self._rows = ShortRows(model, removals, selection, weights, self._neighbours) if together else None
        self._applier = None if together else applier(model, self.removal, selection, applier_kind)
        self._empty: Array | None = None
        self._common = 0
        self._open = np.ones(self.samples, dtype=bool)

    @property
    def evaluations(self) -> int:
        """Model evaluations spent for a sample that is not settled: one per coalition and baseline, for all targets."""
        return int(self._spent.rows[self._numbers].max())

    def spent(self, place: int) -> int:
        """Model evaluations spent for the sample at a place."""
        return int(self._spent.rows[self._numbers[place]])

    @property
    def total_evaluations(self) -> int:
        """Model evaluations spent for all samples of the game."""
        return int(self._spent.rows[self._numbers].sum())

    @property
    def players(self) -> int:
        """The number P of players."""
        return self.removal.players.count

    @property
    def targets(self) -> int:
        """The number of targets: T for each of R samples."""
        return self._explained * self.samples

    @property
    def is_short(self) -> bool:
        """Whether the samples are short enough to be played together."""
        return self._rows is not None

    @property
    def repeats(self) -> int:
        """Evaluations of inputs that are equal to others, so that the model did not run for them."""
        return self._common + (0 if self._rows is None else self._rows.repeats)

    def means(self, values: Array) -> Array:
        """Return the means over the baselines of values (M, B, ...), (M, ...)."""
        weights = np.full(values.shape[1], 1 / values.shape[1]) if self._weights is None else self._weights
        return np.asarray((values * weights.reshape(-1, *[1] * (values.ndim - 2))).sum(axis=1))

    def by_sample(self, values: Array) -> BySample:
        """Return values (R T, ...) of the targets as one list for each sample."""
        return BySample(np.reshape(values, (self.samples, self._explained, *values.shape[1:])).tolist())

    def settle(self, samples: Array) -> None:
        """Evaluate no further coalitions for some of the samples, (R,) bool: their values are 0 from now on."""
        self._open &= ~samples

    @property
    def cuts(self) -> tuple[str, ...]:
        """Internal tensors of which only changed parts were computed again for the last coalitions."""
        return () if self._applier is None else self._applier.cuts

    @property
    def affordable(self) -> int | None:
        """Number of further coalitions that the budget allows; None without a budget."""
        return None if self.budget is None else max(0, (self.budget - self.evaluations) // self.removal.draws)

    @property
    def empty(self) -> Array:
        """The targets with everything removed, (R T,); evaluated once.

        Raises
        ------
        BudgetError
            The budget is spent.
        """
        if self._empty is None:
            codes = self.removal.empty
            if codes is None:
                raise TypeError(f"{type(self.removal).__name__} has no code that removes everything")
            self._empty = self.values(codes)[0]
        return self._empty

    @property
    def known_empty(self) -> Array | None:
        """:attr:`empty` if it was evaluated, else None."""
        return self._empty

    def values(self, codes: Array) -> Array:
        """Return the targets for each coalition, (M, R T); see :meth:`watch`."""
        return self.watch(codes)[0]

    def values_of_each(self, codes: Sequence[Array]) -> list[Array]:
        """Return the T targets of each of the R samples for codes of its own, R arrays (M, T) for codes (M, ...).

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        if self._rows is None:
            (own,) = codes
            return [self.values(own)]
        found = []
        try:
            for place, values, spent in self._rows.evaluate_each(codes):
                found.append(values[:, : self._explained])
                self._spent.add(self._numbers[[place]], spent)
        except NotFiniteError as error:
            raise self._not_finite(error.code, error.sample) from None
        return found

    def apart(self, count: int, feed: Feed) -> Array:
        """Return the T targets for inputs that no removal writes, such as a part of the sample; see `watch_apart`."""
        return self.watch_apart(count, feed)[0]

    def watch_apart(self, count: int, feed: Feed, places: Array | None = None) -> tuple[Array, Array]:
        """Return the targets and the watched numbers for inputs that no removal writes: (M, T) and (M, W).

        Parameters
        ----------
        count : int
            The number M of inputs.
        feed : function
            Returns the inputs that have a batch axis, from ``start`` to ``stop``.
        places : array of int (M,), optional
            The sample, of the R samples of the game, that each input belongs to; the only one by default.

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        values, places = np.zeros((count, self._all)), np.zeros(count, dtype=np.intp) if places is None else places
        owners = None if self.samples == 1 else places
        for start, stop, outputs in self._batches(count, feed):
            values[start:stop] = self.selection.select(outputs, None if owners is None else owners[start:stop])
            self._spent.add(self._numbers[places[start:stop]])
            progress.advance(stop - start)
        if not np.isfinite(values).all():
            first = self._numbers[places[int(np.argmin(np.isfinite(values).all(axis=1)))]]
            raise OutputError(f"{self._name} returns NaN or infinity for a part of sample {first} by itself.")
        return values[:, : self._explained], values[:, self._explained :]

    def common(self, count: int, feed: Feed) -> Array:
        """Return the targets of all samples for inputs that are the same for each, (M, R T); the model runs once.

        Parameters
        ----------
        count : int
            The number M of inputs, which count as evaluations of each sample that is not settled.
        feed : function
            As in :meth:`watch_apart`.

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        values, places = np.zeros((count, self.samples, self._explained)), np.flatnonzero(self._open)
        for start, stop, outputs in self._batches(count, feed):
            for place in places:
                owners = None if self.samples == 1 else np.full(stop - start, place)
                values[start:stop, place] = self.selection.select(outputs, owners)[:, : self._explained]
            self._spent.add(self._numbers[places], stop - start)
            progress.advance((stop - start) * len(places))
        self._common += count * (len(places) - 1)
        if not np.isfinite(values).all():
            raise OutputError(
                f"{self._name} returns NaN or infinity for inputs near the samples. Explain another target."
            )
        return values.reshape(count, -1)

    def _batches(self, count: int, feed: Feed) -> Iterator[tuple[int, int, Mapping[str, Array]]]:
        """Run the model on inputs in batches, with those that have no batch axis."""
        shared = {name: array for name, array in self.removal.sample.x.items() if name in self._model.shared}
        return self._model.batches(count, feed, self.selection.tensors, shared)

    def watch(self, codes: Array) -> tuple[Array, Array]:
        """Return the targets and the watched numbers for each coalition.

        Parameters
        ----------
        codes : array (M, ...)
            Coalitions (M, P), or other codes of the removal.

        Returns
        -------
        arrays of float64, (M, R T) and (M, R W)
            Averaged over the baselines.

        Raises
        ------
        BudgetError
            The coalitions cost more than the remaining budget; nothing is evaluated.
        OutputError
            The model returns NaN or infinity.
        """
        draws, count = self.removal.draws, len(codes)
        cost = count * draws
        if self.budget is not None and self.evaluations + cost > self.budget:
            raise BudgetError(
                f"{cost} model evaluations are needed, but {self.budget - self.evaluations} of the budget of "
                f"{self.budget} are left. Raise the budget, or use fewer features."
            )
        means = np.zeros((self.samples, count, self._all))
        if count and self._rows is not None:
            self._fill_blocks(self._rows, codes, means)
        elif count and self._neighbours:
            self._fill_near(self._neighbours[0], codes, means[0])
        elif count and self._applier is not None:
            self._fill_rows(self._applier, codes, means[0])
        by_code, further = means.transpose(1, 0, 2), self._all - self._explained
        explained = by_code[:, :, : self._explained].reshape(count, self.targets)
        return explained, by_code[:, :, self._explained :].reshape(count, self.samples * further)

    def _fill_blocks(self, rows: ShortRows, codes: Array, means: Array) -> None:
        """Write the means over the baselines, (R, M, T + W)."""
        try:
            for block in rows.evaluate(codes, np.flatnonzero(self._open)):
                means[block.samples, block.codes] = block.values
                self._spent.add(self._numbers[block.samples], block.spent)
        except NotFiniteError as error:
            raise self._not_finite(error.code, error.sample) from None

    def _fill_rows(self, applied: Applier, codes: Array, means: Array) -> None:
        """Write the means over the baselines, (M, T + W)."""
        draws, weights = self.removal.draws, self._weights
        for rows, draw, values in applied.evaluate(codes):
            if not np.isfinite(values).all():
                raise self._not_finite(int(rows[int(np.argmin(np.isfinite(values).all(axis=1)))]), 0)
            if draws == 1:
                means[rows] = values
            else:
                weighed = values if weights is None else values * weights[draw, None]
                # Row by row, so that each coalition's sum has the same order for any batch size.
                for t in range(self._all):
                    np.add.at(means[:, t], rows, weighed[:, t])
            self._spent.add(self._numbers, len(rows))
            progress.advance(len(rows))
        if weights is None and draws > 1:
            means /= draws

    def _fill_near(self, neighbours: Neighbours, codes: Array, means: Array) -> None:
        """Write the means over the baselines near the sample, (M, T + W): only these are evaluated."""
        removal, weights = self.removal, neighbours.weights(codes)
        rows, draws = np.nonzero(weights)

        def feed(start: int, stop: int) -> dict[str, Array]:
            inputs = {n: np.empty((stop - start, *a.shape), dtype=a.dtype) for n, a in removal.sample.own.items()}
            removal.begin(inputs)
            for n, (row, draw) in enumerate(zip(rows[start:stop].tolist(), draws[start:stop].tolist(), strict=True)):
                one = {name: array[n : n + 1] for name, array in inputs.items()}
                removal.fill(codes[row : row + 1], slice(draw, draw + 1), one)
            return inputs

        for start, stop, outputs in self._batches(len(rows), feed):
            values, some = self.selection.select(outputs), rows[start:stop]
            if not np.isfinite(values).all():
                raise self._not_finite(int(some[int(np.argmin(np.isfinite(values).all(axis=1)))]), 0)
            for t in range(self._all):
                np.add.at(means[:, t], some, values[:, t] * weights[some, draws[start:stop]])
            self._spent.add(self._numbers, stop - start)
            progress.advance(stop - start)

    def _not_finite(self, code: int, sample: int) -> OutputError:
        return OutputError(
            f"{self._name} returns NaN or infinity where features are removed (coalition {code} of "
            f"sample {self._numbers[sample]}). Choose another baseline."
        )


@final
class BySample(list[Entry]):
    """An entry for each of R samples."""
