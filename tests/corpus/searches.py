"""Searches and scores whose output cannot be written, whose options mean nothing, or whose model does not end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from tests.corpus.case import MODEL, MODELS, REFUSED, RESOURCE, Build, Case
from tests.corpus.models import endless
from tests.corpus.outputs import STREAMS, paths
from tests.corpus.parquet import copy_table

CHANNEL = ("visualize", "channel", "model.onnx", "--layer", "/3/Relu_output_0", "--steps", "2")
NEAREST = ("counterfactual", "nearest_row", "table.onnx", "rows.csv", "--rows", "0", "--to", "good")
EVALUATE = ("evaluate", "model.onnx", "two.npy", "--methods", "saliency", "--metrics", "sparseness")
RECOMMEND = (
    *("recommend", "model.onnx", "two.npy", "--methods", "saliency,input_x_gradient", "--metrics", "sparseness"),
    *("--budget", "9s"),
)
_COMMANDS = {"visualize": CHANNEL, "counterfactual": NEAREST, "evaluate": EVALUATE, "recommend": RECOMMEND}
_SUFFIXES = {"visualize": ".npz", "counterfactual": ".png", "evaluate": ".html", "recommend": ".json"}
_WRITTEN = tuple(f"out{suffix}" for suffix in (".png", ".npz", ".html", ".json", ".csv", ".parquet"))
_NUMBERS = ("", "x", "-1", "nan", "1.5", "9" * 400, "\x1b[2J")

# An empty path is not the current folder, and nothing in it is read or written.
_EMPTY = (
    *((command, "") for command in ("inspect", "draw")),
    *((command, "", "array.npy") for command in ("evaluate", "masker", "merge", "patterns", "recommend")),
    *((command, "model.onnx", "") for command in ("join", "masker", "merge", "patterns", "recommend")),
    ("activations", "feature_maps", "", "array.npy"),
    ("activations", "feature_maps", "model.onnx", ""),
    ("compile", "saliency", ""),
    ("counterfactual", "wachter", "", "rows.csv", "--to", "good"),
    ("counterfactual", "wachter", "table.onnx", "", "--to", "good"),
    ("dream", "", "array.npy"),
    ("dream", "model.onnx", ""),
    ("evaluate", "model.onnx", "", "--methods", "saliency"),
    ("explain", "saliency", "", "array.npy"),
    ("explain", "saliency", "model.onnx", ""),
    ("explain", "saliency", "model.onnx", "array.npy", ""),
    ("explain", "kernel_shap", "table.onnx", "rows.csv", "--background", ""),
    ("visualize", "channel", "", "--layer", "x"),
    ("compare", "table.onnx", "rows.csv", "--methods", "occlusion,lime", "--background", ""),
    ("counterfactual", "wachter", "table.onnx", "rows.csv", "--to", "good", "--background", ""),
    ("counterfactual", "goyal", "model.onnx", "array.npy", "--to", "3", "--distractor", ""),
    ("masker", "model.onnx", "array.npy", "-o", "out.onnx", "--resume", ""),
    *(("visualize", "channel", "model.onnx", "--layer", "x", option, "") for option in ("--start", "--resume")),
)


def cases() -> Iterator[Case]:
    for command, words in _COMMANDS.items():
        out = f"out{_SUFFIXES[command]}"
        for number, more in enumerate(((), ("-o", out), ("--json",), ("-o", out, "--json"))):
            for stdout, codes in STREAMS.items():
                name = f"searches/{command}-{stdout}-{number}"
                yield Case(name, (*words, *more), codes, prepare, stdout=stdout, written=_WRITTEN)
        for kind, (path, build) in paths(_SUFFIXES[command]).items():
            name = f"searches/{command}-path-{kind}"
            yield Case(name, (*words, "-o", path, "--json"), REFUSED, _prepared(build))
        for number, more in enumerate(_options()[command]):
            yield Case(f"searches/{command}-words-{number}", (*words, *more, "--json"), REFUSED, prepare)
        for number, value in enumerate(("", "x", "0", "-1", "nan", "9" * 5000, "\x1b[2J")):
            yield Case(f"searches/{command}-timeout-{number}", (*words, "--timeout", value), REFUSED, prepare)
        model = next(word for word in words if word.endswith(".onnx"))
        limited = (*words, "--timeout", "1", "--json")
        yield Case(f"searches/{command}-endless", limited, {MODEL, RESOURCE}, _prepared(_endless(model)))
    for number, words in enumerate(_EMPTY):
        yield Case(f"searches/empty-{number}", words, REFUSED, prepare, says="is empty|Got '' instead")
    for number, words in enumerate(_lacking()):
        yield Case(f"searches/words-{number}", words, REFUSED, prepare)


def prepare(folder: Path) -> None:
    """Make two samples, and a table beside its model."""
    np.save(folder / "two.npy", np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32))
    copy_table(folder)
    shutil.copy(MODELS / "data" / "german_credit_sample.csv", folder / "rows.csv")


def _prepared(build: Build) -> Build:
    def both(folder: Path) -> None:
        prepare(folder)
        build(folder)

    return both


def _endless(model: str) -> Build:
    """Put a Loop without an end ahead of a model."""

    def build(folder: Path) -> None:
        proto = onnx.load(folder / model)
        name = proto.graph.input[0].name
        for node in proto.graph.node:
            node.input[:] = [f"{name}_looped" if one == name else one for one in node.input]
        loop, yes = endless(name, f"{name}_looped")
        proto.graph.node.insert(0, loop)
        proto.graph.initializer.append(yes)
        onnx.save(proto, folder / model)

    return build


def _options() -> dict[str, tuple[tuple[str, ...], ...]]:
    judged = (
        ("--methods", ""),
        ("--methods", ","),
        ("--methods", "saliency,saliency"),
        ("--methods", "nothing"),
        ("--methods", "\x1b[2J"),
        ("--metrics", ""),
        ("--metrics", "nothing"),
        ("--metrics", "sparseness,\u202e"),
        ("--target", "99"),
        ("--target", "\x1b[2J"),
        ("--rows", "9"),
        ("--rows", "x"),
        ("--seed", "-1"),
        ("--seed", "9" * 400),
        ("--spec", "nothing.toml"),
        ("--spec", "picture.png"),
        ("--device", "tpu"),
        ("--device", "\x1b[2J"),
        *(("--budget", value) for value in ("", "x", "0", "-1s", "nan", "3 fortnights", "9" * 400, "\x1b[2J")),
    )
    return {
        "visualize": (
            *((f"--{option}", value) for option in ("steps", "count", "channel", "seed") for value in _NUMBERS),
            *((f"--{option}", value) for option in ("jitter", "zoom", "rotation") for value in ("-1", "nan", "inf")),
            ("--count", "65"),
            ("--channel", "999"),
            ("--layer", "nothing"),
            ("--layer", "\x1b[2J"),
            ("--layer", "logits\u202e"),
            ("--parametrisation", "nothing"),
            ("--optimiser", "\x1b[2J"),
            ("--start", "nothing.png"),
            ("--start", "rows.csv"),
            ("--start", "model.onnx"),
            ("--start", "."),
            ("--start", "\udcff.png"),
            ("--spec", "nothing.toml"),
            ("--device", "tpu"),
        ),
        "counterfactual": (
            ("--to", ""),
            ("--to", "splendid"),
            ("--to", "\x1b[2J"),
            ("--to", "9" * 400),
            ("--rows", "9999999"),
            ("--rows", "x"),
            ("--background", "nothing.csv"),
            ("--background", "two.npy"),
            ("--background", "picture.png"),
            ("--background", "."),
            ("--immutable", ""),
            ("--immutable", "nothing"),
            ("--immutable", "\x1b[2J"),
            ("--up", "\u202e"),
            ("--down", "nothing"),
            ("--up", "credit_amount", "--down", "credit_amount"),
            ("--spec", "nothing.toml"),
            ("--device", "tpu"),
        ),
        "evaluate": (
            *judged,
            ("--controls", "nothing"),
            ("--controls", "\x1b[2J"),
            ("--masks", "nothing.npy"),
            ("--masks", "picture.png"),
            ("--masks", "array.npy", "--metrics", "pointing_game"),
        ),
        "recommend": judged,
    }


def _lacking() -> tuple[tuple[str, ...], ...]:
    return (
        ("visualize", "nothing", "model.onnx"),
        ("visualize", "\x1b[2J", "model.onnx"),
        ("visualize", "model.onnx"),
        ("visualize", "channel"),
        ("visualize", "channel", "model.onnx"),
        ("visualize", "channel", "nothing.onnx", "--layer", "x"),
        ("visualize", "channel", "array.npy", "--layer", "x"),
        ("visualize", "channel", "table.onnx", "--layer", "x"),
        ("visualize", "class_score", "model.onnx", "--label", "nothing"),
        ("visualize", "class_score", "model.onnx", "--label", "\x1b[2J"),
        ("visualize", "direction", "model.onnx", "--layer", "/3/Relu_output_0", "--direction", "nothing.npy"),
        ("visualize", "neuron", "model.onnx", "--layer", "/3/Relu_output_0", "--place", "99,99"),
        ("counterfactual", "nothing", "table.onnx", "rows.csv", "--to", "good"),
        ("counterfactual", "wachter", "table.onnx", "rows.csv"),
        ("counterfactual", "wachter", "table.onnx", "nothing.csv", "--to", "good"),
        ("counterfactual", "wachter", "table.onnx", "", "--to", "good"),
        ("counterfactual", "wachter", "table.onnx", ".", "--to", "good"),
        ("counterfactual", "wachter", "model.onnx", "array.npy", "--to", "3"),
        ("counterfactual", "wachter", "rows.csv", "table.onnx", "--to", "good"),
        ("counterfactual", "growing_spheres", "table.onnx", "rows.csv", "--to", "good", "--draws", "0"),
        ("counterfactual", "growing_spheres", "table.onnx", "rows.csv", "--to", "good", "--radius", "nan"),
        ("counterfactual", "growing_spheres", "table.onnx", "rows.csv", "--to", "good", "--growth", "0"),
        ("evaluate", "model.onnx", "two.npy"),
        ("evaluate", "model.onnx", "nothing.npy", "--methods", "saliency"),
        ("evaluate", "model.onnx", "rows.csv", "--methods", "saliency"),
        ("evaluate", "nothing.onnx", "two.npy", "--methods", "saliency"),
        ("evaluate", "model.onnx", ".", "--methods", "saliency"),
        ("recommend", "model.onnx", "array.npy"),
        ("recommend", "model.onnx", "\udcff.npy"),
        ("recommend", "model.onnx", "a" * 5000),
    )
