"""Explanations of noisy copies joined into one."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, final

import numpy as np

from xaionnx.explanation import Arrays, Explanation
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array


@final
class Joined:
    """A statistic of the explanations of copies of N samples.

    Parameters
    ----------
    resolution : ResolvedTargets
        Of the clean samples.
    statistic : str
        See :class:`Moments`.
    players : bool
        Whether every copy has the players of its clean sample; their values are joined then.
    """

    def __init__(self, resolution: ResolvedTargets, statistic: str, players: bool) -> None:
        self._resolution, self._players = resolution, players
        self._samples, self._axis = resolution.values.shape[1], int(resolution.several)
        self._moments: defaultdict[str, Moments] = defaultdict(lambda: Moments(statistic))
        self._means: defaultdict[str, Moments] = defaultdict(lambda: Moments("mean"))
        self._spent: dict[str, Array] = {}
        self._gap: Array | None = None
        self._last: Explanation | None = None

    def add(self, found: Explanation) -> None:
        """Take the explanation of some copies into account: all samples of the first, then those of the next."""
        self._last = found
        for name, array in _named(found.feature_values if self._players else found.values).items():
            self._add(self._moments[name], array)
        for name in ("prediction", "baseline_prediction"):
            if getattr(found, name) is not None:
                self._add(self._means[name], getattr(found, name))
        told = found.diagnostics
        for key in ("evaluations", "gradients"):
            if key in told:
                spent = np.reshape(told[key], (-1, self._samples)).sum(axis=0)
                self._spent[key] = self._spent.get(key, 0) + spent
        if "relative_gap" in told:
            gaps = np.array(told["relative_gap"])
            gap = gaps.reshape(-1, self._samples, *gaps.shape[1:]).max(axis=0)
            self._gap = gap if self._gap is None else np.maximum(gap, self._gap)

    def _add(self, moments: Moments, array: Array) -> None:
        for copy in np.split(array, array.shape[self._axis] // self._samples, axis=self._axis):
            moments.add(copy.astype(np.float64))

    def record(
        self, method: str, seconds: float, provenance: dict[str, Any], layer: dict[str, Any] | None = None
    ) -> Explanation:
        """What was joined, as one explanation of the clean samples; ``layer`` where they hold an inner tensor."""
        last, resolution = self._last, self._resolution
        assert last is not None  # whoever joins has added
        layer = last.provenance.get("layer", layer)
        if layer is not None:
            provenance["layer"] = layer
        if "approximations" in last.provenance:
            provenance["approximations"] = last.provenance["approximations"]
        found = {name: moments.joined() for name, moments in self._moments.items()}
        means = {name: moments.joined()[0] for name, moments in self._means.items()}
        like = _named(last.values)
        features: dict[str, Array] = {}
        if self._players:
            features = {name: labels[: self._samples] for name, labels in _named(last.features).items()}
            players = found[_ALONE][0]
            values = {name: self._spread(players, features.get(name), array) for name, array in like.items()}
        else:
            values = {name: statistic for name, (statistic, _) in found.items()}
        several = resolution.several
        alone = list(found) == [_ALONE]
        diagnostics: dict[str, Any] = {
            "evaluations": (self._spent["evaluations"] + 1).tolist(),  # the clean sample's prediction
            **{key: spent.tolist() for key, spent in self._spent.items() if key != "evaluations"},
            "seconds": round(seconds, 6),
            "noisy_prediction": means["prediction"].T.tolist(),
        }
        if self._gap is not None:
            diagnostics["relative_gap"] = self._gap.tolist()
        return Explanation(
            method=method,
            values=_unnamed({name: array.astype(like[name].dtype) for name, array in values.items()}),
            target=resolution.selection.names if several else resolution.selection.names[0],
            prediction=resolution.values if several else resolution.values[0],
            baseline_prediction=means.get("baseline_prediction"),
            feature_values=found[_ALONE][0] if self._players else None,
            features=_unnamed(features) if self._players else None,
            standard_error=found[_ALONE][1] if alone else None,
            maps={} if alone else {f"standard_error_{name}": error for name, (_, error) in found.items()},
            diagnostics=diagnostics,
            provenance=provenance,
        )

    def _spread(self, players: Array, labels: Array | None, like: Array) -> Array:
        """The value of each player at each of its elements, 0 where there is none."""
        shape = like.shape[self._axis + 1 :]
        if labels is None:
            return np.zeros((*like.shape[: self._axis], self._samples, *shape))
        each = [
            np.where(mine < 0, 0.0, players.take(n, axis=self._axis)[..., mine])
            for n, mine in enumerate(np.broadcast_to(labels, (self._samples, *shape)))
        ]
        return np.stack(each, axis=self._axis)


# The name of what has none.
_ALONE = ""


def _named(arrays: Arrays | None) -> dict[str, Array]:
    return arrays if isinstance(arrays, dict) else {_ALONE: np.asarray(arrays)}


def _unnamed(arrays: dict[str, Array]) -> Arrays:
    return arrays[_ALONE] if list(arrays) == [_ALONE] else arrays


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
        self._count = 0
        self._first: Array = np.zeros(())
        self._sums: list[Array] = []

    def add(self, array: Array) -> None:
        """Take one more array into account."""
        quantity = array**2 if self._statistic == "squared" else array
        if self._count == 0:
            self._first = quantity
            powers = 4 if self._statistic == "variance" else 2
            self._sums = [np.zeros(quantity.shape) for _ in range(powers)]
        difference = quantity - self._first
        for power, total in enumerate(self._sums, start=1):
            total += difference**power
        self._count += 1

    def joined(self) -> tuple[Array, Array]:
        """The statistic and its standard error, of two arrays or more."""
        n, raw = self._count, [total / self._count for total in self._sums]
        mean = raw[0]
        second = np.maximum(raw[1] - mean**2, 0)
        variance = second * n / (n - 1)
        if self._statistic != "variance":
            return self._first + mean, np.sqrt(variance / n)
        fourth = raw[3] - 4 * mean * raw[2] + 6 * mean**2 * raw[1] - 3 * mean**4
        return variance, np.sqrt(np.maximum(fourth - second**2, 0) / n)
