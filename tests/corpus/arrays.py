"""Bad .npy and .npz files."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.corpus.case import DATA, Build, Case, explain, writes


def cases() -> Iterator[Case]:
    for name, content in _npy().items():
        yield Case(f"arrays/{name}", explain(x="bad.npy"), {DATA}, writes("bad.npy", content))
    for name, content in _npz().items():
        codes = {0, DATA} if name == "of a false size" else {DATA}
        yield Case(f"arrays/npz-{name}", explain(x="bad.npz"), codes, writes("bad.npz", content))
    for number in range(10):
        yield Case(f"arrays/truncated-{number}", explain(), {DATA}, _truncated(number))
    for number in range(24):
        yield Case(f"arrays/flipped-{number}", explain(), {0, DATA}, _flipped(number))


def saved(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    body = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(body)) + body + data


def _head(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _npy() -> dict[str, bytes]:
    nan = np.full((1, 1, 8, 8), np.nan, np.float32)
    good = np.ones((1, 1, 8, 8), np.float32)
    return {
        "empty": b"",
        "text": b"1,2,3\n",
        "signature alone": b"\x93NUMPY",
        "scalar": saved(np.float32(1)),
        "no samples": saved(np.ones((0, 1, 8, 8), np.float32)),
        "no pixels": saved(np.ones((1, 1, 0, 8), np.float32)),
        "of rank 64": saved(np.ones((1,) * 64, np.float32)),
        "another shape": saved(np.ones((1, 1, 9, 9), np.float32)),
        "another rank": saved(np.ones((1, 64), np.float32)),
        "channels last": saved(np.ones((1, 8, 8, 1), np.float32)),
        "integers": saved(np.ones((1, 1, 8, 8), np.int64)),
        "booleans": saved(np.ones((1, 1, 8, 8), bool)),
        "complex": saved(good.astype(complex)),
        "text of numbers": saved(good.astype(str)),
        "objects": saved(np.array([{1: 2}], object)),
        "records": saved(np.zeros(3, [("a", "f4")])),
        "dates": saved(np.zeros((1, 1, 8, 8), "M8[s]")),
        "void": saved(np.zeros((1, 1, 8, 8), "V4")),
        "nan": saved(nan),
        "infinity": saved(nan * 0 + np.inf),
        "above floats": saved(np.full((1, 1, 8, 8), 1e300)),
        "of terabytes": _header(_head("(1000000000000,)")),
        "of 2 to the 70 bytes": _header(_head(f"({2**70},)")),
        "of 400 digits": _header(_head("(" + "9" * 400 + ",)")),
        "of 5,000 digits": _header(_head("(" + "9" * 5000 + ",)")),
        "of a negative size": _header(_head("(-1, 8)")),
        "of a size in words": _header(_head("('a',)")),
        "of a float size": _header(_head("(1.5,)")),
        "of a true size": _header(_head("(True, 1)"), bytes(4)),
        "of no shape": _header("{'descr': '<f4', 'fortran_order': False}"),
        "of no type": _header(_head("(1,)", "'zz'")),
        "of code": _header("__import__('os').system('true')"),
        "of deep brackets": _header("(" * 5000),
        "of version 9": _header(_head("(1,)"), bytes(4), b"\x09\x00"),
        "of a long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1),
        "header that is not text": b"\x93NUMPY\x01\x00\x10\x00" + bytes(range(128, 144)),
        "two arrays": saved(good) + saved(good),
        "cut by one byte": saved(good)[:-1],
    }


def _npz() -> dict[str, bytes | Callable[[], bytes]]:
    good = saved(np.ones((1, 1, 8, 8), np.float32))
    lying = bytearray(zipped({"pixels.npy": good}))
    at = lying.rfind(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    encrypted = bytearray(zipped({"pixels.npy": good}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.rfind(mark) + offset] |= 1
    unknown = bytearray(zipped({"pixels.npy": good}))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        unknown[unknown.rfind(mark) + offset] = 99
    broken = bytearray(zipped({"pixels.npy": good}))
    broken[200] ^= 255
    return {
        "empty": b"",
        "no members": zipped({}),
        "text": zipped({"pixels.npy": b"hello"}),
        "no arrays": zipped({"readme.txt": b"hello"}),
        "two members": zipped({"a.npy": good, "b.npy": good}),
        "of zeros": lambda: zipped({"pixels.npy": bytes(64 << 20)}, zipfile.ZIP_DEFLATED),
        "of a false size": bytes(lying),
        "encrypted": bytes(encrypted),
        "of an unknown packing": bytes(unknown),
        "of a false checksum": bytes(broken),
        "cut": zipped({"pixels.npy": good})[:-30],
        "leading out": zipped({"../../pixels.npy": good, "b.npy": good}),
        "objects": zipped({"pixels.npy": saved(np.array([{1: 2}], object))}),
        "of 60,000 members": lambda: zipped({f"m{k}.npy": b"" for k in range(60_000)}),
        "scalar": zipped({"pixels.npy": saved(np.float32(1))}),
        "within another": zipped({"pixels.npy": zipped({"pixels.npy": good})}),
    }


def _truncated(number: int) -> Build:
    def build(folder: Path) -> None:
        data = (folder / "array.npy").read_bytes()
        (folder / "array.npy").write_bytes(data[: len(data) * (number + 1) // 12])

    return build


def _flipped(number: int) -> Build:
    def build(folder: Path) -> None:
        rng = random.Random(number)
        data = bytearray((folder / "array.npy").read_bytes())
        data[rng.randrange(128)] ^= 1 << rng.randrange(8)
        (folder / "array.npy").write_bytes(data)

    return build
