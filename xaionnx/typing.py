"""Types that every room shares."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

# Of any shape; docstrings give it, and the element type where it is fixed.
Array = npt.NDArray[Any]
