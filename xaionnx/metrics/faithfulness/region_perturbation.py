"""Region perturbation: the mean drop of the target while regions are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import DefaultFeatures, Features
from xaionnx.typing import Array, FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class RegionPerturbation(RemovalCurve, ByRemoval):
    """The area over the perturbation curve (AOPC): the mean drop while regions are removed, the most relevant first::

        AOPC = 1 / (L + 1)  sum over k = 0 .. L of  f(x) - f(x with the first k regions removed)

    As published, regions are windows of 9 x 9 pixels, in the order of their mean value. There, removed pixels are
    uniform noise; ``baseline`` ``uniform`` draws it, and zero, the default, is repeatable. ``steps`` removes several
    regions in each step, so that the mean is over fewer points.

    References
    ----------
    Samek et al., Evaluating the visualization of what a deep neural network has learned, IEEE TNNLS 28, 2017,
    arXiv:1509.06321, equation 12.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "region_perturbation").values
    array([6.])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Samek et al. 2017, arXiv:1509.06321"
    default_features: ClassVar[Features] = DefaultFeatures("windows:9", "superpixels")

    features: FeaturesLike = partitions.parameter(
        "the regions", "windows of 9 x 9 pixels and elements of other inputs,"
    )

    def summary(self, counts: Array, curve: Array) -> tuple[float, str]:
        return float((curve[0] - curve).mean()), ""
