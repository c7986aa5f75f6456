"""The game of a request on the trees of its model."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import numpy as np
from xaionnx_kernels.forests import Paths
from xaionnx_kernels.trees import ShapTables

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.errors import OutputError, ParameterError, UnsupportedModelError
from xaionnx.explainers._games.interaction_indices import matrix_facts
from xaionnx.explainers._trees.columns import NOBODY, players_of_features
from xaionnx.explainers._trees.forest import JoinedForest, RowGroups, absent, combine, mean_by_share, shap_values
from xaionnx.explainers._trees.raw_score import RAW
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.explainers._trees.source import TreeSource, tree_source
from xaionnx.perturb.background import own_background
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.background import Background
from xaionnx.perturb.features import Features
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime.graph_facts import graph_fact, last_fact
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, BackgroundLike, Document, Feeds

# How far the sums may be from the model's own output: single precision over a thousand trees.
_APART: Final = 1e-4
# Rows with values of both a sample and a background row for which the sums are compared with the output.
_MIXED: Final = 64


# Rows for which tables of leaves with many players should pay; results do not depend on the size of a batch.
_ROWS: Final = 2000


@final
@dataclass(frozen=True, eq=False)
class BackgroundTable:
    """Background rows as the trees read them.

    Attributes
    ----------
    table : array (B, F)
    weights : array (B,) or None
    rows : Background
        As given, for the record.
    digest : bytes
        Of the rows and weights; empty for the rows of the request.
    """

    table: Array
    weights: Array | None
    rows: Baseline
    digest: bytes = b""

    __repr__ = short_repr

    @property
    def own(self) -> bool:
        """Whether they are the explained rows, of this request or of several."""
        return isinstance(self.rows, Background) and self.rows.own


@final
@dataclass(frozen=True, eq=False)
class TreeGame:
    """The players, the trees and the rows of a request."""

    request: Request
    resolved: ResolvedTargets
    source: TreeSource
    joined: JoinedForest
    players: Players
    owner: Array
    table: Array
    sums: Array

    __repr__ = short_repr

    @classmethod
    def of(cls, request: Request, features: object) -> TreeGame:
        """The game of a request, whose targets are read from one tensor.

        Raises
        ------
        ParameterError
            The targets are read from several tensors, or the players differ between rows.
        UnsupportedModelError
            The trees do not compute the model's output, or a feature of theirs belongs to several players.
        """
        model = request.model
        tensors = {tensor.removeprefix(RAW) for tensor in request.tensors}
        if len(tensors) > 1:
            raise ParameterError(
                f"tree_shap explains targets of one output at once. Got targets of {', '.join(sorted(tensors))}."
            )
        source = tree_source(model, tensors.pop(), request.feeds)
        joined = graph_fact(model, ("joined trees", source.scores.tensor), lambda _: JoinedForest.of(source))
        inner = [name for name in joined.inputs if name not in request.feeds]
        resolved = request.resolve(keep=[*inner, source.scores.tensor])
        players = players_of_rows(request, features)
        table = joined.table({**request.feeds, **resolved.outputs})
        owner = [
            players_of_features(model, request.feeds, name, used, players)
            for name, used in zip(joined.inputs, joined.used, strict=True)
        ]
        game = cls(
            request, resolved, source, joined, players, np.concatenate(owner), table, joined.raw(table)
        )  # fmt: skip
        game.check_outputs("sample", game.sums, resolved.outputs[source.scores.tensor])
        return game

    def check_outputs(self, rows: str, sums: Array, outputs: Array) -> None:
        """Check that the sums of the trees for some rows give the model's own outputs.

        Raises
        ------
        OutputError
            The model returns NaN.
        UnsupportedModelError
            They do not.
        """
        own = outputs.reshape(len(outputs), -1).astype(np.float64)
        found = self.source.scores.outputs(sums)
        if found.shape != own.shape:
            raise UnsupportedModelError(
                f"The trees of {self.request.model.name} give {found.shape[1]} numbers for "
                f"'{self.source.scores.tensor}', and onnxruntime {own.shape[1]}. Use {GAMES}."
            )
        missing = np.isnan(own).any(axis=1)
        if missing.any():
            raise OutputError(
                f"{self.request.model.name} returns NaN for '{self.source.scores.tensor}' of {rows} "
                f"{int(np.argmax(missing))}. Check the row, and the numbers of the trees: where they hold NaN, export "
                "the model again."
            )
        scale = 1 + np.abs(own) + np.abs(self.joined.weight).max(initial=0)
        far = ~(np.abs(found - own) <= _APART * scale)
        if far.any():
            n, element = np.argwhere(far)[0]
            raise UnsupportedModelError(
                f"The sums of the trees of {self.request.model.name} give {found[n, element]:.6g} for '"
                f"{self.source.scores.tensor}' of {rows} {n}, and onnxruntime {own[n, element]:.6g}: the file's trees "
                f"are not computed as they are written. Use {GAMES}."
            )

    def dtype(self, tensor: str) -> np.dtype[np.generic]:
        """The type of a tensor of features."""
        known = self.request.feeds if tensor in self.request.feeds else self.resolved.outputs
        return known[tensor].dtype

    def background(self, given: BackgroundLike, request: Request) -> BackgroundTable | None:
        """The background rows as the trees read them; None if none are given."""
        if given is None:
            return None
        bound: Baseline = Baseline.of(given) if isinstance(given, Baseline) else Background(given)
        if isinstance(bound, Background) and not isinstance(given, Baseline):
            bound = bound.bind(request.model)
        first = request.samples[0]
        names = tuple(self.players.maps)
        if isinstance(bound, Background) and bound.own:
            # The explained rows have inputs, too, that are no player.
            names = tuple(name for name in request.feeds if name not in request.model.shared)
        rows = bound.draws(first, names, 0)
        count = len(next(iter(rows.values())))
        model = request.model
        feeds = {
            name: rows[name] if name in rows else x if name in model.shared else np.repeat(x[:1], count, axis=0)
            for name, x in request.feeds.items()
        }
        digest = hashlib.sha256(pickle.dumps((feeds, bound.weights))).digest()
        key = self.source.scores.tensor, digest
        table = last_fact(model, "tree background", key, lambda: self._table_of(feeds, "background row"))
        self._check_mixed_rows(feeds)
        return BackgroundTable(table, bound.weights, bound, digest)

    def _table_of(self, feeds: Feeds, rows: str) -> Array:
        """The features of other rows, for which the sums of the trees are compared with the model's outputs, too."""
        fetched = [*dict.fromkeys(n for n in (*self.joined.inputs, self.source.scores.tensor) if n not in feeds)]
        outputs = self.request.model.with_outputs(fetched).run(feeds, fetched)
        table = self.joined.table({**feeds, **outputs})
        self.check_outputs(rows, self.joined.raw(table), outputs[self.source.scores.tensor])
        return table

    def _check_mixed_rows(self, background: Feeds) -> None:
        """Check the sums of some rows with values of both samples and background rows, as coalitions have."""
        rng = np.random.default_rng(0)
        count = min(len(background[name]) for name in self.players.maps)
        sample, other = rng.integers(len(self.table), size=_MIXED), rng.integers(count, size=_MIXED)
        present = rng.random((_MIXED, self.players.count)) < 0.5
        feeds = {name: x if name in self.request.model.shared else x[other] for name, x in background.items()}
        for name, labels in self.players.maps.items():
            x = self.request.feeds[name]
            flat = np.broadcast_to(labels, x.shape[1:]).reshape(-1)
            inside = (present[:, np.maximum(flat, 0)] & (flat >= 0)).reshape(_MIXED, *x.shape[1:])
            feeds[name] = np.where(inside, x[sample], background[name][other])
        self._table_of(feeds, "mixed row")

    def own_rows(self) -> BackgroundTable:
        """The rows of the request as the background.

        Raises
        ------
        ParameterError
            There is only one.
        """
        own = own_background(self.request.feeds, self.request.model.shared)
        if own is None:
            raise ParameterError(
                "tree_shap compares a row with background rows. Give some, as in background='rows.csv', explain "
                "several rows at once, which are then the background of each other, or use "
                "perturbation='path_dependent'."
            )
        self._check_mixed_rows(self.request.feeds)
        return BackgroundTable(self.table, None, own)

    def covers(self, background: BackgroundTable | None) -> Array:
        """The share of rows that go on to each node, from the covers of the file, or from background rows.

        Raises
        ------
        ParameterError
            The file has none, and neither are there background rows.
        """
        if background is not None:
            return self.joined.going(self.joined.covers_of(background.table, background.weights))
        if self.joined.covers is None:
            raise ParameterError(
                f"The trees of {self.request.model.name} do not say how many training rows reach each node "
                "(nodes_hitrates, whose children must add up), which perturbation='path_dependent' needs. Give rows to "
                "count, as in background='rows.csv', or use perturbation='interventional'."
            )
        return self.joined.going(self.joined.covers)

    def attribution(
        self, background: BackgroundTable | None, covers: Array | None, *, interactions: bool
    ) -> Attribution:
        """The values of all rows and targets."""
        count = self.players.count
        if background is not None and not background.digest:
            trees, tables = self._tables(background, covers, interactions)
        else:
            digest = b"" if background is None else background.digest
            key = self.source.scores.tensor, digest, covers is None, interactions, self.owner.tobytes()
            make = partial(self._tables, background, covers, interactions)
            trees, tables = last_fact(self.request.model, "tree tables", key, make)
        combined, shift = self.combinations()
        groups = RowGroups.of(combined)
        values, pairs = shap_values(self.joined, tables, self.table, groups, count, interactions)
        base = np.empty((len(self.table), combined.shape[2]))
        for rows, each in zip(groups.rows, groups.combined, strict=True):
            base[rows] = self.base(trees, each, background, covers)
        return self._recorded(values[..., :count], pairs, base + shift, background, covers)

    def _tables(
        self, background: BackgroundTable | None, covers: Array | None, interactions: bool
    ) -> tuple[Paths, ShapTables]:
        """The paths of the trees, and their tables, which are the same for any number of rows."""
        trees = self.joined.paths(np.where(self.owner == NOBODY, self.players.count, self.owner))
        table, weights = (None, None) if background is None else (background.table, background.weights)
        try:
            return trees, ShapTables(trees, absent(table, weights, covers), _ROWS, interactions=interactions)
        except ValueError as error:
            raise UnsupportedModelError(
                f"tree_shap cannot give interactions of {self.request.model.name}: {error}. Group features "
                "(features=), or leave interactions out."
            ) from error

    def base(self, trees: Paths, combined: Array, background: BackgroundTable | None, covers: Array | None) -> Array:
        """The mean (T,) of combinations (C, T) of the sums where all players are absent."""
        if covers is not None:
            return mean_by_share(trees, covers, self.joined.leaf_values(combined))
        assert background is not None
        sums = self.sums
        if background.digest:
            # Once for all batches of rows.
            key = self.source.scores.tensor, background.digest
            find = partial(self.joined.raw, background.table)
            sums = last_fact(self.request.model, "tree background sums", key, find)
        mean: Array = np.average(sums, axis=0, weights=background.weights) @ combined
        return mean

    def combinations(self) -> tuple[Array, Array]:
        """The weights (N, C, T) of the sums in each target, and what is added to them (N, T)."""
        margins, constant = self.source.scores.margins()
        weights = np.zeros((len(self.table), len(margins), self.resolved.count))
        shift = np.zeros((len(self.table), self.resolved.count))
        for t, term in enumerate(self.resolved.terms):
            known = np.nan_to_num(margins)[:, term.indices]
            weights[:, :, t] = np.einsum("cnj,nj->nc", known, term.coefficients)
            shift[:, t] = (np.nan_to_num(constant)[term.indices] * term.coefficients).sum(axis=1)
        return weights, shift

    def _recorded(
        self, values: Array, pairs: Array | None, base: Array, background: BackgroundTable | None, covers: Array | None
    ) -> Attribution:
        by_target = np.ascontiguousarray(np.moveaxis(values, 1, 0))
        maps = {}
        facts: Document = {"explained": self.source.scores.link, **names_of(self.players)}
        if pairs is not None:
            count = values.shape[-1]
            facts |= matrix_facts("k_sii")
            maps["interactions"] = np.moveaxis(combine(pairs[..., :count, :count], values), 1, 0)
        gap = by_target.sum(axis=2) - (self.resolved.prediction - base.T)
        if background is not None:
            facts["background_is_own"] = background.own
        if covers is not None:
            facts["covers"] = "file" if background is None else "background"
        return Attribution(
            values=spread(by_target, self.players, self.request.feeds),
            baseline=base.T,
            players=PlayerValues(by_target, {name: labels[None] for name, labels in self.players.maps.items()}),
            maps=maps,
            diagnostics={"completeness_gap": gap, "players": [self.players.count] * len(self.table)},
            parameters={
                "features": self.players.features,
                **({} if background is None else {"background": background.rows}),
            },
            facts=facts,
        )


def players_of_rows(request: Request, features: object) -> Players:
    """Return the players of all rows, which are the same for each."""
    chosen = Features.of(features)  # type: ignore[arg-type]  # checked as a parameter
    first, last = (chosen.players(request.samples[n]) for n in (0, -1))
    alike = first.maps.keys() == last.maps.keys()
    if not alike or any(not np.array_equal(first.maps[name], last.maps[name]) for name in first.maps):
        raise ParameterError(
            f"The 'features' parameter must divide every row alike: columns or groups of columns. Got {features!r}."
        )
    return first


def names_of(players: Players) -> Document:
    """The names of players for the record: those they have, or of inputs with one element each."""
    names = list(players.names)
    if not names and len(players.maps) > 1 and all(labels.size == 1 for labels in players.maps.values()):
        by_player = {int(labels.reshape(-1)[0]): name for name, labels in players.maps.items()}
        names = [by_player[player] for player in range(players.count)] if len(by_player) == players.count else []
    return {"feature_names": names} if names else {}


def spread(values: Array, players: Players, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The value of each element's player, (T, N, ...) in float32, 0 for elements of none."""
    spread = {}
    for name, labels in players.maps.items():
        shape = feeds[name].shape[1:]
        flat = np.broadcast_to(labels, shape).reshape(-1)
        taken = values[:, :, np.maximum(flat, 0)].astype(np.float32)
        taken[:, :, flat < 0] = 0
        spread[name] = taken.reshape(*values.shape[:2], *shape)
    return spread
