"""What commands that search have in common: their options, and what these open."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._options import timeout_option

if TYPE_CHECKING:
    from xaionnx import Model


def search_command(
    name: str, kind: type, callback: Callable[..., int], own: Sequence[click.Parameter], more: Sequence[type] = ()
) -> click.Command:
    """Return the command of a search: options for the fields of ``kind`` and ``more``, its own, and those of all."""
    from xaionnx_cli import _overwriting, _parameters

    common = [
        click.Option(["--device"], default="auto", metavar="NAME", help="The device.  [default: auto]"),
        click.Option(
            ["--spec"], metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model."
        ),
        timeout_option(),
        _overwriting.option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout and nothing else."),
    ]
    fields = [option for one in (kind, *more) for option in _parameters.method_options(one)]
    return _parameters.MethodCommand(
        name,
        params=[*fields, click.Argument(["model"], type=click.Path(readable=False)), *own, *common],
        callback=functools.partial(callback, kind),
        help=f"{_parameters.summary(kind)}\n\nAfter {kind.reference}.",  # type: ignore[attr-defined]  # each kind has one
        short_help=_parameters.summary(kind),
    )


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
        from xaionnx.errors import ParameterError
        from xaionnx_cli import _overwriting
        from xaionnx_cli._destination import check_writable

        if self.save is None:
            return None
        place = Path(self.save)
        if place.suffix.lower() not in suffixes:
            raise ParameterError(f"-o must end in {' or '.join(suffixes)}. Got '{self.save}' instead.")
        check_writable(place.parent)
        protected = _overwriting.real_paths(filter(None, (self.model, self.spec, *read)))
        is_record = place.suffix.lower() == ".npz"
        _overwriting.check_replaceable(place, "record" if is_record else "picture", protected, self.force)
        return place

    def open(self) -> Model:
        """Return the model.

        Raises
        ------
        XaionnxError
            It cannot be read.
        """
        from xaionnx import InputSpec, Model
        from xaionnx_cli._deadline import time_limit

        spec = None if self.spec is None else InputSpec.read(self.spec)
        with time_limit(self.timeout, f"Opening {self.model}"):
            return Model.load(self.model, self.device, timeout_s=self.timeout, spec=spec)
