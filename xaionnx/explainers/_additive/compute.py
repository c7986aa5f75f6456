"""The Shapley values of a sum of terms, each of few players, in closed form.

The values of a sum are the sums of the values of its terms, and those of a term of the players S follow from the means
over background rows of the term where some of S are present. A term of one player is its value minus its mean; of a
term of two, each has half of what they do together.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Final, final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainers._additive.source import MOST_TOGETHER, AdditiveSource, additive_source, too_many
from xaionnx.explainers._trees.columns import player_sets
from xaionnx.explainers._trees.compute import names_of, players_of_rows, spread
from xaionnx.explainers._trees.raw_score import RAW
from xaionnx.explainers._trees.scores import GAMES
from xaionnx.perturb.background import own_background
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.baselines.background import Background
from xaionnx.perturb.players import Players
from xaionnx.request import Request
from xaionnx.runtime.graph_facts import last_fact
from xaionnx.short_repr import short_repr
from xaionnx.targets.resolve import ResolvedTargets
from xaionnx.typing import Array, BackgroundLike, Document

# How far the sum may be from the model's own output, in units of single precision over many terms.
_APART: Final = 1e-4
# Inputs that are evaluated at once.
_ROWS: Final = 50_000
# Terms whose features are found at once.
_TERMS: Final = 8

Coalition = frozenset[int]


@final
@dataclass(frozen=True, eq=False)
class BackgroundRows:
    """Background rows as inputs of the model.

    Attributes
    ----------
    feeds : mapping of arrays (B, ...) by input name
    weights : array (B,)
        They sum to 1.
    rows : Baseline
        As given, for the record.
    own : bool
        Whether they are the explained rows.
    digest : bytes
        Of the rows; empty for the rows of the request, whose terms are known.
    """

    feeds: Mapping[str, Array]
    weights: Array
    rows: Baseline
    own: bool
    digest: bytes = b""

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class AdditiveGame:
    """The terms, the players and the rows of a request."""

    request: Request
    resolved: ResolvedTargets
    source: AdditiveSource
    players: Players
    owners: tuple[Coalition, ...]
    terms: Array

    __repr__ = short_repr

    @classmethod
    def of(cls, request: Request, features: object) -> AdditiveGame:
        """The game of a request, whose targets are read from one tensor.

        Raises
        ------
        ParameterError
            The targets are read from several tensors, or the players differ between rows.
        UnsupportedModelError
            A term depends on too many players, or the terms do not give the model's output.
        """
        tensors = {tensor.removeprefix(RAW) for tensor in request.tensors}
        if len(tensors) > 1:
            raise ParameterError(f"Terms are those of one output at once. Got targets of {', '.join(sorted(tensors))}.")
        source = additive_source(request.model, tensors.pop(), request.feeds)
        inner = [name for name in source.tensors if name not in request.feeds]
        resolved = request.resolve(keep=[*inner, source.scores.tensor])
        players = players_of_rows(request, features)
        outputs = {**request.feeds, **resolved.outputs}
        terms = _joined(source, outputs)
        game = cls(request, resolved, source, players, (), terms)
        game.check_outputs()
        return cls(request, resolved, source, players, game.found_owners(outputs), terms)

    def found_owners(self, outputs: Mapping[str, Array]) -> tuple[Coalition, ...]:
        """The players of each term.

        Raises
        ------
        UnsupportedModelError
            They are too many, or a term depends on what is not a player.
        """
        model, used = self.request.model, np.abs(np.nan_to_num(self.source.scores.margins()[0])).max(axis=1) > 0
        owners = list[Coalition]()
        for name in self.source.tensors:
            first, size = len(owners), outputs[name][0].size
            owners += [frozenset()] * size
            # In parts, since most models that are not sums show it at once.
            wanted = np.flatnonzero(used[first : first + size])
            for part in np.array_split(wanted, max(1, len(wanted) // _TERMS)):
                found = player_sets(model, self.request.feeds, name, part, self.players)
                for element, players in zip(part.tolist(), found, strict=True):
                    self._check_term(name, element, players)
                    owners[first + element] = frozenset(players.tolist())
        return tuple(owners)

    def _check_term(self, name: str, element: int, players: Array) -> None:
        model = self.request.model
        if (players < 0).any():
            raise UnsupportedModelError(
                f"Term {element} of the sum in {model.name} ('{name}') is computed from "
                f"what is never removed, such as an input that is no data. Use {GAMES}."
            )
        if len(players) > MOST_TOGETHER:
            raise too_many(name, model, self.source.scores.tensor)

    def check_outputs(self) -> None:
        """Check that the terms give the model's own output.

        Raises
        ------
        UnsupportedModelError
            They do not.
        """
        scores = self.source.scores
        own = self.resolved.outputs[scores.tensor]
        own = own.reshape(len(own), -1).astype(np.float64)
        found = scores.outputs(self.terms)
        if scores.link == "identity":
            scale = 1e-2 * (np.abs(self.terms) @ np.abs(scores.weights)).max(initial=0)
        else:
            scale = 0.0 if scores.link == "exponential" else 0.1
        far = ~(np.abs(found - own) <= _APART * (np.abs(own) + scale + 1e-6))
        if far.any():
            n, element = np.argwhere(far)[0]
            raise UnsupportedModelError(
                f"The terms of {self.request.model.name} give {found[n, element]:.6g} for '{scores.tensor}' of sample "
                f"{n}, and onnxruntime {own[n, element]:.6g}, so the model is not a sum of these terms. Use {GAMES}."
            )

    def background(self, given: BackgroundLike) -> BackgroundRows:
        """The background rows; by default the explained rows.

        Raises
        ------
        ParameterError
            None are given, and only one row is explained.
        """
        request = self.request
        if given is None:
            own = own_background(request.feeds, request.model.shared)
            if own is None:
                raise ParameterError(
                    "A row is compared with background rows. Give some, as in background='rows.csv', or explain "
                    "several rows at once, which are then the background of each other."
                )
            count = len(self.terms)
            return BackgroundRows(request.feeds, np.full(count, 1 / count), own, own=True)
        bound = Baseline.of(given) if isinstance(given, Baseline) else Background(given).bind(request.model)
        own_rows, names = isinstance(bound, Background) and bound.own, tuple(self.players.maps)
        if own_rows:
            # The explained rows have inputs, too, that are no player.
            names = tuple(name for name in request.feeds if name not in request.model.shared)
        drawn = bound.draws(request.samples[0], names, 0)
        count = len(next(iter(drawn.values())))
        feeds = {
            name: drawn[name] if name in drawn else x if name in request.model.shared else np.repeat(x[:1], count, 0)
            for name, x in request.feeds.items()
        }
        weights = np.full(count, 1.0) if bound.weights is None else np.asarray(bound.weights, np.float64)
        digest = hashlib.sha256(pickle.dumps((feeds, bound.weights))).digest()
        return BackgroundRows(feeds, weights / weights.sum(), bound, own_rows, digest)

    def evaluated(self, feeds: Mapping[str, Array]) -> Array:
        """The terms (M, H) of other rows."""
        inner = [name for name in self.source.tensors if name not in feeds]
        outputs = self.request.model.with_outputs(inner).run(dict(feeds), inner) if inner else {}
        return _joined(self.source, {**feeds, **outputs})

    @property
    def together(self) -> tuple[Coalition, ...]:
        """The coalitions, other than none and all of a term's players, in which terms are evaluated."""
        found = {
            frozenset(part)
            for owner in self.owners
            for size in range(1, len(owner))
            for part in combinations(sorted(owner), size)
        }
        return tuple(sorted(found, key=sorted))

    def mean(self, background: BackgroundRows) -> Array:
        """The mean (H,) of the terms over background rows, evaluated once for all batches of rows."""
        if not background.digest:
            return np.asarray(background.weights @ self.terms)
        key = (*self.source.tensors, background.digest)
        find = partial(self.evaluated, background.feeds)
        terms = last_fact(self.request.model, "additive background", key, find)
        return np.asarray(background.weights @ terms)

    def means(self, background: BackgroundRows) -> Array:
        """The means (K, N, H) of the terms over background rows where only the players of a coalition are present."""
        count, rows = len(background.weights), len(self.terms)
        means = np.empty((len(self.together), rows, self.terms.shape[1]))
        some = max(1, _ROWS // count)
        for number, coalition in enumerate(self.together):
            for first in range(0, rows, some):
                part = slice(first, first + some)
                found = self.evaluated(self._hybrids(coalition, background.feeds, part))
                shaped = found.reshape(-1, count, found.shape[1])
                means[number, part] = np.einsum("nbh,b->nh", shaped, background.weights)
        self.request.evaluations.add(np.arange(rows), count * len(self.together))
        return means

    def _hybrids(self, coalition: Coalition, background: Mapping[str, Array], part: slice) -> dict[str, Array]:
        """Background rows, repeated for each explained row, with the players of a coalition from it."""
        hybrids = {}
        for name, x in self.request.feeds.items():
            if name in self.request.model.shared or name not in self.players.maps:
                hybrids[name] = x
                continue
            kept, others = x[part], background[name]
            mask = np.isin(np.broadcast_to(self.players.maps[name], x.shape[1:]), sorted(coalition))
            both = np.where(mask, kept[:, None], others[None])
            hybrids[name] = both.reshape(-1, *x.shape[1:]).astype(x.dtype, copy=False)
        rows = next(len(array) for name, array in hybrids.items() if name in self.players.maps)
        same = {*self.players.maps, *self.request.model.shared}
        return {name: x if name in same else np.repeat(x[:1], rows, axis=0) for name, x in hybrids.items()}

    def shares(self) -> Array:
        """How the change of a term where a coalition is present counts for each player, (K + 1, H, P).

        The last of the coalitions stands for all players.
        """
        known = {coalition: number for number, coalition in enumerate(self.together)}
        shares = np.zeros((len(known) + 1, len(self.owners), self.players.count))
        for h, owner in enumerate(self.owners):
            for size in range(1, len(owner) + 1):
                for members in combinations(sorted(owner), size):
                    place = known.get(frozenset(members), -1) if size < len(owner) else -1
                    with_it, without = _shapley(len(owner), size - 1), _shapley(len(owner), size)
                    for player in owner:
                        shares[place, h, player] += with_it if player in members else -without
        return shares

    def combinations(self) -> tuple[Array, Array]:
        """The weights (N, H, T) of the terms in each target, and what is added to them (N, T)."""
        margins, constant = self.source.scores.margins()
        weights = np.zeros((len(self.terms), len(margins), self.resolved.count))
        shift = np.zeros((len(self.terms), self.resolved.count))
        for t, term in enumerate(self.resolved.terms):
            known = np.nan_to_num(margins)[:, term.indices]
            weights[:, :, t] = np.einsum("hnj,nj->nh", known, term.coefficients)
            shift[:, t] = (np.nan_to_num(constant)[term.indices] * term.coefficients).sum(axis=1)
        return weights, shift

    def attribution(self, background: BackgroundRows) -> Attribution:
        """The values of all rows and targets."""
        weights, shift = self.combinations()
        mean = self.mean(background)
        changes = np.concatenate([self.means(background), self.terms[None]]) - mean
        values = np.zeros((len(self.terms), self.resolved.count, self.players.count))
        for change, share in zip(changes, self.shares(), strict=True):
            for t in range(values.shape[1]):
                values[:, t] += (change * weights[:, :, t]) @ share
        base = np.einsum("nht,h->nt", weights, mean) + shift
        by_target = np.ascontiguousarray(np.moveaxis(values, 1, 0))
        facts: Document = {
            "explained": self.source.scores.link,
            "background_is_own": background.own,
            **names_of(self.players),
        }
        return Attribution(
            values=spread(by_target, self.players, self.request.feeds),
            baseline=base.T,
            players=PlayerValues(by_target, {name: labels[None] for name, labels in self.players.maps.items()}),
            diagnostics={
                "completeness_gap": by_target.sum(axis=2) - (self.resolved.prediction - base.T),
                "players": [self.players.count] * len(self.terms),
            },
            parameters={"features": self.players.features, "background": background.rows},
            facts=facts,
        )


def _shapley(players: int, present: int) -> float:
    """The weight of a player's change to a coalition of ``present`` others; 0 if there are none besides."""
    return 1 / (players * math.comb(players - 1, present)) if present < players else 0.0


def _joined(source: AdditiveSource, outputs: Mapping[str, Array]) -> Array:
    """The terms (M, H) from the tensors that hold them.

    Raises
    ------
    UnsupportedModelError
        One is a single number, without an axis of samples.
    """
    for name in source.tensors:
        if np.ndim(outputs[name]) == 0:
            raise UnsupportedModelError(
                f"The term '{name}' is a single number for all samples, and terms need one for each. Use kernel_shap."
            )
    return np.concatenate([outputs[name].reshape(len(outputs[name]), -1) for name in source.tensors], axis=1).astype(
        np.float64
    )
