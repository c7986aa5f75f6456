"""Random numbers that are drawn instead of stored, by scripts with PyTorch and by tests without it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from xaionnx.typing import Array

# The side of the pictures and the bound of their values, for nets that are compared with peers.
SIZES = {"vgg": (32, 2.0), "resnet": (32, 2.0), "vit": (32, 2.0), "resnet18": (64, 1.7)}


def uniform(name: str, shape: Sequence[int], low: float, high: float) -> Array:
    """Numbers (*shape) in float32 that depend on the name alone.

    They are made from the raw bits of Philox, which no release of numpy may change, unlike its distributions.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(math.prod(shape))
    return (low + (high - low) * (raw >> np.uint64(11)) * 2.0**-53).astype(np.float32).reshape(shape)


def drawn(name: str, shape: Sequence[int]) -> Array:
    """A parameter by the name and shape that it has in the network.

    Matrices and kernels have the size at which ReLU keeps the variance (arXiv:1502.01852). Scales are about 1, and
    those of residual branches, which networks begin with at 0, between a quarter and three quarters.
    """
    last = name.rsplit(".", 1)[-1]
    if last in ("gamma", "skipinit_gain") or "layer_scale" in last:
        return uniform(name, shape, 0.25, 0.75)
    if len(shape) <= 1:
        return uniform(name, shape, 0.5, 1.5) if last == "weight" else uniform(name, shape, -0.1, 0.1)
    if "embed" in last or last in ("word", "position", "cls_token", "relative_position_bias_table"):
        bound = 0.5
    else:
        bound = math.sqrt(6 / math.prod(shape[1:]))
    return uniform(name, shape, -bound, bound)


def inputs(net: str, *, baselines: bool = False) -> Array:
    """Two inputs (2, 3, H, W), or four baselines (4, 3, H, W), which are nearer to 0."""
    side, bound = SIZES[net]
    if baselines:
        return uniform(f"baselines {net}", (4, 3, side, side), -0.5, 0.5)
    return uniform(f"inputs {net}", (2, 3, side, side), -bound, bound)
