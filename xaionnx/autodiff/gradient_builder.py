"""The builder that rules emit into: it also knows what the probe learned of the forward tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.builder import Builder, Operand
from xaionnx.graph.probe import Probe
from xaionnx.typing import Array, Document

Shape = tuple[int | None, ...]
# Types that a gradient is calculated in.
_WIDE = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
# Behind the end of any axis.
_FAR = 2**31 - 1

Known = TypeVar("Known")


class GradientBuilder(Builder):
    """Adds the nodes of a gradient behind a forward graph.

    ``shape``, ``sizes`` and ``constant_of`` answer for tensors of the forward graph; of what was emitted only the
    data type is known. A size that follows the batch is None: use :meth:`shape_of` or :meth:`reshape_like`, which
    write it into the graph.
    """

    def __init__(self, model: ir.Model, probe: Probe) -> None:
        super().__init__(model, prefix="xai_")
        self._probe = probe
        self._approximated: Counter[str] = Counter()
        self._twins: dict[ir.Value, ir.Value] = {}
        # What is differentiated with respect to, and what the rules of a table keep for each other during one walk.
        self.sources: tuple[ir.Value, ...] = ()
        self.notes: Document = {}
        for value in _values(model.graph):
            dtype = probe.dtypes.get(str(value.name))
            if value.dtype is None and dtype is not None:
                value.type = ir.TensorType(ir.DataType.from_numpy(dtype))

    def shape(self, value: ir.Value) -> Shape:
        """Sizes of a forward tensor, None where one follows the batch.

        Raises
        ------
        UnsupportedModelError
            The probe did not see the tensor.
        """
        value = self._twins.get(value, value)
        if value.is_initializer() and value.shape is not None:
            return tuple(int(str(size)) for size in value.shape)
        shape: Shape = self._known(self._probe.shapes, value)
        return shape

    def sizes(self, value: ir.Value) -> tuple[int, ...]:
        """Sizes of a forward tensor in the probe's run; those that follow the batch hold for that run alone."""
        value = self._twins.get(value, value)
        if value.is_initializer() and value.shape is not None:
            return tuple(int(str(size)) for size in value.shape)
        sizes: tuple[int, ...] = self._known(self._probe.sizes, value)
        return sizes

    def size(self, value: ir.Value, axis: int) -> int:
        """The size of one axis that must not follow the batch.

        Raises
        ------
        UnsupportedModelError
            It does.
        """
        size = self.shape(value)[axis]
        if size is None:
            raise UnsupportedModelError(
                f"Axis {axis} of tensor '{value.name}' follows the number of samples, and its gradient needs a fixed "
                "size there. Explain an earlier tensor, or use a method without gradients: occlusion, rise, lime, "
                "kernel_shap."
            )
        return size

    def rank(self, value: ir.Value) -> int:
        return len(self.sizes(value))

    def constant_of(self, value: ir.Value | None) -> Array | None:
        """The numbers of a forward tensor, where they depend on neither the inputs nor the batch."""
        if value is None:
            return None
        if value.is_initializer() and value.const_value is not None:
            return np.asarray(value.const_value.numpy())
        return self._probe.constants.get(str(value.name))

    def fixed(self, node: ir.Node, index: int) -> Array | None:
        """The numbers of an input that a rule needs; None where the input is left out.

        Raises
        ------
        UnsupportedModelError
            They change with the inputs or with the batch.
        """
        if index >= len(node.inputs) or node.inputs[index] is None:
            return None
        array = self.constant_of(node.inputs[index])
        if array is None:
            raise self.refusal(node, f"its input number {index} changes from run to run")
        return array

    def refusal(self, node: ir.Node, reason: str) -> UnsupportedModelError:
        """The error for a node that a rule does not cover: ``reason`` completes "..., because"."""
        return UnsupportedModelError(
            f"ONNX op '{node.op_type}' (node '{node.name}') cannot be differentiated, because {reason}. Explain an "
            "earlier tensor, or use a method without gradients: occlusion, rise, lime, kernel_shap."
        )

    def approximate(self, node: ir.Node, how: str) -> None:
        """Label the gradient through a node as no derivative of what the model computes.

        ``how`` says what it is instead, as in "QuantizeLinear: straight through". Every result that the gradient
        enters carries the label.
        """
        self._approximated[f"{node.op_type}: {how}"] += 1

    @property
    def approximations(self) -> tuple[str, ...]:
        """The labels, each with the number of its nodes."""
        return tuple(
            f"{label} ({count} node{'s' * (count > 1)})" for label, count in sorted(self._approximated.items())
        )

    def kind(self, value: ir.Value) -> ir.DataType:
        """The type of a tensor's gradient: its own, or float32 where it holds quantised numbers."""
        return value.dtype if value.dtype in _WIDE else ir.DataType.FLOAT

    def shape_of(self, value: ir.Value) -> ir.Value:
        """The shape of a forward tensor as a tensor: a constant where nothing follows the batch."""
        shape = self.shape(value)
        if None in shape:
            return self.op("Shape", value)
        return self.constant(np.array(shape, dtype=np.int64))

    def reshape_like(self, value: ir.Value, like: ir.Value) -> ir.Value:
        """``value`` in the shape of a forward tensor with as many numbers."""
        shape = self.shape(like)
        if shape.count(None) == 1 and 0 not in shape:
            wanted = self.constant(np.array([-1 if size is None else size for size in shape], dtype=np.int64))
        else:
            wanted = self.shape_of(like)
        return self.reshape(value, wanted)

    def expand_like(self, value: Operand, like: ir.Value) -> ir.Value:
        """``value`` repeated to the shape of a forward tensor."""
        return self.op("Expand", value, self.shape_of(like))

    def zeros_like(self, like: ir.Value) -> ir.Value:
        """Zeros in the shape of a forward tensor and the type of its gradient."""
        dtype = self.kind(like)
        return self.op("Expand", self.constant(np.zeros((), dtype=dtype.numpy()), dtype), self.shape_of(like))

    def again(self, node: ir.Node, *operands: ir.Value | None, outputs: int = 1) -> ir.Node:
        """Emit a forward node once more, on other operands of the same shapes.

        Of its tensors shapes and sizes are known as of the old ones, so that a rule can be asked for its backward.
        """
        attributes: Document = {name: a.value for name, a in node.attributes.items()}
        made: tuple[ir.Value, ...] = self.op(node.op_type, *operands, outputs=outputs, domain=node.domain, **attributes)
        for new, old in (*zip(made, node.outputs, strict=False), *zip(operands, node.inputs, strict=False)):
            if new is not None and old is not None:
                self.alike(new, old)
                if new.dtype is None:
                    new.type = old.type
        found = made[0].producer()
        assert found is not None
        return found

    def alike(self, value: ir.Value, like: ir.Value) -> None:
        """Let an emitted tensor have the known shape of a forward tensor."""
        if value is not like:
            self._twins[value] = self._twins.get(like, like)

    def pad(self, value: ir.Value, begin: Sequence[int], end: Sequence[int]) -> ir.Value:
        """Zeros in front of and behind each axis; a number below 0 crops. An entry an axis, as in ``Pad``."""
        cropped = [axis for axis, (a, b) in enumerate(zip(begin, end, strict=True)) if a < 0 or b < 0]
        if cropped:  # not every runtime takes pads below 0
            starts = self.ints(*(max(-begin[axis], 0) for axis in cropped))
            ends = self.ints(*(end[axis] if end[axis] < 0 else _FAR for axis in cropped))
            value = self.op("Slice", value, starts, ends, self.ints(*cropped))
        padded = [axis for axis, (a, b) in enumerate(zip(begin, end, strict=True)) if a > 0 or b > 0]
        if padded:
            pads = [max(begin[axis], 0) for axis in padded] + [max(end[axis], 0) for axis in padded]
            value = self.op("Pad", value, self.ints(*pads), None, self.ints(*padded))
        return value

    def ints(self, *numbers: int) -> ir.Value:
        """A one-dimensional int64 constant, as axes, pads and sizes are."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def further_output(self, node: ir.Node, index: int, dtype: ir.DataType) -> ir.Value:
        """An optional output of a forward node, asked for where the model does not."""
        if len(node.outputs) <= index:
            node.resize_outputs(index + 1)
        value = node.outputs[index]
        if not value.name:
            value.name = self.fresh(f"{node.op_type}_output")
        if value.dtype is None:
            value.type = ir.TensorType(dtype)
        return value

    def select_back(self, value: ir.Value, axis: int, index: Array, size: int) -> ir.Value:
        """Undo a selection: entry i along ``axis`` goes to position ``index[i]`` of ``size``, and is added there.

        Made of Gather alone, once for each time that a position occurs: no provider lacks it, and its sums come
        in the same order on each.
        """
        index = np.asarray(index, dtype=np.int64) % size
        count = len(index)
        occurrence = np.zeros(count, dtype=np.int64)
        order = np.argsort(index, kind="stable")
        ranked = index[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if count else np.zeros(0, dtype=np.int64)
        lengths = np.diff(np.r_[starts, count])
        occurrence[order] = np.arange(count) - np.repeat(starts, lengths)
        # A zero behind the entries stands for all positions that nothing was selected from.
        padded = self.op("Pad", value, self.ints(0, 1), None, self.ints(axis))
        parts = []
        for turn in range(int(lengths.max(initial=1))):
            inverse = np.full(size, count, dtype=np.int64)
            inverse[index[occurrence == turn]] = np.flatnonzero(occurrence == turn)
            parts.append(self.op("Gather", padded, self.constant(inverse), axis=axis))
        return parts[0] if len(parts) == 1 else self.op("Sum", *parts)

    def _known(self, facts: Mapping[str, Known], value: ir.Value) -> Known:
        name = str(value.name)
        if name not in facts:
            raise UnsupportedModelError(f"The shape of tensor '{name}' is not known: it holds no array.")
        return facts[name]


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]
