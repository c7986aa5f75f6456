"""Scores of further samples, after those of the samples before them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, Generic, TypeVar, final

import numpy as np

from xaionnx.consistency import BY_SAMPLE
from xaionnx.evaluation.scores import Scores, not_measured
from xaionnx.evaluation.table import ScoreTable
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document

PartT = TypeVar("PartT")

_NO_TIME: Final = "there was no time"
_BY_SAMPLE: Final = {*BY_SAMPLE, "target", "other_target"}


@final
@dataclass(eq=False)
class Chain(Generic[PartT]):
    """Parts that follow each other, of which few are kept: one is joined with the next unless it is twice as large.

    What is joined is copied, so that joining each part with all before it would copy the first ones once for each
    part. This way the copies and the number of parts that are kept grow with the logarithm of the size.

    Attributes
    ----------
    join : callable
        Returns a part and the one after it as one.
    size : callable
        The size of a part.

    Examples
    --------
    >>> chain = Chain("{}{}".format, len)
    >>> for part in "abcdefg":
    ...     chain.add(part)
    >>> chain.parts, chain.whole()
    (('abcd', 'ef', 'g'), 'abcdefg')
    """

    join: Callable[[PartT, PartT], PartT]
    size: Callable[[PartT], int]
    parts: tuple[PartT, ...] = field(default=(), init=False)

    __repr__ = short_repr

    def add(self, part: PartT) -> None:
        """Add a part after the others."""
        parts = [*self.parts]
        while parts and self.size(parts[-1]) < 2 * self.size(part):
            part = self.join(parts.pop(), part)
        self.parts = (*parts, part)

    def whole(self) -> PartT:
        """Return all parts so far, of which there is one at least, as one."""
        return reduce(self.join, self.parts)


def joined(table: ScoreTable, found: ScoreTable) -> ScoreTable:
    """Return the table with the scores of further samples; those of methods that these lack end where they do."""
    scores = {name: dict(each) for name, each in table.scores.items()}
    before, more = len(table.inputs), len(found.inputs)
    refused = {**table.refused, **found.refused}
    for name, each in found.scores.items():
        own = scores.setdefault(name, {})
        for metric in dict.fromkeys([*own, *each]):
            first, second = own.get(metric), each.get(metric)
            like = first or second
            assert like is not None  # one of both has the metric
            why = refused.get(f"{name} by {metric}", refused.get(name, _NO_TIME))
            first, second = first or not_measured(like, before, why), second or not_measured(like, more, why)
            own[metric] = followed_by(first, second) if before else second
    seconds = dict(table.seconds)
    for name, price in found.seconds.items():
        seconds[name] = (seconds.get(name, price) * before + price * more) / max(1, before + more)
    return ScoreTable(
        scores,
        refused,
        seconds,
        {**found.provenance, **table.provenance},
        inputs=(*table.inputs, *found.inputs),
        left_out=(*table.left_out, *found.left_out),
        stopped=found.stopped or table.stopped,
    )


def followed_by(first: Scores, second: Scores) -> Scores:
    """Return the scores of some samples and of those after them."""
    count, more = len(first.values), len(second.values)
    return dataclasses.replace(
        first,
        values=np.concatenate([first.values, second.values]),
        reasons={**first.reasons, **{count + n: reason for n, reason in second.reasons.items()}},
        curves={
            name: _curves(first.curves.get(name), second.curves.get(name), count, more)
            for name in dict.fromkeys([*first.curves, *second.curves])
        },
        controls={name: followed_by(one, second.controls[name]) for name, one in first.controls.items()},
        diagnostics=_diagnostics(first.diagnostics, second.diagnostics),
        provenance=_provenance(first.provenance, second.provenance, count, more),
        # Those of the second part are of another sample than the first.
        maps=first.maps,
    )


def _curves(first: Array | None, second: Array | None, count: int, more: int) -> Array:
    """Curves (N, K) of both; those of fewer points end with NaN."""
    longest = max(0 if one is None else one.shape[1] for one in (first, second))
    whole = np.full((count + more, longest), np.nan)
    if first is not None:
        whole[:count, : first.shape[1]] = first
    if second is not None:
        whole[count:, : second.shape[1]] = second
    return whole


def _diagnostics(first: Document, second: Document) -> Document:
    """Lists one after another, and sums of numbers."""
    return {name: first[name] + second[name] if name in second else first[name] for name in first}


def _provenance(first: Document, second: Document, count: int, more: int) -> Document:
    """What records say: lists with an entry for each sample one after another, anything else that of the first."""
    found: Document = {}
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        if isinstance(one, dict) or isinstance(other, dict):
            found[name] = _provenance(one or {}, other or {}, count, more)
        elif name in _BY_SAMPLE:
            found[name] = [*(one or [None] * count), *(other or [None] * more)]
        else:
            found[name] = one if name in first else other
    return found
