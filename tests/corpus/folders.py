"""Runs in folders that are damaged, of odd names or of no place, where they are continued, drawn and merged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xaionnx
from tests.corpus.case import REFUSED, Build, Case
from tests.corpus.outputs import STREAMS
from xaionnx.typing import Document

EXPLAIN = ("explain", "occlusion", "model.onnx", "array.npy", "--window", "4", "--stride", "4", "--shards", "-o")
DRAW = ("draw", "run", "-o", "drawn")
MERGE = ("merge", "merged", "run")
_COMMANDS = {"draw": DRAW, "merge": MERGE, "explain": (*EXPLAIN, "run", "--json")}
_LEFT = ("drawn", "merged", "run", "merged.onnx")


def cases() -> Iterator[Case]:
    for name, damage in {**_documents(), **_parts()}.items():
        for command, words in _COMMANDS.items():
            yield Case(f"folders/{command}-{name}", words, {0, *REFUSED}, _damaged(damage), written=_LEFT)
    for number, words in enumerate(_written()):
        for stdout, codes in STREAMS.items():
            yield Case(f"folders/{stdout}-{number}", words, codes, made, stdout=stdout, written=_LEFT)
    for number, words in enumerate(_refused()):
        yield Case(f"folders/words-{number}", words, REFUSED, made, written=("run",))
    for name, (path, build) in _places().items():
        for command, words in (("draw", (*DRAW[:-1], path)), ("merge", ("merge", path, "run"))):
            yield Case(f"folders/{command}-to-{name}", words, REFUSED, _both(made, build))
        yield Case(f"folders/explain-to-{name}", (*EXPLAIN, path), REFUSED, build)


def made(folder: Path, path: str = "run") -> None:
    """Make the run of ``EXPLAIN``."""
    model = xaionnx.Model.load(folder / "model.onnx", "cpu")
    xaionnx.explain_all(model, folder / "array.npy", "occlusion", to=folder / path, window=4, stride=4)


def _both(first: Build, second: Build) -> Build:
    def build(folder: Path) -> None:
        first(folder)
        second(folder)

    return build


def _damaged(damage: Callable[[Path], object]) -> Build:
    def build(folder: Path) -> None:
        made(folder)
        damage(folder / "run")

    return build


def _rewritten(change: Callable[[Document], Any]) -> Callable[[Path], object]:
    """Change the document of the run; what ``change`` returns is written in its place, if it is not None."""

    def damage(run: Path) -> None:
        path = run / "run.json"
        document = json.loads(path.read_text())
        changed = change(document)
        path.write_text(json.dumps(document if changed is None else changed))

    return damage


def _set(*keys: str, to: Any) -> Callable[[Path], object]:
    def change(document: Document) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = to

    return _rewritten(change)


def _without(*keys: str) -> Callable[[Path], object]:
    def change(document: Document) -> None:
        for key in keys[:-1]:
            document = document[key]
        del document[keys[-1]]

    return _rewritten(change)


def _documents() -> dict[str, Callable[[Path], object]]:
    texts = {
        "nothing": b"",
        "half": b'{"format": 1, "mo',
        "nulls": bytes(600),
        "a list": b"[]",
        "a number": b"9" * 5000,
        "deep": b"[" * 100_000,
        "UTF-16": "{}".encode("utf-16"),
        "not UTF-8": b'{"format": 1, "model": "\xff"}',
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }
    keys = [(key,) for key in ("format", "model", "fingerprint", "settings")]
    keys += [("settings", key) for key in ("method", "spec", "data", "model_sha256", "xaionnx")]
    keys += [("settings", "data", "count"), ("settings", "spec", "resize")]
    others: dict[str, Any] = {"null": None, "text": "\x1b[2J", "number": -1, "list": [1], "huge": 10**400}
    return {
        **{f"document of {name}": _writer("run.json", content) for name, content in texts.items()},
        **{f"without {' '.join(key)}": _without(*key) for key in keys},
        **{f"{' '.join(key)} {name}": _set(*key, to=value) for key in keys for name, value in others.items()},
        "document that is a folder": lambda run: ((run / "run.json").unlink(), (run / "run.json").mkdir()),
        "document that is a pipe": lambda run: ((run / "run.json").unlink(), os.mkfifo(run / "run.json")),
        "document that leads nowhere": lambda run: (
            (run / "run.json").unlink(),
            (run / "run.json").symlink_to("nothing"),
        ),
        "no document": lambda run: (run / "run.json").unlink(),
    }


def _writer(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(content)


def _parts() -> dict[str, Callable[[Path], object]]:
    def part(run: Path) -> Path:
        return next(run.glob("parts/*/*.npz"))

    def cut(keep: float) -> Callable[[Path], object]:
        def damage(run: Path) -> None:
            data = part(run).read_bytes()
            part(run).write_bytes(data[: int(len(data) * keep)])

        return damage

    def flipped(at: float) -> Callable[[Path], object]:
        def damage(run: Path) -> None:
            data = bytearray(part(run).read_bytes())
            data[int(len(data) * at)] ^= 0xFF
            part(run).write_bytes(data)

        return damage

    return {
        **{f"part cut at {keep}": cut(keep) for keep in (0, 0.3, 0.6, 0.95)},
        **{f"part flipped at {at}": flipped(at) for at in (0.05, 0.2, 0.4, 0.6, 0.8, 0.97)},
        "part of another name": lambda run: part(run).rename(part(run).with_name("000000000007-000000000009.npz")),
        "part with notes": lambda run: part(run).with_suffix(".json").write_text("{}"),
        "part that is a folder": lambda run: (
            (path := part(run)),
            shutil.move(path, run / "aside"),
            path.mkdir(),
        ),
        "part that is a pipe": lambda run: ((path := part(run)), path.unlink(), os.mkfifo(path)),
        "part that leads nowhere": lambda run: ((path := part(run)), path.unlink(), path.symlink_to("nothing")),
        "no parts": lambda run: shutil.rmtree(run / "parts"),
        "parts that are a file": lambda run: (shutil.rmtree(run / "parts"), (run / "parts").write_text("x")),
        "parts that are a link": lambda run: (
            shutil.move(run / "parts", run.parent / "model.parts"),
            (run / "parts").symlink_to("/dev/null"),
            shutil.rmtree(run.parent / "model.parts"),
        ),
        "group that is a file": lambda run: (run / "parts" / "other").write_text("x"),
        "hidden group": lambda run: (run / "parts" / ".other").mkdir(),
    }


def _written() -> tuple[tuple[str, ...], ...]:
    return (
        DRAW,
        MERGE,
        ("merge", "run", "run"),
        (*EXPLAIN, "run"),
        (*EXPLAIN, "run", "--json"),
        (*EXPLAIN, "merged", "--json"),
        (*EXPLAIN, "merged", "--pictures", "1"),
        (*EXPLAIN, "merged", "--shard", "1/2"),
    )


def _refused() -> tuple[tuple[str, ...], ...]:
    return (
        ("draw",),
        ("draw", "run"),
        ("draw", "", "-o", "drawn"),
        ("draw", "nothing", "-o", "drawn"),
        ("draw", "model.onnx", "-o", "drawn"),
        ("draw", ".", "-o", "drawn"),
        ("draw", "\udcff", "-o", "drawn"),
        ("draw", "a" * 5000, "-o", "drawn"),
        ("draw", "\x1b[2J", "-o", "drawn"),
        (*DRAW, "--rows", "9"),
        (*DRAW, "--rows", "x"),
        (*DRAW, "--rows", "9" * 400),
        (*DRAW, "--picture", "nothing"),
        (*DRAW, "--picture", "\x1b[2J"),
        (*DRAW, "--picture", "waterfall"),
        (*DRAW, "--top", "0"),
        (*DRAW, "--smooth", "nan"),
        (*DRAW, "--smooth", "-1"),
        (*DRAW, "--workers", "0"),
        (*DRAW, "--theme", "red"),
        (*DRAW, "--sign", "none"),
        ("merge",),
        ("merge", "merged"),
        ("merge", "merged", "nothing"),
        ("merge", "merged", "run", "nothing"),
        ("merge", "merged", "model.onnx"),
        ("merge", "merged", ""),
        ("merge", "merged", "\x1b[2J"),
        ("merge", "merged", "\udcff"),
        (*EXPLAIN, "run", "--shard", "0/0"),
        (*EXPLAIN, "run", "--shard", "3/2"),
        (*EXPLAIN, "run", "--shard", "x"),
        (*EXPLAIN, "run", "--shard", "9" * 400),
        (*EXPLAIN, "run", "--workers", "0"),
        (*EXPLAIN, "run", "--pictures", "-1"),
        (*EXPLAIN, "run", "--target", "3"),
        (*EXPLAIN, "run", "--rows", "0"),
    )


def _places() -> dict[str, tuple[str, Build]]:
    """Places where no folder can be made."""

    def nothing(folder: Path) -> None:
        del folder

    def mine(folder: Path) -> None:
        (folder / "file").write_text("mine")

    return {
        "a file": ("file", mine),
        "below a file": ("file/run", mine),
        "empty": ("", nothing),
        "a device": ("/dev/full", nothing),
        "below a device": ("/dev/full/run", nothing),
        "a long name": ("a" * 300, nothing),
        "a link to itself": ("loop", lambda folder: (folder / "loop").symlink_to("loop")),
        "a link to nothing": ("link", lambda folder: (folder / "link").symlink_to("nothing/deeper")),
        "a pipe": ("pipe", lambda folder: os.mkfifo(folder / "pipe")),
        "the input": ("array.npy", nothing),
        "a hostile file": ("\x1b[2J\n\u202ea", lambda folder: (folder / "\x1b[2J\n\u202ea").write_text("mine")),
    }
