"""Command-line options built from the declared fields of a method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from xaionnx import parameters
from xaionnx.data.arrays import read_array
from xaionnx.data.files import is_file
from xaionnx.errors import ParameterError, shortened
from xaionnx.explainer import Explainer
from xaionnx.parameters import Names, Parameter


class _Value(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """The values that a field accepts, parsed and checked by the field's own declaration."""

    name = "value"

    def __init__(self, option: str, parameter: Parameter) -> None:
        self._option, self._parameter = option, parameter

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        if value.endswith(".npy") and parameters.takes_arrays(self._parameter) and not _is_shorthand(value):
            return read_array(value).array
        try:
            read = self._parameter.parse(value)
        except ValueError:
            read = None
        # As a Path, an empty text is the current folder.
        empty = isinstance(read, Path) and not value
        if read is None or empty or not self._parameter.accepts(read):
            raise ParameterError(f"{self._option} must be {self._parameter.domain}. Got {shortened(value)} instead.")
        return read


def _is_shorthand(text: str) -> bool:
    """Whether a text is a form with a file, as ``background:rows.npy`` and ``picture=labels.npy``, and no path."""
    return not is_file(text) and any(mark in text for mark in ":=")


class MethodCommand(click.Command):
    """A command whose help lists the options of the method before those common to all methods."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                (own if isinstance(param, _MethodOption) else common).append(record)
        for title, records in ((f"Options of {ctx.info_name}", own), ("Options of all methods", common)):
            # A method may have no parameters.
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class LateOption(click.Option):
    """An option whose help is built when it is shown, because it lists the entries of a registry."""

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


class _MethodOption(LateOption):
    """The option for a field of a method."""


class _NamesOption(_MethodOption):
    """The option for a field of one name or several: repeated, or with commas."""

    def type_cast_value(self, ctx: click.Context, value: object) -> object:
        given = super().type_cast_value(ctx, value) or ()
        found = tuple(name for one in given for name in parameters.as_names(one))
        if len(set(found)) < len(found):
            raise ParameterError(f"{self.opts[0]} names '{max(found, key=found.count)}' twice.")
        return found if len(found) > 1 else found[0] if found else None


def command(
    name: str,
    method: type[Explainer],
    common: Sequence[click.Parameter],
    callback: Callable[..., int],
    words: str,
) -> MethodCommand:
    """Build the command of a method: an option for each of its fields, then those ``common`` to all methods.

    A common one gives way to an option of the method with the same name.
    """
    own = method_options(method)
    names = {option.name for option in own}
    return MethodCommand(
        name,
        params=[*own, *(option for option in common if option.name not in names)],
        callback=callback,
        help=words,
        short_help=summary(method),
    )


def method_options(method: type) -> list[click.Parameter]:
    """One option for each field of a method; flags as ``--x/--no-x``."""
    return [_option(field, *declared) for field, declared in parameters.declared(method).items()]


def _option(field: str, parameter: Parameter, default: object) -> _MethodOption:
    flag = "--" + field.replace("_", "-")
    if isinstance(default, bool):
        said = "on" if default else "off"
        names = [f"{flag}/--no-{flag[2:]}", field]
        return _MethodOption(names, lambda: f"{_capitalized(parameter.help)}.  [default: {said}]", default=default)
    if isinstance(parameter, Names):
        return _NamesOption(
            [flag, field],
            lambda: f"{_capitalized(parameter.help)}; repeat it, or use commas.",
            type=_Value(flag, parameter),
            metavar="NAME",
            multiple=True,
        )
    return _MethodOption(
        [flag, field],
        lambda: f"{_capitalized(parameter.help)}.{_domain_and_default(parameter, default)}",
        type=_Value(flag, parameter),
        default=default,
        metavar=_metavar(parameter),
    )


def _domain_and_default(parameter: Parameter, default: object) -> str:
    # The interval of the whole type is not worth showing.
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


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def summary(method: type) -> str:
    """The first sentence of a method's docstring, on one line."""
    paragraph = inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0]
    text = " ".join(paragraph.replace("::", "").split())
    # A full stop ends the sentence; an ellipsis, as in "M_1 ... M_n", does not.
    return re.split(r"(?<!\.)\.\s", text)[0].rstrip(".") + "."
