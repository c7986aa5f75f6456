"""Expanding composed ops does not change the function."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.autodiff.differences import every_case
from tests.tiny import parsed, run
from tests.tolerances import Tolerance, assert_close
from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.expand import COMPOSED, expand

# The latest opset that onnxruntime 1.31 supports.
NEWEST = 24


def answers(model, feeds):
    return list(run(model, feeds).values())


def test_cases_of_onnx_answer_what_they_did():
    found = [c for c in every_case() if c.model is not None and len(c.model.graph.node) == 1]
    compared = 0
    for case in found:
        graph, inputs = case.model.graph, case.data_sets[0][0]
        if graph.node[0].op_type not in ("Attention", "RotaryEmbedding"):
            continue
        kinds = {value.type.tensor_type.elem_type for value in graph.input}
        if case.model.opset_import[0].version > NEWEST or TensorProto.BFLOAT16 in kinds:
            continue
        written = expand(case.model)
        onnx.checker.check_model(written)
        assert not any(node.op_type in COMPOSED for node in written.graph.node)
        feeds = dict(zip([value.name for value in graph.input], inputs, strict=True))
        tolerance = Tolerance.FLOAT16 if TensorProto.FLOAT16 in kinds else Tolerance.SIGNED_SUMS
        for ours, wanted in zip(answers(written, feeds), case.data_sets[0][1], strict=True):
            assert_close(ours, wanted, tolerance)
        compared += 1
    assert compared > 60


def test_a_graph_without_composed_ops_is_returned_as_it_is():
    model = parsed("""g (float[N, 2] x) => (float[N, 2] y) { y = Relu(x) }""", opset=20)
    assert expand(model) is model


def test_names_outside_survive_and_names_inside_are_new():
    model = parsed(
        """g (float[N, 2, 5, 4] x) => (float[N, 2, 5, 4] y) {
          QReshaped = Relu(x)  h = Attention(QReshaped, x, x)  i = Attention(h, x, x)  y = Relu(i) }""",
        opset=23,
        ir=10,
    )
    written = expand(model)
    onnx.checker.check_model(written, full_check=True)
    made = [name for node in written.graph.node for name in node.output if name]
    assert len(made) == len(set(made))
    assert {"QReshaped", "h", "i", "y"} <= set(made)
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 4)).astype(np.float32)
    assert_close(answers(written, {"x": x})[0], answers(model, {"x": x})[0], Tolerance.ORDER_ONE)
    assert [node.op_type for node in model.graph.node].count("Attention") == 2


def test_a_tensor_of_unknown_type_is_told():
    strange = helper.make_node("Strange", ["x"], ["h"], domain="elsewhere", name="s")
    node = helper.make_node("Attention", ["h", "h", "h"], ["y"], name="n")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2, 5, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2, 5, 4])
    imports = [helper.make_opsetid("", 23), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(helper.make_graph([strange, node], "g", [x], [y]), opset_imports=imports, ir_version=10)
    with pytest.raises(UnsupportedModelError, match="the type of its input 'h' is not known"):
        expand(model)
