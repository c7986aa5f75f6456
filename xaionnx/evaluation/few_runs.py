"""Which methods run the model a few times: they come first where time is short, before what leaves none for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xaionnx import parameters
from xaionnx.explainer import Explainer

# Parameters that say how often a method runs the model, or what it changes for a run each.
_REPEATED: Final = frozenset({"budget", "channels", "draws", "features", "steps", "window"})


def few_runs_first(methods: Mapping[str, Explainer]) -> tuple[str, ...]:
    """Return the names of methods, those first that have no parameter which repeats runs; else in their order.

    Examples
    --------
    >>> from xaionnx.discovery import METHODS
    >>> few_runs_first({name: METHODS.find(name)() for name in ("occlusion", "integrated_gradients", "saliency")})
    ('saliency', 'occlusion', 'integrated_gradients')
    """
    return tuple(sorted(methods, key=lambda name: _repeats_runs(methods[name])))


def _repeats_runs(explainer: Explainer) -> bool:
    return not _REPEATED.isdisjoint(parameters.declared(type(explainer)))
