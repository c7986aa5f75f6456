"""Lists as JSON in compressed pieces, which take a fraction of the memory of their items."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from xaionnx.short_repr import short_repr
from xaionnx.typing import Entry

_LEVEL: Final = 1


@final
@dataclass(frozen=True, eq=False)
class EncodedList:
    """A list that is kept until it is written.

    Attributes
    ----------
    count : int
        The number of items.
    length : int
        Of its JSON, in characters.
    pieces : tuple of bytes
        Its items as JSON, separated by commas, without brackets, each piece compressed.

    Examples
    --------
    >>> both = EncodedList.joined([EncodedList.of([1, "a"]), EncodedList.of([[None]])])
    >>> "".join(both.texts()), both.count, both.items()
    ('[1, "a", [null]]', 3, [1, 'a', [None]])
    """

    count: int
    length: int
    pieces: tuple[bytes, ...]

    __repr__ = short_repr

    @classmethod
    def of(cls, items: Sequence[Entry], default: Callable[[object], Entry] | None = None) -> EncodedList:
        """Return the list of some items; ``default`` is as in :func:`json.dumps`."""
        text = json.dumps(list(items), sort_keys=True, default=default)
        return cls(len(items), len(text), (zlib.compress(text[1:-1].encode("ascii"), _LEVEL),) if items else ())

    @classmethod
    def joined(cls, lists: Sequence[EncodedList]) -> EncodedList:
        """Return the list of the items of all, one list after the other."""
        lists = [one for one in lists if one.count]
        if not lists:
            return cls.of([])
        # Two brackets for all, and a comma and a space between two lists.
        length = sum(one.length for one in lists)
        return cls(sum(one.count for one in lists), length, tuple(piece for one in lists for piece in one.pieces))

    def texts(self) -> Iterator[str]:
        """Yield the JSON in parts."""
        yield "["
        for number, piece in enumerate(self.pieces):
            yield f"{', ' if number else ''}{zlib.decompress(piece).decode('ascii')}"
        yield "]"

    def items(self) -> list[Entry]:
        """Return the items."""
        found: list[Entry] = json.loads("".join(self.texts()))
        return found
