"""Localisation AUC: how well the values tell true places from others."""

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
    """The probability that a true place has a higher value than another place; equal values count half.

    It is the area under the ROC curve of the values as scores of the places, and not defined if all places are true.

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
            return undefined("all places are true")
        return SampleMeasure(float(roc_auc_score(inside.reshape(-1), values.reshape(-1))))
