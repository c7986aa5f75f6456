"""Relative output stability: relative changes of the explanation over changes of the output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.evidence import Evidence
from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._neighbours import ByNeighbours, Distances, highest_ratio
from xaionnx.targets.scores import logits_of


@final
@dataclass(frozen=True, kw_only=True)
class RelativeOutputStability(ByNeighbours):
    """The largest quotient of the relative change of the values and the change of the output, for the same class::

        max over x' of  | (phi - phi') / phi |  /  max(| f(x) - f(x') |, 1e-3)

    The output is the whole tensor that the target is read from, or its logits if it is made of them by a softmax or
    sigmoid at the end of the graph, as in the paper, which does not take the relative change.

    References
    ----------
    Agarwal, Johnson, Pawelczyk, Krishna, Saxena, Zitnik and Lakkaraju, Rethinking stability for attribution-based
    explanations, 2022, arXiv:2203.06877, equation 5.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "relative_output_stability").values.round(3)
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Agarwal et al. 2022, arXiv:2203.06877"

    def compared_tensor(self, evidence: Evidence) -> str | None:
        own = evidence.resolved.terms[0].tensor
        found = logits_of(evidence.model, own)
        return None if found == own else found

    def score(self, near: Distances, length: float) -> SampleMeasure:
        return highest_ratio(near, length, near.tensor)
