"""Whether the rows of a model are samples: its answer for several of them must be the answers for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.errors import MemoryLimitError, UnsupportedModelError
from xaionnx.runtime.batcher import rounding_of, same_rows
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Feeds

# Letters of a message of onnxruntime.
_LONGEST: Final = 160
MOST_COMPARED: Final = 8
"""Rows that are run together, to see whether the first two of them change."""
# Numbers of rows that are tried where a model does not run on those given.
_MOST_ROWS: Final = 8


@final
@dataclass(frozen=True)
class RowsProbe:
    """What a probe found.

    Attributes
    ----------
    moved : mapping of str to int or None
        Outputs whose samples are not on the first axis; None if they have no sample axis.
    joint : tuple of str
        Outputs whose value for a row depends on the other rows; all if the model runs on several rows but not on one.
    failure : str
        Why the model does not run on one row as on several: that it fails, in the words of onnxruntime, or that an
        output loses its axis of samples; empty if it does.
    runs_alone : bool
        Whether the model runs on each of the first rows alone, and returns one row for it where samples come first.
    compared : bool
        Whether answers were compared; not if the model failed, or ran out of memory.
    """

    moved: Mapping[str, int | None]
    joint: tuple[str, ...]
    failure: str = ""
    runs_alone: bool = True
    compared: bool = True

    __repr__ = short_repr


def rows_to_compare(rows: Feeds) -> Feeds:
    """Return up to eight rows of which the second differs from the first, where one does.

    Rows that are all alike cannot tell whether they see each other, so the second is then scaled, if it holds floats.

    Examples
    --------
    >>> rows_to_compare({"x": np.array([[1.0], [1.0], [2.0], [3.0]])})["x"].ravel()
    array([1., 2., 3., 1.])
    >>> rows_to_compare({"x": np.array([[1.0], [1.0]])})["x"].ravel()
    array([1.  , 0.75])
    """
    count = len(next(iter(rows.values())))
    other, alike = list[int](), list[int]()
    for n in range(1, count):
        differs = any(not _equal(array[0], array[n]) for array in rows.values())
        (other if differs else alike).append(n)
        if len(other) == MOST_COMPARED - 1:
            break
    if other or count < 2:
        chosen = [0, *other, *alike][:MOST_COMPARED]
        return {name: array[chosen] for name, array in rows.items()}
    compared = {name: array[:MOST_COMPARED].copy() for name, array in rows.items()}
    for array in compared.values():
        if array.dtype.kind == "f":
            array[1] *= 0.75
    return compared


def _equal(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def probe_rows(
    run: Callable[[Feeds], Mapping[str, Array]],
    rows: Feeds,
    placed: Sequence[str],
    doubtful: Sequence[str],
    every: Feeds | None = None,
) -> RowsProbe:
    """Compare the answer for some rows with those for each of the first two.

    Parameters
    ----------
    run : callable
        Runs the model once on rows by input name.
    rows : mapping of arrays
        Batch axis first; see :func:`rows_to_compare`. A single one is doubled, which shows the sample axes of the
        outputs alone.
    placed : sequence of str
        Outputs with the samples on the first axis.
    doubtful : sequence of str
        Outputs whose sample axis is not known.
    every : mapping of arrays, optional
        All rows, such as the nodes of a graph, if a model may run on no part of them.

    Examples
    --------
    >>> def centred(rows):
    ...     return {"y": rows["x"] - rows["x"].mean(axis=0)}
    >>> probe_rows(centred, {"x": np.array([[1.0], [2.0]])}, ["y"], []).joint
    ('y',)
    """
    given = len(next(iter(rows.values())))
    count = max(given, 2)
    several = rows if given > 1 else {name: np.repeat(array, 2, axis=0) for name, array in rows.items()}
    alone: list[Mapping[str, Array]] = []
    try:
        alone.extend(run({name: array[n : n + 1] for name, array in rows.items()}) for n in range(min(given, 2)))
        together = run(several)
    except MemoryLimitError:
        return RowsProbe({}, (), compared=False)
    except UnsupportedModelError as error:
        # A model that takes one row, but not two, answers for each alone. One that fails for this row anyway, such as
        # for a token that its table lacks, tells nothing about rows.
        two = {name: array[:2] for name, array in several.items()}
        tried = [several, *([two] if count > 2 else []), *([every] if every is not None else [])]
        if alone or not any(_runs(run, each) for each in tried):
            return RowsProbe({}, (), runs_alone=bool(alone) and has_one_row(alone, placed), compared=False)
        return RowsProbe({}, (*placed, *doubtful), brief_failure(str(error)), runs_alone=False, compared=False)
    moved: dict[str, int | None] = {}
    for name in doubtful:
        axes = _multiplied(alone[0][name], together[name], count)
        if 0 not in axes and (len(axes) == 1 or np.shape(alone[0][name])[:1] != (1,)):
            moved[name] = axes[0] if len(axes) == 1 else None
    joint = []
    for name in (*placed, *doubtful) if given > 1 else ():
        axis = moved.get(name, 0)
        if axis is None or not _agree([one[name] for one in alone], together[name], axis):
            joint.append(name)
    near = [name for name in joint if moved.get(name, 0) == 0 and _nearly([one[name] for one in alone], together[name])]
    if near:
        # Rounding depends on the number of rows, so each row is compared with copies of itself in as many.
        alike = [
            run({name: np.repeat(array[n : n + 1], count, axis=0) for name, array in rows.items()}) for n in (0, 1)
        ]
        for name in near:
            if _agree([one[name][:1] for one in alike], together[name], 0):
                joint.remove(name)
    lost = [name for name in joint if _loses_axis([one[name] for one in alone], together[name])]
    failure = f"output '{lost[0]}' loses the axis of samples" if lost and len(lost) == len(joint) else ""
    return RowsProbe(moved, tuple(joint), failure, runs_alone=has_one_row(alone, placed))


def has_one_row(alone: Sequence[Mapping[str, Array]], placed: Sequence[str]) -> bool:
    """Whether outputs for one row have one: constants for several rows repeat it, as a query tiled for a batch does."""
    return all(np.shape(one[name])[:1] == (1,) for one in alone for name in placed)


def _runs(run: Callable[[Feeds], Mapping[str, Array]], rows: Feeds) -> bool:
    try:
        run(rows)
    except (MemoryLimitError, UnsupportedModelError):
        return False
    return True


def _loses_axis(alone: Sequence[Array], together: Array) -> bool:
    """Whether the answers for the first two rows are those for several, without the axis of samples."""
    rows = [one[None] for one in alone]
    return together.ndim > 0 and all(row.shape[1:] == together.shape[1:] for row in rows) and _agree(rows, together, 0)


def other_number_error(
    name: str, run: Callable[[Feeds], object], rows: Feeds, error: UnsupportedModelError
) -> UnsupportedModelError:
    """Return the error for rows on which a model does not run, though it does on another number of them.

    Parameters
    ----------
    name : str
        The model's.
    run : callable
        Runs the model once on rows by input name.
    rows : mapping of arrays
        On which it failed.
    error : UnsupportedModelError
        The failure, which is returned if the model runs on no other small number of rows either.
    """
    given = len(next(iter(rows.values()), ()))
    for count in (k for k in range(1, _MOST_ROWS + 1) if 0 < given != k):
        try:
            # Each row once at least: a row that fails by itself fails with others.
            for first in range(0, given, count):
                run({each: array[np.arange(first, first + count) % given] for each, array in rows.items()})
        except (UnsupportedModelError, MemoryLimitError):
            continue
        return UnsupportedModelError(
            f"{name} does not run on {given} row{'' if given == 1 else 's'}, but on {count} "
            f"({brief_failure(str(error))}): it was exported for so many. Give {count} rows at a time, and name the "
            "row in the target, or export it with a free number of samples."
        )
    return error


def brief_failure(text: str) -> str:
    """Return the op and the cause from a message of onnxruntime.

    Examples
    --------
    >>> brief_failure(
    ...     "m.onnx failed while running: Non-zero status code returned while running Reshape node. Name:'r' Status "
    ...     "Message: /a/reshape_helper.h:91 onnxruntime::Help(bool) sizes_match was false. The input tensor cannot be "
    ...     "reshaped to the requested shape. Input shape:{1,7}, requested shape:{2,7}. Check with 'xaionnx inspect' "
    ...     "which inputs it expects."
    ... )
    "Reshape 'r': The input tensor cannot be reshaped to the requested shape. Input shape:{1,7}, requested shape:{2,7}"
    """
    text = text.split("failed while running: ", 1)[-1].split(". Check with ")[0]
    found = re.match(r".*?running (\w+) node\. Name:'([^']*)' Status Message: (.*)", text, re.DOTALL)
    cause = text if found is None else found[3]
    # The place in the source of onnxruntime, and the condition that it checks.
    cause = re.sub(r"^\S+:\d+ (.*?\) (const )?)?", "", cause.strip()).split(" was false. ", 1)[-1]
    cause = cause if len(cause) <= _LONGEST else f"{cause[:_LONGEST]}..."
    return cause if found is None else f"{found[1]} '{found[2]}': {cause}"


def _multiplied(alone: Array, together: Array, count: int) -> list[int]:
    """Return the axes of size 1 that are of size ``count`` for so many rows."""
    if alone.ndim != together.ndim:
        return []
    return [axis for axis, sizes in enumerate(zip(alone.shape, together.shape, strict=True)) if sizes == (1, count)]


def _agree(alone: Sequence[Array], together: Array, axis: int) -> bool:
    many = np.moveaxis(together, axis, 0) if together.ndim else together
    first, second = (np.moveaxis(one, axis, 0) if one.ndim else one for one in alone)
    one, other = {"y": many}, {"y": np.roll(many, -1, axis=0) if many.ndim else many}
    count = len(many) if many.ndim else 1
    return all(same_rows({"y": row}, rows, count, rounding=False) for row, rows in ((first, one), (second, other)))


def _nearly(alone: Sequence[Array], together: Array) -> bool:
    """Whether the first two rows differ from those alone by no more than rounding of the largest number may."""
    if together.dtype.kind != "f" or together.ndim == 0 or not all(np.shape(one)[:1] == (1,) for one in alone):
        return False
    if len(together) < 2 or np.shape(alone[0])[1:] != together.shape[1:]:
        return False
    first = np.concatenate(alone)
    finite = np.isfinite(first) & np.isfinite(together[:2])
    apart = np.abs(first[finite] - together[:2][finite])
    largest = np.max(np.abs(together[np.isfinite(together)]), initial=0)
    return bool(np.max(apart, initial=0) <= rounding_of(together.dtype) * largest)
