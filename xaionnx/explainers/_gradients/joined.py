"""Attributions of noisy copies joined into one."""

from __future__ import annotations

from collections import defaultdict
from typing import final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.typing import Array, Document

# The name of the players' values, which no tensor has.
_PLAYERS = ""


@final
class Joined:
    """A statistic of the attributions of copies of N samples.

    Parameters
    ----------
    samples : int
        The number N of clean samples.
    statistic : str
        See :class:`Moments`.
    players : bool
        Whether every copy has the players of its clean sample; their values are joined then.
    """

    def __init__(self, samples: int, statistic: str, players: bool) -> None:
        self._samples, self._players = samples, players
        self._moments: defaultdict[str, Moments] = defaultdict(lambda: Moments(statistic))
        self._prediction, self._baseline = Moments("mean"), Moments("mean")
        self._gap: Array | None = None
        self._last: Attribution | None = None

    def add(self, found: Attribution, prediction: Array) -> None:
        """Take some copies into account, all samples of the first, then those of the next: their targets are (T, J)."""
        self._last = found
        if self._players:
            assert found.players is not None  # the method has features
            self._add(self._moments[_PLAYERS], found.players.values)
        else:
            for name, array in found.values.items():
                self._add(self._moments[name], array)
        self._add(self._prediction, prediction)
        if found.baseline is not None:
            self._add(self._baseline, found.baseline)
        if "relative_gap" in found.diagnostics:
            gaps = found.diagnostics["relative_gap"]
            gap = gaps.reshape(len(gaps), -1, self._samples).max(axis=1)
            self._gap = gap if self._gap is None else np.maximum(gap, self._gap)

    def _add(self, moments: Moments, array: Array) -> None:
        for copy in np.split(array, array.shape[1] // self._samples, axis=1):
            moments.add(copy.astype(np.float64))

    def attribution(self) -> Attribution:
        """What was joined, as that of the clean samples."""
        last = self._last
        assert last is not None  # whoever joins has added
        diagnostics: Document = {"noisy_prediction": self._prediction.joined()[0]}
        if self._gap is not None:
            diagnostics["relative_gap"] = self._gap
        found = {name: moments.joined() for name, moments in self._moments.items()}
        players, errors = None, None
        if self._players:
            assert last.players is not None  # as when it was added
            joined, error = found[_PLAYERS]
            labels = {name: array[: self._samples] for name, array in last.players.labels.items()}
            players = PlayerValues(joined, labels, error)
            values = {name: self._spread(joined, labels.get(name), like) for name, like in last.values.items()}
        else:
            values = {name: statistic for name, (statistic, _) in found.items()}
            errors = {name: error for name, (_, error) in found.items()}
        return Attribution(
            values={name: array.astype(last.values[name].dtype) for name, array in values.items()},
            baseline=self._baseline.joined()[0] if self._baseline.count else None,
            standard_error=errors,
            players=players,
            diagnostics=diagnostics,
            facts=last.facts,
        )

    def _spread(self, players: Array, labels: Array | None, like: Array) -> Array:
        """The value (T, N, ...) of each player at each of its elements, 0 where there is none."""
        shape = like.shape[2:]
        if labels is None:
            return np.zeros((len(like), self._samples, *shape))
        each = [
            np.where(mine < 0, 0.0, players[:, n][:, mine])
            for n, mine in enumerate(np.broadcast_to(labels, (self._samples, *shape)))
        ]
        return np.stack(each, axis=1)


@final
class Moments:
    """The ``mean``, the mean of the squares (``squared``) or the ``variance`` of arrays of one shape.

    Sums are of differences to the first array, so that a spread much smaller than the mean is not lost.

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
        """Take one more array into account."""
        quantity = array**2 if self._statistic == "squared" else array
        if self.count == 0:
            self._first = quantity
            powers = 4 if self._statistic == "variance" else 2
            self._sums = [np.zeros(quantity.shape) for _ in range(powers)]
        difference = quantity - self._first
        for power, total in enumerate(self._sums, start=1):
            total += difference**power
        self.count += 1

    def joined(self) -> tuple[Array, Array]:
        """The statistic and its standard error, of two arrays or more."""
        n, raw = self.count, [total / self.count for total in self._sums]
        mean = raw[0]
        second = np.maximum(raw[1] - mean**2, 0)
        variance = second * n / (n - 1)
        if self._statistic != "variance":
            return self._first + mean, np.sqrt(variance / n)
        fourth = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
        return variance, np.sqrt(np.maximum(fourth - second**2, 0) / n)
