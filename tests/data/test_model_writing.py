"""A model with weights beside it: written whole or not at all, also over an earlier one."""

import errno
import os

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from tests.tiny import parsed
from xaionnx.data import storage
from xaionnx.data.model_writing import locations, take_out_weights, write_model
from xaionnx.errors import StorageError


def scaled(factor, floats=False):
    """A model that multiplies by a matrix; ``floats`` stores it as numbers, not as bytes."""
    weights = np.eye(32, dtype=np.float32) * factor
    model = parsed("g (float[N, 32] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=weights)
    if floats:
        model.graph.initializer[0].CopyFrom(helper.make_tensor("w", 1, weights.shape, weights.ravel()))
    return model


def write(path, model, **options):
    return write_model(path, model, {"weights": take_out_weights(model, "weights")}, **options)


def factor(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return float(session.run(["y"], {"x": np.ones((1, 32), np.float32)})[0][0, 0])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("floats", [False, True])
def test_weights_lie_beside_the_model(tmp_path, floats):
    path = tmp_path / "m.onnx"
    assert write(path, scaled(3, floats)) == (path, tmp_path / "m.onnx.data")
    assert files(tmp_path) == ["m.onnx", "m.onnx.data"]
    assert path.stat().st_size < 1000
    assert factor(path) == 3
    assert locations(path) == {"m.onnx.data"}
    assert locations(tmp_path / "none.onnx") == set()


def test_weights_of_an_earlier_model_are_removed_once_the_new_one_is_there(tmp_path):
    path = tmp_path / "m.onnx"
    write(path, scaled(3))
    again = write(path, scaled(3))
    assert again[1].name == "m.onnx.data"
    _, weights = write(path, scaled(4))
    assert files(tmp_path) == ["m.onnx", weights.name]
    assert weights.name.startswith("m.onnx.")
    assert factor(path) == 4
    write(path, scaled(5))
    assert files(tmp_path) == ["m.onnx", "m.onnx.data"]
    assert factor(path) == 5


@pytest.mark.parametrize("place", ["_sync", "_rename"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_an_earlier_model_and_its_weights_stay_whatever_fails(tmp_path, monkeypatch, place, at, failure):
    path = tmp_path / "m.onnx"
    write(path, scaled(3))
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    function, calls = getattr(storage, place), []

    def fail(*given):
        calls.append(given)
        if len(calls) == at or given[-1] == path:
            raise failure
        return function(*given)

    monkeypatch.setattr(storage, place, fail)
    with pytest.raises(StorageError if isinstance(failure, OSError) else KeyboardInterrupt):
        write(path, scaled(4))
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert factor(path) == 3


def test_files_of_others_and_sources_are_kept(tmp_path):
    path, theirs = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    theirs.write_text("mine")
    _, weights = write(path, scaled(3))
    assert theirs.read_text() == "mine"
    assert factor(path) == 3
    write(path, scaled(4), sources=[weights])
    assert weights.exists()
    assert factor(path) == 4
    _, weights = write(path, scaled(5), replace=True)
    assert weights == theirs
    assert factor(path) == 5


def test_two_that_write_at_once_do_not_mix_their_weights(tmp_path, monkeypatch):
    path, link = tmp_path / "m.onnx", os.link

    def late(source, target):
        # The other has written its weights in between.
        monkeypatch.setattr(os, "link", link)
        write(path, scaled(7))
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    write(path, scaled(8))
    assert factor(path) == 8


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "m.onnx"
    for number in (3, 4):
        write(path, scaled(number))
        assert factor(path) == number
    assert len(files(tmp_path)) == 2


def test_small_tensors_and_texts_stay_in_the_model(tmp_path):
    model = scaled(2)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "sizes"))
    model.graph.initializer.append(helper.make_tensor("words", onnx.TensorProto.STRING, [400], [b"word"] * 400))
    write(tmp_path / "m.onnx", model)
    stored = onnx.load(tmp_path / "m.onnx", load_external_data=False).graph.initializer
    outside = {tensor.name: tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in stored}
    assert outside == {"w": True, "sizes": False, "words": False}
