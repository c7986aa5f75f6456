"""The gradient of one node against central differences, at another batch size than those it was built from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import probe

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Evaluate = Callable[[onnx.ModelProto], Callable[[Feeds, Sequence[str]], list[Any]]]


def onnxruntime(model: onnx.ModelProto) -> Callable[[Feeds, Sequence[str]], list[Any]]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feeds, names: list(session.run(list(names), dict(feeds)))


def reference(model: onnx.ModelProto) -> Callable[[Feeds, Sequence[str]], list[Any]]:
    evaluator = ReferenceEvaluator(model)
    return lambda feeds, names: list(evaluator.run(list(names), dict(feeds)))


def single(
    op: str,
    inputs: Sequence[str],
    feeds: Feeds,
    outputs: Sequence[str] = ("y",),
    constants: Feeds | None = None,
    opset: int = 20,
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node; the first axis of its inputs follows the batch."""
    node = helper.make_node(op, list(inputs), list(outputs), name=op.lower(), **attributes)
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), ["N", *a.shape[1:]])
        for name, a in feeds.items()
    ]
    weights = [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    answers = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    graph = helper.make_graph([node], "g", declared, answers, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def error(
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    wrt: str,
    out: str = "y",
    evaluate: Evaluate = reference,
    step: float = 1e-6,
    seed: int = 0,
) -> float:
    """How far the gradient along a random direction is from the central difference, relative to its parts.

    The last of ``feeds`` is differentiated; the others are what the graph is built from.
    """
    rng = np.random.default_rng(seed)
    form = canonicalize(model, [], None)
    seen = feeds[:-1] or feeds
    facts = probe(form, seen, lambda shown, values, names: evaluate(shown)(values, names))
    run = evaluate(differentiate(form, facts, out, [wrt], STANDARD))
    here = feeds[-1]
    x = here[wrt]
    y = evaluate(model)(here, [out])[0]
    cotangent = rng.standard_normal(y.shape).astype(y.dtype)
    direction = rng.standard_normal(x.shape).astype(x.dtype)

    def answer(at: Array) -> list[Any]:
        return run({**here, wrt: at, COTANGENT: cotangent}, [out, gradient_name(wrt)])

    _, slopes = answer(x)
    assert slopes.shape == x.shape
    assert slopes.dtype == x.dtype
    assert np.isfinite(slopes).all()
    above, below = (
        np.sum(cotangent * answer((x + s * step * direction).astype(x.dtype))[0], dtype=np.float64) for s in (1, -1)
    )
    expected = (above - below) / (2 * step)
    scale = np.linalg.norm(slopes * direction) + abs(expected) + 1e-3
    return float(abs(np.sum(slopes * direction, dtype=np.float64) - expected) / scale)


@cache
def cases(op: str) -> list[Any]:
    """ONNX's own cases of an op."""
    return [case for case in _all_cases() if case.model.graph.node[0].op_type == op]


@cache
def _all_cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    return [case for case in found if case.model is not None and len(case.model.graph.node) == 1]


def arrays(case: Any, widen: bool = True) -> dict[str, Array]:
    """The inputs of a case, moved a little off the whole numbers that cases like, so that nothing ties."""
    names = [value.name for value in case.model.graph.input]
    rng = np.random.default_rng(1)
    feeds = dict(zip(names, (np.asarray(a) for a in case.data_sets[0][0]), strict=True))
    if not widen:
        return feeds
    return {
        n: a.astype(np.float64) + 1e-3 * rng.standard_normal(a.shape) if a.dtype.kind == "f" else a
        for n, a in feeds.items()
    }


def frozen(model: onnx.ModelProto, feeds: Feeds, free: Sequence[str], double: bool = True) -> onnx.ModelProto:
    """A case's model with all inputs but some as weights, in float64."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    kept = [value for value in fixed.graph.input if value.name in free]
    del fixed.graph.input[:]
    fixed.graph.input.extend(kept)
    del fixed.graph.value_info[:]
    narrow = (TensorProto.FLOAT, TensorProto.FLOAT16)
    for value in (*fixed.graph.input, *fixed.graph.output) if double else ():
        if value.type.tensor_type.elem_type in narrow:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    fixed.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in feeds.items() if n not in free)
    return fixed
