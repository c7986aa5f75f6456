"""The network of a masker: a U-Net that looks at a class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from xaionnx.data.sample import Positions
from xaionnx.masker import CLASS, INPUT, MASK, PRESENT
from xaionnx.short_repr import short_repr
from xaionnx.typing import Array

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

WEIGHT: Final = "weight"
"""How the names of all weights begin."""
_LEVELS: Final = 3
# The logit of a mask where nothing speaks for the class is -3, a share of 0.05.
_EMPTY: Final = 3.0


def masker_network(positions: Positions, classes: int, width: int, rng: np.random.Generator) -> onnx.ModelProto:
    """Return a U-Net with random weights, from pictures and one-hot rows (N, K) of classes to masks (N, H, W).

    Each of its levels halves the picture and has twice as many channels as the one before, ``width`` at first. At the
    coarsest one, each place is multiplied by the sigmoid of its product with a direction of the class, as in the paper;
    here the end is multiplied by the sigmoid of the mean of these products, the second output, since what the decoder
    takes from the encoder bypasses that choice.
    """
    import onnx_ir as ir

    from xaionnx.graph.builder import Builder

    g = Builder(prefix="")
    layers = _Layers(g, rng)
    sizes = [[math.ceil(side / 2**level) for side in positions.extent] for level in range(_LEVELS)]
    widths = [width << level for level in range(_LEVELS)]
    channels = math.prod(positions.shape[axis] for axis in positions.values)
    value = g.input(INPUT, ir.DataType.FLOAT, ["N", *positions.shape])
    chosen = g.input(CLASS, ir.DataType.FLOAT, ["N", classes])
    # Channels first, even if the picture has none or has them last.
    value = g.op("Transpose", value, perm=[0, *(axis + 1 for axis in (*positions.values, *positions.axes))])
    value = g.reshape(value, np.array([0, channels, *positions.extent]))
    skips = []
    for level, (inner, outer) in enumerate(zip([channels, *widths], widths, strict=False)):
        value = layers.conv(value, inner, outer, 1 if level == 0 else 2)
        value = layers.conv(value, outer, outer)
        skips.append(value)
    direction = layers.weight(rng.normal(0, 1 / math.sqrt(widths[-1]), (classes, widths[-1])))
    column = g.reshape(g.op("MatMul", chosen, direction), np.array([0, widths[-1], 1, 1]))
    match = g.op("ReduceSum", g.op("Mul", value, column), np.array([1]), keepdims=1)
    present = g.reshape(g.op("GlobalAveragePool", match), np.array([0, 1]))
    value = g.op("Mul", value, g.op("Sigmoid", match))
    for level in reversed(range(_LEVELS - 1)):
        value = g.op("Resize", value, None, None, np.array(sizes[level]), axes=[2, 3], mode="nearest")
        joined = g.op("Concat", value, skips[level], axis=1)
        value = layers.conv(joined, widths[level + 1] + widths[level], widths[level])
    opened = g.op("Mul", value, g.reshape(g.op("Sigmoid", present), np.array([0, 1, 1, 1])))
    logit = layers.conv(opened, widths[0], 1, rectified=False)
    # Without evidence for the class the mask is empty.
    mask = g.op("Sigmoid", g.op("Sub", logit, _EMPTY))
    g.output(g.reshape(mask, np.array([0, *positions.extent])), MASK)
    g.graph.outputs[0].shape = ir.Shape(["N", *positions.extent])
    g.output(present, PRESENT)
    g.graph.outputs[1].shape = ir.Shape(["N", 1])
    proto: onnx.ModelProto = ir.to_proto(g.model)
    return proto


@final
@dataclass(frozen=True, eq=False)
class _Layers:
    """Adds convolutions with random weights to a graph."""

    g: Builder
    rng: np.random.Generator

    __repr__ = short_repr

    def weight(self, array: Array) -> ir.Value:
        import onnx_ir as ir

        name = f"{WEIGHT}{len(self.g.graph.initializers)}"
        held = ir.tensor(array.astype(np.float32), name=name)
        value = ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT), const_value=held
        )
        self.g.graph.register_initializer(value)
        return value

    def conv(self, value: ir.Value, inner: int, outer: int, stride: int = 1, *, rectified: bool = True) -> ir.Value:
        kernel = self.rng.normal(0, math.sqrt(2 / (9 * inner)), (outer, inner, 3, 3))
        made = self.g.op(
            "Conv", value, self.weight(kernel), self.weight(np.zeros(outer)), pads=[1] * 4, strides=[stride] * 2
        )
        return self.g.op("Relu", made) if rectified else made
