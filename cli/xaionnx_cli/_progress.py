"""The progress bar: evaluations done, evaluations a second, time left. It is drawn on stderr if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from xaionnx.runtime import progress

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text


class InputListener(progress.Listener, Protocol):
    """Receives which inputs are being explained, and their evaluations."""

    def start(self, name: str, number: int, count: int, size: int = 1) -> None:
        """A batch of ``size`` inputs begins with the input ``number`` of ``count``, counted from 0."""


class _NoBar(progress.Silent):
    def start(self, name: str, number: int, count: int, size: int = 1) -> None:
        """Do nothing."""


class Meter:
    """One bar for all inputs; those still to come are assumed to cost as much as the current ones.

    It counts evaluations, or the inputs themselves if the method announces no evaluations.
    """

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)
        self._name = ""
        self._done = self._before = self._expected = 0
        # Batches as large as the current one, until all inputs are done.
        self._batches = 1.0

    def start(self, name: str, number: int, count: int, size: int = 1) -> None:
        self._before, self._expected, self._batches = self._done, 0, max(1.0, (count - number) / size)
        shown = name if count == 1 else f"{name} ({number + 1:,} of {count:,})"
        self._name = shown
        self._bar.update(self._task, description=shown)
        if number and not self._done:
            self._bar.update(self._task, completed=number, total=count, unit="inputs")

    def expect(self, evaluations: int) -> None:
        self._expected += evaluations
        total = round(self._before + self._expected * self._batches)
        self._bar.update(
            self._task, completed=self._done, total=total if self._expected > 0 else None, unit="evaluations"
        )

    def advance(self, evaluations: int) -> None:
        self._done += evaluations
        self._bar.update(self._task, completed=self._done, unit="evaluations")

    def phase(self, words: str) -> None:
        self._bar.update(self._task, description=": ".join(filter(None, (self._name, words))))


@contextlib.contextmanager
def counting_bar() -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar of the inputs that are done, and remove it afterwards; give a function that is told their number."""
    if not sys.stderr.isatty():
        yield lambda done, count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("inputs"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)


@contextlib.contextmanager
def progress_bar() -> Iterator[InputListener]:
    """Show a bar of the evaluations made inside the block, and remove it afterwards."""
    if not sys.stderr.isatty():
        yield _NoBar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Evaluations(ProgressColumn):
        def render(self, task: Task) -> Text:
            total = "" if task.total is None else f"/{int(task.total):,}"
            rate = "" if not task.speed else f"  {task.speed:,.0f}/s"
            return Text(f"{int(task.completed):,}{total} {task.fields.get('unit', 'evaluations')}{rate}")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), Evaluations(), TimeRemainingColumn())
    # On a terminal, lines printed meanwhile must appear above the bar; if stdout is a file, they must go there.
    same = sys.stdout.isatty()
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=same) as bar:
        meter = Meter(bar)
        with progress.listening(meter):
            yield meter
