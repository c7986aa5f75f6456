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
from xaionnx.hooks import hook
from xaionnx.parameters import choice, integer, random_seed, real
from xaionnx.perturb.element_types import mixable_elements, nearest_of_type
from xaionnx.perturb.value_ranges import value_ranges
from xaionnx.runtime import progress
from xaionnx.targets.scores import flat
from xaionnx.targets.selection import activate
from xaionnx.typing import Array, Feeds

# Numbers of inputs that are explained at once.
_NUMBERS: Final = 2**23
# The least size that is divided by, as a share of the largest, and the least change.
_LEAST, _LEAST_CHANGE = 1e-6, 1e-3


class Distances(NamedTuple):
    """How far D neighbours are from their sample, (D,) each; (D, N) for N samples.

    Attributes
    ----------
    values, relative_values : array of float64
        Lengths of the change of the values, and of the change divided by the values; see :func:`relative`.
    x, relative_x : array of float64
        The same of the inputs.
    tensor : array of float64
        The length of the change of the tensor that the metric compares, if it names none that of the target's.
    same_class : array of bool
        Whether the highest score is that of the same class.
    """

    values: Array
    relative_values: Array
    x: Array
    relative_x: Array
    tensor: Array
    same_class: Array


@dataclass(frozen=True, kw_only=True)
class ByNeighbours(Metric):
    """A metric that compares the explanation of a sample with those of inputs near it, for the same target.

    Neighbours are drawn from a cube around the sample, ``uniform`` or among its ``corners``. Its half side is
    ``radius`` times the range of the input: from black to white, ``max(|x_j|, 1)`` for column j of a row, else from the
    lowest to the highest value. Whole numbers are moved if they are pixels or sound, and columns of a table unless its
    spec calls them categories, or the graph takes them as some. Metrics with the same neighbours explain them once for
    all.
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
    @property
    def shared_work(self) -> str:
        return f"{self.draws} {self.neighbours} neighbours within {self.radius}, seed {self.seed}"

    @final
    def prepare(self, evidence: Evidence) -> None:
        _ = self._distances(evidence)

    @final
    @property
    def explanations(self) -> int:
        return self.draws

    @final
    def measure(self, evidence: Evidence) -> Measure:
        near, name = self._distances(evidence), self.compared_tensor(evidence)
        if name is not None:
            near = near._replace(tensor=self._of_tensor(evidence, name))
        each = []
        for n in range(len(evidence.samples)):
            # Whole numbers, and floats of few digits, may round a small step away.
            differ = near.x[:, n] > 0
            if differ.any():
                length = float(norm(evidence.flat[n]))
                each.append(self.score(Distances(*(array[differ, n] for array in near)), length))
            else:
                each.append(undefined("every neighbour is rounded to the input itself: raise the radius"))
        return measured(each)

    @abstractmethod
    def score(self, near: Distances, length: float) -> SampleMeasure:
        """The score of a sample, from the distances of its neighbours and the length of its own values."""

    @hook
    def compared_tensor(self, evidence: Evidence) -> str | None:
        """The name of the tensor whose values the metric compares; None, the default, if it is the target's or none."""
        del evidence
        return None

    @hook
    def tensor_distance(self, near: Array, here: Array) -> Array:
        """The distances (D,) of the tensor named, from its values at D neighbours, (D, K), and at the sample, (K,)."""
        return norm(near - here)

    def _distances(self, evidence: Evidence) -> Distances:
        """The distances of all neighbours, (D, N)."""
        return evidence.once(self.shared_work, lambda: self._measured(evidence))

    def _measured(self, evidence: Evidence) -> Distances:
        count, here = len(evidence.samples), _Point.of(evidence)
        parts = []
        for moved, rows in self._moved(evidence):
            near = _Point.of(evidence.explain(moved, rows))
            each = [near.at(n, count).distances_from(here.at(n, count)) for n in range(count)]
            parts.append(Distances(*(np.stack(arrays, axis=1) for arrays in zip(*each, strict=True))))
        return Distances(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _of_tensor(self, evidence: Evidence, name: str) -> Array:
        """The distances (D, N) of a tensor."""
        feeds, count = evidence.request.feeds, len(evidence.samples)
        here = self._tensor(evidence, name, feeds, np.arange(count))
        parts = []
        for moved, rows in self._moved(evidence):
            near = self._tensor(evidence, name, moved, rows).reshape(-1, count, here.shape[1])
            parts.append(np.stack([self.tensor_distance(near[:, n], here[n]) for n in range(count)], axis=1))
        return np.concatenate(parts)

    @staticmethod
    def _tensor(evidence: Evidence, name: str, feeds: Feeds, rows: Array) -> Array:
        """The values (M, K) of a tensor at inputs that belong to the samples ``rows``."""
        progress.expect(len(rows))
        found = evidence.model.with_outputs([name]).run(dict(feeds), [name])[name]
        evidence.request.evaluations.add(rows)
        progress.advance(len(rows))
        return np.asarray(found.reshape(len(rows), -1), dtype=np.float64)

    def _moved(self, evidence: Evidence) -> Iterator[tuple[dict[str, Array], Array]]:
        """The neighbours and their samples, all samples of one draw before those of the next."""
        feeds, count = evidence.request.feeds, len(evidence.samples)
        names = [name for name in evidence.attributions if mixable_elements(evidence.samples[0], name).any()]
        if not names:
            raise InputMismatchError(
                f"{type(self).__name__} explains inputs near each sample, and the explained inputs hold categories or "
                "text, which have no near ones."
            )
        half_sides = {name: np.stack([self._half_side(one, name) for one in evidence.samples]) for name in names}
        numbers = sum(feeds[name].size for name in names)
        at_once = min(self.draws, max(1, _NUMBERS // max(1, numbers)))
        for start in range(0, self.draws, at_once):
            draws = range(start, min(start + at_once, self.draws))
            moved = {n: a if n in evidence.model.shared else np.concatenate([a] * len(draws)) for n, a in feeds.items()}
            for number, name in enumerate(names):
                places = np.stack([self._place(feeds[name].shape[1:], (draw, number)) for draw in draws])
                near = feeds[name] + half_sides[name] * places[:, None]
                moved[name] = nearest_of_type(near.reshape(moved[name].shape), feeds[name].dtype)
            yield moved, np.tile(np.arange(count), len(draws))

    def _half_side(self, sample: Sample, name: str) -> Array:
        """Half the side of the cube along each element of an input."""
        return np.asarray(self.radius * value_ranges(sample, name) * mixable_elements(sample, name))

    def _place(self, shape: tuple[int, ...], key: tuple[int, int]) -> Array:
        """The place in the cube, from -1 to 1, of neighbour ``key[0]`` in input number ``key[1]``, for any sample."""
        rng = np.random.default_rng([self.seed, *key])
        return rng.choice([-1.0, 1.0], shape) if self.neighbours == "corners" else rng.uniform(-1, 1, shape)


class _Point(NamedTuple):
    """Values (M, F), inputs (M, F), scores of classes (M, C) and the target's tensor (M, K) of M inputs."""

    values: Array
    x: Array
    scores: Array
    tensor: Array

    @classmethod
    def of(cls, evidence: Evidence) -> _Point:
        """What there is of the inputs of an evidence."""
        resolved, feeds = evidence.resolved, evidence.request.feeds
        tensor = flat(resolved.outputs[resolved.terms[0].tensor])
        scores, own = tensor, resolved.probability(resolved.terms[0])
        if scores.shape[1] == 1 and own is not None:
            # One of two classes; the other has the rest of the probability.
            share = activate(own.activation, tensor)
            scores = np.concatenate([1 - share, share], axis=1)
        x = np.concatenate([feeds[name].reshape(len(tensor), -1) for name in evidence.attributions], axis=1)
        # A missing number is missing in all neighbours: it does not move.
        return cls(evidence.flat, np.where(np.isnan(x), 0, x), scores, tensor)

    def at(self, n: int, count: int) -> _Point:
        """The same of those inputs that belong to sample ``n`` of ``count``, float64."""
        return _Point(*(array[n::count].astype(np.float64) for array in self))

    def distances_from(self, here: _Point) -> Distances:
        """The distances of these inputs from one."""
        return Distances(
            norm(self.values - here.values),
            norm(relative(self.values, here.values[0])),
            norm(self.x - here.x),
            norm(relative(self.x, here.x[0])),
            norm(self.tensor - here.tensor),
            self.scores.argmax(axis=1) == here.scores.argmax(),
        )


def norm(array: Array) -> Array:
    """Return the Euclidean norm along the last axis."""
    return np.asarray(np.sqrt(np.einsum("...f,...f->...", array, array)))


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


def highest_ratio(near: Distances, length: float, changes: Array) -> SampleMeasure:
    """Return the largest relative change of the values over changes (D,), among neighbours of the same class."""
    if not near.same_class.any():
        return undefined("every neighbour has another class: lower the radius")
    if length == 0:
        return undefined("all values are 0")
    ratios = near.relative_values / np.maximum(changes, _LEAST_CHANGE)
    return SampleMeasure(float(ratios[near.same_class].max()))
