"""Heads that are linear behind a pooling over all places, so that each channel of a layer has one weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from xaionnx.data.sample import Sample
from xaionnx.layers.axes import Axes
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import GraphView

_Shapes = Mapping[str, Sequence[int | None]]

_ALIKE: Final = frozenset({"Identity", "Dropout", "Cast", "Add", "Sub"})
_SCALING: Final = frozenset({"Mul", "Div"})
_RESHAPING: Final = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_POOLING: Final = frozenset({"GlobalAveragePool", "AveragePool", "ReduceMean"})
_LINEAR: Final = (
    _ALIKE | _SCALING | _RESHAPING | _POOLING | {"Transpose", "Gemm", "MatMul", "Conv", "BatchNormalization"}
)
# Linear in their first operand alone.
_FIRST: Final = _RESHAPING | _POOLING | {"Div", "Dropout", "Cast", "Transpose", "Identity", "BatchNormalization"}


def places_of(model: Model, layer: str, sample: Sample) -> tuple[int, ...]:
    """The axes of a layer that hold its places, counted from the last; none where it is known to have none."""
    shape = _known(model, sample).get(layer, ())
    if not shape or None in shape:
        return -2, -1  # a map, if the run does not tell otherwise
    letters = Axes.at(model, layer, [size or 0 for size in shape[1:]], sample).letters
    return tuple(axis - len(letters) for axis, letter in enumerate(letters) if letter in "HWT")


def obstacle(model: Model, layer: str, tensor: str, sample: Sample) -> str | None:
    """What stands between a layer and a tensor, in words, so that the places of a channel do not count alike.

    None where a pooling over all places and linear ops alone stand there: then the slope of each number of the tensor
    is the same at all places of a channel, whatever the layer holds.
    """
    places, known = places_of(model, layer, sample), _known(model, sample)
    key = ("head", layer, tensor, tuple((name, x.shape) for name, x in sample.own.items()))
    return graph_fact(model, key, lambda view: _obstacle(view, layer, tensor, places, known))


def _known(model: Model, sample: Sample) -> _Shapes:
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    view = model.view
    return {**{name: tuple(tensor.dims) for name, tensor in view.constants.items()}, **view.shapes(sizes)}


def _obstacle(view: GraphView, layer: str, tensor: str, places: Sequence[int], known: _Shapes) -> str | None:
    way: list[tuple[onnx.NodeProto, int]] = []
    moving, wanted = {layer}, view.ancestors([tensor])
    for node in view.nodes:
        read = [number for number, name in enumerate(node.input) if name in moving]
        # What is read of a shape alone carries no numbers.
        if not read or node.op_type in ("Shape", "Size") or wanted.isdisjoint(node.output):
            continue
        first = node.op_type not in _FIRST or read[0] == 0
        if len(read) > 1 or node.op_type not in _LINEAR or not first or _by_batch(node):
            return f"{node.op_type} stands"
        moving.update(node.output)
        way.append((node, read[0]))
    rest: Sequence[int] | None = places
    for node, number in way:
        rest = _behind(view, node, number, rest, known) if rest else rest
    return None if places and rest == () else "no pooling over all places stands"


def _by_batch(node: onnx.NodeProto) -> bool:
    """Whether a node divides by what it finds in the batch, as a batch normalization in training does."""
    training = any(one.name == "training_mode" and one.i for one in node.attribute)
    return node.op_type == "BatchNormalization" and (training or any(node.output[1:]))


def _behind(
    view: GraphView, node: onnx.NodeProto, number: int, places: Sequence[int], known: _Shapes
) -> tuple[int, ...] | None:
    """The axes of the places behind a node, where they still count alike; none are left behind their mean."""
    told = view.attributes(node)
    shape, behind = known.get(node.input[number], ()), known.get(node.output[0], ())
    rank, op = len(shape), node.op_type
    if op in _ALIKE:
        return tuple(places)
    if op == "BatchNormalization":
        # One factor for each number along the second axis.
        return tuple(places) if rank and 1 - rank not in places and told.get("spatial", 1) else None
    if op in _SCALING:
        other = known.get(node.input[1 - number])
        even = other is not None and all(len(other) < -axis or other[axis] == 1 for axis in places)
        return tuple(places) if even else None
    if op == "GlobalAveragePool":
        return tuple(axis for axis in places if axis < 2 - (rank or 4))
    if not rank or None in shape or None in behind:
        return None
    sizes = [size or 0 for size in shape]
    if op == "Transpose":
        order = list(told.get("perm", range(rank)[::-1]))
        return tuple(sorted(order.index(rank + axis) - rank for axis in places))
    if op in _RESHAPING:
        return _reshaped(sizes, [size or 0 for size in behind], places)
    if op == "ReduceMean":
        return _reduced(view, node, rank, places)
    if op == "MatMul":
        return tuple(places) if number == 0 and -1 not in places and len(behind) == rank else None
    if op == "Conv" or op == "AveragePool":
        window = list(told["kernel_shape"] if "kernel_shape" in told else known.get(node.input[1], ())[2:])
        return _slid(op, number, sizes, window, told, places) if _unpadded(told) else None
    return None


def _slid(
    op: str, number: int, sizes: Sequence[int], window: Sequence[int], told: Mapping[str, Any], places: Sequence[int]
) -> tuple[int, ...] | None:
    """Behind a window that slides: at single places, or over tiles that leave none out."""
    steps = told.get("strides", [1] * len(window))
    left = []
    for axis in places:
        if axis < -len(window):  # the channels of this op
            if op == "Conv":
                return None
            left.append(axis)
            continue
        size, step, side = window[axis], steps[axis], sizes[axis]
        if op == "Conv" and (number > 0 or not size == step == 1):
            return None
        if op == "Conv" or size != side:
            if size != step or side % size:
                return None
            left.append(axis)
    return tuple(left)


def _unpadded(told: Mapping[str, Any]) -> bool:
    return (
        told.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not any(told.get("pads", ()))
        and set(told.get("dilations", (1,))) == {1}
    )


def _reduced(view: GraphView, node: onnx.NodeProto, rank: int, places: Sequence[int]) -> tuple[int, ...] | None:
    told = view.attributes(node)
    axes = told.get("axes")
    if len(node.input) > 1 and node.input[1]:
        held = view.small(node.input[1])
        if held is None:
            return None
        axes = held.tolist()
    if not axes and told.get("noop_with_empty_axes", 0):
        return tuple(places)
    gone = {int(axis) % rank - rank for axis in axes} if axes else set(range(-rank, 0))
    left = [axis for axis in places if axis not in gone]
    if told.get("keepdims", 1):
        return tuple(left)
    return tuple(axis + sum(other > axis for other in gone) for axis in left)


def _reshaped(shape: Sequence[int], behind: Sequence[int], places: Sequence[int]) -> tuple[int, ...] | None:
    """The axes that hold the same places, neither more nor less, where they lie side by side."""
    rank, after = len(shape), len(behind)
    first, last = rank + min(places), rank + max(places) + 1
    if last - first != len(places):
        return None
    ahead, count = math.prod(shape[:first]), math.prod(shape[first:last])
    for start in range(after):
        for stop in range(start + 1, after + 1):
            if math.prod(behind[:start]) == ahead and math.prod(behind[start:stop]) == count:
                return tuple(range(start - after, stop - after))
    return None
