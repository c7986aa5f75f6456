"""A graph with fused ops becomes one of plain ops, of any opset and with bodies."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from tests.graph.fused.unfused import DOMAINS, run, seeded, written
from tests.tiny import model, node, tensor
from tests.tolerances import Tolerance, assert_close
from xaionnx.graph.cut import count_ops
from xaionnx.graph.fused_op import fused_ops
from xaionnx.graph.opset import OPSET
from xaionnx.graph.unfuse import unfuse


def test_a_plain_graph_is_returned_as_it_is():
    proto = model([node("Relu", ["x"], ["y"])], [tensor("x", ["N", 2])], [tensor("y", ["N", 2])])
    assert written(proto) is proto


def test_the_given_graph_is_not_changed():
    proto = model([node("Gelu", ["x"], ["y"], domain="com.microsoft")], [tensor("x", ["N", 2])], [tensor("y", None)],
                  domains=DOMAINS)  # fmt: skip
    before = proto.SerializeToString(deterministic=True)
    assert list(count_ops(written(proto))) == ["Gelu"]
    assert proto.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_files_of_old_opsets_are_brought_to_a_recent_one(opset):
    text = f"""<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>
        g (float[N, 2, 4] x) => (float[N, 8] y) <float[4] b = {{1, -1, 2, 0.5}}> {{
            h = com.microsoft.BiasGelu(x, b)  s = Softmax<axis = 1>(h)  y = Flatten(s) }}"""
    proto = parser.parse_model(text)
    plain = written(proto)
    assert plain.opset_import[0].version == max(opset, OPSET)
    x = {"x": seeded(3, 2, 4)}
    assert_close(run(plain, x, optimise=False)[0], run(proto, x)[0], Tolerance.SIGNED_SUMS)


def test_weights_may_be_inputs_as_in_the_first_files():
    """Before IR version 4 weights are inputs too, except those that onnxruntime added."""
    made = node("FusedGemm", ["x", "w", "b"], ["y"], domain="com.microsoft", activation="Relu")
    ends = [tensor("x", ["N", 3]), tensor("w", [3, 2])]
    weights = {"w": seeded(3, 2), "b": seeded(2)}
    proto = model([made], ends, [tensor("y", ["N", 2])], weights, opset=9, domains={"com.microsoft": 1})
    proto.ir_version = 3
    plain = written(proto)
    assert [value.name for value in plain.graph.input] == ["x"]
    assert list(count_ops(plain)) == ["Gemm", "Relu"]


def test_nodes_in_any_order_and_sparse_weights_are_taken():
    indices, numbers = np.int64([0, 5]), np.float32([2, -1])
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(numbers, "w"), numpy_helper.from_array(indices, "w_indices"), [3, 2]
    )
    nodes = [
        node("FusedMatMul", ["h", "w"], ["y"], domain="com.microsoft", alpha=2.0),
        node("Relu", ["x"], ["h"]),
    ]
    proto = model(nodes, [tensor("x", ["N", 3])], [tensor("y", None)], opset=13, domains={"com.microsoft": 1})
    proto.graph.sparse_initializer.append(sparse)
    x = np.float32([[1, 2, 3]])
    np.testing.assert_array_equal(run(written(proto), {"x": x}, optimise=False)[0], [[4, -6]])


def test_an_op_that_the_declared_opset_lacks_is_kept():
    """onnxruntime writes LayerNormalization into files of older opsets."""
    nodes = [
        node("LayerNormalization", ["x", "g", "b"], ["h"]),
        node("Gelu", ["h"], ["y"], domain="com.microsoft"),
    ]
    weights = {"g": seeded(4), "b": seeded(4, seed=1)}
    proto = model(nodes, [tensor("x", ["N", 4])], [tensor("y", None)], weights, opset=13, domains=DOMAINS)
    plain = written(proto)
    assert [each.op_type for each in plain.graph.node] == ["LayerNormalization", "Gelu"]
    x = {"x": seeded(3, 4)}
    assert_close(run(plain, x, optimise=False)[0], run(proto, x)[0], Tolerance.SIGNED_SUMS)


def test_bodies_are_written_in_plain_ops_too():
    branches = {}
    for name, op in (("then_branch", "QuickGelu"), ("else_branch", "FastGelu")):
        held = node(op, ["x"], [name], domain="com.microsoft")
        branches[name] = helper.make_graph([held], name, [], [tensor(name, None)])
    nodes = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Greater", ["s", "zero"], ["c"])]
    nodes.append(node("If", ["c"], ["y"], **branches))
    proto = model(nodes, [tensor("x", ["N", 4])], [tensor("y", None)], {"zero": np.float32(0)}, domains=DOMAINS)
    plain = written(proto)
    assert not [name for name in count_ops(plain) if "." in name]
    for x in (seeded(3, 4), -np.abs(seeded(3, 4))):
        assert_close(run(plain, {"x": x}, optimise=False)[0], run(proto, {"x": x})[0], Tolerance.SIGNED_SUMS)


def test_names_stay_and_outputs_that_nothing_reads_are_not_computed():
    nodes = [
        node("SkipLayerNormalization", ["x", "x", "g"], ["h", "", "", "sum"], name="skip", domain="com.microsoft"),
        node("Add", ["h", "sum"], ["y"]),
    ]
    proto = model(nodes, [tensor("x", ["N", 3, 4])], [tensor("y", None)], {"g": seeded(4)}, domains=DOMAINS)
    plain = written(proto)
    assert [list(each.output)[:1] for each in plain.graph.node] == [["sum"], ["h"], ["y"]]


def test_unknown_ops_stay_and_hide_the_types_of_what_follows():
    nodes = [
        node("MurmurHash3", ["ids"], ["h"], domain="com.microsoft"),
        node("Cast", ["h"], ["f"], to=TensorProto.FLOAT),
        node("Gelu", ["f"], ["y"], domain="com.microsoft"),
    ]
    proto = model(nodes, [tensor("ids", ["N"], TensorProto.INT32)], [tensor("y", None)], domains=DOMAINS)
    assert [each.op_type for each in written(proto).graph.node] == ["MurmurHash3", "Cast", "Gelu"]
    assert list(count_ops(written(proto))) == ["Cast", "Gelu", "com.microsoft.MurmurHash3"]


def test_weights_in_external_files_stay_there(tmp_path):
    weights = seeded(64, 64)
    proto = model(
        [node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", transB=1, alpha=0.5)],
        [tensor("x", ["N", 64])], [tensor("y", None)], {"w": weights}, opset=13, domains=DOMAINS,
    )  # fmt: skip
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    apart = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    plain = unfuse(apart, lambda tensor: numpy_helper.to_array(tensor, base_dir=str(tmp_path)), lambda: 16)
    assert [each.data_location for each in plain.graph.initializer] == [TensorProto.EXTERNAL]
    assert [each.op_type for each in plain.graph.node] == ["Transpose", "MatMul", "Constant", "Mul"]


def test_every_body_is_of_an_op_that_onnxruntime_has():
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    known = {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    assert set(fused_ops()) <= known
