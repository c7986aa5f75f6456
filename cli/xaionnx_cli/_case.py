"""The options of commands that explain the same inputs by several methods, and what these options open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._input_options import INPUT_OPTIONS, read_axes
from xaionnx_cli._options import TIMEOUT_HELP, FilePath, OptionValue, RowsOption, Seconds

if TYPE_CHECKING:
    from xaionnx import Model
    from xaionnx.data.dataset import Dataset
    from xaionnx.data.inputs import Inputs
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.data.texts import TextOptions
    from xaionnx.evaluation import ScoreTable
    from xaionnx.registry import Registry
    from xaionnx.runtime.axes import RowsMode
    from xaionnx.typing import Array, Document, Facts

# Any command.
Command = TypeVar("Command", bound=Callable[..., object])
KindT = TypeVar("KindT")

_NO_SETTINGS: Final[Mapping[str, Facts]] = MappingProxyType({})

_OPTIONS: Final = (
    click.argument("model", type=FilePath()),
    click.argument("inputs", type=FilePath()),
    click.option("-t", "--target", "target", metavar="TARGET", help="What is explained.  [default: the top class]"),
    click.option("--rows", type=RowsOption(), metavar="ROWS", help="Rows of a table, from 0: 17 or 17,20-30."),
    click.option("--device", default="auto", metavar="NAME", help="The device: auto, cpu, cuda, ...  [default: auto]"),
    click.option("--background", type=FilePath(), metavar="FILE", help="Rows of data that replace what is removed."),
    click.option("--background-size", type=click.IntRange(1), metavar="INT", help="How many of these rows are used."),
    *(click.option(*names, **settings) for names, settings in INPUT_OPTIONS),
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
    device: str
    background: str | None
    background_size: int | None
    labels: str | None
    spec: str | None
    axes: tuple[str, ...]
    rows: RowNumbers | None
    rows_are: RowsMode | None
    exif: bool
    lines: bool
    text_column: tuple[str, ...]
    timeout: float | None
    force: bool
    as_json: bool

    @property
    def files(self) -> tuple[str | None, ...]:
        """The files that are read, which nothing is written to."""
        return self.model, self.inputs, self.spec, self.background, self.labels

    @property
    def text(self) -> TextOptions:
        """How texts are read."""
        from xaionnx.data.texts import TextOptions

        return TextOptions(self.lines, self.text_column)

    def open(self) -> tuple[Model, Inputs, OptionValue]:
        """Return the model, its inputs and the target.

        Raises
        ------
        XaionnxError
            One of them cannot be read.
        """
        model, target = self._model_and_target()
        return model, self._read(model), target

    def replacement(self, model: Model) -> Document:
        """Return the parameters ``background`` and ``background_size`` that are given, with the rows of the file.

        The column of labels is no input, also where the rows are those of the inputs.

        Raises
        ------
        XaionnxError
            The rows cannot be read, or do not fit the model.
        """
        from xaionnx.data.table_files import read_cells
        from xaionnx.data.table_inputs import is_table_file
        from xaionnx.data.units import without_column
        from xaionnx.perturb.rows import read_rows

        found: Document = {} if self.background_size is None else {"background_size": self.background_size}
        if self.background is None:
            return found
        path = Path(self.background)
        rows = without_column(read_cells(path), self.labels) if is_table_file(path) else path
        return {"background": read_rows(rows, model), **found}

    def open_in_parts(self, masks: str | None = None) -> tuple[Model, Dataset, OptionValue]:
        """Return the model, its inputs with the labels and the ground truth in ``masks``, and the target.

        They are read in parts, unless some rows are chosen, which are in memory.

        Raises
        ------
        XaionnxError
            One of them cannot be read.
        """
        from xaionnx.data.arrays import read_array
        from xaionnx.data.dataset import Dataset
        from xaionnx.errors import UsageError

        model, target = self._model_and_target()
        folder = masks is not None and Path(masks).is_dir()
        places = None if masks is None or folder else read_array(Path(masks)).array
        path = Path(self.inputs)
        if self.rows is None:
            given = masks if folder else places
            return model, Dataset.of(path, labels=self.labels, masks=given, exif=self.exif, text=self.text), target
        if folder:
            raise UsageError("--rows are of one file, whose masks are an array: --masks FILE.npy.")
        labels = None if self.labels is None else Dataset.of(path, labels=self.labels).labels_given
        return (
            model,
            Dataset.of(
                self._read(model),
                labels=None if labels is None else [labels[row] for row in self.rows.of(len(labels), self.inputs)],
                masks=None if places is None else places[self.rows.of(len(places), str(masks))],
            ),
            target,
        )

    def _read(self, model: Model) -> Inputs:
        column = () if self.labels is None or Path(self.labels).is_file() else (self.labels,)
        return model.read(Path(self.inputs), rows=self.rows, exif=self.exif, text=self.text, ignore=column)

    def _model_and_target(self) -> tuple[Model, OptionValue]:
        from xaionnx import Model
        from xaionnx_cli import _targets
        from xaionnx_cli._deadline import time_limit

        with time_limit(self.timeout, f"Opening {self.model}"):
            model = Model.load(
                self.model,
                self.device,
                timeout_s=self.timeout,
                spec=self.spec,
                axes=read_axes(self.axes),
                rows=self.rows_are,
            )
            return model, _targets.read_targets((self.target,) if self.target else (), None, model)


def configured(
    registry: Registry[KindT], names: Sequence[str], settings: Facts, own: Mapping[str, Facts] = _NO_SETTINGS
) -> list[KindT]:
    """Return methods or metrics with those of the settings that they have as parameters, and each its ``own``.

    Raises
    ------
    UnknownNameError, ParameterError
        There is no such name, or a parameter is invalid.
    """
    from xaionnx import parameters

    found = []
    for name in names:
        known = parameters.declared(registry.find(name))
        taken = {key: value for key, value in settings.items() if key in known}
        found.append(registry.configured(name, {**own.get(name, {}), **taken}))
    return found


def first_picture(inputs: Dataset, table: ScoreTable, model: Model) -> Array | None:
    """Return the first input that has scores as the model sees it, (H, W, 3); None if it is no picture."""
    left_out = {one.unit for one in table.left_out}
    return inputs.picture(model, next(unit for unit in count() if unit not in left_out))


def left_out_lines(table: ScoreTable) -> tuple[list[str], int]:
    """Return sentences about the inputs without scores, and the exit code that they lead to."""
    from xaionnx.counting import counted
    from xaionnx_cli._refusals import refusals_of

    refusals, done = refusals_of(table.left_out), len(table.inputs)
    # Where nothing has a score, an error says why.
    stopped = (
        [f"{counted(done, 'input was', 'inputs were')} scored, and no more: {table.stopped}"]
        if table.stopped and table.samples
        else []
    )
    return [*refusals.lines(done), *stopped], refusals.exit_code(done)


def case_options(command: Command) -> Command:
    """Add the options of a :class:`Case` to a command; ``--save`` is the command's own, as its help differs."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)
