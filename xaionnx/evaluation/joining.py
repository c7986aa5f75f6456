"""Scores of further samples, after those of the samples before them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
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

NO_TIME: Final = "there was no time"
"""Why there are no scores, if nothing else is known."""

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
    """Return the table with the scores of further samples; what has no scores of these ends before them."""
    scores = {name: dict(each) for name, each in table.scores.items()}
    before, more = len(table.inputs), len(found.inputs)
    refused = {**table.refused, **found.refused}
    for name, each in found.scores.items():
        own = scores.setdefault(name, {})
        for metric, further in each.items():
            why = why_without(name, metric, refused)
            first = filled(own[metric], before, why) if metric in own else not_measured(further, before, why)
            own[metric] = followed_by(first, further) if before else further
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
        labels=table.labels + found.labels,
        stopped=found.stopped or table.stopped,
    )


def beside(table: ScoreTable, found: ScoreTable) -> ScoreTable:
    """Return the table with the scores by other methods or metrics of the same samples, or of the first of them."""
    longer = max(table, found, key=lambda one: len(one.inputs))
    names = dict.fromkeys([*table.scores, *found.scores])
    return ScoreTable(
        {name: {**table.scores.get(name, {}), **found.scores.get(name, {})} for name in names},
        {**table.refused, **found.refused},
        {**found.seconds, **table.seconds},
        {**found.provenance, **table.provenance},
        inputs=longer.inputs,
        left_out=longer.left_out,
        labels=longer.labels,
        stopped=table.stopped or found.stopped,
    )


def why_without(name: str, metric: str, refused: Mapping[str, str]) -> str:
    """Return why a method has no scores of some samples by a metric."""
    return next((refused[key] for key in (f"{name} by {metric}", name, metric) if key in refused), NO_TIME)


def filled(scores: Scores, count: int, why: str) -> Scores:
    """Return the scores of ``count`` samples, of which the last ones have none."""
    missing = count - len(scores.values)
    return followed_by(scores, not_measured(scores, missing, why)) if missing else scores


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
