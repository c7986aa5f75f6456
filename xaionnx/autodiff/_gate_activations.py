"""The activations of recurrent layers, with their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from xaionnx.autodiff.gradient_builder import GradientBuilder

# The parameters of each activation, alpha and then beta, with the defaults of onnxruntime.
_PARAMETERS = {
    "Affine": (0.0, 0.0),
    "Elu": (1.0,),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01,),
    "Relu": (),
    "ScaledTanh": (0.0, 0.0),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": (0.0,),
}
# The activations of one direction of each op, if none are given.
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
# Names are compared case-insensitively.
_KNOWN = {name.title(): name for name in _PARAMETERS}


class GateActivation(NamedTuple):
    """An activation of a recurrent layer, with its parameters and the bound at which its argument is clipped."""

    name: str
    numbers: tuple[float, ...]
    clip: float | None

    def value(self, g: GradientBuilder, z: ir.Value) -> ir.Value:
        """Emit its value."""
        return self._value_at(g, self._clipped(g, z))

    def __call__(self, g: GradientBuilder, z: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Emit its value and its slope."""
        bound = self._clipped(g, z)
        value = self._value_at(g, bound)
        slope = self._slope_at(g, bound, value)
        return value, slope if bound is z else g.op("Where", g.op("Equal", bound, z), slope, 0.0)

    def _clipped(self, g: GradientBuilder, z: ir.Value) -> ir.Value:
        return z if self.clip is None else g.op("Clip", z, -self.clip, self.clip)

    def _value_at(self, g: GradientBuilder, z: ir.Value) -> ir.Value:
        alpha, beta = (*self.numbers, 0.0, 0.0)[:2]
        if self.name in ("Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"):
            return g.op(self.name, z)
        if self.name == "HardSigmoid":
            return g.op("HardSigmoid", z, alpha=alpha, beta=beta)
        if self.name == "ScaledTanh":
            return g.op("Mul", g.op("Tanh", g.op("Mul", z, beta)), alpha)
        if self.name == "Affine":
            return g.op("Add", g.op("Mul", z, alpha), beta)
        return g.op(self.name, z, alpha=alpha)

    def _slope_at(self, g: GradientBuilder, z: ir.Value, y: ir.Value) -> ir.Value:
        """Emit the slope at z, where the value is y."""
        alpha, beta = (*self.numbers, 0.0, 0.0)[:2]
        if self.name == "Sigmoid":
            return g.op("Mul", y, g.op("Sub", 1.0, y))
        if self.name == "Tanh":
            return g.op("Sub", 1.0, g.op("Mul", y, y))
        if self.name == "ScaledTanh":
            inner = g.op("Tanh", g.op("Mul", z, beta))
            return g.op("Mul", g.op("Sub", 1.0, g.op("Mul", inner, inner)), alpha * beta)
        if self.name == "Softplus":
            return g.op("Sigmoid", z)
        if self.name == "Softsign":
            spread = g.op("Add", g.op("Abs", z), 1.0)
            return g.op("Reciprocal", g.op("Mul", spread, spread))
        if self.name == "HardSigmoid":
            return choose(g, g.op("And", g.op("Greater", y, 0.0), g.op("Less", y, 1.0)), z, alpha, 0.0)
        if self.name == "Elu":
            return g.op("Where", g.op("Less", z, 0.0), g.op("Add", y, alpha), 1.0)
        if self.name == "Affine":
            return choose(g, g.op("Equal", z, z), z, alpha, alpha)
        if self.name == "ThresholdedRelu":
            return choose(g, g.op("Greater", z, alpha), z, 1.0, 0.0)
        return choose(g, g.op("Greater", z, 0.0), z, 1.0, 0.0 if self.name == "Relu" else alpha)


def activations_of(node: ir.Node, default: Sequence[str]) -> list[GateActivation]:
    """Return the activations of all directions in order; ``default`` are those of one direction."""
    read = node.attributes
    clip = read.get_float("clip", 0.0) or None
    alphas, betas = (list(read.get_floats(f"activation_{name}") or ()) for name in ("alpha", "beta"))
    found = []
    for index, given in enumerate(read.get_strings("activations") or [*default, *default]):
        name = _KNOWN[given.title()]
        defaults = _PARAMETERS[name]
        numbers = [
            float(left.pop(0)) if left else default for default, left in zip(defaults, (alphas, betas), strict=False)
        ]
        # The third one of an LSTM is that of the cell, which is not clipped.
        found.append(GateActivation(name, tuple(numbers), clip if index % len(default) < 2 else None))
    return found


def unknown_activations(node: ir.Node) -> list[str]:
    """Return the activations of a node that ONNX does not define."""
    return sorted({name for name in node.attributes.get_strings("activations") or () if name.title() not in _KNOWN})


def choose(g: GradientBuilder, condition: ir.Value, like: ir.Value, yes: float, no: float) -> ir.Value:
    """Emit ``yes`` where a condition is true, else ``no``, of the data type of ``like``."""
    dtype = like.dtype or ir.DataType.FLOAT
    return g.op("Where", condition, *(g.constant(np.array(number), dtype) for number in (yes, no)))
