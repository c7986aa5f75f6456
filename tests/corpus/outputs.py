"""Places that results cannot be written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.corpus.case import DATA, MODEL, PIPE, RESOURCE, USAGE, Build, Case, Stdout, explain


def cases() -> Iterator[Case]:
    for name, (path, build) in _paths().items():
        yield Case(f"outputs/path-{name}", explain("-o", path), {USAGE, RESOURCE}, build)
    streams: dict[Stdout, set[int]] = {"full": {RESOURCE}, "broken": {PIPE}, "closed": {0, RESOURCE}}
    for stdout, codes in streams.items():
        for number, words in enumerate(_commands()):
            yield Case(f"outputs/{stdout}-{number}", words, codes, stdout=stdout, written=_WRITTEN)
    for number, words in enumerate(_refused()):
        for stdout in ("full", "broken", "closed"):
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


def _paths() -> dict[str, tuple[str, Build]]:
    def link(target: str, name: str = "out.npz") -> Build:
        return lambda folder: (folder / name).symlink_to(target)

    nothing: Callable[[Path], None] = lambda folder: None  # noqa: E731
    return {
        "no folder": ("nothing/out.npz", nothing),
        "suffix": ("out.txt", nothing),
        "two suffixes": ("out.npz.gz", nothing),
        "suffix alone": (".npz", lambda folder: (folder / ".npz").write_bytes(b"x")),
        "model": ("model.onnx", nothing),
        "input": ("array.npy", nothing),
        "picture": ("picture.png", nothing),
        "picture through a link": ("link.png", link("picture.png", "link.png")),
        "empty": ("", nothing),
        "below a file": ("array.npy/out.npz", nothing),
        "folder below a file": ("array.npy/out/", nothing),
        "link to itself": ("out.npz", link("out.npz")),
        "link to a device": ("out.npz", link("/dev/full")),
        "device as a folder": ("/dev/full", nothing),
        "file as a folder": ("out", lambda folder: (folder / "out").write_text("mine")),
        "pipe": ("out.npz", lambda folder: os.mkfifo(folder / "out.npz")),
        "long": ("a" * 300 + ".npz", nothing),
        "long folder": ("a" * 300 + "/", nothing),
        "deep": ("a/" * 3000 + "out.npz", nothing),
        "text of this name": ("out.npz", lambda folder: (folder / "out.npz").write_text("mine")),
        "array of this name": (
            "out.npz",
            lambda folder: (folder / "out.npz").write_bytes((folder / "array.npy").read_bytes()),
        ),
        "escape": ("nothing\x1b[2J/out.npz", nothing),
        "newline": ("nothing\n/out.npz", nothing),
        "direction mark": ("nothing\u202e/out.npz", nothing),
        "not UTF-8": ("nothing\udcff/out.npz", nothing),
    }
