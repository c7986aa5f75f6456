"""Counts in words."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with the word that follows it, such as the singular of one.

    Parameters
    ----------
    count : int
    one : str
        The word after 1.
    many : str, optional
        The word after any other number; ``one`` and an s if not given.

    Examples
    --------
    >>> counted(1, "column"), counted(1024, "column"), counted(2, "input is", "inputs are")
    ('1 column', '1,024 columns', '2 inputs are')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
