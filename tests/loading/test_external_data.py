"""External data: hashed with the model, and refused where they could reach files that are not the model's."""

import hashlib
import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.loading.files import BESIDE, message, model, node, save, tensor
from xaionnx.loading import read_model


def external_model(folder: Path, location="weights.bin", **entries) -> Path:
    """y = x @ w, with w of 4 x 3 floats at byte 16 of an external file."""
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    for key, value in ({"location": location, "offset": "16", "length": "48"} | entries).items():
        if value is not None:
            w.external_data.add(key=key, value=value)
    return save(folder / "m.onnx", model([node("MatMul", "x w", "y")], weights=[w]))


class TestExternalData:
    def test_good(self, tmp_path):
        (tmp_path / "sub").mkdir()
        save(tmp_path / "sub/weights.bin", bytes(64))
        path = external_model(tmp_path, "sub/weights.bin")
        file = read_model(path)
        assert file.external == ((tmp_path / "sub/weights.bin").resolve(),)
        assert not file.proto.graph.initializer[0].HasField("raw_data")
        lines = f"{_sha(path)}  -\n{_sha(tmp_path / 'sub/weights.bin')}  sub/weights.bin\n"
        assert file.sha256 == hashlib.sha256(lines.encode()).hexdigest()

    def test_hash_sees_the_weights_and_not_the_name(self, tmp_path):
        save(tmp_path / "weights.bin", bytes(64))
        path = external_model(tmp_path)
        before = read_model(path).sha256
        assert read_model(path.rename(tmp_path / "renamed.onnx")).sha256 == before
        save(tmp_path / "weights.bin", bytes(63) + b"\1")
        assert read_model(tmp_path / "renamed.onnx").sha256 != before

    def test_offset_and_length_may_be_left_out(self, tmp_path):
        save(tmp_path / "weights.bin", bytes(48))
        assert len(read_model(external_model(tmp_path, offset=None, length=None)).external) == 1

    def test_in_an_attribute_of_a_body(self, tmp_path):
        value = TensorProto(data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
        value.external_data.add(key="location", value="/etc/passwd")
        body = helper.make_graph([node("Constant", "", "t", value=value)], "then", [], [tensor("t", None)])
        proto = model(
            [node("If", "c", "y", then_branch=body, else_branch=body)], [tensor("x"), tensor("c", (), TensorProto.BOOL)]
        )
        path = save(tmp_path / "m.onnx", proto)
        assert message(path) == (
            f"{path}: external data '/etc/passwd' is an absolute path. Save the model with its weights beside it."
        )

    @pytest.mark.parametrize(
        ("location", "rest"),
        [
            ("/etc/passwd", f"is an absolute path. {BESIDE}"),
            ("C:\\w.bin", f"is an absolute path. {BESIDE}"),
            ("\\\\host\\w.bin", f"is an absolute path. {BESIDE}"),
            ("../outside.bin", f"leads out of the model's folder. {BESIDE}"),
            ("sub\\..\\..\\w", f"leads out of the model's folder. {BESIDE}"),
            ("*/_ORT_MEM_ADDR_/*", f"leads out of the model's folder. {BESIDE}"),
            ("lost.bin", "is missing from {folder}. Put the file there."),
            ("sub", f"is not a regular file. {BESIDE}"),
            ("link.bin", "is a link out of the model's folder. Copy the file to {folder}."),
            ("hard.bin", "is a hard-linked file, with 2 names. Copy it to a file of its own."),
            (
                "pointer.bin",
                "is a Git LFS pointer, not the weights: tensor 'w' needs bytes 16 to 64, and the file has 55. "
                "Run 'git lfs pull' in its folder.",
            ),
        ],
    )
    def test_refused_location(self, tmp_path, location, rest):
        path = external_model(_folder_of_traps(tmp_path), location)
        assert message(path) == f"{path}: external data '{location}' " + rest.replace("{folder}", str(path.parent))

    def test_model_and_weights_are_links_as_in_a_download_cache(self, tmp_path):
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
        blobs.mkdir()
        snapshot.mkdir()
        save(blobs / "5feceb66", bytes(64))
        external_model(blobs).rename(blobs / "6b86b273")
        (snapshot / "m.onnx").symlink_to(blobs / "6b86b273")
        (snapshot / "weights.bin").symlink_to(blobs / "5feceb66")
        path = snapshot / "m.onnx"
        assert message(path) == (
            f"{path}: external data 'weights.bin' is missing from {blobs.resolve()}, where {path} links to. "
            "Copy the model and its external data, not links, into one folder."
        )

    @pytest.mark.parametrize(
        ("entries", "rest"),
        [
            ({"location": ""}, "tensor 'w' has external data without a location. Export the model again."),
            (
                {"offset": "17"},
                "external data 'weights.bin' is too short: tensor 'w' needs bytes 17 to 65, and the file has 64. "
                "Download or copy it again.",
            ),
            (
                {"offset": "1000", "length": None},
                "external data 'weights.bin' is too short: tensor 'w' needs bytes 1,000 to 1,048, and the file has 64. "
                "Download or copy it again.",
            ),
            (
                {"length": "40"},
                "tensor 'w' in 'weights.bin' has 40 bytes, and its shape needs 48. Export the model again.",
            ),
            (
                {"offset": "-8"},
                "the offset of tensor 'w' in 'weights.bin' must be a whole number of bytes. Got '-8' instead.",
            ),
            (
                {"length": "1_0"},
                "the length of tensor 'w' in 'weights.bin' must be a whole number of bytes. Got '1_0' instead.",
            ),
        ],
    )
    def test_refused_extent(self, tmp_path, entries, rest):
        path = external_model(_folder_of_traps(tmp_path), **entries)
        assert message(path) == f"{path}: {rest}"

    def test_key_given_twice(self, tmp_path):
        save(tmp_path / "weights.bin", bytes(64))
        path = external_model(tmp_path)
        proto = onnx.load(path, load_external_data=False)
        proto.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
        save(path, proto)
        assert message(path) == (
            f"{path}: the external data of tensor 'w' give 'location' twice. Export the model again."
        )


def _folder_of_traps(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "model"
    (folder / "sub").mkdir(parents=True)
    save(tmp_path / "outside.bin", bytes(64))
    save(folder / "weights.bin", bytes(64))
    save(folder / "pointer.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:0")
    save(folder / "one.bin", bytes(64))
    os.link(folder / "one.bin", folder / "hard.bin")
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    return folder


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
