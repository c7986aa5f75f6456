"""ColumnOrder: tables whose columns nothing names must have them in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from xaionnx.errors import InputMismatchError

# Titles of a table that a message lists.
_SHOWN: Final = 8


@final
class ColumnOrder:
    """Compares tables whose columns are taken by their place with the first one.

    Examples
    --------
    >>> order = ColumnOrder()
    >>> order.check("monday.csv", ("age", "income"))
    >>> order.check("array.npy", ())
    >>> order.check("tuesday.csv", ("income", "age"))
    Traceback (most recent call last):
        ...
    xaionnx.errors.InputMismatchError: 'tuesday.csv' has the columns income, age, and 'monday.csv' has age, income. \
Neither the model nor a spec names them. Give all tables the same columns, or list them under 'columns' of a spec.
    """

    def __init__(self) -> None:
        self._first: tuple[str, tuple[str, ...]] | None = None

    @property
    def known(self) -> bool:
        """Whether there was a table with titles."""
        return self._first is not None

    def check(self, name: str, columns: Sequence[str]) -> None:
        """Check the columns that a table ``name`` gave to the model by their place; none if its titles decide.

        Raises
        ------
        InputMismatchError
            They are not those of the first table, in its order.
        """
        if not columns:
            return
        if self._first is None:
            self._first = name, tuple(columns)
        first, before = self._first
        if tuple(columns) != before:
            raise InputMismatchError(
                f"'{name}' has the columns {shown(columns)}, and '{first}' has {shown(before)}. Neither the model nor "
                "a spec names them. Give all tables the same columns, or list them under 'columns' of a spec."
            )


def by_place(columns: Sequence[str]) -> str:
    """Return what is said of columns that are taken by their place."""
    return f"no spec names the columns, so they are taken in the order given: {shown(columns)}"


def shown(columns: Sequence[str]) -> str:
    """Return the first titles of columns in words."""
    return ", ".join(columns[:_SHOWN]) + (", ..." if len(columns) > _SHOWN else "")
