"""GrowingTable: the scores of the samples so far, of which the table is made when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import TypeVar, final

from xaionnx.evaluation.joining import Chain, beside, filled, joined, why_without
from xaionnx.evaluation.samples import nothing_read
from xaionnx.evaluation.score_times import Pair
from xaionnx.evaluation.scores import Scores
from xaionnx.evaluation.table import ScoreTable
from xaionnx.typing import Document

ValueT = TypeVar("ValueT")


def _size(table: ScoreTable) -> int:
    return len(table.inputs) + len(table.left_out)


def _resolved(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Document]:
    """The parameters of metrics as they were resolved for the samples, of the first method that each has scores of."""
    found = dict[str, Document]()
    for each in scores.values():
        for metric, one in each.items():
            known = one.provenance.get("metric", {})
            found.setdefault(metric, {name: value for name, value in known.items() if name != "name"})
    return found


@final
class GrowingTable:
    """The scores of samples, those of further samples and those by further methods or metrics.

    Parameters
    ----------
    provenance : dict
        The record of the model and of what is scored.
    order : sequence of str
        The names of methods and metrics, in the order of rows and columns.
    """

    def __init__(self, provenance: Document, order: Sequence[str]) -> None:
        self._place = {name: n for n, name in enumerate(order)}
        self._chain = Chain(joined, _size)
        self._chain.add(ScoreTable({}, provenance=provenance))
        self._of_all, self._stopped = ScoreTable({}), ""

    def stop(self, why: str) -> None:
        """Note that there are no further samples, and why."""
        self._stopped = why

    def add(self, table: ScoreTable) -> None:
        """Add the scores of further samples."""
        self._chain.add(table)

    def add_beside(self, table: ScoreTable) -> None:
        """Add scores by other methods or metrics of the samples so far."""
        whole = beside(self._chain.whole(), table)
        self._chain = Chain(joined, _size)
        self._chain.add(whole)

    def add_of_all(self, table: ScoreTable) -> None:
        """Add scores by other methods or metrics of these samples and of all that will be added."""
        self._of_all = table

    def so_far(self, going: Collection[Pair], further: ScoreTable | None = None) -> Callable[[], ScoreTable]:
        """Return what returns the table so far, with ``further`` scores.

        It is without the reasons of what has scores for all of its samples, which are those of ``going``. The function
        raises DataError if no sample could be read.
        """
        parts, of_all = (*self._chain.parts, *([] if further is None else [further])), self._of_all
        stopped, pairs = self._stopped, frozenset(going)

        def table() -> ScoreTable:
            whole = beside(reduce(joined, parts), of_all)
            if not whole.inputs and whole.left_out:
                raise nothing_read(whole.left_out)
            scores = {name: self._ordered(each) for name, each in self._ordered(whole.scores).items() if each}
            for name, metric in pairs:
                if metric in scores.get(name, {}):
                    why = why_without(name, metric, whole.refused)
                    scores[name][metric] = filled(scores[name][metric], len(whole.inputs), why)
            done = {f"{name} by {metric}" for name, metric in pairs if metric in scores.get(name, {})}
            done |= {name for name, _ in pairs if scores.get(name)}
            refused = {name: why for name, why in whole.refused.items() if name not in done}
            provenance = {**whole.provenance, "metrics": {**whole.provenance.get("metrics", {}), **_resolved(scores)}}
            return dataclasses.replace(whole, scores=scores, refused=refused, stopped=stopped, provenance=provenance)

        return table

    def _ordered(self, named: Mapping[str, ValueT]) -> dict[str, ValueT]:
        return {name: named[name] for name in sorted(named, key=self._place.__getitem__)}
