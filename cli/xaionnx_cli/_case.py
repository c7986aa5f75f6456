"""The options of commands that explain the same inputs by several methods, and what these options open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._options import TIMEOUT_HELP, OptionValue, RowsOption, Seconds

if TYPE_CHECKING:
    from xaionnx import Model
    from xaionnx.data.inputs import Inputs
    from xaionnx.data.row_numbers import RowNumbers

# Any command.
Command = TypeVar("Command", bound=Callable[..., object])

_OPTIONS: Final = (
    click.argument("model", type=click.Path()),
    click.argument("inputs", type=click.Path()),
    click.option("-t", "--target", "target", metavar="TARGET", help="What is explained.  [default: the top class]"),
    click.option("--rows", type=RowsOption(), metavar="ROWS", help="Rows of a table, from 0: 17 or 17,20-30."),
    click.option("--device", default="auto", metavar="NAME", help="The device: auto, cpu, cuda, ...  [default: auto]"),
    click.option("--spec", metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model."),
    click.option("--timeout", type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP),
    click.option("--force", is_flag=True, help=_overwriting.HELP),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else."),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, the inputs that it explains, and where results go."""

    model: str
    inputs: str
    save: str | None
    target: str | None
    rows: RowNumbers | None
    device: str
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool

    def open(self) -> tuple[Model, Inputs, OptionValue]:
        """Return the model, its inputs and the target.

        Raises
        ------
        XaionnxError
            One of them cannot be read.
        """
        from xaionnx import InputSpec, Model
        from xaionnx_cli import _targets
        from xaionnx_cli._deadline import time_limit

        spec = None if self.spec is None else InputSpec.read(self.spec)
        with time_limit(self.timeout, f"Opening {self.model}"):
            model = Model.load(self.model, self.device, timeout_s=self.timeout, spec=spec)
            target = _targets.read_targets((self.target,) if self.target else (), None, model)
        return model, model.read(Path(self.inputs), rows=self.rows), target


def case_options(command: Command) -> Command:
    """Add the options of a :class:`Case` to a command; ``--save`` is the command's own, as its help differs."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)
