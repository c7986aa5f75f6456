"""Registries: what the files of a folder define, found by name, so that adding a kind touches no list.

A method is called by the name of its file. Other kinds, such as baselines, are written in several :class:`Form` s:
``black`` and ``white`` are one kind. Help texts and errors list what a registry finds.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, final

from xaionnx.errors import ParameterError, UnknownNameError

Kind = TypeVar("Kind")
Kind_co = TypeVar("Kind_co", covariant=True)


@final
@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """The classes that the files of a package define, one a file, by the names of the files.

    Files whose names begin with an underscore are none of them.

    Attributes
    ----------
    word : str
        What one of them is, in messages.
    package : str
        The package whose files are read.
    base : type
        What each of the classes derives from.
    group : str
        Entry points by which other packages add to it; none if empty.
    """

    word: str
    package: str
    base: type
    group: str = ""

    def names(self) -> list[str]:
        """All names, those of other packages included."""
        return sorted({*_files(self.package), *(entry.name for entry in self._entries())})

    def find(self, name: str) -> type[Kind]:
        """The class of that name.

        Raises
        ------
        UnknownNameError
            There is none; the message offers the nearest.
        """
        if name in _files(self.package):
            own: type[Kind] = _defined(importlib.import_module(f"{self.package}.{name}"), self.base)
            return own
        for entry in self._entries():
            if entry.name == name:
                found: type[Kind] = entry.load()
                return found
        raise UnknownNameError.among(self.word, name, self.names())

    def kinds(self) -> list[type[Kind]]:
        """All classes, in the order of their names."""
        return [self.find(name) for name in self.names()]

    def _entries(self) -> list[_Entry]:
        return list(entry_points(group=self.group)) if self.group else []


class _Entry(Protocol):
    @property
    def name(self) -> str: ...

    def load(self) -> Any: ...  # Any: what another package offers is known when it is loaded


@final
@dataclass(frozen=True)
class Form(Generic[Kind_co]):
    """How a kind is written in text: a name, and what may follow it.

    Attributes
    ----------
    name : str
    read : callable
        Makes the object from the text behind the colon, None without a colon; ValueError where that does not fit.
        Further arguments of :meth:`Shorthand.read` follow.
    pattern : str
        What follows the name: ``:VALUE``, or ``[:VALUE]`` where it may be left out; nothing if empty.
    example : str
        A text in this form, for messages; the name alone if empty.
    note : str
        What it means, for help texts, where its name does not say so.
    """

    name: str
    read: Callable[..., Kind_co]
    pattern: str = ""
    example: str = ""
    note: str = ""

    @property
    def words(self) -> str:
        """The form as help texts show it, such as ``blur[:sigma]``."""
        return self.name + self.pattern + (f" ({self.note})" if self.note else "")

    @property
    def examples(self) -> str:
        """What can be written, for messages."""
        bare = f"'{self.name}'"
        if not self.pattern:
            return bare
        return f"'{self.example}'" if self.pattern.startswith(":") else f"{bare} or '{self.example}'"

    def make(self, text: str | None, *context: object) -> Kind_co:
        """What the form stands for with the text behind its colon, None without one; ValueError if it does not fit."""
        if (text is not None and not self.pattern) or (text is None and self.pattern.startswith(":")):
            raise ValueError(text)
        return self.read(text, *context)


@final
@dataclass(frozen=True)
class Shorthand(Generic[Kind]):
    """The forms of all kinds of a registry.

    Examples
    --------
    >>> from xaionnx.perturb.baseline import BASELINES
    >>> BASELINES.read("blur:3")
    Blur(sigma=3.0)
    """

    registry: Registry[Kind]

    def forms(self) -> dict[str, Form[Kind]]:
        """All forms by name."""
        return _forms(self.registry)

    def words(self) -> str:
        """All forms as help texts list them."""
        return ", ".join(form.words for form in self.forms().values())

    def read(self, text: str, *context: object) -> Kind:
        """What a text stands for; ``context`` is handed to the form.

        Raises
        ------
        UnknownNameError
            There is no form of that name.
        ParameterError
            What follows the name does not fit.
        """
        name, colon, rest = text.partition(":")
        forms, word = self.forms(), self.registry.word
        if name not in forms:
            raise UnknownNameError.among(word, name, forms)
        form = forms[name]
        try:
            return form.make(rest if colon else None, *context)
        except ValueError as error:
            raise ParameterError(
                f"The {word} '{name}' must be written as {form.examples}. Got '{text}' instead."
            ) from error


def integers(text: str | None, most: int = 1) -> tuple[int, ...]:
    """Whole numbers joined by ``x``, at the most so many; none where ``text`` is None.

    Examples
    --------
    >>> integers("6x8", most=2), integers(None)
    ((6, 8), ())
    """
    numbers = () if text is None else tuple(int(part) for part in text.split("x"))
    if len(numbers) > most:
        raise ValueError(text)
    return numbers


def number(text: str | None) -> tuple[float, ...]:
    """One number, as a tuple of arguments that is empty where ``text`` is None."""
    return () if text is None else (float(text),)


def modules(package: str) -> list[ModuleType]:
    """The modules of a package, all of them loaded, in the order of their names; private ones are left out."""
    return [importlib.import_module(f"{package}.{name}") for name in _files(package)]


@functools.cache
def _files(package: str) -> tuple[str, ...]:
    paths = importlib.import_module(package).__path__
    return tuple(module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_"))


@functools.cache
def _forms(registry: Registry[Kind]) -> dict[str, Form[Kind]]:
    found = [form for kind in registry.kinds() for form in kind.forms]  # type: ignore[attr-defined]  # each declares them
    return {form.name: form for form in sorted(found, key=lambda form: form.name)}


def _defined(module: ModuleType, base: type) -> type:
    """The one concrete class of a kind that a module defines itself."""
    found = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and item.__module__ == module.__name__ and issubclass(item, base)
        if not inspect.isabstract(item)
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define one {base.__name__}, and defines {len(found)}")
    return found[0]
