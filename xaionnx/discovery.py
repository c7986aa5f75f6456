"""Discovery: a file's name is the name of what it defines. Adding a method touches no list."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, TypeVar

from xaionnx import parameters
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.explainer import Explainer

Kind = TypeVar("Kind")


def methods() -> list[str]:
    """Names of all methods, those of other packages (entry points ``xaionnx.explainers``) included."""
    return sorted({*_files("xaionnx.explainers"), *(e.name for e in entry_points(group="xaionnx.explainers"))})


def method(name: str) -> type[Explainer]:
    """The class of the method called ``name``.

    Raises
    ------
    UnknownNameError
        There is none; the message offers the nearest.

    Examples
    --------
    >>> method("occlusion").__name__
    'Occlusion'
    """
    if name in _files("xaionnx.explainers"):
        module = importlib.import_module(f"xaionnx.explainers.{name}")
        return _defined(module, Explainer)  # type: ignore[type-abstract]  # a subclass of it is found, none is made
    for entry in entry_points(group="xaionnx.explainers"):
        if entry.name == name:
            found: type[Explainer] = entry.load()
            return found
    raise UnknownNameError.among("method", name, methods())


def configured(given: str | Explainer, settings: Mapping[str, Any]) -> Explainer:
    """The method with its parameters, from its name and ``settings``, or ready as it is.

    Raises
    ------
    UnknownNameError
        There is no such method or parameter.
    ParameterError
        A parameter is refused, or there are settings beside a method that has its parameters already.
    """
    if isinstance(given, str):
        kind = method(given)
        known = parameters.declared(kind)
        for name in settings:
            if name not in known:
                raise UnknownNameError.among(f"parameter of {given}", name, known)
        return kind(**settings)
    if settings:
        raise ParameterError(
            f"Parameters of {type(given).__name__} belong into its constructor. Got {', '.join(settings)} beside it."
        )
    return given


@functools.cache
def _files(package: str) -> tuple[str, ...]:
    paths = importlib.import_module(package).__path__
    return tuple(module.name for module in pkgutil.iter_modules(paths) if not module.name.startswith("_"))


def _defined(module: ModuleType, kind: type[Kind]) -> type[Kind]:
    """The one concrete class of a kind that a module defines itself."""
    found = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and item.__module__ == module.__name__ and issubclass(item, kind)
        if not inspect.isabstract(item)
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define one {kind.__name__}, and defines {len(found)}")
    return found[0]
