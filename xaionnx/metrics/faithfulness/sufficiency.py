"""Sufficiency: whether samples with the same explanation have the same class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import Measure, Metric, SampleMeasure, measured, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.parameters import real


@final
@dataclass(frozen=True, kw_only=True)
class Sufficiency(Metric):
    """The share of the other samples with nearly the same explanation that have the same target.

    Two explanations are the same if the cosine of their values is at least 1 minus ``distance``. It is not defined for
    a sample whose explanation no other sample shares, so it needs many samples.

    References
    ----------
    Dasgupta, Frost and Moshkovitz, Framework for evaluating faithfulness of local explanations, ICML 2022,
    arXiv:2202.00734.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0], [0.0, 1.0]]))
    >>> x = np.float32([[1, 1], [2, 2], [-1, -1], [3, -0.1]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "sufficiency").values
    array([ 1.,  1., nan, nan])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Dasgupta et al. 2022, arXiv:2202.00734"
    compares_samples: ClassVar[bool] = True

    distance: float = real(0.05, "largest cosine distance of explanations that count as the same", low=0, high=2)

    def measure(self, evidence: Evidence) -> Measure:
        values = evidence.flat
        lengths = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
        units = values / np.where(lengths > 0, lengths, 1)
        same = (units @ units.T >= 1 - self.distance) & (lengths > 0) & (lengths.T > 0)
        np.fill_diagonal(same, val=False)
        names = evidence.explanation.target
        each = []
        for n, row in enumerate(same):
            if row.any():
                each.append(SampleMeasure(float((names[row] == names[n]).mean())))
            else:
                each.append(undefined("no other sample has this explanation"))
        return measured(each)
