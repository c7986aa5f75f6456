"""Models at which ONNX's shape inference ends the process are loaded and explained."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import xaionnx
from models import planted
from tests.tiny import model, node, row, tensor
from xaionnx.loading.shape_inference import infer_shapes

CODES = {"keys_floats": [0.0, 1.0, 2.0], "values_floats": [10.0, 20.0, 30.0]}


def imputed_and_coded():
    """As skl2onnx writes a SimpleImputer with an OrdinalEncoder after it, for one column of a matrix."""
    nodes = [
        node("ArrayFeatureExtractor", ["x", "second"], ["k"], domain="ai.onnx.ml"),
        node("Imputer", ["k"], ["i"], domain="ai.onnx.ml", imputed_value_floats=[1.0], replaced_value_float=np.nan),
        node("LabelEncoder", ["i"], ["c"], domain="ai.onnx.ml", **CODES),
        node("Reshape", ["c", "sizes"], ["r"]),
        node("ArrayFeatureExtractor", ["x", "first"], ["n"], domain="ai.onnx.ml"),
        node("Add", ["r", "n"], ["y"]),
    ]
    places = {"first": np.array([0]), "second": np.array([1]), "sizes": np.array([-1, 1])}
    return model(nodes, [tensor("x", ["N", 2])], [tensor("y", ["N", 1])], places, domains={"ai.onnx.ml": 3})


def test_a_model_that_ends_the_process_is_explained():
    loaded = planted.load(imputed_and_coded())
    found = xaionnx.explain(loaded, row(5, 2), "exact_shapley", 0, baseline=0.0)
    assert found.prediction.tolist() == [35]
    assert found.values.tolist() == [[5, 20]]


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"keys_floats": [1.0]}, TensorProto.FLOAT),
        ({"keys_int64s": [1]}, TensorProto.INT64),
        ({"keys_strings": ["a"]}, TensorProto.STRING),
        ({"keys_tensor": numpy_helper.from_array(np.float64([1]))}, TensorProto.DOUBLE),
    ],
)
def test_what_encoders_read_has_the_type_of_their_keys(keys, kind):
    version, values = (
        (4, {"values_tensor": numpy_helper.from_array(np.float32([1]))})
        if "keys_tensor" in keys
        else (3, {"values_floats": [1.0]})
    )
    nodes = [
        node("Imputer", ["x"], ["i"], domain="ai.onnx.ml", imputed_value_floats=[1.0]),
        node("LabelEncoder", ["i"], ["a"], domain="ai.onnx.ml", **keys, **values),
        node("Relu", ["a"], ["y"]),
    ]
    proto = model(nodes, [tensor("x", ["N", 2])], [tensor("y", ["N", 2])], domains={"ai.onnx.ml": version})
    found = {value.name: value.type.tensor_type.elem_type for value in infer_shapes(proto).graph.value_info}
    assert found == {"i": kind, "a": TensorProto.FLOAT}
    assert not proto.graph.value_info


@pytest.mark.parametrize("data_prop", [True, False])
def test_other_models_are_inferred_as_by_onnx(data_prop):
    proto = model([node("Relu", ["x"], ["h"]), node("Abs", ["h"], ["y"])], [tensor("x", ["N", 2])], [tensor("y", None)])
    assert infer_shapes(proto, data_prop=data_prop) == onnx.shape_inference.infer_shapes(proto, data_prop=data_prop)
