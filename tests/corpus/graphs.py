"""Graphs that no exporter writes, also those of `tests.corpus.models`, given to every command that reads a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import DATA, MODEL, RESOURCE, USAGE, Case, explain
from tests.corpus.models import damaged_graphs, saves
from tests.loading.files import model, node, tensor, weight

_LARGE: Final = 100 << 20
_WRITTEN: Final = ("out.onnx", "out.onnx.data", "out.toml", "out.npz")
_REFUSED: Final = frozenset({0, USAGE, MODEL, DATA, RESOURCE})


def cases() -> Iterator[Case]:
    for name, proto in _graphs().items():
        for command, words in {**_reading(), **_writing()}.items():
            yield Case(f"graphs/{command}-{name}", words, _REFUSED, saves(proto), written=_WRITTEN)
    for name, proto in damaged_graphs().items():
        for command, words in _writing().items():
            yield Case(f"graphs/{command}-{name}", words, _REFUSED, saves(proto), written=_WRITTEN)
    for name, folder in _weights_outside().items():
        for command, words in _reading().items():
            yield Case(f"graphs/{command}-{name}", words, {MODEL}, folder)


def _reading() -> dict[str, tuple[str, ...]]:
    return {
        "inspect": ("inspect", "bad.onnx", "--json"),
        "explain": explain(model="bad.onnx", x="x.npy"),
        "gradient": explain(model="bad.onnx", x="x.npy", method="saliency"),
    }


def _writing() -> dict[str, tuple[str, ...]]:
    return {
        "compile": ("compile", "saliency", "bad.onnx", "-o", "out.onnx", "--json"),
        "join-first": ("join", "bad.onnx", "model.onnx", "-o", "out.onnx"),
        "join-last": ("join", "model.onnx", "bad.onnx", "-o", "out.onnx"),
        "patterns": ("patterns", "bad.onnx", "x.npy", "-o", "out.npz"),
    }


def _graphs() -> dict[str, onnx.ModelProto | Callable[[], onnx.ModelProto]]:
    return {
        "circle": model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]),
        "node that reads itself": model([node("Add", "x y", "y")]),
        "nodes in the wrong order": model([node("Relu", "h", "y"), node("Abs", "x", "h")]),
        "output made twice": model([node("Relu", "x", "y"), node("Abs", "x", "y")]),
        "output named twice": model([node("Relu", "x", "y")], outputs=[tensor("y"), tensor("y")]),
        "output that nothing makes": model([node("Relu", "x", "h")]),
        "input of a node that nothing makes": model([node("Add", "x q", "y")]),
        "weight twice": model([node("Add", "x w", "y")], weights=[weight("w", 4), weight("w", 4)]),
        "weight that a node makes": model([node("Relu", "x", "w"), node("Add", "x w", "y")], weights=[weight("w", 4)]),
        "weight named as the output": model([node("Relu", "x", "y")], weights=[weight("y", 4)]),
        "weight without a name": model([node("Relu", "x", "y")], weights=[weight("", 4)]),
        "no inputs": model([node("Relu", "w", "y")], [], weights=[weight("w", 1, 4)]),
        "no outputs": model([node("Relu", "x", "y")], outputs=[]),
        "a thousand inputs": _many_inputs,
        "a thousand outputs": _many_outputs,
        "node of a thousand inputs": model([helper.make_node("Sum", ["x"] * 1_000, ["y"])]),
        "zero samples": model([node("Relu", "x", "y")], [tensor("x", (0, 4))], [tensor("y", (0, 4))]),
        "zero elements": model([node("Relu", "x", "y")], [tensor("x", ("N", 0))], [tensor("y", ("N", 0))]),
        "zero classes": model(
            [node("MatMul", "x w", "y")], outputs=[tensor("y", ("N", 0))], weights=[weight("w", 4, 0)]
        ),
        "sequence input": _with_input(helper.make_tensor_sequence_value_info("x", 1, ("N", 4)), "SequenceAt", "x i"),
        "optional input": _with_input(
            helper.make_value_info("x", helper.make_optional_type_proto(helper.make_tensor_type_proto(1, ("N", 4)))),
            "OptionalGetElement",
            "x",
        ),
        "map input": _with_input(_map("x"), "CastMap", "x", "ai.onnx.ml"),
        "sparse input": _with_input(helper.make_sparse_tensor_value_info("x", 1, (2, 4)), "Relu", "x"),
        "sequence output": model(
            [node("SequenceConstruct", "x x", "y")], outputs=[helper.make_tensor_sequence_value_info("y", 1, ("N", 4))]
        ),
        "input without a type": model([node("Relu", "x", "y")], [onnx.ValueInfoProto(name="x")]),
        "output without a type": model([node("Relu", "x", "y")], outputs=[onnx.ValueInfoProto(name="y")]),
        "input without a name": model([node("Relu", "x", "y")], [tensor("x"), tensor("")]),
        "complex input": model([node("Identity", "x", "y")], [tensor("x", ("N", 4), 14)], [tensor("y", ("N", 4), 14)]),
        "function that calls itself": _functions("f", "f"),
        "functions that call each other": _functions("g", "f"),
        "function that is missing": model([node("f", "x", "y", domain="f")], domains=[("f", 1)]),
        "unknown op": model([node("NoSuchOp", "x", "y")]),
        "unknown domain": model([node("Relu", "x", "y", domain="nobody")], domains=[("nobody", 1)]),
        "domain that is not imported": model([node("Relu", "x", "y", domain="nobody")]),
        "no op set": _without_opset(),
        "If without branches": model([helper.make_node("If", ["c"], ["y"])], weights=[_yes()]),
        "If with one branch": model(
            [helper.make_node("If", ["c"], ["y"], then_branch=_body("y", "t"))], weights=[_yes()]
        ),
        "If whose branches return nothing": model(
            [helper.make_node("If", ["c"], ["y"], then_branch=_body(), else_branch=_body())], weights=[_yes()]
        ),
        "Loop without a body": model([helper.make_node("Loop", ["", "c", "x"], ["y"])], weights=[_yes()]),
        "body that makes a name of the graph": model(
            [
                node("Relu", "x", "t"),
                helper.make_node("If", ["c"], ["y"], then_branch=_body("t", "t"), else_branch=_body("t", "t")),
            ],
            weights=[_yes()],
        ),
        "Constant of nothing": model([helper.make_node("Constant", [], ["w"]), node("Add", "x w", "y")]),
        "Constant of 100 MB": lambda: model(
            [
                helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(np.zeros(_LARGE // 4, "f"))),
                node("ReduceSum", "w", "s", keepdims=0),
                node("Add", "x s", "y"),
            ]
        ),
        "text of 100 MB": lambda: model([node("Relu", "x", "y", note="n" * _LARGE)]),
        "description of 100 MB": lambda: _described("d" * _LARGE),
        "list of a million numbers": lambda: model([node("Relu", "x", "y", axes=[1] * 10**6)]),
        "attribute of another type": model([node("Softmax", "x", "y", axis="one")]),
        "attribute twice": _attribute_twice(),
        "parts that are no JSON": _noted({"xaionnx.parts": "{"}),
        "parts of another form": _noted({"xaionnx.parts": "[1, 2]"}),
        "parts without names": _noted({"xaionnx.parts": '[{"sha256": 3}]'}),
        "parts of deep lists": _noted({"xaionnx.parts": "[" * 100_000}),
        "compiled by nobody": _noted({"xaionnx.method": "saliency", "xaionnx.source": "\x1b[2J"}),
        "weights that are NaN": model(
            [node("Add", "x w", "y")], weights=[numpy_helper.from_array(np.full(4, np.nan, np.float32), "w")]
        ),
    }  # fmt: skip


def _weights_outside() -> dict[str, Callable[[Path], None]]:
    def link(target: str) -> Callable[[Path], None]:
        def build(folder: Path) -> None:
            (folder.parent / "secret.bin").write_bytes(bytes(16))
            _external("weights.bin")(folder)
            (folder / "weights.bin").symlink_to(target)

        return build

    def hard(folder: Path) -> None:
        (folder / "other.bin").write_bytes(bytes(16))
        _external("weights.bin")(folder)
        (folder / "weights.bin").hardlink_to(folder / "other.bin")

    return {
        "weights above by a link": link("../secret.bin"),
        "weights by a circle of links": link("weights.bin"),
        "weights by a link to a device": link("/dev/zero"),
        "weights with two names": hard,
        "weights above by dots": _external("in/../../secret.bin"),
        "weights above by backslashes": _external("..\\secret.bin"),
        "weights that are the model": _external("bad.onnx", offset="1000000"),
    }


def _external(location: str, **more: str) -> Callable[[Path], None]:
    one = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        one.external_data.add(key=key, value=value)
    return saves(model([node("Add", "x w", "y")], weights=[one]))


def _with_input(info: onnx.ValueInfoProto, op: str, reads: str, domain: str = "") -> onnx.ModelProto:
    nodes = [node(op, reads, "h", domain=domain), node("Relu", "h", "y")]
    index = numpy_helper.from_array(np.int64(0), "i")
    return model(nodes, [info], weights=[index], domains=[("ai.onnx.ml", 3)])


def _map(name: str) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    info.type.map_type.key_type = TensorProto.INT64
    info.type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    return info


def _many_inputs() -> onnx.ModelProto:
    names = [f"x{k}" for k in range(1_000)]
    return model([helper.make_node("Sum", names, ["y"])], [tensor(name) for name in names])


def _many_outputs() -> onnx.ModelProto:
    names = [f"y{k}" for k in range(1_000)]
    return model([node("Relu", "x", name) for name in names], outputs=[tensor(name) for name in names])


def _functions(first: str, second: str) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    made = {
        name: helper.make_function("f", name, ["a"], ["b"], [node(calls, "a", "b", domain="f")], imports)
        for name, calls in (("f", first), ("g", second))
    }
    return model([node("f", "x", "y", domain="f")], domains=[("f", 1)], functions=list(made.values()))


def _without_opset() -> onnx.ModelProto:
    made = model([node("Relu", "x", "y")])
    del made.opset_import[:]
    return made


def _yes() -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(True), "c")


def _body(*names: str) -> onnx.GraphProto:
    """A body that makes the last of the names, and returns the first."""
    nodes = [node("Relu", "x", names[-1])] if names else []
    return helper.make_graph(nodes, "body", [], [tensor(names[0], None)] if names else [])


def _described(text: str) -> onnx.ModelProto:
    made = model([node("Relu", "x", "y")])
    made.doc_string = text
    return made


def _attribute_twice() -> onnx.ModelProto:
    made = model([node("Softmax", "x", "y", axis=1)])
    made.graph.node[0].attribute.append(helper.make_attribute("axis", 0))
    return made


def _noted(notes: dict[str, str]) -> onnx.ModelProto:
    made = model([node("Relu", "x", "y")])
    helper.set_model_props(made, notes)
    return made
