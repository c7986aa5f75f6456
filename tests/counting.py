"""Count the evaluations that are really run, and those that are reported."""

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
    """A progress listener that adds up the reported evaluations."""

    planned = done = 0
    phases: tuple[str, ...] | list[str] = ()

    def expect(self, evaluations: int) -> None:
        self.planned += evaluations

    def advance(self, evaluations: int) -> None:
        self.done += evaluations

    def phase(self, words: str) -> None:
        self.phases = [*self.phases, words]
