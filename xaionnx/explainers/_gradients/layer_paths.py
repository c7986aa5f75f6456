"""Paths in the input as a layer sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx import parameters
from xaionnx.data.sample import Sample
from xaionnx.explainers._gradients.gradient import Points
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.layers.path import LayerPath
from xaionnx.perturb.baseline import Baseline
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, BaselineLike

# Numbers that a piece of a path may hold at the layer.
_PIECE = 2**24


@dataclass(frozen=True, kw_only=True)
class AlongInputPath:
    """Lets a :class:`GradientExplainer` explain a layer by a path in the input."""

    layer: str | None = parameters.name(
        "tensor to explain; the last map over the picture or series, else the tokens of the last attention, if not "
        "given"
    )

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        if self.layer is not None:
            return (self.layer,)
        return (default_layer(model, gradient_tensors(model), [tensor], sample),)

    def place(self, inputs: LayerPath) -> LayerPath:
        floats = inputs.to_floats()
        return floats.at(floats.default_layer()) if self.layer is None else inputs.to_floats(self.layer)


@final
@dataclass(frozen=True, eq=False)
class LayerPaths:
    """Straight paths in the input from B baselines to each of J points.

    Attributes
    ----------
    slopes : TargetGradients
        At the layer.
    points : Points
    starts, ends : dicts of arrays (J, B, ...) and (J, ...) by name of the tensors in which the paths run
    """

    slopes: TargetGradients
    points: Points
    starts: dict[str, Array]
    ends: dict[str, Array]

    @classmethod
    def of(cls, slopes: TargetGradients, points: Points, baseline: BaselineLike, seed: int) -> LayerPaths:
        """From a baseline, or its shorthand."""
        start = slopes.path.start
        drawn = start.baseline_values(Baseline.of(baseline), seed)
        ends = {name: start.feeds[name][points.sample] for name in start.names}
        return cls(slopes, points, {name: array[points.sample] for name, array in drawn.items()}, ends)

    @property
    def draws(self) -> int:
        """The number B of baselines."""
        return int(next(iter(self.starts.values())).shape[1])

    def held(self, point: int, draw: int, share: Array) -> dict[str, Array]:
        """The inputs of the part behind the layer at R places of a path, (R, ...) by name."""
        places = {}
        for name, end in self.ends.items():
            start, x = self.starts[name][point, draw], end[point]
            places[name] = start + share.astype(x.dtype).reshape(-1, *(1,) * x.ndim) * (x - start)
        sample = np.full(len(share), self.points.sample[point])
        return self.slopes.path.inputs_at(self.slopes.path.start, sample, places)

    def pieces(self, steps: int) -> Iterator[tuple[int, int]]:
        """The steps of a path in pieces that fit into memory: the first of each, and the one behind its last."""
        size = sum(array[0].size for array in (*self.points.x.values(), *self.ends.values()))
        at_once = max(1, _PIECE // (2 * size) - 1)
        for first in range(0, steps, at_once):
            yield first, min(first + at_once, steps)

    def value(self, point: int, held: dict[str, Array], place: int) -> Array:
        """The targets at one of the places that are held, (T,)."""
        one = {name: array[place : place + 1] for name, array in held.items()}
        return self.slopes.values(self.points.sample[point : point + 1], lambda rows: one)[:, 0]

    def slopes_at(self, point: int, held: dict[str, Array], place: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Targets (u,), numbers of places (m,) and gradients (u, m, ...) at the layer, at R places of what is held."""
        target = np.repeat(np.arange(self.slopes.targets)[:, None], len(place), axis=1)
        sample = np.full(len(place), self.points.sample[point])
        (layer,) = self.slopes.names
        for some, number, gradients in self.slopes.at(
            sample, target, lambda rows: {name: array[place[rows]] for name, array in held.items()}
        ):
            yield some, number, gradients[layer].astype(np.float64)
