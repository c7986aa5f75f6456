"""Find what the axes of a model's inputs and outputs mean, from what is stated, names of dimensions and the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, final

from xaionnx.counting import counted
from xaionnx.data.axes import FIRST_AXIS, AxisRole, TensorAxes, dims_words, named_role, sample_axis, tensor_axes
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.graph.axis_propagation import seen_roles
from xaionnx.graph.op import find_op
from xaionnx.graph.roles import RECURRENT, Role, SeenRoles
from xaionnx.short_repr import short_repr

if TYPE_CHECKING:
    from xaionnx.graph.view import GraphView
    from xaionnx.typing import Shapes

# Sizes that stand for free dimensions while the graph is walked.
_SAMPLES, _SIDE = 2, 32


class Declared(Protocol):
    """An input or output as the file declares it, such as a TensorInfo."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int | str | None, ...]: ...


@final
class AxisFinder:
    """Finds the axes of a model's inputs and outputs; the graph is walked when an answer first needs it.

    Parameters
    ----------
    view : GraphView
    inputs, outputs : sequence of Declared
    told : mapping of str to TensorAxes
        What the user or the spec states, by name.
    model : str
        Name of the model in messages.

    Raises
    ------
    UnknownNameError
        Axes are stated for a tensor that is neither an input nor an output.
    """

    def __init__(
        self,
        view: GraphView,
        inputs: Sequence[Declared],
        outputs: Sequence[Declared],
        told: Mapping[str, TensorAxes],
        model: str,
    ) -> None:
        self._view, self._inputs, self._outputs, self._told, self._model = view, inputs, outputs, told, model
        names = [one.name for one in (*inputs, *outputs)]
        for name in told:
            if name not in names:
                raise UnknownNameError.among("input or output", name, names)
        self._found: dict[str, TensorAxes] = {}
        self._seen: dict[str, SeenRoles] = {}

    __repr__ = short_repr

    def input(self, one: Declared) -> TensorAxes:
        """Return the axes of an input.

        Raises
        ------
        UnsupportedModelError
            Two sources contradict each other.
        """
        if one.name not in self._found:
            told = self._told.get(one.name)
            what = f"Input '{one.name}' of {self._model}"
            self._found[one.name] = tensor_axes(what, one.shape, told, self._roles(one).of, self.sample(one))
        return self._found[one.name]

    def sample(self, one: Declared) -> int | None:
        """Return the axis of the samples of an input; None if it has none.

        Raises
        ------
        ParameterError
            Another number of axes is stated than the input has.
        """
        told = self._told.get(one.name)
        if told is not None:
            if len(told.axes) != len(one.shape):
                raise ParameterError(
                    f"Input '{one.name}' of {self._model} has {counted(len(one.shape), 'axis', 'axes')}, "
                    f"{dims_words(one.shape)}, but {len(told.axes)} are stated: {told.words()}. State one "
                    "role per axis."
                )
            return told.sample
        if one.shape[:1] == (1,) and not self._is_recurrent and not self._has_one_channel(one):
            return 0
        return sample_axis(one.shape, lambda axis: self._roles(one).of(axis))

    def _has_one_channel(self, one: Declared) -> bool:
        """Whether the graph adds an axis to an input and then shows that the first, of size 1, is not the samples."""
        if not _adds_axis(self._view, one.name):
            return False
        seen = self._roles(one)
        first = seen.of(0)
        return first is not None and first.firm and not seen.is_ever(0, Role.SAMPLE)

    @cached_property
    def _is_recurrent(self) -> bool:
        return any(node.op_type in RECURRENT for node in self._view.nodes)

    def output(self, one: Declared) -> TensorAxes:
        """Return the axes of an output: those of inputs that the graph carries there, and named ones."""
        told = self._told.get(one.name)
        if told is not None:
            return told
        rank = len(one.shape)
        axes = [AxisRole(Role.UNKNOWN)] * rank
        leading = self._leading
        for axis, dim in enumerate(one.shape):
            role = Role.SAMPLE if isinstance(dim, str) and dim in leading else named_role(dim)
            if role is not Role.UNKNOWN and not (role is Role.SAMPLE and Role.SAMPLE in {a.role for a in axes}):
                axes[axis] = AxisRole(role, f"name '{dim}'")
        if rank and one.shape[0] == 1 and not self._is_recurrent:
            axes[0] = AxisRole(Role.SAMPLE, FIRST_AXIS)
        if not any(axis.role is Role.SAMPLE for axis in axes):
            self._carry(one, axes)
        if leading == {1} and one.shape.count(1) == 1 and not any(axis.role is Role.SAMPLE for axis in axes):
            axes[one.shape.index(1)] = AxisRole(Role.SAMPLE, "only axis of size 1")
        # A file for one sample may declare an output without samples, such as (K,).
        is_single = leading == {1} and isinstance(one.shape[0], int) if rank else True
        if not is_single and not any(axis.role is Role.SAMPLE for axis in axes) and axes[0].role is Role.UNKNOWN:
            axes[0] = AxisRole(Role.SAMPLE, FIRST_AXIS)
        if is_single and rank == 1 and axes[0].role is Role.UNKNOWN:
            axes[0] = AxisRole(Role.CLASS, "only axis")
        if rank == 2 and axes[0].role is Role.SAMPLE and axes[1].role is Role.UNKNOWN:
            axes[1] = AxisRole(Role.CLASS, "last of two axes")
        return TensorAxes(tuple(axes))

    @cached_property
    def _leading(self) -> set[int | str | None]:
        """The sizes of the inputs along their samples."""
        return {one.shape[axis] for one in self._inputs if (axis := self.sample(one)) is not None}

    def _carry(self, output: Declared, axes: list[AxisRole]) -> None:
        """Fill in the roles of the axes of inputs that reach an output."""
        for one in self._inputs:
            known = self.input(one)
            for axis, source in enumerate(self._roles(one).carried(output.name, len(axes))):
                if source is None or axes[axis].role is not Role.UNKNOWN:
                    continue
                role = known.roles[source]
                if role is Role.SAMPLE and Role.SAMPLE in {a.role for a in axes}:
                    continue
                if not role.counts_values:
                    axes[axis] = AxisRole(role, f"axis {source} of '{one.name}'")

    def _roles(self, one: Declared) -> SeenRoles:
        if one.name not in self._seen:
            self._seen[one.name] = seen_roles(self._view, one.name, self._sizes[one.name], self._shapes)
        return self._seen[one.name]

    @cached_property
    def _shapes(self) -> Shapes:
        return self._view.shapes(self._sizes)

    @cached_property
    def _sizes(self) -> dict[str, tuple[int, ...]]:
        """Return sizes for all axes: free ones of one name have one size, which other axes do not have."""
        by_name: dict[str, int] = {}
        sizes = {}
        for one in self._inputs:
            shape = list[int]()
            for axis, dim in enumerate(one.shape):
                if isinstance(dim, int):
                    shape.append(dim)
                    continue
                name = dim or f"{one.name} {axis}"
                # Sizes of pictures are often multiples of 32.
                size = _SAMPLES if named_role(dim) is Role.SAMPLE else _SIDE * (2 * len(by_name) + 3)
                shape.append(by_name.setdefault(name, size))
            sizes[one.name] = tuple(shape)
        return sizes


def _adds_axis(view: GraphView, name: str) -> bool:
    """Whether an axis is added to an input before an op that shows what its axes mean."""
    waiting, seen = [name], {name}
    while waiting:
        for node in view.consumers.get(waiting.pop(), ()):
            if node.op_type == "Unsqueeze":
                return True
            if find_op(node.op_type).roles is None:
                new = [result for result in node.output if result not in seen]
                seen.update(new)
                waiting += new
    return False
