"""Short representations: arrays by their shape, long sequences by their first items."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

# Longer sequences and mappings show their first items and their length.
_ITEMS: Final = 6
_SHOWN: Final = 3
# Characters of the name of a size, and numbers that exporters give to sizes without a name.
_SIZE: Final = 14
_NUMBERED: Final = re.compile(r"unk__\d+|\w+_dynamic_axes_\d+")
# Characters of a text, and of any other value.
_TEXT: Final = 80
_LONGEST: Final = 160


def short(value: object) -> str:
    """Return the representation of a value on one line of at most about 160 characters.

    Examples
    --------
    >>> short(np.zeros((2, 3)))
    'array (2, 3) float64'
    >>> short(np.array([1.0, 2.5]))
    'array([1. , 2.5])'
    >>> short(list(range(1000)))
    '[0, 1, 2, ... 1000 in all]'
    """
    if isinstance(value, np.ndarray):
        text = repr(value)
        return text if value.size <= _ITEMS and "\n" not in text else f"array {value.shape} {value.dtype}"
    if isinstance(value, str):
        return repr(value) if len(value) <= _TEXT else f"{value[:_TEXT]!r}... ({len(value)} characters)"
    if isinstance(value, Mapping):
        return _bracketed([f"{short(key)}: {short(item)}" for key, item in _head(value.items())], value, "{}")
    if isinstance(value, Set):
        return _bracketed([short(item) for item in _head(value)], value, "{}")
    if isinstance(value, Sequence) and type(value).__repr__ in (list.__repr__, tuple.__repr__):
        return _bracketed([short(item) for item in _head(value)], value, "[]" if isinstance(value, list) else "()")
    text = repr(value)
    return text if "\n" not in text and len(text) <= _LONGEST else f"<{type(value).__name__}>"


def shortened_repr(cls: type) -> None:
    """Give a dataclass that is being created :func:`short_repr`, unless it defines a representation of its own.

    ``dataclass`` keeps it, where the one that it generates would print whole arrays.
    """
    if "__repr__" not in vars(cls):
        cls.__repr__ = short_repr  # type: ignore[method-assign,assignment]  # as a dataclass does, which each is


def short_repr(self: DataclassInstance) -> str:
    """``__repr__`` of a dataclass that shortens every field, or of another class without its attributes."""
    if not dataclasses.is_dataclass(self):
        return f"<{type(self).__qualname__}>"
    return _call_text(self, [field for field in dataclasses.fields(self) if field.repr])


def changed_repr(self: DataclassInstance) -> str:
    """``__repr__`` of a dataclass that shows only the fields that differ from their defaults."""

    def default(field: dataclasses.Field[object]) -> object:
        return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()

    return _call_text(self, [f for f in dataclasses.fields(self) if f.repr and getattr(self, f.name) != default(f)])


def _call_text(self: DataclassInstance, fields: Sequence[dataclasses.Field[object]]) -> str:
    each = [f"{field.name}={short(getattr(self, field.name))}" for field in fields]
    return f"{type(self).__qualname__}({', '.join(each)})"


def _head(items: Iterable[T]) -> list[T]:
    listed = list(items)
    return listed if len(listed) <= _ITEMS else listed[:_SHOWN]


def _bracketed(shown: list[str], value: Sized, brackets: str) -> str:
    count = len(value)
    if count > len(shown):
        shown = [*shown, f"... {count} in all"]
    text = ", ".join(shown)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}... {count} in all"
    comma = "," if brackets == "()" and count == 1 else ""
    return f"{brackets[0]}{text}{comma}{brackets[1]}"


def short_sizes(shape: Iterable[int | str | None], known: dict[str, str] | None = None) -> tuple[int | str | None, ...]:
    """Return a shape for messages: names of sizes that are long, such as formulas, and numbered ones become d1, d2, ...

    ``known`` collects the short names by the long ones, for a report that shows several shapes.

    Examples
    --------
    >>> short_sizes(("N", "floor(height/2 - 1/2) + 1", 3, "unk__190", "unk__190"))
    ('N', 'd1', 3, 'd2', 'd2')
    """
    names = {} if known is None else known
    return tuple(
        names.setdefault(size, f"d{len(names) + 1}")
        if isinstance(size, str) and (len(size) > _SIZE or _NUMBERED.fullmatch(size))
        else size
        for size in shape
    )
