"""Discovery of methods: each method has the name of its file, so that adding one changes no list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xaionnx.explainer import Explainer
from xaionnx.registry import Registry

METHODS: Final[Registry[Explainer]] = Registry("method", "xaionnx.explainers", Explainer, group="xaionnx.explainers")


def methods() -> list[str]:
    """Return the names of all methods, including those of other packages (entry points ``xaionnx.explainers``)."""
    return METHODS.names()


def method(name: str) -> type[Explainer]:
    """Return the class of the method ``name``.

    Raises
    ------
    UnknownNameError
        There is none; the message lists the nearest names.

    Examples
    --------
    >>> method("occlusion").__name__
    'Occlusion'
    """
    return METHODS.find(name)


def configured(given: str | Explainer, settings: Mapping[str, object]) -> Explainer:
    """Return the method with its parameters, from its name and ``settings``; a configured method is returned as it is.

    Raises
    ------
    UnknownNameError
        There is no such method or parameter.
    ParameterError
        A parameter is invalid, settings come with a method that is configured already, or this is not a method.
    """
    return METHODS.configured(given, settings)
