"""Attribution localisation: the share of the positive values inside the mask, for its size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._truth import ByTruth, share_inside
from xaionnx.parameters import flag
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class AttributionLocalisation(ByTruth):
    """The share of the positive values inside the mask; times the share of the positions inside it if ``weighted``.

    Weighted, as in the paper, a large object that holds all values scores higher than a small one.

    References
    ----------
    Kohlbrenner et al., Towards best practice in explaining neural network decisions with LRP, IJCNN 2020,
    arXiv:1910.09840, equations 6 and 7.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "attribution_localisation", masks=masks).values
    array([0.7])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Kohlbrenner et al. 2020, arXiv:1910.09840"

    weighted: bool = flag(False, "multiply by the share of the positions inside the mask")

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        found = share_inside(np.maximum(values, 0), inside)
        return replace(found, value=found.value * float(inside.mean())) if self.weighted else found
