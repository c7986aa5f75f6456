"""ADCC: average drop, coherency and complexity of a class activation map in one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.errors import InputMismatchError
from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._masked_input import unit_map
from xaionnx.metrics._removal import quantity_parameter


@final
@dataclass(frozen=True, kw_only=True)
class Adcc(Metric):
    """The harmonic mean of coherency, 1 - complexity and 1 - average drop, each from 0 to 1::

        ADCC = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))

    With the map m of a sample, scaled from 0 to 1, the coherency is ``(1 + r) / 2`` for Pearson's correlation r of m
    with the map of the input times m; the complexity is the mean of m; and the drop is ``average_drop``.

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
        name, feeds = evidence.request.main, evidence.request.feeds
        if feeds[name].dtype.kind != "f":
            raise InputMismatchError(f"Input '{name}' has type {feeds[name].dtype}, and is multiplied by its map.")
        count = len(evidence.samples)
        maps = np.stack([unit_map(evidence, n, name) for n in range(count)])
        again = evidence.explain({**feeds, name: (feeds[name] * maps).astype(feeds[name].dtype)}, np.arange(count))
        before, after = (one.targets(self.quantity).prediction[0] for one in (evidence, again))
        each = []
        for n, own in enumerate(maps):
            other = unit_map(again, n, name)
            if np.ptp(own) == 0 or np.ptp(other) == 0 or before[n] <= 0:
                each.append(undefined("a map is constant, or the target is not positive"))
                continue
            coherency = (1 + np.corrcoef(own.reshape(-1), other.reshape(-1))[0, 1]) / 2
            drop = max(0.0, before[n] - after[n]) / before[n]
            parts = np.clip([coherency, 1 - own.mean(), 1 - drop], 0, 1)
            each.append(SampleMeasure(0.0 if parts.min() == 0 else float(3 / (1 / parts).sum())))
        return measured(each)
