"""Bad tables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.case import DATA, MODELS, Build, Case

_WORDS = ("explain", "feature_ablation", "table.onnx", "bad.csv", "--json")


def cases() -> Iterator[Case]:
    for name, (content, codes) in _contents().items():
        yield Case(f"tables/{name}", _WORDS, codes, _writes(content))


def _writes(content: bytes) -> Build:
    def build(folder: Path) -> None:
        for suffix in (".onnx", ".toml"):
            shutil.copy(MODELS / f"german_credit_mlp{suffix}", folder / f"table{suffix}")
        (folder / "bad.csv").write_bytes(content)

    return build


def _contents() -> dict[str, tuple[bytes, set[int]]]:
    text = (MODELS / "data" / "german_credit_sample.csv").read_text()
    head, row = text.splitlines()[:2]
    names, cells = head.split(","), row.split(",")
    good = f"{head}\n{row}\n".encode()
    no, odd = {DATA}, {0, DATA}

    def changed(column: str, value: str) -> bytes:
        at = names.index(column)
        return f"{head}\n{','.join([*cells[:at], value, *cells[at + 1 :]])}\n".encode()

    numbers = {
        f"number {value[:12]}-{len(value)}": (changed("duration_in_month", value), codes)
        for value, codes in (
            ("nan", odd),
            ("inf", odd),
            ("-inf", odd),
            ("", no),
            ("twelve", no),
            ("1e999", no),
            ("0x10", no),
            ("1_000", no),
            ("1,5", no),
            ("9" * 400, no),
            ("9" * 5000, no),
            ("1e-999", odd),
            ("\u0661\u0662", no),
            ("1 2", no),
            ("--1", no),
            ("=1+1", no),
            ("NULL", no),
            ("None", no),
            ("\0", no),
            ("\x1b[2J", no),
            ("1\u202e", no),
            ("+", no),
            ("1.7976e308", no),
        )
    }
    return {
        "empty": (b"", no),
        "blank lines": (b"\n\n\n", no),
        "header alone": (f"{head}\n".encode(), no),
        "no header": (f"{row}\n".encode(), no),
        "ragged": (f"{head}\n{row},1,2\n".encode(), no),
        "short": (f"{head}\n{','.join(cells[:3])}\n".encode(), no),
        "duplicate names": (f"{head},{names[0]}\n{row},{cells[0]}\n".encode(), no),
        "missing column": ("\n".join(",".join(line.split(",")[1:]) for line in (head, row)).encode(), no),
        "strange column": (f"{head},strange\n{row},1\n".encode(), odd),
        "hostile column": (f"{head},\x1b[2J\n{row},1\n".encode(), odd),
        "column of no name": (f"{head},\n{row},1\n".encode(), odd),
        "semicolons": (good.replace(b",", b";"), no),
        "tabs": (good.replace(b",", b"\t"), no),
        "latin-1": (good.replace(b"month", "m\u00f6nth".encode("latin-1")), no),
        "utf-16": (good.decode().encode("utf-16"), no),
        "utf-32": (good.decode().encode("utf-32"), no),
        "byte-order mark": (b"\xef\xbb\xbf" + good, {0}),
        "zero bytes": (good + bytes(100), no),
        "open quote": (f'{head}\n"{row}\n'.encode(), no),
        "quotes within": (f'{head}\na"b"c,{row}\n'.encode(), no),
        "unknown category": (changed("purpose", "moon"), no),
        "hostile category": (changed("purpose", "\x1b[31m"), no),
        "category of a million letters": (changed("purpose", "x" * 10**6), no),
        "cell of a million digits": (changed("duration_in_month", "1" * 10**6), no),
        "line of a million commas": (b"," * 10**6 + b"\n1\n", no),
        "html": (b"<html><table></table></html>", no),
        "json": (b'[{"a": 1}]', no),
        "parquet": (b"PAR1" + bytes(32) + b"PAR1", no),
        "excel": (b"PK\x03\x04" + bytes(32), no),
        "sqlite": (b"SQLite format 3\0" + bytes(32), no),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", no),
        "picture": (b"\x89PNG\r\n\x1a\n" + bytes(32), no),
        "carriage returns": (good.replace(b"\n", b"\r"), odd),
        "direction marks": (good.replace(b"duration", "\u202eduration".encode()), no),
        **numbers,
    }
