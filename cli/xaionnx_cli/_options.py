"""The options of ``xaionnx explain``, and those that several commands share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

if TYPE_CHECKING:
    from xaionnx.data.row_numbers import RowNumbers
    from xaionnx.data.texts import TextOptions
    from xaionnx.runtime.axes import RowsMode

# Any: click passes a value of the type that its option declares.
OptionValue: TypeAlias = Any


# Inputs beyond which a folder of results is a run in parts, without files of each input.
MANY: Final = 1000

# The largest number that onnxruntime takes.
MOST: Final = 2**31 - 1


_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
# Of more than so many units a time is rounded to the next one.
_FEW_UNITS: Final = 120


class Seconds(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """A finite number of seconds above 0, or with a unit: 90s, 10m or 2h."""

    name = "time"

    def convert(self, value: OptionValue, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        unit = _UNITS.get(text[-1:], 0)
        try:
            seconds = float(text[:-1] if unit else text) * (unit or 1)
        except ValueError:
            self.fail(f"{text!r} is not a time. Write seconds, minutes or hours: 90s, 10m or 2h.", param, ctx)
        if not 0 < seconds < math.inf:
            self.fail(f"{text!r} is not a finite time above 0. Write it as 90s, 10m or 2h.", param, ctx)
        return seconds


def time_option(seconds: float) -> str:
    """Return a time as options take it, rounded up to whole seconds, minutes or hours.

    Examples
    --------
    >>> time_option(0.2), time_option(119.5), time_option(121), time_option(8000)
    ('1s', '120s', '3m', '3h')
    """
    unit = next((unit for unit, size in _UNITS.items() if seconds <= _FEW_UNITS * size), "h")
    return f"{math.ceil(seconds / _UNITS[unit])}{unit}"


class FilePath(click.Path):
    """The path of a file or folder, which may be missing; an empty one would be the current folder."""

    def __init__(self) -> None:
        super().__init__(readable=False)

    def convert(self, value: OptionValue, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "":
            self.fail("the path is empty. Give that of a file or folder.", param, ctx)
        return str(super().convert(value, param, ctx))


class RowsOption(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """Numbers of rows and ranges of them."""

    name = "rows"

    def convert(self, value: OptionValue, param: click.Parameter | None, ctx: click.Context | None) -> RowNumbers:
        from xaionnx.data.row_numbers import RowNumbers

        return value if isinstance(value, RowNumbers) else RowNumbers.read(value)


class ShareOption(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """A share of a data set: ``2/8`` is the second of eight."""

    name = "share"

    def convert(self, value: OptionValue, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value[0], value[1]
        number, _, of = value.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST):
            self.fail(f"'{value}' is not a share, such as 2/8 for the second of eight.", param, ctx)
        return int(number), int(of)


class TopOption(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """A number of features, or a share of a picture: ``12`` or ``10%``."""

    name = "top"

    def convert(self, value: OptionValue, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        if isinstance(value, int | float):
            return value
        text = value.strip()
        try:
            found = float(text[:-1]) / 100 if text.endswith("%") else int(text)
        except ValueError:
            found = 0
        if not (0 < found < 1 or (isinstance(found, int) and 1 <= found <= MOST)):
            self.fail(f"'{value}' is neither a number of features, such as 12, nor a share, such as 10%.", param, ctx)
        return found


TIMEOUT_HELP: Final = (
    "Stop if a step takes longer than this: opening a model, a single run of one, or the work between two runs.  "
    "[default: 600]"
)


def timeout_option() -> click.Option:
    """``--timeout``, for commands whose options are built at run time."""
    return click.Option(["--timeout"], type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of ``xaionnx explain`` that are common to all methods."""

    model: str
    inputs: tuple[str, ...]
    save: str | None
    target: tuple[str, ...]
    output: str | None
    device: str
    threads: int | None
    batch_size: int | None
    timeout: float | None
    spec: str | None
    axes: tuple[str, ...]
    rows: RowNumbers | None
    rows_are: RowsMode | None
    exif: bool
    lines: bool
    text_column: tuple[str, ...]
    continuation: str | None
    next_token: str | None
    allow_random: bool
    sign: str
    top: int | float | None
    smooth: float | None
    original: str | None
    theme: str
    details: bool
    feature: str | None
    removal_steps: int | None
    removal_baseline: str | None
    each: bool
    picture: str
    force: bool
    resume: bool
    shards: bool | None
    workers: int | None
    ray: bool
    shard: tuple[int, int] | None
    pictures: int | None
    as_json: bool
    labels: str | None = None  # a method may have such a parameter of its own

    @property
    def text(self) -> TextOptions:
        """How texts are read."""
        from xaionnx.data.texts import TextOptions

        return TextOptions(self.lines, self.text_column, self.continuation or "")
