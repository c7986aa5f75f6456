"""Maps of several layers: fused to one, or one for each target at the layer on which it depends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.errors import UnsupportedModelError
from xaionnx.layers.path import LayerPath
from xaionnx.layers.spatial_map import SpatialMap, enlargement
from xaionnx.layers.target_elements import TargetElements
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Entry

FUSIONS: Final = ("mean", "maximum")


# Layers that are tried for a target whose gradient at the last ones is zero.
_ATTEMPTS: Final = 8


@final
@dataclass(frozen=True, eq=False)
class LayerMap:
    """The maps of some targets at one layer.

    Attributes
    ----------
    attribution : Attribution
        Without values; ``maps["cam"]``, (T, N, h, w), are the maps.
    field : SpatialMap
    path : LayerPath
    used : array of bool (T, N)
        The targets and samples for which this layer is used, of all that are explained.
    """

    attribution: Attribution
    field: SpatialMap
    path: LayerPath
    used: Array

    __repr__ = short_repr

    @property
    def cam(self) -> Array:
        return self.attribution.maps["cam"]

    def enlarged(self, size: tuple[int, int], how: str) -> Array:
        """The maps at another number of positions."""
        if self.field.grid == size:
            return self.cam
        rows, columns = (enlargement(small, large, how) for small, large in zip(self.field.grid, size, strict=True))
        large: Array = rows @ self.cam @ columns.T
        return large.astype(self.cam.dtype)


def layers_by_target(
    read: Sequence[Sequence[TargetElements]],
    choose: Callable[[TargetElements, frozenset[str]], str],
    influence: Callable[[str, Array], Array | None],
) -> dict[str, Array]:
    """Return the layer of each target and sample, as the targets and samples (T, N) that each layer is for.

    Parameters
    ----------
    read : list of T lists of N TargetElements
    choose : callable
        Returns the layer for some elements, given layers without influence on them.
    influence : callable
        Returns whether the targets change with a layer, (T, N), as far as they are chosen; None if the graph tells it.
    """
    shape = len(read), len(read[0])
    chosen = np.empty(shape, dtype=object)
    # Equal elements are the same object: thousands of rows read few different ones.
    known = {id(one): one for of_target in read for one in of_target}
    layers = {key: choose(one, frozenset()) for key, one in known.items()}
    for pair in np.ndindex(shape):
        chosen[pair] = layers[id(read[pair[0]][pair[1]])]
    first, without = chosen.copy(), dict[tuple[int, ...], frozenset[str]]()
    waiting = np.ones(shape, dtype=bool)
    for _ in range(_ATTEMPTS):
        for layer in dict.fromkeys(str(name) for name in chosen[waiting]):
            where = waiting & (chosen == layer)
            acts = influence(layer, where)
            waiting &= ~where if acts is None else ~(where & acts)
        for pair in zip(*np.nonzero(waiting), strict=True):
            without[pair] = without.get(pair, frozenset()) | {str(chosen[pair])}
            try:
                chosen[pair] = choose(read[pair[0]][pair[1]], without[pair])
            except UnsupportedModelError:  # no further layer
                waiting[pair] = False
                chosen[pair] = first[pair]
    chosen[waiting] = first[waiting]
    return {layer: np.asarray(chosen == layer) for layer in dict.fromkeys(map(str, chosen.ravel()))}


def fused(maps: Sequence[LayerMap], how: str, upsampling: str) -> Attribution:
    """Return one map of several layers: each is divided by its largest size, and they are combined at the finest."""
    finest = _finest(maps)
    scaled = []
    for one in maps:
        large = one.enlarged(finest.field.grid, upsampling)
        largest = np.abs(one.cam).max(axis=(-2, -1), keepdims=True)
        scaled.append(np.divide(large, largest, out=np.zeros_like(large), where=largest > 0))
    cam = np.mean(scaled, axis=0) if how == "mean" else np.max(scaled, axis=0)
    values = finest.field.spread(cam, upsampling)
    return _joined(maps, values, cam, lambda arrays: arrays[0], {})


def by_target(maps: Sequence[LayerMap], upsampling: str) -> Attribution:
    """Return the map of each target and sample at its own layer; smaller maps are enlarged to the finest."""
    size = _finest(maps).field.grid

    def chosen(arrays: Sequence[Array]) -> Array:
        result = np.zeros((*maps[0].used.shape, *arrays[0].shape[2:]), dtype=arrays[0].dtype)
        for one, array in zip(maps, arrays, strict=True):
            targets = np.flatnonzero(one.used.any(axis=1))
            for row, target in enumerate(targets):
                result[target, one.used[target]] = array[row, one.used[target]]
        return result

    values = chosen([one.field.spread(one.cam, upsampling) for one in maps])
    cam = chosen([one.enlarged(size, upsampling) for one in maps])
    names = [one.path.names[0] for one in maps]
    number = np.argmax([one.used for one in maps], axis=0)
    of_target = [[names[layer] for layer in row] for row in number]
    return _joined(maps, values, cam, chosen, {"of_target": of_target})


def _finest(maps: Sequence[LayerMap]) -> LayerMap:
    return max(maps, key=lambda one: one.field.grid[0] * one.field.grid[1])


def _joined(
    maps: Sequence[LayerMap],
    values: Array,
    cam: Array,
    joined: Callable[[Sequence[Array]], Array],
    more: dict[str, Entry],
) -> Attribution:
    """One attribution with the records of all layers."""
    first, main = maps[0].attribution, maps[0].field.sample.main
    found = [one.path.facts() or {"name": one.path.names[0]} for one in maps]
    names = [one.path.names[0] for one in maps]
    finest = found[names.index(_finest(maps).path.names[0])]
    labels = sorted({label for one in maps for label in one.attribution.facts.get("approximations", ())})
    facts = {**first.facts, **({"approximations": labels} if "approximations" in first.facts else {})}
    facts["seen_at"] = {**finest, "name": ", ".join(names), "layers": found, **more}
    diagnostics = {
        key: joined([one.attribution.diagnostics[key] for one in maps]) if isinstance(value, np.ndarray) else value
        for key, value in first.diagnostics.items()
    }
    return dataclasses.replace(
        first,
        values={main: np.ascontiguousarray(values)},
        maps={"cam": cam},
        diagnostics=diagnostics,
        parameters={**first.parameters, "layer": names},
        facts=facts,
    )
