"""The value range of an input, which scales the steps of finite differences."""

from __future__ import annotations

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.element_types import value_range
from xaionnx.typing import Array


def value_ranges(sample: Sample, name: str) -> Array:
    """Return the value range of an input, as an array that broadcasts to it.

    From black to white if a spec defines them; ``max(|x_j|, 1)`` for each column of a row; else from the lowest to the
    highest value, or the largest absolute value, at least 1, if all are equal. Missing numbers do not count, and have
    no range as columns of a row.
    """
    x = np.asarray(sample.x[name], dtype=np.float64)
    if x.ndim < 2 and sample.pixels_of(name) is None:
        return np.maximum(np.abs(x), 1)
    low, high = value_range(sample, name)
    widest = float(np.max(high - low))
    return np.asarray(widest if widest > 0 else np.abs(x[np.isfinite(x)]).max(initial=1.0))
