"""The importance of features for a data set: how much a metric falls when the values of a feature are permuted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from xaionnx.attribution import Attribution, DataSet, PlayerValues
from xaionnx.errors import ParameterError
from xaionnx.explainers._games.curves import Data
from xaionnx.explainers._games.data_set import Rows
from xaionnx.explainers._games.dependent_columns import correlated_groups, subgroups
from xaionnx.explainers._games.label_columns import labels_of
from xaionnx.explainers._games.scorers import Scored, metric_name
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.short_repr import short_repr
from xaionnx.student import student
from xaionnx.typing import Array, FeaturesLike, LabelsLike, MetricLike


@final
@dataclass(frozen=True, eq=False)
class Importance:
    """The metric on the data, and by how much each player and repeat lowers it.

    Attributes
    ----------
    metric : float
    drops : array (P, R)
    """

    metric: float
    drops: Array

    __repr__ = short_repr


def permutation_importance(
    request: Request, players: Players, scored: Scored, repeats: int, seed: int, strata: Sequence[Array] | None = None
) -> Importance:
    """The drop of a metric when the values of a player are permuted over the samples, ``repeats`` times each.

    The permutations are those of scikit-learn's ``permutation_importance`` with ``random_state=seed``. With ``strata``,
    the numbers (N,) of the groups of samples for each player, values are permuted within each group.
    """
    count, model = len(request.samples), request.model
    whole = scored(np.asarray(request.resolved.outputs[scored.tensor]))
    # As scikit-learn does: one seed for all columns, drawn from the given one.
    column_seed = np.random.RandomState(seed % 2**32).randint(np.iinfo(np.int32).max + 1)
    progress.expect(players.count * repeats * count)
    drops = np.empty((players.count, repeats))
    for player in range(players.count):
        groups = np.zeros(count, dtype=int) if strata is None else strata[player]
        orders = _permutations(groups, repeats, np.random.RandomState(column_seed))
        for repeat, taken in enumerate(orders):
            outputs = model.run(_permuted(request, players, player, taken), [scored.tensor])[scored.tensor]
            drops[player, repeat] = whole - scored(np.asarray(outputs))
            request.evaluations.add(np.arange(count))
            progress.advance(count)
    return Importance(whole, drops)


def _permutations(groups: Array, repeats: int, shuffler: np.random.RandomState) -> Iterator[Array]:
    """The samples from which values are taken, each a permutation of the one before, within the groups."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    orders = [np.arange(len(own)) for own in members]
    taken = np.arange(len(groups))
    for _ in range(repeats):
        moved = np.arange(len(groups))
        for own, order in zip(members, orders, strict=True):
            # scikit-learn shuffles one array on and on.
            shuffler.shuffle(order)
            moved[own] = own[order]
        taken = taken[moved]
        yield taken


def _permuted(request: Request, players: Players, player: int, taken: Array) -> dict[str, Array]:
    """The inputs with the elements of a player taken from other samples."""
    feeds = dict(request.feeds)
    for name, labels in players.maps.items():
        own = np.broadcast_to(labels == player, feeds[name].shape[1:])
        if own.any():
            feeds[name] = np.where(own, feeds[name][taken], feeds[name])
    return feeds


@final
@dataclass(frozen=True, eq=False)
class DataSetImportance:
    """The permutation importance of features for a metric, of all samples of a request together.

    Attributes
    ----------
    metric, labels, features, draws, seed, correlated, conditional
        Those of :class:`xaionnx.explainers.feature_permutation.FeaturePermutation`.
    """

    metric: MetricLike
    labels: LabelsLike
    features: FeaturesLike
    draws: int
    seed: int
    correlated: float | None
    conditional: bool

    __repr__ = short_repr

    def attribution(self, request: Request) -> Attribution:
        """Return the importance of the features for all samples together."""
        if request.several:
            raise ParameterError(
                "A metric of FeaturePermutation is that of all outputs together. Give no list of targets."
            )
        rows = Rows.of(request, self.features, None)
        data = Data(rows, request.feeds)
        players = rows.players
        if self.correlated is not None:
            columns = [data.column(player) for player in range(players.count)]
            group = correlated_groups(columns, self.correlated).astype(np.int32)
            players = Players.of({name: group[labels] for name, labels in players.maps.items()}, players.features)
        scored = Scored(request, self.metric, labels_of(self.labels, request))
        strata = self._strata(request, rows, players) if self.conditional else None
        found = permutation_importance(request, players, scored, self.draws, self.seed, strata)
        values, deviation = found.drops.mean(axis=1)[None, None], found.drops.std(axis=1)[None, None]
        spread = players.spread(values[:, 0], request.samples[0].x)
        error = None if self.draws < 2 else student(self.draws - 1) * deviation / np.sqrt(self.draws - 1)
        name = metric_name(self.metric)
        return Attribution(
            {name: spread[name][:, None] for name in players.maps},
            players=PlayerValues(values, {name: labels[None] for name, labels in players.maps.items()}, error),
            maps={"deviation": deviation, "importances": found.drops[None, None]},
            diagnostics={
                "players": [players.count],
                "metric": found.metric,
                **({} if strata is None else {"subgroups": [[len(np.unique(groups)) for groups in strata]]}),
            },
            parameters={"features": players.features, "metric": name},
            data_set=DataSet([f"{name} over {rows.count:,} samples"], np.array([found.metric]), "metric"),
        )

    def _strata(self, request: Request, rows: Rows, players: Players) -> list[Array]:
        """For each player the subgroups of samples in which it hardly depends on the other columns."""
        elements = replace(rows, players=Features.of("elements").players(request.samples[0]))
        data = Data(elements, request.feeds)
        columns = [data.column(element) for element in range(elements.players.count)]
        found = []
        for player in range(players.count):
            own = np.concatenate(
                [
                    np.broadcast_to(elements.players.maps[name], labels.shape)[labels == player]
                    for name, labels in players.maps.items()
                ]
            )
            found.append(subgroups(columns, own.tolist(), self.seed))
        return found
