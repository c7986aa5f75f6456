"""Straight paths in the input, and the values of a layer along them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from xaionnx import parameters
from xaionnx.data.sample import Sample
from xaionnx.explainers._gradients.gradient import Points
from xaionnx.gradients.target_gradients import TargetGradients
from xaionnx.layers.default_layer import default_layer
from xaionnx.layers.embeddings import gradient_tensors
from xaionnx.layers.layer import layer_name
from xaionnx.layers.path import LayerPath
from xaionnx.layers.target_elements import TargetElements
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.element_types import check_none_missing
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, BaselineLike

# Numbers of layer values in memory at once.
_PIECE = 2**24


@dataclass(frozen=True, kw_only=True)
class AlongInputPath:
    """Lets a :class:`GradientExplainer` explain a layer by a path in the input."""

    layer: str | Sequence[str] | None = parameters.names(
        "tensor to explain, or several; the last map over the picture or series, else the tokens of the last "
        "attention, if not given"
    )

    def wrt(self, model: Model, sample: Sample, tensor: str) -> tuple[str, ...]:
        if self.layer is not None:
            return tuple(layer_name(model, name, tensor) for name in parameters.as_names(self.layer))
        return (default_layer(model, gradient_tensors(model), [tensor], sample),)

    def layer_for(self, model: Model, sample: Sample, read: Sequence[TargetElements]) -> str:
        return default_layer(model, gradient_tensors(model), [one.tensor for one in read], sample, read)

    def gradient_path(self, inputs: LayerPath) -> LayerPath:
        floats = inputs.to_floats()
        return (
            floats.at(floats.default_layer())
            if self.layer is None
            else inputs.to_floats(*parameters.as_names(self.layer))
        )


@final
@dataclass(frozen=True, eq=False)
class LayerPaths:
    """Straight paths in the input from B baselines to each of J points.

    Attributes
    ----------
    gradients : TargetGradients
        The gradients at the layer.
    points : Points
    starts, ends : dicts of arrays (J, B, ...) and (J, ...) by name of the tensors in which the paths run
    """

    gradients: TargetGradients
    points: Points
    starts: dict[str, Array]
    ends: dict[str, Array]

    @classmethod
    def of(cls, gradients: TargetGradients, points: Points, baseline: BaselineLike, seed: int) -> LayerPaths:
        """The paths from a baseline, or its shorthand."""
        start = gradients.path.start
        starts = start.baseline_values(Baseline.of(baseline), seed)
        ends = {name: start.feeds[name][points.sample] for name in start.names}
        check_none_missing(ends, starts)
        return cls(gradients, points, {name: array[points.sample] for name, array in starts.items()}, ends)

    @property
    def draws(self) -> int:
        """The number B of baselines."""
        return int(next(iter(self.starts.values())).shape[1])

    def layer_inputs(self, point: int, draw: int, share: Array) -> dict[str, Array]:
        """The inputs of the part after the layer at R positions of a path, (R, ...) by name."""
        positions = {}
        for name, end in self.ends.items():
            start, x = self.starts[name][point, draw], end[point]
            positions[name] = start + share.astype(x.dtype).reshape(-1, *(1,) * x.ndim) * (x - start)
        sample = np.full(len(share), self.points.sample[point])
        return self.gradients.path.inputs_at(self.gradients.path.start, sample, positions)

    def pieces(self, steps: int) -> Iterator[tuple[int, int]]:
        """Pieces of a path that fit into memory, as the first step and the one after the last."""
        size = sum(array[0].size for array in (*self.points.x.values(), *self.ends.values()))
        at_once = max(1, _PIECE // (2 * size) - 1)
        for first in range(0, steps, at_once):
            yield first, min(first + at_once, steps)

    def value(self, point: int, layer_inputs: dict[str, Array], position: int) -> Array:
        """The targets at one position of ``layer_inputs``, (T,)."""
        row = {name: array[position : position + 1] for name, array in layer_inputs.items()}
        return self.gradients.values(self.points.sample[point : point + 1], lambda rows: row)[:, 0]

    def gradients_at(
        self, point: int, layer_inputs: dict[str, Array], position: Array
    ) -> Iterator[tuple[Array, Array, Array]]:
        """Batches of targets (u,), positions (m,) and gradients (u, m, ...) at the layer, for R positions."""
        target = np.repeat(np.arange(self.gradients.targets)[:, None], len(position), axis=1)
        sample = np.full(len(position), self.points.sample[point])
        (layer,) = self.gradients.names
        for some, number, gradients in self.gradients.at(
            sample, target, lambda rows: {name: array[position[rows]] for name, array in layer_inputs.items()}
        ):
            yield some, number, gradients[layer].astype(np.float64)
