"""Counts what is really run, and what is announced of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from xaionnx.runtime.session import Session


def rows_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples in each run of a session from now on."""
    counted: list[int] = []
    run = Session.run

    def counting(self: Session, fetch: Sequence[str], feeds: Mapping[str, Any], *rest: Any) -> Sequence[Any]:
        answers = run(self, fetch, feeds, *rest)
        counted.append(len(answers[0]))
        return answers

    monkeypatch.setattr(Session, "run", counting)
    return counted


class Heard:
    """A listener to progress that adds up what it is told."""

    planned = done = 0

    def expect(self, evaluations: int) -> None:
        self.planned += evaluations

    def advance(self, evaluations: int) -> None:
        self.done += evaluations
