"""``xaionnx counterfactual``: what would have changed the answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import FilePath, OptionValue, RowsOption
from xaionnx_cli._searches import SearchRequest, search_command

if TYPE_CHECKING:
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.optimization import Counterfactual, InputSearch, RowSearch
    from xaionnx.optimization.row_space import Way
    from xaionnx.runtime.model import Model
    from xaionnx.typing import Array, Document
    from xaionnx_cli._refusals import Refusals

T = TypeVar("T")
_PICTURE: Final = ".png"


class Searches(MethodGroup):
    """The searches for counterfactuals."""

    usage = "xaionnx counterfactual SEARCH {} INPUT"

    def method_names(self) -> list[str]:
        from xaionnx.optimization import COUNTERFACTUALS

        return COUNTERFACTUALS.names()

    def method_command(self, name: str) -> click.Command:
        from xaionnx.optimization import COUNTERFACTUALS, InputSearch

        kind = COUNTERFACTUALS.find(name)
        if issubclass(kind, InputSearch):
            return search_command(name, kind, _search_inputs, _of_inputs(takes_distractor=kind.takes_distractor))
        return search_command(name, kind, _search_rows, _of_rows())


def _rows_option() -> click.Option:
    return click.Option(["--rows"], type=RowsOption(), metavar="ROWS", help="Rows of a table, from 0: 17 or 17,20-30.")


def _of_rows() -> list[click.Parameter]:
    return [
        click.Argument(["inputs"], type=FilePath(), metavar="TABLE"),
        click.Option(["--to"], required=True, metavar="CLASS", help="The wanted class, or the wanted number."),
        _rows_option(),
        click.Option(
            ["--background"], type=FilePath(), metavar="FILE", help="Rows of data.  [default: TABLE, all of it]"
        ),
        click.Option(["--immutable"], multiple=True, metavar="NAME", help="A column that must not change; repeat it."),
        click.Option(["--up"], multiple=True, metavar="NAME", help="A column that may only grow; repeat it."),
        click.Option(["--down"], multiple=True, metavar="NAME", help="A column that may only fall; repeat it."),
        click.Option(["-o", "--save", "save"], metavar="FILE", help="A picture of the changes (.png)."),
    ]


def _of_inputs(*, takes_distractor: bool) -> list[click.Parameter]:
    distractor = click.Option(
        ["--distractor"], type=FilePath(), required=True, metavar="OTHER", help="The picture whose cells are taken."
    )
    return [
        click.Argument(["inputs"], type=FilePath(), metavar="INPUT"),
        click.Option(["--to"], metavar="CLASS", help="The wanted class, or number.  [default: any other class]"),
        _rows_option(),
        *([distractor] if takes_distractor else []),
        click.Option(["-o", "--save", "save"], metavar="FILE", help="A picture of what was found (.png)."),
    ]


@dataclass(frozen=True, kw_only=True)
class InputRequest(SearchRequest):
    """The options of searches that take any input."""

    inputs: str
    rows: RowNumbers | None
    to: str | None = None
    distractor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Request(SearchRequest):
    """The options of searches for rows."""

    inputs: str
    to: str
    rows: RowNumbers | None
    background: str | None
    immutable: Sequence[str]
    up: Sequence[str]
    down: Sequence[str]


@click.command(cls=Searches, no_args_is_help=True)
def command() -> None:
    """Search for what would have changed the answer, for a row of a table or a picture.

    \b
    xaionnx counterfactual wachter MODEL.onnx TABLE.csv --rows 17 --to good -o changes.png
    xaionnx counterfactual goyal MODEL.onnx four.png --distractor nine.png -o cells.png

    What is found is judged by the model itself. Columns keep to the range, the whole numbers and the categories of the
    data, and pictures to black and white.
    """


def _search_rows(kind: type[RowSearch], **given: OptionValue) -> int:
    from xaionnx import parameters
    from xaionnx.optimization import Counterfactual, counterfactual

    search = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    request = Request(**given)
    place = request.place([_PICTURE], [request.inputs, request.background])
    model = request.open()
    rows, names, refused = _read(model, request.inputs, request.rows, "rows")
    # Rows that cannot be read are no data either; a background of its own is read as a whole.
    background = request.background and model.read(Path(request.background)).arrays[model.input().name]
    if background is None:
        background, _, _ = _read(model, request.inputs, None, "rows")
    ways, to = _ways(request), _wanted(model, request.to)

    def search_one(n: int) -> Counterfactual:
        found = counterfactual(
            model,
            rows[n : n + 1],
            search,
            to=to,
            background=background,
            immutable=request.immutable,
            ways=ways,
        )
        assert isinstance(found, Counterfactual)
        return found

    def conclude(found: Mapping[int, Counterfactual], complete: bool) -> list[Path]:
        return _conclude_rows(
            request, place, {n: (names[n], one) for n, one in found.items()}, refused, complete=complete
        )

    return _search_each(request, names, refused, search_one, conclude)


def _read(model: Model, file: str, rows: RowNumbers | None, what: str) -> tuple[Array, list[str], Refusals]:
    """Return the inputs (N, ...) of a file that can be read, their names, and those that cannot."""
    from xaionnx_cli._refusals import Refusals

    inputs = model.read(Path(file), rows=rows, partial=True)
    found = inputs.arrays[model.input().name]
    refused = Refusals(what)
    for one in inputs.refused:
        refused.add(one.path.name, one.row, one.error)
    return found, [Path(name).name for name in inputs.names] or [f"row {n}" for n in range(len(found))], refused


def _search_each(
    request: SearchRequest,
    names: Sequence[str],
    refused: Refusals,
    search_one: Callable[[int], T],
    conclude: Callable[[Mapping[int, T], bool], list[Path]],
) -> int:
    """Search for each input by itself, conclude with what was found, even if it is stopped, and return the exit code.

    Raises
    ------
    XaionnxError
        There is one input, or the first would not be the only one to meet this.
    """
    from xaionnx.errors import DataError
    from xaionnx.runs.failures import OF_ROWS, translated
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._ending import kept_if_stopped, saved_in
    from xaionnx_cli._progress import progress_bar

    found: dict[int, T] = {}

    def report_stopped() -> str:
        if not found:
            return ""
        return f"{len(found)} of {len(names)} {refused.what} are done{saved_in(conclude(found, False))}"

    with (
        kept_if_stopped(report_stopped),
        progress_bar() as bar,
        time_limit_between_runs(request.timeout, "A search", bar),
    ):
        for n, name in enumerate(names):
            try:
                found[n] = search_one(n)
            except OF_ROWS as error:
                if len(names) == 1 or not (found or isinstance(error, DataError | MemoryError)):
                    # All others would fail for this reason.
                    raise
                refused.add(name, None, translated(error))
    conclude(found, True)
    return refused.exit_code(len(found))


def _ways(request: Request) -> dict[str, Way]:
    """The columns that may go one way only."""
    from xaionnx.errors import UsageError

    if both := set(request.up) & set(request.down):
        raise UsageError(f"Column '{min(both)}' is in --up and in --down. Keep one, or pass --immutable.")
    ways: dict[str, Way] = {}
    ways |= dict.fromkeys(request.up, "up")
    ways |= dict.fromkeys(request.down, "down")
    return ways


def _conclude_rows(
    request: Request,
    place: Path | None,
    found: Mapping[int, tuple[str, Counterfactual]],
    refused: Refusals,
    *,
    complete: bool,
) -> list[Path]:
    """Draw and print what was found for each row, and return the files that were written."""

    def draw(at: Path) -> None:
        from xaionnx.render import changes, save

        names, every = zip(*found.values(), strict=True)
        save(changes(every, names, request.to), at)

    document = {
        "complete": complete,
        "results": [{"input": row, **one.to_dict()} for row, one in found.values()],
        "refused": refused.entries,
    }
    lines = [line for row, one in found.values() for line in _lines(row, request.to, one)]
    notes = refused.lines(len(found))
    return _conclude(request, [(place, draw)] if place is not None and found else [], document, lines, notes)


def _conclude(
    request: SearchRequest,
    files: Sequence[tuple[Path, Callable[[Path], object]]],
    document: Document,
    lines: Sequence[str],
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write files, print the document or lines, and notes to stderr, and return the files that were written."""
    from xaionnx_cli import _report
    from xaionnx_cli._ending import write_and_report
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._printer import Printer

    def report(written: list[Path]) -> None:
        for note in notes:
            Printer.error(note)
        if request.as_json:
            saved = str(written[0]) if written else None
            sys.stdout.write(_report.dump_json({**document, "saved": saved}) + "\n")
        else:
            write_lines([*lines, *(f"saved {each}" for each in written)])

    return write_and_report(files, report)


def _search_inputs(kind: type[InputSearch], **given: OptionValue) -> int:
    from xaionnx import parameters
    from xaionnx.optimization import Contrast, counterfactual

    search = kind(**{name: given.pop(name) for name in parameters.declared(kind)})
    request = InputRequest(**given)
    place = request.place([_PICTURE], [request.inputs, request.distractor])
    model = request.open()
    x, names, refused = _read(model, request.inputs, request.rows, "inputs")
    other = request.distractor and model.read(Path(request.distractor)).arrays[model.input().name]
    to = None if request.to is None else _wanted(model, request.to)

    def search_one(n: int) -> list[Contrast]:
        found = counterfactual(model, x[n : n + 1], search, to=to, distractor=other)
        each = [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, Contrast)]
        return [replace(one, provenance={**one.provenance, "input": n}) for one in each]

    def conclude(found: Mapping[int, list[Contrast]], complete: bool) -> list[Path]:
        every = [(names[n], one) for n, each in found.items() for one in each]
        document = {
            "complete": complete,
            "results": [{"input": name, **one.to_dict()} for name, one in every],
            "refused": refused.entries,
        }
        lines = [f"{name}: {line}" for name, one in every for line in str(one).split("\n")]

        def draw(at: Path) -> None:
            from xaionnx.render import contrasts, save

            save(contrasts([one for _, one in every], names), at)

        files = [(place, draw)] if place is not None and every else []
        return _conclude(request, files, document, lines, refused.lines(len(found)))

    return _search_each(request, names, refused, search_one, conclude)


def _wanted(model: Model, to: str) -> str | float | int:
    return to if model.input_spec.labels else _number(to)


def _number(text: str) -> float | int:
    from xaionnx.errors import ParameterError

    try:
        number = float(text)
    except ValueError:
        raise ParameterError(
            f"--to must be a number, as the spec of the model names no classes. Got '{text}' instead."
        ) from None
    return int(number) if number.is_integer() else number


def _lines(name: str, to: str, one: Counterfactual) -> list[str]:
    if not one.changes:
        return [f"{name}: {one}"]
    words = str(one).split("\n")
    return [f"{name}: {to}, had these values been", *(line if line == "or" else f"  {line}" for line in words)]
