"""Heads that are linear behind a pooling over all places, so that each channel of a layer has one weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Axis, Layout, Part
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.op import find_op
from xaionnx.graph.view import SHAPE_READERS
from xaionnx.layers.axes import Axes
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import Attributes, GraphView
    from xaionnx.typing import Shapes

_NO_POOLING: Final = "no pooling over all places stands"


def place_axes(model: Model, layer: str, sample: Sample) -> tuple[int, ...]:
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
    places, known = place_axes(model, layer, sample), _known(model, sample)
    key = ("head", layer, tensor, tuple((name, x.shape) for name, x in sample.own.items()))
    return graph_fact(model, key, lambda view: _obstacle(view, layer, tensor, places, known))


def _known(model: Model, sample: Sample) -> Shapes:
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}
    view = model.view
    return {**{name: tuple(tensor.dims) for name, tensor in view.constants.items()}, **view.shapes(sizes)}


def _obstacle(view: GraphView, layer: str, tensor: str, places: Sequence[int], known: Shapes) -> str | None:
    way: list[tuple[onnx.NodeProto, int]] = []
    moving, wanted = {layer}, view.ancestors([tensor])
    for node in view.nodes:
        read = [number for number, name in enumerate(node.input) if name in moving]
        # What is read of a shape alone carries no numbers.
        if not read or node.op_type in SHAPE_READERS or wanted.isdisjoint(node.output):
            continue
        entry = find_op(node.op_type)
        first = not (entry.regroups or node.op_type in _FIRST) or read[0] == 0
        if len(read) > 1 or not (entry.regroups or node.op_type in _EVEN) or not first or _by_batch(node):
            return f"{node.op_type} stands"
        moving.update(node.output)
        way.append((node, read[0]))
    layouts = propagate_axes(view, {layer: _started(known.get(layer) or (None,) * 4, places)}, known).layouts
    left = bool(places)
    for node, number in way:
        held = layouts.get(node.input[number], ())
        if not places or not _holding(held):
            continue
        step = _Step(node, number, view.attributes(node), held, known)
        even = find_op(node.op_type).regroups or _EVEN[node.op_type](step)
        if not even or node.output[0] not in layouts:
            return _NO_POOLING
        left = bool(_holding(layouts[node.output[0]]))
    return _NO_POOLING if left or not places else None


def _started(shape: Sequence[int | None], places: Sequence[int]) -> Layout:
    """The axes of the layer itself."""
    kinds = {len(shape) + axis: letter for axis, letter in zip(places, "UVW", strict=False)}
    found = list[Axis]()
    for axis, size in enumerate(shape):
        if axis in kinds:
            found.append((Part.place(kinds[axis], size or 0, size or 0),))
        else:
            found.append((Part("C" if axis else "N", size or 0),))
    return tuple(found)


def _holding(layout: Layout) -> list[int]:
    """The axes along which places lie, several of them."""
    held = [any(part.size != 1 and part.kind not in ("N", "C") for part in axis) for axis in layout]
    return [axis for axis, several in enumerate(held) if several]


def _by_batch(node: onnx.NodeProto) -> bool:
    """Whether a node divides by what it finds in the batch, as a batch normalization in training does."""
    training = any(one.name == "training_mode" and one.i for one in node.attribute)
    return node.op_type == "BatchNormalization" and (training or any(node.output[1:]))


class _Step(NamedTuple):
    """A node on the way, the operand that comes from the layer, and how the axes of that read."""

    node: onnx.NodeProto
    number: int
    attributes: Attributes
    layout: Layout
    known: Shapes


def _always(step: _Step) -> bool:
    del step
    return True


def _scaled_alike(step: _Step) -> bool:
    """By a factor that is the same at all places."""
    other, rank = step.known.get(step.node.input[1 - step.number]), len(step.layout)
    return other is not None and all(
        len(other) < rank - axis or other[axis - rank] == 1 for axis in _holding(step.layout)
    )


def _normalised_alike(step: _Step) -> bool:
    """By a factor for each number along the second axis."""
    return len(step.layout) > 1 and 1 not in _holding(step.layout) and bool(step.attributes.get("spatial", 1))


def _multiplied_alike(step: _Step) -> bool:
    """By a matrix over the last axis."""
    return step.number == 0 and len(step.layout) - 1 not in _holding(step.layout)


def _weighed_alike(step: _Step) -> bool:
    """At single places."""
    window, steps = _window(step)
    if step.number > 0 or 1 in _holding(step.layout) or not _is_unpadded(step):
        return False
    return all(window[axis - 2] == steps[axis - 2] == 1 for axis in _holding(step.layout))


def _averaged_alike(step: _Step) -> bool:
    """Over tiles that leave no place out."""
    window, steps = _window(step)
    if not _is_unpadded(step):
        return False
    sizes = step.known.get(step.node.input[0], ())
    for axis in _holding(step.layout):
        side = sizes[axis] if axis < len(sizes) else None
        if axis < 2 or not side:
            return False
        size = window[axis - 2]
        if size != side and (size != steps[axis - 2] or side % size):
            return False
    return True


def _window(step: _Step) -> tuple[Sequence[int], Sequence[int]]:
    window = list(step.attributes.get("kernel_shape") or [size or 0 for size in step.known[step.node.input[1]][2:]])
    return window, step.attributes.get("strides", [1] * len(window))


def _is_unpadded(step: _Step) -> bool:
    told = step.attributes
    return (
        told.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not any(told.get("pads", ()))
        and set(told.get("dilations", (1,))) == {1}
    )


# Linear ops beside those that regroup, and whether all places of a channel count alike behind them.
_EVEN: Final[Mapping[str, Callable[[_Step], bool]]] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast", "Add", "Sub", "GlobalAveragePool", "ReduceMean"), _always),
    **dict.fromkeys(("Mul", "Div"), _scaled_alike),
    "BatchNormalization": _normalised_alike,
    "MatMul": _multiplied_alike,
    "Gemm": lambda step: not _holding(step.layout),
    "Conv": _weighed_alike,
    "AveragePool": _averaged_alike,
}
# Linear in their first operand alone.
_FIRST: Final = frozenset(
    {"Div", "Dropout", "Cast", "Identity", "BatchNormalization", "GlobalAveragePool", "AveragePool", "ReduceMean"}
)
