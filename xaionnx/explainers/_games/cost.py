"""What games cost besides the runs of the model, known before any coalition is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from xaionnx.errors import ParameterError
from xaionnx.runtime import progress

MOST_OPERATIONS: Final = 5e12
"""Floating-point operations of a fit that is not refused: some minutes on one core."""

_MOST_BYTES: Final = 4 * 2**30
# Matrices (P, P) at once, and operations for each of their elements: products of the rows, and those of the solution.
_MATRICES, _BY_ROW, _BY_PLAYER = 7, 6, 12
# Of one core: operations of a fit, and players of coalitions that are drawn and written into inputs.
_OPERATIONS_PER_S: Final = 5e10
_PLAYERS_PER_S: Final = 5e8
# Shorter work needs no words.
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


def fitting(players: int, rows: int, fits: int = 1) -> AbstractContextManager[None]:
    """Report a long fit to the listener of progress while it runs."""
    return _said(f"fitting {players:,} features", _seconds(players, rows, fits))


def writing(players: int, inputs: int) -> AbstractContextManager[None]:
    """Report to the listener of progress while coalitions run that take long to draw and to write into inputs."""
    words = f"writing {inputs:,} inputs of {players:,} features, besides the model's runs"
    return _said(words, inputs * players / _PLAYERS_PER_S)


@contextmanager
def _said(words: str, seconds: float) -> Iterator[None]:
    long = seconds >= _LONG_S
    if long:
        progress.phase(f"{words}, about {seconds:,.0f} s")
    try:
        yield
    finally:
        if long:
            progress.phase("")


def _seconds(players: int, rows: int, fits: int) -> float:
    return fits * (_BY_ROW * rows + _BY_PLAYER * players) * players**2 / _OPERATIONS_PER_S
