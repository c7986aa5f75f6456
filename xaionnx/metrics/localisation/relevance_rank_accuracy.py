"""Relevance rank accuracy: the share of the K highest values inside a mask of K positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth, highest_inside
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class RelevanceRankAccuracy(ByTruth):
    """The share of the K highest values that lie inside a mask of K positions.

    Of equal values of which only some are among the highest, each counts as the share that is.

    References
    ----------
    Arras, Osman and Samek, CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network
    explanations, Information Fusion 81, 2022, arXiv:2003.07258.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "relevance_rank_accuracy", masks=masks).values
    array([1.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Arras et al. 2022, arXiv:2003.07258"

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        return highest_inside(values, inside, int(inside.sum()))
