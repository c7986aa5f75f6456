"""The base of metrics of the sizes of the values, which do not ask the model."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import ANY_TARGET, Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.typing import Array


@dataclass(frozen=True, kw_only=True)
class BySizes(Metric):
    """A metric of the sizes of the values of one sample: of its positions, summed over channels, or its columns.

    Positions are those of all explained inputs together.
    """

    controls: ClassVar[tuple[str, ...]] = ANY_TARGET

    @final
    def measure(self, evidence: Evidence) -> Measure:
        each = []
        for n in range(len(evidence.samples)):
            sizes = np.abs(evidence.position_values(n)).reshape(-1)
            each.append(self.score(sizes) if sizes.any() else undefined("all values are 0"))
        return measured(each)

    @abstractmethod
    def score(self, sizes: Array) -> SampleMeasure:
        """The score of sizes (P,) that are not all 0."""
