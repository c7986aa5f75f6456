"""Discovery of methods: a file's name is the name of the method in it. Adding a method touches no list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xaionnx import parameters
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.explainer import Explainer
from xaionnx.registry import Registry

METHODS: Final[Registry[Explainer]] = Registry("method", "xaionnx.explainers", Explainer, group="xaionnx.explainers")


def methods() -> list[str]:
    """Names of all methods, those of other packages (entry points ``xaionnx.explainers``) included."""
    return METHODS.names()


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
    return METHODS.find(name)


def configured(given: str | Explainer, settings: Mapping[str, object]) -> Explainer:
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
