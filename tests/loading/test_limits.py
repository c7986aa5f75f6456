"""Files that declare too much are refused before anything of that size is made; descriptions may be any bytes."""

import time

import numpy as np
import pytest
from onnx import helper

from tests.corpus.models import doubling
from tests.loading.files import message, model, node, save, tensor
from xaionnx import Model
from xaionnx.loading import read_model


@pytest.mark.parametrize(("count", "size"), [(26, "33,554,432"), (400, r"about 10\^120")])
def test_functions_that_call_each_other_without_end(tmp_path, count, size):
    began = time.monotonic()
    assert size.replace("\\", "") in message(save(tmp_path / "m.onnx", doubling(count)))
    assert time.monotonic() - began < 2


def test_functions_that_call_each_other_a_little_run(tmp_path):
    opened = Model.load(save(tmp_path / "m.onnx", doubling(6)), device="cpu")
    assert opened.run({"x": np.float32([[1, -1, 2, 0]])})["y"].tolist() == [[1, 0, 2, 0]]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([1, 10**12], "input 'x' declares 1,000,000,000,000 elements"),
        ([1, 2**62, 2**62], "elements, and at most 2,147,483,648 are tried"),
        ([1] * 70, "input 'x' has 70 axes, and arrays have at most 64"),
    ],
)
def test_a_size_that_no_machine_has(tmp_path, shape, words):
    made = model([node("Relu", "x", "y")], [tensor("x", shape)], [tensor("y", None)])
    assert words in message(save(tmp_path / "m.onnx", made))


def test_an_unknown_element_type(tmp_path):
    made = model([node("Relu", "x", "y")], [tensor("x", dtype=99)])
    assert "input 'x' has the unknown element type 99." in message(save(tmp_path / "m.onnx", made))


def test_descriptions_that_are_not_utf8_are_replaced(tmp_path):
    made = model([node("Relu", "x", "y")], outputs=[tensor("y", ("N", 4))])
    made.producer_name, made.graph.name, made.graph.node[0].doc_string, made.doc_string = "pppp", "gggg", "dddd", "ssss"
    helper.set_model_props(made, {"kkkk": "vvvv"})
    data = made.SerializeToString()
    for word in (b"pppp", b"gggg", b"dddd", b"ssss", b"kkkk", b"vvvv"):
        data = data.replace(word, b"\xff" + word[1:])
    file = read_model(save(tmp_path / "m.onnx", data))
    assert file.proto.producer_name == "\ufffdppp"
    assert [(entry.key, entry.value) for entry in file.proto.metadata_props] == [("\ufffdkkk", "\ufffdvvv")]
    assert Model.load(tmp_path / "m.onnx", device="cpu").with_outputs(["y"]).run({"x": np.float32([[1, -1, 2, 0]])})
