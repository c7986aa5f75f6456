"""Localisation AUC: how well the values separate the inside of the mask from the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class LocalisationAuc(ByTruth):
    """The probability that a position inside the mask has a higher value than one outside; equal values count half.

    It is the area under the ROC curve of the values as scores of the positions, and not defined if the mask covers them
    all.

    References
    ----------
    Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006, doi:10.1016/j.patrec.2005.10.010.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "localisation_auc", masks=masks).values
    array([1.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Fawcett 2006, doi:10.1016/j.patrec.2005.10.010"

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        from sklearn.metrics import roc_auc_score

        if inside.all():
            return undefined("the mask covers all positions")
        return SampleMeasure(float(roc_auc_score(inside.reshape(-1), values.reshape(-1))))
