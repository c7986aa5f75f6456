"""Names of players, by what they cover: ``lead II, 0.50-0.75 s``, ``picture: superpixel 3``, ``age``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx.data.sample import Sample
from xaionnx.data.series import Series, series, time_positions
from xaionnx.data.time_axis import TimeAxis
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.perturb.players import Players

# More players have numbers alone: nobody reads so many names.
MOST_NAMED: Final = 1024
# How many spans, channels or elements of a player are written out.
_WRITTEN: Final = 2

Spans = tuple[tuple[int, int], ...]


def player_names(players: Players, sample: Sample) -> tuple[str, ...]:
    """Return the names of P players, for a series or where several inputs are explained; else none.

    Players of series are named by their channels and times, those of rows by their columns. Those of other inputs are
    numbered, by what the features call them. With several inputs the name of the input comes first, except for the
    columns of a row, and the parts of a player across inputs are joined.

    Examples
    --------
    >>> from xaionnx import Features
    >>> from xaionnx.graph.roles import Role
    >>> wave = Sample({"x": np.zeros(40)}, "x", roles={"x": (Role.TIME,)})
    >>> Features.of("segments:4").players(wave).names
    ('steps 0-9', 'steps 10-19', 'steps 20-29', 'steps 30-39')
    """
    several = len(players.maps) > 1
    if players.count > MOST_NAMED or not (several or any(time_positions(sample, name) for name in players.maps)):
        return ()
    parts: list[list[str]] = [[] for _ in range(players.count)]
    for name, labels in players.maps.items():
        for player, words in _names_of_input(players, sample, name, labels).items():
            # A column and a single number are named after the row by themselves.
            own_name = not several or (sample.x[name].ndim <= 1 and series(sample, name) is None)
            parts[player].append(words if own_name else f"{name}: {words}")
    return tuple(" + ".join(each) for each in parts)


def _names_of_input(players: Players, sample: Sample, name: str, labels: Array) -> Mapping[int, str]:
    over = series(sample, name)
    if over is not None:
        return _series_names(labels, over, sample, name)
    x = sample.x[name]
    if x.ndim <= 1:
        return _row_names(np.broadcast_to(labels, x.shape).reshape(-1), sample, name)
    if (named := _time_names(labels, sample, name)) is not None:
        return named
    here = np.unique(labels)
    noun = "part" if players.features is None else players.features.noun_of(name)
    return {int(player): f"{noun} {number}" for number, player in enumerate(here[here >= 0])}


def _time_names(labels: Array, sample: Sample, name: str) -> Mapping[int, str] | None:
    """The names of parts of time of an input with more axes; None if the parts differ along those."""
    found = time_positions(sample, name)
    if found is None:
        return None
    rows = np.moveaxis(np.broadcast_to(labels, found.shape), found.axes[0], -1).reshape(-1, found.extent[0])
    if (rows != rows[:1]).any():
        return None
    return {p: _part_words("", s, _time(sample, name), found.extent[0]) for p, s in _runs(rows[0]).items()}


def _time(sample: Sample, name: str) -> TimeAxis:
    spec = sample.spec if name == sample.main else None
    return TimeAxis() if spec is None or spec.time is None else spec.time


def row_columns(sample: Sample, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the columns of rows by input name."""
    return {name: _columns(sample, name, sample.x[name].size) for name in names}


def _columns(sample: Sample, name: str, count: int) -> list[str]:
    columns = sample.columns.get(name, () if sample.spec is None or name != sample.main else sample.spec.columns)
    if len(columns) == count:
        return list(columns)
    return [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]


def _row_names(labels: Array, sample: Sample, name: str) -> Mapping[int, str]:
    columns = _columns(sample, name, len(labels))
    groups: dict[int, list[str]] = {}
    for column, player in zip(columns, labels.tolist(), strict=True):
        groups.setdefault(player, []).append(column)
    return {player: _listed(group, " + ") for player, group in groups.items()}


def _series_names(labels: Array, over: Series, sample: Sample, name: str) -> Mapping[int, str]:
    spec, time = sample.spec if name == sample.main else None, _time(sample, name)
    known = () if spec is None else spec.channel_names
    count = over.channels or 1
    channels = list(known) if len(known) == count else [f"channel {c}" for c in range(count)]
    shape = sample.x[name].shape
    rows = np.moveaxis(np.broadcast_to(labels, shape), over.channel, 0) if over.channels else labels.reshape(1, -1)
    if over.channels and (rows == rows[:1]).all():
        # All channels are alike.
        rows, channels = rows[:1], [""]
    elif not over.channels:
        channels = [""]
    covered: dict[int, dict[Spans, list[str]]] = {}
    for channel, row in zip(channels, np.broadcast_to(rows, (len(channels), over.length)), strict=True):
        for player, spans in _runs(row).items():
            covered.setdefault(player, {}).setdefault(spans, []).append(channel)
    return {player: _covered_words(parts, time, over.length) for player, parts in covered.items()}


def _runs(labels: Array) -> Mapping[int, Spans]:
    """The spans of steps of each player, (first, stop) in order."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1])
    stops = np.concatenate([starts[1:], [len(labels)]])
    found: dict[int, list[tuple[int, int]]] = {}
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        found.setdefault(int(labels[start]), []).append((start, stop))
    return {player: tuple(spans) for player, spans in found.items()}


def _covered_words(parts: Mapping[Spans, Sequence[str]], time: TimeAxis, length: int) -> str:
    return _listed([_part_words(channels, spans, time, length) for spans, channels in parts.items()], " + ")


def _part_words(channels: Sequence[str], spans: Spans, time: TimeAxis, length: int) -> str:
    named = [channel for channel in channels if channel]
    if named and spans == ((0, length),):
        return _listed(named, " + ")
    words = _listed([time.span(*span) for span in spans], " + ")
    if named:
        return f"{_listed(named, ' + ')}, {words}"
    return time.counted(words, several=any(stop - start > 1 for start, stop in spans))


def _listed(words: Sequence[str], joint: str) -> str:
    more = len(words) - _WRITTEN
    return joint.join(words) if more <= 0 else f"{joint.join(words[:_WRITTEN])} and {more} more"
