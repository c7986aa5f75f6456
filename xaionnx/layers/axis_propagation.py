"""Where the places of an input stand in the tensors made of it: on which axis, whole, merged, split or among others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from xaionnx.graph.view import GraphView
from xaionnx.layers.axis_factors import (
    Axis,
    Layout,
    Part,
    among,
    broadcast,
    cut,
    filled,
    lost,
    regrouped,
    tokens_on,
    whole_on,
)

# These run along the axes behind the channels, which they take to come first.
_RUNNING = frozenset(
    {"Conv", "FusedConv", "QLinearConv", "ConvInteger", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"}
)
# Of these, models make the sizes that they bring tensors to.
_COUNTING = frozenset(
    {"Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Add", "Sub", "Mul", "Div", "Mod", "Cast", "ConstantOfShape"}
    | {"Reshape", "Transpose", "Identity", "Where", "Equal", "Expand", "Neg"}
)
_FEW = 64
_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
# These leave no places, or move numbers between them in ways that are not followed.
_ENDING = frozenset(
    {"Einsum", "LSTM", "GRU", "RNN", "Shape", "Size", "NonZero", "TopK", "GatherND", "GatherElements", "GridSample"}
    | {"AffineGrid", "RoiAlign", "MaxRoiPool", "NonMaxSuppression", "OneHot", "Loop", "Scan", "If", "DFT", "STFT"}
)


def propagate_axes(
    view: GraphView, starts: Mapping[str, Layout], known: Mapping[str, Sequence[int | None]]
) -> PropagatedAxes:
    """Follow the axes of some tensors through a graph, whose shapes are ``known`` as far as they are."""
    found = PropagatedAxes(view, known, dict(starts))
    for node in view.nodes:
        found.step(node)
    return found


class PropagatedAxes:
    """The layouts of tensors, and those that the first op to run along places reads."""

    def __init__(self, view: GraphView, known: Mapping[str, Sequence[int | None]], layouts: dict[str, Layout]) -> None:
        self._view, self.known, self.layouts = view, known, layouts
        self.constants: dict[str, onnx.TensorProto] = dict(view.constants)
        self.run_along: Layout | None = None

    def step(self, node: onnx.NodeProto) -> None:
        self._count(node)
        read = [self.layouts[name] for name in node.input if name in self.layouts]
        if not read or node.op_type in _ENDING:
            return
        given = self._view.attributes(node)
        first = self.layouts.get(node.input[0])
        for index, name in enumerate(node.output):
            if not name:
                continue
            if node.op_type == "Concat":
                made = self._concat(node, given, name)
            elif node.op_type == "MatMul":
                made = self._product(node)
            elif first is None or len(first) < 2:
                # Weights of dynamic convolutions, indices, masks.
                made = broadcast(read) if node.op_type not in _FIRST and node.op_type not in _RUNNING else None
            elif node.op_type in _RUNNING:
                made = self._run(node, given, first, name)
            elif node.op_type in _FIRST:
                made = _FIRST[node.op_type](self, node, given, first, name, index)
            elif node.op_type.startswith(("Reduce", "Arg")):
                made = self._reduced(node, given, first)
            else:
                made = broadcast(read)
            sizes = self._sizes(name)
            if made is not None and sizes is None:
                self.layouts[name] = made
            elif made is not None and sizes is not None and len(sizes) == len(made):
                self.layouts[name] = tuple(filled(axis, size) for axis, size in zip(made, sizes, strict=True))

    def _count(self, node: onnx.NodeProto) -> None:
        """Compute what is computed of sizes, of which the inference of shapes finds a part."""
        if node.op_type == "Shape":
            sizes = self._sizes(node.input[0])
            if sizes and 0 not in sizes:
                given = self._view.attributes(node)
                whole = np.array(sizes[given.get("start", 0) : given.get("end")], dtype=np.int64)
                self.constants[node.output[0]] = numpy_helper.from_array(whole)
        elif (
            node.op_type in _COUNTING and not node.domain and all(name in self.constants for name in node.input if name)
        ):
            fed = {name: self.constants[name] for name in node.input if name}
            if all(math.prod(tensor.dims) <= _FEW and tensor.data_type in _WHOLE for tensor in fed.values()):
                from onnx.reference import ReferenceEvaluator

                read = [helper.make_tensor_value_info(name, t.data_type, t.dims) for name, t in fed.items()]
                inner = helper.make_graph([node], "count", read, [onnx.ValueInfoProto(name=node.output[0])])
                opsets = [helper.make_opsetid(domain, version) for domain, version in self._view.opsets.items()]
                arrays = {name: numpy_helper.to_array(tensor) for name, tensor in fed.items()}
                (made,) = ReferenceEvaluator(helper.make_model(inner, opset_imports=opsets)).run(None, arrays)
                self.constants[node.output[0]] = numpy_helper.from_array(np.asarray(made))

    def _sizes(self, name: str) -> list[int] | None:
        """Sizes of a tensor, 0 where one is not known; None where their number is not."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if name not in self.known:
            return None
        layout = self.layouts.get(name, ())
        counted = [math.prod(part.size for part in axis) for axis in layout] or [0] * len(self.known[name])
        return [size or own for size, own in zip(self.known[name], counted, strict=True)]

    def _size(self, name: str, axis: int) -> int:
        sizes = self._sizes(name)
        return sizes[axis] if sizes is not None and axis < len(sizes) else 0

    def _numbers(self, node: onnx.NodeProto, index: int, given: Mapping[str, Any], key: str) -> list[int] | None:
        """Whole numbers of an attribute, or of an input that takes its place; None where they are not known."""
        if key in given:
            value = given[key]
            return [int(n) for n in (value if isinstance(value, (list, tuple)) else [value])]
        if index < len(node.input) and node.input[index] in self.constants:
            return [int(n) for n in numpy_helper.to_array(self.constants[node.input[index]]).ravel()]
        return None

    def _run(self, node: onnx.NodeProto, given: Mapping[str, Any], layout: Layout, name: str) -> Layout:
        self.run_along = self.run_along or layout
        strides, kernel = given.get("strides", ()), given.get("kernel_shape", ())
        channels = layout[1] if node.op_type.endswith("Pool") else (Part("C", self._size(name, 1)),)
        made = [layout[0], tuple(replace(p, kind="?") if p.placed else p for p in channels)]
        for at, axis in enumerate(layout[2:]):
            stride, size = strides[at] if at < len(strides) else 1, self._size(name, at + 2)
            part = whole_on(axis)
            if part is not None:
                due = part.due // part.under
                due = due * stride if node.op_type == "ConvTranspose" else -(-due // stride)
                made.append((Part.place(part.kind, size, min(due, size) if size else due),))
            elif at < len(kernel) and kernel[at] == stride == 1:
                made.append(axis)
            else:
                made.append(lost(axis, size))
        return tuple(made)

    def _product(self, node: onnx.NodeProto) -> Layout | None:
        """Rows are those of the first factor, columns those of the second."""
        one, other = (self.layouts.get(name) for name in node.input[:2])
        columns = other[-1] if other else (Part("C", self._size(node.output[0], -1)),)
        if one:
            return (*one[:-1], columns)
        if other is None or len(other) < 2:
            return None
        return (*other[:-2], (Part("C", self._size(node.output[0], len(other) - 2)),), columns)

    def _concat(self, node: onnx.NodeProto, given: Mapping[str, Any], name: str) -> Layout | None:
        read = [(self.layouts.get(given_name), given_name) for given_name in node.input]
        made = broadcast([layout for layout, _ in read if layout])
        if made is None:
            return None
        axis = given["axis"] % len(made)
        parts = [layout[axis] if layout and len(layout) == len(made) else () for layout, _ in read]
        placed = [at for at, part in enumerate(parts) if any(p.placed for p in part)]
        if not placed:
            joined: Axis = (Part("?" if any(p.kind == "?" for p in made[axis]) else "C", self._size(name, axis)),)
        elif len(placed) == 1 and (tokens := tokens_on(parts[placed[0]])) is not None:
            sizes = [self._size(given_name, axis) for _, given_name in read]
            sizes[placed[0]] = tokens.size
            joined = (among(tokens, sizes[: placed[0]], sizes[placed[0] + 1 :]),)
        else:
            joined = (Part("?", self._size(name, axis)),)
        return (*made[:axis], joined, *made[axis + 1 :])

    def _reduced(self, node: onnx.NodeProto, given: Mapping[str, Any], layout: Layout) -> Layout | None:
        axes = self._numbers(node, 1, given, "axis" if node.op_type.startswith("Arg") else "axes")
        if axes is None and len(node.input) > 1:
            return None
        gone = range(len(layout)) if axes is None else {axis % len(layout) for axis in axes}
        kept = given.get("keepdims", 1)
        return tuple(() if at in gone else axis for at, axis in enumerate(layout) if kept or at not in gone)

    def _transposed(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        order = given.get("perm", range(len(layout))[::-1])
        return tuple(layout[axis] for axis in order) if len(order) == len(layout) else None

    def _reshaped(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        target = self._numbers(node, 1, {}, "") if node.op_type == "Reshape" else None
        sizes, held = self._sizes(name), math.prod(part.size for axis in layout for part in axis)
        if target:
            sizes = [size or max(wanted, 0) for size, wanted in zip(sizes or [0] * len(target), target, strict=True)]
        if not sizes or not held:
            return None
        if sizes.count(0) == 1:
            rest = math.prod(size for size in sizes if size)
            sizes = [size or held // rest for size in sizes]
        return None if math.prod(sizes) != held else regrouped(layout, sizes)

    def _squeezed(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        axes = self._numbers(node, 1, given, "axes")
        if axes is None:
            return self._reshaped(node, given, layout, name, index)
        gone = {axis % len(layout) for axis in axes}
        return tuple(axis for at, axis in enumerate(layout) if at not in gone)

    def _unsqueezed(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        axes = self._numbers(node, 1, given, "axes")
        if axes is None:
            return self._reshaped(node, given, layout, name, index)
        wide = len(layout) + len(axes)
        new, rest = {axis % wide for axis in axes}, iter(layout)
        return tuple(() if at in new else next(rest) for at in range(wide))

    def _pooled(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout:
        return (*layout[:2], *(() for _ in layout[2:]))

    def _affine(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        return None if given.get("transA") else (*layout[:-1], (Part("C", self._size(name, -1)),))

    def _attended(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        return None if index else (*layout[:-1], (Part("C", self._size(name, len(layout) - 1)),))

    def _resized(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout:
        """Places are more, fewer, or surrounded by others: the input is still behind each of them."""
        cropping = given.get("coordinate_transformation_mode") == "tf_crop_and_resize"
        made = []
        pads = self._numbers(node, 1, given, "pads") if node.op_type == "Pad" else None
        for at, axis in enumerate(layout):
            size = self._size(name, at)
            if not size and pads and len(pads) == 2 * len(layout):
                held = self._size(node.input[0], at)
                size = held + pads[at] + pads[at + len(layout)] if held else 0
            part = whole_on(axis)
            tokens = tokens_on(axis)
            if tokens is not None and node.op_type == "Pad":
                fit = pads is not None and len(pads) == 2 * len(layout) and min(pads) >= 0
                made.append(
                    (among(tokens, pads[at : at + 1], pads[at + len(layout) :][:1], none=True),)
                    if pads is not None and fit
                    else lost(axis, size)
                )
            elif part is None or cropping:
                same = size and size == math.prod(p.size for p in axis)
                made.append(axis if same or not any(p.placed for p in axis) else lost(axis, size))
            elif node.op_type == "Pad":
                made.append((Part.place(part.kind, size, part.due // part.under),))
            else:
                held = max(part.size, 1)
                made.append((Part.place(part.kind, size, round(part.due / part.under * size / held)),))
        return tuple(made)

    def _stretched(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        """What an op repeats is no place, as far as the sizes tell."""
        sizes, missing = self._sizes(name), len(self._sizes(name) or layout) - len(layout)
        if sizes is None or missing < 0:
            return None
        wide: Layout = ((),) * missing + layout
        held = [1] * missing + (self._sizes(node.input[0]) or [0] * len(layout))
        return tuple(
            axis if size and size == old else lost(axis, size)
            for axis, size, old in zip(wide, sizes, held, strict=True)
        )

    def _gathered(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        sizes = self._sizes(name)
        if node.input[1] in self.layouts or sizes is None:
            return None
        at, new = given.get("axis", 0) % len(layout), len(sizes) - len(layout) + 1
        taken = tuple(lost(layout[at], sizes[at + i]) for i in range(max(new, 0)))
        return (*layout[:at], *taken, *layout[at + 1 :])

    def _mixed(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        """Along one axis, numbers of a place go to others."""
        if node.op_type == "ReverseSequence":
            axes: list[int] | None = [given.get("time_axis", 0)]
        else:
            axes = self._numbers(node, 1, {}, "")
        gone = {axis % len(layout) for axis in axes} if axes is not None else range(len(layout))
        return tuple(lost(axis, self._size(name, at)) if at in gone else axis for at, axis in enumerate(layout))

    def _sliced(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout | None:
        starts, ends = self._numbers(node, 1, given, "starts"), self._numbers(node, 2, given, "ends")
        axes, steps = self._numbers(node, 3, given, "axes"), self._numbers(node, 4, given, "steps")
        if len(node.input) > 3 and node.input[3] and axes is None:
            return None
        if len(node.input) > 4 and node.input[4] and steps is None:
            return None
        if axes is None:
            axes = list(range(len(starts or layout)))
        made = list(layout)
        for i, axis in enumerate(axes):
            at = axis % len(layout)
            held = self._size(node.input[0], at)
            chosen = None
            if starts and ends and held:
                chosen = range(held)[starts[i] : ends[i] : steps[i] if steps else 1]
            made[at] = cut(layout[at], held, self._size(name, at), chosen, steps[i] if steps else 1)
        return tuple(made)

    def _divided(self, node: Any, given: Mapping[str, Any], layout: Layout, name: str, index: int) -> Layout:
        at = given.get("axis", 0) % len(layout)
        held, sizes = self._size(node.input[0], at), [self._size(made, at) for made in node.output]
        chosen = range(sum(sizes[:index]), sum(sizes[: index + 1])) if all(sizes) else None
        return (*layout[:at], cut(layout[at], held, sizes[index], chosen, 1), *layout[at + 1 :])


# shorter below
_A = PropagatedAxes
_FIRST = {
    "Transpose": _A._transposed, "Reshape": _A._reshaped, "Flatten": _A._reshaped,
    "Squeeze": _A._squeezed, "Unsqueeze": _A._unsqueezed, "Gemm": _A._affine,
    "GlobalAveragePool": _A._pooled, "GlobalMaxPool": _A._pooled, "GlobalLpPool": _A._pooled,
    "Attention": _A._attended, "MultiHeadAttention": _A._attended,
    "Resize": _A._resized, "Upsample": _A._resized, "Pad": _A._resized, "DepthToSpace": _A._resized,
    "SpaceToDepth": _A._resized, "Expand": _A._stretched, "Tile": _A._stretched,
    "Gather": _A._gathered, "ReverseSequence": _A._mixed, "CumSum": _A._mixed,
    "Slice": _A._sliced, "Split": _A._divided,
}  # fmt: skip
