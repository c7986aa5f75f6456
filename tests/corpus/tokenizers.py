"""Bad tokenizer files, and texts that do not fit them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.corpus.case import DATA, MODEL, MODELS, REFUSED, USAGE, Build, Case

_WORDS = ("explain", "feature_ablation", "text.onnx", "mail.txt", "--json")
# What no tokenizer says about itself is no fault of the text.
_NO = {USAGE, MODEL, DATA}


def cases() -> Iterator[Case]:
    for name, content in _bytes().items():
        yield Case(f"tokenizers/file-{name}", _WORDS, _NO, _tokenizer(content))
    for name, change in _changes().items():
        yield Case(f"tokenizers/{name}", _WORDS, {0, *_NO}, _changed(change))
    for name, (text, codes) in _texts().items():
        yield Case(f"tokenizers/text-{name}", _WORDS, codes, _mail(text))
    for name, line in _specs().items():
        yield Case(f"tokenizers/spec-{name}", _WORDS, {0, *_NO}, _spec(line))
    for number, words in enumerate(_options()):
        yield Case(f"tokenizers/option-{number}", (*_WORDS[:4], *words, "--json"), {0, *REFUSED}, _mail(b"Free money"))


def _start(folder: Path, text: bytes = b"Free money now") -> None:
    shutil.copy(MODELS / "spam.onnx", folder / "text.onnx")
    shutil.copy(MODELS / "spam.tokenizer.json", folder / "text.tokenizer.json")
    spec = (MODELS / "spam.toml").read_text().replace("spam.tokenizer.json", "text.tokenizer.json")
    (folder / "text.toml").write_text(spec)
    (folder / "mail.txt").write_bytes(text)


def _mail(text: bytes) -> Build:
    return lambda folder: _start(folder, text)


def _tokenizer(content: bytes) -> Build:
    def build(folder: Path) -> None:
        _start(folder)
        (folder / "text.tokenizer.json").write_bytes(content)

    return build


def _changed(change: Callable[[dict[str, Any]], object]) -> Build:
    def build(folder: Path) -> None:
        _start(folder)
        path = folder / "text.tokenizer.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return build


def _spec(line: str) -> Build:
    def build(folder: Path) -> None:
        _start(folder)
        path, key = folder / "text.toml", line.split(" ")[0]
        kept = [one for one in path.read_text().splitlines() if not one.startswith(f"{key} ")]
        at = kept.index("[input]") + 1
        path.write_text("\n".join([*kept[:at], line, *kept[at:]]))

    return build


def _bytes() -> dict[str, bytes]:
    whole = (MODELS / "spam.tokenizer.json").read_bytes()
    return {
        "empty": b"",
        "blank": b" \n",
        "no object": b"[]",
        "number": b"3",
        "null": b"null",
        "no model": b"{}",
        "half": whole[: len(whole) // 2],
        "zeros": bytes(1000),
        "random": bytes(range(256)) * 8,
        "latin-1": b'{"model": "caf\xe9"}',
        "utf-16": whole[:4000].decode().encode("utf-16"),
        "deep": b"[" * 100_000,
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "model alone": b'{"model": {"type": "Nothing"}}',
        "hostile": b'{"model": {"type": "\\u001b[2J"}}',
        "same key twice": b'{"model": 1, "model": 2}',
        "digits": b'{"version": ' + b"9" * 5000 + b"}",
        "vocabulary file": b"[PAD]\n[UNK]\nthe\n",
    }


def _changes() -> dict[str, Callable[[dict[str, Any]], object]]:
    def vocabulary(document: dict[str, Any], value: object) -> None:
        document["model"]["vocab"] = value

    return {
        "vocabulary empty": lambda d: vocabulary(d, {}),
        "vocabulary of strings": lambda d: vocabulary(d, {"a": "b"}),
        "vocabulary a list": lambda d: vocabulary(d, []),
        "vocabulary negative": lambda d: vocabulary(d, {"a": -1}),
        "vocabulary too large": lambda d: d["model"]["vocab"].update({"free": 10**6}),
        "vocabulary beyond 32 bits": lambda d: d["model"]["vocab"].update({"free": 2**40}),
        "same number twice": lambda d: d["model"]["vocab"].update({"free": 0}),
        "no unknown": lambda d: d["model"].update({"unk_token": "nothing"}),
        "no unknown token": lambda d: d["model"].pop("unk_token"),
        "no vocabulary": lambda d: d["model"].pop("vocab"),
        "unknown type": lambda d: d["model"].update({"type": "Nothing"}),
        "words of length 0": lambda d: d["model"].update({"max_input_chars_per_word": 0}),
        "unknown normalizer": lambda d: d.update({"normalizer": {"type": "Nothing"}}),
        "no normalizer": lambda d: d.update({"normalizer": None}),
        "unknown pattern": lambda d: d.update(
            {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}}
        ),
        "no pre-tokenizer": lambda d: d.update({"pre_tokenizer": None}),
        "unknown ends": lambda d: d.update({"post_processor": {"type": "Nothing"}}),
        "no ends": lambda d: d.update({"post_processor": None}),
        "truncation of 0": lambda d: d.update(
            {"truncation": {"max_length": 0, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}}
        ),
        "truncation of 3": lambda d: d.update(
            {"truncation": {"max_length": 3, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}}
        ),
        "stride above the length": lambda d: d.update(
            {"truncation": {"max_length": 3, "stride": 9, "strategy": "LongestFirst", "direction": "Right"}}
        ),
        "added token of a strange number": lambda d: d["added_tokens"][0].update({"id": 10**7}),
        "added token without text": lambda d: d["added_tokens"][0].update({"content": ""}),
        "hostile added token": lambda d: d["added_tokens"][0].update({"content": "\x1b[2J"}),
        "no added tokens": lambda d: d.update({"added_tokens": []}),
        "version 99": lambda d: d.update({"version": "99.0"}),
        "padding of a million": lambda d: d.update(
            {
                "padding": {
                    "strategy": {"Fixed": 10**6},
                    "direction": "Right",
                    "pad_to_multiple_of": None,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "[PAD]",
                }
            }
        ),
    }


def _texts() -> dict[str, tuple[bytes, set[int]]]:
    odd = {0, DATA}
    return {
        "empty": (b"", odd),
        "blank": (b" \n\t ", odd),
        "latin-1": ("Caf\u00e9".encode("latin-1"), {DATA}),
        "utf-16": ("Free money".encode("utf-16"), odd),
        "binary": (bytes(range(256)), {DATA}),
        "zeros": (bytes(50), odd),
        "long": (b"free money " * 50_000, odd),
        "one word": (b"x" * 200_000, odd),
        "emoji": ("\U0001f600" * 20).encode() and (("\U0001f600" * 20).encode(), odd),
        "escapes": (b"\x1b[2J free \x1b]0;a\x07", odd),
        "directions": ("\u202emoney\u2066".encode(), odd),
        "unknown words": (b"zzqx qqxz", odd),
        "special tokens": (b"[CLS] [SEP] [PAD] [MASK]", odd),
        "combining": (("e" + "\u0301" * 500).encode(), odd),
        "lone mark": (b"\xef\xbb\xbf", odd),
    }


def _specs() -> dict[str, str]:
    return {
        "missing": 'tokenizer = "nothing.json"',
        "folder": 'tokenizer = "."',
        "above": 'tokenizer = "../text.tokenizer.json"',
        "number": "tokenizer = 3",
        "empty": 'tokenizer = ""',
        "model": 'tokenizer = "text.onnx"',
        "length 0": "max_length = 0",
        "length 1": "max_length = 1",
        "length 2": "max_length = 2",
        "length below 0": "max_length = -5",
        "length in words": 'max_length = "many"',
        "length huge": f"max_length = {10**12}",
        "length 5,000 digits": f"max_length = {'9' * 5000}",
        "length of a fraction": "max_length = 1.5",
        "name": 'name = "nothing"',
    }


def _options() -> tuple[tuple[str, ...], ...]:
    return (
        ("--features", "nothing"),
        ("--features", "words"),
        ("--features", "tokens"),
        ("--features", "sentences"),
        ("--features", "distinct_words"),
        ("--features", "grid:2"),
        ("--features", "superpixels"),
        ("--baseline", "mask"),
        ("--baseline", "pad"),
        ("--baseline", "unk"),
        ("--baseline", "delete"),
        ("--baseline", "word:"),
        ("--baseline", "word:\x1b[2J"),
        ("--baseline", "blur"),
        ("--baseline", "mean"),
        ("--lines",),
        ("--rows", "0"),
        ("--rows", "5"),
        ("--target", "continuation"),
        ("--target", "next_token"),
    )
