"""``xaionnx visualize``: search for pictures that make a unit of a model large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import FilePath, OptionValue
from xaionnx_cli._searches import SUFFIXES, SearchRequest, conclude, search_command, stopped

if TYPE_CHECKING:
    from xaionnx.optimization import Objective, Visualization


class Objectives(MethodGroup):
    """What can be made large."""

    usage = "xaionnx visualize OBJECTIVE {} -o FILE.png"

    def method_names(self) -> list[str]:
        from xaionnx.optimization import OBJECTIVES

        return OBJECTIVES.names()

    def method_command(self, name: str) -> click.Command:
        from xaionnx.optimization import OBJECTIVES, Search

        own = [
            click.Option(["-o", "--save", "save"], metavar="FILE", help="The pictures (.png), or the record (.npz)."),
            click.Option(["--start"], type=FilePath(), metavar="FILE", help="A picture to start from."),
            click.Option(["--negative"], is_flag=True, help="Make it small instead of large."),
            click.Option(
                ["--resume"],
                type=FilePath(),
                metavar="FILE.npz",
                help="Go on with a search that was saved with -o FILE.npz.",
            ),
        ]
        return search_command(name, OBJECTIVES.find(name), _visualize, own, [Search])


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of ``xaionnx visualize``."""

    start: str | None
    negative: bool
    resume: str | None


@click.command(cls=Objectives, no_args_is_help=True)
def command() -> None:
    """Search for pictures that make a unit of a model large: what it looks for.

    \b
    xaionnx visualize channel MODEL.onnx --layer LAYER --channel 42 -o unit.png
    xaionnx visualize class_score MODEL.onnx --label espresso -o espresso.png

    A picture that is large in random views that the search did not see shows a form; others show noise. Both numbers
    are printed. Ctrl-C keeps what is found so far; a search that was saved as .npz goes on with --resume.
    """


def _visualize(kind: type[Objective], **given: OptionValue) -> int:
    from xaionnx import parameters
    from xaionnx.optimization import Search, SearchInterrupted
    from xaionnx.render import found_pictures
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._progress import progress_bar

    objective = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    search = Search(**{name: given.pop(name) for name in parameters.declared(Search)})
    request = Request(**given)
    place = request.place(SUFFIXES, [request.start])
    model = request.open()
    start = None if request.start is None else Path(request.start)
    wanted = -objective if request.negative else objective
    try:
        with progress_bar() as bar, time_limit_between_runs(request.timeout, "A search", bar):
            found = search.run(model, wanted, start, request.resume)
    except SearchInterrupted as stop:
        conclude(request, place, stop.found, found_pictures, _lines(stop.found))
        raise stopped(stop, place) from None
    conclude(request, place, found, found_pictures, _lines(found))
    return 0


def _lines(found: Visualization) -> list[str]:
    """What was found, a line a picture."""
    lines = []
    for n in range(len(found.pictures)):
        said = f"; the model says {found.predictions[n]}" if found.predictions else ""
        lines.append(
            f"picture {n + 1}: {found.value[n]:.4g}, in views that the search did not see {found.unseen[n]:.4g} "
            f"(start {found.trace[0, n]:.4g}); {found.high_frequencies[n]:.0%} of it is grain{said}"
        )
    return lines
