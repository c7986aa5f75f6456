"""Methods that explain all samples together: their common features and target, and runs with other values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, final

import numpy as np

from xaionnx.attribution import DataSet
from xaionnx.data.sample import Sample
from xaionnx.errors import OutputError, ParameterError
from xaionnx.explainers._games.layer_units import LayerUnits, layer_path
from xaionnx.perturb.features import Features
from xaionnx.perturb.names import row_columns
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.selection import TargetSet
from xaionnx.typing import Array, Document, Entry, FeaturesLike, Feeds

if TYPE_CHECKING:
    from xaionnx.explainers._games.curves import Curve

# What is written to inputs: by input name the elements, and their values (k,) for all samples or (N, k).
Changes = Iterable[tuple[str, Array, Array]]


def common_players(features: FeaturesLike, request: Request) -> Players:
    """Return the players, if they are the same in all samples.

    Raises
    ------
    ParameterError
        They differ.
    """
    chosen = Features.of(features)
    if request.samples[0].text is None and chosen.are_shared(request.samples[0]):
        return chosen.players(request.samples[0])
    first, *rest = (chosen.players(sample) for sample in request.samples)
    alike = all(np.array_equal(one.maps[name], first.maps[name]) for one in rest for name in first.maps)
    if request.samples[0].text is not None or not alike:
        raise ParameterError(
            "The samples have different features, which have no values in common. Give the same features to all, such "
            "as a grid or a label map."
        )
    return first


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """N samples whose features take other values, in inputs or in a layer, and one target of each kind for all.

    Attributes
    ----------
    model : Model
    feeds : dict of arrays (N, ...) by input name
    sample : Sample
        The first one, or its layer.
    players : Players
        The same in all samples.
    targets : TargetSet
        Of a single sample.
    names : list of T str
    values : array (T, N)
        The targets at the samples.
    facts : dict
        What the record says about the layer.
    """

    request: Request
    model: Model
    feeds: Feeds
    sample: Sample
    players: Players
    targets: TargetSet
    names: list[str]
    values: Array
    facts: Document

    __repr__ = short_repr

    @classmethod
    def of(cls, request: Request, features: FeaturesLike, layer: str | None) -> Self:
        """The samples of a request, with the most frequent target of each kind for all.

        Raises
        ------
        ParameterError
            The features of the samples differ.
        """
        facts, sample, feeds = dict[str, Entry](), request.samples[0], request.feeds
        if layer is None or layer == request.main:
            resolved = request.resolved
            model, players = resolved.model, common_players(features, request)
        else:
            path = layer_path(request, layer)
            resolved, model, feeds, sample = path.resolved, path.resolved.model, path.feeds, path.samples[0]
            facts = {"layer": path.facts()}
            chosen = LayerUnits(path.axes.letters) if features is None else features
            players = Features.of(chosen).players(sample)
        numbers = [_most_frequent(row.tolist()) for row in resolved.names]
        targets = TargetSet([resolved.selection.of_sample(n).terms[t] for t, n in enumerate(numbers)])
        names = [str(resolved.names[t, n]) for t, n in enumerate(numbers)]
        values = targets.select(resolved.outputs).T
        return cls(request, model, feeds, sample, players, targets, names, values, facts)

    @property
    def explained(self) -> DataSet:
        """The mean target over the samples, for the record."""
        told = [f"{name}, mean of {self.count:,} sample{'' if self.count == 1 else 's'}" for name in self.names]
        return DataSet(told, self.values.mean(axis=1))

    @property
    def count(self) -> int:
        """The number N of samples."""
        return len(self.request.samples)

    def places(self, player: int) -> dict[str, Array]:
        """The elements of a player in each flattened input that has any."""
        found = {}
        for name, labels in self.players.maps.items():
            own = np.flatnonzero(np.broadcast_to(labels, self.feeds[name].shape[1:]).reshape(-1) == player)
            if len(own):
                found[name] = own
        return found

    def along(self, curve: Curve) -> Array:
        """The targets (T, N, G) of the samples with a feature at each point of its curve."""
        return np.stack([self.changed(curve.at(point)) for point in range(curve.count)], axis=2)

    def over(self, first: Curve, second: Curve) -> Array:
        """The targets (T, N, G, H) of the samples with two features at each pair of points."""
        found = [[self.changed([*first.at(g), *second.at(h)]) for h in range(second.count)] for g in range(first.count)]
        return np.moveaxis(np.array(found), (0, 1), (2, 3))

    def changed(self, changes: Changes) -> Array:
        """Return the targets (T, N) of the samples with some elements changed.

        Raises
        ------
        OutputError
            The model returns NaN or infinity.
        """
        feeds = dict(self.feeds)
        for name, places, values in changes:
            flat = feeds[name].reshape(self.count, -1).copy()
            flat[:, places] = values
            feeds[name] = flat.reshape(feeds[name].shape)
        outputs = self.model.run(feeds, self.targets.tensors)
        found = self.targets.select(outputs)
        self.request.evaluations.add(np.arange(self.count))
        progress.advance(self.count)
        if not np.isfinite(found).all():
            raise OutputError(f"{self.model.name} returns NaN or infinity for a sample with a feature changed.")
        return np.asarray(found.T)


def column_names(rows: Rows) -> list[str]:
    """The name of each player that is a column; of the others their number alone."""
    if rows.players.names:
        return [*rows.players.names]
    if any(rows.sample.x[name].ndim > 1 for name in rows.players.maps):
        return [f"feature {number}" for number in range(rows.players.count)]
    columns = row_columns(rows.sample, tuple(rows.players.maps))
    found = []
    for number in range(rows.players.count):
        own = [columns[name][place] for name, places in rows.places(number).items() for place in places]
        found.append(" + ".join(own))
    return found


def _most_frequent(names: list[str]) -> int:
    """The number of the first sample that has the most frequent target."""
    return names.index(Counter(names).most_common(1)[0][0])
