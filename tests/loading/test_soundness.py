"""Graphs that cannot run are refused with these messages; random ops are counted; damaged files are refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.loading.files import AGAIN, STANDARD, message, model, node, save, tensor, weight
from xaionnx.errors import ModelFileError
from xaionnx.loading import declared_inputs, read_model


def refused_graphs():
    relu = [node("Relu", "x", "y", "a")]
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    optional = onnx.ValueInfoProto(name="o")
    optional.type.optional_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    two_weights = [weight("w", 4), weight("w", 4)]
    recursive = helper.make_function("acme", "F", ["a"], ["b"], [node("F", "a", "b", domain="acme")], [])
    body = helper.make_graph([node("Relu", "lost", "t")], "then", [], [tensor("t", None)])
    branch = node("If", "c", "y", "if", then_branch=body, else_branch=body)
    condition = [tensor("x"), tensor("c", (), TensorProto.BOOL)]
    circle = helper.make_graph([node("Relu", "y", "t")], "then", [], [tensor("t", None)])
    return {
        "op": (model([node("Foo", "x", "y", "a")]), f": op 'Foo' (node 'a') is unknown to onnxruntime. {STANDARD}"),
        "contrib op": (
            model([node("Guelu", "x", "y", domain="com.microsoft")]),
            f": op 'Guelu' of domain 'com.microsoft' (the node that computes 'y') is unknown to onnxruntime. "
            f"{STANDARD}",
        ),
        "domain": (
            model([node("Foo", "x", "y", "a", domain="acme")], domains=[("acme", 1)]),
            f": the domain 'acme' of op 'Foo' (node 'a') is unknown to onnxruntime. {STANDARD}",
        ),
        "op of a later opset": (
            model([node("Gelu", "x", "y", "a")]),
            ": op 'Gelu' (node 'a') came with opset 20, and the model uses opset 17. Export it with opset 20 or newer.",
        ),
        "opset": (
            model(relu, opset=99),
            " uses opset 99 of ai.onnx, which is newer than the installed onnxruntime. "
            "Upgrade onnxruntime, or export with a lower opset.",
        ),
        "opset of the tree ops": (
            model(relu, domains=[("ai.onnx.ml", 99)]),
            " uses opset 99 of ai.onnx.ml, which is newer than the installed onnxruntime. "
            "Upgrade onnxruntime, or export with a lower opset.",
        ),
        "cycle": (
            model(
                [
                    node("Neg", "x", "n"),
                    node("Add", "b n", "a", "n0"),
                    node("Relu", "a", "b", "n1"),
                    node("Abs", "b", "y"),
                ]
            ),
            f": the graph has a cycle through Add (node 'n0'). {AGAIN}",
        ),
        "cycle through a body": (
            model([node("If", "c", "y", "if", then_branch=circle, else_branch=circle)], condition),
            f": the graph has a cycle through If (node 'if'). {AGAIN}",
        ),
        "no maker": (
            model([node("Relu", "lost", "y", "a")]),
            f": Relu (node 'a') reads 'lost', which no node computes. {AGAIN}",
        ),
        "no maker in a body": (
            model([branch], condition),
            f": If (node 'if') reads 'lost', which no node computes. {AGAIN}",
        ),
        "output": (model(relu, outputs=[tensor("q", None)]), f": no node computes output 'q'. {AGAIN}"),
        "no inputs": (
            model([node("Identity", "w", "y")], [], weights=[weight("w", 4)]),
            " has no inputs, so there is nothing to explain. Export it with its inputs.",
        ),
        "only weights as inputs": (
            model([node("Identity", "w", "y")], [tensor("w", (4,))], weights=[weight("w", 4)]),
            " has no inputs, so there is nothing to explain. Export it with its inputs.",
        ),
        "no outputs": (
            model(relu, outputs=[]),
            " has no outputs, so there is nothing to explain. Export it with its outputs.",
        ),
        "sequence": (
            model([node("ConcatFromSequence", "s", "y", axis=0)], [sequence]),
            ": input 's' is of the type sequence, and only tensors can be explained. "
            "Export the model with tensor inputs.",
        ),
        "optional": (
            model([node("OptionalGetElement", "o", "y")], [optional]),
            ": input 'o' is of the type optional, and only tensors can be explained. "
            "Export the model with tensor inputs.",
        ),
        "input without a type": (model(relu, [onnx.ValueInfoProto(name="x")]), f": input 'x' has no type. {AGAIN}"),
        "two makers": (model([*relu, node("Abs", "x", "y")]), f": 'y' is defined twice. {AGAIN}"),
        "an input made again": (model([node("Relu", "x", "x")]), f": 'x' is defined twice. {AGAIN}"),
        "two inputs": (model(relu, [tensor("x"), tensor("x")]), f": 'x' is defined twice. {AGAIN}"),
        "two weights": (model([node("Add", "x w", "y")], weights=two_weights), f": 'w' is defined twice. {AGAIN}"),
        "two outputs": (model(relu, outputs=[tensor("y"), tensor("y")]), f": output 'y' is listed twice. {AGAIN}"),
        "two nodes": (
            model([node("Relu", "x", "h", "a"), node("Relu", "h", "y", "a")]),
            f": two nodes have the name 'a'. {AGAIN}",
        ),
        "function that calls itself": (
            model([node("F", "x", "y", domain="acme")], domains=[("acme", 1)], functions=[recursive]),
            f": function 'F' calls itself. {AGAIN}",
        ),
    }


@pytest.mark.parametrize("case", refused_graphs())
def test_refused_graph(tmp_path, case):
    proto, rest = refused_graphs()[case]
    path = save(tmp_path / "m.onnx", proto)
    assert message(path) == f"{path}{rest}"


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        (b"\x0a\x05input", b"\x0a\x05in\xffut", "the name of an input or output is not UTF-8: b'in\\xffut'."),
        (b"\x12\x05inner", b"\x12\x05in\xffer", "the name of a node, tensor or attribute is not UTF-8: b'in\\xffer'."),
        (b"\x0a\x05alpha", b"\x0a\x05a\xffpha", "the name of a node, tensor or attribute is not UTF-8: b'a\\xffpha'."),
        (b"Batch", b"B\xfftch", "the name of a dimension of 'input' is not UTF-8: b'B\\xfftch'."),
    ],
)
def test_name_that_is_not_text(tmp_path, old, new, rest):
    content = model(
        [node("Elu", "input", "inner", "a", alpha=2.0), node("Relu", "inner", "y")], [tensor("input", ("Batch",))]
    )
    path = save(tmp_path / "m.onnx", content.SerializeToString().replace(old, new))
    assert message(path) == f"{path}: {rest} The file is damaged; download or copy it again."


class TestRandomOps:
    def test_census(self, tmp_path):
        flag = numpy_helper.from_array(np.array(True), "flag")
        off = numpy_helper.from_array(np.array(False), "off")
        body = helper.make_graph([node("RandomUniformLike", "x", "t", "inner")], "then", [], [tensor("t", None)])
        nodes = [
            node("RandomNormal", "", "n", "noise", shape=[4]),
            node("Add", "x n", "a"),
            helper.make_node("Dropout", ["a", "", "flag"], ["d1"], name="on"),
            helper.make_node("Dropout", ["d1", "", "off"], ["d2"], name="off_by_weight"),
            helper.make_node("Dropout", ["d2"], ["d3"], name="off_by_default"),
            helper.make_node("Dropout", ["d3", "", "c"], ["d4"], name="decided_at_run_time"),
            node("If", "c", "y", then_branch=body, else_branch=helper.make_graph(
                [node("Identity", "d4", "e")], "else", [], [tensor("e", None)])),
        ]  # fmt: skip
        proto = model(nodes, [tensor("x"), tensor("c", (), TensorProto.BOOL)], weights=[flag, off])
        assert read_model(save(tmp_path / "m.onnx", proto)).random_ops == (
            "RandomNormal (node 'noise')",
            "Dropout (node 'on')",
            "Dropout (node 'decided_at_run_time')",
            "RandomUniformLike (node 'inner')",
        )

    def test_in_a_function(self, tmp_path):
        inside = [node("Bernoulli", "a", "b")]
        function = helper.make_function("acme", "Coin", ["a"], ["b"], inside, [helper.make_opsetid("", 17)])
        proto = model([node("Coin", "x", "y", domain="acme")], domains=[("acme", 1)], functions=[function])
        assert read_model(save(tmp_path / "m.onnx", proto)).random_ops == (
            "Bernoulli (the node that computes 'b' of function 'Coin')",
        )


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path):
    rng = np.random.default_rng(7)
    body = helper.make_graph([node("Relu", "h", "t", "r")], "then", [], [tensor("t", None)])
    w = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", "offset": "0", "length": "16"}.items():
        w.external_data.add(key=key, value=value)
    save(tmp_path / "weights.bin", bytes(64))
    good = model(
        [
            node("Gemm", "x w b", "h", "fc", alpha=2.0),
            node("If", "c", "i", "if", then_branch=body, else_branch=body),
            node("Dropout", "i", "d"),
            node("Add", "d v", "y"),
        ],
        [tensor("x"), tensor("c", (), TensorProto.BOOL)],
        weights=[weight("w", 4, 4), weight("b", 4), w],
        domains=[("ai.onnx.ml", 3)],
    ).SerializeToString()
    path = tmp_path / "m.onnx"
    outcomes = {"read": 0, "refused": 0}
    for trial in range(800):
        content = bytearray(good)
        if trial % 4:
            content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        else:
            del content[rng.integers(len(content)) :]
        save(path, bytes(content))
        try:
            file = read_model(path)
        except ModelFileError as error:
            assert str(error).startswith(f"{path}")  # noqa: PT017 - some of the files are read
            assert "\n" not in str(error)  # noqa: PT017 - some of the files are read
            outcomes["refused"] += 1
        else:
            assert file.sha256 != ""
            assert declared_inputs(file.proto)
            outcomes["read"] += 1
    assert min(outcomes.values()) > 100
