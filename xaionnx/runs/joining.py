"""Join results of units that follow each other into those of one part, without a change of any row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np

from xaionnx.consistency import is_by_sample
from xaionnx.data.block import Block
from xaionnx.explanation import Explanation
from xaionnx.record_joining import join_records
from xaionnx.runs.part import ENTRY
from xaionnx.typing import Array, Entry

T = TypeVar("T")

# Entries of the provenance that a joined record has of all rows.
_JOINED: Final = ("conversions", "feature_names")

Result = tuple[Block, Explanation | None]
"""A block, and the record of its samples; None if all of it was refused."""


def joined(results: Sequence[Result]) -> Result:
    """Return results that follow each other as one. Their records have one form; several blocks lose their inputs."""
    if len(results) == 1:
        return results[0]
    blocks = [block for block, _ in results]
    records = [record for _, record in results if record is not None]
    block = Block(
        blocks[0].start,
        blocks[-1].stop,
        None,
        tuple(unit for one in blocks for unit in one.units),
        tuple(one for block in blocks for one in block.refused),
        _labels(blocks),
    )
    return block, join_records(records) if records else None


def _labels(blocks: Sequence[Block]) -> tuple[str | int | float | None, ...]:
    if not any(block.labels for block in blocks):
        return ()
    return tuple(label for block in blocks for label in block.labels or (None,) * len(block.units))


def of_one_form(items: Iterable[T], form: Callable[[T], Entry]) -> Iterator[list[T]]:
    """Yield items that follow each other and can be joined; ``form`` returns their form, None where no row is left.

    Examples
    --------
    >>> list(of_one_form([None, "a", None, "a", "b"], lambda item: item))
    [[None, 'a', None, 'a'], ['b']]
    """
    group: list[T] = []
    known: Entry = None
    for item in items:
        own = form(item)
        if known is not None and own is not None and own != known:
            yield group
            group, known = [], None
        group.append(item)
        known = known or own
    if group:
        yield group


def form_of(record: Explanation | None) -> Entry:
    """Return what records have in common that can be joined without a change of any row; None if there is no row."""
    if record is None:
        return None
    several, players = record.several_targets, record.feature_values is not None

    def of(arrays: Array | dict[str, Array] | None) -> Entry:
        named = arrays if isinstance(arrays, dict) else {} if arrays is None else {"": arrays}
        return {name: (str(one.dtype), one.shape[2 if several else 1 :]) for name, one in named.items()}

    return {
        "targets": record.target.shape[:-1],
        "values": of(record.values),
        "maps": of(record.maps),
        "base": record.baseline_prediction is None,
        # Of players, further ones of other rows are NaN.
        "error": (record.standard_error is None, None if players else of(record.standard_error)),
        "players": players,
        "features": None if record.features is None else _label_form(record),
        "diagnostics": sorted(record.diagnostics),
        "provenance": _common_provenance(record),
    }


def _common_provenance(record: Explanation) -> Entry:
    """The provenance that all rows of a joined record share, such as the provider; lists by sample are None."""
    return {
        name: None if name in _JOINED or is_by_sample(name, value, record.samples) else value
        for name, value in record.provenance.items()
        if name != ENTRY
    }


def _label_form(record: Explanation) -> Entry:
    named = record.features if isinstance(record.features, dict) else {"": np.asarray(record.features)}
    return {name: (str(one.dtype), one.shape[1:], len(one) == 1) for name, one in named.items()}
