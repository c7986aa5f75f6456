"""Insertion: the area under the curve of the target while features are inserted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval, quantity_parameter
from xaionnx.perturb import baseline as baselines
from xaionnx.typing import BaselineLike


@final
@dataclass(frozen=True, kw_only=True)
class Insertion(RemovalCurve, ByRemoval):
    """The area under the curve of the target while features are inserted into a baseline, the most relevant first.

    As published, a picture starts blurred by a kernel of 11 x 11 pixels (``baseline`` ``rise_blur``), since edges of
    regions that appear on a flat background would be evidence themselves. Rows and words start from their own default.

    References
    ----------
    Petsiuk, Das and Saenko, RISE: randomized input sampling for explanation of black-box models, BMVC 2018,
    arXiv:1806.07421.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "insertion", baseline=0).values
    array([6.25])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Petsiuk et al. 2018, arXiv:1806.07421"
    inserts: ClassVar[bool] = True

    baseline: BaselineLike = baselines.parameter("what the features are inserted into; the blur of RISE for pictures")
    quantity: str = quantity_parameter("probability")

    def default_baseline(self, sample: Sample) -> BaselineLike:
        return "rise_blur" if sample.is_picture else None
