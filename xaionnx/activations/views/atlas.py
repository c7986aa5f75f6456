"""Atlas: the activations of a layer over a data set as a map, where what is alike lies close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.activations.icons import icon, reduced
from xaionnx.activations.layer_maps import LayerMaps
from xaionnx.activations.reading import check_pictures
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.strongest import maps_of, sample_of
from xaionnx.activations.view import ActivationView
from xaionnx.data.dataset import Dataset
from xaionnx.errors import DataError
from xaionnx.optimization import Search
from xaionnx.parameters import choice, integer, name, random_seed
from xaionnx.runtime.model import Model
from xaionnx.targets.scores import default_output
from xaionnx.typing import Array

# With fewer vectors a map of neighbours says nothing.
_LEAST: Final = 20
_WIDTH: Final = 1150
# A place is shown with its neighbours: this many places wide.
_PLACES: Final = 3


@final
@dataclass(frozen=True, kw_only=True)
class Atlas(ActivationView):
    """The activation atlas of a layer: what it tells apart, and what the model makes of each part.

    From each input the vectors (C,) of some random places are taken. t-SNE lays them out in the plane, which is divided
    in cells, and each cell with enough vectors shows their mean: a searched picture for its direction, or the place of
    the data set whose vector is nearest to it. Its caption is the class that the model gives a layer which is this mean
    everywhere.

    The paper lays out by UMAP and labels cells by the gradient of the classes. Here the model itself runs from the
    layer on, so that nothing is taken as linear.

    References
    ----------
    Carter, Armstrong, Schubert, Johnson and Olah, Activation atlas, Distill 2019, doi:10.23915/distill.00015.
    """

    reference: ClassVar[str] = "Carter et al. 2019, doi:10.23915/distill.00015"

    layer: str | None = name("tensor inside the model; that of class activation maps if none is named")
    cells: int = integer(8, "cells along each side of the map", low=2, high=40)
    places: int = integer(1, "places that are taken from each input", low=1, high=1024)
    least: int = integer(1, "fewest vectors of a cell that is shown", low=1)
    icons: str = choice("search", ("search", "data"), "what shows a cell: a searched picture, or a place of the data")
    steps: int = integer(64, "steps of the search of each cell", low=1)
    seed: int = random_seed("seed of the places, the layout and the searches")

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        assert data is not None  # as the view says that it reads one
        check_pictures(model, "Atlases")
        vectors, places = [], []
        for layer, found, samples in maps_of(model, data, self.layer):
            maps = layer
            new, where = self._drawn(found, samples)
            vectors.append(new)
            places.append(where)
        x, where = np.concatenate(vectors), np.concatenate(places)
        at = self._cells(x)
        members = {
            (row, column): np.flatnonzero((at == (row, column)).all(axis=1)) for row, column in np.unique(at, axis=0)
        }
        shown = {cell: numbers for cell, numbers in members.items() if len(numbers) >= self.least}
        if not shown:
            raise DataError(f"No cell holds {self.least} of the {len(x)} vectors. Take a lower 'least' or fewer cells.")
        means = np.array([x[numbers].mean(axis=0) for numbers in shown.values()])
        words = _said(model, maps, means)
        pictures = [
            self._picture(model, data, maps, mean, where[numbers], x[numbers])
            for mean, numbers in zip(means, shown.values(), strict=True)
        ]
        tiles = {cell: Tile(*drawn) for cell, drawn in zip(shown, zip(pictures, words, strict=True), strict=True)}
        numbers = {"cells": np.array(list(shown)), "means": means, "counts": np.array([len(n) for n in shown.values()])}
        reading = (
            f"{len(x):,} vectors of {maps.name}, laid out so that those that are alike lie close, in {len(shown)} "
            "cells: the picture is the mean of a cell, and the words are the model's prediction for a layer that is "
            "this mean everywhere."
        )
        return self.sheet(model, f"Atlas of {maps.name}", self._rows(tiles), reading, numbers)

    def _drawn(self, maps: Array, samples: Array) -> tuple[Array, Array]:
        """Vectors (M, C) at random places of maps (N, C, h, w), and unit, sample, row and column of each."""
        height, width = maps.shape[2:]
        count = min(self.places, height * width)
        vectors, where = [], []
        for values, (unit, offset) in zip(maps, samples, strict=True):
            # Of the sample alone, so that the size of batches changes nothing.
            rng = np.random.default_rng([self.seed, int(unit), int(offset)])
            for place in rng.choice(height * width, count, replace=False):
                row, column = divmod(int(place), width)
                vectors.append(values[:, row, column])
                where.append((unit, offset, row, column))
        return np.array(vectors, dtype=np.float64), np.array(where)

    def _cells(self, x: Array) -> Array:
        """The row and column of the cell of each vector (M, C)."""
        from sklearn.manifold import TSNE

        if len(x) < _LEAST:
            raise DataError(
                f"An atlas needs at least {_LEAST} vectors. Got {len(x)}: give more inputs, or more places."
            )
        layout = TSNE(2, init="pca", perplexity=min(30, len(x) / 4), random_state=self.seed).fit_transform(x)
        low, high = layout.min(axis=0), layout.max(axis=0)
        share = (layout - low) / np.where(high > low, high - low, 1)
        across, down = np.minimum((share * self.cells).astype(np.int64), self.cells - 1).T
        return np.stack([down, across], axis=1)

    def _picture(
        self, model: Model, data: Dataset, maps: LayerMaps, mean: Array, where: Array, vectors: Array
    ) -> NDArray[np.uint8]:
        side = _WIDTH // self.cells
        if self.icons == "search":
            found = icon(model, maps.name, mean, Search(steps=self.steps, seed=self.seed))
            # Middle gray where nothing leads to the direction.
            return np.full((side, side, 3), 128, dtype=np.uint8) if found is None else reduced(found, side)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(mean)
        alike = np.divide(vectors @ mean, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
        unit, offset, row, column = where[int(alike.argmax())].tolist()
        feeds = sample_of(model, data, unit, offset)
        picture = model.input_spec.to_pictures(feeds[model.input().name])[0]
        return reduced(_around(picture, (row, column), maps.shape[1:]), side)

    def _rows(self, tiles: Mapping[tuple[int, int], Tile]) -> list[Row]:
        """Rows of the map, with white where a cell has too few vectors."""
        side = _WIDTH // self.cells
        white = Tile(np.full((side, side, 3), 255, dtype=np.uint8))
        return [
            Row("", tuple(tiles.get((row, column), white) for column in range(self.cells))) for row in range(self.cells)
        ]


def _said(model: Model, maps: LayerMaps, means: Array) -> list[str]:
    """The class that the model gives a layer that is a mean (C,) everywhere; nothing if it is no classifier."""
    output = default_output(model)
    rest = maps.layer.downstream([output])
    # Elements beside the maps, such as class tokens, have no mean.
    whole = maps.places.size == int(np.prod(maps.layer.x.shape[1:]))
    if len(rest.inputs) > 1 or not whole:
        return [""] * len(means)
    values = np.zeros((len(means), maps.places.size), dtype=maps.layer.x.dtype)
    values[:, maps.places.reshape(maps.shape[0], -1)] = means[..., None]
    scores = rest.run({maps.name: values.reshape(len(means), *maps.layer.x.shape[1:])}, [output])[output]
    spec = model.input_spec
    if scores.ndim != 2 or scores.shape[1] < 2:
        return [""] * len(means)
    best = [int(row.argmax()) for row in scores]
    return [spec.label(k) if len(spec.labels) == scores.shape[1] else str(k) for k in best]


def _around(picture: NDArray[np.uint8], place: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The square of a picture around a place of a map of a size (h, w)."""
    spans = []
    for at, small, large in zip(place, size, picture.shape[:2], strict=True):
        wide = min(round(_PLACES * large / small), large)
        start = min(max(round((at + 0.5) * large / small - wide / 2), 0), large - wide)
        spans.append(slice(start, start + wide))
    return picture[spans[0], spans[1]]
