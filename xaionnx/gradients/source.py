"""Source: what answers with gradients, and what all sources know of the question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.runtime import progress
from xaionnx.runtime.evaluations import Evaluations
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.targets.selection import TargetTerm
from xaionnx.typing import Array, GradientLike

# Inputs (m, ...) by name for rows 0..M-1 given by number; the same whenever it is asked again.
At = Callable[[Array], Mapping[str, Array]]


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """Gradients of some of the U targets at some of the M points that were asked for.

    Attributes
    ----------
    which : array of int (u,)
        The numbers of the targets among the U.
    rows : array of int (m,)
        The numbers of the points among the M.
    gradients : dict of arrays (u, m, ...) by input name
    errors : dict of arrays like ``gradients``, or None
        Their standard errors, where chance had a part.
    outputs : dict of arrays (m, ...) by tensor name
        What else was asked of the same run.
    """

    which: Array
    rows: Array
    gradients: dict[str, Array]
    errors: dict[str, Array] | None = None
    outputs: dict[str, Array] = field(default_factory=dict)

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class GradientRequest:
    """T targets of N samples, whose gradients are asked for.

    Attributes
    ----------
    model : Model
    feeds : dict of arrays by input name
    resolved : ResolvedTargets
    names : tuple of str
        The inputs that are explained.
    samples : list of N Sample
    evaluations : Evaluations
        The counter of the request.
    """

    model: Model
    feeds: Mapping[str, Array]
    resolved: ResolvedTargets
    names: tuple[str, ...]
    samples: list[Sample]
    evaluations: Evaluations

    __repr__ = short_repr

    @property
    def terms(self) -> list[TargetTerm]:
        """The T targets."""
        return self.resolved.terms

    @property
    def shared(self) -> dict[str, Array]:
        """The inputs without a batch axis."""
        return {name: array for name, array in self.feeds.items() if name in self.model.shared}

    def fed(self, sample: Array, points: Mapping[str, Array]) -> dict[str, Array]:
        """All inputs with a batch axis: ``points``, and the others as the samples have them."""
        others = {n: a[sample] for n, a in self.feeds.items() if n not in self.model.shared and n not in points}
        return {**others, **points}

    def weights(self, sample: Array, target: Array, size: int) -> tuple[Array, Array]:
        """Coefficients and references (m, size) over the elements of the tensor that the targets read."""
        weights = np.zeros((len(sample), size))
        reference = np.zeros((len(sample), size))
        for t in np.unique(target):
            mine = np.flatnonzero(target == t)
            term, of = self.terms[t], sample[mine]
            # An element may come again, with weight 0.
            np.add.at(weights, (mine[:, None], term.indices[of]), term.coefficients[of])
            if term.reference is not None:
                reference[mine[:, None], term.indices[of]] = term.reference[of]
        return weights, reference

    def values(
        self, count: int, sample: Callable[[int, int], Array], points: Callable[[int, int], Mapping[str, Array]]
    ) -> Iterator[tuple[int, int, Array]]:
        """The T targets of ``count`` rows, (m, T) in float64, of which some are asked for as ``start, stop``."""
        model, selection = self.resolved.model, self.resolved.selection
        progress.expect(count)

        def feed(start: int, stop: int) -> dict[str, Array]:
            return self.fed(sample(start, stop), points(start, stop))

        for start, stop, outputs in model.batches(count, feed, selection.tensors, self.shared):
            progress.advance(stop - start)
            rows = sample(start, stop)
            self.evaluations.add(rows)
            chosen = selection.of_samples(rows).select(outputs)
            yield start, stop, chosen[:, : self.resolved.count]


class Source(ABC):
    """Answers with gradients of the targets of one :class:`GradientRequest`.

    Attributes
    ----------
    words : str
        How it is asked for, in help texts and messages.
    """

    words: ClassVar[str]

    @classmethod
    @abstractmethod
    def takes(cls, given: object) -> bool:
        """Whether it is what was asked for.

        Raises
        ------
        ParameterError
            It is, but what follows its name does not fit.
        """

    @classmethod
    @abstractmethod
    def of(cls, given: GradientLike, question: GradientRequest) -> Source:
        """The source that was asked for by something that it takes."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How the result calls it."""

    @property
    def approximations(self) -> tuple[str, ...]:
        """What of it is no derivative of what the model computes; see :class:`xaionnx.autodiff.Gradient`."""
        return ()

    @abstractmethod
    def facts(self) -> object:
        """What is needed to have it again, for the record's parameters."""

    @abstractmethod
    def at(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        """Gradients of U targets (U, M) at each of M points of samples (M,); each target's rows come in rising order.

        Every pair of a target and a point comes in one piece.
        """
