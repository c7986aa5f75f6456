"""The base of metrics that compare the values with a ground-truth mask."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import DataError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.metrics._curves import NO_ORDER
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class ByTruth(Metric):
    """A metric that compares the values at the positions of a sample with a ground-truth mask.

    The relevance of a position is summed over channels. The metric is not defined for a sample whose mask is empty.
    """

    needs: ClassVar[tuple[str, ...]] = ("masks",)

    @final
    def measure(self, evidence: Evidence) -> Measure:
        return measured([self._score(evidence, n) for n in range(len(evidence.samples))])

    def _score(self, evidence: Evidence, n: int) -> SampleMeasure:
        values = evidence.position_relevance(n)
        inside = true_places(evidence, n, values.shape)
        if not inside.any():
            return undefined("its mask is empty")
        return self.score(values, inside)

    @abstractmethod
    def score(self, values: Array, inside: Array) -> SampleMeasure:
        """The score of values at the positions, with the true ones, bool, of the same shape."""


def true_places(evidence: Evidence, n: int, shape: tuple[int, ...]) -> Array:
    """Return the mask of sample ``n`` at its positions of this shape.

    Raises
    ------
    DataError
        The masks are not of bool, or do not fit the samples.
    """
    masks = np.asarray(evidence.masks)
    if masks.dtype.kind != "b" or len(masks) != len(evidence.samples):
        raise DataError(
            f"Masks are arrays of bool with one entry for each of {len(evidence.samples)} samples. Got {masks.dtype} "
            f"of the shape {masks.shape} instead{'; masks > 0 is bool' if masks.dtype.kind in 'iuf' else ''}."
        )
    mask = masks[n]
    # Masks of pictures often have an axis for the channel.
    if _without_ones(mask.shape) != _without_ones(shape):
        raise DataError(f"A mask must have the shape {shape} of the positions of the input. Got {mask.shape} instead.")
    squeezed: Array = mask.reshape(shape)
    return squeezed


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


def highest_inside(values: Array, inside: Array, count: int) -> SampleMeasure:
    """Return the share of the highest values that lies where the mask is True.

    Where some of equal values are among the highest, each counts as the share of them that are, which is the mean over
    all orders of equal values.
    """
    if values.min() == values.max():
        return undefined(NO_ORDER)
    count = min(count, values.size)
    lowest = np.partition(values, -count, axis=None)[-count]
    above, equal = values > lowest, values == lowest
    hits = np.count_nonzero(inside & above) + (count - np.count_nonzero(above)) * np.mean(inside[equal])
    return SampleMeasure(float(hits / count))


def share_inside(parts: Array, inside: Array) -> SampleMeasure:
    """Return the share of the sum of parts, none of them negative, that lies where the mask is True."""
    total = parts.sum()
    if total <= 0:
        return undefined("no value counts: none is positive, or all are 0")
    return SampleMeasure(min(1.0, float(parts[inside].sum() / total)))
