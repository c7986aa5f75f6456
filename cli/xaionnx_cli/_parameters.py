"""Options of the command line made from the declared fields of a method."""

from __future__ import annotations

from typing import Any

import click

from xaionnx import parameters
from xaionnx.errors import ParameterError
from xaionnx.explainer import Explainer
from xaionnx.parameters import Parameter


class _Value(click.ParamType):
    """What one field accepts: read by the field's own parser, refused in the field's own words."""

    name = "value"

    def __init__(self, option: str, parameter: Parameter) -> None:
        self._option, self._parameter = option, parameter

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            read = self._parameter.parse(value)
        except ValueError:
            read = None
        if read is None or not self._parameter.accepts(read):
            raise ParameterError(f"{self._option} must be {self._parameter.domain}. Got '{value}' instead.")
        return read


def options(method: type[Explainer]) -> list[click.Parameter]:
    """One option for each field of a method; flags as ``--x/--no-x``."""
    return [_option(field, *declared) for field, declared in parameters.declared(method).items()]


def _option(field: str, parameter: Parameter, default: Any) -> click.Option:
    flag = "--" + field.replace("_", "-")
    if isinstance(default, bool):
        said = "on" if default else "off"
        names = [f"{flag}/--no-{flag[2:]}", field]
        return click.Option(names, default=default, help=f"{_capital(parameter.help)}.  [default: {said}]")
    return click.Option(
        [flag, field],
        type=_Value(flag, parameter),
        default=default,
        metavar=_metavar(parameter),
        help=f"{_capital(parameter.help)}.{_facts(parameter, default)}",
    )


def _facts(parameter: Parameter, default: Any) -> str:
    facts = [parameter.domain] if _metavar(parameter) in ("INT", "FLOAT", "SIZE") else []
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
