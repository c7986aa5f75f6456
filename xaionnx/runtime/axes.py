"""Where the samples are in the inputs and outputs of a model, and what their other axes mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from xaionnx.data.axes import FIRST_AXIS, TensorAxes, spec_axes, stated_axes
from xaionnx.data.axis_finder import AxisFinder
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.graph.roles import Role, Roles
from xaionnx.runtime.tensors import TensorInfo
from xaionnx.short_repr import short_repr, short_sizes
from xaionnx.typing import Array, Feeds

if TYPE_CHECKING:
    import onnx

    from xaionnx.data.spec import InputSpec
    from xaionnx.graph.view import GraphView

RowsMode = Literal["alone", "joint"]
"""How entries along the batch axis are evaluated."""


@final
@dataclass(frozen=True, eq=False)
class ModelAxes:
    """The axes of a model's inputs and outputs in the file.

    Attributes
    ----------
    inputs, outputs : tuple of TensorInfo
        As the file declares them.
    moved : mapping of str to int or None
        Inputs and outputs whose samples are not on the first axis in the file; None if they have none.
    shared : frozenset of str
        Inputs without samples beside others with: settings, the same for every sample.
    stated, rows
        As given to :meth:`xaionnx.runtime.model.Model.load`.
    row_failure : str
        Why the model does not run on a single row as on several; empty if it does.
    """

    finder: AxisFinder | None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    moved: Mapping[str, int | None] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    stated: str | Mapping[str, str] | None = None
    rows: RowsMode | None = None
    row_failure: str = ""

    __repr__ = short_repr

    @classmethod
    def empty(cls) -> ModelAxes:
        """Return the axes of a model whose inputs are not known yet."""
        return cls(None)

    @classmethod
    def find(
        cls,
        view: GraphView,
        inputs: Sequence[TensorInfo],
        outputs: Sequence[TensorInfo],
        spec: InputSpec | None,
        stated: str | Mapping[str, str] | None,
        rows: RowsMode | None,
        model: str,
    ) -> ModelAxes:
        """Find the axes of the samples; other roles are found when they are needed.

        Raises
        ------
        UnknownNameError, ParameterError
            Axes are stated for an unknown tensor or in an unknown way.
        UnsupportedModelError
            Two sources contradict each other.
        """
        if rows not in (None, "alone", "joint"):
            raise ParameterError(f"The 'rows' parameter must be 'alone', 'joint' or None. Got {rows!r} instead.")
        main = (spec.name if spec else None) or next((one.name for one in inputs if one.shape), "")
        given = stated_axes(stated, main)
        told = spec_axes(spec, main, {one.name: len(one.shape) for one in inputs}) | given
        finder = AxisFinder(view, inputs, outputs, told, model)
        samples = {one.name: finder.sample(one) for one in inputs}
        for one in inputs:
            if one.name in given:
                # What a user states is held against the graph before anything is computed.
                finder.input(one)
        own = {name for name, axis in samples.items() if axis is not None}
        free = any(not isinstance(one.shape[axis], int) for one in inputs if (axis := samples[one.name]) is not None)
        if free:
            # If another input has free samples, one with a fixed leading size contains settings.
            own -= {one.name for one in inputs if samples[one.name] == 0 and isinstance(one.shape[0], int)} - {*told}
        explained = next((one.name for one in inputs if one.name == main), None)
        # Beside the samples of a file for one, a channel of size 1 belongs to that sample too.
        is_one = not free and any(samples[one.name] is None and one.shape[:1] == (1,) for one in inputs)
        if not own or rows == "joint" or is_one or (explained is not None and samples[explained] is None):
            # The explained input holds one sample, and so do all.
            whole = {one.name for one in inputs if one.shape} or {one.name for one in inputs}
            own |= whole if not own or is_one or explained not in own else set()
            moved: dict[str, int | None] = dict.fromkeys(own)
            moved |= dict.fromkeys(one.name for one in outputs)
        else:
            moved = {name: axis for name in own if (axis := samples[name])}
            moved |= {one.name: axis for one in outputs if (axis := finder.output(one).sample) != 0}
        shared = frozenset(one.name for one in inputs if one.name not in own)
        return cls(finder, tuple(inputs), tuple(outputs), moved, shared, stated, rows)

    @cached_property
    def _inputs(self) -> Mapping[str, TensorInfo]:
        return {one.name: one for one in self.inputs}

    @cached_property
    def _outputs(self) -> Mapping[str, TensorInfo]:
        return {one.name: one for one in self.outputs}

    def check_rows(self, outputs: Feeds, count: int, model: str) -> None:
        """Check that outputs of a model have a row for each of ``count`` samples.

        Raises
        ------
        UnsupportedModelError
            One has not.
        """
        for one in self.outputs:
            shape = outputs[one.name].shape if one.name in outputs else (count,)
            if shape and shape[0] != count:
                # An output without samples has an axis for one here.
                sizes = shape[1:] if self.moved.get(one.name, 0) is None else shape
                roles = ["N" if size == count and count not in sizes[:at] else "-" for at, size in enumerate(sizes)]
                if roles and roles[-1] == "-":
                    roles[-1] = "class"
                name = one.name
                if not roles:
                    # A number for all: then no axis of the input is that of samples.
                    name, roles = next((i.name, ["-"] * len(i.shape)) for i in self.inputs if i.name not in self.shared)
                raise UnsupportedModelError(
                    f"Output '{one.name}' of {model} has the shape {shape} for {count} sample"
                    f"{'' if count == 1 else 's'}: its first axis is not that of the samples. Say what its axes are, "
                    f"for example with axes={{'{name}': '{' '.join(roles)}'}}."
                )

    def doubtful_outputs(self, names: Collection[str]) -> list[str]:
        """Return those of some outputs whose samples are taken to be on the first axis without a reason."""
        doubtful = []
        for one in self.outputs:
            if one.name in names and one.name not in self.moved and one.shape[:1] != (1,):
                axes = self.of(one.name)
                if axes.sample is not None and axes.axes[axes.sample].source == FIRST_AXIS:
                    doubtful.append(one.name)
        return doubtful

    def of(self, name: str) -> TensorAxes:
        """Return the axes of an input or output in the order of the file.

        Raises
        ------
        UnsupportedModelError
            Two sources contradict each other.
        """
        assert self.finder is not None  # only a model that is being loaded has none
        if name in self._inputs:
            return self.finder.input(self._inputs[name])
        return self.finder.output(self._outputs[name])

    def of_sample(self, name: str) -> Roles:
        """Return the roles of the axes of one sample of an input; empty for a tensor that the file does not declare."""
        if name not in self._inputs:
            return ()
        roles = self.of(name)
        if name in self.shared or (name in self.moved and self.moved[name] is None):
            # RowsMode that see each other are no samples.
            return tuple(Role.UNKNOWN if role is Role.SAMPLE else role for role in roles.roles)
        return roles.of_sample().roles

    def sample_axes(self) -> Mapping[str, int | None]:
        """Return the axis of the samples of each input that is not first; None for inputs that hold one sample."""
        return MappingProxyType({one.name: self.moved[one.name] for one in self.inputs if one.name in self.moved})


def stated_ranks(stated: str | Mapping[str, str] | None) -> dict[str, int]:
    """Return the numbers of axes that a user states, by name."""
    return {name: len(axes.axes) for name, axes in stated_axes(stated, "").items() if name}


def stated_shapes(
    outputs: Iterable[onnx.ValueInfoProto], stated: str | Mapping[str, str] | None
) -> dict[str, Sequence[int | None]]:
    """Return shapes of free sizes for outputs that a user states with another number of axes than the file."""
    found: dict[str, Sequence[int | None]] = {}
    ranks = stated_ranks(stated)
    for value in outputs:
        shape = value.type.tensor_type.shape
        if value.name in ranks and value.type.tensor_type.HasField("shape"):
            count = ranks[value.name]
            found |= {} if count == len(shape.dim) else {value.name: [None] * count}
    return found


def samples_first(array: Array, axis: int | None, rank: int) -> Array:
    """Return an array in the order of the file with the samples on the first of ``rank`` axes.

    Examples
    --------
    >>> samples_first(np.zeros((12, 2, 5)), 1, 3).shape, samples_first(np.zeros((12, 5)), None, 3).shape
    ((2, 12, 5), (1, 12, 5))
    """
    if axis is not None:
        return np.moveaxis(array, axis, 0) if axis and array.ndim > axis else array
    return array[None] if array.ndim == rank - 1 else array


def in_file_order(array: Array, axis: int | None, lead: int = 0) -> Array:
    """Return an array with the samples first, after ``lead`` axes, in the order of the file's axes.

    Without a sample axis, None, that of a single sample is dropped.

    Examples
    --------
    >>> in_file_order(np.zeros((2, 12, 5)), 1).shape, in_file_order(np.zeros((1, 12, 5)), None).shape
    ((12, 2, 5), (12, 5))
    """
    if axis is not None:
        return np.moveaxis(array, lead, lead + axis) if axis else array
    return np.take(array, 0, axis=lead) if array.shape[lead] == 1 else array


def other_axes(model: str, output: str, shape: Sequence[int | str | None], stated: int) -> ParameterError:
    """Return the error that an output of a model has another number of axes than ``stated``."""
    sizes = ", ".join("?" if size is None else str(size) for size in short_sizes(shape))
    roles = " ".join(["N", *"TFK", *["-"] * len(shape)][: len(shape)])
    return ParameterError(
        f"Output '{output}' of {model} has {len(shape)} axes, ({sizes}), but {stated} "
        f"{'is' if stated == 1 else 'are'} stated. State one role per axis, for example with "
        f"axes={{'{output}': '{roles}'}}."
    )
