"""Small models that read one known place of their input, with each role of an axis at each place.

A model reads the window ``seen`` of its positions alone, and all the channels there with positive weights; it answers
``N`` samples with two scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from tests import tiny
from tests.tiny import node, tensor

Array = npt.NDArray[Any]

WEIGHTS = np.array([[1.0, -1.0]], np.float32)


@dataclass(frozen=True)
class Case:
    """A model, the axis of its samples (None without one), and which elements of one sample it reads."""

    proto: ModelProto
    sample_axis: int | None
    shape: tuple[int, ...]
    seen: Array

    def inputs(self, count: int, seed: int = 0) -> Array:
        """Positive inputs, (N, ...) with the samples where the file has them."""
        rng = np.random.default_rng(seed)
        x = rng.uniform(0.5, 1.5, (count, *self.shape)).astype(np.float32)
        return x[0] if self.sample_axis is None else np.moveaxis(x, 0, self.sample_axis)


def conv(spatial: tuple[int, ...], channels: int, order: str = "first") -> Case:
    """A picture, series or volume: a convolution of stride 1 and the mean over its first cell.

    ``order`` says where the channels are: first, last, nowhere, or in front of everything without samples.
    """
    rank = len(spatial)
    half = tuple(size // 2 for size in spatial)
    kernel = np.full((1, channels, *half), 1 / (channels * np.prod(half)), np.float32)
    first, last = "x", order == "last"
    nodes = []
    if last:
        nodes.append(node("Transpose", ["x"], ["t"], perm=[0, rank + 1, *range(1, rank + 1)]))
        first = "t"
    if order in ("alone", "nowhere"):
        nodes.append(node("Unsqueeze", ["x", "zero" if order == "alone" else "one"], ["t"]))
        first = "t"
    nodes += [
        node("Conv", [first, "k"], ["a"], strides=list(half)),
        node("Relu", ["a"], ["b"]),
        node("Mul", ["b", "mask"], ["m"]),
        node("GlobalAveragePool", ["m"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("MatMul", ["f", "w"], ["y"]),
    ]
    mask = np.zeros((1, 1, *(2,) * rank), np.float32)
    mask[(0, 0, *(0,) * rank)] = 1
    shape = (*spatial, channels) if last else spatial if order == "nowhere" else (channels, *spatial)
    seen = np.zeros(shape, bool)
    window = tuple(slice(size) for size in half)
    seen[window if last or order == "nowhere" else (slice(None), *window)] = True
    alone = order == "alone"
    weights = {"k": kernel, "mask": mask, "w": WEIGHTS}
    weights |= {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
    inputs, outputs = [tensor("x", shape if alone else ("N", *shape))], [tensor("y", (1 if alone else "N", 2))]
    return Case(tiny.model(nodes, inputs, outputs, weights), None if alone else 0, shape, seen)


def recurrent(op: str, order: str, names: tuple[str, str] = ("T", "N"), steps: int = 12, features: int = 3) -> Case:
    """A series whose last four steps go through a recurrent layer; ``order`` is ``T N F``, ``N T F`` or ``T F``."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.uniform(0.1, 0.4, (1, gates * 4, features)).astype(np.float32),
        "r": rng.uniform(0.1, 0.4, (1, gates * 4, 4)).astype(np.float32),
        "o": rng.uniform(0.5, 1, (4, 2)).astype(np.float32),
        "start": np.array([steps - 4], np.int64),
        "end": np.array([steps], np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    time, sample = names
    nodes = []
    series = "x"
    if order == "N T F":
        nodes.append(node("Transpose", ["x"], ["t"], perm=[1, 0, 2]))
        series = "t"
    if order == "T F":
        nodes.append(node("Unsqueeze", ["x", "one"], ["t"]))
        series = "t"
    nodes += [
        node("Slice", [series, "start", "end", "zero"], ["s"]),
        node(op, ["s", "w", "r"], ["", "h"], hidden_size=4),
        node("Squeeze", ["h", "zero"], ["q"]),
        node("MatMul", ["q", "o"], ["y"]),
    ]
    shapes: dict[str, tuple[int | str, ...]] = {
        "T N F": (time, sample, features),
        "N T F": (sample, time, features),
        "T F": (time, features),
    }
    seen = np.zeros((steps, features), bool)
    seen[-4:] = True
    proto = tiny.model(nodes, [tensor("x", shapes[order])], [tensor("y", (None, 2))], weights)
    return Case(proto, {"T N F": 1, "N T F": 0, "T F": None}[order], (steps, features), seen)


def attention(steps: int = 6, features: int = 4) -> Case:
    """Tokens (N, T, F) that attend to each other; the score reads the first two through a slice ahead of them."""
    rng = np.random.default_rng(2)
    weights = {
        "q": rng.normal(size=(features, 3)).astype(np.float32) / 4,
        "v": rng.uniform(0.2, 0.5, (features, 3)).astype(np.float32),
        "o": rng.uniform(0.5, 1, (3, 2)).astype(np.float32),
        "start": np.array([0], np.int64),
        "end": np.array([2], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        node("Slice", ["x", "start", "end", "one"], ["s"]),
        node("MatMul", ["s", "q"], ["a"]),
        node("MatMul", ["s", "v"], ["b"]),
        node("Transpose", ["a"], ["c"], perm=[0, 2, 1]),
        node("MatMul", ["a", "c"], ["d"]),
        node("Softmax", ["d"], ["e"], axis=-1),
        node("MatMul", ["e", "b"], ["f"]),
        node("ReduceMean", ["f"], ["g"], axes=[1], keepdims=0),
        node("MatMul", ["g", "o"], ["y"]),
    ]
    seen = np.zeros((steps, features), bool)
    seen[:2] = True
    proto = tiny.model(nodes, [tensor("x", ("N", "S", features))], [tensor("y", ("N", 2))], weights)
    return Case(proto, 0, (steps, features), seen)


def outputs_second() -> Case:
    """A row whose scores stand as (classes, N): the first half of the columns is read."""
    weights = np.zeros((6, 2), np.float32)
    weights[:3] = [[1, -1], [2, 1], [3, 2]]
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Transpose", ["a"], ["y"], perm=[1, 0])]
    seen = np.array([True] * 3 + [False] * 3)
    proto = tiny.model(nodes, [tensor("x", ("N", 6))], [tensor("y", (2, "N"))], {"w": weights})
    return Case(proto, 0, (6,), seen)


CASES = {
    "picture of 4 bands": conv((8, 12), 4),
    "picture of 13 bands": conv((8, 8), 13),
    "picture of 2 bands, channels last": conv((8, 12), 2, "last"),
    "gray picture, channels last": conv((8, 12), 1, "last"),
    "picture without samples": conv((8, 8), 3, "alone"),
    "spectrogram without channels": conv((8, 12), 1, "nowhere"),
    "series, channels first": conv((16,), 5),
    "series, channels last": conv((16,), 5, "last"),
    "waveform": conv((16,), 1),
    "volume": conv((4, 8, 12), 1),
    "volume of 2 channels, channels last": conv((4, 8, 8), 2, "last"),
    "RNN, time first": recurrent("RNN", "T N F"),
    "GRU, time first, dimensions without meaning": recurrent("GRU", "T N F", ("s0", "s1")),
    "LSTM, time second": recurrent("LSTM", "N T F"),
    "GRU, no samples": recurrent("GRU", "T F", ("frames", "")),
    "attention": attention(),
    "scores before samples": outputs_second(),
}


def states(count: int) -> tuple[ModelProto, dict[str, Array]]:
    """An LSTM (N, T, F) with its states (1, N, H) as inputs and outputs, as voice detectors have them."""
    rng = np.random.default_rng(3)
    weights = {
        "w": rng.normal(size=(1, 16, 3)).astype(np.float32) / 2,
        "r": rng.normal(size=(1, 16, 4)).astype(np.float32) / 2,
        "zero": np.array([0], np.int64),
    }
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w", "r", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=4),
        node("Squeeze", ["hn", "zero"], ["y"]),
    ]
    state = [1, "N", 4]
    proto = tiny.model(
        nodes,
        [tensor("x", ["N", "T", 3]), tensor("h", state), tensor("c", state)],
        [tensor("y", ["N", 4]), tensor("hn", state), tensor("cn", state)],
        weights,
    )
    feeds = {"x": rng.normal(size=(count, 5, 3)), "h": rng.normal(size=(1, count, 4)), "c": np.zeros((1, count, 4))}
    return proto, {name: array.astype(np.float32) for name, array in feeds.items()}
