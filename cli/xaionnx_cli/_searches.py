"""What commands that search have in common: their options, and what these open."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import click

from xaionnx_cli._options import FilePath, timeout_option
from xaionnx_cli._overwriting import Kind

if TYPE_CHECKING:
    from PIL import Image

    from xaionnx import Model
    from xaionnx.optimization.search_state import StepsInterrupted
    from xaionnx.typing import Document


SUFFIXES: Final = (".png", ".npz")
"""Of what :func:`conclude` writes."""
# What files of a suffix are; others are pictures.
_KINDS: Final[dict[str, Kind]] = {".npz": "record", ".onnx": "masker"}


def search_command(
    name: str, kind: type, callback: Callable[..., int], own: Sequence[click.Parameter], more: Sequence[type] = ()
) -> click.Command:
    """Return the command of a search: options for the fields of ``kind`` and ``more``, its own, and those of all."""
    from xaionnx_cli import _parameters

    fields = [option for one in (kind, *more) for option in _parameters.method_options(one)]
    return _parameters.MethodCommand(
        name,
        params=[*fields, click.Argument(["model"], type=FilePath()), *own, *common_options()],
        callback=functools.partial(callback, kind),
        help=f"{_parameters.summary(kind)}\n\nAfter {kind.reference}.",  # type: ignore[attr-defined]  # each kind has one
        short_help=_parameters.summary(kind),
    )


class FieldsCommand(click.Command):
    """A command with the options of the fields of a class, which is loaded when they are asked for."""

    def __init__(self, name: str, kind: Callable[[], type], **options: Any) -> None:  # Any: passed on to click
        super().__init__(name, **options)
        self._kind = kind

    @functools.cached_property
    def _fields(self) -> list[click.Parameter]:
        from xaionnx_cli._parameters import method_options

        return method_options(self._kind())

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*self._fields, *super().get_params(ctx)]


def stopped(stop: StepsInterrupted, place: Path | None) -> KeyboardInterrupt:
    """Return what ends a command whose steps were stopped, after its results so far are saved at ``place``."""
    # The one before knows which signal it was.
    before = stop.__cause__ if isinstance(stop.__cause__, KeyboardInterrupt) else KeyboardInterrupt()
    before.args = (stop.args[0] + ("" if place is None else f" and saved in {place}"),)
    return before


class Found(Protocol):
    """What a command has found: a record, of which a picture is drawn."""

    def to_dict(self) -> Document: ...
    def save(self, path: str | Path) -> Path: ...


FoundT = TypeVar("FoundT", bound=Found)


def conclude(
    request: SearchRequest,
    place: Path | None,
    found: FoundT,
    draw: Callable[[FoundT], Image.Image],
    lines: Sequence[str],
) -> None:
    """Save the picture of what was found, or its record if ``place`` is an .npz file, and print the record or lines."""
    from xaionnx.render import save
    from xaionnx_cli._ending import write_and_report
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._report import dump_json

    def write(at: Path) -> None:
        if at.suffix.lower() == ".npz":
            found.save(at)
        else:
            save(draw(found), at)

    def report(written: list[Path]) -> None:
        saved = str(written[0]) if written else None
        if request.as_json:
            sys.stdout.write(dump_json({**found.to_dict(), "saved": saved}) + "\n")
        else:
            write_lines([*lines, f"saved {saved}" if saved else "nothing was saved: -o NAME.png draws it"])

    write_and_report([] if place is None else [(place, write)], report)


def common_options() -> list[click.Parameter]:
    """Return the options of all searches, which :class:`SearchRequest` reads."""
    from xaionnx_cli import _overwriting

    return [
        click.Option(["--device"], default="auto", metavar="NAME", help="The device.  [default: auto]"),
        click.Option(
            ["--spec"], metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model."
        ),
        timeout_option(),
        _overwriting.option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout and nothing else."),
    ]


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """The options of all searches."""

    model: str
    save: str | None
    device: str
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool

    def place(self, suffixes: Sequence[str], read: Sequence[str | None]) -> Path | None:
        """Return the file to write, if it may be written; ``read`` are the files that the command reads.

        Raises
        ------
        ParameterError, UsageError, StorageError
            It may not be.
        """
        from xaionnx_cli._overwriting import file_to_write

        suffix = "" if self.save is None else Path(self.save).suffix.lower()
        kind = _KINDS.get(suffix, "picture")
        protected = (self.model, self.spec, *read)
        return file_to_write(self.save, suffixes, " or ".join(suffixes), kind, protected, self.force)

    def open(self) -> Model:
        """Return the model.

        Raises
        ------
        XaionnxError
            It cannot be read.
        """
        from xaionnx import Model
        from xaionnx_cli._deadline import time_limit

        with time_limit(self.timeout, f"Opening {self.model}"):
            return Model.load(self.model, self.device, timeout_s=self.timeout, spec=self.spec)
