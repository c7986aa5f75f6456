"""Heads that are linear after global pooling, so that each channel of a layer has one weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from xaionnx.data.sample import Sample
from xaionnx.graph.axis_factors import Axis, AxisFactor, Layout
from xaionnx.graph.axis_propagation import propagate_axes
from xaionnx.graph.op import find_op
from xaionnx.graph.view import SHAPE_READERS
from xaionnx.layers.axes import Axes
from xaionnx.runtime.graph_facts import graph_fact
from xaionnx.runtime.model import Model

if TYPE_CHECKING:
    import onnx

    from xaionnx.graph.view import Attributes, GraphView
    from xaionnx.typing import Shapes

_NO_POOLING: Final = "no global pooling"


def spatial_axes_of_layer(model: Model, layer: str, sample: Sample) -> tuple[int, ...]:
    """Return the spatial axes of a layer, as negative indices; empty if it is known to have none."""
    shape = _known_shapes(model, sample).get(layer, ())
    if not shape or None in shape:
        return -2, -1  # assume a map; the run shows whether it is one
    axes = Axes.at(model, layer, [size or 0 for size in shape[1:]], sample)
    places = axes.positions or ((0,) if axes.letters == "TD" else ())
    return tuple(axis - len(axes.letters) for axis in places)


def obstacle(model: Model, layer: str, tensor: str, sample: Sample) -> str | None:
    """Describe what keeps the path from a layer to a tensor from being a global pooling and linear ops.

    None if nothing does: then the gradient of each entry of the tensor is the same at all spatial positions of a
    channel, whatever the layer's values.
    """
    axes, known = spatial_axes_of_layer(model, layer, sample), _known_shapes(model, sample)
    key = ("head", layer, tensor, tuple((name, x.shape) for name, x in sample.own.items()))
    return graph_fact(model, key, lambda view: _obstacle(view, layer, tensor, axes, known))


def _known_shapes(model: Model, sample: Sample) -> Shapes:
    sizes = {name: (1, *x.shape) for name, x in sample.own.items()}

    def find(view: GraphView) -> Shapes:
        return {**{name: tuple(tensor.dims) for name, tensor in view.constants.items()}, **view.shapes(sizes)}

    return graph_fact(model, ("shapes of tensors and constants", tuple(sizes.items())), find)


def _obstacle(view: GraphView, layer: str, tensor: str, axes: Sequence[int], known: Shapes) -> str | None:
    path: list[tuple[onnx.NodeProto, int]] = []
    moving, wanted = {layer}, view.ancestors([tensor])
    for node in view.nodes:
        read = [number for number, name in enumerate(node.input) if name in moving]
        # Reading a shape passes on no values.
        if not read or node.op_type in SHAPE_READERS or wanted.isdisjoint(node.output):
            continue
        entry = find_op(node.op_type)
        first = not (entry.regroups or node.op_type in _FIRST) or read[0] == 0
        if len(read) > 1 or not (entry.regroups or node.op_type in _EVEN) or not first or _by_batch(node):
            return node.op_type
        moving.update(node.output)
        path.append((node, read[0]))
    layouts = propagate_axes(view, {layer: _layer_layout(known.get(layer) or (None,) * 4, axes)}, known).layouts
    unpooled = bool(axes)
    for node, number in path:
        layout = layouts.get(node.input[number], ())
        if not axes or not _spatial_axes(layout):
            continue
        step = _Step(node, number, view.attributes(node), layout, known)
        even = find_op(node.op_type).regroups or _EVEN[node.op_type](step)
        if not even or node.output[0] not in layouts:
            return _NO_POOLING
        unpooled = bool(_spatial_axes(layouts[node.output[0]]))
    return _NO_POOLING if unpooled or not axes else None


def _layer_layout(shape: Sequence[int | None], spatial: Sequence[int]) -> Layout:
    kinds = {len(shape) + axis: letter for axis, letter in zip(spatial, "UVW", strict=False)}
    found = list[Axis]()
    for axis, size in enumerate(shape):
        if axis in kinds:
            found.append((AxisFactor.spatial(kinds[axis], size or 0, size or 0),))
        else:
            found.append((AxisFactor("C" if axis else "N", size or 0),))
    return tuple(found)


def _spatial_axes(layout: Layout) -> list[int]:
    """The axes along which there is more than one spatial position."""
    spatial = [any(factor.size != 1 and factor.kind not in ("N", "C") for factor in axis) for axis in layout]
    return [axis for axis, several in enumerate(spatial) if several]


def _by_batch(node: onnx.NodeProto) -> bool:
    """Whether a node uses the statistics of the batch, as batch normalization in training mode does."""
    training = any(one.name == "training_mode" and one.i for one in node.attribute)
    return node.op_type == "BatchNormalization" and (training or any(node.output[1:]))


class _Step(NamedTuple):
    """A node on the path, the number of the operand that comes from the layer, and the layout of that operand."""

    node: onnx.NodeProto
    number: int
    attributes: Attributes
    layout: Layout
    known: Shapes


def _always(step: _Step) -> bool:
    del step
    return True


def _scales_evenly(step: _Step) -> bool:
    """Whether the factor is the same at all spatial positions."""
    other, rank = step.known.get(step.node.input[1 - step.number]), len(step.layout)
    return other is not None and all(
        len(other) < rank - axis or other[axis - rank] == 1 for axis in _spatial_axes(step.layout)
    )


def _normalises_evenly(step: _Step) -> bool:
    """Whether the channels, on the second axis, hold no spatial positions, so that each has one factor."""
    return len(step.layout) > 1 and 1 not in _spatial_axes(step.layout) and bool(step.attributes.get("spatial", 1))


def _multiplies_evenly(step: _Step) -> bool:
    """Whether a matrix multiplies the last axis, and that is not spatial."""
    return step.number == 0 and len(step.layout) - 1 not in _spatial_axes(step.layout)


def _convolves_evenly(step: _Step) -> bool:
    """Whether a convolution reads single positions."""
    window, steps = _window(step)
    if step.number > 0 or 1 in _spatial_axes(step.layout) or not _is_unpadded(step):
        return False
    return all(window[axis - 2] == steps[axis - 2] == 1 for axis in _spatial_axes(step.layout))


def _averages_evenly(step: _Step) -> bool:
    """Whether the windows of an average pooling cover each position once."""
    window, steps = _window(step)
    if not _is_unpadded(step):
        return False
    sizes = step.known.get(step.node.input[0], ())
    for axis in _spatial_axes(step.layout):
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
    attributes = step.attributes
    return (
        attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not any(attributes.get("pads", ()))
        and set(attributes.get("dilations", (1,))) == {1}
    )


# Linear ops other than those that regroup, and whether they treat all positions of a channel alike.
_EVEN: Final[Mapping[str, Callable[[_Step], bool]]] = {
    **dict.fromkeys(("Identity", "Dropout", "Cast", "Add", "Sub", "GlobalAveragePool", "ReduceMean"), _always),
    **dict.fromkeys(("Mul", "Div"), _scales_evenly),
    "BatchNormalization": _normalises_evenly,
    "MatMul": _multiplies_evenly,
    "Gemm": lambda step: not _spatial_axes(step.layout),
    "Conv": _convolves_evenly,
    "AveragePool": _averages_evenly,
}
# Linear in their first operand only.
_FIRST: Final = frozenset(
    {"Div", "Dropout", "Cast", "Identity", "BatchNormalization", "GlobalAveragePool", "AveragePool", "ReduceMean"}
)
