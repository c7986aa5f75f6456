"""Statistics of the attributions of noisy copies."""

from __future__ import annotations

from collections import defaultdict
from typing import final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.student import student
from xaionnx.typing import Array, Document

# Name for the players' values; no tensor has an empty name.
_PLAYERS = ""


@final
class CopyStatistics:
    """A statistic of the attributions of noisy copies of N samples.

    Parameters
    ----------
    samples : int
        The number N of clean samples.
    statistic : str
        See :class:`Moments`.
    players : bool
        Whether every copy has the players of its clean sample; the statistic is then that of their values.
    """

    def __init__(self, samples: int, statistic: str, players: bool) -> None:
        self._samples, self._statistic, self._players = samples, statistic, players
        self._moments: defaultdict[str, Moments] = defaultdict(lambda: Moments(statistic))
        self._prediction, self._baseline = Moments("mean"), Moments("mean")
        self._gap: Array | None = None
        self._last: Attribution | None = None

    def add(self, result: Attribution, prediction: Array) -> None:
        """Add copies, with all samples of one copy before those of the next, and their targets (T, J)."""
        self._last = result
        if self._players:
            assert result.players is not None  # the method has features
            self._add(self._moments[_PLAYERS], result.players.values)
        else:
            for name, array in result.values.items():
                self._add(self._moments[name], array)
        self._add(self._prediction, prediction)
        if result.baseline is not None:
            self._add(self._baseline, result.baseline)
        if "relative_gap" in result.diagnostics:
            gaps = result.diagnostics["relative_gap"]
            gap = gaps.reshape(len(gaps), -1, self._samples).max(axis=1)
            self._gap = gap if self._gap is None else np.maximum(gap, self._gap)

    def _add(self, moments: Moments, array: Array) -> None:
        for copy in np.split(array, array.shape[1] // self._samples, axis=1):
            moments.add(copy)

    def attribution(self) -> Attribution:
        """The statistic as the attribution of the clean samples."""
        last = self._last
        assert last is not None  # copies were added before
        diagnostics: Document = {"noisy_prediction": self._prediction.joined()[0]}
        if self._gap is not None:
            diagnostics["relative_gap"] = self._gap
        if self._statistic != "mean":
            diagnostics["no_standard_error"] = [f"a {self._statistic} of few draws is too skewed"] * self._samples
        result = {name: self._moments.pop(name).joined() for name in [*self._moments]}
        players, errors = None, None
        if self._players:
            assert last.players is not None  # as when it was added
            statistic, error = result[_PLAYERS]
            labels = {name: array[: self._samples] for name, array in last.players.labels.items()}
            players = PlayerValues(statistic, labels, error)
            values = {name: self._spread(statistic, labels.get(name), like) for name, like in last.values.items()}
        else:
            values = {name: statistic for name, (statistic, _) in result.items()}
            errors = {name: error for name, (_, error) in result.items() if error is not None} or None
        return Attribution(
            values={name: array.astype(last.values[name].dtype) for name, array in values.items()},
            baseline=self._baseline.joined()[0] if self._baseline.count else None,
            standard_error=errors,
            players=players,
            diagnostics=diagnostics,
            facts=last.facts,
        )

    def _spread(self, players: Array, labels: Array | None, like: Array) -> Array:
        """The value of each player at its elements, (T, N, ...); 0 for elements without a player."""
        shape = like.shape[2:]
        if labels is None:
            return np.zeros((len(like), self._samples, *shape))
        each = [
            np.where(own < 0, 0.0, players[:, n][:, own])
            for n, own in enumerate(np.broadcast_to(labels, (self._samples, *shape)))
        ]
        return np.stack(each, axis=1)


@final
class Moments:
    """The ``mean``, the mean of the squares (``squared``) or the ``variance`` of arrays of one shape.

    Differences from the first array are summed, so that a variance much smaller than the mean is not lost.

    Examples
    --------
    >>> found = Moments("variance")
    >>> for number in (1.0, 2.0, 3.0):
    ...     found.add(np.array(number))
    >>> float(found.joined()[0])
    1.0
    """

    def __init__(self, statistic: str) -> None:
        self._statistic = statistic
        self.count = 0
        self._first: Array = np.zeros(())
        self._sums: list[Array] = []

    def add(self, array: Array) -> None:
        """Add an array."""
        quantity = np.array(array, np.float64)
        if self._statistic == "squared":
            quantity *= quantity
        self.count += 1
        if self.count == 1:
            # A mean of squares has no standard error.
            self._first, sums = quantity, 1 if self._statistic == "squared" else 2
            self._sums = [np.zeros(quantity.shape) for _ in range(sums)]
            return
        quantity -= self._first
        for total in self._sums:
            total += quantity
            quantity *= quantity  # in place: an array may hold the values of many targets

    def joined(self) -> tuple[Array, Array | None]:
        """The statistic and its standard error, from at least two arrays, in place of the sums; only a mean has one."""
        n, (mean, *squares) = self.count, self._sums
        self._sums = []
        mean /= n
        if self._statistic == "squared":
            mean += self._first
            return mean, None
        (variance,) = squares
        variance /= n
        variance -= mean**2
        np.maximum(variance, 0, out=variance)
        variance *= n
        variance /= n - 1
        if self._statistic == "variance":
            return variance, None
        mean += self._first
        variance /= n
        np.sqrt(variance, out=variance)
        variance *= student(n - 1)
        return mean, variance
