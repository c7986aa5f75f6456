"""Finite differences: gradients from the model's answers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import ParameterError
from xaionnx.explainers._sources.source import At, Piece, Question, Source
from xaionnx.parameters import check_all, free, integer
from xaionnx.perturb.element_types import value_range
from xaionnx.perturb.features import Features
from xaionnx.perturb.sample import Sample

Array = npt.NDArray[Any]

# Samples whose partition, and points whose two ends, are kept.
_SAMPLES, _POINTS = 64, 16


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class FiniteDifferences:
    """Central differences of the model's answers f, for gradients of models that cannot be differentiated.

    One by one, each feature p, of n_p elements, moves by its step h_p up and down::

        D_p = (f(x + h_p 1_p) - f(x - h_p 1_p)) / (2 h_p)

    is the derivative along its indicator 1_p. Each of its elements gets D_p / n_p, so that a feature's values add up
    to D_p; for single elements D_p is the partial derivative. That takes 2 P evaluations for P features.

    With M random ``directions`` all features move at once, each up or down with equal chance::

        D_p = mean over the directions u of  u_p (f(x + sum_q u_q h_q 1_q) - f(x - sum_q u_q h_q 1_q)) / (2 h_p)

    in 2 M evaluations. Its standard error is about ``|D| / sqrt(M)`` (in units of the step), for every feature, and is
    part of the result of saliency and input_x_gradient. Signs beat normal numbers, as a feature's own slope adds
    nothing to its variance. Direction i depends on (seed, point, i) alone: points along a path are independent draws.

    Parameters
    ----------
    features : optional
        None for single elements, or Features, their shorthand, or label maps; those of a path are of its sample.
    directions : int or None
        Random directions for each gradient; None to move one feature after another.
    step : float, array or None
        A number is a share of the input's value range; an array is in the input's own units and broadcasts to it
        without its batch axis. The elements of a feature move by its largest. By default ``(eps / n)^(1/3) / 2`` of
        the range, where n elements move at once and eps is the precision of the coarsest of the tensors, 1.2e-7 for
        float32: 0.25 % of the range for a single element.
    seed : int
        Of the directions.

    Notes
    -----
    The value range is from black to white where an InputSpec tells; in a row of columns ``max(|x_j|, 1)`` for each
    column; else from the lowest to the highest value of the sample. A step function, such as a forest, has slopes of 0
    almost everywhere: give it a step as wide as the changes that you ask about; ``auto`` does not choose one.

    Measured against the built gradient, in random directions of all pixels, of superpixels and of single elements:
    relative errors of 0.05 to 0.1, 0.03 and 0.05 with EfficientNet-Lite0, whose slope bends within a thousandth of the
    range, and 0.002 to 0.005 with small networks.

    References
    ----------
    Spall, Multivariate stochastic approximation using a simultaneous perturbation gradient approximation, IEEE
    Transactions on Automatic Control 1992, doi:10.1109/9.119632 (random signs). Nocedal and Wright, Numerical
    Optimization, 2006, section 8.1 (the step).

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> by_pairs = xaionnx.FiniteDifferences(features=[0, 0, 1], step=0.25)
    >>> found = xaionnx.explain(model, np.ones((1, 3), np.float32), "saliency", absolute=False, gradient=by_pairs)
    >>> found.values, found.diagnostics["evaluations"]
    (array([[ 1.5,  1.5, -3. ]], dtype=float32), [5])
    """

    features: Any = free(None, "None, a name such as 'superpixels', a label map or Features", "what moves at once")
    directions: int | None = integer(None, "random directions", low=2, high=2**31 - 1, optional=True)
    step: Any = free(None, "a float in (0, inf), an array of them in the input's units, or None", "how far")
    seed: int = integer(0, "seed of the directions", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        check_all(self)
        if self.step is not None:
            steps = np.asarray(self.step)
            if steps.dtype.kind not in "fiu" or not np.isfinite(steps).all() or (steps <= 0).any():
                raise ParameterError(
                    "The 'step' parameter of FiniteDifferences must be a float in (0, inf), an array of them in the "
                    f"input's units, or None. Got {self.step!r} instead."
                )
        if self.features is not None:
            Features.of(self.features)

    @classmethod
    def of(cls, text: str) -> FiniteDifferences:
        """Read ``finite_differences`` and what follows its colons, in any order.

        That is features as :meth:`Features.of` reads them, ``random:M`` for M directions, ``step=...``, ``seed=...``.

        Raises
        ------
        ParameterError, UnknownNameError
            A part is none of these, or out of range.

        Examples
        --------
        >>> FiniteDifferences.of("finite_differences:superpixels:100:step=0.01")
        FiniteDifferences(features='superpixels:100', directions=None, step=0.01, seed=0)
        >>> FiniteDifferences.of("finite_differences:random:500").directions
        500
        """
        name, *parts = text.split(":")
        given: dict[str, Any] = {}
        features: list[str] = []
        try:
            if name != "finite_differences":
                raise ValueError(name)
            while parts:
                part = parts.pop(0)
                key, equals, value = part.partition("=")
                if part == "random":
                    given["directions"] = int(parts.pop(0))
                elif equals:
                    given[key] = {"step": float, "seed": int}[key](value)
                else:
                    features.append(part)
        except (ValueError, KeyError, IndexError):
            raise ParameterError(
                f"'{text}' is no source of gradients. Write finite_differences, then as needed :FEATURES such as "
                ":superpixels:100, :random:DIRECTIONS, :step=SHARE and :seed=INT."
            ) from None
        return cls(features=":".join(features) or None, **given)


@final
@dataclass(frozen=True, eq=False)
class _Partition:
    """The P features of one sample.

    Attributes
    ----------
    labels : dict of arrays of int by input name
        The feature of each element; no feature reaches into two inputs.
    steps : array (P,)
        In the input's units.
    """

    labels: dict[str, Array]
    steps: Array


@final
@dataclass(frozen=True, eq=False)
class _Point:
    """Where a gradient is asked, and how far each feature can go in the input's own precision."""

    partition: _Partition
    x: dict[str, Array]
    up: dict[str, Array]
    down: dict[str, Array]
    ways: Array  # (P,) the sum over a feature's elements of up - down
    key: int

    def moved(self, features: Array, upwards: bool) -> dict[str, Array]:
        """The point with some features (P,) moved, the others as they are."""
        ends = self.up if upwards else self.down
        return {name: np.where(features[labels], ends[name], self.x[name]) for name, labels in self._labels()}

    def signed(self, up: Array) -> dict[str, Array]:
        """The point with some features (P,) moved up and all others down."""
        return {name: np.where(up[labels], self.up[name], self.down[name]) for name, labels in self._labels()}

    def spread(self, values: Array) -> dict[str, Array]:
        """Values (t, P) of the features, each given to its elements: (t, ...) by input name."""
        return {name: values[:, labels].astype(self.x[name].dtype) for name, labels in self._labels()}

    def _labels(self) -> Iterator[tuple[str, Array]]:
        yield from self.partition.labels.items()


@final
class Differences(Source):
    """Central differences of a question's model."""

    def __init__(self, options: FiniteDifferences, question: Question) -> None:
        self._options, self._question = options, question
        self._partition = lru_cache(maxsize=_SAMPLES)(self._partitioned)

    @property
    def name(self) -> str:
        return "finite_differences"

    def facts(self) -> Any:
        given, asked = self._options, self._question
        used = [self._partition(n) for n in range(len(asked.samples))]
        steps = [p.steps[labels] for p in used for labels in p.labels.values()]
        return {
            "kind": "FiniteDifferences",
            "features": None if given.features is None else Features.of(given.features).resolved(asked.samples[0]),
            "directions": given.directions,
            "step": given.step,
            "smallest_step": min(float(each.min()) for each in steps),
            "largest_step": max(float(each.max()) for each in steps),
            "seed": given.seed,
        }

    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        if not len(sample):
            return
        asked, directions = self._question, self._options.directions
        first = self._first_of_each_place(sample, target, points)
        moves = np.array([directions or len(self._partition(sample[row]).steps) for row in first])
        ends = np.cumsum(2 * moves)
        point = lru_cache(maxsize=_POINTS)(
            lambda place: self._point(int(sample[first[place]]), points, int(first[place]))
        )

        def places(start: int, stop: int) -> tuple[Array, Array]:
            numbers = np.arange(start, stop)
            place = np.searchsorted(ends, numbers, side="right")
            return place, numbers - (ends - 2 * moves)[place]

        def moved(start: int, stop: int) -> tuple[Array, dict[str, Array]]:
            place, number = places(start, stop)
            each = [self._moved(point(k), *divmod(i, 2)) for k, i in zip(place.tolist(), number.tolist(), strict=True)]
            return sample[first[place]], {name: np.stack([x[name] for x in each]) for name in asked.names}

        above: Array = np.zeros(asked.resolution.own)
        total, squares = above, above
        for start, stop, values in asked.values(int(ends[-1]), moved):
            place, number = places(start, stop)
            np.add.at(asked.spent, sample[first[place]], 1)
            for k, i, value in zip(place.tolist(), number.tolist(), values, strict=True):
                move, second = divmod(i, 2)
                if not second:
                    above = value
                    continue
                with np.errstate(invalid="ignore"):  # of infinities; the result is refused
                    change = above - value
                here = point(k)
                if move == 0:
                    total, squares = np.zeros((len(change), len(here.ways))), np.zeros(len(change))
                if directions is None:
                    total[:, move] = change
                else:
                    total += np.where(self._signs(here, move), change[:, None], -change[:, None])
                    squares += change**2
                if move + 1 == moves[k]:
                    rows = np.arange(first[k], first[k + 1] if k + 1 < len(first) else len(sample))
                    yield self._piece(here, rows, total[target[rows]], squares[target[rows]])

    def _first_of_each_place(self, sample: Array, target: Array, points: At) -> Array:
        """The first of rows that follow each other at the same point: they share their evaluations."""
        rows = np.arange(len(sample))
        new = np.ones(len(rows), dtype=bool)
        for row in rows[1:][(sample[1:] == sample[:-1]) & (target[1:] != target[:-1])]:
            pair = points(np.array([row - 1, row]))
            new[row] = not all(np.array_equal(x[0], x[1], equal_nan=True) for x in pair.values())
        return rows[new]

    def _moved(self, point: _Point, move: int, second: int) -> dict[str, Array]:
        if self._options.directions is not None:
            signs = self._signs(point, move)
            return point.signed(~signs if second else signs)
        chosen = np.zeros(len(point.ways), dtype=bool)
        chosen[move] = True
        return point.moved(chosen, not second)

    def _signs(self, point: _Point, move: int) -> Array:
        count = len(point.ways)
        drawn = np.random.default_rng([self._options.seed, point.key, move]).bytes((count + 7) // 8)
        return np.unpackbits(np.frombuffer(drawn, np.uint8), count=count).astype(bool)

    def _piece(self, point: _Point, rows: Array, total: Array, squares: Array) -> Piece:
        """From the summed changes (t, P), and the sums of their squares (t,), for the rows of a place."""
        count = self._options.directions
        if count is None:
            return Piece(rows, point.spread(total / point.ways))
        mean = total / count
        variance = np.maximum(squares[:, None] / count - mean**2, 0) * count / (count - 1)
        errors = np.sqrt(variance / count) / point.ways
        return Piece(rows, point.spread(mean / point.ways), point.spread(errors))

    def _point(self, number: int, points: At, row: int) -> _Point:
        partition = self._partition(number)
        x = {name: array[0] for name, array in points(np.array([row])).items()}
        up, down, ways = {}, {}, np.zeros(len(partition.steps))
        digest = hashlib.blake2b(digest_size=8)
        for name, labels in partition.labels.items():
            step, wide = partition.steps[labels], x[name].astype(np.float64)
            up[name], down[name] = (wide + step).astype(x[name].dtype), (wide - step).astype(x[name].dtype)
            way = up[name].astype(np.float64) - down[name]
            ways += np.bincount(labels.reshape(-1), way.reshape(-1), len(ways))
            digest.update(np.ascontiguousarray(x[name]).tobytes())
        if (ways <= 0).any():
            lost = float(partition.steps[ways <= 0].min())
            raise ParameterError(
                f"A step of {lost:g} is lost in the rounding of the input. Give finite differences a larger step."
            )
        return _Point(partition, x, up, down, ways, int.from_bytes(digest.digest(), "little"))

    def _partitioned(self, number: int) -> _Partition:
        asked, sample = self._question, self._question.samples[number]
        given = None if self._options.features is None else Features.of(self._options.features).label_maps(sample)
        labels: dict[str, Array] = {}
        steps: list[Array] = []
        first = 0
        together = sum(sample.x[name].size for name in asked.names)
        for name in asked.names:
            shape = sample.x[name].shape
            flat = np.arange(sample.x[name].size) if given is None else self._inner(given, name, shape)
            sizes = np.bincount(flat)
            moved = sizes if self._options.directions is None else np.full(len(sizes), together)
            steps.append(self._steps(sample, name, flat, moved))
            labels[name] = (flat + first).reshape(shape)
            first += len(sizes)
        return _Partition(labels, np.concatenate(steps))

    def _inner(self, given: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
        """Features 0..P-1 within one input, flat."""
        if name not in given:
            raise ParameterError(
                f"The features of finite differences leave out input '{name}'. Give a label map for each of "
                f"{', '.join(self._question.names)} by name, or leave the features out."
            )
        numbered = np.unique(np.broadcast_to(given[name], shape), return_inverse=True)[1]
        return numbered.reshape(-1)

    def _steps(self, sample: Sample, name: str, labels: Array, moved: Array) -> Array:
        """The step of each feature of an input, in its units: (P,)."""
        x, step = sample.x[name], self._options.step
        largest = np.zeros(len(moved))
        if step is None or (np.ndim(step) == 0 and not isinstance(step, np.ndarray)):
            np.maximum.at(largest, labels, np.broadcast_to(spans(sample, name), x.shape).reshape(-1))
            if step is not None:
                return largest * float(step)
            types = [x.dtype, *(self._question.resolution.model.output(t).dtype for t in self._tensors())]
            eps = max(float(np.finfo(kind).eps) for kind in types if kind.kind == "f")
            return np.asarray(largest * np.cbrt(eps / moved) / 2)
        steps = np.asarray(step, dtype=np.float64)
        try:
            np.maximum.at(largest, labels, np.broadcast_to(steps, x.shape).reshape(-1))
        except ValueError:
            raise ParameterError(
                f"The 'step' parameter of FiniteDifferences has the shape {steps.shape}, which does not broadcast to "
                f"input '{name}' of shape {('N', *x.shape)} without its batch axis."
            ) from None
        return largest

    def _tensors(self) -> list[str]:
        return self._question.resolution.selection.tensors


def spans(sample: Sample, name: str) -> Array:
    """The value range that steps are a share of, broadcasting to the input.

    From black to white where a spec tells; ``max(|x_j|, 1)`` of each column of a row; else from the lowest to the
    highest value, or the largest size where all are equal.
    """
    x = np.asarray(sample.x[name], dtype=np.float64)
    if x.ndim < 2 and sample.pixels_of(name) is None:
        return np.maximum(np.abs(x), 1)
    low, high = value_range(sample, name)
    widest = float(np.max(high - low))
    return np.asarray(widest if widest > 0 else max(float(np.abs(x).max()), 1.0))
