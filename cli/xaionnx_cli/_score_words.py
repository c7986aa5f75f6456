"""The reasons in a table of scores, in the terms of the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from xaionnx_cli._messages import in_command

if TYPE_CHECKING:
    from xaionnx.evaluation import Scores, ScoreTable

KeyT = TypeVar("KeyT", str, int)


def in_words_of_command(table: ScoreTable) -> ScoreTable:
    """Return the table with all reasons written for the command that runs."""
    scores = {
        name: {metric: _scores_in_words(one) for metric, one in each.items()} for name, each in table.scores.items()
    }
    return dataclasses.replace(table, scores=scores, refused=_in_words(table.refused))


def _scores_in_words(scores: Scores) -> Scores:
    controls = {name: _scores_in_words(one) for name, one in scores.controls.items()}
    return dataclasses.replace(scores, reasons=_in_words(scores.reasons), controls=controls)


def _in_words(reasons: Mapping[KeyT, str]) -> dict[KeyT, str]:
    """The reasons, each of which is translated once: it may be that of thousands of samples."""
    known = {reason: in_command(reason) for reason in set(reasons.values())}
    return {key: known[reason] for key, reason in reasons.items()}
