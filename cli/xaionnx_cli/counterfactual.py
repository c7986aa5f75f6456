"""``xaionnx counterfactual``: what would have changed the answer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import OptionValue, RowsOption
from xaionnx_cli._searches import SearchRequest, search_command

if TYPE_CHECKING:
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.optimization import CounterfactualSearch
    from xaionnx.optimization.row_space import Way

_PICTURE: Final = ".png"


class Searches(MethodGroup):
    """The searches for counterfactuals."""

    usage = "xaionnx counterfactual SEARCH {} TABLE --to CLASS"

    def method_names(self) -> list[str]:
        from xaionnx.optimization import COUNTERFACTUALS

        return COUNTERFACTUALS.names()

    def method_command(self, name: str) -> click.Command:
        from xaionnx.optimization import COUNTERFACTUALS

        own = [
            click.Argument(["inputs"], type=click.Path(readable=False), metavar="TABLE"),
            click.Option(["--to"], required=True, metavar="CLASS", help="The wanted class, or the wanted number."),
            click.Option(
                ["--rows"], type=RowsOption(), metavar="ROWS", help="Rows of the table, from 0: 17 or 17,20-30."
            ),
            click.Option(["--background"], metavar="FILE", help="Rows of data.  [default: TABLE, all of it]"),
            click.Option(
                ["--immutable"], multiple=True, metavar="NAME", help="A column that must not change; repeat it."
            ),
            click.Option(["--up"], multiple=True, metavar="NAME", help="A column that may only grow; repeat it."),
            click.Option(["--down"], multiple=True, metavar="NAME", help="A column that may only fall; repeat it."),
            click.Option(["-o", "--save", "save"], metavar="FILE", help="A picture of the changes (.png)."),
        ]
        return search_command(name, COUNTERFACTUALS.find(name), _search, own)


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of ``xaionnx counterfactual``."""

    inputs: str
    to: str
    rows: RowNumbers | None
    background: str | None
    immutable: Sequence[str]
    up: Sequence[str]
    down: Sequence[str]


@click.command(cls=Searches, no_args_is_help=True)
def command() -> None:
    """Search for what would have changed the answer for a row of a table.

    \b
    xaionnx counterfactual wachter MODEL.onnx TABLE.csv --rows 17 --to good -o changes.png

    Each row that is found is judged by the model itself. Columns keep to the range, the whole numbers and the
    categories of the data.
    """


def _search(kind: type[CounterfactualSearch], **given: OptionValue) -> int:
    from xaionnx import parameters
    from xaionnx.optimization import counterfactual
    from xaionnx.render import changes, save
    from xaionnx_cli import _report
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._progress import progress_bar

    search = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    request = Request(**given)
    place = request.place([_PICTURE], [request.inputs, request.background])
    model = request.open()
    name = model.input().name
    inputs = model.read(Path(request.inputs), rows=request.rows)
    background = model.read(Path(request.background or request.inputs)).arrays[name]
    ways: dict[str, Way] = {}
    ways |= dict.fromkeys(request.up, "up")
    ways |= dict.fromkeys(request.down, "down")
    to = request.to if model.input_spec.labels else _number(request.to)
    with progress_bar() as bar, time_limit_between_runs(request.timeout, "A search", bar):
        found = counterfactual(
            model, inputs.arrays[name], search, to=to, background=background, immutable=request.immutable, ways=ways
        )
    every = found if isinstance(found, list) else [found]
    names = [Path(one).name for one in inputs.names] or [f"row {n}" for n in range(len(every))]
    if place is not None:
        save(changes(every, names, request.to), place)
    if request.as_json:
        document = {"results": [{"input": n, **one.to_dict()} for n, one in zip(names, every, strict=True)]}
        sys.stdout.write(_report.dump_json(document) + "\n")
    else:
        lines = [line for n, one in zip(names, every, strict=True) for line in _lines(n, request.to, str(one))]
        write_lines([*lines, *([f"saved {request.save}"] if place else [])])
    return 0


def _number(text: str) -> float | int:
    from xaionnx.errors import ParameterError

    try:
        number = float(text)
    except ValueError:
        raise ParameterError(
            f"--to must be a number, as the spec of the model names no classes. Got '{text}' instead."
        ) from None
    return int(number) if number.is_integer() else number


def _lines(name: str, to: str, words: str) -> list[str]:
    lines = words.split("\n")
    if " -> " not in words:
        return [f"{name}: {words}"]
    return [f"{name}: {to}, had these values been", *(f"  {line}" for line in lines)]
