"""Players of methods that follow a path: parts of the inputs, tokens at their embedding, or units of a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np

from xaionnx.explainers._games.layer_units import LayerUnits
from xaionnx.explainers._gradients.paths import Paths
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.short_repr import short_repr
from xaionnx.text_record import player_spans
from xaionnx.typing import Array, Document, FeaturesLike

if TYPE_CHECKING:
    from xaionnx.data.sample import Sample
    from xaionnx.gradients.target_gradients import TargetGradients


@final
@dataclass(frozen=True, eq=False)
class PathPlayers:
    """The players of N samples, over the tensors at the end of a path.

    Attributes
    ----------
    players : list of N Players
    facts : dict
        What the record names them by: names, or the characters of words.
    """

    players: list[Players]
    facts: Document

    __repr__ = short_repr

    @classmethod
    def of(cls, gradients: TargetGradients, features: FeaturesLike, layer: str | Sequence[str] | None) -> PathPlayers:
        """Divide the samples: at an embedding by their tokens, at a layer that was named by default into its units."""
        path = gradients.path
        if path.layer is not None and layer is None:
            samples = [_tokens(gradients, n) for n in range(len(gradients.samples))]
            tokens = [Features.of(features).players(sample) for sample in samples]
            spans = [player_spans(*pair) for pair in zip(samples, tokens, strict=True)]
            (name,) = path.names
            ahead = zip(samples, tokens, gradients.samples, strict=True)
            return cls(
                [_along(one, sample.main, name, end.x[name].ndim) for sample, one, end in ahead],
                {} if any(one is None for one in spans) else {"spans": spans},
            )
        units = LayerUnits(path.axes.letters) if path.layer is not None and features is None else features
        players = [Features.of(units).players(sample) for sample in gradients.samples]
        return cls(players, {"feature_names": list(players[0].names)} if players[0].names else {})

    def held(self, paths: Paths) -> dict[str, Array]:
        """The starts of paths (J, B, ...), with elements of no player as they are at the end."""
        return {name: np.stack([*self._starts(paths, name)]) for name in paths.starts}

    def _starts(self, paths: Paths, name: str) -> Iterator[Array]:
        for n, (one, start) in enumerate(zip(self.players, paths.starts[name], strict=True)):
            x = paths.points.x[name][n]
            labels = one.maps.get(name)
            moves = False if labels is None else np.broadcast_to(labels, x.shape) >= 0
            yield np.where(moves, start, x)


def members(players: Players, name: str, shape: tuple[int, ...]) -> Array:
    """Return which elements of a tensor belong to each player, (P, ...)."""
    labels = players.maps.get(name)
    if labels is None:
        return np.zeros((players.count, *shape), dtype=bool)
    return np.asarray(np.broadcast_to(labels, shape) == np.arange(players.count).reshape(-1, *(1,) * len(shape)))


def _tokens(gradients: TargetGradients, number: int) -> Sample:
    """The sample of tokens ahead of an embedding."""
    path = gradients.path
    while path.before is not None:
        path = path.before
    return path.samples[number]


def _along(players: Players, tokens: str, floats: str, rank: int) -> Players:
    """Players of tokens, each with all numbers of its embedding, or of whole numbers that are cast to floats."""
    labels = np.asarray(players.maps[tokens])
    more = (1,) * (rank - labels.ndim)
    return replace(players, maps={floats: labels.reshape(*labels.shape, *more)}, followers=())
