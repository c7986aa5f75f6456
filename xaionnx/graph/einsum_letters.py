"""The letters of an Einsum: one for each axis of its operands and of its output."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import NamedTuple


class EinsumLetters(NamedTuple):
    """The letters of an equation with the ellipses written out.

    Attributes
    ----------
    operands : tuple of str
    output : str
    spare : str
        Letters that the equation does not use.
    """

    operands: tuple[str, ...]
    output: str
    spare: str

    @classmethod
    def of(cls, equation: str, ranks: Sequence[int]) -> EinsumLetters:
        """Return the letters for operands of these numbers of axes.

        Examples
        --------
        >>> EinsumLetters.of("...ij, jk", [3, 2])[:2]
        (('aij', 'jk'), 'aik')
        """
        left, arrow, right = equation.replace(" ", "").partition("->")
        terms = left.split(",")
        used = set(equation) & set(string.ascii_letters)
        free = "".join(letter for letter in string.ascii_letters if letter not in used)
        counts = [
            rank - len(term.replace("...", "")) if "..." in term else 0 for term, rank in zip(terms, ranks, strict=True)
        ]
        most = max(counts)
        # Broadcasting aligns the last axes.
        dots, spare = free[:most], free[most:]
        spelled = tuple(term.replace("...", dots[most - count :]) for term, count in zip(terms, counts, strict=True))
        if not arrow:
            named = [letter for letter in sorted(used) if left.count(letter) == 1]
            right = ("..." if most else "") + "".join(named)
        return cls(spelled, right.replace("...", dots), spare)
