"""The player that each feature of a tree ensemble depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.graph.dependence import DependenceWalk, Elements
from xaionnx.perturb.players import Players
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Feeds

NOBODY: Final = -1
"""In place of a player: the feature is the same for every row."""

_LEFT: Final = -2


def players_of_features(model: Model, feeds: Feeds, tensor: str, features: Array, players: Players) -> Array:
    """Return the player of each of some features of a tensor, or :data:`NOBODY`.

    Parameters
    ----------
    model : Model
    feeds : mapping
        The inputs.
    tensor : str
        The features (N, F).
    features : array of int
    players : Players

    Raises
    ------
    UnsupportedModelError
        A feature is computed from several players, or from what is not a player.
    """
    found = player_sets(model, feeds, tensor, features, players)
    return np.array([_only(each, int(feature), tensor, model) for feature, each in zip(features, found, strict=True)])


def player_sets(model: Model, feeds: Feeds, tensor: str, features: Array, players: Players) -> list[Array]:
    """Return the players that each of some features of a tensor depends on, ascending; -2 for what is not a player."""
    labels = {
        name: np.broadcast_to(players.maps[name], array.shape[1:]).reshape(-1)
        if name in players.maps
        else np.full(max(1, int(np.prod(array.shape[1:]))), _LEFT)
        for name, array in feeds.items()
    }
    if tensor in feeds:
        found = [labels[tensor][[feature]] for feature in features]
    else:
        reached = graph_fact(model, ("elements", tensor, *_shapes(feeds)), lambda _: {})
        walk = None
        found = []
        for feature in features.tolist():
            if feature not in reached:
                walk = walk or DependenceWalk(model.view, dict(_shapes(feeds)))
                reached[feature] = _elements(walk, feeds, tensor, feature)
            found.append(np.concatenate([np.zeros(0, int), *(labels[n][at] for n, at in reached[feature].items())]))
    return [np.unique(each) for each in found]


def _shapes(feeds: Feeds) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, (1, *array.shape[1:])) for name, array in feeds.items()]


def _elements(walk: DependenceWalk, feeds: Feeds, tensor: str, feature: int) -> Mapping[str, Array]:
    """The flat positions in each input that a feature is computed from."""
    found = walk.back({tensor: np.array([feature])}).elements
    return {name: _flat(found[name], feeds[name].shape[1:]) for name in feeds if name in found}


def _flat(elements: Elements, shape: tuple[int, ...]) -> Array:
    if elements is None:
        return np.arange(max(1, int(np.prod(shape))))
    mask = np.ones(shape, dtype=bool)
    for axis, entries in enumerate(elements[1:]):
        if entries is not None:
            mask &= entries.reshape([-1 if at == axis else 1 for at in range(len(shape))])
    return np.flatnonzero(mask)


def _only(found: Array, feature: int, tensor: str, model: Model) -> int:
    if not len(found):
        return NOBODY
    where = f"Feature {feature} of the trees of {model.name} ('{tensor}')"
    if (found < 0).any():
        raise UnsupportedModelError(
            f"{where} is computed from what is never removed, such as an input that is no data. Use {GAMES}."
        )
    if len(found) > 1:
        listed = ", ".join(map(str, found[:4])) + (" ..." if len(found) > 4 else "")
        raise UnsupportedModelError(
            f"{where} is computed from several features of the input at once ({listed}), as by a projection or a norm. "
            f"Make these one group (features=), or use {GAMES}."
        )
    return int(found[0])
