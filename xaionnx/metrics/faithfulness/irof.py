"""IROF: the area over the curve of the target while segments are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.data.sample import Sample
from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve, area
from xaionnx.metrics._removal import ByRemoval, quantity_parameter
from xaionnx.perturb import baseline as baselines
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import DefaultFeatures, Features
from xaionnx.typing import Array, BaselineLike, FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class Irof(RemovalCurve, ByRemoval):
    """Iterative removal of features: the area over the curve of the target relative to its value at the input::

        IROF = 1 - area under f_k / f_0

    where f_k is the target with the first k segments removed, by falling mean value. As published, segments are
    superpixels, removed pixels take the mean of the picture, and the target is the probability of the class. It is not
    defined where f_0 is not positive.

    References
    ----------
    Rieger and Hansen, IROF: a low resource evaluation metric for explanation methods, 2020, arXiv:2003.08747.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "irof", baseline=0).values
    array([0.625])
    """

    direction: ClassVar[Direction] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Rieger and Hansen 2020, arXiv:2003.08747"
    default_features: ClassVar[Features] = DefaultFeatures("superpixels", "superpixels")

    features: FeaturesLike = partitions.parameter(
        "the segments", "superpixels of pictures and elements of other inputs,"
    )
    baseline: BaselineLike = baselines.parameter("replacement for removed segments; the mean colour of pictures")
    quantity: str = quantity_parameter("probability")

    def default_baseline(self, sample: Sample) -> BaselineLike:
        return "mean" if sample.is_picture else None

    def summary(self, counts: Array, curve: Array) -> tuple[float, str]:
        if curve[0] <= 0:
            return math.nan, f"the target is {curve[0]:.4g} at the input, and shares of it need a positive one"
        return 1 - area(counts, curve / curve[0]), ""
