"""Selectivity: the area under the curve of the target while regions are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval, Cells
from xaionnx.perturb import features as partitions
from xaionnx.perturb.features import Features
from xaionnx.typing import FeaturesLike


@final
@dataclass(frozen=True, kw_only=True)
class Selectivity(RemovalCurve, ByRemoval):
    """The area under the curve of the target while regions are removed one by one, the most relevant first.

    The curve is that of ``pixel_flipping``, of regions: by default 7 x 7 cells of a picture.

    References
    ----------
    Montavon, Samek and Müller, Methods for interpreting and understanding deep neural networks, Digital Signal
    Processing 73, 2018, arXiv:1706.07979, section 7.2.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "selectivity").curves["target"]
    array([[10.,  6.,  3.,  1.,  0.]])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Montavon et al. 2018, arXiv:1706.07979"
    default_features: ClassVar[Features] = Cells(7)

    features: FeaturesLike = partitions.parameter(
        "the regions", "7 x 7 cells of pictures and elements of other inputs,"
    )
