"""The results of games, and the attribution of a batch that they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from xaionnx.attribution import Attribution, PlayerValues
from xaionnx.data.repeats import concatenate
from xaionnx.perturb.game import BySample, Game
from xaionnx.perturb.players import Players
from xaionnx.short_repr import short_repr
from xaionnx.text_record import player_spans
from xaionnx.typing import Array, Document, Entry


@dataclass(frozen=True, eq=False)
class GameResult:
    """The result of one game.

    Attributes
    ----------
    values : array (T, P)
    standard_error : array (T, P) or None
    diagnostics : dict
        Numbers of this sample.
    maps : dict of arrays (T, ...)
        Further maps of this sample.
    names : sequence of R tuples of P str
        Names of the players of each sample, if the method gives them other ones.
    facts : dict
        Facts of the method for the record, the same for all samples.
    """

    values: Array
    standard_error: Array | None = None
    diagnostics: Document = field(default_factory=dict)
    maps: dict[str, Array] = field(default_factory=dict)
    names: Sequence[tuple[str, ...]] = ()
    facts: Document = field(default_factory=dict)

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class PlayedGames:
    """The result of the games of R samples, which were played together.

    Attributes
    ----------
    game : Game
    which : array (R,)
        The numbers of the samples.
    players : Players
        Those of each of the samples, with null players.
    null_players : list of R int
        How many players of each sample were left out of its game.
    result : GameResult
    """

    game: Game
    which: Array
    players: Players
    null_players: list[int]
    result: GameResult

    __repr__ = short_repr

    def by_target(self, array: Array) -> Array:
        """Return an array (R T, ...) as (T, R, ...)."""
        return np.asarray(array).reshape(self.game.samples, -1, *array.shape[1:]).swapaxes(0, 1)

    def spread(self) -> dict[str, Array]:
        """Return the values at the elements of each input, (T, R, ...)."""
        values = self.by_target(self.result.values)
        flat = self.players.spread(values.reshape(-1, values.shape[2]), self.game.removal.sample.x)
        return {name: array.reshape(*values.shape[:2], *array.shape[1:]) for name, array in flat.items()}

    def diagnostic(self, key: str) -> list[Entry]:
        """Return a diagnostic of each sample."""
        entry = self.result.diagnostics.get(key)
        return list(entry) if isinstance(entry, BySample) else [entry] * self.game.samples


def joined_attribution(parts: Sequence[PlayedGames]) -> Attribution:
    """The results of the games of N samples as one attribution."""
    spread, first = [part.spread() for part in parts], parts[0]
    maps, followers = first.players.maps, first.players.followers
    names = [name for name in first.game.removal.sample.x if name in maps and name not in followers]
    empties = [part.by_target(empty) for part in parts if (empty := part.game.known_empty) is not None]
    errors = [part.by_target(e) for part in parts if (e := part.result.standard_error) is not None]
    repeats = sum(part.game.repeats for part in parts)
    null_players = [count for part in parts for count in part.null_players]
    return Attribution(
        values={name: concatenate([each[name] for each in spread], axis=1) for name in names},
        baseline=np.concatenate(empties, axis=1) if len(empties) == len(parts) else None,
        players=PlayerValues(
            pad_players([part.by_target(part.result.values) for part in parts]),
            {
                name: _stack_label_maps([(part.players.maps[name], part.game.samples) for part in parts])
                for name in names
            },
            pad_players(errors) if len(errors) == len(parts) else None,
        ),
        maps={key: pad_maps([part.by_target(part.result.maps[key]) for part in parts]) for key in first.result.maps},
        diagnostics={
            "players": [count for part in parts for count in [part.players.count] * part.game.samples],
            **({"null_players": null_players} if any(null_players) else {}),
            **({"equal_inputs": repeats} if repeats else {}),
            **{key: [e for part in parts for e in part.diagnostic(key)] for key in first.result.diagnostics},
        },
        parameters={"features": first.players.features},
        facts={**_names(parts), **_spans(parts), **first.result.facts},
    )


def with_null_players(result: GameResult, null: Array) -> GameResult:
    """The result of R samples for all their players, from that of their players that are not ``null``, (R, P)."""
    targets = len(result.values) // len(null)
    # Of a sample without other players, one null player was played.
    own = np.repeat(~null, targets, axis=0)
    some = own.any(axis=1)

    def widened(array: Array) -> Array:
        every = np.zeros((len(array), *[null.shape[1]] * (array.ndim - 1)))
        where = own if array.ndim == 2 else own[:, :, None] & own[:, None, :]
        every[where] = array[some].reshape(-1)
        return every

    return replace(
        result,
        values=widened(result.values),
        standard_error=None if result.standard_error is None else widened(result.standard_error),
        maps={key: widened(array) for key, array in result.maps.items()},
    )


def in_sample_order(found: Attribution, which: Array) -> Attribution:
    """The attribution of samples with the same players, which are numbered ``which``, in the order of the numbers."""
    if (np.diff(which) > 0).all() or found.players is None:
        return found
    order, players = np.argsort(which), found.players
    return replace(
        found,
        values={name: array[:, order] for name, array in found.values.items()},
        baseline=None if found.baseline is None else found.baseline[:, order],
        players=PlayerValues(
            players.values[:, order],
            {name: labels if len(labels) == 1 else labels[order] for name, labels in players.labels.items()},
            None if players.standard_error is None else players.standard_error[:, order],
        ),
        maps={key: array[:, order] for key, array in found.maps.items()},
        diagnostics={
            key: [entries[n] for n in order] if isinstance(entries, list) else entries
            for key, entries in found.diagnostics.items()
        },
    )


def _names(parts: Sequence[PlayedGames]) -> Document:
    """The names of the players of N samples for the record: one list, or one a sample if these differ."""
    each: list[list[str]] = []
    for part in parts:
        own = part.result.names or [part.players.names]
        if any(len(names) != part.players.count for names in own):
            return {}
        each += [list(names) for names in own] if part.result.names else [list(own[0])] * part.game.samples
    longest = max(each, key=len)
    if not longest:
        return {}
    return {"feature_names": longest if all(names == longest[: len(names)] for names in each) else each}


def _spans(parts: Sequence[PlayedGames]) -> Document:
    """The characters of the players of texts, for each sample; empty if the samples are not texts."""
    found = [player_spans(part.game.removal.sample, part.players) for part in parts]
    return {} if any(spans is None for spans in found) else {"spans": found}


def pad_players(values: Sequence[Array]) -> Array:
    """Arrays (T, n, P_n) joined to (T, N, P), with NaN where samples have fewer players."""
    widest = max(v.shape[2] for v in values)
    if all(v.shape[2] == widest for v in values):
        return concatenate([v.astype(np.float64, copy=False) for v in values], axis=1)
    padded = np.full((values[0].shape[0], sum(v.shape[1] for v in values), widest), np.nan)
    start = 0
    for v in values:
        padded[:, start : start + v.shape[1], : v.shape[2]] = v
        start += v.shape[1]
    return padded


def pad_maps(maps: Sequence[Array]) -> Array:
    """Arrays (T, n, ...) joined to (T, N, ...), with NaN where samples have fewer players."""
    shape = np.max([m.shape for m in maps], axis=0)
    padded = [
        np.pad(
            m,
            [(0, n - k if axis > 1 else 0) for axis, (n, k) in enumerate(zip(shape, m.shape, strict=True))],
            constant_values=np.nan,
        )
        if m.shape[2:] != (*shape[2:],)
        else m
        for m in maps
    ]
    return np.concatenate(padded, axis=1)


def _stack_label_maps(maps: Sequence[tuple[Array, int]]) -> Array:
    """Label maps of N samples, (N, ...), or (1, ...) if all are equal, from each with the number of its samples."""
    first = maps[0][0]
    alike = all(m.shape == first.shape and np.array_equal(m, first) for m, _ in maps[1:])
    return first[None] if alike else np.concatenate([np.repeat(m[None], count, axis=0) for m, count in maps])
