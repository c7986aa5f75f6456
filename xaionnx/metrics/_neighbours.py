"""The base of metrics that explain inputs near each sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.gradients.value_ranges import value_ranges
from xaionnx.hooks import hook
from xaionnx.parameters import choice, integer, random_seed, real
from xaionnx.perturb.element_types import is_mixable, nearest_of_type
from xaionnx.runtime import progress
from xaionnx.targets.scores import flat
from xaionnx.typing import Array

# Numbers of inputs that are explained at once.
_NUMBERS: Final = 2**23
# The least size that is divided by, as a share of the largest, and the least change.
_LEAST, _LEAST_CHANGE = 1e-6, 1e-3


class Point(NamedTuple):
    """What a metric compares: values, inputs, scores of classes and a tensor, each (F,), or (D, F) for D neighbours."""

    values: Array
    x: Array
    scores: Array
    tensor: Array


@dataclass(frozen=True, kw_only=True)
class ByNeighbours(Metric):
    """A metric that compares the explanation of a sample with those of inputs near it, for the same target.

    Neighbours are drawn from a cube around the sample, ``uniform`` or among its ``corners``. Its half side is
    ``radius`` times the range of the input: from black to white, ``max(|x_j|, 1)`` for column j of a row, else from the
    lowest to the highest value. Whole numbers are moved if they are pixels or sound.
    """

    needs: ClassVar[tuple[str, ...]] = ("method",)
    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    draws: int = integer(10, "number of neighbours of each sample", low=1)
    radius: float = real(
        0.02, "half side of the cube of neighbours, as a share of the input's range", low=0, low_open=True
    )
    neighbours: str = choice("uniform", ("uniform", "corners"), "where in the cube neighbours lie")
    seed: int = random_seed("seed of the neighbours")

    @final
    def measure(self, evidence: Evidence) -> Measure:
        count, name = len(evidence.samples), self.compared_tensor(evidence)
        here = self._point(evidence, name, np.arange(count), evidence)
        near = [self._point(one, name, rows, evidence) for one, rows in self._neighbours(evidence)]
        joined = Point(*(np.concatenate(each).reshape(self.draws, count, -1) for each in zip(*near, strict=True)))
        each = []
        for n in range(count):
            own = Point(*(array[n] for array in here))
            # Whole numbers, and floats of few digits, may round a small step away.
            differ = (joined.x[:, n] != own.x).any(axis=-1)
            if differ.any():
                each.append(self.score(own, Point(*(array[differ, n] for array in joined))))
            else:
                each.append(undefined("every neighbour is rounded to the input itself: raise the radius"))
        return measured(each)

    @abstractmethod
    def score(self, here: Point, near: Point) -> SampleMeasure:
        """The score of a sample, from itself and its neighbours."""

    @hook
    def compared_tensor(self, evidence: Evidence) -> str | None:
        """The name of the tensor whose values the metric compares; None, the default, if it compares none."""
        del evidence
        return None

    def _point(self, evidence: Evidence, name: str | None, rows: Array, whole: Evidence) -> Point:
        """What is compared of inputs, which belong to the samples ``rows`` of ``whole``."""
        resolved, feeds = evidence.resolved, evidence.request.feeds
        scores = flat(resolved.outputs[resolved.terms[0].tensor]).astype(np.float64)
        if scores.shape[1] == 1 and resolved.quantities[0] == "probability":
            # The probability of one of two classes.
            scores = np.concatenate([1 - scores, scores], axis=1)
        x = np.concatenate([feeds[n].reshape(len(rows), -1).astype(np.float64) for n in evidence.attributions], axis=1)
        tensor = np.zeros((len(rows), 0))
        if name is not None:
            found = resolved.outputs.get(name)
            if found is None:
                progress.expect(len(rows))
                found = evidence.model.with_outputs([name]).run(feeds, [name])[name]
                whole.request.evaluations.add(rows)
                progress.advance(len(rows))
            tensor = found.reshape(len(rows), -1).astype(np.float64)
        return Point(evidence.flat, x, scores, tensor)

    def _neighbours(self, evidence: Evidence) -> Iterator[tuple[Evidence, Array]]:
        """The evidence of neighbours and their samples, all samples of one draw before those of the next."""
        feeds, count = evidence.request.feeds, len(evidence.samples)
        names = [name for name in evidence.attributions if is_mixable(evidence.samples[0], name)]
        if not names:
            raise InputMismatchError(
                f"{type(self).__name__} explains inputs near each sample, and the explained inputs hold categories or "
                "text, which have no near ones."
            )
        numbers = sum(feeds[name].size for name in names)
        at_once = min(self.draws, max(1, _NUMBERS // max(1, numbers)))
        for start in range(0, self.draws, at_once):
            draws = range(start, min(start + at_once, self.draws))
            moved = {n: a if n in evidence.model.shared else np.concatenate([a] * len(draws)) for n, a in feeds.items()}
            for number, name in enumerate(names):
                steps = [self._step(evidence.samples[n], name, (draw, number)) for draw in draws for n in range(count)]
                moved[name] = nearest_of_type(moved[name] + np.stack(steps), feeds[name].dtype)
            rows = np.tile(np.arange(count), len(draws))
            yield evidence.explain(moved, rows), rows

    def _step(self, sample: Sample, name: str, key: tuple[int, int]) -> Array:
        """The step from a sample to its neighbour ``key[0]`` in the input number ``key[1]``."""
        rng, shape = np.random.default_rng([self.seed, *key]), sample.x[name].shape
        unit = rng.choice([-1.0, 1.0], shape) if self.neighbours == "corners" else rng.uniform(-1, 1, shape)
        return np.asarray(self.radius * value_ranges(sample, name) * unit)


def norm(array: Array) -> Array:
    """Return the Euclidean norm along the last axis."""
    return np.asarray(np.sqrt(np.square(array).sum(axis=-1)))


def same_class(here: Point, near: Point) -> Array:
    """Return which neighbours (D,) have the class of the sample, that of the highest score."""
    return np.asarray(near.scores.argmax(axis=-1) == here.scores.argmax())


def relative(moved: Array, here: Array) -> Array:
    """Return changes (D, F) divided by what they change, (F,), element by element.

    Elements below 1e-6 of the largest are taken as that, so that units cancel.

    Examples
    --------
    >>> relative(np.array([[3.0, 1.5], [0.0, 1.0]]), np.array([2.0, 1.0])).tolist()
    [[0.5, 0.5], [-1.0, 0.0]]
    """
    least = _LEAST * (np.abs(here).max(initial=0) or 1.0)
    size = np.where(np.abs(here) < least, np.where(here < 0, -least, least), here)
    return np.asarray((moved - here) / size)


def highest_ratio(here: Point, near: Point, changes: Array) -> SampleMeasure:
    """Return the largest relative change of the values over changes (D, F), among neighbours of the same class."""
    same = same_class(here, near)
    if not same.any():
        return undefined("every neighbour has another class: lower the radius")
    if not here.values.any():
        return undefined("all values are 0")
    ratios = norm(relative(near.values, here.values)) / np.maximum(norm(changes), _LEAST_CHANGE)
    return SampleMeasure(float(ratios[same].max()))
