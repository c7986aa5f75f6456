"""Finite differences: gradients from the model's outputs alone."""

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
from xaionnx.gradients.source import GradientRequest, InputsAt, Piece, Source
from xaionnx.perturb.features import Features
from xaionnx.perturb.value_ranges import value_ranges
from xaionnx.student import student
from xaionnx.typing import Array, GradientLike

# Numbers of samples whose partitions, and of points whose end points, are cached.
_SAMPLES, _POINTS = 64, 16


@final
@dataclass(frozen=True, eq=False)
class _Partition:
    """The P features of one sample.

    Attributes
    ----------
    labels : dict of arrays of int by input name
        The feature of each element; each feature belongs to one input.
    steps : array (P,)
        In the units of the input.
    """

    labels: dict[str, Array]
    steps: Array


@final
@dataclass(frozen=True, eq=False)
class _Point:
    """A point of a gradient, with both end points of each feature in the input's precision."""

    partition: _Partition
    x: dict[str, Array]
    up: dict[str, Array]
    down: dict[str, Array]
    widths: Array  # (P,) the sum over a feature's elements of up - down
    key: int

    def with_moved(self, features: Array, upwards: bool) -> dict[str, Array]:
        """Return the point with some of the features (P,) moved."""
        ends = self.up if upwards else self.down
        return {name: np.where(features[labels], ends[name], self.x[name]) for name, labels in self._labels()}

    def with_signs(self, up: Array) -> dict[str, Array]:
        """Return the point with some of the features (P,) moved up and all others down."""
        return {name: np.where(up[labels], self.up[name], self.down[name]) for name, labels in self._labels()}

    def spread(self, values: Array) -> dict[str, Array]:
        """Return values (U, P) of the features as values of their elements, (U, 1, ...) by input name."""
        return {
            name: values[:, None, labels].astype(np.result_type(self.x[name].dtype, np.float32))
            for name, labels in self._labels()
        }

    def _labels(self) -> Iterator[tuple[str, Array]]:
        yield from self.partition.labels.items()


@final
class Differences(Source):
    """Gradients by central differences of the model's outputs."""

    words: ClassVar[str] = "finite_differences[:FEATURES][:random:DIRECTIONS][:step=SHARE][:seed=INT]"

    def __init__(self, options: FiniteDifferences, request: GradientRequest) -> None:
        self._options, self._request = options, request
        self._partition = lru_cache(maxsize=_SAMPLES)(self._partition_of)

    @classmethod
    def accepts(cls, given: object) -> bool:
        if isinstance(given, str) and given.partition(":")[0] == "finite_differences":
            FiniteDifferences.of(given)
            return True
        return isinstance(given, FiniteDifferences)

    @classmethod
    def of(cls, given: GradientLike, request: GradientRequest) -> Differences:
        options = FiniteDifferences.of(given) if isinstance(given, str) else given
        assert isinstance(options, FiniteDifferences)  # it takes no others
        return cls(options, request)

    @property
    def name(self) -> str:
        return "finite_differences"

    def facts(self) -> object:
        given, request = self._options, self._request
        used = [self._partition(n) for n in range(len(request.samples))]
        steps = [p.steps[labels] for p in used for labels in p.labels.values()]
        return {
            "kind": "FiniteDifferences",
            "features": None if given.features is None else Features.of(given.features).resolved(request.samples[0]),
            "directions": given.directions,
            "step": given.step,
            "smallest_step": min(float(each.min()) for each in steps),
            "largest_step": max(float(each.max()) for each in steps),
            "seed": given.seed,
        }

    def at(self, sample: Array, target: Array, points: InputsAt) -> Iterator[Piece]:
        if not len(sample):
            return
        request, directions = self._request, self._options.directions
        moves = np.array([directions or len(self._partition(number).steps) for number in sample])
        ends = np.cumsum(2 * moves)
        point = lru_cache(maxsize=_POINTS)(lambda position: self._point(int(sample[position]), points, position))

        def positions(start: int, stop: int) -> tuple[Array, Array]:
            numbers = np.arange(start, stop)
            position = np.searchsorted(ends, numbers, side="right")
            return position, numbers - (ends - 2 * moves)[position]

        def samples(start: int, stop: int) -> Array:
            return np.asarray(sample[positions(start, stop)[0]])

        def moved(start: int, stop: int) -> dict[str, Array]:
            each = [
                self._moved(point(int(k)), *divmod(int(i), 2)) for k, i in zip(*positions(start, stop), strict=True)
            ]
            return {name: np.stack([x[name] for x in each]) for name in request.names}

        above: Array = np.zeros(request.resolved.count)
        total, squares = above, above
        for start, stop, values in request.values(int(ends[-1]), samples, moved):
            for k, i, value in zip(*positions(start, stop), values, strict=True):
                move, second = divmod(int(i), 2)
                if not second:
                    above = value
                    continue
                with np.errstate(invalid="ignore"):  # infinities raise an error later
                    change = above - value
                here = point(int(k))
                if move == 0:
                    total, squares = np.zeros((len(change), len(here.widths))), np.zeros(len(change))
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
            return point.with_signs(~signs if second else signs)
        chosen = np.zeros(len(point.widths), dtype=bool)
        chosen[move] = True
        return point.with_moved(chosen, not second)

    def _signs(self, point: _Point, move: int) -> Array:
        count = len(point.widths)
        drawn = np.random.default_rng([self._options.seed, point.key, move]).bytes((count + 7) // 8)
        return np.unpackbits(np.frombuffer(drawn, np.uint8), count=count).astype(bool)

    def _piece(self, point: _Point, row: int, total: Array, squares: Array) -> Piece:
        """The gradients from the summed changes (U, P) at a point, and from their summed squares (U,)."""
        count = self._options.directions
        errors = None
        if count is None:
            slopes = total / point.widths
        else:
            mean = total / count
            variance = np.maximum(squares[:, None] / count - mean**2, 0) * count / (count - 1)
            slopes = mean / point.widths
            errors = point.spread(student(count - 1) * np.sqrt(variance / count) / point.widths)
        return Piece(np.arange(len(total)), np.array([row]), point.spread(slopes), errors)

    def _point(self, number: int, points: InputsAt, row: int) -> _Point:
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

    def _partition_of(self, number: int) -> _Partition:
        request, sample = self._request, self._request.samples[number]
        given = None if self._options.features is None else Features.of(self._options.features).label_maps(sample)
        labels: dict[str, Array] = {}
        steps: list[Array] = []
        first = 0
        together = sum(sample.x[name].size for name in request.names)
        for name in request.names:
            shape = sample.x[name].shape
            flat = np.arange(sample.x[name].size) if given is None else self._features_of_input(given, name, shape)
            sizes = np.bincount(flat)
            moved = sizes if self._options.directions is None else np.full(len(sizes), together)
            steps.append(self._steps(sample, name, flat, moved))
            labels[name] = (flat + first).reshape(shape)
            first += len(sizes)
        return _Partition(labels, np.concatenate(steps))

    def _features_of_input(self, given: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
        """The features 0..P-1 of one input, flattened."""
        if name not in given:
            raise ParameterError(
                f"The features of finite differences leave out input '{name}'. Give a label map for each of "
                f"{', '.join(self._request.names)} by name, or leave the features out."
            )
        numbered = np.unique(np.broadcast_to(given[name], shape), return_inverse=True)[1]
        return numbered.reshape(-1)

    def _steps(self, sample: Sample, name: str, labels: Array, moved: Array) -> Array:
        """The step (P,) of each feature of an input, in the units of the input."""
        x, step = sample.x[name], self._options.step
        largest = np.zeros(len(moved))
        if step is None or (np.ndim(step) == 0 and not isinstance(step, np.ndarray)):
            np.maximum.at(largest, labels, np.broadcast_to(value_ranges(sample, name), x.shape).reshape(-1))
            if step is not None:
                return largest * float(step)
            types = [x.dtype, *(self._request.resolved.model.output(t).dtype for t in self._tensors())]
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
        return self._request.resolved.selection.tensors
