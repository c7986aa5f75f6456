"""Which methods with a body are meant to be overridden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def hook(method: Method) -> Method:
    """Mark a method with a body that subclasses may override; no other method with a body is overridden.

    Examples
    --------
    >>> hook(len) is len
    True
    """
    return method
