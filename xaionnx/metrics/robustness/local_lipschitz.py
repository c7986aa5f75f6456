"""Local Lipschitz: the steepest change of the explanation near the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._neighbours import ByNeighbours, Distances


@final
@dataclass(frozen=True, kw_only=True)
class LocalLipschitz(ByNeighbours):
    """The largest quotient of the change of the values and of the input among inputs near the sample::

        max over x' near x of  |phi(x') - phi(x)| / |x' - x|

    It is a lower bound of the local Lipschitz constant, in units of the values per unit of the input.

    References
    ----------
    Alvarez-Melis and Jaakkola, On the robustness of interpretability methods, 2018, arXiv:1806.08049, equation 2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x = np.ones((1, 4), np.float32)
    >>> xaionnx.evaluate(model, x, "saliency", "local_lipschitz").values.round(3)
    array([0.])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018, arXiv:1806.08049"

    def score(self, near: Distances, length: float) -> SampleMeasure:
        del length
        return SampleMeasure(float((near.values / near.x).max()))
