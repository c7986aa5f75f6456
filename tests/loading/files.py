"""Small models, good and bad, for the tests of reading."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from xaionnx.errors import ModelFileError
from xaionnx.loading import read_model

GIVE = "Give the path of the .onnx file."
AGAIN = "Export the model again."
BESIDE = "Save the model with its weights beside it."
STANDARD = "Export the model with standard ONNX ops."


def tensor(name, shape=("N", 4), dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(
    nodes, inputs=None, outputs=None, weights=(), opset=17, domains=(), ir_version=8, functions=()
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x")] if inputs is None else inputs,
        [tensor("y", None)] if outputs is None else outputs,
        weights,
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*entry) for entry in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=functions)


def node(op, reads, makes, name="", **attributes):
    return helper.make_node(op, reads.split(), makes.split(), name=name, **attributes)


def weight(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def save(path: Path, content) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def message(path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    assert caught.value.__cause__ is None
    return str(caught.value)
