"""Changes of rows in words, and the base of all searches for other answers."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, final


@final
@dataclass(frozen=True)
class Change:
    """One change of a row, in the words and units of its column."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} -> {self.after}"


class CounterfactualSearch(ABC):
    """A search for inputs with another answer: of rows, or of any input.

    Attributes
    ----------
    reference : str
        The publication that it follows.
    """

    reference: ClassVar[str]
