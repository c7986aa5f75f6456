"""The text of a table of scores: what a terminal shows of it, and Python prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from xaionnx.evaluation.standing import Standing

# Columns of a terminal that the lines fit into, however long the names are.
_WIDTH: Final = 100
_MARKS: Final = {"*": "better than every other method", "-": "no better than the control"}
# A name, and the cells beside it.
_Row = tuple[str, Sequence[str]]


def means_of(methods: Sequence[str], standings: Mapping[str, Mapping[str, Standing]]) -> list[str]:
    """Return lines with the mean of each method with scores by each metric: ``none`` if no sample has one.

    Of methods and metrics the more numerous are below each other, the others side by side, in several blocks if they
    are too many for a line; metrics below each other stand under the names of their categories.

    Parameters
    ----------
    methods : sequence of str
    standings : dict of dicts of Standing
        By metric, then by method.

    Examples
    --------
    >>> import numpy as np
    >>> from xaionnx.evaluation.scores import Scores
    >>> from xaionnx.evaluation.standing import standings_of
    >>> def scores(method, mean):
    ...     return Scores("entropy", method, np.full(8, mean), "lower", (0, 1))
    >>> entropy = standings_of({"a": scores("a", 0.1), "b": scores("b", 0.25)})
    >>> for line in means_of(["a", "b"], {"entropy": entropy}):
    ...     print(line)
         entropy
      a      0.1*
      b     0.25
    *: better than every other method
    """
    names = [name for name in methods if any(name in each for each in standings.values())]
    if not names:
        return []
    cells = {metric: [_cell(each.get(name)) for name in names] for metric, each in standings.items()}
    if len(standings) > len(names):
        groups = [
            (category, [(metric, cells[metric]) for metric in metrics])
            for category, metrics in groupby(standings, lambda metric: _category(standings[metric]))
        ]
        lines = _blocks(names, groups)
    else:
        rows = [(name, [column[n] for column in cells.values()]) for n, name in enumerate(names)]
        lines = _blocks([*standings], [("", rows)])
    used = "".join(cell[-1] for row in cells.values() for cell in row)
    legend = "; ".join(f"{mark}: {means}" for mark, means in _MARKS.items() if mark in used)
    return [*lines, *filter(None, [legend])]


def _category(standings: Mapping[str, Standing]) -> str:
    return next(iter(standings.values())).scores.category


def _cell(standing: Standing | None) -> str:
    """The mean and its mark, which is a blank if there is nothing to say, so that the numbers stand in a column."""
    if standing is None or math.isnan(standing.scores.mean):
        return "none "
    mark = "*" if standing.best else " " if standing.beats_control or math.isnan(standing.p_control) else "-"
    return f"{standing.scores.mean:.3g}{mark}"


def _blocks(titles: Sequence[str], groups: Sequence[tuple[str, Sequence[_Row]]]) -> Iterator[str]:
    """Lines of rows in named groups, below the titles of as many columns as fit into a line."""
    every = [row for _, rows in groups for row in rows]
    first = 2 + max(len(name) for name, _ in every)
    # Above the marks there is a blank.
    columns = [[f"{title} ", *(cells[n] for _, cells in every)] for n, title in enumerate(titles)]
    widths = [2 + max(map(len, column)) for column in columns]

    def line(name: str, cells: Sequence[str], shown: Sequence[int]) -> str:
        return f"{name:{first}}{''.join(f'{cells[n]:>{widths[n]}}' for n in shown)}".rstrip()

    for shown in _packed(widths, _WIDTH - first):
        yield line("", [f"{title} " for title in titles], shown)
        for group, rows in groups:
            yield from filter(None, [group])
            yield from (line(f"  {name}", cells, shown) for name, cells in rows)


def _packed(widths: Sequence[int], room: int) -> list[list[int]]:
    """The numbers of the columns in each block: as many as fit, and one at least."""
    packed, used = list[list[int]](), 0
    for n, width in enumerate(widths):
        if not packed or used + width > room:
            packed.append([])
            used = 0
        packed[-1].append(n)
        used += width
    return packed
