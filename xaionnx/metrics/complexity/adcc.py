"""ADCC: average drop, coherency and complexity of a class activation map in one number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._masked_input import masked_inputs, positive, unit_maps
from xaionnx.metrics._removal import quantity_parameter
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Adcc(Metric):
    """The harmonic mean of coherency, 1 - complexity and 1 - average drop, each from 0 to 1::

        ADCC = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))

    With the map m of a sample, scaled from 0 to 1, the coherency is ``(1 + r) / 2`` for Pearson's correlation r of m
    with the map of the input times m; the complexity is the mean of m; and the drop is ``average_drop``. It is not
    defined where a map is constant, or the target not positive.

    References
    ----------
    Poppi, Cornia, Baraldi and Cucchiara, Revisiting the evaluation of class activation mapping for explainability: a
    novel metric and experimental analysis, CVPR workshops 2021, arXiv:2104.10252.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, quantity = np.ones((1, 4), np.float32), "target"
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "adcc", quantity=quantity).values.round(3)
    array([0.665])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Poppi et al. 2021, arXiv:2104.10252"
    needs: ClassVar[tuple[str, ...]] = ("method",)

    quantity: str = quantity_parameter("probability")

    def measure(self, evidence: Evidence) -> Measure:
        rows = range(len(evidence.samples))
        maps = [unit_maps(evidence, n) for n in rows]
        again = evidence.explain({**evidence.request.feeds, **masked_inputs(evidence, maps, "ADCC")}, np.array(rows))
        before, after = (one.targets(self.quantity).prediction[0] for one in (evidence, again))
        return measured(
            [
                _score(_line(own), _line(unit_maps(again, n)), before[n], after[n])
                for n, own in zip(rows, maps, strict=True)
            ]
        )


def _line(maps: Mapping[str, Array]) -> Array:
    return np.concatenate([one.reshape(-1) for one in maps.values()])


def _score(own: Array, other: Array, before: float, after: float) -> SampleMeasure:
    """The score of the map of a sample and that of the masked sample, both from 0 to 1, and of the target at both."""
    if np.ptp(own) == 0:
        return undefined("all values are equal")
    if np.ptp(other) == 0:
        return undefined("all values of the masked input are equal")
    if (reason := positive(before)) is not None:
        return reason
    coherency = (1 + np.corrcoef(own, other)[0, 1]) / 2
    drop = max(0.0, before - after) / before
    parts = np.clip([coherency, 1 - own.mean(), 1 - drop], 0, 1)
    return SampleMeasure(0.0 if parts.min() == 0 else float(3 / (1 / parts).sum()))
