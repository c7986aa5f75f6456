"""What a graph tells, found once: looking takes longer than a small model runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

T = TypeVar("T")

_found: WeakKeyDictionary[Model, dict[Hashable, Any]] = WeakKeyDictionary()  # what each key's finder finds


def graph_fact(model: Model, key: Hashable, find: Callable[[GraphView], T]) -> T:
    """What ``find`` finds in the graph of a model, which does not change; kept under ``key`` as long as the model."""
    known = _found.setdefault(model, {})
    if key not in known:
        known[key] = find(model.view)
    answer: T = known[key]
    return answer
