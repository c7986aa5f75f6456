"""Concepts of a self-explaining network: the inputs with most of each, and what it adds for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray

from xaionnx.activations.reading import check_pictures
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.strongest import Strongest, sample_of, strongest
from xaionnx.activations.tiles import block
from xaionnx.activations.view import ActivationView
from xaionnx.data.dataset import Dataset
from xaionnx.explainers.senn import SelfExplanation, concept_tensors
from xaionnx.explanation import Explanation
from xaionnx.parameters import free, integer, name
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target

_SIDE: Final = 48
_BAR: Final = (60, 180)
_UP: Final = (200, 60, 50)
_DOWN: Final = (50, 90, 190)


@final
@dataclass(frozen=True, kw_only=True)
class Concepts(ActivationView):
    """The inputs of a data set that have most of each concept of a self-explaining network.

    With a ``sample`` each concept also says how much of it is there, what one unit of it is worth for the class, and
    the product, which is what the concept adds to the score; the products add up to the score. The spec of the model
    names the outputs that hold concepts and relevances.

    References
    ----------
    Alvarez-Melis and Jaakkola, Towards robust interpretability with self-explaining neural networks, NeurIPS 2018,
    arXiv:1806.07538, figure 3.
    """

    reference: ClassVar[str] = "Alvarez-Melis and Jaakkola 2018, arXiv:1806.07538, figure 3"

    count: int = integer(9, "inputs for each concept", low=1, high=100)
    sample: Any = free(None, "a picture", "picture whose explanation stands beside the concepts")  # Any: see Model.read
    label: str | None = name("class that is explained; the highest one if none is named")

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        assert data is not None  # as the view says that it reads one
        check_pictures(model, "Concepts")
        tensor, _ = concept_tensors(model)
        _, found = strongest(model, data, tensor, self.count)
        explained = self._explained(model)
        count, numbers = len(found.values), {"values": found.values, "places": found.places, "mean": found.mean}
        order = list(range(count))
        if explained is not None:
            values = np.asarray(explained.values)[0]
            order = [int(k) for k in np.argsort(-np.abs(values), kind="stable")]
            numbers |= {"contributions": values} | {key: one[0] for key, one in explained.maps.items()}
        rows = [self._row(model, data, found, k, explained) for k in order]
        said = "" if explained is None else f" of {explained.target[0]}, {explained.prediction[0]:.3g}"
        reading = f"Of {found.samples:,} inputs those with most of each concept, the most at first."
        if explained is not None:
            reading += " What a concept adds is how much of it is there, times what one unit is worth for the class."
        return self.sheet(model, f"Concepts{said}", rows, reading, numbers)

    def _explained(self, model: Model) -> Explanation | None:
        if self.sample is None:
            return None
        target = None if self.label is None else Target.read(self.label, model)
        feeds = {name: array[:1] for name, array in model.read(self.sample).arrays.items()}
        return SelfExplanation().attribute(model, feeds, target)

    def _row(self, model: Model, data: Dataset, found: Strongest, k: int, explained: Explanation | None) -> Row:
        places, main = found.of(k), model.input().name
        feeds = [sample_of(model, data, place.unit, place.offset)[main] for place in places]
        pictures = [model.input_spec.to_pictures(one)[0] for one in feeds]
        tiles = [Tile(block(pictures, _SIDE), f"{places[-1].value:.3g} to {places[0].value:.3g}")]
        if explained is None:
            return Row(f"concept {k}: {found.mean[k]:.2g} on average", tuple(tiles))
        values, maps = np.asarray(explained.values)[0], explained.maps
        there, worth = float(maps["concepts"][0, k]), float(maps["relevances"][0, k])
        bar = Tile(_bar(float(values[k]), float(np.abs(values).max())), f"{there:.2g} x {worth:+.2g}")
        return Row(f"concept {k}: {values[k]:+.2g}", (bar, *tiles))


def _bar(value: float, largest: float) -> NDArray[np.uint8]:
    """A bar from the middle, to the right and red if it is above 0, to the left and blue below.

    Examples
    --------
    >>> bar = _bar(-0.5, 1.0)
    >>> bar.shape, int((bar[30] != 255).any(axis=1).sum())
    ((60, 180, 3), 45)
    """
    height, width = _BAR
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    middle, length = width // 2, round(width / 2 * abs(value) / largest) if largest > 0 else 0
    across = slice(middle, middle + length) if value > 0 else slice(middle - length, middle)
    pixels[height // 4 : -height // 4, across] = _UP if value > 0 else _DOWN
    return pixels
