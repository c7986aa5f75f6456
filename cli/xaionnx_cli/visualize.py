"""``xaionnx visualize``: search for pictures that make a unit of a model large."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import OptionValue, timeout_option

if TYPE_CHECKING:
    from xaionnx.optimization import Objective, Visualization

_SUFFIXES: Final = (".png", ".npz")


class Objectives(MethodGroup):
    """What can be made large."""

    usage = "xaionnx visualize OBJECTIVE {} -o FILE.png"

    def method_names(self) -> list[str]:
        from xaionnx.optimization import OBJECTIVES

        return OBJECTIVES.names()

    def method_command(self, name: str) -> click.Command:
        from xaionnx.optimization import OBJECTIVES, Search
        from xaionnx_cli import _overwriting, _parameters

        kind = OBJECTIVES.find(name)
        common = [
            click.Argument(["model"], type=click.Path(readable=False)),
            click.Option(["-o", "--save", "save"], metavar="FILE", help="The pictures (.png), or the record (.npz)."),
            click.Option(["--start"], metavar="FILE", help="A picture to start from, as for a deep dream."),
            click.Option(["--device"], default="auto", metavar="NAME", help="The device.  [default: auto]"),
            click.Option(
                ["--spec"], metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model."
            ),
            timeout_option(),
            _overwriting.option(),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout and nothing else."
            ),
        ]
        options = [*_parameters.method_options(kind), *_parameters.method_options(Search)]
        words = f"{_parameters.summary(kind)}\n\nAfter {kind.reference}."
        callback = functools.partial(_visualize, kind)
        return _parameters.MethodCommand(
            name, params=[*options, *common], callback=callback, help=words, short_help=_parameters.summary(kind)
        )


@dataclass(frozen=True)
class Request:
    """The options of ``xaionnx visualize``."""

    model: str
    save: str | None
    start: str | None
    device: str
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool


@click.command(cls=Objectives, no_args_is_help=True)
def command() -> None:
    """Search for pictures that make a unit of a model large: what it looks for.

    \b
    xaionnx visualize channel MODEL.onnx --layer LAYER --channel 42 -o unit.png
    xaionnx visualize class_score MODEL.onnx --label espresso -o espresso.png

    A picture that is large in random views that the search did not see shows a form; others show noise. Both numbers
    are printed.
    """


def _visualize(kind: type[Objective], **given: OptionValue) -> int:
    from xaionnx import InputSpec, Model, parameters
    from xaionnx.errors import ParameterError
    from xaionnx.optimization import Search
    from xaionnx.render import found_pictures, save
    from xaionnx_cli import _overwriting, _report
    from xaionnx_cli._deadline import time_limit, time_limit_between_runs
    from xaionnx_cli._destination import check_writable
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._progress import progress_bar

    objective = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    search = Search(**{name: given.pop(name) for name in parameters.declared(Search)})
    request = Request(**given)
    place = None if request.save is None else Path(request.save)
    if place is not None:
        if place.suffix.lower() not in _SUFFIXES:
            raise ParameterError(f"-o must end in {' or '.join(_SUFFIXES)}. Got '{request.save}' instead.")
        check_writable(place.parent)
        read = _overwriting.real_paths(filter(None, (request.model, request.start, request.spec)))
        is_record = place.suffix.lower() == ".npz"
        _overwriting.check_replaceable(place, "record" if is_record else "picture", read, request.force)
    spec = None if request.spec is None else InputSpec.read(request.spec)
    with time_limit(request.timeout, f"Opening {request.model}"):
        model = Model.load(request.model, request.device, timeout_s=request.timeout, spec=spec)
    start = None if request.start is None else Path(request.start)
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A search", bar):
        found = search.run(model, objective, start)
    if place is not None:
        if place.suffix.lower() == ".npz":
            found.save(place)
        else:
            save(found_pictures(found), place)
    if request.as_json:
        sys.stdout.write(_report.dump_json({**found.to_dict(), "saved": request.save}) + "\n")
    else:
        write_lines([*_lines(found), f"saved {request.save}" if place else "nothing was saved: -o NAME.png draws it"])
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
