"""The view of a graph: topological order, neighbours, constants, attributes with their defaults."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from tests.tiny import node, parsed, tensor
from xaionnx.graph.view import GraphView, attributes

TEXT = """<ir_version: 8, opset_import: ["" : %d]>
g (float[N, 4] x) => (float[N, 4] y) <float[4] b = {1, 2, 3, 4}, float[4, 4] w = {%s}> {
  y = Add(s, h)  s = Softmax(c)  h = Add(x, b)  c = MatMul(h, w)
}"""


def view(opset=17):
    return GraphView(parser.parse_model(TEXT % (opset, ", ".join("1" * 16))))


def test_nodes_come_in_topological_order_with_their_neighbours():
    found = view()
    assert [n.output[0] for n in found.nodes] == ["h", "c", "s", "y"]
    assert found.tensor_names == ("x", "h", "c", "s", "y")
    assert {name: [n.output[0] for n in nodes] for name, nodes in found.consumers.items()} == {
        "x": ["h"], "b": ["h"], "h": ["c", "y"], "w": ["c"], "c": ["s"], "s": ["y"],
    }  # fmt: skip
    assert {name: n.op_type for name, n in found.producers.items()} == {
        "h": "Add", "c": "MatMul", "s": "Softmax", "y": "Add",
    }  # fmt: skip


@pytest.mark.parametrize(("opset", "axis"), [(17, -1), (12, 1)])
def test_attributes_have_the_defaults_of_the_models_own_version(opset, axis):
    found = view(opset)
    assert found.attributes(found.producers["s"])["axis"] == axis


def test_attributes_that_are_given_stand_over_defaults_and_strings_are_str():
    conv = node("Conv", ["x", "w"], ["y"], strides=[2, 2])
    assert attributes(conv) == {"auto_pad": "NOTSET", "group": 1, "strides": [2, 2]}
    norm = node("BatchNormalization", ["x"] * 5, ["y"])
    assert attributes(norm)["epsilon"] == 1e-5
    assert attributes(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")) == {}
    assert attributes(node("Unheard", ["x"], ["y"], alpha=2.0)) == {"alpha": 2.0}


def test_small_constants_are_read_and_weights_are_not():
    found = view()
    np.testing.assert_array_equal(found.small("b"), [1, 2, 3, 4])
    assert found.small("w") is None
    assert found.small("x") is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"value": helper.make_tensor("", TensorProto.INT64, [2], [3, 4])}, np.array([3, 4])),
        ({"value_int": 7}, np.array(7)),
        ({"value_ints": [1, 2]}, np.array([1, 2])),
        ({"value_float": 0.5}, np.float32(0.5)),
        ({"value_floats": [0.5, 2.0]}, np.array([0.5, 2], np.float32)),
    ],
)
def test_what_constant_nodes_make_is_a_constant(given, wanted):
    nodes = [helper.make_node("Constant", [], ["c"], **given), node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", [tensor("x", ["N"])], [tensor("y", ["N"])])
    held = GraphView(helper.make_model(graph)).small("c")
    np.testing.assert_array_equal(held, wanted)
    assert held.dtype == wanted.dtype
    assert held.shape == wanted.shape


COMPUTED = {
    "Reshape": ("c = Reshape(two, one)", [2]),
    "Cast": ("i = Cast<to = 6>(two)  c = Cast<to = 7>(i)", 2),
    "Concat": ("u = Unsqueeze(two, zero)  c = Concat<axis = 0>(u, three)", [2, 3]),
    "Squeeze": ("c = Squeeze(three, zero)", 3),
    "Identity": ("c = Identity(three)", [3]),
}


@pytest.mark.parametrize(("nodes", "wanted"), COMPUTED.values(), ids=list(COMPUTED))
def test_axes_that_an_exporter_computes_from_constants_are_constants(nodes, wanted):
    made = parsed(
        f"""g (float[N, 2, 3, 4] x) => (float[N, 2, 3, 4] y)
        <int64 two = {{2}}, int64[1] one = {{-1}}, int64[1] zero = {{0}}, int64[1] three = {{3}}> {{
          {nodes}  y = Relu(x) }}"""
    )
    np.testing.assert_array_equal(GraphView(made).small("c"), wanted)


def test_axes_computed_from_constants_determine_shapes():
    made = parsed(
        """g (float[N, 2, 3, 4] x) => (float[N, 2, 1, 1] y) <int64[2] a = {2, 3}, int64[1] all = {-1}> {
          axes = Reshape(a, all)  m = ReduceMean<keepdims = 1>(x, axes)  y = Relu(m) }""",
        opset=18,
    )
    assert GraphView(made).shapes({"x": (1, 2, 3, 4)})["m"] == (1, 2, 1, 1)


def test_what_a_body_takes_from_outside_is_read_by_its_node():
    body = helper.make_graph([node("Relu", ["h"], ["inside"])], "then", [], [tensor("inside", None)])
    nodes = [
        node("Exp", ["x"], ["h"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=body, else_branch=body),
    ]
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    found = GraphView(helper.make_model(helper.make_graph(nodes, "g", [tensor("x", ["N"]), flag], [tensor("y", None)])))
    assert [n.op_type for n in found.consumers["h"]] == ["If"]
    assert found.ancestors(["y"]) == {"x", "flag", "h", "y"}
    assert found.descendants(["x"]) == {"h", "y"}


def test_numbers_depend_on_data_where_shapes_do_not():
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
      g (float[N, 4] x) => (float[N, 4] y) { s = Shape(x)  z = ConstantOfShape(s)  y = Add(x, z) }""")
    found = GraphView(model)
    assert found.data_descendants(["x"]) == {"x", "y"}
    assert found.descendants(["x"]) == {"s", "z", "y"}


def test_shapes_are_inferred_once(monkeypatch):
    found = view()
    assert found.shapes({"x": (3, 4)})["c"] == (3, 4)
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", None)
    assert found.shapes({"x": (3, 4)})["s"] == (3, 4)
