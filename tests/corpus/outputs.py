"""Places that results cannot be written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.corpus.case import DATA, MODEL, PIPE, RESOURCE, USAGE, Build, Case, Stdout, explain

STREAMS: Final[dict[Stdout, set[int]]] = {
    "full": {RESOURCE},
    "broken": {PIPE},
    "closed": {0, RESOURCE},
    "no stderr": {0},
    "full stderr": {0},
}
"""Streams that cannot be written, and the exit codes of a command that is well otherwise."""


def cases() -> Iterator[Case]:
    for name, (path, build) in paths(".npz").items():
        yield Case(f"outputs/path-{name}", explain("-o", path), {USAGE, RESOURCE}, build)
    for stdout, codes in STREAMS.items():
        for number, words in enumerate(_commands()):
            yield Case(f"outputs/{stdout}-{number}", words, codes, stdout=stdout, written=_WRITTEN)
    for number, words in enumerate(_refused()):
        for stdout in STREAMS:
            yield Case(f"outputs/refused-{stdout}-{number}", words, {USAGE, MODEL, DATA, RESOURCE, PIPE}, stdout=stdout)


_WRITTEN = (
    "out.npz",
    "out.png",
    "out.onnx",
    "out",
    "out/array.npz",
    "out/array-0.npz",
    "out/array-0.png",
    "out/array.png",
    "out/picture.png",
    "out/picture.npz",
)


def _commands() -> tuple[tuple[str, ...], ...]:
    return (
        ("--help",),
        ("--version",),
        ("methods",),
        ("methods", "--json"),
        ("inspect", "model.onnx"),
        ("inspect", "model.onnx", "--json"),
        explain(),
        explain()[:-1],
        explain("-o", "out.npz"),
        explain("-o", "out.npz")[:-3],
        explain("-o", "out.png"),
        (*explain()[:-1], "-o", "out/"),
        ("explain", "--help"),
        ("explain", "rise", "--help"),
        ("explain", "occlusion", "model.onnx", "array.npy", "picture.png", "--window", "4"),
        ("compile", "saliency", "model.onnx", "-o", "out.onnx"),
        ("compile", "saliency", "model.onnx", "-o", "out.onnx", "--json"),
    )


def _refused() -> tuple[tuple[str, ...], ...]:
    return (
        ("nothing",),
        ("inspect", "array.npy"),
        ("explain", "occlusion", "model.onnx", "nothing.png"),
        explain(x="nothing.npy"),
    )


def paths(suffix: str) -> dict[str, tuple[str, Build]]:
    """Places where no file that ends in ``suffix`` can or may be written, and what makes them."""
    out = f"out{suffix}"

    def link(target: str, name: str = out) -> Build:
        return lambda folder: (folder / name).symlink_to(target)

    nothing: Callable[[Path], None] = lambda folder: None  # noqa: E731
    return {
        "no folder": (f"nothing/{out}", nothing),
        "suffix": ("out.txt", nothing),
        "two suffixes": (f"{out}.gz", nothing),
        "suffix alone": (suffix, lambda folder: (folder / suffix).write_bytes(b"x")),
        "model": ("model.onnx", nothing),
        "input": ("array.npy", nothing),
        "picture": ("picture.png", nothing),
        "picture through a link": ("link.png", link("picture.png", "link.png")),
        "empty": ("", nothing),
        "below a file": (f"array.npy/{out}", nothing),
        "folder below a file": ("array.npy/out/", nothing),
        "link to itself": (out, link(out)),
        "link to a device": (out, link("/dev/full")),
        "device as a folder": ("/dev/full", nothing),
        "file as a folder": ("out", lambda folder: (folder / "out").write_text("mine")),
        "pipe": (out, lambda folder: os.mkfifo(folder / out)),
        "long": ("a" * 300 + suffix, nothing),
        "long folder": ("a" * 300 + "/", nothing),
        "deep": ("a/" * 3000 + out, nothing),
        "text of this name": (out, lambda folder: (folder / out).write_text("mine")),
        "array of this name": (
            out,
            lambda folder: (folder / out).write_bytes((folder / "array.npy").read_bytes()),
        ),
        "escape": (f"nothing\x1b[2J/{out}", nothing),
        "newline": (f"nothing\n/{out}", nothing),
        "direction mark": (f"nothing\u202e/{out}", nothing),
        "not UTF-8": (f"nothing\udcff/{out}", nothing),
    }
