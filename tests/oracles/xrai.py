"""XRAI: grow a mask from regions, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array


def grown(regions: Sequence[set[int]], attribution: Array, smallest: int) -> Array:
    """The gain with which the region of each pixel was added."""
    mask: set[int] = set()
    left = list(regions)
    values = np.zeros(len(attribution))

    def gain(pixels: set[int]) -> float:
        return sum(float(attribution[i]) for i in pixels) / len(pixels)

    while left := [region for region in left if len(region - mask) >= smallest]:
        best = max(left, key=lambda region: gain(region - mask))
        new = best - mask
        for i in new:
            values[i] = gain(new)
        mask |= new
    rest = set(range(len(attribution))) - mask
    for i in rest:
        values[i] = gain(rest)
    return values
