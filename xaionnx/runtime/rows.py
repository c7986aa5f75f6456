"""Whether the rows of a model are samples: its answer for two of them must be the answers for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx.errors import MemoryLimitError, UnsupportedModelError
from xaionnx.runtime.batcher import same_rows
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds


@final
@dataclass(frozen=True)
class RowsProbe:
    """What a probe found.

    Attributes
    ----------
    moved : mapping of str to int or None
        Outputs whose samples are not on the first axis; None if they have no sample axis.
    joint : tuple of str
        Outputs whose value for a row depends on the other rows; all if the model runs on two rows but not on one.
    """

    moved: Mapping[str, int | None]
    joint: tuple[str, ...]

    __repr__ = short_repr


def probe_rows(
    run: Callable[[Feeds], Mapping[str, Array]], rows: Feeds, placed: Sequence[str], doubtful: Sequence[str]
) -> RowsProbe:
    """Compare the answer for two rows with those for each of them.

    Parameters
    ----------
    run : callable
        Runs the model once on rows by input name.
    rows : mapping of arrays
        One or two rows, batch axis first. A single one is doubled, which shows the sample axes of the outputs alone.
    placed : sequence of str
        Outputs with the samples on the first axis.
    doubtful : sequence of str
        Outputs whose sample axis is not known.

    Examples
    --------
    >>> def centred(rows):
    ...     return {"y": rows["x"] - rows["x"].mean(axis=0)}
    >>> probe_rows(centred, {"x": np.array([[1.0], [2.0]])}, ["y"], []).joint
    ('y',)
    """
    count = len(next(iter(rows.values())))
    alone: list[Mapping[str, Array]] = []
    try:
        alone.extend(run({name: array[n : n + 1] for name, array in rows.items()}) for n in range(count))
        both = run(rows if count > 1 else {name: np.repeat(array, 2, axis=0) for name, array in rows.items()})
    except MemoryLimitError:
        return RowsProbe({}, ())
    except UnsupportedModelError:
        # A model that takes one row, but not two, answers for each alone.
        return RowsProbe({}, () if alone else (*placed, *doubtful))
    moved: dict[str, int | None] = {}
    for name in doubtful:
        axes = _doubled(alone[0][name], both[name])
        if 0 not in axes and (len(axes) == 1 or np.shape(alone[0][name])[:1] != (1,)):
            moved[name] = axes[0] if len(axes) == 1 else None
    joint = []
    for name in (*placed, *doubtful) if count > 1 else ():
        axis = moved.get(name, 0)
        if axis is None or not _agree([one[name] for one in alone], both[name], axis):
            joint.append(name)
    return RowsProbe(moved, tuple(joint))


def _doubled(alone: Array, both: Array) -> list[int]:
    """Return the axes of size 1 that are of size 2 for two rows."""
    if alone.ndim != both.ndim:
        return []
    return [axis for axis, sizes in enumerate(zip(alone.shape, both.shape, strict=True)) if sizes == (1, 2)]


def _agree(alone: Sequence[Array], both: Array, axis: int) -> bool:
    together = np.moveaxis(both, axis, 0) if both.ndim else both
    first, second = (np.moveaxis(one, axis, 0) if one.ndim else one for one in alone)
    one, other = {"y": together}, {"y": together[::-1] if together.ndim else together}
    return same_rows({"y": first}, one, 2) and same_rows({"y": second}, other, 2)
