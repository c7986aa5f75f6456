"""Bad specs and labels files, and some that only look bad."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.case import REFUSED, USAGE, Build, Case, explain


def cases() -> Iterator[Case]:
    for name, content in _contents().items():
        yield Case(f"specs/{name}", explain(x="picture.png"), {USAGE}, _spec(content), says=r"model\.toml")
    for name, content in _fields().items():
        yield Case(f"specs/field-{name}", explain(x="picture.png"), REFUSED - {6}, _spec(content))
    for name, (content, codes) in _labels().items():
        for suffix in (".txt", ".json"):
            words = explain(x="picture.png")
            yield Case(f"specs/labels-{name}{suffix}", words, codes, _labels_file(f"labels{suffix}", content))
    for name, build in _places().items():
        yield Case(f"specs/place-{name}", explain(x="picture.png"), {USAGE}, build)
    for number, first in enumerate(("[PAD]", "[", "{", "[0] zero", "{}x", "[a, b]", "\ufeffa")):
        ten = "\n".join([first, *(f"class {k}" for k in range(9))])
        yield Case(
            f"specs/labels that start oddly-{number}",
            explain(x="picture.png"),
            {0},
            _labels_file("labels.txt", ten.encode()),
        )
    yield Case("specs/byte-order mark", explain(x="picture.png"), {0}, _spec(b"\xef\xbb\xbf" + _good().encode()))
    for name in ("missing.toml", "picture.png", ".", "\udcff.toml", "a" * 300):
        yield Case(f"specs/option-{ascii(name)[:20]}", explain("--spec", name, x="picture.png"), {USAGE})
    for activation in ("softmax", "sigmoid"):
        words = explain(x="picture.png")
        build = _spec(_good(activation=activation))
        yield Case(f"specs/{activation} over logits", words, {USAGE, 3}, build, says="activation")


def _good(activation: str = "logits", labels: str = "", **changed: str) -> str:
    fields = {
        "name": '"pixels"',
        "kind": '"picture"',
        "layout": '"NCHW"',
        "size": "[8, 8]",
        "color": '"L"',
        "mean": "0.0",
        "scale": "255.0",
        "resize": '"stretch"',
        **changed,
    }
    lines = [f"{key} = {value}" for key, value in fields.items()]
    out = ['name = "logits"', f'activation = "{activation}"', *([f"labels = {labels}"] if labels else [])]
    return "\n".join(["[input]", *lines, "[output]", *out, ""])


def _spec(content: str | bytes) -> Build:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "model.toml").write_bytes(data)


def _contents() -> dict[str, str | bytes]:
    good = _good()
    return {
        "binary": bytes(range(256)),
        "zeros": bytes(100),
        "latin-1": good.encode() + "# \u00e4".encode("latin-1"),
        "utf-16": good.encode("utf-16"),
        "utf-16 without a mark": good.encode("utf-16-le"),
        "yaml": "input:\n  kind: picture\n",
        "json": '{"input": {}}',
        "half": good[:30],
        "open text": '[input]\nname = "pix',
        "same key twice": f"{good}\nname = 'a'\n",
        "same section twice": f"{good}\n[input]\n",
        "unknown section": f"{good}\n[inputs]\n",
        "unknown key": good.replace("layout", "layuot"),
        "key in capitals": good.replace("layout", "LAYOUT"),
        "section as a list": good.replace("[input]", "[[input]]"),
        "section as a number": "input = 3\n",
        "hostile section": f'{good}\n["\\u001b[2J"]\n',
        "hostile key": f'{good}\n"\\u001b[2J\\n" = 1\n',
        "deep": "a = " + "[" * 5000,
        "deep keys": "[" + ".".join("a" * 3000) + "]",
        "5,000 digits": good.replace("0.0", "9" * 5000),
        "control character": good.replace("pixels", "pix\x07els"),
    }


def _fields() -> dict[str, str]:
    return {
        f"{key} {value[:18]}": _good(**{key: value})
        for key, values in {
            "size": (
                "[8]",
                "[0, 8]",
                "[-8, 8]",
                "[8.5, 8]",
                '"8x8"',
                "[9, 9]",
                "[16384, 16384]",
                "[" + "9" * 400 + ", 8]",
                "[true, true]",
                "[[8, 8]]",
                "[8, 8, 1]",
                "{}",
            ),
            "mean": ("nan", "inf", "-inf", "9" * 400, "[1, 2]", '"zero"', "true", "1e400", "[]", "1979-05-27"),
            "scale": ("0", "-1", "nan", "inf", "9" * 400, "[]", '"a"', "false", "-0.0"),
            "color": ('"RGB"', '"rgb"', '""', "3", '"\\u001b"'),
            "layout": ('"NHWC"', '"CHW"', "1"),
            "kind": ('"movie"', "1", '"table"', "[]"),
            "name": ('""', '"nothing"', "3", '"\\u001b[2J"', "[]"),
            "resize": ('"shrink"', "0"),
            "axes": ('"N C H"', '"N N H W"', '"time"', "4", '""'),
        }.items()
        for value in values
    }


def _labels() -> dict[str, tuple[bytes, set[int]]]:
    ten = [f"class {k}" for k in range(10)]
    no = {USAGE}
    return {
        "empty": (b"", no),
        "too few": ("\n".join(ten[:3]).encode(), no),
        "too many": ("\n".join([*ten, "more"]).encode(), no),
        "latin-1": ("\n".join([*ten[:9], "caf\u00e9"]).encode("latin-1"), no),
        "utf-16": ("\n".join(ten).encode("utf-16"), no),
        "zeros": (bytes(100), no),
        "escapes": ("\n".join([*ten[:9], "\x1b[2J"]).encode(), no),
        "direction marks": ("\n".join([*ten[:9], "\u202eabc"]).encode(), no),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(32), no),
        "deep": (b"[" * 100_000, no),
        "object": (json.dumps(dict(enumerate(ten))).encode(), no),
        "numbers": (json.dumps(list(range(10))).encode(), no),
        "nested": (json.dumps([[one] for one in ten]).encode(), no),
        "5,000 digits": (b"[" + b"9" * 5000 + b"]", no),
        "half": (json.dumps(ten)[:-5].encode(), no),
    }


def _labels_file(name: str, content: bytes) -> Build:
    def build(folder: Path) -> None:
        (folder / name).write_bytes(content)
        (folder / "model.toml").write_text(_good(labels=json.dumps(name)))

    return build


def _places() -> dict[str, Build]:
    def labels(path: str) -> Build:
        return lambda folder: (folder / "model.toml").write_text(_good(labels=json.dumps(path)))

    def linked(target: str) -> Build:
        def build(folder: Path) -> None:
            (folder / "labels.txt").symlink_to(target)
            (folder / "model.toml").write_text(_good(labels='"labels.txt"'))

        return build

    def linked_out(folder: Path) -> None:
        (folder.parent / "secret.txt").write_text("\n".join("abcdefghij"))
        linked("../secret.txt")(folder)

    def spec_folder(folder: Path) -> None:
        (folder / "model.toml").unlink()
        (folder / "model.toml").mkdir()

    def spec_pipe(folder: Path) -> None:
        (folder / "model.toml").unlink()
        os.mkfifo(folder / "model.toml")

    def labels_pipe(folder: Path) -> None:
        os.mkfifo(folder / "labels.txt")
        (folder / "model.toml").write_text(_good(labels='"labels.txt"'))

    def huge(folder: Path) -> None:
        with (folder / "model.toml").open("wb") as stream:
            stream.truncate(1 << 30)

    def through_a_folder(folder: Path) -> None:
        (folder / "inside").symlink_to("/etc")
        (folder / "model.toml").write_text(_good(labels='"inside/hostname"'))

    return {
        **{
            f"labels {ascii(path)[:20]}": labels(path)
            for path in (
                "/etc/passwd",
                "../labels.txt",
                "nothing.txt",
                ".",
                "",
                "a\0b",
                "C:\\labels.txt",
                "a" * 300,
                "\ud800x".encode("utf-16", "surrogatepass").hex(),
                "/dev/zero",
            )
        },
        "labels linked out": linked("/etc/hostname"),
        "labels of ten lines linked out": linked_out,
        "labels linked to a device": linked("/dev/zero"),
        "labels linked in a circle": linked("labels.txt"),
        "labels through a folder": through_a_folder,
        "labels in a pipe": labels_pipe,
        "folder": spec_folder,
        "pipe": spec_pipe,
        "huge": huge,
    }
