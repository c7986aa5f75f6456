"""Pairs of features, as users write them."""

from __future__ import annotations

from collections.abc import Sequence

from xaionnx.errors import ParameterError, UnknownNameError, shortened
from xaionnx.typing import PairsLike


def read_pairs(text: str) -> PairsLike:
    """The pairs of a command line: ``FIRST:SECOND,FIRST:SECOND``, by name or number.

    Examples
    --------
    >>> read_pairs("age:duration,0:3")
    [('age', 'duration'), ('0', '3')]
    """
    return [tuple(pair.strip().rsplit(":", 1)) for pair in text.split(",")]


def check_pairs(given: PairsLike) -> object:
    """The pairs as a list of tuples; raises ParameterError for anything else."""
    if given is None:
        return None
    if not isinstance(given, list | tuple) or not given or not all(map(_is_pair, given)):
        raise ParameterError(
            "The 'pairs' parameter must be a list of pairs of features, by name or number, such as [('age', 'income')] "
            f"or [(0, 3)]. Got {shortened(given)} instead."
        )
    return [tuple(pair) for pair in given]


def _is_pair(given: object) -> bool:
    if not isinstance(given, list | tuple) or len(given) != 2:
        return False
    return all(isinstance(one, str | int) and not isinstance(one, bool) for one in given)


def numbers_of(pairs: PairsLike, names: Sequence[str]) -> list[tuple[int, int]]:
    """The numbers of the features of each pair.

    Raises
    ------
    ParameterError
        A pair has twice the same feature.
    UnknownNameError
        There is no such feature.

    Examples
    --------
    >>> numbers_of([("age", 2), ("0", "income")], ["age", "purpose", "income"])
    [(0, 2), (0, 2)]
    """
    found = [(_number(one, names), _number(other, names)) for one, other in pairs or ()]
    for first, second in found:
        if first == second:
            raise ParameterError(f"The 'pairs' parameter must be of two features each. Got '{names[first]}' twice.")
    return found


def _number(given: str | int, names: Sequence[str]) -> int:
    if given in names:
        return names.index(str(given))
    text = str(given)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise UnknownNameError.among("feature", text, names)
