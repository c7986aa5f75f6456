"""GradientBuilder: the builder for rules, with the probed shapes and constants of the forward tensors."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.builder import Builder, Operand
from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.probe import Probe
from xaionnx.graph.signs import Signs
from xaionnx.typing import Array, Document

Shape = tuple[int | None, ...]
# Data types in which gradients are computed.
_WIDE = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
# An index after the end of any axis.
_FAR = 2**31 - 1

# The entry of a node's metadata with the layer that it is a part of, OP/NAME, if the layer was written out.
ORIGIN = "xaionnx_origin"

Known = TypeVar("Known")


def origin_op(node: ir.Node) -> str | None:
    """Return the op of the layer that a node was written out from; None for a node of the model itself."""
    return None if ORIGIN not in node.metadata_props else node.metadata_props[ORIGIN].partition("/")[0]


def _float_of_8_bits(value: ir.Value) -> ir.DataType | None:
    """The type of floats of 8 bits, which numpy sees as bytes; None for bytes."""
    node = value.producer()
    if node is None or not node.inputs:
        return None
    if node.op_type == "QuantizeLinear":
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        kind = ir.DataType(node.attributes.get_int("output_dtype", 0)) if zero is None else zero.dtype
    elif node.op_type == "Cast":
        kind = ir.DataType(node.attributes.get_int("to", 0))
    else:
        moves = find_op(node.op_type).kind is Kind.MOVES
        kind = node.inputs[0].dtype if moves and node.inputs[0] is not None else None
    return kind if kind is not None and kind.is_floating_point() else None


class GradientBuilder(Builder):
    """Appends the nodes of a gradient to a forward graph.

    ``shape``, ``sizes`` and ``constant_of`` are for tensors of the forward graph; of emitted tensors only the data type
    is known. A size that varies with the batch is None: use :meth:`shape_of` or :meth:`reshape_like`, which compute it
    in the graph.
    """

    def __init__(self, model: ir.Model, probe: Probe) -> None:
        super().__init__(model, prefix="xai_")
        self._probe = probe
        self._approximated: defaultdict[str, set[str | int]] = defaultdict(set)
        self._same_shape: dict[ir.Value, ir.Value] = {}
        self._lasting: dict[Hashable, ir.Value] = {}
        self.signs = Signs(self.constant_of)
        # The tensors of the gradients, and state that the rules of a table share during one walk.
        self.sources: tuple[ir.Value, ...] = ()
        self.notes: Document = {}
        for value in _values(model.graph):
            dtype = probe.dtypes.get(str(value.name))
            if value.dtype is None and dtype is not None:
                kind = _float_of_8_bits(value) if dtype == np.uint8 else None
                value.type = ir.TensorType(kind or ir.DataType.from_numpy(dtype))

    def shape(self, value: ir.Value) -> Shape:
        """Return the shape of a forward tensor, with None for a size that varies with the batch.

        Raises
        ------
        UnsupportedModelError
            The probe did not see the tensor.
        """
        value = self._same_shape.get(value, value)
        if value.is_initializer() and value.shape is not None:
            return tuple(int(str(size)) for size in value.shape)
        shape: Shape = self._known(self._probe.shapes, value)
        return shape

    def sizes(self, value: ir.Value) -> tuple[int, ...]:
        """Return the shape of a forward tensor in the probe's run, with that run's batch size."""
        value = self._same_shape.get(value, value)
        if value.is_initializer() and value.shape is not None:
            return tuple(int(str(size)) for size in value.shape)
        sizes: tuple[int, ...] = self._known(self._probe.sizes, value)
        return sizes

    def size(self, value: ir.Value, axis: int) -> int:
        """Return the size of an axis.

        Raises
        ------
        UnsupportedModelError
            The size varies with the batch.
        """
        size = self.shape(value)[axis]
        if size is None:
            raise UnsupportedModelError(
                f"Axis {axis} of tensor '{value.name}' varies with the number of samples, but its gradient needs a "
                "fixed size there. Explain an earlier tensor, or use a method without gradients: occlusion, rise, "
                "lime, kernel_shap."
            )
        return size

    def rank(self, value: ir.Value) -> int:
        return len(self.sizes(value))

    def constant_of(self, value: ir.Value | None) -> Array | None:
        """Return the value of a forward tensor that depends on neither the inputs nor the batch; else None."""
        if value is None:
            return None
        if value.is_initializer() and value.const_value is not None:
            return np.asarray(value.const_value.numpy())
        return self._probe.constants.get(str(value.name))

    def constant_input(self, node: ir.Node, index: int) -> Array | None:
        """Return the value of a node's input that must be constant; None if the input is left out.

        Raises
        ------
        UnsupportedModelError
            The value depends on the inputs or on the batch.
        """
        if index >= len(node.inputs) or node.inputs[index] is None:
            return None
        array = self.constant_of(node.inputs[index])
        if array is None:
            raise self.refusal(node, f"its input number {index} changes from run to run")
        return array

    def refusal(self, node: ir.Node, reason: str) -> UnsupportedModelError:
        """Return the error for a node that a rule does not support; ``reason`` completes "..., because"."""
        return UnsupportedModelError(
            f"ONNX op '{node.op_type}' (node '{node.name}') cannot be differentiated, because {reason}. Explain an "
            "earlier tensor, or use a method without gradients: occlusion, rise, lime, kernel_shap."
        )

    def approximate(self, node: ir.Node, how: str) -> None:
        """Label a node as one whose gradient is not the derivative of what it computes.

        ``how`` names the approximation, as in "QuantizeLinear: straight through". Every result computed from the
        gradient carries the label. Nodes that write a layer out count as that layer, once.
        """
        origin = node.metadata_props.get(ORIGIN)
        labelled = self._approximated[f"{origin_op(node) or node.op_type}: {how}"]
        labelled.add(len(labelled) if origin is None else origin)

    def label(self, op_type: str, how: str, count: int) -> None:
        """Label nodes of an op, in place of the labels that :meth:`approximate` gave to some of them."""
        for label in [label for label in self._approximated if label.startswith(f"{op_type}: ")]:
            del self._approximated[label]
        self._approximated[f"{op_type}: {how}"] = set(range(count))

    @property
    def approximations(self) -> tuple[str, ...]:
        """The labels, each with its number of nodes."""
        counts = {label: len(nodes) for label, nodes in sorted(self._approximated.items())}
        return tuple(f"{label} ({count} node{'s' * (count > 1)})" for label, count in counts.items())

    def gradient_dtype(self, value: ir.Value) -> ir.DataType:
        """Return the data type of a tensor's gradient: its own, or float32 for quantised tensors."""
        return value.dtype if value.dtype in _WIDE else ir.DataType.FLOAT

    def read_shapes_from(self, values: Iterable[ir.Value]) -> None:
        """Read shapes from these forward tensors where they have the same, so that others need not be computed."""
        for value in values:
            if (extent := self._extent(value)) is not None:
                self._lasting.setdefault(extent, value)

    def _extent(self, value: ir.Value) -> Hashable:
        """The sizes of a tensor for any number of samples, from two numbers; None if the probe did not see it."""
        name = str(self._same_shape.get(value, value).name)
        return (self._probe.sizes[name], self._probe.fewest[name]) if name in self._probe.sizes else None

    def _read_shape(self, value: ir.Value) -> ir.Value:
        return self.op("Shape", self._lasting.get(self._extent(value), value))

    def shape_of(self, value: ir.Value) -> ir.Value:
        """Return the shape of a forward tensor as a tensor: a constant if no size varies with the batch."""
        shape = self.shape(value)
        if None in shape:
            return self._read_shape(value)
        return self.constant(np.array(shape, dtype=np.int64))

    def sizes_of(self, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Return the sizes of some axes of a forward tensor, as a tensor (A,): a constant if none varies."""
        shape = self.shape(value)
        known = [size for size in (shape[axis] for axis in axes) if size is not None]
        if len(known) == len(axes):
            return self.ints(*known)
        return self.op("Gather", self._read_shape(value), self.ints(*(axis % len(shape) for axis in axes)), axis=0)

    def count_of(self, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Return the number of entries over some axes of a forward tensor, as a tensor (1,)."""
        shape = self.shape(value)
        known = [size for size in (shape[axis] for axis in axes) if size is not None]
        if len(known) == len(axes):
            return self.ints(math.prod(known))
        return self.op("ReduceProd", self.sizes_of(value, axes), keepdims=1)

    def join_sizes(self, *sizes: ir.Value) -> ir.Value:
        """Return one-dimensional tensors of sizes as one: a constant if all are."""
        held = [None if size.const_value is None else size.const_value.numpy() for size in sizes]
        known = [array for array in held if array is not None]
        if len(known) == len(held):
            return self.ints(*(int(number) for array in known for number in array))
        return self.op("Concat", *sizes, axis=0)

    def add_sizes(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return the sum of two tensors of sizes: a constant if both are."""
        if a.const_value is None or b.const_value is None:
            return self.op("Add", a, b)
        return self.ints(*(a.const_value.numpy() + b.const_value.numpy()))

    def reshape_like(self, value: ir.Value, like: ir.Value) -> ir.Value:
        """Return ``value`` reshaped to the shape of a forward tensor."""
        shape = self.shape(like)
        if shape.count(None) == 1 and 0 not in shape:
            wanted = self.constant(np.array([-1 if size is None else size for size in shape], dtype=np.int64))
        else:
            wanted = self.shape_of(like)
        return self.reshape(value, wanted)

    def expand_like(self, value: Operand, like: ir.Value) -> ir.Value:
        """Return ``value`` broadcast to the shape of a forward tensor."""
        return self.op("Expand", value, self.shape_of(like))

    def zeros_like(self, like: ir.Value) -> ir.Value:
        """Return zeros with the shape of a forward tensor and the data type of its gradient."""
        dtype = self.gradient_dtype(like)
        return self.op("Expand", self.constant(np.zeros((), dtype=dtype.numpy()), dtype), self.shape_of(like))

    def emit_again(self, node: ir.Node, *operands: ir.Value | None, outputs: int = 1) -> ir.Node:
        """Emit a forward node once more, on other operands of the same shapes.

        The shapes of the old tensors are known for the new ones, so that rules apply to the new node.
        """
        attributes: Document = {name: a.value for name, a in node.attributes.items()}
        made: tuple[ir.Value, ...] = self.op(node.op_type, *operands, outputs=outputs, domain=node.domain, **attributes)
        for new, old in (*zip(made, node.outputs, strict=False), *zip(operands, node.inputs, strict=False)):
            if new is not None and old is not None:
                self.match_shape(new, old)
                if new.dtype is None:
                    new.type = old.type
        found = made[0].producer()
        assert found is not None
        return found

    def match_shape(self, value: ir.Value, like: ir.Value) -> None:
        """Record that an emitted tensor has the shape of a forward tensor."""
        if value is not like:
            self._same_shape[value] = self._same_shape.get(like, like)

    def pad(self, value: ir.Value, begin: Sequence[int], end: Sequence[int]) -> ir.Value:
        """Return ``value`` padded with zeros before and after each axis, as by ``Pad``; negative numbers crop."""
        cropped = [axis for axis, (a, b) in enumerate(zip(begin, end, strict=True)) if a < 0 or b < 0]
        if cropped:  # not every runtime supports negative pads
            starts = self.ints(*(max(-begin[axis], 0) for axis in cropped))
            ends = self.ints(*(end[axis] if end[axis] < 0 else _FAR for axis in cropped))
            value = self.op("Slice", value, starts, ends, self.ints(*cropped))
        if max(*begin, *end) > 0:
            # Pads of all axes: onnxruntime 1.31 overlooks the axes of a Pad when it moves a Transpose behind it.
            value = self.op("Pad", value, self.ints(*(max(pad, 0) for pad in (*begin, *end))))
        return value

    def ints(self, *numbers: int) -> ir.Value:
        """Return a one-dimensional int64 constant, for axes, pads and sizes."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def optional_output(self, node: ir.Node, index: int, dtype: ir.DataType) -> ir.Value:
        """Return an optional output of a forward node, added if the model does not use it."""
        if len(node.outputs) <= index:
            node.resize_outputs(index + 1)
        value = node.outputs[index]
        if not value.name:
            value.name = self.fresh(f"{node.op_type}_output")
        if value.dtype is None:
            value.type = ir.TensorType(dtype)
        return value

    def select_back(self, value: ir.Value, rank: int, axis: int, index: Array, size: int) -> ir.Value:
        """Return the transpose of a selection: entry i along ``axis`` is added at position ``index[i]`` of ``size``.

        ``rank`` is that of ``value``.

        It uses Gather only, as many times as a position occurs: every provider has it, and sums in the same order.
        """
        index = np.asarray(index, dtype=np.int64) % size
        count = len(index)
        occurrence = np.zeros(count, dtype=np.int64)
        order = np.argsort(index, kind="stable")
        ranked = index[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if count else np.zeros(0, dtype=np.int64)
        lengths = np.diff(np.r_[starts, count])
        occurrence[order] = np.arange(count) - np.repeat(starts, lengths)
        # A zero after the entries, for positions that were not selected.
        padded = self.pad(value, [0] * rank, [int(a == axis) for a in range(rank)])
        parts = []
        for turn in range(int(lengths.max(initial=1))):
            inverse = np.full(size, count, dtype=np.int64)
            inverse[index[occurrence == turn]] = np.flatnonzero(occurrence == turn)
            parts.append(self.op("Gather", padded, self.constant(inverse), axis=axis))
        return parts[0] if len(parts) == 1 else self.op("Sum", *parts)

    def _known(self, facts: Mapping[str, Known], value: ir.Value) -> Known:
        name = str(value.name)
        if name not in facts:
            raise UnsupportedModelError(f"The shape of tensor '{name}' is not known: it is not an array.")
        return facts[name]


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]
