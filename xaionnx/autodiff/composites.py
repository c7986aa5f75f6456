"""Composites that others published, by name."""

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
    """What the names leave open.

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
    """The names that :func:`named` knows: of composites, and of rules for all layers alike.

    Examples
    --------
    >>> names()[:3]
    ['alpha1_beta0', 'alpha2_beta1', 'epsilon']
    """
    return sorted([*_ALIKE, *_MIXED])


def words() -> str:
    """The names as help texts list them."""
    return ", ".join(names())


def used(name: str) -> frozenset[str]:
    """Which of the :class:`Choices` the rules of the composite of that name have a use for.

    Raises
    ------
    UnknownNameError
        There is none.

    Examples
    --------
    >>> sorted(used("epsilon_gamma_flat"))
    ['epsilon', 'gamma', 'relative']
    """
    check(name)
    rules = (_ALIKE[name],) if name in _ALIKE else _MIXED[name]
    return frozenset(field for rule in rules if rule is not None for field in _shared(rule))


def check(name: str) -> None:
    """Raise UnknownNameError unless there is a composite of that name."""
    if name not in _ALIKE and name not in _MIXED:
        raise UnknownNameError.among("composite", name, names())


def named(name: str, choices: Choices, first: bool = True) -> Composite:
    """The composite of that name.

    A rule's name stands for that rule in all layers; z-box stands for the first alone, with z-plus in the others, which
    is deep Taylor decomposition. Other names follow one rule in convolutions and epsilon in the other layers; ``_flat``
    and ``_box`` at the end say what the first layer follows. Without ``first`` there is none: the first layer of the
    model lies elsewhere.

    Raises
    ------
    UnknownNameError
        There is none.
    ParameterError
        The box that it needs is not given.
    """
    check(name)
    others = Epsilon(choices.epsilon, relative=choices.relative)
    if name in _ALIKE:
        return Composite({"*": _settled(_ALIKE[name], name, choices)}, others)
    start, convolutions, rest = _MIXED[name]
    rules = {} if start is None or not first else {"first": _settled(start, name, choices)}
    rules |= dict.fromkeys(_CONVOLUTIONS, _settled(convolutions, name, choices))
    return Composite({**rules, "*": _settled(rest, name, choices)}, others)


# Of a layer-wide rule: Bach et al. 2015, Montavon et al. 2017 and 2019.
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


def _settled(rule: LinearRule, name: str, choices: Choices) -> LinearRule:
    chosen = {field: getattr(choices, field) for field in _shared(rule)}
    if None in chosen.values():
        raise ParameterError(
            f"The composite '{name}' needs the least and the greatest value of the input, and the model has no "
            "InputSpec of pictures. Give 'low' and 'high', or take another composite, such as 'epsilon_plus'."
        )
    return replace(rule, **chosen)


def _shared(rule: LinearRule) -> set[str]:
    """The parameters of a rule that are among the choices."""
    return {field.name for field in fields(rule)} & {field.name for field in fields(Choices)}
