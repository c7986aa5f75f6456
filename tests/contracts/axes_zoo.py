"""Small models that read one known place of their input, with each role of an axis at each place.

A model reads the window ``seen`` of its positions alone, and all the channels there with positive weights; it answers
``N`` samples with two scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper

from tests import tiny
from tests.tiny import node, tensor

Array = npt.NDArray[Any]

WEIGHTS = np.array([[1.0, -1.0]], np.float32)


VOCABULARY = 10


@dataclass(frozen=True)
class Case:
    """A model, the axis of its samples (None without one), and which elements of one sample it reads.

    ``layer`` is a tensor between input and score, batch first (N, ...) in results, and ``layer_seen`` which of its
    elements of one sample the score reads. ``slope`` is the derivative of the score by each element, or by each element
    of the layer if the input is of tokens, for a model that is linear. ``tokens`` is the type of token numbers, if the
    input has such. ``further`` are other inputs of one sample by name, with the axis of the samples, or None for an
    input that all samples share.
    """

    proto: ModelProto
    sample_axis: int | None
    shape: tuple[int, ...]
    seen: Array
    layer: str
    layer_seen: Array
    slope: Array | None = None
    tokens: str = ""
    further: Mapping[str, tuple[int | None, Array]] = field(default_factory=dict)
    target: int | tuple[int, ...] = 0

    @property
    def is_single(self) -> bool:
        """Whether the file takes one sample."""
        first = self.proto.graph.input[0].type.tensor_type.shape.dim[self.sample_axis or 0]
        return self.sample_axis is None or first.dim_value == 1

    @property
    def layer_skips(self) -> bool:
        """Whether the score skips places of the layer."""
        return not self.layer_seen.all()

    def inputs(self, count: int, seed: int = 0) -> Array:
        """Positive inputs, (N, ...) with the samples where the file has them."""
        rng = np.random.default_rng(seed)
        if self.tokens:
            x = rng.integers(1, VOCABULARY, (count, *self.shape)).astype(self.tokens)
        else:
            x = rng.uniform(0.5, 1.5, (count, *self.shape)).astype(np.float32)
        return x[0] if self.sample_axis is None else np.moveaxis(x, 0, self.sample_axis)

    def feeds(self, count: int, seed: int = 0) -> dict[str, Array]:
        """All inputs by name."""
        others = {
            name: one if axis is None else np.stack([one] * count, axis=axis)
            for name, (axis, one) in self.further.items()
        }
        return {"x": self.inputs(count, seed), **others}


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
    slope = np.where(seen, 1 / (channels * np.prod(half) * 2**rank), 0)
    return Case(tiny.model(nodes, inputs, outputs, weights), None if alone else 0, shape, seen, "b", mask[0] > 0, slope)


def recurrent(op: str, order: str, names: tuple[str, str] = ("T", "N"), steps: int = 12, features: int = 3) -> Case:
    """A series whose last four steps go through a recurrent layer; ``order`` is ``T N F``, ``N T F`` or ``T F``."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    rng = np.random.default_rng(1)
    weights = {
        "w": rng.uniform(0.1, 0.4, (1, gates * 4, features)).astype(np.float32),
        "r": rng.uniform(0.1, 0.4, (1, gates * 4, 4)).astype(np.float32),
        "o": (rng.uniform(0.5, 1, (4, 2)) * WEIGHTS).astype(np.float32),
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
    # Without samples, the tensor ahead of the layer is one sample as a whole.
    layer_seen = np.ones((4, 1, features) if order == "T F" else (4, features), bool)
    return Case(proto, {"T N F": 1, "N T F": 0, "T F": None}[order], (steps, features), seen, "s", layer_seen)


def attention(steps: int = 6, features: int = 4) -> Case:
    """Tokens (N, T, F) that attend to each other; the score reads the first two through a slice ahead of them."""
    rng = np.random.default_rng(2)
    weights = {
        "q": rng.normal(size=(features, 3)).astype(np.float32) / 4,
        "v": rng.uniform(0.2, 0.5, (features, 3)).astype(np.float32),
        "o": (rng.uniform(0.5, 1, (3, 2)) * WEIGHTS).astype(np.float32),
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
    return Case(proto, 0, (steps, features), seen, "s", np.ones((2, features), bool))


def masked_attention(steps: int = 6, features: int = 4) -> Case:
    """Tokens (N, T, F) that attend to each other; the score reads what the first one takes from the first two."""
    rng = np.random.default_rng(7)
    weights = {
        "wq": rng.normal(size=(features, 3)).astype(np.float32) / 4,
        "wk": rng.normal(size=(features, 3)).astype(np.float32) / 4,
        "wv": rng.uniform(0.2, 0.5, (features, 3)).astype(np.float32),
        "o": (rng.uniform(0.5, 1, (3, 2)) * WEIGHTS).astype(np.float32),
        "bias": np.where(np.arange(steps) < 2, 0, -1e4).astype(np.float32),
        "first": np.int64(0),
    }
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("MatMul", ["x", "wv"], ["v"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["d"]),
        node("Add", ["d", "bias"], ["db"]),
        node("Softmax", ["db"], ["e"], axis=-1),
        node("MatMul", ["e", "v"], ["f"]),
        node("Gather", ["f", "first"], ["g"], axis=1),
        node("MatMul", ["g", "o"], ["y"]),
    ]
    seen = np.zeros((steps, features), bool)
    seen[:2] = True
    held = np.zeros((steps, 3), bool)
    held[:1] = True
    proto = tiny.model(nodes, [tensor("x", ("N", steps, features))], [tensor("y", ("N", 2))], weights)
    return Case(proto, 0, (steps, features), seen, "f", held)


def outputs_second() -> Case:
    """A row whose scores stand as (classes, N): the first half of the columns is read."""
    weights = np.zeros((6, 2), np.float32)
    weights[:3] = [[1, -1], [2, 1], [3, 2]]
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Transpose", ["a"], ["y"], perm=[1, 0])]
    seen = np.array([True] * 3 + [False] * 3)
    proto = tiny.model(nodes, [tensor("x", ("N", 6))], [tensor("y", (2, "N"))], {"w": weights})
    return Case(proto, 0, (6,), seen, "a", np.array([True, False]), weights[:, 0])


def samples_second() -> Case:
    """A picture (C, N, H, W), turned ahead of its convolution."""
    made = conv((8, 12), 3)
    proto = ModelProto.FromString(made.proto.SerializeToString())
    graph = proto.graph
    graph.node[0].input[0] = "turned"
    graph.node.insert(0, node("Transpose", ["x"], ["turned"], perm=[1, 0, 2, 3]))
    graph.input[0].CopyFrom(tensor("x", (3, "N", 8, 12)))
    return replace(made, proto=proto, sample_axis=1)


def answer_without_samples() -> Case:
    """A picture (1, C, H, W) whose scores have no axis of samples."""
    made = conv((8, 8), 3)
    proto = ModelProto.FromString(made.proto.SerializeToString())
    graph = proto.graph
    graph.node[-1].output[0] = "row"
    graph.initializer.append(helper.make_tensor("first", TensorProto.INT64, [1], [0]))
    graph.node.append(node("Squeeze", ["row", "first"], ["y"]))
    graph.input[0].CopyFrom(tensor("x", (1, 3, 8, 8)))
    graph.output[0].CopyFrom(tensor("y", (2,)))
    return replace(made, proto=proto)


def with_rate() -> Case:
    """A waveform (N, 1, T) and the rate of its samples, a scalar that scales it."""
    made = conv((16,), 1)
    proto = ModelProto.FromString(made.proto.SerializeToString())
    graph = proto.graph
    graph.node[0].input[0] = "scaled"
    graph.node.insert(0, node("Mul", ["x", "factor"], ["scaled"]))
    graph.node.insert(0, node("Div", ["number", "thousand"], ["factor"]))
    graph.node.insert(0, node("Cast", ["sr"], ["number"], to=TensorProto.FLOAT))
    graph.initializer.append(helper.make_tensor("thousand", TensorProto.FLOAT, [], [1000.0]))
    graph.input.append(tensor("sr", (), TensorProto.INT64))
    return replace(made, proto=proto, further={"sr": (None, np.array(1000, np.int64))})


def steps_first(steps: int = 6, features: int = 3) -> Case:
    """Scores (T, N, K) of a recurrent layer by step, as CTC has them; those of step 2 read the steps up to it."""
    rng = np.random.default_rng(4)
    weights = {
        "w": rng.uniform(0.1, 0.4, (1, 4, features)).astype(np.float32),
        "r": rng.uniform(0.1, 0.4, (1, 4, 4)).astype(np.float32),
        "o": (rng.uniform(0.5, 1, (4, 2)) * WEIGHTS).astype(np.float32),
        "one": np.array([1], np.int64),
    }
    nodes = [
        node("RNN", ["x", "w", "r"], ["h"], hidden_size=4),
        node("Squeeze", ["h", "one"], ["q"]),
        node("MatMul", ["q", "o"], ["y"]),
    ]
    seen = np.zeros((steps, features), bool)
    seen[:3] = True
    proto = tiny.model(nodes, [tensor("x", ("T", "N", features))], [tensor("y", ("T", "N", 2))], weights)
    held = np.zeros((steps, 4), bool)
    held[2] = True
    return Case(proto, 1, (steps, features), seen, "q", held, target=(2, 0))


def tokens(kind: str, masked: bool = False, steps: int = 6) -> Case:
    """Token numbers (N, T) whose first two are embedded and averaged; the table holds bytes if ``kind`` is uint8.

    With ``masked`` there is a second input (N, T) that is 1 for tokens that count.
    """
    rng = np.random.default_rng(5)
    table = rng.uniform(0.5, 1.5, (VOCABULARY, 4)).astype(np.float32)
    table[0] = 0  # no token
    weights: dict[str, Array] = {
        "e": table,
        "o": (rng.uniform(0.5, 1, (4, 2)) * WEIGHTS).astype(np.float32),
        "start": np.array([0], np.int64),
        "end": np.array([2], np.int64),
        "one": np.array([1], np.int64),
        "last": np.array([2], np.int64),
    }
    types = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
    fed = "int64" if kind == "uint8" else kind
    nodes, numbers, looked = [], "x", "held"
    if kind == "float32":
        nodes.append(node("Cast", ["x"], ["n"], to=TensorProto.INT32))
        numbers = "n"
    if kind == "uint8":
        weights |= {"e": np.rint(table * 100).astype(np.uint8), "scale": np.float32(0.01), "none": np.uint8(0)}
        looked = "bytes"
    nodes.append(node("Gather", ["e", numbers], [looked]))
    if kind == "uint8":
        nodes.append(node("DequantizeLinear", ["bytes", "scale", "none"], ["held"]))
    held = "held"
    inputs = [tensor("x", ("N", "S"), types[fed])]
    further: dict[str, tuple[int | None, Array]] = {}
    if masked:
        nodes += [
            node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["m", "last"], ["column"]),
            node("Mul", ["held", "column"], ["kept"]),
        ]
        held = "kept"
        inputs.append(tensor("attention_mask", ("N", "S"), TensorProto.INT64))
        further["attention_mask"] = (0, np.array([1] * (steps - 1) + [0], np.int64))
    nodes += [
        node("Slice", [held, "start", "end", "one"], ["s"]),
        node("ReduceMean", ["s"], ["g"], axes=[1], keepdims=0),
        node("MatMul", ["g", "o"], ["y"]),
    ]
    proto = tiny.model(nodes, inputs, [tensor("y", ("N", 2))], weights)
    held_seen = np.zeros((steps, 4), bool)
    held_seen[:2] = True
    slope = np.where(held_seen, weights["o"][:, 0] / 2, 0)
    return Case(proto, 0, (steps,), held_seen[:, 0], "held", held_seen, slope, fed, further)


def with_states(steps: int = 8, features: int = 3) -> Case:
    """The last four steps of a series (N, T, F) in an LSTM, whose states (1, N, H) are further inputs."""
    rng = np.random.default_rng(6)
    weights = {
        "w": rng.uniform(0.1, 0.4, (1, 16, features)).astype(np.float32),
        "r": rng.uniform(0.1, 0.4, (1, 16, 4)).astype(np.float32),
        "o": (rng.uniform(0.5, 1, (4, 2)) * WEIGHTS).astype(np.float32),
        "start": np.array([steps - 4], np.int64),
        "end": np.array([steps], np.int64),
        "zero": np.array([0], np.int64),
    }
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("Slice", ["t", "start", "end", "zero"], ["s"]),
        node("LSTM", ["s", "w", "r", "", "", "h", "c"], ["", "hn", "cn"], hidden_size=4),
        node("Squeeze", ["hn", "zero"], ["q"]),
        node("MatMul", ["q", "o"], ["y"]),
    ]
    state = (1, "N", 4)
    proto = tiny.model(
        nodes,
        [tensor("x", ("N", "T", features)), tensor("h", state), tensor("c", state)],
        [tensor("y", ("N", 2)), tensor("hn", state), tensor("cn", state)],
        weights,
    )
    seen = np.zeros((steps, features), bool)
    seen[-4:] = True
    drawn = rng.uniform(0.1, 0.5, (2, 1, 4)).astype(np.float32)
    whole = np.ones((4, features), bool)
    return Case(proto, 0, (steps, features), seen, "s", whole, further={"h": (1, drawn[0]), "c": (1, drawn[1])})


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
    "attention under a mask": masked_attention(),
    "scores before samples": outputs_second(),
}
# Further roles, and inputs beside the explained one.
MORE_CASES = {
    "picture, samples second": samples_second(),
    "answer without samples": answer_without_samples(),
    "waveform without channels": conv((16,), 1, "nowhere"),
    "volume without channels": conv((4, 8, 8), 1, "nowhere"),
    "waveform and its rate": with_rate(),
    "RNN, scores by step, time first": steps_first(),
    "LSTM with states": with_states(),
    "tokens as int64": tokens("int64"),
    "tokens as int32": tokens("int32"),
    "tokens as float32": tokens("float32"),
    "tokens, table of uint8": tokens("uint8"),
    "tokens and a mask": tokens("int64", masked=True),
}
ZOO = CASES | MORE_CASES


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
