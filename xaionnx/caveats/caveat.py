"""What a check finds in a record: the warning, and the samples and targets that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.caveats.cells import shape_of
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.explanation import Explanation
    from xaionnx.short_repr import short_repr
from xaionnx.typing import Array


@final
@dataclass(frozen=True)
class Caveat:
    """A warning: the finding and the advice, one sentence each."""

    finding: str
    advice: str

    def __str__(self) -> str:
        return f"{self.finding} {self.advice}"


@final
@dataclass(frozen=True)
class Finding:
    """What a check finds in the samples and targets of a record.

    Attributes
    ----------
    size, count : int
        How many there are, and how many it concerns.
    first : str
        The first caveat.
    place : (int, int)
        Its sample and its target.
    same : bool
        Whether the caveat is that of all.
    """

    size: int
    count: int = 0
    first: str = ""
    place: tuple[int, int] = (0, 0)
    same: bool = False

    def followed(self, other: Finding, targets: int) -> Finding:
        """Return what the check finds in further samples, too."""
        size, count = self.size + other.size, self.count + other.count
        if not count:
            return Finding(size)
        if not self.count:
            place = self.size // targets + other.place[0], other.place[1]
            return Finding(size, count, other.first, place, other.same and not self.size)
        same = self.same and (other.same or not other.size) and other.first in (self.first, "")
        return Finding(size, count, self.first, self.place, same)

    def sentence(self, targets: int) -> str | None:
        """Return the caveat, and how many samples and targets it concerns; None if it concerns none."""
        if not self.count:
            return None
        if self.same:
            return self.first
        n, t = self.place
        place = f"sample {n}, target {t}" if targets > 1 else f"sample {n}"
        what = "samples and targets" if targets > 1 else "samples"
        return f"In {self.count} of {self.size} {what}, first in {place}: {self.first}"


@final
@dataclass(frozen=True)
class Check:
    """A kind of caveat.

    Attributes
    ----------
    caveats : callable
        Yields the caveat of one sample and one target, if there is one.
    concerns : callable or None
        Returns which samples and targets it concerns, bool (N, T), where these may differ; ``caveats`` then yields one.
        If None, ``caveats`` is given whole records.
    alike : bool
        Whether the caveat is the same for all that it concerns.
    """

    caveats: Callable[[Explanation], Iterator[Caveat]]
    concerns: Callable[[Explanation], Array] | None = None
    alike: bool = True

    __repr__ = short_repr

    def of_one(self, one: Explanation) -> Iterator[Caveat]:
        """The caveats of one sample and one target."""
        if self.concerns is None or self.concerns(one).any():
            yield from self.caveats(one)

    def finding(self, explanation: Explanation) -> Finding:
        """What it finds in the samples and targets of a record."""
        assert self.concerns is not None  # else there is nothing to count
        where = self.concerns(explanation)
        cells = np.argwhere(where)
        first = next(self._of_cells(explanation, cells[:1]), None)
        if first is None:
            return Finding(where.size)
        same = len(cells) == where.size and (
            self.alike or all(caveat == first for caveat in self._of_cells(explanation, cells[1:]))
        )
        n, t = cells[0].tolist()
        return Finding(where.size, len(cells), str(first), (n, t), same)

    def sentence(self, one: Explanation) -> str | None:
        """The caveat of a record of one sample."""
        if self.concerns is not None:
            return self.finding(one).sentence(shape_of(one)[1])
        found = next(self.caveats(one), None)
        return None if found is None else str(found)

    def sentences(self, explanation: Explanation) -> list[str | None]:
        """The caveat of each of N samples alone."""
        samples, targets = shape_of(explanation)
        if self.concerns is None:
            return [self.sentence(explanation.sample(0))] * samples
        found: list[str | None] = [None] * samples
        for n in np.flatnonzero(self.concerns(explanation).any(axis=1)).tolist():
            same = self.alike and targets == 1 and any(found)
            found[n] = next(filter(None, found)) if same else self.sentence(explanation.sample(n))
        return found

    def _of_cells(self, explanation: Explanation, cells: Array) -> Iterator[Caveat]:
        for n, t in cells.tolist():
            yield from self.caveats(explanation.sample(n, t))
