"""Bad files of background rows, in options that take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.corpus.case import MODELS, REFUSED, Build, Case
from tests.corpus.parquet import copy_table

_TABLE = MODELS / "data" / "german_credit_sample.csv"
_METHODS = ("kernel_shap", "expected_gradients", "lime", "anchors", "dependence", "shapley_interactions")


def cases() -> Iterator[Case]:
    for number, (name, (file, make)) in enumerate(_files().items()):
        method = _METHODS[number % len(_METHODS)]
        words = ("explain", method, "table.onnx", "rows.npy", "--background", file, "--json")
        yield Case(f"backgrounds/{name}", (*words, *_short(method)), {0, *REFUSED}, _builds(file, make))
    for number, (words, file) in enumerate(_options()):
        yield Case(f"backgrounds/option-{number}", words, {0, *REFUSED}, _builds(file, _rows))


def _short(method: str) -> tuple[str, ...]:
    return () if method in ("expected_gradients", "dependence") else ("--budget", "400")


def _rows(count: int = 12) -> np.ndarray:  # type: ignore[type-arg]  # of any type
    return np.random.default_rng(0).integers(0, 3, size=(count, 20)).astype(np.float32)


def _builds(file: str, make: Callable[[], object]) -> Build:
    def build(folder: Path) -> None:
        copy_table(folder)
        np.save(folder / "rows.npy", _rows(1))
        content = make()
        if isinstance(content, bytes):
            (folder / file).write_bytes(content)
        elif isinstance(content, dict):
            np.savez(folder / file, **content)
        elif content is not None:
            np.save(folder / file, np.asarray(content), allow_pickle=True)

    return build


def _declared(shape: tuple[int, ...]) -> bytes:
    """An array that says to be huge, and is not."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


def _files() -> dict[str, tuple[str, Callable[[], object]]]:
    lines = _TABLE.read_text().splitlines()
    head, rows = lines[0], lines[1:6]
    changed = {
        "missing column": "\n".join(line.partition(",")[2] for line in (head, *rows)),
        "strange column": "\n".join([f"{head},more", *(f"{row},1" for row in rows)]),
        "columns in another order": "\n".join(",".join(reversed(line.split(","))) for line in (head, *rows)),
        "header alone": head,
        "no header": "\n".join(rows),
        "words for numbers": "\n".join([head, rows[0].replace(rows[0].split(",")[1], "twelve")]),
        "ragged": "\n".join([head, rows[0], rows[1] + ",1"]),
        "semicolons": "\n".join([head, *rows]).replace(",", ";"),
        "unknown words": "\n".join([head, *(row.replace("yes", "moon") for row in rows)]),
        "holes": "\n".join([head, ",".join([""] * len(head.split(",")))]),
        "same row": "\n".join([head, *[rows[0]] * 50]),
        "hostile words": "\n".join([head, rows[0].replace("yes", "\x1b[2J")]),
        "direction marks": "\n".join([head.replace("duration", "\u202eduration"), *rows]),
    }
    tables = {name: ("more.csv", (lambda text=text: text.encode())) for name, text in changed.items()}
    arrays: dict[str, Callable[[], object]] = {
        "empty": lambda: np.zeros((0, 20), np.float32),
        "no rows of nothing": lambda: np.zeros((0,), np.float32),
        "19 columns": lambda: _rows()[:, :19],
        "21 columns": lambda: np.ones((4, 21), np.float32),
        "one row": lambda: _rows(1),
        "one row without an axis": lambda: _rows(1)[0],
        "three axes": lambda: np.ones((4, 20, 1), np.float32),
        "number": lambda: np.float32(3),
        "nan": lambda: np.full((4, 20), np.nan, np.float32),
        "one nan": lambda: np.where(np.eye(4, 20) > 0, np.nan, 1).astype(np.float32),
        "infinite": lambda: np.full((4, 20), np.inf, np.float32),
        "largest": lambda: np.full((4, 20), 3e38, np.float32),
        "double": lambda: np.full((4, 20), 1e300),
        "words": lambda: np.full((4, 20), "x"),
        "objects": lambda: np.full((4, 20), None, dtype=object),
        "complex": lambda: np.ones((4, 20), np.complex64),
        "booleans": lambda: np.ones((4, 20), bool),
        "dates": lambda: np.ones((4, 20), "datetime64[s]"),
        "whole": lambda: np.ones((4, 20), np.int64),
        "big-endian": lambda: np.ones((4, 20), ">f4"),
        "column by column": lambda: np.asfortranarray(_rows()),
        "huge": lambda: _declared((10**9, 20)),
        "huge of other columns": lambda: _declared((10**12, 10**6)),
        "rank 70": lambda: _declared((1,) * 70),
        "truncated": lambda: _declared((12, 20)) + bytes(40),
        "no array": lambda: b"\x93NUMPY",
        "zero bytes": lambda: b"",
        "picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(64),
    }
    found = {name: ("more.npy", make) for name, make in arrays.items()}
    archives: dict[str, Callable[[], object]] = {
        "archive": lambda: {"features": _rows()},
        "archive of another name": lambda: {"nothing": _rows()},
        "archive of several": lambda: {"features": _rows(), "more": _rows()},
        "empty archive": dict,
        "no archive": lambda: b"PK\x03\x04" + bytes(40),
    }
    places: dict[str, tuple[str, Callable[[], object]]] = {
        "nowhere": ("none.csv", lambda: None),
        "suffix": ("more.txt", lambda: b"1,2,3"),
        "no suffix": ("more", lambda: b"1,2,3"),
        "folder": (".", lambda: None),
        "model": ("table.onnx", lambda: None),
        "name of bytes": ("\udcff.npy", lambda: None),
        "long": ("a" * 5000, lambda: None),
    }
    return {**tables, **found, **{name: ("more.npz", make) for name, make in archives.items()}, **places}


def _options() -> Iterator[tuple[tuple[str, ...], str]]:
    tail = ("--background", "more.npy", "--json")
    given = ("explain", "kernel_shap", "table.onnx", "rows.npy", "--budget", "400", *tail)
    for size in ("0", "-1", "1", "x", "9" * 400, "1.5", "nan", "\x1b[2J"):
        yield (*given, "--background-size", size), "more.npy"
    for reduction in ("none", "kmeans", "sample", "\x1b[2J", ""):
        yield (*given, "--background-size", "3", "--background-reduction", reduction), "more.npy"
    yield (*given, "--baseline", "0"), "more.npy"
    yield ("explain", "kernel_shap", "table.onnx", "rows.npy", "--budget", "3", *tail), "more.npy"
    yield ("explain", "rise", "table.onnx", "rows.npy", "--budget", "100", *tail), "more.npy"
    yield ("explain", "saliency", "table.onnx", "rows.npy", *tail), "more.npy"
    yield ("explain", "kernel_shap", "model.onnx", "picture.png", *tail), "more.npy"
