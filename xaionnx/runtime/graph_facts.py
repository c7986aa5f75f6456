"""Cache of facts derived from a model's graph: deriving them takes longer than a small model runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView

T = TypeVar("T")

_cache: WeakKeyDictionary[Model, dict[Hashable, Any]] = WeakKeyDictionary()  # each key has a value type of its own


def graph_fact(model: Model, key: Hashable, find: Callable[[GraphView], T]) -> T:
    """Return ``find(model.view)``, cached under ``key`` as long as the model lives."""
    facts = _cache.setdefault(model, {})
    if key not in facts:
        facts[key] = find(model.view)
    fact: T = facts[key]
    return fact


def last_fact(model: Model, name: str, key: tuple[Hashable, ...], find: Callable[[], T]) -> T:
    """Return ``find()``, cached under ``name`` until another key is asked for, so that batches of rows share it."""
    kept: dict[Hashable, T] = graph_fact(model, ("last", name), lambda _: {})
    if key not in kept:
        kept.clear()
        kept[key] = find()
    return kept[key]
