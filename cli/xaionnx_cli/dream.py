"""``xaionnx dream``: a photograph in which a model sees more of what it sees there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from xaionnx_cli._options import FilePath, OptionValue
from xaionnx_cli._searches import SUFFIXES, FieldsCommand, SearchRequest, common_options, conclude

if TYPE_CHECKING:
    from xaionnx.optimization import Dream


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of ``xaionnx dream``."""

    photo: str
    layer: str
    channel: int | None


def _dream(**given: OptionValue) -> int:
    """Show a photograph in which a model sees more of what it sees there: a deep dream, in the photograph's size.

    \b
    xaionnx dream MODEL.onnx photo.jpg --layer LAYER -o dream.png

    What becomes larger is all of the layer, or one channel of it, in sizes from small to large. Early layers draw
    strokes, late ones parts of things.
    """
    from xaionnx import parameters
    from xaionnx.optimization import OBJECTIVES, Dream
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._progress import progress_bar

    how = Dream(**{name: given.pop(name) for name in parameters.declared(Dream)})
    request = Request(**given)
    place = request.place(SUFFIXES, [request.photo])
    settings: dict[str, object] = {"layer": request.layer}
    if request.channel is not None:
        settings["channel"] = request.channel
    objective = OBJECTIVES.configured("channel" if "channel" in settings else "layer", settings)
    model = request.open()
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A dream", bar):
        found = how.run(model, objective, request.photo)
    height, width = found.pictures.shape[1:3]
    said = f"{width} x {height}: {found.trace[0, 0]:.4g} at first, {found.value[0]:.4g} in the dream"
    conclude(request, place, found, lambda dreamt: dreamt.image, [said])
    return 0


def _dreams() -> type[Dream]:
    from xaionnx.optimization import Dream

    return Dream


command = FieldsCommand(
    "dream",
    kind=_dreams,
    params=[
        click.Argument(["model"], type=FilePath()),
        click.Argument(["photo"], type=FilePath()),
        click.Option(["--layer"], required=True, metavar="NAME", help="Tensor inside the model; 'inspect' lists them."),
        click.Option(["--channel"], type=int, metavar="INT", help="Number of a channel, from 0.  [default: all]"),
        click.Option(["-o", "--save", "save"], metavar="FILE", help="The dream (.png), or the record (.npz)."),
        *common_options(),
    ],
    callback=_dream,
    help=_dream.__doc__,
    short_help="Show a photograph in which a model sees more of what it sees there.",
)
