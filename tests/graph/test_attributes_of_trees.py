"""Numbers of trees, of which files have millions, are decoded and copied only where they are read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import xaionnx.graph.view as views
from tests.graph.test_tree_ensembles import STUMP
from xaionnx.graph.inference import inferred
from xaionnx.graph.view import GraphView
from xaionnx.loading import shape_inference

ML = "ai.onnx.ml"
NODES = {name: numbers for name, numbers in STUMP.items() if name.startswith("nodes_")}


def classifier(**labels):
    leaves = {f"class_{key}": [0, 0] for key in ("treeids", "ids")} | {"class_nodeids": [1, 2]}
    return helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        domain=ML,
        **NODES,
        **leaves,
        class_weights=[1.0, 2.0],
        **labels,
    )


def regressor():
    leaves = {f"target_{key}": [0, 1] for key in ("treeids", "ids")} | {"target_nodeids": [1, 2]}
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["sums"], domain=ML, n_targets=2, **NODES, **leaves, target_weights=[1.0, 2.0]
    )


def model(*nodes, opset=3):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_empty_tensor_value_info(name) for node in nodes for name in node.output],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ML, opset)])


def kinds_of(values):
    """Types and shapes by name, as far as they are known."""
    return {value.name: value.type.SerializeToString() for value in values if value.type.ByteSize()}


@pytest.fixture
def decoded(monkeypatch):
    names = []
    get = views.helper.get_attribute_value

    def noted(attribute):
        names.append(attribute.name)
        return get(attribute)

    monkeypatch.setattr(views.helper, "get_attribute_value", noted)
    return names


def test_an_attribute_is_decoded_once_and_when_it_is_read(decoded):
    view = GraphView(model(classifier(classlabels_int64s=[3, 5])))
    found = view.attributes(view.nodes[0])
    assert "nodes_values" in found
    assert "nodes_hitrates" not in found
    assert [found["classlabels_int64s"], found.get("classlabels_int64s")] == [[3, 5]] * 2
    assert decoded == ["classlabels_int64s"]
    assert dict(found)["nodes_modes"] == NODES["nodes_modes"]
    assert len(found) == len({*found}) == len(classifier(classlabels_int64s=[3, 5]).attribute)


def test_threads_may_read_an_attribute_at_once(monkeypatch):
    found = GraphView(model(classifier(classlabels_int64s=[3, 5]))).nodes[0]
    stated = views.attributes(found)
    get, reads = views.helper.get_attribute_value, []

    def meanwhile(attribute):
        if not reads:
            reads.append(attribute.name)
            assert stated["nodes_modes"] == NODES["nodes_modes"]
        return get(attribute)

    monkeypatch.setattr(views.helper, "get_attribute_value", meanwhile)
    assert stated["nodes_modes"] == NODES["nodes_modes"]
    assert reads == ["nodes_modes"]


def test_defaults_and_given_attributes_are_one_mapping():
    view = GraphView(
        onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 2] x) => (float[N, 2] y) { h = Softmax(x)  y = Softmax <axis = 1> (h) }""")
    )
    assert [dict(view.attributes(node)) for node in view.nodes] == [{"axis": -1}, {"axis": 1}]


@pytest.mark.parametrize("opset", [1, 3])
@pytest.mark.parametrize(
    "nodes",
    [
        (classifier(classlabels_int64s=[3, 5]),),
        (classifier(classlabels_strings=["a", "b"]), regressor()),
    ],
)
def test_types_and_shapes_are_those_with_the_numbers(nodes, opset, monkeypatch):
    whole = model(*nodes, opset=opset)
    known = onnx.shape_inference.infer_shapes(whole).graph
    given = []
    infer = onnx.shape_inference.infer_shapes

    def noted(light, **options):
        given.extend(attribute.name for node in light.graph.node for attribute in node.attribute)
        return infer(light, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", noted)
    light = shape_inference.infer_shapes(whole).graph
    assert kinds_of((*light.value_info, *light.output)) == kinds_of((*known.value_info, *known.output))
    assert kinds_of(inferred(whole, whole.graph.node).values()) == kinds_of(
        (*known.value_info, *known.output, *known.input)
    )
    assert not [name for name in given if name.startswith(("nodes_", "class_", "target_"))]
    # What was given is left as it was.
    assert np.array_equal([len(node.attribute) for node in whole.graph.node], [len(node.attribute) for node in nodes])
