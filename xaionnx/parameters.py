"""Parameters of methods: each field of a method says its type, interval and meaning once.

The same declaration checks a value in Python, parses an option of the command line and writes its help.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, final, overload

import numpy as np

from xaionnx.errors import ParameterError
from xaionnx.hooks import hook

Text: TypeAlias = str | Callable[[], str]
Value = TypeVar("Value")


def _made(text: Text) -> str:
    return text if isinstance(text, str) else text()


@dataclass(frozen=True)
class Parameter(ABC):
    """What a field accepts, and how it is spoken of.

    Attributes
    ----------
    text : str or callable
        The help, or what makes it when it is asked for: a list of names is read from where they are defined.
    optional : bool
        Whether None is accepted.
    """

    text: Text
    optional: bool = False

    @property
    def help(self) -> str:
        """One sentence for the command line, without a full stop."""
        return _made(self.text)

    @property
    @abstractmethod
    def domain(self) -> str:
        """The accepted values in words, such as ``an int in [1, inf)``."""

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Whether ``value`` lies in the domain."""

    @abstractmethod
    def parse(self, text: str) -> object:
        """Read a value from the command line; raises ValueError where ``text`` is none."""

    @hook
    def check(self, owner: str, name: str, value: object) -> None:
        """Raise ParameterError unless ``value`` is accepted."""
        if (value is None and self.optional) or (value is not None and self.accepts(value)):
            return
        alternative = " or None" if self.optional else ""
        raise ParameterError(
            f"The '{name}' parameter of {owner} must be {self.domain}{alternative}. Got {value!r} instead."
        )


def _interval(low: float, high: float, low_open: bool) -> str:
    # An infinite end is always open.
    ends = [str(end) if isinstance(end, int) else f"{end:g}" for end in (low, high)]
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
        return self.low <= int(value) <= self.high

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
        if math.isnan(value) or math.isinf(value):
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
    """One positive int for every axis, or one an axis."""

    @property
    def domain(self) -> str:
        return "a positive int, or one positive int an axis"

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
class _Object(Parameter):
    """A value with a shorthand of its own, which ``resolver`` refuses where it means nothing for any input."""

    words: Text = "given"
    reader: Callable[[str], object] = str
    resolver: Callable[[Any], object] | None = None  # Any: each resolves a type of its own

    @property
    def domain(self) -> str:
        return _made(self.words)

    def accepts(self, value: object) -> bool:
        return True

    def parse(self, text: str) -> object:
        return self.reader(text)

    def check(self, owner: str, name: str, value: object) -> None:
        super().check(owner, name, value)
        if value is not None and self.resolver is not None:
            self.resolver(value)


# The value of a field while its class is made: typed as what the field will hold, which type checkers compare with its
# annotation.
def _field(default: Value, parameter: Parameter) -> Value:
    made: Value = dataclasses.field(default=default, metadata={"parameter": parameter})
    return made


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
    """A dataclass field that holds an int in ``[low, high]``."""
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
    """A dataclass field that holds a finite float in ``[low, high]``, or ``(low, high]`` where ``low_open``."""
    return _field(default, _Real(help, optional, low, high, low_open))


def choice(default: str, options: tuple[str, ...], help: Text) -> str:
    """A dataclass field that holds one of ``options``."""
    return _field(default, _Choice(help, False, options))


def flag(default: bool, help: Text) -> bool:
    """A dataclass field that holds True or False."""
    return _field(default, _Flag(help))


def name(help: Text) -> str | None:
    """A dataclass field that holds a name, or None by default."""
    return _field(None, _Name(help, optional=True))


@overload
def size(default: int | tuple[int, ...], help: Text, *, optional: Literal[False] = ...) -> int | tuple[int, ...]: ...
@overload
def size(
    default: int | tuple[int, ...] | None, help: Text, *, optional: Literal[True]
) -> int | tuple[int, ...] | None: ...
def size(default: int | tuple[int, ...] | None, help: Text, *, optional: bool = False) -> int | tuple[int, ...] | None:
    """A dataclass field that holds a positive int, or a tuple with one an axis."""
    return _field(default, _Size(help, optional))


def free(
    default: Value,
    words: Text,
    help: Text,
    *,
    reader: Callable[[str], object] = str,
    resolver: Callable[[Any], object] | None = None,
    optional: bool = True,
) -> Value:
    """A dataclass field with a shorthand of its own; ``words`` name what it accepts, ``reader`` reads its text.

    ``resolver`` makes of a value what it stands for, and so refuses one that stands for nothing.

    Texts that list names are made when they are shown, so that nothing is loaded before.
    """
    return _field(default, _Object(help, optional, words, reader, resolver))


def takes_arrays(parameter: Parameter) -> bool:
    """Whether a field with a shorthand of its own may also be an array."""
    return isinstance(parameter, _Object)


def declared(owner: type) -> dict[str, tuple[Parameter, object]]:
    """The parameters of a dataclass by field name, each with its default.

    Raises
    ------
    TypeError
        A field was declared without a :class:`Parameter`.
    """
    found: dict[str, tuple[Parameter, object]] = {}
    for field in dataclasses.fields(owner):
        parameter = field.metadata.get("parameter")
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{owner.__name__}.{field.name} has no declared parameter")
        found[field.name] = (parameter, field.default)
    return found


def check_all(instance: object) -> None:
    """Check every declared field of a dataclass instance."""
    owner = type(instance)
    for name, (parameter, _) in declared(owner).items():
        parameter.check(owner.__name__, name, getattr(instance, name))
