"""The scores of one method by one metric, for one block of samples after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from xaionnx.data.block import Block, Refused
from xaionnx.errors import XaionnxError
from xaionnx.evaluation.joining import Chain, followed_by
from xaionnx.evaluation.samples import Blocks, nothing_read
from xaionnx.evaluation.scores import Scores, not_measured


def scores_in_parts(blocks: Blocks, scored: Callable[[Block], Scores]) -> Scores:
    """Return the scores of all blocks as one; those of samples that cannot be scored are NaN.

    Raises
    ------
    DataError
        No sample can be read.
    XaionnxError
        No sample can be scored.
    """
    attempts, refused = blocks.attempts(), list[Refused]()
    chain, failed = Chain(followed_by, _size), list[tuple[int, XaionnxError]]()
    like: Scores | None = None
    for block in blocks.found:
        refused += block.refused
        for part, found in [] if block.inputs is None else attempts.of(block, scored, blocks.model):
            if isinstance(found, Scores):
                like = found
            else:
                failed.append((len({*part.units}), found))
            if like is not None:
                for count, error in failed:
                    chain.add(not_measured(like, count, str(error)))
                failed.clear()
            if isinstance(found, Scores):
                chain.add(found)
    if not chain.parts:
        raise failed[0][1] if failed else nothing_read(refused)
    whole = chain.whole()
    if not refused:
        return whole
    listed = [dataclasses.asdict(one) for one in refused]
    return dataclasses.replace(whole, provenance={**whole.provenance, "left_out": listed})


def _size(scores: Scores) -> int:
    return len(scores.values)
