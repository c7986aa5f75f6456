"""Hostile names: escapes, newlines, direction marks, markup, in each place that names come from."""

from __future__ import annotations

import csv
import json
import shutil
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.corpus.case import DATA, MODEL, MODELS, USAGE, Build, Case, explain

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
_WRITTEN: Final = tuple(f"out{end}" for end in ("", ".html", ".png", ".csv", ".json", ".npz", ".onnx"))
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


def hostile_picture(name: str) -> onnx.ModelProto:
    """A model of small pictures whose tensors have the name."""
    x, h, y = (f"{name}{letter}" for letter in "xhy")
    nodes = [
        helper.make_node("Mul", [x, x], [h], name=f"{name}node"),
        helper.make_node("ReduceMean", [h], [y], name=f"{name}last", axes=[2, 3], keepdims=0),
    ]
    ends = [
        helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", 3, 8, 8]),
        helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", 3]),
    ]
    graph = helper.make_graph(nodes, f"{name}graph", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


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
            yield Case(f"names/{kind}-{number}", words, codes, build, written=_WRITTEN)
    for number, name in enumerate(_IN_FILES):
        file = f"{name}.npy"

        def build(folder: Path, file: str = file) -> None:
            np.save(folder / file, np.load(folder / "array.npy")[:, :, :5])

        yield Case(f"names/file-{number}", explain(x=file)[:-1], {DATA}, build)

        def wave_file(folder: Path, name: str = name) -> None:
            _sound(folder, folder / f"{name}.wav")

        yield Case(f"names/file-wav-{number}", ("explain", "occlusion", "sound.onnx", f"{name}.wav"), {0}, wave_file)

        def model(folder: Path, name: str = name) -> None:
            (folder / "model.onnx").rename(folder / f"{name}.onnx")

        yield Case(f"names/file-model-{number}", explain(model=f"{name}.onnx")[:-1], {0}, model)
        saved = f"{name}.npz"
        yield Case(f"names/file-saved-{number}", (*explain()[:-1], "-o", saved), {0}, written=(saved,))
        run = (*explain()[:-1], "--shards", "-o", f"{name}run/")
        yield Case(f"names/file-run-{number}", run, {0}, written=(f"{name}run",))
        yield Case(
            f"names/file-draw-{number}",
            ("draw", f"{name}run", "-o", f"{name}out"),
            {0},
            _run(f"{name}run"),
            written=(f"{name}out",),
        )
        merged = ("merge", f"{name}out", f"{name}run")
        yield Case(f"names/file-merge-{number}", merged, {0}, _run(f"{name}run"), written=(f"{name}out",))
        nothing = ("merge", f"{name}out", f"{name}run", f"{name}nothing")
        yield Case(f"names/file-nothing-{number}", nothing, {DATA}, _run(f"{name}run"))


def _places(name: str) -> Iterator[tuple[str, Build, tuple[str, ...]]]:
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

    yield from _places_of_tensors(tensors)
    yield from _places_of_frames(name)
    yield "inspect", tensors, ("inspect", "bad.onnx")
    yield "explain", tensors, ("explain", "saliency", "bad.onnx", "rows.npy")
    yield "spec", spec, explain()[:-1]
    yield "labels", labels, explain()[:-1]
    yield "labels-caption", labels, (*explain(x="picture.png")[:-1], "--details", "-o", "out.png")
    yield (
        "labels-evaluate",
        labels,
        ("evaluate", "model.onnx", "picture.png", "--methods", "saliency", "-o", "out.html"),
    )
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
    yield "tokens-page", tokens, (*words_of_tokens, "-o", "out.html")
    yield from _places_of_searches(name, labels, words, columns)
    yield "zipmap", classes, ("explain", "feature_ablation", "bad.onnx", "rows.npy")
    yield "zipmap-inspect", classes, ("inspect", "bad.onnx")
    yield "columns", columns, ("explain", "feature_ablation", "bad.onnx", "rows.csv")
    judged = ("bad.onnx", "rows.csv", "--methods", "feature_ablation,random", "--metrics", "deletion,sparseness")
    yield "columns-evaluate", columns, ("evaluate", *judged)
    yield "words-evaluate", words, ("evaluate", *judged, "-o", "out.html")
    yield "words-scores", words, ("evaluate", *judged, "-o", "out.csv")
    yield "words-folder", words, ("explain", "feature_ablation", "bad.onnx", "rows.csv", "-o", "out")
    yield "words-recommend", words, ("recommend", "bad.onnx", "rows.csv")
    if "\0" not in name:
        yield "layer", lambda folder: None, explain("--layer", name)[:-1]
        yield "axes", lambda folder: None, explain("--axes", f"{name}=N")[:-1]
        yield "target", lambda folder: None, explain("--target", name)[:-1]
        yield "output", lambda folder: None, explain("--output", name)[:-1]


def _places_of_tensors(tensors: Build) -> Iterator[tuple[str, Build, tuple[str, ...]]]:
    """Names of tensors and dimensions where results are kept and compared."""
    model = ("bad.onnx", "rows.npy")
    yield "tensors-run", tensors, ("explain", "saliency", *model, "-o", "out")
    yield "tensors-record", tensors, ("explain", "saliency", *model, "-o", "out.npz")
    yield "tensors-compare", tensors, ("compare", *model, "--methods", "saliency,occlusion", "-o", "out.html")
    yield "tensors-recommend", tensors, ("recommend", *model)
    yield "tensors-evaluate", tensors, ("evaluate", *model, "--methods", "saliency", "-o", "out.html")
    yield "tensors-compile", tensors, ("compile", "saliency", "bad.onnx", "-o", "out.onnx")


def _places_of_searches(
    name: str, labels: Build, words: Build, columns: Build
) -> Iterator[tuple[str, Build, tuple[str, ...]]]:
    """Names of what a search goes through, is for and finds."""

    def picture(folder: Path) -> None:
        onnx.save(hostile_picture(name), folder / "bad.onnx")
        (folder / "bad.toml").write_text(f'[input]\nkind = "picture"\nname = {_text(f"{name}x")}\n')

    channel = ("visualize", "channel", "bad.onnx", "--channel", "0", "--steps", "1")
    yield "visualize", picture, (*channel, "--layer", f"{name}h".replace("\0", ""), "-o", "out.png")
    yield "visualize-nothing", picture, (*channel, "--layer", "nothing")
    yield "visualize-class", labels, ("visualize", "class_score", "model.onnx", "--steps", "1")
    yield "visualize-label", labels, ("visualize", "class_score", "model.onnx", "--label", "nothing")
    nearest = ("counterfactual", "nearest_row", "bad.onnx", "rows.csv", "--to")
    yield "words-counterfactual", words, (*nearest, "1", "-o", "out.png")
    yield "columns-counterfactual", columns, (*nearest, "1")
    yield "columns-immutable", columns, (*nearest, "1", "--immutable", "nothing")
    if "\0" not in name:
        yield "immutable", columns, (*nearest, "1", "--immutable", name)
        yield "to", columns, (*nearest, name)


def _run(path: str) -> Build:
    from tests.corpus.folders import made

    return lambda folder: made(folder, path)


def _places_of_frames(name: str) -> Iterator[tuple[str, Build, tuple[str, ...]]]:
    """Names of columns, of rows, and words in a frame; the last lacks a column, so that an error names the others."""
    columns, rows = [f"{name}{letter}" for letter in "abc"], [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]
    frames: dict[str, dict[str, object]] = {
        "columns": {"data": rows, "columns": columns},
        "index": {"data": rows, "columns": columns, "index": [f"{name}0", f"{name}1"]},
        "words": {"data": [[1.0, f"{name}0", 3.0]], "columns": columns, "index": [name]},
        "missing": {"data": [row[:2] for row in rows], "columns": [columns[0], f"{name}z"], "index": [name, name]},
    }
    for kind, frame in frames.items():

        def build(folder: Path, frame: dict[str, object] = frame) -> None:
            _table(folder, columns)
            (folder / "frame.json").write_text(json.dumps(frame))

        yield f"frame-{kind}", build, ("load", "frame", "frame.json")


def _sound(folder: Path, path: Path) -> None:
    """A model of 64 numbers of sound, and a file of them."""
    text = "g (float[N,64] x) => (float[N,2] y) { y = MatMul(x, w) }"
    graph = onnx.parser.parse_graph(text)
    graph.initializer.append(numpy_helper.from_array(np.ones((64, 2), np.float32), "w"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "sound.onnx")
    (folder / "sound.toml").write_text('[input]\nkind = "series"\naxes = "N T"\nrate = 80\n')
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(80)
        file.writeframes(np.arange(64, dtype="<i2").tobytes())


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
    return _text(f"{name}key")


def _text(text: str) -> str:
    """A text of a .toml."""
    return json.dumps(text).replace("\\/", "/").replace("\x7f", "\\u007f")
