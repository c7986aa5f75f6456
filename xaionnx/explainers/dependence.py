"""Dependence: how the target changes with one feature or two, by partial dependence and accumulated local effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.errors import InputMismatchError
from xaionnx.explainer import Explainer
from xaionnx.explainers._games.accumulated import of_pair
from xaionnx.explainers._games.by_features import ByFeatures
from xaionnx.explainers._games.curves import Curve, Data
from xaionnx.explainers._games.data_set import Rows, column_names
from xaionnx.explainers._games.feature_pairs import check_pairs, numbers_of, read_pairs
from xaionnx.explanation import ValueKind
from xaionnx.parameters import free, integer, random_seed
from xaionnx.perturb.background import FromBackground
from xaionnx.perturb.baseline import Baseline
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.typing import Array, PairsLike

# Curves of single samples that a record keeps, and quantiles of each column.
_KEPT: Final = 100


@final
@dataclass(frozen=True, kw_only=True)
class Dependence(ByFeatures, FromBackground, Explainer):
    """How much the mean target varies with each feature, and the curves that say how, for all samples together::

        ice_n(g) = f(x_n with g in place of feature i)              individual conditional expectation of sample n
        pd_i(g)  = mean over n of ice_n(g)                          partial dependence
        value_i  = deviation of pd_i over the grid, each point weighted by the share of rows near it
        ale_i(g) = sum over bins up to g of the mean over samples in the bin of f(upper end) - f(lower end)

    The record has N = 1: ``prediction`` is the mean of the target over the samples, ``diagnostics["samples"]`` their
    number. Values and curves are in units of the target, points of a grid in those of the column. If no target is
    given, it is the most frequent top class.

    The grid of a number is its values in the ``background`` rows if they are at most ``points``, else that many
    quantiles with both ends; of words, categories, groups of columns and parts of pictures it is the most frequent
    values there. Without a background, the samples are their own.

    Accumulated local effects follow the authors' package ALEPlot: a sample is moved only to the ends of its own bin;
    those of words go from each to the next, in an order in which words whose rows are alike in the other columns are
    neighbours; those of two numbers are what they have beyond their effects alone. Their mean over the samples is 0.

    Maps, with NaN where a feature has fewer points, and a leading axis of targets if there are several:

    - ``grid`` (1, P, G), NaN for features that are not numbers; their points are ``provenance["grid_words"]``, by the
      number of the feature; ``share`` (1, P, G), the share of rows near each point;
    - ``partial_dependence``, ``ale`` (1, P, G), and ``deviation`` (1, P, G), that of the samples' curves;
    - ``ice`` (1, P, n, G), the curves of at most 100 samples, which ``provenance["ice_samples"]`` numbers;
    - ``rug`` (1, P, 100), at most 100 quantiles of the rows of data;
    - for K ``pairs``, whose numbers are ``provenance["pairs"]``: ``pair_grid`` (1, K, 2, H), and
      ``pair_partial_dependence`` and ``pair_ale`` (1, K, H, H), the first feature of a pair along the rows.

    Parameters
    ----------
    points : int
        The largest number G of points of a grid.
    pairs : list of pairs of features, optional
        By names of columns or numbers of features; on the command line FIRST:SECOND, with commas between pairs.
    pair_points : int
        The largest number H of points of each feature of a pair.

    Notes
    -----
    When to use: Columns of a table, for the shape of their effect: rising, falling, with a threshold.

    When not to use: Features that depend on each other, whose partial dependence is a mean over impossible rows; look
    at ``ale`` then, which moves each row by less than a bin. One sample; use ``kernel_shap``.

    References
    ----------
    Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29, 2001,
    doi:10.1214/aos/1013203451; Goldstein et al., Peeking inside the black box, JCGS 24, 2015, arXiv:1309.6392;
    Greenwell, Boehmke and McCarthy, A simple and effective model-based variable importance measure, 2018,
    arXiv:1805.04755, for the deviation as a value; Apley and Zhu, Visualizing the effects of predictor variables in
    black box supervised learning models, JRSS B 82, 2020, arXiv:1612.08468.

    Raises
    ------
    InputMismatchError
        There are neither several samples nor a background.
    ParameterError
        The samples have different features.
    UnknownNameError
        There is no such feature of a pair.

    Examples
    --------
    >>> import numpy as np, xaionnx
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0]]))
    >>> rows = np.float32([[0, 0], [1, 0], [2, 4]])
    >>> result = xaionnx.explain(model, rows, Dependence(points=3))
    >>> result.maps["grid"][0, 0].tolist(), result.maps["partial_dependence"][0, 0].round(3).tolist()
    ([0.0, 1.0, 2.0], [2.667, 3.667, 4.667])
    >>> result.values.round(3), result.prediction.round(3), result.diagnostics["samples"]
    (array([[0.816, 3.771]], dtype=float32), array([3.667]), 3)
    """

    needs: ClassVar[str] = "output"
    value_kind: ClassVar[ValueKind] = "sensitivity"
    axioms: ClassVar[tuple[str, ...]] = ("null player",)
    reference: ClassVar[str] = "Friedman 2001, doi:10.1214/aos/1013203451; Apley and Zhu 2020, arXiv:1612.08468"

    points: int = integer(20, "largest number of points of a curve", low=2, high=1000)
    pairs: PairsLike = free(
        None,
        "a list of pairs of features, by name or number",
        "pairs of features that change together, by name or number: FIRST:SECOND,...",
        reader=read_pairs,
        resolver=check_pairs,
    )
    pair_points: int = integer(10, "largest number of points of each feature of a pair", low=2, high=100)
    background_size: int = integer(10_000, "maximum number of background rows that are used", low=1)
    seed: int = random_seed("seed of the choice of background rows")

    @property
    def explains_together(self) -> bool:
        return True

    def compute(self, request: Request) -> Attribution:
        rows = Rows.of(request, self.features, self.layer)
        data = self._data(rows)
        pairs = numbers_of(self.pairs, column_names(rows))
        curves = [data.curve(player, self.points) for player in range(rows.players.count)]
        coarse = [tuple(data.curve(player, self.pair_points) for player in pair) for pair in pairs]
        planned = sum(curve.count for curve in curves) + sum(one.count * other.count for one, other in coarse)
        progress.expect(planned * rows.count)
        along = [rows.along(curve) for curve in curves]
        maps = _curves(self.points, curves, along, data)
        if pairs:
            maps |= _surfaces(self.pair_points, coarse, [rows.over(*pair) for pair in coarse], data)
        shares = np.nan_to_num(maps["share"])
        means = np.nan_to_num(maps["partial_dependence"])
        centres = (shares * means).sum(axis=-1, keepdims=True)
        values = np.sqrt((shares * np.square(means - centres)).sum(axis=-1))
        # Inputs without players may have no samples, such as a rate.
        spread = rows.players.spread(values[:, 0], {name: rows.feeds[name][0] for name in rows.players.maps})
        words = {str(number): list(curve.words) for number, curve in enumerate(curves) if curve.words}
        return Attribution(
            {name: spread[name][:, None] for name in rows.players.maps},
            players=PlayerValues(values, {name: labels[None] for name, labels in rows.players.maps.items()}),
            maps=maps,
            diagnostics={"players": [rows.players.count]},
            parameters={"features": rows.players.features, "layer": self.layer},
            facts={
                **rows.facts,
                "ice_samples": _kept(rows.count).tolist(),
                **({"grid_words": words} if words else {}),
                **({"pairs": [list(pair) for pair in pairs]} if pairs else {}),
            },
            data_set=rows.explained,
        )

    def _data(self, rows: Rows) -> Data:
        """The rows of data that give the grids: the background, or else the samples.

        Raises
        ------
        InputMismatchError
            There is no background, and a single sample.
        """
        names = tuple(rows.players.maps)
        if self.background is None:
            if rows.count < 2:
                raise InputMismatchError(
                    "dependence varies each feature over its values in rows of data, but there is only one sample. "
                    "Explain several samples at once, or give rows, as in background='rows.csv'."
                )
            return Data(rows, {name: rows.feeds[name] for name in names})
        return Data(rows, Baseline.of(self.replacement).draws(rows.sample, names, self.seed))


def _kept(count: int) -> Array:
    """The numbers of the samples whose curves a record keeps."""
    return np.unique(np.linspace(0, count - 1, min(count, _KEPT)).round().astype(int))


def _curves(points: int, curves: Sequence[Curve], along: Sequence[Array], data: Data) -> dict[str, Array]:
    """The maps of single features, from the targets (T, N, G) along each curve."""
    targets, samples = along[0].shape[:2]
    shape, kept = (targets, 1, len(curves)), _kept(samples)
    maps = {
        key: np.full((*shape, points), np.nan) for key in ("grid", "share", "partial_dependence", "deviation", "ale")
    }
    maps |= {"ice": np.full((*shape, len(kept), points), np.nan), "rug": np.full((*shape, _KEPT), np.nan)}
    for player, (curve, values) in enumerate(zip(curves, along, strict=True)):
        at = np.s_[:, 0, player, : curve.count]
        maps["grid"][at], maps["share"][at] = curve.grid, curve.shares
        maps["partial_dependence"][at] = values.mean(axis=1)
        maps["deviation"][at] = values.std(axis=1)
        maps["ice"][:, 0, player, :, : curve.count] = values[:, kept]
        rug = _rug(curve.numbers)
        maps["rug"][:, 0, player, : len(rug)] = rug
        own, order = data.own(curve), data.order(player, curve)
        maps["ale"][at] = [curve.effects(own, one, order) for one in values]
    return maps


def _rug(numbers: Array) -> Array:
    """The numbers, or quantiles of them if they are many."""
    return numbers if len(numbers) <= _KEPT else np.quantile(numbers, np.linspace(0, 1, _KEPT))


def _surfaces(points: int, pairs: Sequence[tuple[Curve, ...]], over: Sequence[Array], data: Data) -> dict[str, Array]:
    """The maps of pairs of features, from the targets (T, N, G, H) over each."""
    targets = len(over[0])
    grid = np.full((targets, 1, len(pairs), 2, points), np.nan)
    mean = np.full((targets, 1, len(pairs), points, points), np.nan)
    ale = mean.copy()
    for number, ((first, second), values) in enumerate(zip(pairs, over, strict=True)):
        at = np.s_[:, 0, number, : first.count, : second.count]
        grid[:, 0, number, 0, : first.count], grid[:, 0, number, 1, : second.count] = first.grid, second.grid
        mean[at] = values.mean(axis=1)
        if first.is_number and second.is_number and min(first.count, second.count) > 1:
            own = data.own(first), data.own(second)
            known = np.isfinite(own[0]) & np.isfinite(own[1])
            if known.any():
                held = own[0][known], own[1][known]
                ale[at] = [of_pair((first.grid, second.grid), held, one[known]) for one in values]
    return {"pair_grid": grid, "pair_partial_dependence": mean, "pair_ale": ale}
