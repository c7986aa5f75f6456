"""Relevance mass accuracy: the share of the values inside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth, share_inside
from xaionnx.parameters import choice
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class RelevanceMassAccuracy(ByTruth):
    """The sum of the values inside the mask as a share of the sum of all: of ``positive`` values, or of sizes.

    The signed sum of the paper is not offered, because positive and negative values may cancel to any number.

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
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "relevance_mass_accuracy", masks=masks).values
    array([0.7])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Arras et al. 2022, arXiv:2003.07258"

    sign: str = choice("positive", ("positive", "absolute"), "which values count: positive ones, or the sizes of all")

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        return share_inside(np.abs(values) if self.sign == "absolute" else np.maximum(values, 0), inside)
