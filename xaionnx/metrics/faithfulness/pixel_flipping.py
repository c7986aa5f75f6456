"""Pixel flipping: the curve of the target while single features are removed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

from xaionnx.evaluation.scores import Direction
from xaionnx.metrics._curves import RemovalCurve
from xaionnx.metrics._removal import ByRemoval


@final
@dataclass(frozen=True, kw_only=True)
class PixelFlipping(RemovalCurve, ByRemoval):
    """The area under the curve of the target, as it is explained, while features are removed, the most relevant first.

    The curve is that of ``deletion``, of the score rather than the probability. Its start, where nothing is removed,
    belongs to it. In the paper, pixels of black and white digits are flipped; here they take the baseline.

    References
    ----------
    Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance propagation,
    PLOS ONE 10, 2015, doi:10.1371/journal.pone.0130140.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[4.0, 3.0, 2.0, 1.0]]))
    >>> xaionnx.evaluate(model, np.ones((1, 4), np.float32), "input_x_gradient", "pixel_flipping").curves["target"]
    array([[10.,  6.,  3.,  1.,  0.]])
    """

    direction: ClassVar[Direction] = "lower"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    reference: ClassVar[str] = "Bach et al. 2015, doi:10.1371/journal.pone.0130140"
