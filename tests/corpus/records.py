"""Bad records and patterns: cut, flipped, of other parts, and of sizes that are not there."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus.arrays import saved, zipped
from tests.corpus.case import DATA, Build, Case
from xaionnx.explanation import Explanation
from xaionnx.patterns import Patterns


def cases() -> Iterator[Case]:
    for kind in ("record", "patterns"):
        words = ("load", kind, "bad.npz")
        for number in range(16):
            yield Case(f"records/{kind}-truncated-{number}", words, {DATA}, _damaged(kind, number, cut=True))
        for number in range(40):
            yield Case(f"records/{kind}-flipped-{number}", words, {0, DATA}, _damaged(kind, number, cut=False))
        for name, content in _other().items():
            yield Case(f"records/{kind}-other-{name}", words, {DATA}, _writes(content))
        yield Case(f"records/{kind}-missing", words, {DATA})
        yield Case(f"records/{kind}-folder", words, {DATA}, lambda folder: (folder / "bad.npz").mkdir())
        yield Case(f"records/{kind}-device", words, {DATA}, lambda folder: (folder / "bad.npz").symlink_to("/dev/zero"))
    for name, change in _record_changes().items():
        yield Case(f"records/record-with-{name}", ("load", "record", "bad.npz"), {DATA}, _changed("record", change))
    for name, change in _pattern_changes().items():
        yield Case(
            f"records/patterns-with-{name}", ("load", "patterns", "bad.npz"), {DATA}, _changed("patterns", change)
        )


def _make(kind: str, path: Path) -> None:
    if kind == "record":
        Explanation(
            "occlusion",
            np.ones((2, 3), np.float32),
            np.array(["y[0]", "y[1]"]),
            np.array([2.0, 3.0]),
            feature_values=np.ones((2, 3)),
            features=np.arange(3, dtype=np.int32)[None],
            standard_error=np.ones((2, 3)),
            maps={"extra": np.ones((2, 5))},
            diagnostics={"evaluations": [3, 3], "seconds": 1.0},
            provenance={"value_kind": "contribution", "model": "m.onnx"},
        ).save(path)
    else:
        Patterns({"y": np.ones((1, 3), np.float32)}, "0" * 64, "linear", 5, 1, 0, 0, {"y": 1.0}).save(path)


def _writes(content: bytes) -> Build:
    return lambda folder: (folder / "bad.npz").write_bytes(content)


def _damaged(kind: str, number: int, cut: bool) -> Build:
    def build(folder: Path) -> None:
        _make(kind, folder / "bad.npz")
        rng, data = random.Random(number), bytearray((folder / "bad.npz").read_bytes())
        if cut:
            data = data[: len(data) * (number + 1) // 18]
        else:
            # Half of the flips are in the directory at the end.
            for _ in range(1 + number % 3):
                data[rng.randrange(len(data)) if number % 2 else -1 - rng.randrange(len(data) // 3)] ^= (
                    1 << rng.randrange(8)
                )
        (folder / "bad.npz").write_bytes(data)

    return build


def _other() -> dict[str, bytes]:
    return {
        "empty": b"",
        "text": b"hello\n",
        "npy": saved(np.ones(3)),
        "zip": zipped({"a.txt": b"hello"}),
        "no members": zipped({}),
        "arrays": zipped({"a.npy": saved(np.ones(3))}),
        "text in place": zipped({"record.npy": b"hello", "about.npy": b"hello"}),
        "numbers in place": zipped({"record.npy": saved(np.ones(3)), "about.npy": saved(np.ones(3))}),
        "objects in place": zipped({f"{n}.npy": saved(np.array([{}], object)) for n in ("record", "about")}),
        "nothing in place": zipped({f"{n}.npy": saved(np.zeros(0, np.uint8)) for n in ("record", "about")}),
        "not UTF-8": zipped({f"{n}.npy": saved(np.full(9, 255, np.uint8)) for n in ("record", "about")}),
        "deep": zipped(
            {"record.npy": saved(np.full(10**5, ord("["), np.uint8)), "about.npy": saved(np.array("[" * 10**5))}
        ),
        "a list": zipped({"record.npy": saved(np.frombuffer(b"[1]", np.uint8)), "about.npy": saved(np.array("[1]"))}),
        "5,000 digits": zipped(
            {"record.npy": saved(np.full(5000, ord("9"), np.uint8)), "about.npy": saved(np.array("9" * 5000))}
        ),
        "a terabyte": zipped(
            {f"{n}.npy": saved(np.zeros(1)).replace(b"(1,), ", b"(999999999999,), ") for n in ("record", "about")}
        ),
    }


def _changed(kind: str, change: Any) -> Build:
    """Change the JSON of a good file, or its arrays."""

    def build(folder: Path) -> None:
        path = folder / "bad.npz"
        _make(kind, path)
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        key = "record" if kind == "record" else "about"
        text = arrays[key].tobytes().decode() if kind == "record" else str(arrays[key])
        about = json.loads(text)
        change(about, arrays)
        text = json.dumps(about)
        arrays[key] = np.frombuffer(text.encode(), np.uint8) if kind == "record" else np.array(text)
        np.savez_compressed(path, **arrays)

    return build


def _put(key: str, value: Any) -> Any:
    return lambda about, arrays: about.update({key: value})


def _array(field: str, array: Any) -> Any:
    def change(about: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["new"] = array
        about[field] = {"array": "new"}

    return change


def _record_changes() -> dict[str, Any]:
    def drop(about: dict[str, Any], arrays: dict[str, Any]) -> None:
        del about["values"]

    return {
        "another format": _put("format", 99),
        "a format in words": _put("format", "one"),
        "an unknown field": _put("strange", 1),
        "no values": drop,
        "values of no array": _put("values", {"array": "nothing"}),
        "values as a number": _put("values", 3),
        "values of text": _array("values", np.array([["a", "b"]])),
        "values of other samples": _array("values", np.ones((7, 3))),
        "values of rank 0": _array("values", np.float32(1)),
        "a target of rank 0": _array("target", np.array("y")),
        "a target of rank 3": _array("target", np.array([[["y"]]])),
        "a target of numbers": _array("target", np.ones(2)),
        "no targets": _array("target", np.zeros(0, "U1")),
        "a target as text": _put("target", "y"),
        "a prediction of other samples": _array("prediction", np.ones(5)),
        "a prediction of text": _array("prediction", np.array(["a", "b"])),
        "a baseline prediction of other samples": _array("baseline_prediction", np.ones(5)),
        "feature values of other samples": _array("feature_values", np.ones((5, 3))),
        "feature values of text": _array("feature_values", np.array([["a"], ["b"]])),
        "errors of other players": _array("standard_error", np.ones((2, 9))),
        "features of floats": _array("features", np.ones((1, 3))),
        "features of other samples": _array("features", np.zeros((5, 3), np.int32)),
        "features out of range": _array("features", np.full((1, 3), 99, np.int32)),
        "features of another shape": _array("features", np.zeros((1, 4), np.int32)),
        "a method as a number": _put("method", 3),
        "diagnostics as a list": _put("diagnostics", [1]),
        "provenance as text": _put("provenance", "mine"),
        "maps as a number": _put("maps", 3),
        "maps of other samples": lambda about, arrays: arrays.update(
            {about["maps"]["arrays"]["extra"]["array"]: np.ones((9, 5))}
        ),
        "a display of nothing": _put("display", {"x": {}}),
        "a display as a number": _put("display", 3),
        "a display of an unknown kind": _put(
            "display", {"x": {"kind": "film", "array": {"array": "a0"}, "names": [], "channel": 0, "size": None}}
        ),
        "an axis out of range": _put("provenance", {"sample_axes": {"x": 9}}),
        "inputs as a number": _put("provenance", {"inputs": 3}),
    }


def _pattern_changes() -> dict[str, Any]:
    return {
        "another format": _put("format", 99),
        "layers as a number": _put("layers", 3),
        "another layer": _put("layers", ["y", "z"]),
        "a layer as a number": _put("layers", [3]),
        "samples in words": _put("samples", "many"),
        "samples below 0": _put("samples", -3),
        "a hash as a number": _put("model_sha256", 3),
        "an unknown estimator": _put("estimator", "magic"),
        "gains in words": _put("gains", {"y": "much"}),
        "gains as a list": _put("gains", [1]),
        "gains of another layer": _put("gains", {"z": 1.0}),
        "patterns of text": lambda about, arrays: arrays.update(pattern_0=np.array(["a"])),
        "patterns that are not finite": lambda about, arrays: arrays.update(pattern_0=np.array([[np.nan]])),
        "patterns of rank 0": lambda about, arrays: arrays.update(pattern_0=np.float32(1)),
    }
