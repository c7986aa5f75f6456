"""Gradients of the targets of a batch of samples, at any points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import OutputError
from xaionnx.gradients.choice import choose_source
from xaionnx.gradients.graph import Graph, similarity_error
from xaionnx.gradients.singular_points import singular_op
from xaionnx.gradients.source import GradientRequest, InputsAt, Piece, Source
from xaionnx.targets.selection import SIMILARITY
from xaionnx.typing import Array, GradientLike

if TYPE_CHECKING:
    from xaionnx.autodiff.rule import Table
    from xaionnx.gradients.one_run import OneRun
    from xaionnx.layers.path import LayerPath


@final
class TargetGradients:
    """The gradients of T targets of N samples with respect to float inputs, or to a layer.

    A target is a weighted sum over elements of a tensor after an activation.

    Parameters
    ----------
    path : LayerPath
        The path to the explained tensors.
    gradient : optional
        Source of the gradients; see :func:`xaionnx.gradients.choice.choose_source`.
    rules : mapping of str to Rule, optional
        Rules that replace derivatives; see :func:`xaionnx.autodiff.gradient`.
    run : OneRun, optional
        An earlier run with the gradients at the samples.

    Attributes
    ----------
    names : tuple of str
        The explained tensors: inputs, or a layer.
    samples : list of N Sample
    source : Source
        Source of the gradients.
    run : OneRun or None
        The earlier run.

    Raises
    ------
    UnsupportedModelError
        The explained input is not of floats, or the source does not support this model.
    """

    def __init__(
        self, path: LayerPath, gradient: GradientLike = "auto", rules: Table | None = None, run: OneRun | None = None
    ) -> None:
        self.path = path
        self.names = path.names
        self.samples: Sequence[Sample] = path.samples
        self._request = GradientRequest(
            path.model, path.feeds, path.resolved, self.names, self.samples, path.evaluations
        )
        if any(term.activation == SIMILARITY for term in path.resolved.terms):
            raise similarity_error()
        self.run = run
        # Only a graph can use other rules than derivatives.
        built = Graph(self._request, rules) if run is None and rules is not None else None
        self.source: Source = run.source if run is not None else built or choose_source(gradient, self._request)

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return len(self._request.terms)

    def at(self, sample: Array, target: Array, points: InputsAt) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
        """Yield gradients of U targets at each of M points.

        A gradient graph runs the forward part once for each point, whatever U; very many targets are split into pieces
        that fit into memory.

        Parameters
        ----------
        sample : array of int (M,)
            The sample of each point, whose targets apply.
        target : array of int (U, M)
            The targets at each point, without repetitions.
        points : callable
            Returns the explained inputs of points.

        Yields
        ------
        which, rows : arrays of int (u,) and (m,)
            Indices of the targets among the U and of the points among the M. Every pair occurs once, for each target
            in order of the points.
        gradients : dict of arrays (u, m, ...) by input name

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        for piece in self.pieces(sample, target, points):
            yield piece.which, piece.rows, piece.gradients

    def pieces(self, sample: Array, target: Array, points: InputsAt) -> Iterator[Piece]:
        """Yield the same as :meth:`at`, with standard errors of random estimates."""
        for piece in self.source.at(sample, target, points):
            self.count_and_check(piece.gradients, sample[piece.rows], partial(_points_of, points, piece.rows))
            yield piece

    def values(self, sample: Array, points: InputsAt) -> Array:
        """Return the values (T, M) of the T targets at M points, in float64.

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        values = np.empty((self.targets, len(sample)))
        for start, stop, found in self._request.values(
            len(sample), lambda start, stop: sample[start:stop], lambda start, stop: points(np.arange(start, stop))
        ):
            if not np.isfinite(found).all():
                bad = sample[start + int(np.argmin(np.isfinite(found).all(axis=1)))]
                raise OutputError(
                    f"{self._request.model.name} returns NaN or infinity at the baseline of sample {bad}. "
                    "Choose another baseline."
                )
            values[:, start:stop] = found.T
        return values

    def count_and_check(self, gradients: Mapping[str, Array], sample: Array, points: InputsAt | None = None) -> None:
        """Count gradients (u, m, ...) by name of samples (m,), and check that they are finite.

        ``points`` returns the inputs at which they were taken; by default these are the samples themselves.

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        for array in gradients.values():
            finite = np.isfinite(array).all(axis=(0, *range(2, array.ndim)))
            if not finite.all():
                row = int(np.argmin(finite))
                raise self._not_finite(int(sample[row]), {} if points is None else points(np.array([row])))
        self._request.evaluations.add_gradients(sample, len(next(iter(gradients.values()))))

    def _not_finite(self, sample: int, point: Mapping[str, Array]) -> OutputError:
        from xaionnx.autodiff.reference import baseline_name

        feeds = self._request.feeds
        moved = any(name in feeds and not np.array_equal(x[0], feeds[name][sample]) for name, x in point.items())
        starts = {name: x for name in self.names if (x := point.get(baseline_name(name))) is not None}
        if moved:
            where, whose = f"at a point on the way from the baseline to sample {sample}, or near it", "baseline"
        else:
            where = f"for sample {sample}" + (" and its baseline" if starts else "")
            whose = "sample and the baseline" if starts else "sample"
        reason = self._singular(sample, {"": {**point}, " at the baseline": starts})
        advice = (
            f"Check the {whose}, or use"
            if reason is None or not (starts or moved)
            else "Choose a baseline where this is not so, such as 'uniform' noise or rows of data, or use"
        )
        unknown = "a slope is infinite there, as that of a root at 0, or a number is out of range on the way back"
        return OutputError(
            f"The gradient of {self._request.model.name} is NaN or infinity {where}: {reason or unknown}. {advice} a "
            "method without gradients: occlusion, rise, lime, kernel_shap."
        )

    def _singular(self, sample: int, points: Mapping[str, Mapping[str, Array]]) -> str | None:
        """The op that is singular at one of some points, in words; points have keys such as " at the baseline"."""
        request = self._request
        model, named = request.model, {info.name for info in request.model.inputs}
        if not named.issuperset(self.names):
            return None
        given = {n: a if n in model.shared else a[sample : sample + 1] for n, a in request.feeds.items() if n in named}
        for words, point in points.items():
            found = singular_op(model, {**given, **{name: x for name, x in point.items() if name in named}})
            if found is not None:
                return found + words
        return None


def _points_of(points: InputsAt, rows: Array, at: Array) -> Mapping[str, Array]:
    """The inputs at some of the rows of a piece."""
    return points(rows[at])
