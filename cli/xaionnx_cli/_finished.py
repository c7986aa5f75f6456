"""What a run keeps of finished samples until its end: compact arrays, encoded lists, and entries of the document."""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
import math
import operator
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from xaionnx.caveats import Findings
from xaionnx.explanation import Explanation
from xaionnx.record_joining import Joined, decode_lists, join_records
from xaionnx.typing import Entry
from xaionnx_cli._entry_texts import EntryTexts, Mark, array_texts
from xaionnx_cli._samples import Sample
from xaionnx_cli._summary import Summary

T = TypeVar("T")


@final
@dataclass(frozen=True, eq=False)
class Written:
    """What is left of samples once they are written.

    Attributes
    ----------
    files : list of str
        Their own files.
    entries : EntryTexts or None
        Their entries in the document, if it is asked for.
    record : Explanation or None
        Their record, if it goes into a file of all inputs; its lists by sample are encoded.
    samples : sequence of Sample
        They themselves, if they are drawn together.
    findings : Findings or None
        What is printed about them at the end, if there is such a record.
    summary : Summary or None
        The same of many rows that no file takes.
    """

    files: list[str]
    entries: EntryTexts | None = None
    record: Explanation | None = None
    samples: Sequence[Sample] = ()
    findings: Findings | None = None
    summary: Summary | None = None


@final
@dataclass(frozen=True, eq=False)
class _Gathered:
    """Samples of a file of all inputs, with their positions in the results, which ascend."""

    places: Sequence[int]
    record: Explanation
    findings: Findings | None
    samples: Sequence[Sample]


class Finished:
    """The finished samples of a run.

    Attributes
    ----------
    count : int
        Their number.
    summary : Summary or None
        That of rows that no file takes.
    """

    def __init__(self) -> None:
        self.count = 0
        self.summary: Summary | None = None
        self._gathered: list[_Gathered] = []
        self._entries: list[tuple[Sequence[int], EntryTexts, Explanation | None]] = []

    def add(self, places: list[int], written: Written) -> None:
        """Add samples with their positions in the results, which ascend."""
        whole = range(places[0], places[0] + len(places))
        compact = whole if list(whole) == places else array("q", places)
        self.count += len(places)
        if written.summary is not None:
            self.summary = written.summary if self.summary is None else self.summary.followed(written.summary)
        if written.record is not None:
            self._gathered.append(_Gathered(compact, written.record, written.findings, written.samples))
            self._gathered.sort(key=lambda one: one.places[0])
        if written.entries is not None:
            self._entries.append((compact, written.entries, written.record))

    @property
    def gathered(self) -> int:
        """The number of samples that go into a file of all inputs."""
        return sum(len(one.places) for one in self._gathered)

    def whole(self) -> tuple[list[Sample], Explanation]:
        """Return the gathered samples and their record, in the order of their places."""
        samples = [sample for one in self._gathered for sample in one.samples]
        records = [decode_lists(one.record) for one in self._gathered]
        record = records[0] if len(records) == 1 else join_records(records)
        places = [place for one in self._gathered for place in one.places]
        order = sorted(range(len(places)), key=lambda n: places[n])
        if order == list(range(len(order))):
            return samples, record
        return [samples[n] for n in order if samples], record[order]

    def fields(self) -> Iterator[tuple[str, Entry]]:
        """Yield the fields of that record, joined one by one if the samples were gathered in their order."""
        records = [one.record for one in self._gathered]
        ascending = all(one.places[-1] < other.places[0] for one, other in itertools.pairwise(self._gathered))
        if len(records) > 1 and ascending:
            return Joined(records).fields()
        whole = records[0] if len(records) == 1 else self.whole()[1]
        return ((item.name, getattr(whole, item.name)) for item in dataclasses.fields(whole))

    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of that record."""
        findings = [one.findings for one in self._gathered if one.findings is not None]
        records = [one.record for one in self._gathered]
        # Warnings of no sample follow from what all have in common, and from what they look like.
        common = dataclasses.replace(decode_lists(records[0]).sample(0), display=Joined(records).field("display"))
        return functools.reduce(operator.add, findings).sentences(common)

    def texts(self, files: str, *, saved: bool) -> Iterator[str]:
        """Yield the entries of the document in the order of the samples.

        ``files`` is the JSON of those of samples that have none of their own. The arrays of samples that were to be
        ``saved`` in a file are added if they are not.
        """
        return in_order(
            [(places, _texts(one, None if saved else record, files)) for places, one, record in self._entries]
        )


def _texts(entries: EntryTexts, record: Explanation | None, files: str) -> Iterator[str]:
    marks = {Mark.FILES: EntryTexts(entries.count, (files,))}
    if record is not None and Mark.VALUES in entries.marks:
        marks |= array_texts(decode_lists(record))
    yield from entries.texts(marks)


def in_order(series: Sequence[tuple[Sequence[int], Iterator[T]]]) -> Iterator[T]:
    """Yield items in the order of their places, which ascend in each series of them; a series begins when it is due.

    Examples
    --------
    >>> list(in_order([([0, 3], iter("ad")), ([4], iter("e")), ([1, 2], iter("bc"))]))
    ['a', 'b', 'c', 'd', 'e']
    """
    due = [(places[0], number, 0) for number, (places, _) in enumerate(series)]
    heapq.heapify(due)
    left = dict(enumerate(series))
    del series
    while due:
        _, number, at = heapq.heappop(due)
        places, items = left[number]
        last = due[0][0] if due else math.inf
        while at < len(places) and places[at] < last:
            yield next(items)
            at += 1
        if at < len(places):
            heapq.heappush(due, (places[at], number, at))
        else:
            # With what its items were made of.
            del left[number], items
