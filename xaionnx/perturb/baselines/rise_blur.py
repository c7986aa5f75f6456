"""The blur of the insertion game of RISE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import rounded
from xaionnx.registry import Form
from xaionnx.typing import Array

_SIDE, _SIGMA = 11, 5.0


@final
@dataclass(frozen=True)
class RiseBlur(Baseline):
    """A picture under the kernel of 11 x 11 pixels that RISE inserts pixels into, with zeros beyond the border.

    The kernel is a single pixel blurred with a standard deviation of 5 within its 11 x 11 pixels, reflected at their
    border, so that it is nearly flat.
    """

    forms: ClassVar[tuple[Form[Baseline], ...]] = (Form("rise_blur", lambda _: RiseBlur()),)
    arithmetic: ClassVar[bool] = True

    def fill(self, sample: Sample, name: str, rng: np.random.Generator) -> Array:
        from scipy.ndimage import convolve1d, gaussian_filter1d

        x, axes = sample.x[name], sample.placed("baseline='rise_blur'", name).axes
        blurred = x if x.dtype == np.float32 else x.astype(np.float64)
        pixel = np.zeros(_SIDE)
        pixel[_SIDE // 2] = 1
        kernel = gaussian_filter1d(pixel, _SIGMA)
        for axis in axes:
            blurred = convolve1d(blurred, kernel, axis=axis, mode="constant")
        return rounded(blurred, x)
