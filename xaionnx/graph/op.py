"""Ops: what each does to values and to axes, stated once and read by every walker over a graph.

Locality, axis propagation, linear heads, gradients, relevance propagation, DeepLIFT and guided rules treat an op by
its kind; an op that needs more states it in its own entry. Entries stand in the files of :mod:`xaionnx.graph.ops`, all
of which are read before the first question is answered. They import no onnx-ir: a rule is handed what it emits into.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, final

from xaionnx.graph.axis_factors import Layout, broadcast
from xaionnx.registry import modules
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.axis_propagation import AxisStep
    from xaionnx.graph.locality import Field, LocalStep

AxisRule: TypeAlias = "Callable[[AxisStep], Layout | None]"
LocalRule: TypeAlias = "Callable[[LocalStep], Field | None]"
# The rules of a walk back: xaionnx.autodiff.rule says more. ``Slope`` is for ops of which the first operand and the
# first output alone count.
Rule: TypeAlias = "Callable[..., Sequence[ir.Value | None]]"
Slope: TypeAlias = "Callable[..., ir.Value | None]"


class Kind(Enum):
    """What an op does to values, which decides how methods that walk back through it treat it by default."""

    ACTIVATION = "a function of one number that stands between layers"
    FUNCTION = "any other function of one number"
    MOVES = "each number of the output is one of an operand, or a constant"
    SELECTS = "each number of the output is one of an operand, which their sizes decide"
    ADDS = "a sum of numbers with fixed factors"
    SCALES = "a number times another, or times a constant"
    WEIGHS = "sums of products of two operands, one of which holds weights in a layer"
    NORMALISES = "numbers over what all of them make"
    ROUNDS = "quantised numbers, and back"
    READS_SHAPE = "no number of the operands counts, at the most their shape"
    OTHER = "none of these: walks that need to know more refuse it, or keep its derivative"

    @property
    def of_one_number(self) -> bool:
        """Whether each number of the output is a function of one number."""
        return self in (Kind.ACTIVATION, Kind.FUNCTION)


@final
@dataclass(frozen=True)
class Broadcast:
    """Which operands are repeated to the shape of the output, along all axes but the last ``exempt``; all if None."""

    operands: tuple[int, ...] | None = None
    exempt: int = 0

    def repeats(self, index: int) -> bool:
        """Whether an operand is repeated."""
        return self.operands is None or index in self.operands


def aligned(step: AxisStep) -> Layout | None:
    """The axes of an op each of whose outputs reads the same positions of its operands."""
    return broadcast(step.read)


def not_followed(step: AxisStep) -> None:
    """The axes of an op that leaves no places, or moves numbers between them in ways that are not followed."""
    del step


@final
@dataclass(frozen=True)
class Op:
    """An op of ONNX.

    Parameters
    ----------
    name : str
    kind : Kind
    axes : callable
        The layout of an output from those of the operands: see :class:`xaionnx.graph.axis_propagation.AxisStep`.
    local : callable, optional
        What the output sees of the operands' positions, where that is bounded: see
        :class:`xaionnx.graph.locality.LocalStep`. Left out, functions of one number and ops that broadcast are local,
        and others are not.
    broadcasts : Broadcast, optional
        Of operands that are repeated to the output's shape; all are aligned with it.
    slope : callable, optional
        ``f(g, node, dy) -> dx``: the derivative of an op whose first operand alone has one.
    gradient : callable, optional
        The derivative of any other op, as :class:`xaionnx.autodiff.rule.Rule` has it. Ops whose rules stand by family
        in :mod:`xaionnx.autodiff.rules` state neither.
    lrp, deep_lift : callable, optional
        Rules in the place of those that the kind stands for.
    carries : bool
        The numbers of the first operand as they are, all of them, though rounded to another type or placed otherwise.
    regroups : bool
        It carries them to other places: to axes in another order, or of other sizes.
    rectifies : bool
        A kink, and what is large goes through: guided rules rectify there, patterns are those above it.
    straight : bool
        Made of straight pieces: DeepLIFT divides by any difference.
    scale_free : bool
        Its slope is steady relative to the number's size, as a logarithm's is.
    partial : bool
        Not every real number has an answer.
    not_negative : bool
        No output is below zero.
    keeps_sign : bool
        No output is below zero where no number of the first operand is.
    both_signs : bool
        Of what adds up: factors of both signs.
    gate : int
        How much it makes a gate of what comes from it, when two tensors are multiplied.

    Examples
    --------
    >>> find_op("Relu").kind.name, find_op("Transpose").kind.name, find_op("Unheard").kind.name
    ('ACTIVATION', 'MOVES', 'OTHER')
    """

    name: str
    kind: Kind
    axes: AxisRule = aligned
    local: LocalRule | None = None
    broadcasts: Broadcast | None = None
    slope: Slope | None = None
    gradient: Rule | None = None
    lrp: Rule | None = None
    deep_lift: Rule | None = None
    carries: bool = False
    regroups: bool = False
    rectifies: bool = False
    straight: bool = False
    scale_free: bool = False
    partial: bool = False
    not_negative: bool = False
    keeps_sign: bool = False
    both_signs: bool = False
    gate: int = 0

    __repr__ = short_repr


_PACKAGE = "xaionnx.graph.ops"


@functools.cache
def ops() -> Mapping[str, Op]:
    """All that is known of ops of the default domain, by name; a file of :mod:`xaionnx.graph.ops` lists them as OPS."""
    found: dict[str, Op] = {}
    for module in modules(_PACKAGE):
        for entry in module.OPS:
            if entry.name in found:
                raise ValueError(f"{entry.name} is stated twice")
            found[entry.name] = entry
    return MappingProxyType(found)


def find_op(name: str) -> Op:
    """What is known of an op; of one that is not, that it is of another kind."""
    return ops().get(name) or _unknown(name)


@functools.cache
def _unknown(name: str) -> Op:
    return Op(name, Kind.OTHER)


@functools.cache
def ops_of_kind(*kinds: Kind) -> tuple[str, ...]:
    """The names of the ops of some kinds."""
    return tuple(name for name, entry in ops().items() if entry.kind in kinds)


def along_first(rule: AxisRule) -> AxisRule:
    """An axis rule that is asked only where the axes of the first operand are known, two or more of them."""

    @functools.wraps(rule)
    def guarded(step: AxisStep) -> Layout | None:
        return rule(step) if len(step.layout) > 1 else None

    return guarded
