"""Pointing game: whether the highest value lies inside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import NO_ORDER
from xaionnx.metrics._truth import ByTruth
from xaionnx.parameters import integer
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class PointingGame(ByTruth):
    """1 where the highest value lies inside the mask or within ``tolerance`` positions of it, else 0.

    Of several highest values, such as those of the pixels of a segment, the score is the share of hits; if all are
    equal, there is none. The paper allows 15 pixels; the default allows none.

    References
    ----------
    Zhang, Bargal, Lin, Brandt, Shen and Sclaroff, Top-down neural attention by excitation backprop, IJCV 126, 2018,
    arXiv:1608.00507.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, masks = np.ones((1, 4), np.float32), np.array([[True, True, False, False]])
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "pointing_game", masks=masks).values
    array([1.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    reference: ClassVar[str] = "Zhang et al. 2018, arXiv:1608.00507"

    tolerance: int = integer(0, "largest distance from the mask that counts as a hit, in positions", low=0)

    def score(self, values: Array, inside: Array) -> SampleMeasure:
        from scipy.ndimage import distance_transform_edt  # slow to import

        if values.min() == values.max():
            return undefined(NO_ORDER)
        distances = distance_transform_edt(~inside)[values == values.max()]
        return SampleMeasure(float(np.mean(distances <= self.tolerance)))
