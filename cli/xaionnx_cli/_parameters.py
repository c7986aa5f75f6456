"""Options of the command line made from the declared fields of a method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence

import click

from xaionnx import parameters
from xaionnx.data.arrays import read_array
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.parameters import Parameter


class _Value(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """What one field accepts: read by the field's own parser, refused in the field's own words."""

    name = "value"

    def __init__(self, option: str, parameter: Parameter) -> None:
        self._option, self._parameter = option, parameter

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        if value.endswith(".npy") and parameters.takes_arrays(self._parameter):
            return read_array(value).array
        try:
            read = self._parameter.parse(value)
        except ValueError:
            read = None
        if read is None or not self._parameter.accepts(read):
            raise ParameterError(f"{self._option} must be {self._parameter.domain}. Got '{value}' instead.")
        return read


class MethodCommand(click.Command):
    """A command whose help shows the method's own options before those of every method."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                (own if isinstance(param, _Own) else common).append(record)
        for title, records in ((f"Options of {ctx.info_name}", own), ("Options of every method", common)):
            # A method may have no parameter.
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class LateOption(click.Option):
    """An option whose help is made when it is shown, as it lists what a registry finds."""

    def __init__(
        self,
        names: list[str],
        words: Callable[[], str],
        *,
        type: click.ParamType | None = None,  # type: ignore[type-arg]  # not generic in older releases of click
        default: object = None,
        metavar: str | None = None,
        multiple: bool = False,
    ) -> None:
        super().__init__(names, type=type, default=default, metavar=metavar, multiple=multiple)
        self._words = words

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = self._words()
        return super().get_help_record(ctx)


class _Own(LateOption):
    """An option that stands for a field of the method."""


def command(
    name: str,
    method: type[Explainer],
    common: Sequence[click.Parameter],
    callback: Callable[..., int],
    words: str,
) -> MethodCommand:
    """The command of a method: an option for each of its fields, then those ``common`` to all methods."""
    return MethodCommand(
        name,
        params=[*options(method), *common],
        callback=callback,
        help=words,
        short_help=summary(method),
    )


def options(method: type[Explainer]) -> list[click.Parameter]:
    """One option for each field of a method; flags as ``--x/--no-x``."""
    return [_option(field, *declared) for field, declared in parameters.declared(method).items()]


def _option(field: str, parameter: Parameter, default: object) -> _Own:
    flag = "--" + field.replace("_", "-")
    if isinstance(default, bool):
        said = "on" if default else "off"
        names = [f"{flag}/--no-{flag[2:]}", field]
        return _Own(names, lambda: f"{_capital(parameter.help)}.  [default: {said}]", default=default)
    return _Own(
        [flag, field],
        lambda: f"{_capital(parameter.help)}.{_facts(parameter, default)}",
        type=_Value(flag, parameter),
        default=default,
        metavar=_metavar(parameter),
    )


def _facts(parameter: Parameter, default: object) -> str:
    # An interval that ends where the type does says nothing.
    bounded = _metavar(parameter) in ("INT", "FLOAT") and "e+" not in parameter.domain
    facts = [parameter.domain] if bounded else []
    if default is not None:
        shown = "x".join(map(str, default)) if isinstance(default, tuple) else str(default)
        facts.append(f"default: {shown}")
    return f"  [{'; '.join(facts)}]" if facts else ""


def _metavar(parameter: Parameter) -> str:
    choices = getattr(parameter, "options", ())
    if choices:
        return "|".join(choices)
    starts = {"an int": "INT", "a float": "FLOAT", "a positive int": "SIZE", "a str": "NAME"}
    return next((word for start, word in starts.items() if parameter.domain.startswith(start)), "VALUE")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def summary(method: type[Explainer]) -> str:
    """The first sentence of a method's docstring, on one line."""
    paragraph = inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0]
    text = " ".join(paragraph.replace("::", "").split())
    # A full stop ends the sentence; the dots of "M_1 ... M_n" do not.
    return re.split(r"(?<!\.)\.\s", text)[0].rstrip(".") + "."
