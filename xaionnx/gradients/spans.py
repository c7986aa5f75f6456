"""How far the values of an input reach: what steps are a share of."""

from __future__ import annotations

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.perturb.element_types import value_range
from xaionnx.typing import Array


def spans(sample: Sample, name: str) -> Array:
    """The value range of an input for each element, broadcasting to it.

    From black to white where a spec tells; ``max(|x_j|, 1)`` of each column of a row; else from the lowest to the
    highest value, or the largest size where all are equal.
    """
    x = np.asarray(sample.x[name], dtype=np.float64)
    if x.ndim < 2 and sample.pixels_of(name) is None:
        return np.maximum(np.abs(x), 1)
    low, high = value_range(sample, name)
    widest = float(np.max(high - low))
    return np.asarray(widest if widest > 0 else max(float(np.abs(x).max()), 1.0))
