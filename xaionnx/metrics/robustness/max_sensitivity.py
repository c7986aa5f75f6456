"""Max-sensitivity: the largest change of the explanation near the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.metric import SampleMeasure, undefined
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._neighbours import ByNeighbours, Distances


@final
@dataclass(frozen=True, kw_only=True)
class MaxSensitivity(ByNeighbours):
    """The largest change of the values among inputs near the sample, relative to the values there::

        max over x' near x of  |phi(x') - phi(x)| / |phi(x)|

    The paper does not divide; as in the packages that people use, the quotient can be compared between methods. It is a
    lower bound of the maximum over the cube, which rises with ``draws``.

    References
    ----------
    Yeh, Hsieh, Suggala, Inouye and Ravikumar, On the (in)fidelity and sensitivity of explanations, NeurIPS 2019,
    arXiv:1901.09392, definition 3.1.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> x, cube = np.ones((1, 4), np.float32), {"radius": 0.2, "neighbours": "corners"}
    >>> xaionnx.evaluate(model, x, "input_x_gradient", "max_sensitivity", **cube).values.round(3)
    array([0.2])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, math.inf)
    reference: ClassVar[str] = "Yeh et al. 2019, arXiv:1901.09392"

    def score(self, near: Distances, length: float) -> SampleMeasure:
        if length == 0:
            return undefined("all values are 0")
        return SampleMeasure(float(near.values.max() / length))
