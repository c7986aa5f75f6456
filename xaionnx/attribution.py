"""Attribution: what a method found, before it is recorded."""

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
        For each element the number of its player, -1 where it is never removed.
    standard_error : array (T, N, P) or None
    """

    values: Array
    labels: Mapping[str, Array]
    standard_error: Array | None = None

    __repr__ = short_repr


@final
@dataclass(frozen=True, eq=False)
class Attribution:
    """What a method found for T targets of N samples.

    Attributes
    ----------
    values : mapping of arrays (T, N, ...) by name
        Of inputs, or of the layer that is explained.
    baseline : array (T, N) or None
        The targets where everything is removed.
    standard_error : mapping of arrays like ``values``, or None
        Of each element.
    players : PlayerValues or None
        Where the method worked on groups of elements.
    maps : mapping of arrays (T, N, ...)
        Further maps, which the method describes.
    diagnostics : mapping
        Arrays (T, N), lists of N, or what holds for all samples.
    parameters : mapping
        What stands behind a parameter's shorthand or default, by the parameter's name.
    facts : mapping
        What the record tells besides: ``layer`` or ``seen_at``, ``approximations``, and ``adds_up_to``, which is
        ``target`` where the values share the target itself rather than its change from a baseline.
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
