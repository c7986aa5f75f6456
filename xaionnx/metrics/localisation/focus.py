"""Focus: the share of the positive values in the parts of a mosaic that show the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth, share_inside
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Focus(ByTruth):
    """The share of the positive values within the parts of a mosaic that show the explained class.

    The mask of each mosaic covers the parts that show it; the other parts show other classes. The score equals
    ``relevance_mass_accuracy`` of positive values; the name says that the samples are mosaics.

    References
    ----------
    Arias-Duart, Parés, Garcia-Gasulla and Giménez-Ábalos, Focus! Rating XAI methods and finding biases, FUZZ-IEEE 2022,
    arXiv:2109.15035.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "focus", masks=masks).values
    array([0.7])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Arias-Duart et al. 2022, arXiv:2109.15035"

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        return share_inside(np.maximum(values, 0), inside)
