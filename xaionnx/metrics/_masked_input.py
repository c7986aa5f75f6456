"""The base of metrics that show the model the input times its map."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.metrics._removal import quantity_parameter
from xaionnx.perturb.element_types import check_mixable, nearest_of_type
from xaionnx.typing import Array, Feeds


@dataclass(frozen=True, kw_only=True)
class ByMaskedInput(Metric):
    """A metric of the target at the input and at the input times its map.

    The map of a sample is the mean of its values over all axes but the positions, scaled from its minimum and maximum
    to 0 and 1. Input and map are multiplied after normalisation, as in the packages that people use.
    """

    quantity: str = quantity_parameter("probability")

    @final
    def measure(self, evidence: Evidence) -> Measure:
        rows = np.arange(len(evidence.samples))
        masked = masked_inputs(evidence, [unit_maps(evidence, int(n)) for n in rows], type(self).__name__)
        after = evidence.targets_of(masked, rows, self.quantity)
        each = []
        for before, one in zip(evidence.targets(self.quantity).prediction[0], after, strict=True):
            each.append(self.score(float(before), float(one)))
        return measured(each)

    @abstractmethod
    def score(self, before: float, after: float) -> SampleMeasure:
        """The score of the target at the input and at the masked input."""


def unit_maps(evidence: Evidence, n: int) -> dict[str, Array]:
    """Return the values of each explained input of sample ``n`` over its positions, from 0 to 1, broadcasting to it.

    Inputs that are parts of one row share a range. A map whose values are all equal is 0 everywhere, so that it shows
    nothing.
    """
    if evidence.row_inputs:
        shapes = {name: evidence.samples[n].x[name].shape for name in evidence.row_inputs}
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
        parts = zip(shapes.items(), np.split(_unit(evidence.position_relevance(n)), ends), strict=True)
        return {name: part.reshape(shape) for (name, shape), part in parts if name in evidence.relevance}
    maps = {}
    for name, values in evidence.relevance.items():
        found = evidence.samples[n].positions(name)
        others = () if found is None else found.values
        maps[name] = _unit(np.asarray(values[n].mean(axis=others, keepdims=True)))
    return maps


def _unit(values: Array) -> Array:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low) if high > low else np.zeros_like(values))


def masked_inputs(evidence: Evidence, maps: Sequence[Mapping[str, Array]], metric: str) -> Feeds:
    """Return the explained inputs of all samples, multiplied by their maps.

    Raises
    ------
    InputMismatchError
        An explained input holds neither floats nor pixels or sound.
    """
    feeds, sample = evidence.request.feeds, evidence.samples[0]
    masked = {}
    for name in evidence.attributions:
        what = f"{metric}, which multiplies the input by its map,"
        check_mixable(sample, name, what, "Use a metric that removes features, such as deletion.")
        values = feeds[name] * np.stack([one[name] for one in maps])
        masked[name] = nearest_of_type(values, feeds[name].dtype)
    return masked


def positive(value: float) -> SampleMeasure | None:
    """Return why shares of a target are not defined; None if it is positive."""
    if value > 0:
        return None
    return undefined(f"the target is {value:.4g} at the input, and shares of it need a positive one")
