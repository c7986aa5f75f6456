"""Hostile names: escapes, newlines, direction marks, markup, in each place that names come from."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.corpus.case import DATA, MODEL, MODELS, USAGE, Case, explain

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


def zipmap_model(name: str) -> onnx.ModelProto:
    """A classifier whose classes have the name, as scikit-learn exports them."""
    classes = [f"{name}{k}" for k in range(3)]
    nodes = [
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", classlabels_strings=classes,
            coefficients=list(range(9)), intercepts=[0.0] * 3, post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["y"], domain="ai.onnx.ml", classlabels_strings=classes),
    ]  # fmt: skip
    scores = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
        helper.make_value_info("y", helper.make_sequence_type_proto(scores)),
    ]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])], outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def cases() -> Iterator[Case]:
    codes = {0, USAGE, MODEL, DATA}
    for number, name in enumerate(NAMES):
        for kind, build, words in _places(name):
            yield Case(f"names/{kind}-{number}", words, codes, build, written=("out.html", "out.png"))
    for number, name in enumerate(_IN_FILES):
        file = f"{name}.npy"

        def build(folder: Path, file: str = file) -> None:
            np.save(folder / file, np.load(folder / "array.npy")[:, :, :5])

        yield Case(f"names/file-{number}", explain(x=file)[:-1], {DATA}, build)

        def model(folder: Path, name: str = name) -> None:
            (folder / "model.onnx").rename(folder / f"{name}.onnx")

        yield Case(f"names/file-model-{number}", explain(model=f"{name}.onnx")[:-1], {0}, model)
        saved = f"{name}.npz"
        yield Case(f"names/file-saved-{number}", (*explain()[:-1], "-o", saved), {0}, written=(saved,))


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
        # A zip ends a name at a zero byte.
        plain = name.replace("/", "_").replace("\0", "_")
        np.savez(folder / "in.npz", **{f"{plain}a": np.ones(3), f"{plain}b": np.ones(3)})

    yield "inspect", tensors, ("inspect", "bad.onnx")
    yield "explain", tensors, ("explain", "saliency", "bad.onnx", "rows.npy")
    yield "spec", spec, explain()[:-1]
    yield "labels", labels, explain()[:-1]
    yield "member", members, explain(x="in.npz")[:-1]

    def classes(folder: Path) -> None:
        onnx.save(zipmap_model(name), folder / "bad.onnx")
        np.save(folder / "rows.npy", np.ones((2, 3), np.float32))

    def columns(folder: Path) -> None:
        names = [f"{name}{letter}" for letter in "abc"]
        _table(folder, names)
        with (folder / "rows.csv").open("w", newline="") as file:
            csv.writer(file).writerows([names, [1, 2, 3]])

    def words(folder: Path) -> None:
        _table(
            folder, categories={"a": [f"{name}0", f"{name}1"]}, units={"b": f"{name}m"}, groups={f"{name}g": ["a", "c"]}
        )
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["a", "b", "c"], [f"{name}0", 2, 3], [f"{name}1", 3, 4], [f"{name}2", 3, 4]])

    yield "words", words, ("explain", "feature_ablation", "bad.onnx", "rows.csv")
    yield "words-compare", words, ("compare", "bad.onnx", "rows.csv", "--methods", "feature_ablation,occlusion")
    yield "words-page", words, ("explain", "feature_ablation", "bad.onnx", "rows.csv", "--rows", "0", "-o", "out.html")
    yield (
        "words-picture",
        words,
        ("explain", "feature_ablation", "bad.onnx", "rows.csv", "--rows", "0", "-o", "out.png"),
    )

    def text(folder: Path) -> None:
        for end in (".onnx", ".toml", ".tokenizer.json"):
            shutil.copy(MODELS / f"spam{end}", folder / f"spam{end}")
        (folder / "mail.txt").write_text(f"Free {name} money {name}now", encoding="utf-8", newline="")

    yield "text", text, ("explain", "feature_ablation", "spam.onnx", "mail.txt")
    yield "text-page", text, ("explain", "feature_ablation", "spam.onnx", "mail.txt", "-o", "out.html")

    def tokens(folder: Path) -> None:
        text(folder)
        path = folder / "spam.tokenizer.json"
        document = json.loads(path.read_text())
        document["model"]["vocab"][name] = document["model"]["vocab"].pop("money")
        document["added_tokens"][1]["content"] = document["model"]["unk_token"] = name
        path.write_text(json.dumps(document))

    words_of_tokens = ("explain", "feature_ablation", "spam.onnx", "mail.txt", "--features", "tokens")
    yield "tokens", tokens, words_of_tokens
    yield "zipmap", classes, ("explain", "feature_ablation", "bad.onnx", "rows.npy")
    yield "zipmap-inspect", classes, ("inspect", "bad.onnx")
    yield "columns", columns, ("explain", "feature_ablation", "bad.onnx", "rows.csv")
    if "\0" not in name:
        yield "layer", lambda folder: None, explain("--layer", name)[:-1]
        yield "axes", lambda folder: None, explain("--axes", f"{name}=N")[:-1]
        yield "target", lambda folder: None, explain("--target", name)[:-1]
        yield "output", lambda folder: None, explain("--output", name)[:-1]


def _table(folder: Path, names: Sequence[str] = ("a", "b", "c"), **lines: Mapping[str, object]) -> None:
    """A model of three columns, and its spec."""
    graph = onnx.parser.parse_graph("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "bad.onnx")
    parts = ['[input]\nkind = "table"', f"columns = {json.dumps(list(names))}"]
    for section, entries in lines.items():
        parts.append(f"[input.{section}]")
        parts += [f"{json.dumps(key)} = {json.dumps(entry)}" for key, entry in entries.items()]
    text = "\n".join([*parts, ""])
    (folder / "bad.toml").write_text(text.replace("\\/", "/").replace("\x7f", "\\u007f"))


def _key(name: str) -> str:
    return json.dumps(f"{name}key").replace("\\/", "/")
