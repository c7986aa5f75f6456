"""The colours of a feature's values, from low to high."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xaionnx.render.colours import sequential
from xaionnx.render.themes import Style
from xaionnx.typing import Floats


def low_to_high(style: Style) -> npt.NDArray[np.float32]:
    """The colours of a feature's values, from low to high: visible on the page, and none of those of the signs."""
    colours = sequential("plasma")
    return colours[8:216] if sum(style.paper) > 384 else colours[56:248]


def shares(numbers: Floats) -> Floats:
    """Numbers from 0 at their 5th percentile to 1 at their 95th; NaN where missing, one half if all are equal."""
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return np.full(len(numbers), np.nan)
    low, high = np.percentile(known, [5, 95])
    if low == high:
        low, high = known.min(), known.max()
    if low == high:
        return np.where(np.isfinite(numbers), 0.5, np.nan)
    return np.asarray(np.clip((numbers - low) / (high - low), 0, 1))


def dot_colours(style: Style, numbers: Floats) -> npt.NDArray[np.float64]:
    """The colours (N, 3) in 0..1 of numbers from low to high; gray for words and missing values."""
    place, ramp = shares(numbers), low_to_high(style)
    colours = np.empty((len(numbers), 3))
    colours[:] = np.array(style.plain) / 255
    known = np.isfinite(place)
    colours[known] = ramp[np.rint(place[known] * (len(ramp) - 1)).astype(np.intp)] / 255
    return colours
