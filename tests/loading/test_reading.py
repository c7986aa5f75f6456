"""Valid files are read completely, and the refusal of another kind of file names that kind."""

import hashlib
import io
import os
import pickle
import time
import zipfile
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.loading.files import AGAIN, GIVE, message, model, node, save, tensor, weight
from xaionnx.errors import ModelFileError
from xaionnx.loading import ModelFile, declared_inputs, read_model


@pytest.fixture
def relu(tmp_path):
    return save(tmp_path / "relu.onnx", model([node("Relu", "x", "y", "a")]))


class TestGoodFiles:
    def test_record(self, relu):
        file = read_model(relu)
        assert file == ModelFile(
            path=relu.resolve(),
            sha256=hashlib.sha256(relu.read_bytes()).hexdigest(),
            proto=onnx.load(relu),
            external=(),
            opset=17,
            domains={"": 17},
            random_ops=(),
        )

    def test_text_path_and_relative_path(self, relu, monkeypatch):
        monkeypatch.chdir(relu.parent)
        assert read_model("relu.onnx").path == relu.resolve()

    def test_default_domain_by_its_long_name(self, tmp_path):
        proto = model([node("Relu", "x", "y")])
        proto.opset_import[0].domain = "ai.onnx"
        assert read_model(save(tmp_path / "m.onnx", proto)).domains == {"": 17}

    def test_old_file_lists_weights_among_inputs(self, tmp_path):
        proto = model(
            [node("Add", "x w", "y")], [tensor("w", (4,)), tensor("x")], weights=[weight("w", 4)], opset=8, ir_version=3
        )
        file = read_model(save(tmp_path / "m.onnx", proto))
        assert [value.name for value in declared_inputs(file.proto)] == ["x"]

    def test_what_is_no_path(self, tmp_path):
        proto = model([node("Relu", "x", "y")])
        with pytest.raises(ModelFileError, match=r"Got ModelProto instead; save it first: onnx.save\(model, path\)\."):
            read_model(proto)
        with pytest.raises(ModelFileError, match=r"the path of its .onnx file. Got bytes instead\."):
            read_model(proto.SerializeToString())

    def test_nodes_out_of_order(self, tmp_path):
        path = save(tmp_path / "m.onnx", model([node("Relu", "b", "y"), node("Neg", "x", "b")]))
        assert [n.op_type for n in read_model(path).proto.graph.node] == ["Relu", "Neg"]

    def test_contrib_op_of_onnxruntime_needs_no_import(self, tmp_path):
        path = save(tmp_path / "m.onnx", model([node("FastGelu", "x", "y", domain="com.microsoft")]))
        assert read_model(path).domains == {"": 17}
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])  # the reason why the file is accepted

    def test_op_that_onnxruntime_writes_into_the_default_domain(self, tmp_path):
        proto = model([node("SimplifiedLayerNormalization", "x w", "y")], weights=[weight("w", 4)])
        assert read_model(save(tmp_path / "m.onnx", proto)).opset == 17

    def test_unused_domain(self, tmp_path):
        path = save(tmp_path / "m.onnx", model([node("Relu", "x", "y")], domains=[("acme", 3)]))
        assert read_model(path).domains == {"": 17, "acme": 3}

    def test_model_function(self, tmp_path):
        twice = helper.make_function(
            "acme", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)]
        )
        proto = model([node("Twice", "x", "y", domain="acme")], domains=[("acme", 1)], functions=[twice])
        assert read_model(save(tmp_path / "m.onnx", proto)).domains == {"": 17, "acme": 1}

    def test_zipmap_output(self, tmp_path):
        labels = onnx.ValueInfoProto(name="y")
        kind = onnx.TypeProto()
        kind.map_type.key_type = TensorProto.INT64
        kind.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
        labels.type.sequence_type.elem_type.CopyFrom(kind)
        proto = model(
            [node("ZipMap", "x", "y", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3])],
            outputs=[labels],
            domains=[("ai.onnx.ml", 1)],
        )
        assert read_model(save(tmp_path / "m.onnx", proto)).domains == {"": 17, "ai.onnx.ml": 1}

    def test_body_of_if_reads_from_outside(self, tmp_path):
        then = helper.make_graph([node("Relu", "h", "t")], "then", [], [tensor("t", None)])
        other = helper.make_graph([node("Neg", "x", "e")], "else", [], [tensor("e", None)])
        proto = model(
            [node("If", "c", "y", then_branch=then, else_branch=other), node("Abs", "x", "h")],
            [tensor("x"), tensor("c", (), TensorProto.BOOL)],
        )
        assert len(read_model(save(tmp_path / "m.onnx", proto)).proto.graph.node) == 2

    def test_long_chain_is_fast_and_deep_bodies_need_no_recursion(self, tmp_path):
        chain = [node("Relu", f"t{i}", f"t{i + 1}", f"n{i}") for i in range(20_000)]
        path = save(tmp_path / "m.onnx", model(chain, [tensor("t0")], [tensor("t20000")]))
        start = time.process_time()
        assert len(read_model(path).proto.graph.node) == 20_000
        assert time.process_time() - start < 2  # 0.1 s on an idle machine
        body = helper.make_graph([node("Neg", "x", "b")], "b", [], [tensor("b", None)])
        for depth in range(24):  # a level of bodies is three levels of protobuf, which stops at 100
            inner = node("If", "c", f"o{depth}", then_branch=body, else_branch=body) if depth < 1 else None
            body = helper.make_graph(
                [inner or node("If", "c", f"o{depth}", then_branch=body, else_branch=_leaf(depth))],
                f"g{depth}",
                [],
                [tensor(f"o{depth}", None)],
            )
        proto = model(
            [node("If", "c", "y", then_branch=body, else_branch=_leaf(99))],
            [tensor("x"), tensor("c", (), TensorProto.BOOL)],
        )
        assert len(read_model(save(tmp_path / "deep.onnx", proto)).proto.graph.node) == 1


def _leaf(number):
    name = f"leaf{number}"
    return helper.make_graph([node("Abs", "x", name)], name, [], [tensor(name, None)])


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("name", "content", "rest"),
        [
            ("e.onnx", b"", "is empty (0 bytes). Download or copy it again."),
            ("p.onnx", b"\x89PNG\r\n\x1a\n" + bytes(90), f"is a PNG picture, not an ONNX model. {GIVE}"),
            ("j.onnx", b"\xff\xd8\xff\xe0" + bytes(90), f"is a JPEG picture, not an ONNX model. {GIVE}"),
            ("g.onnx", b"\x1f\x8b\x08" + bytes(90), "is a gzip archive, not an ONNX model. Unpack it first."),
            ("n.npy", b"\x93NUMPY\x01\x00" + bytes(90), f"is a NumPy array, not an ONNX model. {GIVE}"),
            (
                "k.h5",
                b"\x89HDF\r\n\x1a\n" + bytes(90),
                "is an HDF5 file (Keras), not an ONNX model. Convert it with tf2onnx.",
            ),
            (
                "t.tflite",
                b"\x1c\x00\x00\x00TFL3" + bytes(90),
                "is a TensorFlow Lite model, not an ONNX model. Convert it with tf2onnx (--tflite).",
            ),
            (
                "m.ort",
                b"\x1c\x00\x00\x00ORTM" + bytes(90),
                "is a model in onnxruntime's own format (.ort). Give the .onnx file from which it was converted.",
            ),
            (
                "s.safetensors",
                b"\x20\0\0\0\0\0\0\0" + b'{"w":{}}' + bytes(90),
                "is a safetensors file: weights without a model. Export the model to ONNX.",
            ),
            (
                "l.onnx",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 18500000\n",
                "is a Git LFS pointer, not the model. Run 'git lfs pull' in its folder.",
            ),
            (
                "h.onnx",
                b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>",
                "is a web page (HTML), not an ONNX model. Download the file itself, not the page about it.",
            ),
            ("x.onnx", "Größe\t1\n".encode() * 900, f"is a text file, not an ONNX model. {GIVE}"),
            ("r.onnx", b"\xde\xad\xbe\xef" * 80, f"is not an ONNX model, or it is damaged. {GIVE}"),
            (
                "saved_model.pb",
                b"\x08\x01\x12\x05\x0a\x03\x12\x01\xff",
                "is a TensorFlow SavedModel, not an ONNX model. Convert its folder with tf2onnx.",
            ),
            (
                "f.onnx",
                b"\x08\x08\x12\x02ab",
                f"contains no graph: it is truncated, or not an ONNX model. {GIVE}",
            ),
            (
                "z.onnx",
                b"PK\x03\x04" + bytes(90),
                "is a damaged ZIP archive, not an ONNX model. Download or copy it again.",
            ),
            (
                "sk.pkl",
                pickle.dumps({"coef": [1.0]}),
                "is a Python pickle, not an ONNX model. Export the model to ONNX (scikit-learn: with skl2onnx).",
            ),
            (
                "old.pt",
                pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + b"\x80\x02M\xe9\x03.",
                "is a PyTorch file, not an ONNX model. Export it with torch.onnx.export, where the model's code is.",
            ),
        ],
    )
    def test_kind(self, tmp_path, name, content, rest):
        path = save(tmp_path / name, content)
        assert message(path) == f"{path} {rest}"

    @pytest.mark.parametrize(
        ("member", "rest"),
        [
            (
                "archive/data.pkl",
                "is a PyTorch file, not an ONNX model. Export it with torch.onnx.export, where the model's code is.",
            ),
            ("model.weights.h5", "is a Keras model, not an ONNX model. Convert it with tf2onnx."),
            ("net/model.onnx", "is a ZIP archive with 'net/model.onnx' in it. Unpack it first."),
            ("photo.png", f"is a ZIP archive, not an ONNX model. {GIVE}"),
        ],
    )
    def test_archive(self, tmp_path, member, rest):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(member, b"content")
        path = save(tmp_path / "m.onnx", buffer.getvalue())
        assert message(path) == f"{path} {rest}"

    def test_missing(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert message("m.onnx") == f"No file m.onnx. Check the path; the current folder is {Path.cwd()}."

    def test_path_through_a_file(self, relu):
        assert message(relu / "m.onnx") == f"No file {relu}/m.onnx: a part of its path is a file, not a folder."

    def test_folders(self, tmp_path):
        assert message(tmp_path) == f"{tmp_path} is a folder without .onnx files. {GIVE}"
        for name in ("b.onnx", "a.onnx"):
            save(tmp_path / name, b"")
        assert message(tmp_path) == f"{tmp_path} is a folder. Give one of the models in it: a.onnx, b.onnx."
        save(tmp_path / "saved_model.pb", b"")
        assert message(tmp_path) == (
            f"{tmp_path} is a TensorFlow SavedModel, not an ONNX model. Convert its folder with tf2onnx."
        )

    def test_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "m.onnx")
        assert message(tmp_path / "m.onnx") == f"{tmp_path / 'm.onnx'} is not a regular file. {GIVE}"

    def test_loop_of_links(self, tmp_path):
        path = tmp_path / "m.onnx"
        path.symlink_to(path)
        assert message(path).startswith(f"{path} cannot be read: ")

    def test_name_with_a_zero_byte(self):
        assert message("a\0b") == "No file a\\x00b: its path contains a zero byte. Check the path."

    def test_larger_than_protobuf_can_hold(self, tmp_path):
        path = tmp_path / "m.onnx"
        with path.open("wb") as file:
            file.write(b"\x08\x08")
            file.truncate(2**31)  # a sparse file
        assert message(path) == (
            f"{path} is larger than 2 GiB (2,147,483,648 bytes), which a single ONNX file cannot be. "
            "Save the model with its weights as external data."
        )

    def test_cut_short(self, tmp_path):
        content = model([node("Relu", "x", "y")]).SerializeToString()
        graph_end = len(content) - 6  # the opset follows
        path = save(tmp_path / "m.onnx", content[:30])
        assert (
            message(path)
            == f"{path} is truncated: 30 of at least {graph_end} bytes are present. Download or copy it again."
        )
        save(path, content[:graph_end])
        assert message(path) == f"{path} does not say which opset it uses: it is truncated. {AGAIN}"
