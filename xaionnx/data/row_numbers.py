"""RowNumbers: some rows of a table or an array, by their numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from xaionnx.errors import DataError, ParameterError


@final
@dataclass(frozen=True)
class RowNumbers:
    """Numbers of rows and ranges of them, counted from 0, as by numpy, pandas and `Explanation.sample`.

    Attributes
    ----------
    ranges : tuple of (int, int)
        First and last number of each range.

    Examples
    --------
    >>> RowNumbers.read("17,2-4").of(100, "The table")
    [2, 3, 4, 17]
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, text: str) -> RowNumbers:
        """Return the rows written as ``17``, ``17,20-30`` and so on; both ends of a range belong to it.

        Raises
        ------
        ParameterError
            The text is none of these.
        """
        ranges = []
        for one in text.split(","):
            matched = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", one, re.ASCII)
            if matched is None or len(one) > 40:
                raise ParameterError(
                    f"Rows are numbers from 0 and ranges of them, such as 17 or 17,20-30. Got {text[:60]!r} instead."
                )
            first, last = int(matched[1]), int(matched[2] or matched[1])
            if last < first:
                raise ParameterError(f"The rows {first}-{last} end before they begin. Write {last}-{first}.")
            ranges.append((first, last))
        return cls(tuple(ranges))

    def of(self, count: int, table: str) -> list[int]:
        """Return the numbers, each once, in ascending order, for a ``table`` of ``count`` rows.

        Raises
        ------
        DataError
            The table has no such row.
        """
        for first, last in self.ranges:
            if last >= count:
                many = f"{count} rows, 0 to {count - 1}" if count > 1 else "one row, 0"
                raise DataError(f"{table} has {many}: there is no row {max(first, count) if first < last else last}.")
        return sorted({row for first, last in self.ranges for row in range(first, last + 1)})
