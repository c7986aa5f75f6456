"""Parameters of methods: each field of a method declares its type, interval and meaning once.

The declaration checks values in Python, parses the option on the command line and provides its help text.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, final, overload

import numpy as np

from xaionnx.errors import ParameterError, shortened
from xaionnx.hooks import hook

Text: TypeAlias = str | Callable[[], str]
# Any: what a value is depends on its field.
Resolver: TypeAlias = Callable[[Any], object]
Value = TypeVar("Value")


def _as_text(text: Text) -> str:
    return text if isinstance(text, str) else text()


@dataclass(frozen=True)
class Parameter(ABC):
    """The values that a field accepts, and its help text.

    Attributes
    ----------
    text : str or callable
        The help text, or a function that returns it, so that lists of names are collected only when it is shown.
    optional : bool
        Whether None is accepted.
    """

    text: Text
    optional: bool = False

    @property
    def help(self) -> str:
        """One sentence for the command line, without a final period."""
        return _as_text(self.text)

    @property
    @abstractmethod
    def domain(self) -> str:
        """The accepted values in words, such as ``an int in [1, inf)``."""

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Whether ``value`` lies in the domain."""

    @abstractmethod
    def parse(self, text: str) -> object:
        """Return the value that ``text`` stands for on the command line; raise ValueError if it is not one."""

    @hook
    def check(self, owner: str, name: str, value: object) -> None:
        """Raise ParameterError unless ``value`` is accepted."""
        if (value is None and self.optional) or (value is not None and self.accepts(value)):
            return
        alternative = " or None" if self.optional else ""
        raise ParameterError(
            f"The '{name}' parameter of {owner} must be {self.domain}{alternative}. Got {shortened(value)} instead."
        )


# The largest int of numpy.
_LARGEST = 2**63 - 1


def _interval(low: float, high: float, low_open: bool) -> str:
    # An infinite bound is always open.
    words = {_LARGEST: "2**63 - 1"}
    ends = [words.get(end, str(end)) if isinstance(end, int) else f"{end:g}" for end in (low, high)]
    return f"{'(' if low_open or math.isinf(low) else '['}{', '.join(ends)}{')' if math.isinf(high) else ']'}"


@final
@dataclass(frozen=True)
class _Integer(Parameter):
    low: float = -math.inf
    high: float = math.inf

    @property
    def domain(self) -> str:
        return f"an int in {_interval(self.low, self.high, False)}"

    def accepts(self, value: object) -> bool:
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            return False
        return self.low <= int(value) <= min(self.high, _LARGEST)

    def parse(self, text: str) -> int:
        return int(text)


@final
@dataclass(frozen=True)
class _Real(Parameter):
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False

    @property
    def domain(self) -> str:
        return f"a float in {_interval(self.low, self.high, self.low_open)}"

    def accepts(self, value: object) -> bool:
        if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
            return False
        number: float = value if isinstance(value, int) else float(value)
        # An int beyond floats, infinity or NaN.
        if not abs(number) <= sys.float_info.max:
            return False
        above = self.low < value if self.low_open else self.low <= value
        return bool(above and value <= self.high)

    def parse(self, text: str) -> float:
        return float(text)


@final
@dataclass(frozen=True)
class _Choice(Parameter):
    options: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        return "one of " + ", ".join(repr(option) for option in self.options)

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and value in self.options

    def parse(self, text: str) -> str:
        return text


@final
@dataclass(frozen=True)
class _Flag(Parameter):
    @property
    def domain(self) -> str:
        return "True or False"

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def parse(self, text: str) -> bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"'{text}' is neither true nor false")
        return text.lower() == "true"


@final
@dataclass(frozen=True)
class _Size(Parameter):
    """One positive int for all axes, or one per axis."""

    @property
    def domain(self) -> str:
        return "a positive int, or one positive int per axis"

    def accepts(self, value: object) -> bool:
        one = _Integer(self.text, low=1)
        if isinstance(value, tuple):
            return len(value) > 0 and all(one.accepts(item) for item in value)
        return one.accepts(value)

    def parse(self, text: str) -> int | tuple[int, ...]:
        numbers = tuple(int(part) for part in text.replace("x", ",").split(","))
        return numbers[0] if len(numbers) == 1 else numbers


@final
@dataclass(frozen=True)
class _Name(Parameter):
    @property
    def domain(self) -> str:
        return "a str"

    def accepts(self, value: object) -> bool:
        return isinstance(value, str)

    def parse(self, text: str) -> str:
        return text


@final
@dataclass(frozen=True)
class Names(Parameter):
    """One name, or several different ones."""

    @property
    def domain(self) -> str:
        return "a str, or a list of different ones"

    def accepts(self, value: object) -> bool:
        if isinstance(value, str):
            return True
        if not isinstance(value, list | tuple) or not value:
            return False
        return all(isinstance(item, str) for item in value) and len(set(value)) == len(value)

    def parse(self, text: str) -> str | tuple[str, ...]:
        found = tuple(part.strip() for part in text.split(",") if part.strip())
        if not found:
            raise ValueError("no name")
        return found[0] if len(found) == 1 else found


@final
@dataclass(frozen=True)
class _Object(Parameter):
    """A value with a shorthand; ``resolver`` raises an error for a value that is invalid for every input."""

    words: Text = "given"
    reader: Callable[[str], object] = str
    resolver: Resolver | None = None

    @property
    def domain(self) -> str:
        return _as_text(self.words)

    def accepts(self, value: object) -> bool:
        return True

    def parse(self, text: str) -> object:
        return self.reader(text)

    def check(self, owner: str, name: str, value: object) -> None:
        super().check(owner, name, value)
        if value is not None and self.resolver is not None:
            self.resolver(value)


# The value of a field while its class is created. It is typed as the value of the field, which type checkers compare
# with the annotation.
def _field(default: Value, parameter: Parameter) -> Value:
    field: Value = dataclasses.field(default=default, metadata={"parameter": parameter})
    return field


@overload
def integer(
    default: int, help: Text, *, low: float = ..., high: float = ..., optional: Literal[False] = ...
) -> int: ...
@overload
def integer(
    default: int | None, help: Text, *, low: float = ..., high: float = ..., optional: Literal[True]
) -> int | None: ...
def integer(
    default: int | None, help: Text, *, low: float = -math.inf, high: float = math.inf, optional: bool = False
) -> int | None:
    """Return a dataclass field for an int in ``[low, high]``."""
    return _field(default, _Integer(help, optional, low, high))


@overload
def real(
    default: float,
    help: Text,
    *,
    low: float = ...,
    high: float = ...,
    low_open: bool = ...,
    optional: Literal[False] = ...,
) -> float: ...
@overload
def real(
    default: float | None,
    help: Text,
    *,
    low: float = ...,
    high: float = ...,
    low_open: bool = ...,
    optional: Literal[True],
) -> float | None: ...
def real(
    default: float | None,
    help: Text,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    optional: bool = False,
) -> float | None:
    """Return a dataclass field for a finite float in ``[low, high]``, or ``(low, high]`` if ``low_open``."""
    return _field(default, _Real(help, optional, low, high, low_open))


def random_seed(help: Text) -> int:
    """Return a dataclass field for the seed of random draws, 0 by default."""
    return _field(0, _Integer(help, False, 0, _LARGEST))


def stopping_tolerance(help: Text) -> float | None:
    """Return a dataclass field for a positive float at which the work ends early; none by default."""
    return real(None, help, low=0, low_open=True, optional=True)


def choice(default: str, options: tuple[str, ...], help: Text) -> str:
    """Return a dataclass field for one of ``options``."""
    return _field(default, _Choice(help, False, options))


def flag(default: bool, help: Text) -> bool:
    """Return a dataclass field for True or False."""
    return _field(default, _Flag(help))


def name(help: Text) -> str | None:
    """Return a dataclass field for a name, None by default."""
    return _field(None, _Name(help, optional=True))


def names(help: Text) -> str | Sequence[str] | None:
    """Return a dataclass field for a name or several, None by default."""
    return _field(None, Names(help, optional=True))


def as_names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the value of a field of :func:`names` as a tuple; empty if none is given.

    Examples
    --------
    >>> as_names("a"), as_names(["a", "b"]), as_names(None)
    (('a',), ('a', 'b'), ())
    """
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


@overload
def size(default: int | tuple[int, ...], help: Text, *, optional: Literal[False] = ...) -> int | tuple[int, ...]: ...
@overload
def size(
    default: int | tuple[int, ...] | None, help: Text, *, optional: Literal[True]
) -> int | tuple[int, ...] | None: ...
def size(default: int | tuple[int, ...] | None, help: Text, *, optional: bool = False) -> int | tuple[int, ...] | None:
    """Return a dataclass field for a positive int, or a tuple with one per axis."""
    return _field(default, _Size(help, optional))


def free(
    default: Value,
    words: Text,
    help: Text,
    *,
    reader: Callable[[str], object] = str,
    resolver: Resolver | None = None,
    optional: bool = True,
) -> Value:
    """Return a dataclass field for values with a shorthand.

    ``words`` describe the accepted values, ``reader`` parses text, and ``resolver`` converts a value to the object that
    it stands for, raising an error for invalid ones.

    Texts that list names may be functions, so that nothing is loaded before they are shown.
    """
    return _field(default, _Object(help, optional, words, reader, resolver))


def takes_arrays(parameter: Parameter) -> bool:
    """Whether the field has a shorthand and so may also be an array."""
    return isinstance(parameter, _Object)


def declared(owner: type) -> dict[str, tuple[Parameter, object]]:
    """Return the parameters of a dataclass by field name, each with its default.

    Raises
    ------
    TypeError
        A field was declared without a :class:`Parameter`.
    """
    parameters: dict[str, tuple[Parameter, object]] = {}
    for field in dataclasses.fields(owner):
        parameter = field.metadata.get("parameter")
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{owner.__name__}.{field.name} has no declared parameter")
        parameters[field.name] = (parameter, field.default)
    return parameters


def check_all(instance: object) -> None:
    """Check every declared field of a dataclass instance."""
    owner = type(instance)
    for name, (parameter, _) in declared(owner).items():
        parameter.check(owner.__name__, name, getattr(instance, name))
