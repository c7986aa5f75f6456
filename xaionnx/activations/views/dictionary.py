"""Dictionary: a layer at one picture in words that can be seen: groups, channels or places, each with an icon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple, final

import numpy as np

from xaionnx.activations.icons import icon, lit
from xaionnx.activations.layer_maps import LayerMaps
from xaionnx.activations.reading import check_pictures, first_sample
from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.view import ActivationView
from xaionnx.data.dataset import Dataset
from xaionnx.explainers.saliency import Saliency
from xaionnx.optimization import Search
from xaionnx.parameters import as_names, choice, integer, name, names, random_seed
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array

# The name of one class, and its number.
_CLASS: Final = re.compile(r"^([^()]+) \(\d+\)$")


class Entry(NamedTuple):
    """A part of a layer: the outer product of a map (h, w) and a direction (C,)."""

    name: str
    place: Array
    direction: Array


@final
@dataclass(frozen=True, kw_only=True)
class Dictionary(ActivationView):
    r"""The entries that a layer uses for one picture, each with an icon, where it is, and what it does for classes.

    The maps A (C, h w) of the layer are written as a sum of entries, a map u and a direction w each. ``groups`` are
    those of a non-negative factorisation, A = sum of w u^T, ``channels`` those of the largest means, ``places`` the
    positions with the longest vectors. The icon is the picture that a search finds for w. What an entry does for a
    class is the attribution of its part of the layer, by the gradient of the class::

        attribution = sum over channels c and places p of  dy / dA[c, p] * w[c] u[p]

    References
    ----------
    Olah, Satyanarayan, Johnson, Carter, Schubert, Ye and Mordvintsev, The building blocks of interpretability, Distill
    2018, doi:10.23915/distill.00010.
    """

    reads: ClassVar[Literal["nothing", "an input", "a data set"]] = "an input"
    reference: ClassVar[str] = "Olah et al. 2018, doi:10.23915/distill.00010"

    layer: str | None = name("tensor inside the model; that of class activation maps if none is named")
    by: str = choice("groups", ("groups", "channels", "places"), "what the entries are")
    count: int = integer(4, "number of entries", low=1, high=64)
    classes: str | Sequence[str] | None = names("classes that entries are attributed to; the two highest if none")
    steps: int = integer(128, "steps of the search for each icon", low=1)
    seed: int = random_seed("seed of the factorisation and of the searches")

    def show(self, model: Model, data: Dataset | None) -> ActivationSheet:
        check_pictures(model, "Dictionaries")
        feeds = first_sample(model, data)
        maps = LayerMaps.of(model, self.layer, feeds)
        entries = self._entries(maps.read(feeds)[0].astype(np.float64))
        chosen = as_names(self.classes)
        targets = [Target.read(text, model) for text in chosen] if chosen else Target.top(2)
        slope = Saliency(layer=maps.name, absolute=False).attribute(model, feeds, targets)
        slopes = maps.maps(np.asarray(slope.values)[:, 0])
        said = [_CLASS.sub(r"\1", word) for word in slope.target.reshape(len(slopes), -1)[:, 0]]
        attributions = np.array(
            [[(one.direction @ s.reshape(len(s), -1)) @ one.place.reshape(-1) for s in slopes] for one in entries]
        )
        photo = model.input_spec.to_pictures(feeds[model.input().name])[0]
        search, rows = Search(steps=self.steps, seed=self.seed), []
        for one, values in zip(entries, attributions, strict=True):
            worth = ", ".join(f"{word} {value:+.3g}" for word, value in zip(said, values, strict=True))
            found = icon(model, maps.name, one.direction, search)
            first = Tile(np.full_like(photo, 128), "no icon: silent") if found is None else Tile(found, "icon")
            rows.append(Row(f"{one.name}: {worth}", (first, Tile(lit(photo, one.place), "where"))))
        reading = (
            f"Parts of {maps.name} at this picture: the icon is what a part looks for, the photo is bright where the "
            f"part is, and the numbers are what it adds to the score of {' and of '.join(said)}, by the gradient."
        )
        numbers = {
            "attributions": attributions,
            "places": np.array([one.place for one in entries]),
            "directions": np.array([one.direction for one in entries]),
        }
        return self.sheet(model, f"{maps.name} by {self.by}", rows, reading, numbers)

    def _entries(self, maps: Array) -> list[Entry]:
        channels, height, width = maps.shape
        flat = maps.reshape(channels, -1)
        if self.by == "groups":
            return _groups(maps, self.count, self.seed)
        if self.by == "channels":
            order = np.argsort(-flat.mean(axis=1), kind="stable")[: self.count]
            return [Entry(f"channel {n}", maps[n], np.eye(channels)[n]) for n in order]
        order = np.argsort(-np.linalg.norm(flat, axis=0), kind="stable")[: self.count]
        spots = np.eye(height * width).reshape(-1, height, width)
        return [Entry(f"place {n // width}, {n % width}", spots[n], flat[:, n]) for n in order]


def _groups(maps: Array, count: int, seed: int) -> list[Entry]:
    """The groups of a non-negative factorisation of the positive part of maps, those with the largest share first."""
    from sklearn.decomposition import NMF

    channels, height, width = maps.shape
    flat = np.maximum(maps.reshape(channels, -1), 0)
    fitted = NMF(min(count, *flat.shape), init="nndsvda", random_state=seed, max_iter=1000, tol=1e-5)
    directions = fitted.fit_transform(flat)
    places = fitted.components_
    share = directions.sum(axis=0) * places.sum(axis=1)
    order = np.argsort(-share, kind="stable")
    return [Entry(f"group {n + 1}", places[k].reshape(height, width), directions[:, k]) for n, k in enumerate(order)]
