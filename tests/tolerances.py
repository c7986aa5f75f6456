"""The tolerances between two floating-point results of one quantity: a single table, and the comparison that uses it.

A float32 operation rounds by at most u = 2**-24 = 6e-8 of its result, and a sum of n products by at most n u of the sum
of their absolute values; as the signs of rounding errors vary, sqrt(n) u is typical. Bounds are of that size times the
number of layers, with a margin of ten or more over the worst error met: :mod:`tests.test_arithmetic` runs every entry
with other orders of sums and other instructions, and prints the worst share of each tolerance. A wrong rule, sign or
index gives errors of 1e-2 and more.

Exact equality is not in the table (``np.testing.assert_array_equal``), nor are errors that do not come from rounding:
of a quadrature with few steps, of a central difference across kinks, of a sample. Those bounds are given in their
tests.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

# Environment variable: the file for the largest share of each tolerance, one a line, with the test.
SHARES = "XAIONNX_TEST_SHARES"


class Tolerance(Enum):
    """A tolerance: ``relative`` to each expected value, plus ``absolute`` times the scale of all, with the reason."""

    OPERATIONS = 2e-6, 0, "A handful of float32 operations without cancellation: 3 u = 2e-7."
    ORDER_ONE = (
        0, 1e-5,
        "Values up to about ten, of a few operations or short sums: 10 * sqrt(36) u = 4e-6 for values of ten, "
        "4e-7 for values of one.",
    )  # fmt: skip
    SUMS = 1e-5, 0, "Sums of up to 100 products that hardly cancel: sqrt(100) u = 6e-7."
    SIGNED_SUMS = 1e-5, 1e-5, "The same of either sign: what cancels leaves sqrt(n) u of the terms, not of the sum."
    LAYERS = 1e-4, 0, "A few layers, or sums over a thousand elements, that hardly cancel: 4 * sqrt(1000) u = 8e-6."
    SIGNED_LAYERS = 1e-4, 1e-5, "The same of either sign, with terms of order one."
    DEEP = (
        2e-4,
        2e-4,
        "Nets of up to 20 layers, and sums of up to 1e4 terms up to ten: 20 * sqrt(1e4) u = 1.2e-4 of a term.",
    )
    QUOTIENTS = (
        1e-3, 1e-4,
        "Relevance and normalised slopes: a share z_i / sum z_j has the error of the sum over its value, so that a sum "
        "that cancels to a hundredth loses two digits.",
    )  # fmt: skip
    PROPAGATION = 2e-3, 2e-4, "Such shares through several layers, beside the largest relevance of the sample."
    DIFFERENCE_QUOTIENTS = (
        1e-3, 3e-4,
        "DeepLIFT's multipliers (f(x) - f(b)) / (x - b): the difference of outputs of order one is off by u, which a "
        "difference of inputs of 1e-3 raises to 6e-5.",
    )  # fmt: skip
    COMPLETENESS = (
        0, 1e-5,
        "What attributions do not add up to, beside the sum of their absolute values and the scores: layers of "
        "sqrt(n) u each, of terms that cancel in the change of the score but not here.",
    )  # fmt: skip
    PEERS = (
        0, 3e-4,
        "Float32 against another library's float64 over nets of up to 20 layers, as a share of the norm, or a gap as a "
        "share of the change that is explained: 20 * sqrt(600) u = 3e-5.",
    )  # fmt: skip
    PEERS_OF_SMALL_SUMS = (
        0, 3e-2,
        "zennit's w-square and flat rules hand a sum near zero relevance that is not near zero: float32 rounds such a "
        "sum, and so its shares; 3e-3 was met, where the distance of a wrong rule is of order one.",
    )  # fmt: skip
    PEERS_OF_CANCELLING_SUMS = (
        0, 2e-3,
        "The epsilon rule behind a normalisation that passes all relevance: its sums cancel, so that zennit's own "
        "answer in float32 is 1.7e-4 from its answer in float64.",
    )  # fmt: skip
    MAPS_OF_PEERS = 0, 5e-5, "A peer's formula applied to our slopes, as a share of the largest value of its map."
    REWRITES = (
        0, 2e-5,
        "A random net of a few layers against its rewritten form, beside the largest number: sums of a few dozen terms "
        "in another order, 4 * sqrt(36) u = 1.4e-6.",
    )  # fmt: skip
    FLOAT64 = 1e-12, 1e-12, "A few float64 operations: 2**-53 = 1e-16 each."
    FLOAT64_SOLVED = 1e-10, 1e-10, "Linear systems and long sums in float64 with condition numbers up to 1e5."
    FLOAT16 = 5e-3, 5e-3, "Half precision: 2**-11 = 5e-4 of values of order one."
    DIFFERENCES = (
        0, 1e-5,
        "Slopes against central differences in float64 with a step of 1e-6, over the size of their terms: rounding "
        "leaves 2**-53 / 1e-6 = 1e-10 of the output; curvature leaves 1e-12 of the third derivative, large near kinks.",
    )  # fmt: skip
    DIFFERENCES_OF_LINEAR = (
        0,
        2e-5,
        "Linear ops in float32 with any step: sums of a few hundred terms, sqrt(300) u = 1e-6.",
    )
    DIFFERENCES_OF_FLOAT32 = (
        0, 2e-2,
        "Smooth ops that onnxruntime has in float32 alone: u over a step of 3e-3 is 2e-5 of the output, which slopes "
        "along a random direction are a hundredth of.",
    )  # fmt: skip

    def __init__(self, relative: float, absolute: float, reason: str) -> None:
        self.relative = relative
        self.absolute = absolute
        self.reason = reason


def assert_close(actual: Any, expected: Any, tolerance: Tolerance, scale: Any = 1.0) -> None:
    """Assert that numbers are equal up to rounding.

    Parameters
    ----------
    actual, expected : array_like
        Of shapes that broadcast.
    tolerance : Tolerance
        Which entry of the table says how far they may lie apart: ``relative * |expected| + absolute * scale``.
    scale : array_like
        The size of the terms that the numbers are made of, where it is not of order one; broadcasts with them.

    Examples
    --------
    >>> assert_close(np.float32([0.1]) * 3, [0.3], Tolerance.OPERATIONS)
    >>> assert_close(1e-4, 0, Tolerance.COMPLETENESS, scale=390.0)
    """
    a, b = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.ndim and b.ndim:
        assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    a, b, size = np.broadcast_arrays(a, b, np.asarray(scale, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.abs(a - b) / (tolerance.relative * np.abs(b) + tolerance.absolute * size)
    shares = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.nan_to_num(shares, nan=np.inf))
    worst = float(shares.max(initial=0.0))
    if file := os.environ.get(SHARES):
        _note(Path(file), tolerance, worst)
    if worst > 1:
        at = np.unravel_index(shares.argmax(), shares.shape)
        raise AssertionError(
            f"{a[at]} for {b[at]} at {tuple(map(int, at))} is {worst:.3g} times as far as {tolerance.name} allows; "
            f"{np.count_nonzero(shares > 1)} of {shares.size} are too far. {tolerance.reason}"
        )


_worst: dict[Tolerance, float] = {}


def _note(file: Path, tolerance: Tolerance, share: float) -> None:
    if share > _worst.get(tolerance, -1.0):
        _worst[tolerance] = share
        with file.open("a") as lines:
            lines.write(f"{tolerance.name}\t{share:.3g}\t{os.environ.get('PYTEST_CURRENT_TEST', '')}\n")
