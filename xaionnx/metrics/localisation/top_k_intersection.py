"""Top-k intersection: the share of the k highest values inside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth, highest_inside
from xaionnx.parameters import integer
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class TopKIntersection(ByTruth):
    """The share of the ``k`` highest values that lie inside the mask.

    Of equal values of which only some are among the highest, each counts as the share that is. If not given, k is the
    size of the mask, and the score is that of ``relevance_rank_accuracy``.

    References
    ----------
    Theiner, Müller-Budack and Ewerth, Interpretable semantic photo geolocation, WACV 2022, arXiv:2104.14995.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "top_k_intersection", masks=masks).values
    array([1.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Theiner et al. 2022, arXiv:2104.14995"

    k: int | None = integer(None, "number of highest values; the size of the mask if not given", low=1, optional=True)

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        return highest_inside(values, inside, int(inside.sum()) if self.k is None else self.k)
