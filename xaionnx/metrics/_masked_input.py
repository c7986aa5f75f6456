"""The base of metrics that show the model the input times its map."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.metrics._removal import quantity_parameter
from xaionnx.runtime import progress
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class ByMaskedInput(Metric):
    """A metric of the target at the input and at the input times its map.

    The map of a sample is the mean of its values over all axes but the positions, scaled from its minimum and maximum
    to 0 and 1. Input and map are multiplied after normalisation, as in the packages that people use.
    """

    quantity: str = quantity_parameter("probability")

    @final
    def measure(self, evidence: Evidence) -> Measure:
        resolved = evidence.targets(self.quantity)
        masked, feeds = {}, evidence.request.feeds
        for name in evidence.attributions:
            if feeds[name].dtype.kind != "f":
                raise InputMismatchError(
                    f"{type(self).__name__} multiplies the input by its map, and input '{name}' has type "
                    f"{feeds[name].dtype}. Use a metric that removes features, such as deletion."
                )
            maps = np.stack([unit_map(evidence, n, name) for n in range(len(evidence.samples))])
            masked[name] = (feeds[name] * maps).astype(feeds[name].dtype)
        progress.expect(len(evidence.samples))
        outputs = resolved.model.run({**feeds, **masked}, resolved.selection.tensors)
        evidence.request.evaluations.add(np.arange(len(evidence.samples)))
        progress.advance(len(evidence.samples))
        after = resolved.selection.select(outputs)[:, 0]
        each = []
        for before, one in zip(resolved.prediction[0], after, strict=True):
            each.append(self.score(float(before), float(one)))
        return measured(each)

    @abstractmethod
    def score(self, before: float, after: float) -> SampleMeasure:
        """The score of the target at the input and at the masked input."""


def unit_map(evidence: Evidence, n: int, name: str) -> Array:
    """Return the values of an input of sample ``n`` over its positions, from 0 to 1, broadcasting to the input.

    A map whose values are all equal is 0 everywhere, so that it shows nothing.
    """
    sample, array = evidence.samples[n], evidence.relevance[name][n]
    found = sample.positions(name)
    others = () if found is None else tuple(axis for axis in range(array.ndim) if axis not in found.axes)
    mean = np.asarray(array.mean(axis=others, keepdims=True))
    low, high = mean.min(), mean.max()
    return (mean - low) / (high - low) if high > low else np.zeros_like(mean)


def positive(value: float) -> SampleMeasure | None:
    """Return why shares of a target are not defined; None if it is positive."""
    if value > 0:
        return None
    return undefined(f"the target is {value:.4g} at the input, and shares of it need a positive one")
