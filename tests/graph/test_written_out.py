"""Softmax and Gelu that onnxruntime writes out in half precision follow the rules of the ops that they were."""

import numpy as np
import onnx
import onnxruntime
import pytest

import xaionnx
from tests.tiny import parsed
from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.graph.written_out import join_softmax

RNG = np.random.default_rng(5)
WEIGHTS = {"w": RNG.normal(size=(6, 5)).astype(np.float16), "v": RNG.normal(size=(5, 3)).astype(np.float16)}
OPS = {"Softmax": "", "LogSoftmax": "", "Gelu": "", "Gelu by tanh": '<approximate = "tanh">'}


def files(op, folder):
    """A file of half precision, and what onnxruntime saves of it."""
    exported, saved = folder / "exported.onnx", folder / "saved.onnx"
    body = f"s = {op.split()[0]} {OPS[op]} (h)"
    text = f"i = Cast <to = 10> (x)  h = MatMul(i, w)  {body}  m = MatMul(s, v)  y = Cast <to = 1> (m)"
    onnx.save(parsed(f"g (float[N, 6] x) => (float[N, 3] y) {{ {text} }}", opset=20, **WEIGHTS), exported)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(saved)
    onnxruntime.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
    assert op.split()[0] not in {node.op_type for node in onnx.load(saved).graph.node}
    return Model.load(exported, device="cpu"), Model.load(saved, device="cpu")


@pytest.mark.parametrize("op", OPS)
def test_saved_files_are_explained_as_the_exported_one(op, tmp_path):
    exported, saved = files(op, tmp_path)
    x = RNG.normal(size=(2, 6)).astype(np.float32)
    for method, options in (("saliency", {}), ("lrp", {"composite": "epsilon_plus"}), ("deep_lift", {})):
        wanted, found = (xaionnx.explain(model, x, method, 1, **options).values for model in (exported, saved))
        assert_close(found, wanted, Tolerance.SIGNED_LAYERS, np.abs(wanted).max())


@pytest.mark.parametrize(
    "body",
    [
        "m = ReduceMax(x, k)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, l)  y = Div(e, s)",
        "m = ReduceMax <keepdims = 0> (x, k)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, k)  y = Div(e, s)",
        "m = ReduceMax(x, k)  d = Sub(z, m)  e = Exp(d)  s = ReduceSum(e, k)  y = Div(e, s)",
        "m = ReduceMax(x, k)  d = Sub(x, m)  e = Exp(d)  f = Exp(x)  s = ReduceSum(f, k)  y = Div(e, s)",
        "m = ReduceMax(x, k)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, k)  g = Log(s)  y = Sub(x, g)",
    ],
)
def test_other_steps_stay(body):
    model = parsed(
        f"g (float[3, 3] x, float[3, 3] z) => (float[3, 3] y) {{ {body} }}", opset=20, k=np.int64([1]), l=np.int64([0])
    )
    before = model.SerializeToString()
    join_softmax(model.graph)
    assert model.SerializeToString() == before


def test_steps_that_others_read_stay():
    model = parsed(
        "g (float[N, 3] x) => (float[N, 3] y, float[N, 3] e) "
        "{ m = ReduceMax(x, k)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, k)  y = Div(e, s) }",
        opset=20, k=np.int64([1]),
    )  # fmt: skip
    join_softmax(model.graph)
    assert [node.op_type for node in model.graph.node] == ["ReduceMax", "Sub", "Exp", "Softmax"]
