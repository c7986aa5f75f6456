"""The inputs and weights of two small nets whose values `tests.goldens.make_calls` saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.goldens.weights import uniform
from xaionnx.typing import Array

ROWS: Final = uniform("rows", (2, 5), -1.5, 1.5)
PICTURES: Final = uniform("pictures", (2, 2, 6, 6), -1.5, 1.5)
LABELS: Final = (0, 2)
BASELINE: Final = 0.25
GROUPS: Final = (0, 0, 1, 2, 2)


def weights(name: str, shape: Sequence[int]) -> Array:
    """A parameter by its name."""
    return uniform(name, shape, -0.8, 0.8)
