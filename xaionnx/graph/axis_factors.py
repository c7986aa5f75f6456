"""The axes of a tensor as products of what they count: places of the input, channels, tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

# A border of so many places more than the input has parts is no shift to speak of.
_BORDER = 2

# In place of a count of tokens that is not known yet.
_REST = -1


@final
@dataclass(frozen=True)
class Part:
    """A factor of an axis, which counts places of the input, or something else.

    Attributes
    ----------
    kind : str
        The letter of an axis of the input: ``N`` or ``C``, others for its places; ``?`` for what was places once, and
        ``P`` for a grid of places with other tokens before and behind.
    size : int
        0 where it is not known.
    under : int
        Places that one step takes: an axis that is split has a part of large steps and one of small.
    whole : int
        Places on the axis that this is a part of.
    due : int
        How many of these lie over the input; the rest is border, which may be cut off.
    grid : tuple (h, w)
    before, after : int
        Of ``P``.
    """

    kind: str
    size: int
    under: int = 1
    whole: int = 0
    due: int = 0
    grid: tuple[int, int] = (0, 0)
    before: int = 0
    after: int = 0

    @classmethod
    def place(cls, kind: str, size: int, due: int) -> Part:
        return cls(kind, size, whole=size, due=due)

    @property
    def placed(self) -> bool:
        """Whether it counts places."""
        return self.kind not in ("N", "C", "?")

    def split(self, size: int) -> tuple[Part, Part] | None:
        """A part of so many large steps and one of small; None where it cannot be split."""
        if self.kind == "P":
            return None
        small = self.size // size
        return replace(self, size=size, under=self.under * small), replace(self, size=small)

    def joined(self, small: Part) -> Part | None:
        """The part that joins this one and one of smaller steps; None where they do not belong together."""
        if self.kind == "P" or replace(self, size=0, under=0) != replace(small, size=0, under=0):
            return None
        if self.placed and self.under != small.under * small.size:
            return None
        return replace(small, size=self.size * small.size)


Axis = tuple[Part, ...]
Layout = tuple[Axis, ...]


def whole_on(axis: Axis) -> Part | None:
    """The places that an axis counts, with a border of any width; None where it counts others, or a part of them."""
    if len(axis) != 1 or not axis[0].placed or axis[0].kind == "P":
        return None
    return axis[0] if axis[0].size * axis[0].under == axis[0].whole else None


def place_on(axis: Axis) -> Part | None:
    """The places that an axis counts, all along the input and with hardly a border; else None."""
    part = whole_on(axis)
    return part if part is not None and part.whole <= part.due + _BORDER * part.under else None


def tokens_on(axis: Axis) -> Part | None:
    """The grid of places that an axis counts row by row, with tokens before and behind; None where it does not."""
    if len(axis) == 1 and axis[0].kind == "P":
        return axis[0]
    if "".join(part.kind for part in axis) != "HW" or not all(place_on((part,)) for part in axis):
        return None
    return Part("P", axis[0].size * axis[1].size, grid=(axis[0].size, axis[1].size))


def among(tokens: Part, before: Sequence[int], after: Sequence[int], *, none: bool = False) -> Part:
    """Tokens with others joined to them; sizes of one side may be unknown, 0, unless that means ``none``."""
    open_before = tokens.before == _REST or (not none and 0 in before)
    open_after = tokens.after == _REST or (not none and 0 in after)
    if open_before and open_after:
        return Part("?", 0)
    return replace(
        tokens,
        size=0 if open_before or open_after else tokens.size + sum(before) + sum(after),
        before=_REST if open_before else tokens.before + sum(before),
        after=_REST if open_after else tokens.after + sum(after),
    )


def filled(axis: Axis, size: int) -> Axis:
    """An axis whose size is known now; of tokens, one count is what the others leave."""
    if len(axis) != 1 or axis[0].size or not size:
        return axis
    part = replace(axis[0], size=size)
    rest = size - math.prod(part.grid)
    if part.before == _REST:
        part = replace(part, before=rest - part.after)
    elif part.after == _REST:
        part = replace(part, after=rest - part.before)
    return (part,)


def lost(axis: Axis, size: int) -> Axis:
    """An axis behind an op that moves numbers along it."""
    if size == 1:
        return ()
    return (Part("?" if any(part.placed or part.kind == "?" for part in axis) else "C", size),)


def cut(axis: Axis, held: int, size: int, chosen: range | None, step: int) -> Axis:
    """An axis of ``held`` numbers of which ``size`` are left, those ``chosen`` where that is known."""
    if size and size == held and step == 1:
        return axis
    tokens = tokens_on(axis)
    if tokens is not None and chosen and step == 1:
        before, after = tokens.before - chosen.start, tokens.after - (held - chosen.stop)
        if min(before, after) >= 0:
            return (replace(tokens, size=size, before=before, after=after),)
    part = whole_on(axis)
    if part is not None:
        due = part.due // part.under
        if step == 1 and size >= due:
            return (Part.place(part.kind, size, due),)
        # Every second place, as a stride of 2 leaves it.
        if step > 1 and chosen and chosen.start < step and size >= held // step:
            return (Part.place(part.kind, size, min(-(-due // step), size)),)
    return lost(axis, size)


def regrouped(layout: Layout, sizes: Sequence[int]) -> Layout | None:
    """The axes where the same numbers in the same order are counted in other ``sizes``; None where they do not fit."""
    parts = [part for axis in layout for part in axis if part.size != 1]
    made = list[Axis]()
    for size in sizes:
        axis = list[Part]()
        while size > 1:
            if not parts or not parts[0].size:
                return None
            part = parts.pop(0)
            if size % part.size:
                halves = part.split(size) if part.size % size == 0 else None
                if halves is None:
                    return None
                part, rest = halves
                parts.insert(0, rest)
            size //= part.size
            whole = axis[-1].joined(part) if axis else None
            axis[-1:] = [whole] if whole is not None else [*axis[-1:], part]
        made.append(tuple(axis))
    return None if parts else tuple(made)


def broadcast(read: Sequence[Layout]) -> Layout | None:
    """The axes of what an element-wise op makes; places of one tensor stay where others have none."""
    if not read:
        return None
    made = list[Axis]()
    for at in range(-max(map(len, read)), 0):
        axes = [layout[at] for layout in read if len(layout) >= -at]
        placed = [axis for axis in axes if any(part.placed for part in axis)]
        kinds = {
            tuple((part.kind, part.under * part.size != part.whole and part.under) for part in axis) for axis in placed
        }
        size = max(math.prod(part.size for part in axis) for axis in axes)
        if len(kinds) > 1:
            made.append((Part("?", size),))
        else:
            made.append(max(placed or axes, key=lambda axis: math.prod(part.size for part in axis)))
    return tuple(made)
