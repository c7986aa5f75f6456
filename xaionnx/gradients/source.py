"""Source: base class of sources of gradients, and the request that they serve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
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

# Returns the inputs (m, ...) by name for some of the rows 0..M-1; equal rows must give equal inputs.
InputsAt = Callable[[Array], Mapping[str, Array]]


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """Gradients of some of the U targets at some of the M points of a request.

    Attributes
    ----------
    which : array of int (u,)
        The indices of the targets among the U.
    rows : array of int (m,)
        The indices of the points among the M.
    gradients : dict of arrays (u, m, ...) by input name
    errors : dict of arrays like ``gradients``, or None
        Standard errors of random estimates.
    outputs : dict of arrays (m, ...) by tensor name
        Additional outputs of the same run.
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
    """Request for the gradients of T targets of N samples.

    Attributes
    ----------
    model : Model
    feeds : dict of arrays by input name
    resolved : ResolvedTargets
    names : tuple of str
        The explained inputs.
    samples : list of N Sample
    evaluations : Evaluations
        The counter of the request.
    """

    model: Model
    feeds: Mapping[str, Array]
    resolved: ResolvedTargets
    names: tuple[str, ...]
    samples: Sequence[Sample]
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

    def feeds_at(self, sample: Array, points: Mapping[str, Array]) -> dict[str, Array]:
        """Return all inputs with a batch axis: ``points``, and the others from the samples, which may be views."""
        # A slice of samples in a row is not copied.
        in_a_row = len(sample) > 0 and np.array_equal(sample, np.arange(sample[0], sample[0] + len(sample)))
        rows = slice(int(sample[0]), int(sample[0]) + len(sample)) if in_a_row else sample
        others = {n: a[rows] for n, a in self.feeds.items() if n not in self.model.shared and n not in points}
        return {**others, **points}

    def weights(self, sample: Array, target: Array, size: int) -> tuple[Array, Array]:
        """Return coefficients and references (m, size) over the elements of the tensor that the targets read."""
        weights = np.zeros((len(sample), size))
        reference = np.zeros((len(sample), size))
        for t in np.unique(target):
            mine = np.flatnonzero(target == t)
            term, of = self.terms[t], sample[mine]
            # An element may occur again, with weight 0.
            np.add.at(weights, (mine[:, None], term.indices[of]), term.coefficients[of])
            if term.reference is not None:
                reference[mine[:, None], term.indices[of]] = term.reference[of]
        return weights, reference

    def values(
        self, count: int, sample: Callable[[int, int], Array], points: Callable[[int, int], Mapping[str, Array]]
    ) -> Iterator[tuple[int, int, Array]]:
        """Yield ``start``, ``stop`` and the values (m, T) of the targets in float64, for batches of ``count`` rows."""
        model, selection = self.resolved.model, self.resolved.selection
        progress.expect(count)

        def feed(start: int, stop: int) -> dict[str, Array]:
            return self.feeds_at(sample(start, stop), points(start, stop))

        for start, stop, outputs in model.batches(count, feed, selection.tensors, self.shared):
            progress.advance(stop - start)
            rows = sample(start, stop)
            self.evaluations.add(rows)
            chosen = selection.of_samples(rows).select(outputs)
            yield start, stop, chosen[:, : self.resolved.count]


class Source(ABC):
    """A source of gradients for one :class:`GradientRequest`.

    Attributes
    ----------
    words : str
        How users choose it, for help texts and messages.
    """

    words: ClassVar[str]

    @classmethod
    @abstractmethod
    def accepts(cls, given: object) -> bool:
        """Whether ``given`` chooses this source.

        Raises
        ------
        ParameterError
            It does, but its options are invalid.
        """

    @classmethod
    @abstractmethod
    def of(cls, given: GradientLike, request: GradientRequest) -> Source:
        """Return the source for a choice that it accepts."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the source in results."""

    @property
    def approximations(self) -> tuple[str, ...]:
        """Nodes whose gradient is not their derivative; see :class:`xaionnx.autodiff.Gradient`."""
        return ()

    @abstractmethod
    def facts(self) -> object:
        """Return what is needed to recreate the source, for the record's parameters."""

    @abstractmethod
    def at(self, sample: Array, target: Array, points: InputsAt) -> Iterator[Piece]:
        """Yield gradients of U targets (U, M) at each of M points of samples (M,).

        Every pair of a target and a point is in one piece; for each target the points come in order.
        """
