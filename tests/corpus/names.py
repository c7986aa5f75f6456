"""Hostile names: escapes, newlines, direction marks, markup, in each place that names come from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.case import DATA, MODEL, USAGE, Case, explain

ESCAPES: Final = (
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b[31mred",
    "\x1b]8;;http://a\x1b\\link",
    "\x1bc",
    "\x1b[1A\x1b[2K",
    "\x9b2J",
    "\x07",
    "\x08\x08\x08",
    "\x00",
    "\x7f",
    "\x1b[?1049h",
    "\x1bP+q\x1b\\",
    "\x0e",
    "\x90q",
    "\x1b[8m",
    "\x05",
    "\x1b#8",
    "\x1b[6n",
    "\x85",
)
NEWLINES: Final = (
    "a\nb",
    "a\rb",
    "a\r\nb",
    "a\vb",
    "a\fb",
    "a\u2028b",
    "a\u2029b",
    "\n\n\nxaionnx: done",
    "a\x1cb",
    "a\x1eb",
)
DIRECTIONS: Final = (
    "\u202egnp.exe",
    "\u202dabc",
    "\u2066a\u2069",
    "\u2067a",
    "\u2068a",
    "\u200fa",
    "\u200ea",
    "\u061ca",
    "\u202aa\u202c",
    "\u200ba",
    "\ufeffa",
    "\u00ada",
    "\u2060a",
    "\U000e0041",
    "\ufff9a",
)
MARKUP: Final = (
    "[red]x[/red]",
    "[/]",
    "[link=http://a]b[/link]",
    "<b>x</b>",
    "<script>",
    "{x}",
    "{0.__class__}",
    "%s%n",
    "%(x)s",
    "$(id)",
    "`id`",
    "'; --",
    '"',
    "\\x1b[2J",
    "$\\alpha$",
)
NAMES: Final = (*ESCAPES, *NEWLINES, *DIRECTIONS, *MARKUP)
# File names cannot hold these.
_IN_FILES: Final = tuple(name for name in NAMES if "\0" not in name and "/" not in name)


def hostile_model(name: str, *, unknown_op: bool = False) -> onnx.ModelProto:
    """A model whose tensors, dimensions, nodes, producer and notes have the name."""
    tensors = [f"{name}{letter}" for letter in "xhy"]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [f"{name}N", f"{name}F"]) for end in tensors[::2]]
    nodes = [
        helper.make_node("Relu", tensors[:1], tensors[1:2], name=f"{name}node"),
        helper.make_node("Nothing" if unknown_op else "Neg", tensors[1:2], tensors[2:], name=f"{name}last"),
    ]
    graph = helper.make_graph(nodes, f"{name}graph", ends[:1], ends[1:], doc_string=name)
    model = helper.make_model(graph, producer_name=name, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {name: name})
    return model


def cases() -> Iterator[Case]:
    codes = {0, USAGE, MODEL, DATA}
    for number, name in enumerate(NAMES):
        for kind, build, words in _places(name):
            yield Case(f"names/{kind}-{number}", words, codes, build, written=("out.npz", "out"))
    for number, name in enumerate(_IN_FILES):
        file = f"{name}.npy"

        def build(folder: Path, file: str = file) -> None:
            np.save(folder / file, np.load(folder / "array.npy")[:, :, :5])

        yield Case(f"names/file-{number}", explain(x=file)[:-1], {DATA}, build)


def _places(name: str) -> Iterator[tuple[str, object, tuple[str, ...]]]:
    def tensors(folder: Path) -> None:
        onnx.save(hostile_model(name), folder / "bad.onnx")
        np.save(folder / "rows.npy", np.ones((2, 3), np.float32))

    def spec(folder: Path) -> None:
        text = (folder / "model.toml").read_text()
        (folder / "model.toml").write_text(f"{text}\n{_key(name)} = 1\n")

    def labels(folder: Path) -> None:
        (folder / "labels.json").write_text(json.dumps([f"{name}{k}" for k in range(10)]))
        spec = (folder / "model.toml").read_text().splitlines()
        lines = ['labels = "labels.json"' if line.startswith("labels") else line for line in spec]
        (folder / "model.toml").write_text("\n".join(lines))

    def members(folder: Path) -> None:
        np.savez(
            folder / "in.npz", **{f"{name}a".replace("/", "_"): np.ones(3), f"{name}b".replace("/", "_"): np.ones(3)}
        )

    yield "inspect", tensors, ("inspect", "bad.onnx")
    yield "explain", tensors, ("explain", "saliency", "bad.onnx", "rows.npy")
    yield "spec", spec, explain()[:-1]
    yield "labels", labels, explain()[:-1]
    yield "member", members, explain(x="in.npz")[:-1]
    if "\0" not in name:
        yield "target", lambda folder: None, explain("--target", name)[:-1]
        yield "output", lambda folder: None, explain("--output", name)[:-1]


def _key(name: str) -> str:
    return json.dumps(f"{name}key").replace("\\/", "/")
