"""Gradients of the targets of a batch, at any points, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from xaionnx.errors import OutputError, UnsupportedModelError
from xaionnx.explainers._sources.choice import chosen
from xaionnx.explainers._sources.source import At, Piece, Question, Source
from xaionnx.model import Model
from xaionnx.perturb.sample import Sample, split
from xaionnx.resolution import Resolution

Array = npt.NDArray[Any]


@final
class Slopes:
    """The gradients of T targets of N samples with respect to the float inputs.

    A target is a weighted sum over elements of a tensor after an activation.

    Parameters
    ----------
    model : Model
    feeds : dict of arrays by input name
        As :meth:`xaionnx.Model.check` makes them.
    resolution : Resolution
    names : sequence of str, optional
        The inputs that are explained; all that :func:`differentiable` names if not given.
    gradient : optional
        Where the gradients come from; see :func:`xaionnx.explainers._sources.choice.chosen`.

    Attributes
    ----------
    names : tuple of str
        The inputs that are explained.
    samples : list of N Sample
    source : Source
        Where the gradients come from.
    spent : array of int (N,)
        The evaluations that gradients took so far.

    Raises
    ------
    UnsupportedModelError
        The explained input holds no floats, or the source cannot answer for this model.
    """

    def __init__(
        self,
        model: Model,
        feeds: Mapping[str, Array],
        resolution: Resolution,
        names: tuple[str, ...] | None = None,
        gradient: Any = "auto",
    ) -> None:
        self.names = differentiable(model) if names is None else names
        self.samples: list[Sample] = split(feeds, model.input().name, model.spec, model.shared)
        self.spent = np.zeros(len(self.samples), dtype=np.int64)
        self._question = Question(model, feeds, resolution, self.names, self.samples, self.spent)
        self.source: Source = chosen(gradient, self._question)

    @property
    def targets(self) -> int:
        """The number T of targets."""
        return len(self._question.picks)

    def at(self, sample: Array, target: Array, points: At) -> Iterator[tuple[Array, dict[str, Array]]]:
        """Gradients at M points, each of one target of one sample.

        Parameters
        ----------
        sample, target : arrays of int (M,)
        points : callable
            The explained inputs of the rows that it is given.

        Yields
        ------
        rows : array of int (m,)
            In rising order for each target.
        gradients : dict of arrays (m, ...) by input name

        Raises
        ------
        OutputError
            A gradient is NaN or infinity.
        """
        for piece in self.pieces(sample, target, points):
            yield piece.rows, piece.gradients

    def pieces(self, sample: Array, target: Array, points: At) -> Iterator[Piece]:
        """The same with standard errors, where the source knows them."""
        for piece in self.source.at(sample, target, points):
            self._refuse(piece.gradients, sample[piece.rows])
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

    def _refuse(self, gradients: Mapping[str, Array], sample: Array) -> None:
        for array in gradients.values():
            finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
            if not finite.all():
                bad = sample[int(np.argmin(finite))]
                raise OutputError(
                    f"The gradient of {self._question.model.name} is NaN or infinity for sample {bad}. "
                    "Check the sample, or use a method without gradients: occlusion, rise, lime, kernel_shap."
                )


def differentiable(model: Model) -> tuple[str, ...]:
    """Names of the inputs that a gradient can be taken of: those of floats, one a sample.

    Raises
    ------
    UnsupportedModelError
        The explained input is not among them.
    """
    main = model.input()
    if main.dtype.kind != "f" or main.name in model.shared:
        raise UnsupportedModelError(
            f"Input '{main.name}' of {model.name} is {main}, which has no gradient. "
            "Use a method without gradients: occlusion, rise, lime, kernel_shap."
        )
    return tuple(info.name for info in model.inputs if info.dtype.kind == "f" and info.name not in model.shared)
