"""Bad models: damaged bytes, other formats, graphs that cannot run, and files that declare too much."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import DATA, MODEL, REFUSED, RESOURCE, Build, Case, explain, writes
from tests.loading.files import model, node, tensor, weight

_AGAIN = "again|Export|Save|Download|Give|Check|Upgrade|Run|Convert|Unpack"
_HUGE = 10**12


def cases() -> Iterator[Case]:
    for name, content in _formats().items():
        yield Case(f"models/format-{name}", ("inspect", "bad.onnx"), {MODEL}, writes("bad.onnx", content), says=_AGAIN)
    for number in range(24):
        yield Case(f"models/truncated-{number}", explain(), {MODEL}, _truncated(number), says=_AGAIN)
    for number in range(48):
        words = explain() if number % 2 else ("inspect", "model.onnx", "--json")
        yield Case(f"models/flipped-{number}", words, {0, *REFUSED}, _flipped(number))
    for name, proto in damaged_graphs().items():
        for command, words in (("inspect", ("inspect", "bad.onnx")), ("explain", explain(model="bad.onnx", x="x.npy"))):
            yield Case(f"models/{command}-{name}", words, {0, MODEL, DATA, RESOURCE}, saves(proto))
    for name, proto, codes in _costly():
        for command, words in (
            ("inspect", ("inspect", "bad.onnx", "--timeout", "4")),
            ("explain", explain("--timeout", "4", model="bad.onnx", x="x.npy", method="saliency")),
        ):
            yield Case(f"models/costly-{command}-{name}", words, codes, saves(proto))
    for name, build in _places().items():
        yield Case(f"models/place-{name}", ("inspect", "bad.onnx"), {MODEL}, build, says=_AGAIN)


def saves(made: onnx.ModelProto | bytes | Callable[[], onnx.ModelProto]) -> Build:
    def build(folder: Path) -> None:
        proto = made() if callable(made) else made
        data = proto if isinstance(proto, bytes) else proto.SerializeToString()
        (folder / "bad.onnx").write_bytes(data)
        np.save(folder / "x.npy", np.ones((2, 4), np.float32))

    return build


def _truncated(number: int) -> Build:
    def build(folder: Path) -> None:
        data = (folder / "model.onnx").read_bytes()
        (folder / "model.onnx").write_bytes(data[: len(data) * (number + 1) // 26])

    return build


def _flipped(number: int) -> Build:
    """Flip bits, half of them in the graph's names and attributes, before and after the weights."""

    def build(folder: Path) -> None:
        rng = random.Random(number)
        data = bytearray((folder / "model.onnx").read_bytes())
        for _ in range(1 + number % 3):
            place = rng.choice([rng.randrange(min(400, len(data))), len(data) - 1 - rng.randrange(400)])
            data[place] ^= 1 << rng.randrange(8)
        (folder / "model.onnx").write_bytes(data)

    return build


def _formats() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {
        "empty": b"",
        "zeros": bytes(4096),
        "text": b"hello\n" * 100,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "json": b'{"model": 1}',
        "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "zip": b"PK\x03\x04" + bytes(64),
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "pickle": b"\x80\x04\x95" + bytes(32),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "tflite": bytes(4) + b"TFL3" + bytes(64),
        "gzip": b"\x1f\x8b\x08" + bytes(64),
        "elf": b"\x7fELF" + bytes(64),
        "safetensors": (8).to_bytes(8, "little") + b'{"a": 1}',
        "numpy": b"\x93NUMPY\x01\x00" + bytes(64),
        "utf16": "hello".encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + b"ir_version: 8",
        "one byte": b"\x08",
        "field of endless length": b"\x3a\xff\xff\xff\xff\x0f",
        "deep groups": b"\x0b" * 2000,
        **{f"random {n}": rng.bytes(64 << n) for n in range(6)},
    }


def _shaped(
    shape: list[int | str], out: list[int | str] | None = None, dtype: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    return model(
        [node("Relu", "x", "y")], [tensor("x", shape, dtype)], [tensor("y", shape if out is None else out, dtype)]
    )


def _bytes_instead(proto: onnx.ModelProto, old: str) -> bytes:
    """The file with a name that is not UTF-8."""
    data = proto.SerializeToString()
    assert old.encode() in data
    return data.replace(old.encode(), b"\xff\xfe" + old.encode()[2:])


def damaged_graphs() -> dict[str, onnx.ModelProto | bytes]:
    named = model([node("Relu", "xxxx", "yyyy", "nnnn")], [tensor("xxxx", ("DDDD", 4))], [tensor("yyyy", ("DDDD", 4))])
    named.producer_name, named.producer_version, named.domain, named.doc_string = "pppp", "vvvv", "dddd", "tttt"
    named.graph.name, named.graph.doc_string, named.graph.node[0].doc_string = "gggg", "ssss", "qqqq"
    helper.set_model_props(named, {"kkkk": "mmmm"})
    damaged = {
        f"bytes in {old}": _bytes_instead(named, old)
        for old in (
            "xxxx",
            "yyyy",
            "nnnn",
            "DDDD",
            "pppp",
            "vvvv",
            "dddd",
            "tttt",
            "gggg",
            "ssss",
            "qqqq",
            "kkkk",
            "mmmm",
        )
    }
    types = {
        f"type {n}": _shaped(["N", 4], dtype=n) for n in (0, 5, 8, 14, 15, 17, 19, 23, 24, 25, 26, 27, 99, 2**31 - 1)
    }
    weightless = model([node("Add", "x w", "y")], weights=[onnx.TensorProto(name="w", data_type=99, dims=[4])])
    short = model(
        [node("Add", "x w", "y")], weights=[onnx.TensorProto(name="w", data_type=1, dims=[4], raw_data=b"\0")]
    )
    large = model(
        [node("Add", "x w", "y")], weights=[onnx.TensorProto(name="w", data_type=1, dims=[_HUGE], raw_data=b"\0")]
    )
    negative = model([node("Add", "x w", "y")], weights=[onnx.TensorProto(name="w", data_type=1, dims=[-4])])
    attribute = helper.make_node("Relu", ["x"], ["y"])
    attribute.attribute.append(onnx.AttributeProto(name="strange", type=0))
    gather = [numpy_helper.from_array(np.int64([9]), "i")]
    return {
        **damaged,
        **types,
        "scalar output": model([node("ReduceSum", "x", "y", keepdims=0)], outputs=[tensor("y", ())]),
        "scalar input": model([node("Relu", "x", "y")], [tensor("x", ())], [tensor("y", ())]),
        "scalar ends": _shaped([]),
        "no shape": model([node("Relu", "x", "y")], [tensor("x", None)], [tensor("y", None)]),
        "huge axis": _shaped([1, _HUGE]),
        "huge axes": _shaped([1, 10**9, 10**9, 10**9]),
        "largest axis": _shaped([1, 2**63 - 1]),
        "huge output": model([node("Relu", "x", "y")], outputs=[tensor("y", ("N", _HUGE))]),
        "negative axis": _shaped([1, -4]),
        "empty axis": _shaped([1, 0]),
        "rank 70": _shaped([1] * 70),
        "rank 1000": _shaped(["N"] + [1] * 999),
        "rank 70 by a node": model(
            [node("Reshape", "x s", "h"), node("Flatten", "h", "y")],
            weights=[numpy_helper.from_array(np.int64([0] + [1] * 69 + [-1]), "s")],
        ),
        "huge by Expand": model(
            [node("Expand", "x s", "h"), node("ReduceSum", "h", "y")],
            [tensor("x", ("N", 1))],
            weights=[numpy_helper.from_array(np.int64([1, _HUGE]), "s")],
        ),
        "huge by Tile": model(
            [node("Tile", "x s", "y")], weights=[numpy_helper.from_array(np.int64([1, 10**11]), "s")]
        ),
        "huge by ConstantOfShape": model(
            [node("ConstantOfShape", "s", "h"), node("Add", "x h", "y")],
            weights=[numpy_helper.from_array(np.int64([_HUGE]), "s")],
        ),
        "huge by Pad": model(
            [node("Pad", "x s", "y")], weights=[numpy_helper.from_array(np.int64([0, 0, 0, 10**11]), "s")]
        ),
        "huge by Range": model(
            [node("Range", "a b c", "h"), node("ReduceSum", "h", "i", keepdims=0), node("Add", "x i", "y")],
            weights=[numpy_helper.from_array(np.float32(v), n) for n, v in (("a", 0), ("b", 1e12), ("c", 1))],
        ),
        "weight of no type": weightless,
        "weight cut short": short,
        "weight of a huge size": large,
        "weight of a negative size": negative,
        "attribute of no type": model([attribute]),
        "index out of range": model([node("Gather", "x i", "y", axis=1)], weights=gather),
        "shapes apart": model([node("Add", "x w", "y")], weights=[weight("w", 7)]),
        "kernel of no size": model(
            [node("MaxPool", "x", "y", kernel_shape=[0, 0])], [tensor("x", (1, 1, 4, 4))], [tensor("y", None)]
        ),
        "stride of no size": model(
            [node("MaxPool", "x", "y", kernel_shape=[1, 1], strides=[0, 0])],
            [tensor("x", (1, 1, 4, 4))],
            [tensor("y", None)],
        ),
        "group of no size": model(
            [node("Conv", "x w", "y", group=0)],
            [tensor("x", (1, 1, 4, 4))],
            [tensor("y", None)],
            [weight("w", 1, 1, 1, 1)],
        ),
        "axis out of range": model([node("Softmax", "x", "y", axis=9)]),
        "permutation of no sense": model([node("Transpose", "x", "y", perm=[5, 7])]),
        "node without outputs": model([helper.make_node("Relu", ["x"], []), node("Relu", "x", "y")]),
        "node without inputs": model([helper.make_node("Relu", [], ["y"])]),
        "op of no name": model([helper.make_node("", ["x"], ["y"])]),
        "names of nothing": model([helper.make_node("Relu", [""], ["y"])]),
        "input twice": model([node("Relu", "x", "y")], [tensor("x"), tensor("x")]),
        "output is the input": model([node("Relu", "x", "y")], outputs=[tensor("x", None)]),
        "no nodes": model([], outputs=[tensor("x", None)]),
        "name of a million letters": model([node("Relu", "x", "y", "n" * 10**6)]),
        "tensor of a million letters": model(
            [node("Relu", "x" * 10**6, "y")], [tensor("x" * 10**6)], [tensor("y", None)]
        ),
        "opset 0": model([node("Relu", "x", "y")], opset=0),
        "opset below 0": model([node("Relu", "x", "y")], opset=-5),
        "IR version 0": model([node("Relu", "x", "y")], ir_version=0),
        "IR version 99": model([node("Relu", "x", "y")], ir_version=99),
        "division by zero": model([node("Sub", "x x", "z"), node("Div", "x z", "y")]),
        "logarithm of the negative": model([node("Neg", "x", "z"), node("Log", "z", "y")]),
        "integers divided by zero": model(
            [
                node("Cast", "x", "i", to=7),
                node("Sub", "i i", "z"),
                node("Div", "i z", "d"),
                node("Cast", "d", "y", to=1),
            ]
        ),
        "strings": model([node("Identity", "x", "y")], [tensor("x", ("N", 4), 8)], [tensor("y", ("N", 4), 8)]),
        "external data missing": _external("weights.bin"),
        "external data above": _external("../secret.bin"),
        "external data absolute": _external("/etc/passwd"),
        "external data in a device": _external("/dev/zero"),
        "external data of no name": _external(""),
        "external data with a zero byte": _external("a\0b"),
        "external data at a huge offset": _external("model.onnx", offset=str(10**18)),
        "external data of no offset": _external("model.onnx", offset="ten"),
        "external data of 400 digits": _external("model.onnx", length="9" * 400),
    }


def _external(location: str, **more: str) -> onnx.ModelProto:
    one = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        one.external_data.add(key=key, value=value)
    return model([node("Add", "x w", "y")], weights=[one])


def _costly() -> Iterator[tuple[str, Callable[[], onnx.ModelProto], set[int]]]:
    for count in (26, 60, 400):
        yield f"{count} functions that call twice", partial(doubling, count), {MODEL}
    yield "endless Loop", partial(_endless, constant=False), {0, MODEL, RESOURCE}
    yield "endless Loop of constants", partial(_endless, constant=True), {0, MODEL, RESOURCE}
    yield "nested bodies", partial(_nested, 30), {0, MODEL, RESOURCE}
    yield "chain of 1,000", partial(_chain, 1_000), {0, MODEL, RESOURCE}
    yield "wide fan of 1,000", partial(_fan, 1_000), {0, MODEL, RESOURCE}


def doubling(count: int) -> onnx.ModelProto:
    """Functions each of which calls the one before twice: 2 ** count nodes when inlined."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [helper.make_function("f", "f0", ["a"], ["b"], [node("Relu", "a", "b")], imports)]
    for k in range(1, count):
        body = [node(f"f{k - 1}", "a", "h", domain="f"), node(f"f{k - 1}", "h", "b", domain="f")]
        functions.append(helper.make_function("f", f"f{k}", ["a"], ["b"], body, imports))
    return model([node(f"f{count - 1}", "x", "y", domain="f")], domains=[("f", 1)], functions=functions)


def endless(source: str, target: str) -> tuple[onnx.NodeProto, onnx.TensorProto]:
    """A Loop that never ends over the tensor ``source``, and the constant that keeps it running."""
    body = helper.make_graph(
        [node("Identity", "go", "more"), node("Abs", "state", "next")],
        "body",
        [tensor("step", (), TensorProto.INT64), tensor("go", (), TensorProto.BOOL), tensor("state", None)],
        [tensor("more", (), TensorProto.BOOL), tensor("next", None)],
    )
    yes = numpy_helper.from_array(np.array(True), "go0")
    return helper.make_node("Loop", ["", "go0", source], [target], body=body), yes


def _endless(*, constant: bool) -> onnx.ModelProto:
    start = weight("start", 1, 4)
    loop, yes = endless("start" if constant else "x", "h")
    return model([loop, node("Add", "h x", "y")], weights=[yes, start])


def _nested(depth: int) -> onnx.ModelProto:
    body = helper.make_graph([node("Relu", "x", f"b{depth}")], "b", [], [tensor(f"b{depth}", None)])
    for k in range(depth - 1, 0, -1):
        inner = helper.make_node(
            "If", ["c"], [f"b{k}"], then_branch=body, else_branch=body if k == depth - 1 else _leaf(k)
        )
        body = helper.make_graph([inner], "b", [], [tensor(f"b{k}", None)])
    yes = numpy_helper.from_array(np.array(True), "c")
    return model([helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=_leaf(0))], weights=[yes])


def _leaf(k: int) -> onnx.GraphProto:
    return helper.make_graph([node("Neg", "x", f"e{k}")], "e", [], [tensor(f"e{k}", None)])


def _chain(length: int) -> onnx.ModelProto:
    names = ["x", *(f"t{k}" for k in range(length - 1)), "y"]
    return model([node("Relu" if k % 2 else "Neg", names[k], names[k + 1]) for k in range(length)])


def _fan(width: int) -> onnx.ModelProto:
    nodes = [node("Relu", "x", f"t{k}") for k in range(width)]
    return model([*nodes, helper.make_node("Sum", [f"t{k}" for k in range(width)], ["y"])])


def _places() -> dict[str, Build]:
    def folder(at: Path) -> None:
        (at / "bad.onnx").mkdir()

    def loop(at: Path) -> None:
        (at / "bad.onnx").symlink_to("bad.onnx")

    def dangling(at: Path) -> None:
        (at / "bad.onnx").symlink_to("nowhere")

    def device(at: Path) -> None:
        (at / "bad.onnx").symlink_to("/dev/zero")

    def pipe(at: Path) -> None:
        os.mkfifo(at / "bad.onnx")

    def huge(at: Path) -> None:
        with (at / "bad.onnx").open("wb") as stream:
            stream.truncate(3 << 30)

    return {
        "missing": lambda at: None,
        "folder": folder,
        "loop": loop,
        "dangling": dangling,
        "device": device,
        "pipe": pipe,
        "huge": huge,
    }
