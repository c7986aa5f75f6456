"""Registries: classes found by the names of the files that define them, so that adding one changes no list.

A method has the name of its file. Other kinds, such as baselines, have one or more :class:`Form` s: ``black`` and
``white`` are two forms of one kind. Help texts and error messages list the contents of a registry.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, final

from xaionnx import parameters
from xaionnx.errors import ParameterError, UnknownNameError

Kind = TypeVar("Kind")
Kind_co = TypeVar("Kind_co", covariant=True)


@final
@dataclass(frozen=True)
class Registry(Generic[Kind]):
    """The classes defined in the files of a package and of the packages in it, one per file, by file name.

    Files and packages whose names begin with an underscore are ignored.

    Attributes
    ----------
    word : str
        The word for one of them in messages.
    package : str
        The package whose files are read.
    base : type
        Base class of all the classes.
    group : str
        Entry point group through which other packages add classes; none if empty.
    """

    word: str
    package: str
    base: type
    group: str = ""

    def names(self) -> list[str]:
        """Return all names, including those of other packages."""
        return sorted({*_module_names(self.package), *(entry.name for entry in self._entries())})

    def find(self, name: str) -> type[Kind]:
        """Return the class of that name.

        Raises
        ------
        UnknownNameError
            There is none; the message lists the nearest names.
        """
        files = _module_names(self.package)
        if name in files:
            kind: type[Kind] = _concrete_class(importlib.import_module(files[name]), self.base)
            return kind
        for entry in self._entries():
            if entry.name == name:
                loaded: type[Kind] = entry.load()
                return loaded
        raise UnknownNameError.among(self.word, name, self.names())

    def kinds(self) -> list[type[Kind]]:
        """Return all classes, sorted by name."""
        return [self.find(name) for name in self.names()]

    def configured(self, given: object, settings: Mapping[str, object]) -> Kind:
        """Return the object with its parameters, from its name and ``settings``; one that is given is returned as is.

        Raises
        ------
        UnknownNameError
            There is no such name or parameter.
        ParameterError
            A parameter is invalid, settings come with an object that has its parameters, or this is no such object.
        """
        word, article = self.word, "an" if self.base.__name__[0] in "AEIOU" else "a"
        if isinstance(given, str):
            kind = self.find(given)
            known = parameters.declared(kind)
            for name in settings:
                if name not in known:
                    raise UnknownNameError.among(f"parameter of {given}", name, known)
            return kind(**settings)
        if isinstance(given, type) and issubclass(given, self.base):
            name = given.__name__
            raise ParameterError(f"The '{word}' parameter got the class {name}. Give a {word}: {name}(), or its name.")
        if not isinstance(given, self.base):
            raise ParameterError(
                f"The '{word}' parameter must be the name of a {word}, or {article} {self.base.__name__}. "
                f"Got {given!r} instead."
            )
        if settings:
            raise ParameterError(
                f"Parameters of {type(given).__name__} belong in its constructor. Got {', '.join(settings)} as well."
            )
        configured: Kind = given  # type: ignore[assignment]  # of its base class
        return configured

    def _entries(self) -> list[_Entry]:
        return list(entry_points(group=self.group)) if self.group else []


class _Entry(Protocol):
    @property
    def name(self) -> str: ...

    def load(self) -> Any: ...  # Any: the object of another package is unknown until it is loaded


@final
@dataclass(frozen=True)
class Form(Generic[Kind_co]):
    """The text form of a kind: a name, optionally followed by a colon and settings.

    Attributes
    ----------
    name : str
    read : callable
        Returns the object for the text after the colon (None without a colon), and raises ValueError if that text is
        invalid. Receives the further arguments of :meth:`Shorthand.read` too.
    pattern : str
        The part after the name: ``:VALUE``, or ``[:VALUE]`` if it is optional; nothing if empty.
    example : str
        A text in this form, for messages; the name alone if empty.
    note : str
        Explanation for help texts, if the name needs one.
    """

    name: str
    read: Callable[..., Kind_co]
    pattern: str = ""
    example: str = ""
    note: str = ""

    @property
    def words(self) -> str:
        """The form in help texts, such as ``blur[:sigma]``."""
        return self.name + self.pattern + (f" ({self.note})" if self.note else "")

    @property
    def examples(self) -> str:
        """Example texts, for messages."""
        bare = f"'{self.name}'"
        if not self.pattern:
            return bare
        return f"'{self.example}'" if self.pattern.startswith(":") else f"{bare} or '{self.example}'"

    def takes(self, text: str | None) -> bool:
        """Return whether there may be a text after the colon, or none if ``text`` is None."""
        return not self.pattern.startswith(":") if text is None else bool(self.pattern)

    def make(self, text: str | None, *context: object) -> Kind_co:
        """Return the object for the text after the colon (None without one); raise ValueError if it is invalid."""
        if not self.takes(text):
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
        """Return all forms by name."""
        return _forms(self.registry)

    def words(self) -> str:
        """Return all forms as help texts list them."""
        return ", ".join(form.words for form in self.forms().values())

    def read(self, text: str, *context: object) -> Kind:
        """Return the object that a text stands for; ``context`` is passed to the form.

        Raises
        ------
        UnknownNameError
            There is no form of that name.
        ParameterError
            The text after the name is invalid.
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
    """Return the integers joined by ``x`` in ``text``, at most ``most``; an empty tuple if ``text`` is None.

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
    """Return one number in a tuple; an empty tuple if ``text`` is None."""
    return () if text is None else (float(text),)


def modules(package: str) -> list[ModuleType]:
    """Import and return the public modules of a package, sorted by name."""
    return [importlib.import_module(name) for name in _module_names(package).values()]


@functools.cache
def _module_names(package: str) -> dict[str, str]:
    """Return the full names of the modules by their file names, sorted."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        full = f"{package}.{module.name}"
        found |= _module_names(full) if module.ispkg else {module.name: full}
    return dict(sorted(found.items()))


@functools.cache
def _forms(registry: Registry[Kind]) -> dict[str, Form[Kind]]:
    forms = [form for kind in registry.kinds() for form in kind.forms]  # type: ignore[attr-defined]  # each declares them
    return {form.name: form for form in sorted(forms, key=lambda form: form.name)}


@functools.cache
def _concrete_class(module: ModuleType, base: type) -> type:
    """Return the only concrete subclass of ``base`` that the module defines."""
    classes = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and item.__module__ == module.__name__ and issubclass(item, base)
        if not inspect.isabstract(item)
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must define one {base.__name__}. Got {len(classes)} instead.")
    return classes[0]
