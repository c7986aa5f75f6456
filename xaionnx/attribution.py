"""Attribution: the result of a method, before it is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from xaionnx.errors import UnsupportedModelError
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Document, Entry, Facts


@final
@dataclass(frozen=True, eq=False)
class PlayerValues:
    """Values of the players of N samples, at most P each.

    Attributes
    ----------
    values : array (T, N, P)
        NaN where a sample has fewer players.
    labels : mapping of int arrays (N or 1, ...) by input name
        The number of each element's player, -1 if it is never removed.
    standard_error : array (T, N, P) or None
    """

    values: Array
    labels: Mapping[str, Array]
    standard_error: Array | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class DataSet:
    """What is explained of all samples together, by an attribution with N = 1.

    Attributes
    ----------
    names : sequence of T str
        The targets in words, such as ``roc_auc over 300 samples``.
    prediction : array (T,)
        Their values for the samples as they are.
    quantity : str or None
        The quantity of the targets; that of single samples if None.
    """

    names: Sequence[str]
    prediction: Array
    quantity: str | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Attribution:
    """The attributions of T targets for N samples.

    Attributes
    ----------
    values : mapping of arrays (T, N, ...) by name
        Attributions of inputs, or of the explained layer.
    baseline : array (T, N) or None
        The targets with everything removed.
    standard_error : mapping of arrays like ``values``, or None
        The standard error of each element.
    players : PlayerValues or None
        The values of players, for methods that work on groups of elements.
    maps : mapping of arrays (T, N, ...)
        Further maps, described by the method.
    diagnostics : mapping
        Arrays (T, N), lists of N, or single values for all samples.
    parameters : mapping
        Resolved values of parameters given by shorthand or default, by name.
    facts : mapping
        Further entries of the provenance: ``layer`` or ``seen_at``, ``approximations``, and ``adds_up_to``, which is
        ``target`` if the values sum to the target itself rather than to its change from a baseline.
    data_set : DataSet or None
        What is explained, if it is all samples together: N is 1 in all arrays then.
    """

    values: Mapping[str, Array]
    baseline: Array | None = None
    standard_error: Mapping[str, Array] | None = None
    players: PlayerValues | None = None
    maps: Mapping[str, Array] = field(default_factory=dict)
    diagnostics: Facts = field(default_factory=dict)
    parameters: Facts = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    data_set: DataSet | None = None

    __repr__ = short_repr


def joined(rows: Sequence[Array], parts: Sequence[Attribution], inputs: Mapping[str, Array]) -> Attribution:
    """Return the attribution of N samples from those of parts of them.

    Parameters
    ----------
    rows : sequence of int arrays (n,)
        The samples of each part.
    parts : sequence of Attribution
    inputs : mapping of arrays (N, ...) by name
        The inputs; a part that does not depend on one attributes 0 to it.

    Raises
    ------
    UnsupportedModelError
        The parts explain different layers.
    """
    if len(parts) == 1:
        return parts[0]
    if any(part.facts.get(key) != parts[0].facts.get(key) for part in parts for key in ("layer", "seen_at")):
        raise UnsupportedModelError(
            "The samples take different branches of the model, which are explained at different layers. Explain the "
            "samples of each branch by themselves, or name a layer that all branches have."
        )
    baselines = [part.baseline for part in parts if part.baseline is not None]
    errors = [part.standard_error for part in parts if part.standard_error is not None]
    players = [part.players for part in parts if part.players is not None]
    return Attribution(
        _joined_by_name(rows, [part.values for part in parts], inputs),
        baseline=_joined_arrays(rows, baselines) if baselines else None,
        standard_error=_joined_by_name(rows, errors, inputs) if errors else None,
        players=_joined_players(rows, players) if players else None,
        maps=_joined_by_name(rows, [part.maps for part in parts], inputs),
        diagnostics=_joined_facts(rows, [part.diagnostics for part in parts]),
        parameters=_joined_facts(rows, [part.parameters for part in parts]),
        facts=_joined_facts(rows, [part.facts for part in parts]),
    )


def _joined_arrays(rows: Sequence[Array], arrays: Sequence[Array]) -> Array:
    """Arrays (T, n, ...) as one (T, N, ...)."""
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(arrays, axis=1)[:, order]


def _joined_by_name(
    rows: Sequence[Array], parts: Sequence[Mapping[str, Array]], inputs: Mapping[str, Array]
) -> dict[str, Array]:
    found = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        lead = next(part[name] for part in parts if name in part)
        arrays = [
            part[name] if name in part else np.zeros((len(lead), len(own), *inputs[name].shape[1:]), lead.dtype)
            for own, part in zip(rows, parts, strict=True)
        ]
        found[name] = _joined_arrays(rows, arrays)
    return found


def _joined_players(rows: Sequence[Array], parts: Sequence[PlayerValues]) -> PlayerValues:
    most = max(part.values.shape[2] for part in parts)

    def wide(array: Array) -> Array:
        return np.pad(array, ((0, 0), (0, 0), (0, most - array.shape[2])), constant_values=np.nan)

    labels = {
        name: _joined_arrays(
            rows,
            [
                np.broadcast_to(part.labels[name], (len(own), *part.labels[name].shape[1:]))[None]
                for own, part in zip(rows, parts, strict=True)
            ],
        )[0]
        for name in parts[0].labels
    }
    errors = [wide(part.standard_error) for part in parts if part.standard_error is not None]
    return PlayerValues(
        _joined_arrays(rows, [wide(part.values) for part in parts]),
        labels,
        _joined_arrays(rows, errors) if errors else None,
    )


def _joined_facts(rows: Sequence[Array], parts: Sequence[Facts]) -> Document:
    """Facts of all samples: what the parts have in common once, anything else for each sample."""
    order = np.argsort(np.concatenate(rows))
    found: Document = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        values: list[Entry] = [part.get(key) for part in parts]
        if all(isinstance(value, np.ndarray) for value in values):
            found[key] = _joined_arrays(rows, values)
        elif key == "approximations":
            found[key] = sorted({label for labels in values for label in labels or ()})
        elif all(isinstance(value, list) and len(value) == len(own) for own, value in zip(rows, values, strict=True)):
            listed = [entry for value in values for entry in value]
            found[key] = [listed[number] for number in order]
        elif all(value == values[0] for value in values):
            found[key] = values[0]
        else:
            listed = [value for own, value in zip(rows, values, strict=True) for _ in own]
            found[key] = [listed[number] for number in order]
    return found
