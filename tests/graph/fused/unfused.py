"""Compare a fused op in onnxruntime with the plain ops that are written for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.cut import count_ops
from xaionnx.graph.fused_op import MICROSOFT
from xaionnx.graph.unfuse import unfuse
from xaionnx.runtime.session import channel_block

Arrays = Mapping[str, npt.NDArray[Any]]
DOMAINS = {"com.microsoft": 1, "com.microsoft.nchwc": 1, "com.ms.internal.nhwc": 17}


def seeded(*shape: int, seed: int = 0, kind: type = np.float32) -> npt.NDArray[Any]:
    """Normal numbers of a shape."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(kind)


def run(proto: onnx.ModelProto, feeds: Arrays, optimise: bool = True) -> list[npt.NDArray[Any]]:
    """All outputs of a model; without optimisation nothing is fused again."""
    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.log_severity_level = 4
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def written(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model in plain ops."""
    return unfuse(proto, numpy_helper.to_array, channel_block)


def of_op(
    op: str,
    inputs: Sequence[str],
    feeds: Arrays,
    weights: Arrays | None = None,
    domain: str = MICROSOFT,
    outputs: Sequence[tuple[str, int]] = (("y", onnx.TensorProto.FLOAT),),
    version: int = 17,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node, whose inputs, with free leading axes, are ``feeds`` and ``weights``."""
    made = node(op, inputs, [name for name, _ in outputs], domain=domain, **attributes)
    ends = []
    for name, array in feeds.items():
        free = min(array.ndim, 2 if array.ndim > 2 else 1)
        shape = [*([None] * free), *array.shape[free:]]
        ends.append(tensor(name, shape, helper.np_dtype_to_tensor_dtype(array.dtype)))
    answers = [tensor(name, None, kind) for name, kind in outputs if name]
    return model([made], ends, answers, dict(weights or {}), opset=version, domains=DOMAINS)


def compare(
    op: str,
    inputs: Sequence[str],
    feeds: Arrays,
    weights: Arrays | None = None,
    tolerance: Tolerance = Tolerance.SIGNED_SUMS,
    **options: Any,
) -> onnx.ModelProto:
    """Check that plain ops give the outputs of an op in onnxruntime, and return the model in plain ops."""
    proto = of_op(op, inputs, feeds, weights, **options)
    plain = written(proto)
    assert not [name for name in count_ops(plain) if "." in name], plain.graph.node
    assert [value.name for value in plain.graph.output] == [value.name for value in proto.graph.output]
    for ours, theirs in zip(run(plain, feeds, optimise=False), run(proto, feeds), strict=True):
        assert ours.dtype == theirs.dtype
        assert_close(ours, theirs, tolerance)
    return plain


def reason(op: str, inputs: Sequence[str], feeds: Arrays, weights: Arrays | None = None, **options: Any) -> str:
    """Why an op cannot be written in plain ops."""
    (kept,) = written(of_op(op, inputs, feeds, weights, **options)).graph.node
    assert kept.op_type == op
    return str(kept.doc_string)
