"""The summary of many rows whose values are not saved, added up while they are explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.caveats import Findings
from xaionnx.explanation import Explanation
from xaionnx.typing import Floats
from xaionnx_cli._messages import printable

# Features that are listed.
_SHOWN: Final = 10


@final
@dataclass(frozen=True, eq=False)
class Summary:
    """The importance of the features of rows for the first target, and their warnings.

    Attributes
    ----------
    first : Explanation
        The first row, with what all have in common.
    count : int
        The number of rows.
    findings : Findings
    names : tuple of P str
        The features; none if rows have different ones.
    total : array (P,)
        The sizes of their values, added up over the rows.
    """

    first: Explanation
    count: int
    findings: Findings
    names: tuple[str, ...]
    total: Floats

    @classmethod
    def of(cls, rows: Explanation) -> Summary:
        """Return that of some rows."""
        from xaionnx.render import has_rows

        rows = rows.samples_first()
        values = rows.values if rows.feature_values is None else rows.feature_values
        first, findings = rows.sample(0), Findings.of(rows)
        if isinstance(values, dict) or not has_rows(rows):
            return cls(first, rows.samples, findings, (), np.zeros(0))
        sizes = np.abs(values[0] if rows.several_targets else values).astype(np.float64)
        total = np.where(np.isfinite(sizes), sizes, 0).sum(axis=0)
        return cls(first, rows.samples, findings, rows.feature_names, total)

    def followed(self, other: Summary) -> Summary:
        """Return that of further rows, too."""
        count, findings = self.count + other.count, self.findings + other.findings
        if self.names != other.names:
            return Summary(self.first, count, findings, (), np.zeros(0))
        return Summary(self.first, count, findings, self.names, self.total + other.total)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings about all rows."""
        return self.findings.sentences(self.first)

    def lines(self) -> list[str]:
        """Return the features with the largest mean sizes of values, one a line below a heading."""
        if not self.names:
            return []
        mean = self.total / self.count
        order = np.argsort(-mean, kind="stable")[:_SHOWN].tolist()
        names = [printable(self.names[k]) for k in order]
        width = max(map(len, names))
        target = printable(str(self.first.target.flat[0])) if self.first.several_targets else ""
        lines = [f"mean size of the values over {self.count:,} rows{f', {target}' if target else ''}"]
        lines += [f"  {name:<{width}}  {mean[k]:.4g}" for name, k in zip(names, order, strict=True)]
        rest = len(mean) - len(order)
        return [*lines, f"  and {rest} more"] if rest else lines
