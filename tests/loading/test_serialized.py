"""Models as bytes: those that Protocol Buffers do not write are told apart from those that they do."""

import math

import onnx
import pytest

from xaionnx.errors import UnsupportedModelError
from xaionnx.graph.serialize import to_bytes
from xaionnx.loading import serialized
from xaionnx.loading.reading import read_model


def weights(count, size):
    model = onnx.ModelProto()
    for number in range(count):
        model.graph.initializer.append(onnx.TensorProto(name=f"w{number}", data_type=1, dims=[size // 4]))
        model.graph.initializer[number].raw_data = bytes(size)
    return model


def test_the_bytes_are_those_of_the_model(monkeypatch):
    model = weights(2, 400)
    content = serialized.serialized(model)
    assert content == model.SerializeToString()
    assert serialized.serialized_size(model) == len(content) == model.ByteSize()
    monkeypatch.setattr(serialized, "LARGEST_FILE", len(content) - 1)
    assert serialized.serialized(model) is None
    assert serialized.serialized_size(model) == math.inf


@pytest.mark.slow
def test_a_model_that_cannot_be_written_is_refused_in_a_sentence():
    model = weights(3, 800_000_000)
    assert serialized.serialized(model) is None
    assert serialized.serialized_size(model) == math.inf
    source = read_model("models/mnist_cnn.onnx")
    with pytest.raises(UnsupportedModelError, match=r"mnist_cnn\.onnx is larger than 2 GiB\. Save the model with its"):
        to_bytes(model, source)
