"""Dependence: how the target changes with one feature, by its curves, their mean and the accumulated local effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np

from xaionnx.attribution import Attribution
from xaionnx.explainers._games.game import ByFeatures, GameExplainer, GameResult
from xaionnx.explainers._games.layer_units import layer_path
from xaionnx.parameters import integer
from xaionnx.perturb.element_types import is_row
from xaionnx.perturb.game import Game
from xaionnx.perturb.removal import Removal
from xaionnx.request import Request
from xaionnx.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Dependence(ByFeatures, GameExplainer):
    """How far the target is above the mean of its curve over a feature, and the curves themselves::

        value_i = f(x) - mean over the grid g of feature i of f(x with g in place of feature i)

        ice_i(g) = f(x with g in place of feature i)              individual conditional expectation, one a sample
        partial_dependence_i(g) = mean over samples of ice_i(g)
        ale_i(g) = sum over bins up to g of mean over samples in the bin of f(upper end) - f(lower end), less its mean

    The grid of a number is its values in the ``background`` rows if they are at most ``points``, else that many
    quantiles with both ends; of words, categories, groups of columns and parts of pictures it is the most frequent
    values there. Without a background, rows of a table that are explained together are their own; other inputs are
    compared with the baseline alone. The curves of a batch are means over its samples: give many.

    Maps: ``grid``, ``ice``, ``partial_dependence`` and ``ale``, (N, P, G) each, padded with NaN; those over the batch
    are the same for all its samples, and missing where the features differ between samples. ``grid`` is NaN for
    features that are no single numbers, whose ``ale`` is NaN too.

    Parameters
    ----------
    points : int
        The largest number G of points of a grid.

    Notes
    -----
    When to use: Columns of a table, for the shape of their effect: rising, falling, with a threshold.

    When not to use: Features that depend on each other, whose partial dependence is a mean over impossible rows; look
    at ``ale`` then, which moves each row by less than a bin. One number a feature; use ``kernel_shap``.

    References
    ----------
    Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29, 2001,
    doi:10.1214/aos/1013203451; Goldstein et al., Peeking inside the black box, JCGS 24, 2015, arXiv:1309.6392; Apley
    and Zhu, Visualizing the effects of predictor variables in black box supervised learning models, JRSS B 82, 2020,
    arXiv:1612.08468.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0]]))
    >>> rows = np.float32([[0, 0], [1, 0], [2, 4]])
    >>> result = xaionnx.explain(model, rows, Dependence(points=3))
    >>> result.maps["grid"][0, 0].tolist(), result.maps["partial_dependence"][0, 0].round(3).tolist()
    ([0.0, 1.0, 2.0], [2.667, 3.667, 4.667])
    >>> result.values.round(3)
    array([[-1., -4.],
           [ 0., -4.],
           [ 1.,  4.]], dtype=float32)
    """

    axioms: ClassVar[tuple[str, ...]] = ("linearity", "null player")
    reference: ClassVar[str] = "Friedman 2001, doi:10.1214/aos/1013203451; Apley and Zhu 2020, arXiv:1612.08468"

    points: int = integer(20, "largest number of points of a curve", low=2, high=1000)
    background_size: int = integer(10_000, "maximum number of background rows that are used", low=1)

    @property
    def compares_samples(self) -> bool:
        # The curves are means over the samples.
        return True

    def compute(self, request: Request) -> Attribution:
        method = self
        if self.replacement is None and len(request.samples) > 1 and (own := self._own_rows(request)):
            method = replace(self, background=own).bind(request.model)
        attribution = super(Dependence, method).compute(request)
        return replace(attribution, maps=_over_batch(attribution.maps))

    def _own_rows(self, request: Request) -> dict[str, Array]:
        """The rows that are explained, or those of the layer; empty if they are no rows."""
        if self.layer not in (None, request.main):
            feeds = layer_path(request, self.layer).feeds
            return {self.layer: feeds[self.layer]}
        first = request.samples[0]
        if not all(is_row(first, name) for name in first.data):
            return {}
        return {name: array for name, array in request.feeds.items() if name in first.own}

    def planned_evaluations(self, players: int) -> int:
        return players * self.points

    def estimate(self, game: Game) -> GameResult:
        removal, players = game.removal, game.players
        curves = [_Curve.of(removal, player, self.points) for player in range(players)]
        counts = [curve.count for curve in curves]
        ends = np.cumsum(counts)

        def feed(start: int, stop: int) -> dict[str, Array]:
            inputs = {name: np.repeat(x[None], stop - start, axis=0) for name, x in removal.sample.own.items()}
            for player in range(int(np.searchsorted(ends, start, side="right")), players):
                first = int(ends[player]) - counts[player]
                low, high = max(start, first), min(stop, int(ends[player]))
                if low >= high:
                    break
                for name, places in curves[player].places.items():
                    flat = inputs[name].reshape(stop - start, -1)
                    flat[low - start : high - start, places] = curves[player].values[name][low - first : high - first]
                    inputs[name] = flat.reshape(inputs[name].shape)
            return inputs

        outputs = np.split(game.apart(int(ends[-1]), feed), ends[:-1])
        ice = np.full((game.targets, players, self.points), np.nan)
        grid, own = np.full((players, self.points), np.nan), np.full(players, np.nan)
        for player, (curve, found) in enumerate(zip(curves, outputs, strict=True)):
            ice[:, player, : len(found)] = found.T
            grid[player, : curve.count], own[player] = curve.grid, curve.own
        values = game.full[:, None] - np.nanmean(ice, axis=2)
        shape = (game.targets, players)
        maps = {
            "grid": np.broadcast_to(grid, ice.shape),
            "ice": ice,
            "own": np.broadcast_to(own, shape),
            "points": np.broadcast_to(np.array(counts), shape),
        }
        return GameResult(values, maps=maps)


@final
@dataclass(frozen=True, eq=False)
class _Curve:
    """The points of one feature: the values of its elements by input name, and numbers where it is one."""

    places: Mapping[str, Array]
    values: Mapping[str, Array]
    grid: Array
    own: float

    @property
    def count(self) -> int:
        """The number of points."""
        return len(self.grid)

    @classmethod
    def of(cls, removal: Removal, player: int, points: int) -> _Curve:
        """The points of a player in the rows of a baseline."""
        places, rows = {}, {}
        for name, labels in removal.players.maps.items():
            own = np.flatnonzero(np.broadcast_to(labels, removal.sample.x[name].shape).reshape(-1) == player)
            if len(own):
                places[name] = own
                rows[name] = removal.baseline[name].reshape(removal.draws, -1)[:, own]
        name = next(iter(places))
        x = removal.sample.x[name].reshape(-1)
        if (
            len(places) == 1
            and rows[name].shape[1] == 1
            and x.dtype.kind in "fiu"
            and not _coded(removal, name, places)
        ):
            column = rows[name][:, 0].astype(np.float64)
            known = np.unique(column[np.isfinite(column)])
            if len(known) > points:
                known = np.unique(np.quantile(column[np.isfinite(column)], np.linspace(0, 1, points)))
            if len(known):
                whole = x.dtype.kind in "iu"
                known = np.unique(np.round(known)) if whole else known
                return cls(places, {name: known[:, None].astype(x.dtype)}, known, float(x[places[name][0]]))
        seen: dict[tuple[object, ...], list[int]] = {}
        for number in range(removal.draws):
            key = tuple(value for array in rows.values() for value in array[number].tolist())
            seen.setdefault(key, []).append(number)
        # The most frequent first; those of equal frequency in the order of the rows.
        chosen = sorted(seen.values(), key=lambda numbers: -len(numbers))[:points]
        taken = np.array([numbers[0] for numbers in chosen])
        return cls(places, {name: array[taken] for name, array in rows.items()}, np.full(len(taken), np.nan), np.nan)


def _coded(removal: Removal, name: str, places: Mapping[str, Array]) -> bool:
    """Whether a column of numbers holds codes of words."""
    spec = removal.sample.spec if name == removal.sample.main else None
    if spec is None or len(spec.columns) != removal.sample.x[name].size:
        return False
    return spec.columns[int(places[name][0])] in spec.categories


def _over_batch(maps: Mapping[str, Array]) -> dict[str, Array]:
    """The maps with the means over the batch, where all samples have the same grids."""
    grid, ice, own, points = (maps[key] for key in ("grid", "ice", "own", "points"))
    kept = {"grid": grid, "ice": ice}
    alike = (points == points[:, :1]).all() and np.array_equal(
        grid, np.broadcast_to(grid[:, :1], grid.shape), equal_nan=True
    )
    if not alike:
        return kept
    mean = np.broadcast_to(ice.mean(axis=1, keepdims=True), ice.shape)
    return {**kept, "partial_dependence": mean, "ale": np.broadcast_to(_ale(grid[:, 0], ice, own)[:, None], ice.shape)}


def _ale(grid: Array, ice: Array, own: Array) -> Array:
    """Accumulated local effects (T, P, G), centred at the mean over the samples."""
    targets, samples, players, _ = ice.shape
    found = np.full(grid.shape, np.nan)
    for player in range(players):
        edges = grid[0, player][np.isfinite(grid[0, player])]
        if len(edges) < 2 or not np.isfinite(own[0, :, player]).all():
            continue
        bins = np.clip(np.searchsorted(edges, own[0, :, player]), 1, len(edges) - 1)
        counts = np.bincount(bins, minlength=len(edges))[1:]
        for t in range(targets):
            steps = ice[t, np.arange(samples), player, bins] - ice[t, np.arange(samples), player, bins - 1]
            effects = np.bincount(bins, steps, minlength=len(edges))[1:] / np.maximum(counts, 1)
            curve = np.concatenate([[0], np.cumsum(effects)])
            centre = counts @ (curve[1:] + curve[:-1]) / (2 * samples)
            found[t, player, : len(edges)] = curve - centre
    return found
