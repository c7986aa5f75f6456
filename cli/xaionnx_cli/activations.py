"""``xaionnx activations``: show what is inside a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import FilePath, OptionValue
from xaionnx_cli._searches import SUFFIXES, SearchRequest, conclude, search_command

if TYPE_CHECKING:
    from xaionnx.activations import ActivationView, Row


class Views(MethodGroup):
    """What can be shown."""

    usage = "xaionnx activations VIEW {} [INPUTS] -o FILE.png"

    def method_names(self) -> list[str]:
        from xaionnx.activations import VIEWS

        return VIEWS.names()

    def method_command(self, name: str) -> click.Command:
        from xaionnx.activations import VIEWS

        kind = VIEWS.find(name)
        inputs = click.Argument(["inputs"], type=FilePath(), required=False)
        own = [
            *([] if kind.reads == "nothing" else [inputs]),
            click.Option(["-o", "--save", "save"], metavar="FILE", help="The sheet (.png), or its numbers (.npz)."),
        ]
        return search_command(name, kind, _show, own)


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of ``xaionnx activations``."""

    inputs: str | None = None


@click.command(cls=Views, no_args_is_help=True)
def command() -> None:
    """Show what is inside a model: its filters, the maps of its channels, and what makes a channel large.

    \b
    xaionnx activations filters MODEL.onnx -o filters.png
    xaionnx activations feature_maps MODEL.onnx PHOTO --layer LAYER -o maps.png
    xaionnx activations patches MODEL.onnx PHOTOS/ --layer LAYER --channels 3,17 -o patches.png
    """


def _show(kind: type[ActivationView], **given: OptionValue) -> int:
    from xaionnx import parameters, show_activations
    from xaionnx.render import activation_sheet
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._progress import progress_bar

    view = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    request = Request(**given)
    place = request.place(SUFFIXES, [request.inputs])
    model = request.open()
    inputs = None if request.inputs is None else Path(request.inputs)
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A view", bar):
        sheet = show_activations(model, view, inputs)
    conclude(request, place, sheet, activation_sheet, [sheet.title, *_lines(sheet.rows), sheet.reading])
    return 0


def _lines(rows: tuple[Row, ...]) -> list[str]:
    """The captions of each row."""
    return [f"{row.name}: {said}" if row.name else said for row in rows if (said := _captions(row))]


def _captions(row: Row) -> str:
    return "; ".join(tile.caption for tile in row.tiles if tile.caption)
