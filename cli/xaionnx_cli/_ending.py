"""The end of commands that write all results at once: what was finished is kept, whatever stops them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from xaionnx_cli._interrupts import held


@contextlib.contextmanager
def kept_if_stopped(conclude: Callable[[], str]) -> Iterator[None]:
    """Conclude with what is finished if the block is interrupted or fails.

    Parameters
    ----------
    conclude : callable
        Writes and prints it, and returns in words what was kept; an empty text if nothing is finished.
    """
    try:
        yield
    except BaseException as stop:
        kept = conclude()
        if kept and isinstance(stop, KeyboardInterrupt):
            stop.args = (kept,)
        raise


def write_and_report(
    files: Iterable[tuple[Path, Callable[[Path], object]]], report: Callable[[list[Path]], None]
) -> list[Path]:
    """Write files, report, and return which were written; signals wait until all of it is done.

    The report is printed even if a file cannot be written: it may be all that is left of hours of work.

    Raises
    ------
    StorageError
        A file cannot be written.
    """
    written: list[Path] = []
    with held():
        try:
            for place, write in files:
                write(place)
                written.append(place)
        finally:
            report(written)
    return written


def saved_in(places: Iterable[Path]) -> str:
    """Return where results were saved, as the end of a sentence; an empty text if nowhere."""
    first = next(iter(places), None)
    return "" if first is None else f" and saved in {first}"
