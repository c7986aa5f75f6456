"""Evaluations: counter of the cost of explaining a batch."""

from __future__ import annotations

from typing import final

import numpy as np

from xaionnx.typing import Array


@final
class Evaluations:
    """Counts model evaluations and gradients for each of N samples.

    Parameters
    ----------
    samples : int
        The number N.

    Attributes
    ----------
    rows : array of int64 (N,)
        Rows evaluated by the model or a part of it, with or without gradients.
    gradients : array of int64 (N,)
        Gradients computed, each of one target at one point.

    Examples
    --------
    >>> spent = Evaluations(2)
    >>> spent.add(np.array([0, 1, 1]))
    >>> spent.rows
    array([1, 2])
    """

    def __init__(self, samples: int) -> None:
        self.rows: Array = np.zeros(samples, dtype=np.int64)
        self.gradients: Array = np.zeros(samples, dtype=np.int64)

    def add(self, sample: Array | int, each: Array | int = 1) -> None:
        """Count ``each`` rows for every entry of ``sample``, which may contain a sample several times."""
        np.add.at(self.rows, sample, each)

    def add_gradients(self, sample: Array | int, each: int = 1) -> None:
        """Count ``each`` gradients for every entry of ``sample``; their rows are counted separately."""
        np.add.at(self.gradients, sample, each)

    def add_all(self, other: Evaluations) -> None:
        """Add the counts of copies of the samples: row i of ``other`` belongs to sample i modulo N."""
        count = len(self.rows)
        self.rows += other.rows.reshape(-1, count).sum(axis=0)
        self.gradients += other.gradients.reshape(-1, count).sum(axis=0)

    def add_part(self, other: Evaluations, sample: Array) -> None:
        """Add the counts of some samples: row i of ``other`` belongs to ``sample[i]``."""
        self.rows[sample] += other.rows
        self.gradients[sample] += other.gradients
