"""What the axes of an input mean, as the ops of the graph fix it: a convolution has samples, channels and space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias, final

from xaionnx.graph.axis_factors import Axis, AxisFactor, Layout, covering_factor, spatial_factor
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.axis_propagation import AxisStep


class Role(StrEnum):
    """What an axis of a tensor counts."""

    SAMPLE = "sample"
    CHANNEL = "channel"
    SPACE = "space"
    TIME = "time"
    TOKEN = "token"
    FEATURE = "feature"
    CLASS = "class"
    BOX = "box"
    LAYER = "layer"
    UNKNOWN = "-"

    @property
    def counts_positions(self) -> bool:
        """Whether neighbours along the axis are neighbours in space, time or a text."""
        return self in POSITIONS

    @property
    def counts_values(self) -> bool:
        """Whether the axis lists the values at one position: channels or features."""
        return self in (Role.CHANNEL, Role.FEATURE, Role.CLASS)

    def agrees_with(self, other: Role) -> bool:
        """Whether both may be names of one axis: positions are space to one op and time to the next."""
        groups = (POSITIONS, (Role.CHANNEL, Role.FEATURE, Role.CLASS))
        return (
            self is other or Role.UNKNOWN in (self, other) or any(self in group and other in group for group in groups)
        )


POSITIONS: Final = (Role.SPACE, Role.TIME, Role.TOKEN)

Roles: TypeAlias = tuple[Role, ...]

RECURRENT: Final = ("LSTM", "GRU", "RNN")
"""Ops whose axes of samples and of time differ."""


@final
@dataclass(frozen=True)
class FixedRoles:
    """The roles of the axes of an op's operands.

    Attributes
    ----------
    operands : mapping of int to tuple of Role
        By the number of the operand.
    firm : bool
        Whether the op leaves no choice. A product of matrices takes rows of any meaning; an LSTM does not.
    """

    operands: Mapping[int, Roles]
    firm: bool = True

    __repr__ = short_repr


RoleRule: TypeAlias = "Callable[[AxisStep], FixedRoles]"


@final
@dataclass(frozen=True)
class Evidence:
    """The role that one op gives to an axis.

    Attributes
    ----------
    role : Role
    op_type, node : str
        The op, and the output of its node.
    firm : bool
        As in :class:`FixedRoles`.
    """

    role: Role
    op_type: str
    node: str
    firm: bool

    @property
    def may_be_steps(self) -> bool:
        """Whether the samples of the op may be the steps of a series, which a convolution takes one by one."""
        return self.role is Role.SAMPLE and self.op_type not in RECURRENT

    def __str__(self) -> str:
        return f"{self.op_type} '{self.node}'"


@final
class SeenRoles:
    """The roles that the ops of a graph give to the axes of one tensor, and where these axes are in other tensors.

    Parameters
    ----------
    rank : int
        Number of axes of the tensor.
    """

    def __init__(self, rank: int) -> None:
        self._seen: list[list[Evidence]] = [[] for _ in range(rank)]
        self.layouts: Mapping[str, Layout] = {}

    __repr__ = short_repr

    def note(self, node: onnx.NodeProto, fixed: FixedRoles, operands: Mapping[int, Layout]) -> None:
        """Record the roles that a node gives to operands with known layouts."""
        for number, roles in fixed.operands.items():
            for axis, role in zip(operands.get(number, ()), roles, strict=False):
                origin = _origin(axis)
                if origin is not None and role is not Role.UNKNOWN:
                    self._seen[origin].append(Evidence(role, node.op_type, next(filter(None, node.output)), fixed.firm))

    def of(self, axis: int) -> Evidence | None:
        """Return the first firm evidence about an axis; any first one if none is firm; None if there is none."""
        seen = self._seen[axis]
        return next((one for one in seen if one.firm and not one.may_be_steps), seen[0] if seen else None)

    def is_ever(self, axis: int, role: Role) -> bool:
        """Whether any op gives an axis a role."""
        return any(one.role is role for one in self._seen[axis])

    def carried(self, tensor: str, rank: int) -> tuple[int | None, ...]:
        """Return, for each axis of another tensor, the axis of the input that it is; None if it is none of them."""
        layout = self.layouts.get(tensor, ())
        if len(layout) != rank:
            return (None,) * rank
        return tuple(_carried(axis) for axis in layout)


def start_layout(sizes: Sequence[int]) -> Layout:
    """Return the layout of a tensor in which each axis is its own: the kind is the number of the axis."""
    return tuple((AxisFactor.spatial(str(axis), size, size),) for axis, size in enumerate(sizes))


def _origin(axis: Axis) -> int | None:
    """Return the number of the axis that an axis is all or a part of; None if it is none, or several merged."""
    whole = spatial_factor(axis)
    name = whole.kind if whole is not None else axis[0].origin if len(axis) == 1 else ""
    return int(name) if name.isdigit() else None


def _carried(axis: Axis) -> int | None:
    factor = covering_factor(axis)
    return int(factor.kind) if factor is not None and factor.kind.isdigit() else None


def positions(count: int) -> Roles:
    """Return the roles of the axes along which a window slides: time if it is one, space if they are several."""
    return (Role.TIME,) if count == 1 else (Role.SPACE,) * count


def window_roles(step: AxisStep) -> FixedRoles:
    """Samples, channels, and the axes along which windows slide."""
    rank = len(step.layout)
    if rank < 3:
        return row_roles(step)
    sizes = step.sizes(step.node.input[0]) or [0] * rank
    long = [axis for axis in range(2, rank) if sizes[axis] != 1]
    slid = list(positions(rank - 2))
    if len(long) == 1:
        # A series whose height is 1.
        slid[long[0] - 2] = Role.TIME
    return FixedRoles({0: (Role.SAMPLE, Role.CHANNEL, *slid)})


def row_roles(step: AxisStep) -> FixedRoles:
    """Rows of features: the axis before the last may be of anything that comes in rows."""
    rank = len(step.layout)
    return FixedRoles({0: (*(Role.UNKNOWN,) * (rank - 1), Role.FEATURE)}, firm=False)


def table_roles(step: AxisStep) -> FixedRoles:
    """Rows of a table."""
    del step
    return FixedRoles({0: (Role.SAMPLE, Role.FEATURE)})


def product_roles(step: AxisStep) -> FixedRoles:
    """Rows of features times weights; or, if both factors are computed, tokens compared with tokens."""
    rank = len(step.layout)
    if len(step.operand(1)) < 2 or rank < 3:
        return row_roles(step)
    return FixedRoles({0: (*(Role.UNKNOWN,) * (rank - 2), Role.TOKEN, Role.FEATURE)}, firm=False)


def lookup_roles(step: AxisStep) -> FixedRoles:
    """Rows of a table of constants, looked up by token numbers."""
    table, tokens = step.sizes(step.node.input[0]), step.operand(1)
    is_table = step.node.input[0] in step.walk.constants and len(table or ()) == 2
    if not is_table or len(tokens) < 2:
        return FixedRoles({})
    # A recurrent layer may follow that says otherwise: tokens may stand first, and samples second.
    return FixedRoles({1: (*(Role.UNKNOWN,) * (len(tokens) - 1), Role.TOKEN)}, firm=False)


def recurrent_roles(step: AxisStep) -> FixedRoles:
    """The axes of a series and of the states of a recurrent layer, in the order that its ``layout`` says."""
    first = bool(step.attributes.get("layout", 0))
    series = (Role.SAMPLE, Role.TIME, Role.FEATURE) if first else (Role.TIME, Role.SAMPLE, Role.FEATURE)
    state = (Role.SAMPLE, Role.LAYER, Role.FEATURE) if first else (Role.LAYER, Role.SAMPLE, Role.FEATURE)
    return FixedRoles({0: series, 4: (Role.SAMPLE,), 5: state, 6: state})


def token_roles(step: AxisStep) -> FixedRoles:
    """Samples, tokens and features of an attention layer."""
    return FixedRoles({0: (Role.SAMPLE, Role.TOKEN, Role.FEATURE)} if len(step.layout) == 3 else {})


def waveform_roles(step: AxisStep) -> FixedRoles:
    """Samples, time and the parts of a complex number."""
    del step
    return FixedRoles({0: (Role.SAMPLE, Role.TIME, Role.UNKNOWN)})
