"""A rule against central differences in float64, along one random direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.rule import Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import probe

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
# A step far above rounding, and far below where smooth functions bend.
STEP = 1e-6
# Leaves the whole numbers that cases like to use, and with them kinks and ties.
JITTER = 1e-3
_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16)


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float64."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.value_info[:]
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        _widen(tensor)
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE
    return wide


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def with_constants(model: onnx.ModelProto, feeds: Feeds) -> onnx.ModelProto:
    """The model with some of its inputs as weights."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    inputs = [value for value in fixed.graph.input if value.name not in feeds]
    del fixed.graph.input[:]
    fixed.graph.input.extend(inputs)
    fixed.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in feeds.items())
    return fixed


def evaluator(model: onnx.ModelProto) -> Callable[[Feeds, Sequence[str]], list[Any]]:
    """onnxruntime where it has the kernels in float64, else the reference."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reference = ReferenceEvaluator(model)
        return lambda feeds, names: list(reference.run(list(names), dict(feeds)))
    return lambda feeds, names: list(session.run(list(names), dict(feeds)))


def worst_error(
    model: onnx.ModelProto, feeds: Feeds, wrt: str, out: str, table: Table = STANDARD, *, seed: int = 0
) -> float:
    """How far the gradient along a random direction is from the central difference, relative to its size.

    ``feeds`` are float64 or not floats; all but ``wrt`` become constants.
    """
    rng = np.random.default_rng(seed)
    form = with_constants(canonicalize(model, [], None), {n: a for n, a in feeds.items() if n != wrt})
    x = np.asarray(feeds[wrt], dtype=np.float64)
    x = x + JITTER * rng.standard_normal(x.shape)
    facts = probe(form, [{wrt: x}], lambda shown, values, names: evaluator(shown)(values, names))
    run = evaluator(differentiate(form, facts, out, [wrt], table))
    cotangent = rng.standard_normal(facts.sizes[out])
    direction = rng.standard_normal(x.shape)

    def answer(at: Array) -> list[Any]:
        return run({wrt: at, COTANGENT: cotangent}, [out, gradient_name(wrt)])

    _, slopes = answer(x)
    assert slopes.shape == x.shape
    above, below = (np.sum(cotangent * answer(x + s * STEP * direction)[0]) for s in (1.0, -1.0))
    expected = (above - below) / (2 * STEP)
    # Its size is that of its parts, which may cancel.
    scale = np.linalg.norm(slopes * direction) + abs(expected) + 1e-3
    return float(abs(np.sum(slopes * direction) - expected) / scale)
