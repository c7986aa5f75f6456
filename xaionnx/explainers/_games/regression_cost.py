"""The cost of a regression over players, known before any coalition is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from xaionnx.errors import ParameterError
from xaionnx.runtime import progress

MOST_OPERATIONS: Final = 5e12
"""Floating-point operations of a fit that is not refused: some minutes on one core."""

_MOST_BYTES: Final = 4 * 2**30
# Matrices (P, P) at once, and operations for each of their elements: products of the rows, and those of the solution.
_MATRICES, _BY_ROW, _BY_PLAYER = 7, 6, 12
# Of one core.
_OPERATIONS_PER_S: Final = 5e10
# Shorter fits need no words.
_LONG_S: Final = 2.0


def check_regression(method: str, players: int, rows: int, fits: int = 1) -> None:
    """Refuse a regression that takes too long or too much memory.

    Parameters
    ----------
    method : str
        The name of the method, for the message.
    players, rows : int
        The numbers P of players, and of the fewest coalitions, or pairs of them, that determine their values.
    fits : int
        The number of regressions: one for each target where each selects its own players.

    Raises
    ------
    ParameterError
        The (P, P) matrices need more than 4 GiB, or the fits more than :data:`MOST_OPERATIONS` operations.

    Examples
    --------
    >>> check_regression("Lime", 4096, 4098)
    >>> check_regression("Lime", 50_176, 50_178)
    Traceback (most recent call last):
    xaionnx.errors.ParameterError: Lime would fit a regression of 50,176 features, which takes at least 13 hours and \
131.3 GiB. Group the features into at most 4,000, or use occlusion, rise or shapley_sampling, which fit nothing.
    """
    seconds, memory = _seconds(players, rows, fits), _MATRICES * 8 * players**2
    if seconds * _OPERATIONS_PER_S <= MOST_OPERATIONS and memory <= _MOST_BYTES:
        return
    hours = seconds / 3600
    time = f"{hours:,.0f} hours" if hours >= 2 else f"{seconds / 60:,.0f} minutes"
    raise ParameterError(
        f"{method} would fit a regression of {players:,} features, which takes at least {time} and "
        f"{memory / 2**30:,.1f} GiB. Group the features into at most 4,000, or use occlusion, rise or "
        "shapley_sampling, which fit nothing."
    )


@contextmanager
def said(players: int, rows: int, fits: int = 1) -> Iterator[None]:
    """Report a long fit to the listener of progress while it runs."""
    seconds = _seconds(players, rows, fits)
    long = seconds >= _LONG_S
    if long:
        progress.phase(f"fitting {players:,} features, about {seconds:,.0f} s")
    try:
        yield
    finally:
        if long:
            progress.phase("")


def _seconds(players: int, rows: int, fits: int) -> float:
    return fits * (_BY_ROW * rows + _BY_PLAYER * players) * players**2 / _OPERATIONS_PER_S
