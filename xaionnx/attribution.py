"""Attribution: the result of a method, before it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from xaionnx.short_repr import short_repr
from xaionnx.typing import Array, Facts


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
    """

    values: Mapping[str, Array]
    baseline: Array | None = None
    standard_error: Mapping[str, Array] | None = None
    players: PlayerValues | None = None
    maps: Mapping[str, Array] = field(default_factory=dict)
    diagnostics: Facts = field(default_factory=dict)
    parameters: Facts = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    __repr__ = short_repr
