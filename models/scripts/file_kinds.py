"""Train a small network that tells kinds of files by their first 24 and last 8 bytes, and export it with a spec.

The files are made here with random contents: pictures and documents by Pillow, archives, sound and text by the standard
library. Each byte has an embedding of its own for each place, the sum of which is the hidden layer.

Install: scikit-learn==1.9.1 onnx==1.23.2 numpy==2.4.6 pillow==13.0.0. Run: python
models/scripts/file_kinds.py (half a minute)
"""

import gzip
import hashlib
import html
import io
import json
import random
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser
from PIL import Image
from sklearn.neural_network import MLPClassifier

MODELS = Path(__file__).resolve().parents[1]
HEAD, TAIL, PADDING, HIDDEN = 24, 8, 256, 8
EACH = 400
WORDS = ["value", "item", "name", "count", "price", "total", "size", "state", "first", "last", "north", "south"]
WORDS += ["green", "open", "load", "save"]


def words(rng: random.Random, count: int, between: str = " ") -> str:
    return between.join(rng.choice(WORDS) for _ in range(count))


def picture(form: str) -> Callable[[random.Random], bytes]:
    def made(rng: random.Random) -> bytes:
        size = rng.randrange(8, 300), rng.randrange(8, 300)
        pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (4, 4, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize(size).save(file, form)
        return file.getvalue()

    return made


def archive(rng: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as made:
        for number in range(rng.randrange(1, 4)):
            day = rng.randrange(1990, 2026), rng.randrange(1, 13), rng.randrange(1, 28), rng.randrange(24), 0, 0
            made.writestr(zipfile.ZipInfo(f"{words(rng, 2, '/')}{number}.txt", day), words(rng, 50))
    return file.getvalue()


def sound(rng: random.Random) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(rng.choice([1, 2]))
        made.setsampwidth(2)
        made.setframerate(rng.choice([8000, 16000, 44100, 48000]))
        made.writeframes(rng.randbytes(4 * rng.randrange(10, 500)))
    return file.getvalue()


def code(rng: random.Random) -> bytes:
    name = rng.choice(WORDS)
    start = rng.choice(
        ["", "#!/usr/bin/env python3\n", f'"""{words(rng, 5).capitalize()}."""\n\n', f"# {words(rng, 4)}\n"]
    )
    body = rng.choice([f"import {name}\n\n", f"from {name} import {rng.choice(WORDS)}\n\n", ""])
    end = rng.choice([f"    return {name}\n", f"print({name})\n", f"    {name} = {rng.randrange(100)}\n"])
    return f"{start}{body}def {name}({rng.choice(WORDS)}):\n    {words(rng, 3, '_')}()\n{end}".encode()


def page(rng: random.Random) -> bytes:
    start = rng.choice(["<!DOCTYPE html>\n<html>", "<!doctype html><html lang='en'>", "<html>\n<head>", "<html>"])
    return f"{start}<body><p>{html.escape(words(rng, 30))}</p></body></html>{rng.choice(['', chr(10)])}".encode()


def document(rng: random.Random) -> bytes:
    value: object = {
        rng.choice(WORDS): rng.choice([rng.random(), words(rng, 2), [rng.randrange(9)] * 3]) for _ in "1234"
    }
    value = value if rng.random() < 0.7 else [value, value]
    return (json.dumps(value, indent=rng.choice([None, 2, 4])) + rng.choice(["", "\n"])).encode()


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "png": picture("PNG"),
    "jpeg": picture("JPEG"),
    "gif": picture("GIF"),
    "pdf": picture("PDF"),
    "zip": archive,
    "gzip": lambda rng: gzip.compress(words(rng, 200).encode(), mtime=rng.randrange(2**31)),
    "wave": sound,
    "python": code,
    "html": page,
    "json": document,
}


def seen(data: bytes) -> np.ndarray:
    """The numbers of the bytes that the model reads."""
    first, last = list(data[:HEAD]), list(data[-TAIL:])
    return np.array([*first, *[PADDING] * (HEAD - len(first)), *[PADDING] * (TAIL - len(last)), *last])


def files(seed: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    rng = random.Random(seed)
    rows = [(seen(make(rng)), kind) for kind, make in enumerate(KINDS.values()) for _ in range(each)]
    return np.stack([row for row, _ in rows]), np.array([kind for _, kind in rows])


def one_hot(rows: np.ndarray) -> np.ndarray:
    return np.eye(PADDING + 1, dtype=np.float32)[rows].reshape(len(rows), -1)


def main() -> None:
    rows, kinds = files(0, EACH)
    network = MLPClassifier((HIDDEN,), alpha=0.01, max_iter=60, random_state=0, tol=1e-3)
    network.fit(one_hot(rows), kinds)
    other, own = files(1, 100)
    print(f"accuracy on {len(own)} files: {network.score(one_hot(other), own):.3f}")
    length = HEAD + TAIL
    proto = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        file_kinds (int64[N, {length}] bytes) => (float[N, {len(KINDS)}] logits) {{
          rows = Add (bytes, starts)
          embedded = Gather (table, rows)
          sums = ReduceSum <keepdims = 0> (embedded, places)
          shifted = Add (sums, bias)
          hidden = Relu (shifted)
          logits = Gemm (hidden, head, head_bias)
        }}""")
    weights = {
        "starts": np.arange(length, dtype=np.int64) * (PADDING + 1),
        "table": network.coefs_[0].astype(np.float32),
        "places": np.array([1]),
        "bias": network.intercepts_[0].astype(np.float32),
        "head": network.coefs_[1].astype(np.float32),
        "head_bias": network.intercepts_[1].astype(np.float32),
    }
    proto.graph.initializer.extend([numpy_helper.from_array(array, name) for name, array in weights.items()])
    helper.set_model_props(proto, {"classes": ", ".join(KINDS)})
    onnx.checker.check_model(proto, full_check=True)
    path = MODELS / "file_kinds.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    names = ", ".join(f'"{kind}"' for kind in KINDS)
    (MODELS / "file_kinds.toml").write_text(
        f'[input]\nname = "bytes"\nkind = "bytes"\nhead = {HEAD}\ntail = {TAIL}\npadding = {PADDING}\n\n'
        f'[output]\nname = "logits"\nactivation = "logits"\nlabels = [{names}]\n'
    )
    print(f"{path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
