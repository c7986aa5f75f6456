"""Names of free sizes, short enough to read: long ones are numbered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xaionnx.short_repr import short_sizes

_LEGEND: Final = 48


class ShortSizes:
    """Shortens the names of free sizes, each in the same way throughout a report.

    Examples
    --------
    >>> sizes = ShortSizes()
    >>> sizes.shape(["N", "unk__190", 3, None, "unk__191", "unk__190"])
    '(N, d1, 3, ?, d2, d1)'
    >>> list(sizes.legend())
    ['d1 unk__190', 'd2 unk__191']
    """

    def __init__(self) -> None:
        self._short: dict[str, str] = {}

    def shape(self, dims: list[int | str | None]) -> str:
        """Return a shape in parentheses."""
        return f"({', '.join('?' if dim is None else str(dim) for dim in short_sizes(dims, self._short))})"

    def in_text(self, text: str) -> str:
        """Return a text with the short names in place of the long ones, and of their quotes.

        Examples
        --------
        >>> sizes = ShortSizes()
        >>> sizes.shape(["N", "floor(height/32)"])
        '(N, d1)'
        >>> sizes.in_text("it has the shape ('N', 'floor(height/32)', 4)")
        "it has the shape ('N', d1, 4)"
        """
        for name in sorted(self._short, key=len, reverse=True):
            text = text.replace(repr(name), self._short[name]).replace(name, self._short[name])
        return text

    def legend(self) -> Iterator[str]:
        """Yield the numbered sizes with their names, long ones without their middle."""
        for name, short in self._short.items():
            yield f"{short} {middle_cut(name, _LEGEND)}"


def middle_cut(text: str, most: int) -> str:
    """Return a text without its middle if it is longer than ``most``.

    Examples
    --------
    >>> middle_cut("StatefulPartitionedCall/model/dense/BiasAdd", 20)
    'StatefulPa...BiasAdd'
    """
    if len(text) <= most:
        return text
    tail = (most - 3) * 7 // 17
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"
