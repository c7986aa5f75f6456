"""Nearest row: the nearest row of data with the wanted answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from xaionnx.optimization.counterfactual_search import Case, RowSearch
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class NearestRow(RowSearch):
    """The row of the background that is nearest and has the wanted answer, with the columns that must not change.

    Such a row exists, so that its changes can occur together; it usually changes many columns.

    References
    ----------
    Wexler et al., The what-if tool, IEEE TVCG 2020, arXiv:1907.04135.
    """

    reference: ClassVar[str] = "Wexler et al. 2020, arXiv:1907.04135"

    def find(self, case: Case) -> Array | None:
        rows, limits = np.repeat(case.row[None], len(case.space.background), axis=0), case.limits
        columns = [*limits.at.tolist(), *(column for one in limits.categories for column in one.columns)]
        rows[:, columns] = case.space.background[:, columns]
        inside = ((rows[:, limits.at] >= limits.low) & (rows[:, limits.at] <= limits.high)).all(axis=1)
        rows = rows[inside]
        valid = rows[case.judge.valid(rows)] if len(rows) else rows
        return None if not len(valid) else valid[int(case.space.distance(valid, case.row).argmin())]
