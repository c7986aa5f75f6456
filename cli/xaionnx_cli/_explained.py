"""Samples that were explained together: thousands of rows of a table have one record until each is needed alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from xaionnx.explanation import Explanation
from xaionnx.record_joining import join_records
from xaionnx_cli._report import Score
from xaionnx_cli._samples import Sample, provenance


@final
@dataclass(frozen=True, eq=False)
class Explained:
    """N samples and their record.

    Attributes
    ----------
    samples : sequence of N Sample
    record : Explanation
        Of the N samples.
    tops : sequence of N lists of Score
        The highest classes of each.
    kept : bool
        Whether the record is that of an earlier run.
    """

    samples: Sequence[Sample]
    record: Explanation
    tops: Sequence[list[Score]]
    kept: bool = False

    @classmethod
    def of(cls, samples: Sequence[Sample], record: Explanation, tops: Sequence[list[Score]]) -> Explained:
        """Return samples with their record, which then says where they are from."""
        return cls(samples, dataclasses.replace(record, provenance=record.provenance | provenance(samples)), tops)

    @property
    def seconds(self) -> float:
        """The share of the time of one sample."""
        return float(round(self.record.diagnostics["seconds"] / len(self.samples), 6))

    def single(self, n: int) -> Explained:
        """Return sample ``n`` with its record, and its share of the time."""
        one = self.record.sample(n)
        sample = self.samples[n]
        record = dataclasses.replace(
            one,
            diagnostics=one.diagnostics | {"seconds": self.seconds},
            # Conversions are those of its own file.
            provenance=one.provenance | provenance([sample]),
        )
        return Explained([sample], record, [self.tops[n]], self.kept)

    def singles(self) -> Iterator[Explained]:
        """Yield each sample with its record."""
        return map(self.single, range(len(self.samples)))


def join(parts: Sequence[Explained]) -> Explained:
    """Return all samples with one record, in the order of their places."""
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=lambda part: part.samples[0].place)
    samples = [sample for part in parts for sample in part.samples]
    tops = [top for part in parts for top in part.tops]
    record = join_records([part.record for part in parts], [sample.name for sample in samples])
    order = sorted(range(len(samples)), key=lambda n: samples[n].place)
    if order != list(range(len(samples))):
        samples, tops, record = [samples[n] for n in order], [tops[n] for n in order], record[order]
    return Explained(samples, record, tops)
