"""Published composites, by name."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import final

from xaionnx.autodiff.lrp import Composite
from xaionnx.autodiff.relevance import (
    AlphaBeta,
    Epsilon,
    Flat,
    Gamma,
    LinearRule,
    WSquare,
    ZBox,
    ZPlus,
)
from xaionnx.autodiff.stand_ins import Content
from xaionnx.errors import ParameterError, UnknownNameError

_CONVOLUTIONS = ("Conv", "ConvTranspose")


@final
@dataclass(frozen=True)
class Choices:
    """Parameters of the rules of a named composite.

    Attributes
    ----------
    epsilon : float
    relative : bool
        As for :class:`xaionnx.autodiff.relevance.LinearRule`.
    gamma : float
    low, high : number, nested tuples or None
        Bounds of the model's input; see :class:`xaionnx.autodiff.relevance.ZBox`.
    """

    epsilon: float = 1e-6
    relative: bool = True
    gamma: float = 0.25
    low: Content | None = None
    high: Content | None = None


def names() -> list[str]:
    """Return the names of all composites, those of a single rule included.

    Examples
    --------
    >>> names()[:3]
    ['alpha1_beta0', 'alpha2_beta1', 'epsilon']
    """
    return sorted([*_ALIKE, *_MIXED])


def words() -> str:
    """Return the names as a list for help texts."""
    return ", ".join(names())


def parameters_of(name: str) -> frozenset[str]:
    """Return which of the :class:`Choices` the rules of a composite use.

    Raises
    ------
    UnknownNameError
        There is no such composite.

    Examples
    --------
    >>> sorted(parameters_of("epsilon_gamma_flat"))
    ['epsilon', 'gamma', 'relative']
    """
    check_name(name)
    rules = (_ALIKE[name],) if name in _ALIKE else _MIXED[name]
    return frozenset(field for rule in rules if rule is not None for field in _chosen_fields(rule))


def check_name(name: str) -> None:
    """Raise UnknownNameError unless there is a composite of this name."""
    if name not in _ALIKE and name not in _MIXED:
        raise UnknownNameError.among("composite", name, names())


def composite(name: str, choices: Choices, first: bool = True) -> Composite:
    """Return the composite of a name.

    The name of a rule applies it to all layers, except ``z_box``: the first layer follows z-box and the others z-plus,
    which is deep Taylor decomposition. Other names give one rule for convolutions, and epsilon for the other layers; a
    final ``_flat`` or ``_box`` names the rule of the first layer. With ``first=False`` the model has no first layer,
    since it is the later part of another.

    Raises
    ------
    UnknownNameError
        There is no such composite.
    ParameterError
        The bounds of the input, which its rules need, are missing.
    """
    check_name(name)
    others = Epsilon(choices.epsilon, relative=choices.relative)
    if name in _ALIKE:
        return Composite({"*": _with_choices(_ALIKE[name], name, choices)}, others)
    start, convolutions, rest = _MIXED[name]
    rules = {} if start is None or not first else {"first": _with_choices(start, name, choices)}
    rules |= dict.fromkeys(_CONVOLUTIONS, _with_choices(convolutions, name, choices))
    return Composite({**rules, "*": _with_choices(rest, name, choices)}, others)


# One rule for all layers: Bach et al. 2015, Montavon et al. 2017 and 2019.
_ALIKE: dict[str, LinearRule] = {
    "epsilon": Epsilon(),
    "gamma": Gamma(),
    "alpha1_beta0": AlphaBeta(1, 0),
    "alpha2_beta1": AlphaBeta(2, 1),
    "z_plus": ZPlus(),
    "w_square": WSquare(),
    "flat": Flat(),
}

# The rules of the first layer, of convolutions, and of other layers. Montavon et al. 2017 and 2019; Lapuschkin et al.
# 2019, doi:10.1038/s41467-019-08987-4; Kohlbrenner et al. 2020, arXiv:1910.09840.
_MIXED: dict[str, tuple[LinearRule | None, LinearRule, LinearRule]] = {
    "z_box": (ZBox(), ZPlus(), ZPlus()),
    "epsilon_plus": (None, ZPlus(), Epsilon()),
    "epsilon_plus_flat": (Flat(), ZPlus(), Epsilon()),
    "epsilon_plus_box": (ZBox(), ZPlus(), Epsilon()),
    "epsilon_gamma_box": (ZBox(), Gamma(), Epsilon()),
    "epsilon_gamma_flat": (Flat(), Gamma(), Epsilon()),
    "epsilon_alpha2_beta1": (None, AlphaBeta(2, 1), Epsilon()),
    "epsilon_alpha2_beta1_flat": (Flat(), AlphaBeta(2, 1), Epsilon()),
}


def _with_choices(rule: LinearRule, name: str, choices: Choices) -> LinearRule:
    chosen = {field: getattr(choices, field) for field in _chosen_fields(rule)}
    if None in chosen.values():
        raise ParameterError(
            f"The composite '{name}' needs the least and the greatest value of the input, and the model has no "
            "InputSpec of pictures. Give 'low' and 'high', or take another composite, such as 'epsilon_plus'."
        )
    return replace(rule, **chosen)


def _chosen_fields(rule: LinearRule) -> set[str]:
    """The parameters of a rule that are fields of Choices."""
    return {field.name for field in fields(rule)} & {field.name for field in fields(Choices)}
