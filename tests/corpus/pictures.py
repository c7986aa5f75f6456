"""Bad pictures."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.corpus.case import DATA, Build, Case, explain, writes


def cases() -> Iterator[Case]:
    for name, content in _contents().items():
        yield Case(f"pictures/{name}", explain(x="bad.png"), {DATA}, writes("bad.png", content))
    for number in range(12):
        yield Case(f"pictures/truncated-{number}", explain(x="picture.png"), {DATA}, _truncated(number))
    for number in range(24):
        yield Case(f"pictures/flipped-{number}", explain(x="picture.png"), {0, DATA}, _flipped(number))
    for name, build in _places().items():
        yield Case(f"pictures/place-{name}", explain(x="bad.png"), {DATA}, build)


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, before: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + before + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _contents() -> dict[str, bytes | Callable[[], bytes]]:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    floats = Image.fromarray(np.ones((8, 8), np.float32))
    jpeg, gif = _encoded(photo, "JPEG"), _encoded(photo, "GIF")
    return {
        "empty": b"",
        "zeros": bytes(100),
        "text": b"not a picture\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "html": b"<html></html>",
        "pdf": b"%PDF-1.4\n" + bytes(32),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "signature alone": b"\x89PNG\r\n\x1a\n",
        "of no width": _png(0, 8, b""),
        "of no height": _png(8, 0, b""),
        "120 megapixels": lambda: _png(12_000, 10_000, bytes(12_001 * 10_000)),
        "2 billion pixels": _png(50_000, 40_000, b""),
        "largest sides": _png(2**31 - 1, 2**31 - 1, b""),
        "too few rows": _png(64, 64, bytes(65)),
        "of an unknown depth": _png(8, 8, bytes(72), depth=3),
        "of an unknown colour": _png(8, 8, bytes(72), colour=5),
        "a text bomb": lambda: _png(
            8, 8, bytes(72), before=_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(8 << 20))) * 12
        ),
        "of floats": _encoded(floats, "TIFF"),
        "jpeg without an end": jpeg[: len(jpeg) // 2],
        "jpeg signature": jpeg[:20],
        "gif cut": gif[:30],
        "bmp of a negative size": b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, -8, 8, 1, 24, 0, 0, 0, 0, 0, 0),
        "webp of nothing": b"RIFF\x04\0\0\0WEBP",
        "tiff of a cycle": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "icon": b"\0\0\1\0\0\0",
        "model": b"\x08\x08\x12\x04test",
        "zip": b"PK\x05\x06" + bytes(18),
        "numpy": b"\x93NUMPY\x01\x00v\x00",
        "random": np.random.default_rng(1).bytes(1000),
    }


def _truncated(number: int) -> Build:
    def build(folder: Path) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        data = _encoded(Image.fromarray(picture), ("PNG", "JPEG")[number % 2])
        (folder / "picture.png").write_bytes(data[: len(data) * (number + 1) // 14])

    return build


def _flipped(number: int) -> Build:
    def build(folder: Path) -> None:
        rng = random.Random(number)
        picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        data = bytearray(_encoded(Image.fromarray(picture), ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")[number % 6]))
        for _ in range(1 + number // 6):
            data[rng.randrange(min(120, len(data)))] ^= 1 << rng.randrange(8)
        (folder / "picture.png").write_bytes(data)

    return build


def _places() -> dict[str, Build]:
    return {
        "missing": lambda at: None,
        "folder": lambda at: (at / "bad.png").mkdir(),
        "loop": lambda at: (at / "bad.png").symlink_to("bad.png"),
        "dangling": lambda at: (at / "bad.png").symlink_to("nowhere"),
        "device": lambda at: (at / "bad.png").symlink_to("/dev/zero"),
        "pipe": lambda at: os.mkfifo(at / "bad.png"),
    }
