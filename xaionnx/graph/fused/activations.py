"""Activations, with the sums and products that are fused with them."""

from __future__ import annotations

import numpy as np

from xaionnx.graph.fused_op import FusedNode, fused
from xaionnx.graph.view import AttributeValue

# Attributes of activations, in the order of a list of parameters. Clip has bounds instead.
_PARAMETERS = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Selu": ("alpha", "gamma"),
    "Softmax": ("axis",),
    "ThresholdedRelu": ("alpha",),
}
_PLAIN = frozenset(("HardSwish", "Mish", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"))


def activate(f: FusedNode, value: str, parameters: tuple[AttributeValue, ...] = ()) -> str:
    """Write the activation that the attribute ``activation`` of a node names, if any, and return its output."""
    name = f.attribute("activation", "")
    if not name:
        return value
    if name in _PLAIN:
        return f.op(name, value)
    if name in _PARAMETERS:
        # Missing parameters are those of ONNX.
        return f.op(name, value, **dict(zip(_PARAMETERS[name], parameters, strict=False)))
    if name == "Clip":
        low, high = parameters
        # onnxruntime writes the bounds of floats where there are none.
        bounds = [bound if abs(bound) < np.finfo(np.float32).max else "" for bound in (low, high)]
        return f.op("Clip", value, *bounds)
    if name == "Gelu":
        return f.op("Gelu", value)
    if name in ("Silu", "QuickGelu"):
        return scaled_silu(f, value, parameters[0] if parameters else 1.0 if name == "Silu" else 1.702)
    raise f.refusal(f"its activation '{name}' has no plain form")


def activate_named(f: FusedNode, value: str) -> str:
    """Write the activation of a node whose attributes ``activation_alpha`` and so on are its parameters."""
    given = {key: f.attribute(f"activation_{key}") for key in ("alpha", "beta", "gamma", "axis")}
    order = _PARAMETERS.get(f.attribute("activation", ""), ())
    return activate(f, value, tuple(given[key] for key in order))


def scaled_silu(f: FusedNode, value: str, alpha: float) -> str:
    """Write ``x * sigmoid(alpha * x)``."""
    scaled = value if alpha == 1 else f.op("Mul", value, alpha)
    return f.op("Mul", value, f.op("Sigmoid", scaled))


@fused("Gelu")
def gelu(f: FusedNode) -> str:
    """``x * Phi(x)``."""
    return f.op("Gelu", f.input(0))


@fused("BiasGelu")
def bias_gelu(f: FusedNode) -> str:
    """Gelu of a sum."""
    return f.op("Gelu", f.op("Add", f.input(0), f.input(1)))


@fused("FastGelu")
def fast_gelu(f: FusedNode) -> str:
    """Gelu in its approximation by tanh, of a sum if there is a bias."""
    summed = f.op("Add", f.input(0), f.input(1)) if f.input(1) else f.input(0)
    return f.op("Gelu", summed, approximate="tanh")


@fused("GemmFastGelu")
def gemm_fast_gelu(f: FusedNode) -> str:
    """FastGelu of a product."""
    product = f.op("MatMul", f.input(0), f.input(1))
    return f.op("Gelu", f.op("Add", product, f.input(2)) if f.input(2) else product, approximate="tanh")


@fused("QuickGelu")
def quick_gelu(f: FusedNode) -> str:
    """``x * sigmoid(alpha * x)``."""
    return scaled_silu(f, f.input(0), f.attribute("alpha", 1.702))


@fused("BiasSplitGelu")
def bias_split_gelu(f: FusedNode) -> str:
    """The first half of a sum times Gelu of the second half."""
    summed = f.op("Add", f.input(0), f.input(1))
    half = f.size(f.input(1), 0) // 2
    left, right = f.split(summed, -1, (half, half))
    return f.op("Mul", left, f.op("Gelu", right))


@fused("BiasAdd")
def bias_add(f: FusedNode) -> str:
    """A sum with a bias and a residual."""
    return f.op("Add", f.op("Add", f.input(0), f.input(1)), f.input(2))


@fused("GatedAdd")
def gated_add(f: FusedNode) -> str:
    """``x + gate * y``."""
    return f.op("Add", f.input(0), f.op("Mul", f.input(1), f.input(2)))


@fused("BiasSoftmax")
def bias_softmax(f: FusedNode) -> str:
    """Softmax of a sum, over all axes from ``axis`` on."""
    value, bias = f.input(0), f.input(1)
    axis, rank = f.attribute("axis", 1), f.rank(value)
    axis %= rank
    if f.attribute("is_inner_broadcast", 0) and f.rank(bias) < rank:
        raise f.refusal("its bias is broadcast along axes in the middle")
    summed = f.op("Add", value, bias)
    if axis == rank - 1:
        return f.op("Softmax", summed, axis=-1)
    shape = f.op("Shape", summed)
    flat = f.op("Flatten", summed, axis=axis)
    return f.op("Reshape", f.op("Softmax", flat, axis=-1), shape)


@fused("BiasDropout")
def bias_dropout(f: FusedNode) -> str:
    """A sum, and a residual if there is one: dropout keeps everything when a model is used."""
    _check_inference(f, 4)
    summed = f.op("Add", f.input(0), f.input(1))
    return f.op("Add", summed, f.input(2)) if f.input(2) else summed


@fused("BitmaskDropout")
def bitmask_dropout(f: FusedNode) -> str:
    """The input: dropout keeps everything when a model is used."""
    _check_inference(f, 2)
    return f.input(0)


def _check_inference(f: FusedNode, index: int) -> None:
    if f.input(index):
        training = f.array(f.input(index))
        if training is None or bool(np.any(training)):
            raise f.refusal("it drops values at random, as in training")
