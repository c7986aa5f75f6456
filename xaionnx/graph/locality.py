"""Locality: the part of a picture on which each position of an internal tensor depends.

After sliding ops (convolutions, pools) and pointwise ops, position j of a tensor depends only on the interval
``[j * stride + low, j * stride + high]`` of the input along each axis of the picture. Intervals of branches that meet
are merged. A separator is a tensor from which everything downstream is computed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import onnx

from xaionnx.graph.op import Kind, find_op
from xaionnx.graph.view import DEFAULT_DOMAINS, Attributes, GraphView, reads
from xaionnx.short_repr import short_repr

# Rank of the tensors that are followed: batch, channels, height and width, in one of two orders.
RANK = 4
_IMAGE = (2, 3)

Dims = tuple[int, ...]
# Stride, low, high and length along height and width.
Slides = Sequence[tuple[int, int, int, int]]


@final
@dataclass(frozen=True)
class Reach:
    """The interval of the input that each position of a tensor sees along one axis, and the number of positions.

    Examples
    --------
    >>> Reach(1, 0, 0, 9).through(stride=2, low=-1, high=1, length=5)
    Reach(stride=2, low=-1, high=1, length=5)
    """

    stride: int
    low: int
    high: int
    length: int

    def through(self, stride: int, low: int, high: int, length: int) -> Reach:
        """Return the reach after an op whose output j reads inputs ``j * stride + low`` to ``j * stride + high``."""
        return Reach(self.stride * stride, self.low + low * self.stride, self.high + high * self.stride, length)

    def joined(self, other: Reach) -> Reach:
        """Return the reach of a tensor that sees what either sees."""
        return Reach(self.stride, min(self.low, other.low), max(self.high, other.high), self.length)

    def since(self, earlier: Reach) -> Reach:
        """Return the reach relative to a separator ``earlier`` instead of the input."""
        step = earlier.stride
        return Reach(self.stride // step, (self.low - earlier.low) // step, (self.high - earlier.high) // step,
                     self.length)  # fmt: skip


@final
@dataclass(frozen=True)
class Field:
    """The axes of height and width of a tensor of rank 4, and its reach along them."""

    axes: tuple[int, int]
    reaches: tuple[Reach, Reach]


@final
@dataclass(frozen=True)
class Separator:
    """A tensor that separates the input from the wanted tensors.

    Attributes
    ----------
    name : str
    field : Field
    work : int
        Multiplications between the input and the separator.
    """

    name: str
    field: Field
    work: int


def separators(
    view: GraphView, source: str, axes: tuple[int, int], extent: tuple[int, int], wanted: Collection[str]
) -> tuple[list[Separator], int]:
    """Return the separators between an input and some tensors, and the number of multiplications.

    Parameters
    ----------
    view : GraphView
    source : str
        An input (N, C, H, W) or (N, H, W, C).
    axes : (int, int)
        Its axes of height and width.
    extent : (int, int)
        H and W.
    wanted : collection of str
        Tensors to compute.

    Returns
    -------
    list of Separator
        In topological order, starting with the input. Of several with only pointwise ops between them, the last.
    int
        Estimated multiplications of one evaluation: those with weights.

    Examples
    --------
    >>> from onnx import parser
    >>> from xaionnx.graph.view import GraphView
    >>> model = parser.parse_model('''
    ... <ir_version: 8, opset_import: ["" : 17]>
    ... g (float[N, 1, 8, 8] x) => (float[N, 1, 1, 1] y) <float[1, 1, 3, 3] k = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
    ...   c = Conv <strides = [2, 2]> (x, k)  r = Relu(c)  y = GlobalAveragePool(r) }''')
    >>> found, work = separators(GraphView(model), "x", (2, 3), (8, 8), ["y"])
    >>> found[1].name, found[1].field.reaches[0], work
    ('r', Reach(stride=2, low=0, high=2, length=3), 81)
    """
    nodes = view.needed((), wanted)[0]
    last_read = {name: index for index, node in enumerate(nodes) for name in reads(node)}
    last_read.update(dict.fromkeys(wanted, len(nodes)))
    walk = _ReachWalk(view, source, Field(axes, (Reach(1, 0, 0, extent[0]), Reach(1, 0, 0, extent[1]))))
    chain = [Separator(source, walk.fields[source], 0)]
    alive = {source}
    for index, node in enumerate(nodes):
        walk.step(node)
        alive.update(name for name in node.output if name in walk.moving and name in last_read)
        alive = {name for name in alive if last_read.get(name, -1) > index}
        if len(alive) != 1:
            continue
        (name,) = alive
        if name not in walk.fields or name in wanted or name == source:
            continue
        separator = Separator(name, walk.fields[name], walk.work)
        if len(chain) > 1 and (chain[-1].work, chain[-1].field.reaches) == (walk.work, separator.field.reaches):
            chain.pop()
        chain.append(separator)
    return chain, walk.work


class _ReachWalk:
    """Visits nodes in order: tensors in ``moving`` depend on the source, those in ``fields`` locally."""

    def __init__(self, view: GraphView, source: str, field: Field) -> None:
        self.fields = {source: field}
        self.moving = {source}
        self.work = 0
        self._view = view
        self._constants: dict[str, Dims] = {name: tuple(tensor.dims) for name, tensor in view.constants.items()}
        # Numbers of positions, also of tensors that are not local; work is estimated from them.
        self._sizes: dict[str, Dims] = {source: tuple(reach.length for reach in field.reaches)}

    def step(self, node: onnx.NodeProto) -> None:
        if not self.moving.intersection(reads(node)):
            self._constant(node)
            return
        self.moving.update(node.output)
        slides = self._slides(node)
        size = self._size(node, slides)
        field = self._field(node, slides) if node.domain in DEFAULT_DOMAINS else None
        for name in node.output:
            if size is not None:
                self._sizes[name] = size
            if field is not None:
                self.fields[name] = field
        weights = [self._constants[name] for name in node.input if name in self._constants]
        if find_op(node.op_type).kind is Kind.WEIGHS:
            largest = max((math.prod(dims) for dims in weights), default=0)
            self.work += largest * math.prod(size or (1,))

    def _constant(self, node: onnx.NodeProto) -> None:
        if node.op_type in ("Identity", "Cast", "DequantizeLinear") and node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]]

    def _slides(self, node: onnx.NodeProto) -> Slides | None:
        """Return stride, low, high and length of a sliding op for both axes; None for other ops."""
        if find_op(node.op_type).local is not sliding_field or node.input[0] not in self._sizes:
            return None
        size = self._sizes[node.input[0]]
        given = self._view.attributes(node)
        kernel = given.get("kernel_shape")
        if node.op_type == "Conv" and kernel is None:
            kernel = self._constants.get(node.input[1], ())[2:]
        if kernel is None or len(kernel) != 2:
            return None
        strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
        pads = given.get("pads", (0, 0, 0, 0))
        automatic = given.get("auto_pad", "NOTSET")
        ceil = bool(given.get("ceil_mode", 0))
        slides = []
        for axis in (0, 1):
            extent = (kernel[axis] - 1) * dilations[axis] + 1
            before, after = pads[axis], pads[axis + 2]
            if automatic == "VALID":
                before = after = 0
            elif automatic != "NOTSET":
                missing = max(0, (-(-size[axis] // strides[axis]) - 1) * strides[axis] + extent - size[axis])
                before = missing // 2 if automatic == "SAME_UPPER" else missing - missing // 2
                after = missing - before
            free = size[axis] + before + after - extent
            steps = -(-free // strides[axis]) if ceil else free // strides[axis]
            if ceil and steps * strides[axis] >= size[axis] + before:
                steps -= 1  # a window that begins in the trailing padding is dropped
            if steps < 0:
                return None
            slides.append((strides[axis], -before, extent - 1 - before, steps + 1))
        return slides

    def _size(self, node: onnx.NodeProto, slides: Slides | None) -> Dims | None:
        if slides is not None:
            return tuple(length for *_, length in slides)
        if node.op_type.startswith(("Global", "Reduce")):
            return (1, 1)
        rows = node.op_type == "Reshape" and self._constants.get(node.input[-1]) == (2,)
        if node.op_type in ("Flatten", "Gemm") or rows:
            return None
        return max((self._sizes[name] for name in node.input if name in self._sizes), key=math.prod, default=None)

    def _field(self, node: onnx.NodeProto, slides: Slides | None) -> Field | None:
        moving = [name for name in node.input if name in self.moving]
        if not moving or any(name not in self.fields for name in reads(node) if name in self.moving):
            return None
        entry = find_op(node.op_type)
        rule = entry.local
        if rule is None and entry.broadcasts is not None:
            rule = union_field
        elif rule is None and entry.kind.of_one_number:
            rule = same_field
        fields = {name: self.fields[name] for name in moving}
        step = LocalStep(node, self._view.attributes(node), fields, self._constants, slides)
        return None if rule is None else rule(step)


@final
@dataclass(frozen=True)
class LocalStep:
    """A node whose operands see bounded parts of the picture; the local rule of the op computes its field.

    Attributes
    ----------
    node : onnx.NodeProto
    attributes : mapping
        Including the defaults of the op.
    fields : dict of Field by name
        Fields of all operands that depend on the picture; at least one.
    constants : mapping
        Shapes of the other operands, as far as known.
    slides : list of (stride, low, high, length), or None
        Along height and width, for a sliding op.
    """

    node: onnx.NodeProto
    attributes: Attributes
    fields: Mapping[str, Field]
    constants: Mapping[str, Dims]
    slides: Slides | None

    __repr__ = short_repr

    @property
    def field(self) -> Field:
        """Field of the first operand that depends on the picture."""
        return next(iter(self.fields.values()))

    @property
    def channels(self) -> int:
        """The axis of the channels."""
        return next(axis for axis in (1, 2, 3) if axis not in self.field.axes)


def alone(step: LocalStep) -> bool:
    """Whether only the first operand depends on the picture."""
    return [name for name in step.node.input if name in step.fields] == [step.node.input[0]]


def same_field(step: LocalStep) -> Field | None:
    """Return the field of an op whose only output sees the same positions as its first operand."""
    return step.field if alone(step) and _has_one_output(step.node) else None


def not_local(step: LocalStep) -> None:
    """Return None: the op is not followed."""
    del step


def sliding_field(step: LocalStep) -> Field | None:
    """Return the field after a window that slides over height and width."""
    if not alone(step) or step.slides is None or step.field.axes != _IMAGE or not _has_one_output(step.node):
        return None
    height, width = (reach.through(*slide) for reach, slide in zip(step.field.reaches, step.slides, strict=True))
    return Field(step.field.axes, (height, width))


def union_field(step: LocalStep, *, constants: bool = True) -> Field | None:
    """Return the union of all operands' fields; ``constants`` are allowed if equal at all positions."""
    field = step.field
    for name in step.node.input:
        if name and name not in step.fields and not (constants and _is_uniform(step.constants.get(name), field)):
            return None
    for other in step.fields.values():
        shapes = [(reach.stride, reach.length) for reach in other.reaches]
        if other.axes != field.axes or shapes != [(reach.stride, reach.length) for reach in field.reaches]:
            return None
        height, width = (a.joined(b) for a, b in zip(field.reaches, other.reaches, strict=True))
        field = Field(field.axes, (height, width))
    return field


def _has_one_output(node: onnx.NodeProto) -> bool:
    return len([name for name in node.output if name]) == 1


def _is_uniform(dims: Dims | None, field: Field) -> bool:
    """Whether a constant of this shape is the same at every position of the picture."""
    if dims is None or len(dims) > RANK:
        return False
    whole = (1,) * (RANK - len(dims)) + dims
    return all(whole[axis] == 1 for axis in field.axes)
