"""Registry of ops: what each op does to values and to axes.

Locality, axis propagation, linear heads, gradients, relevance propagation, DeepLIFT and guided rules treat an op by
its kind; an op that needs other rules has them in its own entry. Entries are in the files of :mod:`xaionnx.graph.ops`,
all of which are imported at the first look-up. They do not import onnx-ir: a rule gets the builder as an argument.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, final

from xaionnx.graph.axis_factors import Layout, broadcast_layout
from xaionnx.registry import modules
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    import onnx_ir as ir

    from xaionnx.graph.axis_propagation import AxisStep
    from xaionnx.graph.dependence import ElementStep, Operands
    from xaionnx.graph.locality import Field, LocalStep
    from xaionnx.graph.roles import RoleRule

AxisRule: TypeAlias = "Callable[[AxisStep], Layout | None]"
LocalRule: TypeAlias = "Callable[[LocalStep], Field | None]"
ElementRule: TypeAlias = "Callable[[ElementStep], Operands | None]"
# Rules of backward walks, documented in xaionnx.autodiff.rule. ``Slope`` is for ops where only the first operand and
# the first output matter.
Rule: TypeAlias = "Callable[..., Sequence[ir.Value | None]]"
Slope: TypeAlias = "Callable[..., ir.Value | None]"


class Kind(Enum):
    """What an op does to values; it decides how methods that propagate back treat the op by default."""

    ACTIVATION = "a function of one number, used between layers"
    FUNCTION = "any other function of one number"
    MOVES = "each number of the output is a number of an operand, or a constant"
    SELECTS = "each number of the output is a number of an operand, chosen by comparing them"
    ADDS = "sums of numbers with fixed factors"
    SCALES = "a number times another, or times a constant"
    WEIGHS = "sums of products of two operands, one of which is the weights in a layer"
    NORMALISES = "numbers divided by a statistic of all of them"
    ROUNDS = "quantised numbers, and back"
    READS_SHAPE = "the output depends on the operands' shapes at most, not on their values"
    OTHER = "none of these: propagation refuses it, or uses its derivative"

    @property
    def of_one_number(self) -> bool:
        """Whether each number of the output is a function of one number."""
        return self in (Kind.ACTIVATION, Kind.FUNCTION)


@final
@dataclass(frozen=True)
class Broadcast:
    """Which operands (None for all) are broadcast to the output's shape, along all axes but the last ``exempt``."""

    operands: tuple[int, ...] | None = None
    exempt: int = 0

    def repeats(self, index: int) -> bool:
        """Whether an operand is broadcast."""
        return self.operands is None or index in self.operands


def broadcast_axes(step: AxisStep) -> Layout | None:
    """Layout of an element-wise op: its operands' layouts, broadcast."""
    return broadcast_layout(step.read)


def unknown_axes(step: AxisStep) -> None:
    """Layout of an op that has no spatial output, or moves values in ways that are not modelled: unknown."""
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
        Returns the layout of an output from those of the operands; see
        :class:`xaionnx.graph.axis_propagation.AxisStep`.
    local : callable, optional
        Returns the receptive field in the operands, if it is bounded; see :class:`xaionnx.graph.locality.LocalStep`.
        By default functions of one number and ops that broadcast are local, and others are not.
    elements : callable, optional
        Returns the elements of the operands that some elements of an output are computed from; see
        :class:`xaionnx.graph.dependence.ElementStep`. By default those at the same place for functions of one number
        and ops that broadcast, and all of them for others.
    broadcasts : Broadcast, optional
        Which operands are broadcast to the output's shape, for ops that align their operands with the output.
    slope : callable, optional
        ``f(g, node, dy) -> dx``: the derivative of an op in its first operand, the only one that has a derivative.
    gradient : callable, optional
        The derivative of any other op, a :class:`xaionnx.autodiff.rule.Rule`. Ops whose rule is in
        :mod:`xaionnx.autodiff.rules` give neither.
    lrp, deep_lift : callable, optional
        Rules that replace the default of the kind.
    carries : bool
        The output holds all numbers of the first operand, possibly cast or rearranged.
    regroups : bool
        The numbers that it carries are rearranged: axes change their order or sizes.
    rectifies : bool
        The function has a kink and passes large inputs: guided rules rectify here, and patterns use inputs above it.
    straight : bool
        Piecewise linear: DeepLIFT divides by differences of any size.
    scale_free : bool
        The slope changes with the relative change of the input, as a logarithm's does.
    partial : bool
        Not defined for all real numbers.
    not_negative : bool
        Outputs are never negative.
    keeps_sign : bool
        Outputs are not negative if the first operand is not.
    both_signs : bool
        Sums with factors of both signs.
    gate : int
        How likely a factor computed by this op is the gate of a product.
    roles : callable, optional
        Returns what the axes of the operands mean, if the op fixes it; see :class:`xaionnx.graph.roles.FixedRoles`.

    Examples
    --------
    >>> find_op("Relu").kind.name, find_op("Transpose").kind.name, find_op("Unheard").kind.name
    ('ACTIVATION', 'MOVES', 'OTHER')
    """

    name: str
    kind: Kind
    axes: AxisRule = broadcast_axes
    local: LocalRule | None = None
    elements: ElementRule | None = None
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
    roles: RoleRule | None = None

    __repr__ = short_repr


_PACKAGE = "xaionnx.graph.ops"


@functools.cache
def ops() -> Mapping[str, Op]:
    """Return the entries of all ops, by name, from the OPS of each file of :mod:`xaionnx.graph.ops`."""
    entries: dict[str, Op] = {}
    for module in modules(_PACKAGE):
        for entry in module.OPS:
            if entry.name in entries:
                raise ValueError(f"{entry.name} has two entries")
            entries[entry.name] = entry
    return MappingProxyType(entries)


def find_op(name: str) -> Op:
    """Return the entry of an op; unknown ops get one of kind OTHER."""
    return ops().get(name) or _unknown(name)


@functools.cache
def _unknown(name: str) -> Op:
    return Op(name, Kind.OTHER)


@functools.cache
def ops_of_kind(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the ops of the given kinds."""
    return tuple(name for name, entry in ops().items() if entry.kind in kinds)


def if_first_known(rule: AxisRule) -> AxisRule:
    """Return an axis rule that applies only if the axes of the first operand are known."""

    @functools.wraps(rule)
    def guarded(step: AxisStep) -> Layout | None:
        return rule(step) if step.layout else None

    return guarded
