"""Models whose weights are randomised layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.random_weights import WeightedLayer, weighted_layers, with_random_weights
from xaionnx.loading import read_weight
from xaionnx.runtime.model import Model

ORDERS: Final = ("top_down", "bottom_up", "independent")

# Layers of a model, about, where each of them is randomised.
_LAYERS: Final = 50


def explanations_of(steps: int | None) -> int:
    """Return about how many models :func:`randomised_models` yields."""
    return steps or _LAYERS


def randomised_models(model: Model, order: str, steps: int | None, seed: int) -> Iterator[tuple[str, Model]]:
    """Yield models with randomised weights, each with the name of the layer added last and closed before the next one.

    Parameters
    ----------
    model : Model
    order : str
        ``top_down`` randomises one more layer in each model, from the outputs to the inputs; ``bottom_up`` from the
        inputs; ``independent`` randomises a single layer in each model.
    steps : int, optional
        The number of models, for evenly spaced layers that include the first and the last; one for each layer if None.
    seed : int

    Raises
    ------
    UnsupportedModelError
        No layer has weights.
    """
    layers = weighted_layers(model.view)
    if not layers:
        raise UnsupportedModelError(f"No layer of {model.name} has weights, so that none can be randomised.")
    ordered = layers[::-1] if order == "bottom_up" else layers
    count = len(ordered) if steps is None else min(steps, len(ordered))
    for number in np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int)):
        some = ordered[number : number + 1] if order == "independent" else ordered[: number + 1]
        with closing(randomised(model, some, seed)) as made:
            yield ordered[number].output, made


def randomised(model: Model, layers: Sequence[WeightedLayer] | None, seed: int) -> Model:
    """Return the model with the weights of some layers shuffled; of all layers if None."""
    chosen = weighted_layers(model.view) if layers is None else layers
    folder = model.file.path.parent
    return model.rewritten(lambda graph: with_random_weights(graph, chosen, lambda t: read_weight(t, folder), seed))
