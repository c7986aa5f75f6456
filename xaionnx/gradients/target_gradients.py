"""Gradients of the targets of a batch, at any points, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.errors import OutputError
from xaionnx.gradients.choice import chosen
from xaionnx.gradients.graph import Graph
from xaionnx.gradients.source import At, GradientRequest, Piece, Source
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
        To the tensors that are explained.
    gradient : optional
        Where the gradients come from; see :func:`xaionnx.gradients.choice.chosen`.
    rules : mapping of str to Rule, optional
        What takes the place of derivatives; see :func:`xaionnx.autodiff.gradient`.
    run : OneRun, optional
        The run that answered for the samples already.

    Attributes
    ----------
    names : tuple of str
        The tensors that are explained: inputs, or a layer.
    samples : list of N Sample
    source : Source
        Where the gradients come from.
    run : OneRun or None
        What is known of the samples already.

    Raises
    ------
    UnsupportedModelError
        The explained input holds no floats, or the source cannot answer for this model.
    """

    def __init__(
        self, path: LayerPath, gradient: GradientLike = "auto", rules: Table | None = None, run: OneRun | None = None
    ) -> None:
        self.path = path
        self.names = path.names
        self.samples: list[Sample] = path.samples
        self._question = GradientRequest(
            path.model, path.feeds, path.resolved, self.names, self.samples, path.evaluations
        )
        self.run = run
        # Other rules than those of derivatives can only be built.
        built = Graph(self._question, rules) if run is None and rules is not None else None
        self.source: Source = run.source if run is not None else built or chosen(gradient, self._question)

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return len(self._question.terms)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
        """Gradients of U targets at each of M points.

        Built gradients run the forward part once for each point, whatever U; very many targets are taken in pieces
        that fit into memory.

        Parameters
        ----------
        sample : array of int (M,)
            The sample whose targets are meant.
        target : array of int (U, M)
            The targets at each point; no target twice at one point.
        points : callable
            The explained inputs of the points that it is given.

        Yields
        ------
        which, rows : arrays of int (u,) and (m,)
            Which of the U targets and of the M points these are. Every pair comes once, and the points in rising order
            for each target.
        gradients : dict of arrays (u, m, ...) by input name

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        for piece in self.pieces(sample, target, points):
            yield piece.which, piece.rows, piece.gradients

    def pieces(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        """The same with standard errors, where the source knows them."""
        for piece in self.source.at(sample, target, points):
            self.taken(piece.gradients, sample[piece.rows])
            yield piece

    def values(self, sample: Array, points: At) -> Array:
        """The T targets at M points, (T, M), in float64.

        Raises
        ------
        OutputError
            The model answers NaN or infinity.
        """
        values = np.empty((self.targets, len(sample)))
        for start, stop, found in self._question.values(
            len(sample), lambda start, stop: sample[start:stop], lambda start, stop: points(np.arange(start, stop))
        ):
            if not np.isfinite(found).all():
                bad = sample[start + int(np.argmin(np.isfinite(found).all(axis=1)))]
                raise OutputError(
                    f"{self._question.model.name} answers NaN or infinity at the baseline of sample {bad}. "
                    "Choose another baseline."
                )
            values[:, start:stop] = found.T
        return values

    def taken(self, gradients: Mapping[str, Array], sample: Array) -> None:
        """Count gradients (u, m, ...) by name of samples (m,), and refuse those that are no numbers.

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        for array in gradients.values():
            finite = np.isfinite(array).all(axis=(0, *range(2, array.ndim)))
            if not finite.all():
                bad = sample[int(np.argmin(finite))]
                raise OutputError(
                    f"The gradient of {self._question.model.name} is NaN or infinity for sample {bad}: a "
                    "number is out of range there or on the way back. Check the sample, or use a method without "
                    "gradients: occlusion, rise, lime, kernel_shap."
                )
        self._question.evaluations.add_gradients(sample, len(next(iter(gradients.values()))))
