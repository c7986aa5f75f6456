"""Compare gradients with central differences along a random direction: the test that every rule has to pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy import special

from tests.oracles import convolution, pooling
from xaionnx.autodiff.backward import COTANGENT, differentiate, gradient_name
from xaionnx.autodiff.rule import Table
from xaionnx.autodiff.table import STANDARD
from xaionnx.graph.canonicalize import canonicalize
from xaionnx.graph.probe import Probe, probe
from xaionnx.typing import Array, Feeds

Runner = Callable[[Feeds, Sequence[str]], list[Any]]
Evaluate = Callable[[onnx.ModelProto], Runner]
# In float64: a step far above rounding, and small enough that smooth functions are nearly linear.
STEP = 1e-6
# Moves inputs off the integers that ONNX's cases often use, and so off kinks and ties.
JITTER = 1e-3
# Numbers of samples that a graph is built from, and others that it is run with.
PROBED = (2, 3)
ASKED = (1, 5)
_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16)


class Erf(OpRun):
    """In float64, where the reference has float32."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(special.erf(x)),)


class Gelu(OpRun):
    """In float64, where the reference has float32."""

    op_domain = ""

    def _run(self, x: Array, approximate: str = "none") -> tuple[Array]:
        if approximate == "tanh":
            return (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * special.ndtr(x),)


def onnxruntime(model: onnx.ModelProto) -> Runner:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda feeds, names: list(session.run(list(names), dict(feeds)))


def in_numpy(*ops: type[OpRun]) -> Evaluate:
    """ONNX's reference evaluator, with some of its ops replaced."""

    def evaluate(model: onnx.ModelProto) -> Runner:
        evaluator = ReferenceEvaluator(model, new_ops=list(ops))
        return lambda feeds, names: list(evaluator.run(list(names), dict(feeds)))

    return evaluate


reference = in_numpy()


def either(model: onnx.ModelProto) -> Runner:
    """onnxruntime if it has float64 kernels, otherwise the reference evaluator."""
    try:
        return onnxruntime(model)
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return in_numpy(Erf, Gelu, *convolution.OPS, *pooling.OPS)(model)


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
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(a.dtype), [f"{name}_0", *a.shape[1:]][: a.ndim]
        )
        for name, a in feeds.items()
    ]
    weights = [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    answers = [onnx.ValueInfoProto(name=name) for name in outputs if name]
    graph = helper.make_graph([node], "g", declared, answers, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def frozen(model: onnx.ModelProto, feeds: Feeds, free: Sequence[str]) -> onnx.ModelProto:
    """The model with all but some inputs turned into weights."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    kept = [value for value in fixed.graph.input if value.name in free]
    del fixed.graph.input[:]
    fixed.graph.input.extend(kept)
    del fixed.graph.value_info[:]
    fixed.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in feeds.items() if n not in free)
    return fixed


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model converted to float64."""
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
            if attribute.name == "softmax_precision":
                attribute.i = TensorProto.DOUBLE
        if node.op_type == "GroupNormalization":
            # Its statistics are float32 by default, too coarse for finite differences.
            node.attribute.append(helper.make_attribute("stash_type", TensorProto.DOUBLE))
    return wide


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def built(
    model: onnx.ModelProto,
    probed: Sequence[Feeds],
    wrt: str | Sequence[str],
    out: str = "y",
    evaluate: Evaluate = either,
    *,
    table: Table = STANDARD,
    convert: bool = True,
    independent: bool = False,
) -> tuple[Probe, Runner]:
    """The probe of a model, and a function that runs its gradient."""
    form = canonicalize(model, [], None) if convert else model
    facts = probe(form, probed, lambda shown, values, names: evaluate(shown)(values, names))
    names = [wrt] if isinstance(wrt, str) else list(wrt)
    return facts, evaluate(differentiate(form, facts, out, names, table, independent=independent))


def slopes(model: onnx.ModelProto, feeds: Feeds, cotangent: Array, wrt: str = "x", **options: Any) -> Array:
    """The gradient of ``sum(cotangent * y)`` at a point."""
    _, run = built(model, [feeds], wrt, **options)
    (found,) = run({**feeds, COTANGENT: cotangent}, [gradient_name(wrt)])
    return np.asarray(found)


def _distance(
    run: Runner, at: Feeds, out: str, wrt: Sequence[str], cotangent: Array, step: float, rng: np.random.Generator
) -> float:
    """The largest error along a random direction for each of ``wrt``, relative to the terms of the derivative."""
    found = run({**at, COTANGENT: cotangent}, [gradient_name(name) for name in wrt])
    worst = 0.0
    for name, slope in zip(wrt, found, strict=True):
        x = at[name]
        assert slope.shape == x.shape
        assert slope.dtype == x.dtype
        assert np.isfinite(slope).all()
        direction = np.asarray(rng.standard_normal(x.shape)).astype(x.dtype)
        above, below = (
            np.sum(
                cotangent
                * run({**at, name: np.asarray(x + s * step * direction, x.dtype), COTANGENT: cotangent}, [out])[0],
                dtype=np.float64,
            )
            for s in (1, -1)
        )
        expected = (above - below) / (2 * step)
        # Scaled by its terms, because these may cancel.
        scale = np.linalg.norm(slope * direction) + abs(expected) + 1e-3
        worst = max(worst, float(abs(np.sum(slope * direction, dtype=np.float64) - expected) / scale))
    return worst


def error(
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    wrt: str | Sequence[str] = "x",
    out: str = "y",
    evaluate: Evaluate = either,
    step: float = STEP,
    seed: int = 0,
    **options: Any,
) -> float:
    """The error of the gradient against the central difference at the last of ``feeds``; the graph is built from the
    others.
    """
    wrt = [wrt] if isinstance(wrt, str) else list(wrt)
    _, run = built(model, feeds[:-1] or feeds, wrt, out, evaluate, **options)
    rng = np.random.default_rng(seed)
    y = evaluate(model)(feeds[-1], [out])[0]
    cotangent = np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)
    return _distance(run, feeds[-1], out, wrt, cotangent, step, rng)


def batch_error(
    model: onnx.ModelProto,
    shapes: Mapping[str, Sequence[int]],
    wrt: str | Sequence[str] = "x",
    out: str = "y",
    evaluate: Evaluate = either,
    *,
    batched: set[str] | None = None,
    kept: Mapping[str, Callable[[int], Array]] | None = None,
    seed: int = 0,
    **options: Any,
) -> float:
    """The largest error for 1 and 5 samples of a gradient that was built from 2 and 3 samples.

    ``shapes`` are the input shapes of one sample; inputs in ``batched`` (default: all) get the batch as first axis.
    ``kept`` are functions from the number of samples to inputs with given values.
    """
    rng = np.random.default_rng(seed)
    wrt = [wrt] if isinstance(wrt, str) else list(wrt)
    batched = set(shapes) if batched is None else batched

    def feeds(count: int) -> dict[str, Array]:
        random = {
            name: np.asarray(rng.standard_normal((count, *shape) if name in batched else tuple(shape)))
            for name, shape in shapes.items()
        }
        return random | {name: make(count) for name, make in (kept or {}).items()}

    facts, run = built(model, [feeds(n) for n in PROBED], wrt, out, evaluate, **options)
    worst = 0.0
    for count in ASKED:
        shape = tuple(count if size is None else size for size in facts.shapes[out])
        cotangent = np.asarray(rng.standard_normal(shape))
        worst = max(worst, _distance(run, feeds(count), out, wrt, cotangent, STEP, rng))
    return worst


def grid_error(
    op: str,
    shapes: Mapping[str, Sequence[int]],
    constants: Feeds | None = None,
    *,
    batched: Iterable[str] | None = None,
    outputs: Sequence[str] = ("y",),
    evaluate: Evaluate = either,
    **attributes: Any,
) -> float:
    """The largest error of a node with respect to all ``shapes``; by default only the first one is batched.

    ``constants`` are the inputs after them.
    """
    own = {next(iter(shapes))} if batched is None else set(batched)
    sizes = {name: np.zeros((2, *s) if name in own else tuple(s)) for name, s in shapes.items()}
    model = single(op, [*shapes, *(constants or {})], sizes, outputs, constants, **attributes)
    return batch_error(model, shapes, list(shapes), evaluate=evaluate, batched=own)


@cache
def cases(op: str) -> list[Any]:
    """ONNX's own test cases of an op, without those whose graph is an expanded function."""
    return [
        case
        for case in every_case()
        if case.model is not None
        and len(nodes := case.model.graph.node) == 1
        and not nodes[0].domain
        and nodes[0].op_type == op
    ]


@cache
def every_case() -> list[Any]:
    """ONNX's own test cases; collecting them takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: list[Any] = collect_testcases(None)
    return found


def arrays(case: Any) -> dict[str, Any]:
    """The inputs of a case by name."""
    inputs, _ = case.data_sets[0]
    found = [numpy_helper.to_array(a) if isinstance(a, onnx.TensorProto) else a for a in inputs]
    return dict(zip([value.name for value in case.model.graph.input], found, strict=True))


def moved(array: Array) -> Array:
    """The input in float64, moved a little off the integers to avoid ties."""
    return np.asarray(array.astype(np.float64) + JITTER * np.random.default_rng(1).standard_normal(array.shape))
