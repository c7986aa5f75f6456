"""Every rule against central differences, over ONNX's own cases of its op."""

import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from xaionnx.autodiff.table import STANDARD
from xaionnx.errors import UnsupportedModelError

sys.path.insert(0, str(Path(__file__).parent))
from differences import widened, worst_error

# Inputs that a rule refuses, as weights and statistics are: one that depends on what is explained is told so.
REFUSED = {
    "Clip": {1, 2},
    "Conv": {1},
    "ConvTranspose": {1},
    "Mod": {1},
}
# Held against central differences elsewhere: ONNX's cases are of integers, or the reference has it in float32 alone.
ELSEWHERE = {
    "Trilu": "test_sequences",
    "MeanVarianceNormalization": "test_normalisation",
    # onnxruntime has recurrent kernels in float32 alone.
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "test_recurrent"),
    # Straight through: held against closed forms.
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "test_quantization"),
    "MaxUnpool": "test_indexing",
}
# Float inputs that no derivative exists for.
CONSTANTS = {"Dropout": {1}, "Resize": {1, 2}}
# Rounding and the step leave about 1e-9; the rest is curvature.
TOLERANCE = 1e-5
LARGEST = 10_000


@cache
def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {}
        for case in collect_testcases(None):
            nodes = case.model.graph.node
            # A single node is an op's own case; longer graphs expand functions into others.
            if len(nodes) == 1 and nodes[0].domain == "" and nodes[0].op_type in STANDARD:
                found.setdefault(nodes[0].op_type, []).append(case)
    return found


def arrays(case):
    inputs, _ = case.data_sets[0]
    found = [numpy_helper.to_array(a) if isinstance(a, onnx.TensorProto) else np.asarray(a) for a in inputs]
    return dict(zip([value.name for value in case.model.graph.input], found, strict=True))


def in_float64(feeds):
    """Infinities and NaN become ordinary numbers."""
    ordinary = {"nan": 0.5, "posinf": 2.0, "neginf": -2.0}
    return {n: np.nan_to_num(a.astype(np.float64), **ordinary) if a.dtype.kind == "f" else a for n, a in feeds.items()}


def float_tensors(values):
    narrow = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
    return [v.name for v in values if v.type.tensor_type.elem_type in narrow]


@pytest.mark.parametrize("op", [op for op in STANDARD if op not in ELSEWHERE])
def test_rules_agree_with_central_differences(op):
    compared = 0
    for case in cases().get(op, []):
        node = case.model.graph.node[0]
        outs, ins = float_tensors(case.model.graph.output), float_tensors(case.model.graph.input)
        if "training" in case.name or "train" in case.name or not outs:
            continue
        feeds = in_float64(arrays(case))
        # The reference evaluator takes seconds for the large ones, which show nothing that small ones do not.
        if any(a.size > LARGEST for a in feeds.values()):
            continue
        # Cases of infinities and NaN have no slopes; those of Cast mix them with ordinary numbers.
        if op != "Cast" and not all(np.isfinite(a).all() for a in arrays(case).values() if a.dtype.kind == "f"):
            continue
        model = widened(case.model)
        for name in ins:
            if name not in node.input:
                continue
            index = list(node.input).index(name)
            if index in CONSTANTS.get(op, ()) or feeds[name].size == 0:
                continue
            if index in REFUSED.get(op, ()):
                with pytest.raises(UnsupportedModelError, match="cannot be differentiated"):
                    worst_error(model, feeds, name, outs[0])
                continue
            error = worst_error(model, feeds, name, outs[0])
            assert error < TOLERANCE, (case.name, name, error)
            compared += 1
    assert compared, f"{op} has a rule and no case"
