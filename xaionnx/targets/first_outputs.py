"""The outputs of one sample, from which targets learn what a model's outputs are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Feeds

# Outputs that are kept of one model.
_MOST: Final = 16


def first_sample(model: Model, feeds: Feeds) -> dict[str, Array]:
    """Return the first row of each input, and inputs without a batch axis whole."""
    return {name: array if name in model.shared else array[:1] for name, array in feeds.items()}


def first_outputs(model: Model, feeds: Feeds, tensors: Sequence[str]) -> Mapping[str, Array]:
    """Return tensors for the first sample, computed once per model and size of the inputs.

    They show shapes, and properties that hold for every sample, such as probabilities that sum to 1. The run does not
    count as an evaluation.
    """
    first = first_sample(model, feeds)
    shapes = tuple(sorted((name, array.shape, array.dtype.str) for name, array in first.items()))
    key = (shapes, tuple(tensors))
    known: dict[Hashable, dict[str, Array]] = graph_fact(model, "first outputs", lambda _: {})
    if key not in known:
        # Texts of many lengths must not fill the memory.
        if len(known) >= _MOST:
            del known[next(iter(known))]
        known[key] = model.with_outputs(tensors).run(first, tensors)
    return known[key]
