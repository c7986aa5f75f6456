"""Finite differences: gradients from the model's answers alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import ParameterError
from xaionnx.gradients.finite_differences import FiniteDifferences
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
from xaionnx.gradients.spans import spans
from xaionnx.perturb.features import Features
from xaionnx.typing import Array, GradientLike

# Samples whose partition, and points whose two ends, are kept.
_SAMPLES, _POINTS = 64, 16


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
        """Values (U, P) of the features, each given to its elements: (U, 1, ...) by input name."""
        return {name: values[:, None, labels].astype(self.x[name].dtype) for name, labels in self._labels()}

    def _labels(self) -> Iterator[tuple[str, Array]]:
        yield from self.partition.labels.items()


@final
class Differences(Source):
    """Central differences of a question's model."""

    words: ClassVar[str] = "finite_differences[:FEATURES][:random:DIRECTIONS][:step=SHARE][:seed=INT]"

    def __init__(self, options: FiniteDifferences, question: GradientRequest) -> None:
        self._options, self._question = options, question
        self._partition = lru_cache(maxsize=_SAMPLES)(self._partitioned)

    @classmethod
    def takes(cls, given: object) -> bool:
        if isinstance(given, str) and given.partition(":")[0] == "finite_differences":
            FiniteDifferences.of(given)
            return True
        return isinstance(given, FiniteDifferences)

    @classmethod
    def of(cls, given: GradientLike, question: GradientRequest) -> Differences:
        options = FiniteDifferences.of(given) if isinstance(given, str) else given
        assert isinstance(options, FiniteDifferences)  # it takes no others
        return cls(options, question)

    @property
    def name(self) -> str:
        return "finite_differences"

    def facts(self) -> object:
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
        moves = np.array([directions or len(self._partition(number).steps) for number in sample])
        ends = np.cumsum(2 * moves)
        point = lru_cache(maxsize=_POINTS)(lambda place: self._point(int(sample[place]), points, place))

        def places(start: int, stop: int) -> tuple[Array, Array]:
            numbers = np.arange(start, stop)
            place = np.searchsorted(ends, numbers, side="right")
            return place, numbers - (ends - 2 * moves)[place]

        def samples(start: int, stop: int) -> Array:
            return np.asarray(sample[places(start, stop)[0]])

        def moved(start: int, stop: int) -> dict[str, Array]:
            each = [self._moved(point(int(k)), *divmod(int(i), 2)) for k, i in zip(*places(start, stop), strict=True)]
            return {name: np.stack([x[name] for x in each]) for name in asked.names}

        above: Array = np.zeros(asked.resolved.count)
        total, squares = above, above
        for start, stop, values in asked.values(int(ends[-1]), samples, moved):
            for k, i, value in zip(*places(start, stop), values, strict=True):
                move, second = divmod(int(i), 2)
                if not second:
                    above = value
                    continue
                with np.errstate(invalid="ignore"):  # of infinities; the result is refused
                    change = above - value
                here = point(int(k))
                if move == 0:
                    total, squares = np.zeros((len(change), len(here.ways))), np.zeros(len(change))
                if directions is None:
                    total[:, move] = change
                else:
                    total += np.where(self._signs(here, move), change[:, None], -change[:, None])
                    squares += change**2
                if move + 1 == moves[k]:
                    yield self._piece(here, int(k), total[target[:, k]], squares[target[:, k]])

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

    def _piece(self, point: _Point, row: int, total: Array, squares: Array) -> Piece:
        """From the summed changes (U, P), and the sums of their squares (U,), at a point."""
        count = self._options.directions
        errors = None
        if count is None:
            slopes = total / point.ways
        else:
            mean = total / count
            variance = np.maximum(squares[:, None] / count - mean**2, 0) * count / (count - 1)
            slopes = mean / point.ways
            errors = point.spread(np.sqrt(variance / count) / point.ways)
        return Piece(np.arange(len(total)), np.array([row]), point.spread(slopes), errors)

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
            types = [x.dtype, *(self._question.resolved.model.output(t).dtype for t in self._tensors())]
            eps = max(float(np.finfo(kind).eps) for kind in types if kind.kind == "f")
            return np.asarray(largest * np.cbrt(eps / moved) / 8)
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
        return self._question.resolved.selection.tensors
