"""Files of several inputs by name, sounds and dates that are none, and comparisons of nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests.corpus.case import REFUSED, Build, Case

_JOINT = ("explain", "feature_ablation", "both.onnx")


def cases() -> Iterator[Case]:
    for number, files in enumerate(_FILES):
        yield Case(f"several/files-{number}", (*_JOINT, *files, "--json"), {0, *REFUSED}, _two_inputs)
    for name, content in _sounds().items():
        words = ("explain", "occlusion", "sound.onnx", "bad.wav", "--window", "8", "--stride", "8", "--json")
        yield Case(f"several/sound-{name}", words, {0, *REFUSED}, _sound("bad.wav", content))
    for name, line in _times().items():
        words = ("explain", "occlusion", "sound.onnx", "x.npy", "--window", "8", "--stride", "8", "--json")
        yield Case(f"several/time-{name}", words, {0, *REFUSED}, _sound("more.wav", b"", line))
    for number, text in enumerate(_DATES):
        words = ("explain", "occlusion", "sound.onnx", "series.csv", "--window", "8", "--stride", "8", "--json")
        rows = "\n".join(["time,value", *(f"{text},{k}" for k in range(32))])
        yield Case(f"several/date-{number}", words, {0, *REFUSED}, _sound("series.csv", rows.encode()))
    for number, words in enumerate(_comparisons()):
        yield Case(f"several/compare-{number}", ("compare", *words, "--json"), {0, *REFUSED}, _two_inputs)


def _two_inputs(folder: Path) -> None:
    text = (
        "g (float[N,3] a, float[N,2] b) => (float[N,2] y) "
        "{ c = Concat<axis=1>(a, b) s = ReduceSum<keepdims=1>(c) y = Sub(b, s) }"
    )
    graph = onnx.parser.parse_graph(text)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "both.onnx")
    np.save(folder / "a.npy", np.ones((2, 3), np.float32))
    np.save(folder / "b.npy", np.ones((2, 2), np.float32))
    np.save(folder / "three.npy", np.ones((3, 2), np.float32))
    (folder / "a=b.npy").write_bytes((folder / "a.npy").read_bytes())
    (folder / "row.csv").write_text("p,q\n1,2\n")


_FILES = (
    ("a=a.npy", "b=b.npy"),
    ("a=a.npy",),
    ("a=a.npy", "b.npy"),
    ("a.npy", "b.npy"),
    ("a=a.npy", "a=a.npy"),
    ("a=a.npy", "b=three.npy"),
    ("a=b.npy", "b=a.npy"),
    ("a=a.npy", "c=b.npy"),
    ("a=", "b=b.npy"),
    ("=a.npy", "b=b.npy"),
    ("a=nothing.npy", "b=b.npy"),
    ("a=a.npy", "b=picture.png"),
    ("a=a.npy", "b=row.csv"),
    ("a=row.csv", "b=row.csv"),
    ("a=a.npy", "b=."),
    ("a=a.npy", "b=both.onnx"),
    ("a=b.npy",),
    ("a=a=b.npy", "b=b.npy"),
    ("\x1b[2J=a.npy", "b=b.npy"),
    ("a=a.npy", "b=\x1b[2J"),
    ("\u202ea=a.npy", "b=b.npy"),
    ("a=a.npy", "b=" + "b" * 5000),
    ("a=a.npy", "b=\udcff.npy"),
    ("a=a.npy", "b=b.npy", "--rows", "0"),
    ("a=a.npy", "b=b.npy", "--rows", "9"),
    ("a=a.npy", "b=b.npy", "more=more.npy"),
)


def _sound(file: str, content: bytes, line: str = "rate = 16000") -> Build:
    def build(folder: Path) -> None:
        graph = onnx.parser.parse_graph(
            "g (float[N,32] x) => (float[N,1] y) { y = ReduceMean<axes=[1], keepdims=1>(x) }"
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, folder / "sound.onnx")
        spec = f'[input]\nkind = "series"\nname = "x"\naxes = "N,T"\n{line}\n'
        (folder / "sound.toml").write_text(spec)
        np.save(folder / "x.npy", np.ones((1, 32), np.float32))
        (folder / file).write_bytes(content)

    return build


def wave(
    samples: bytes, *, form: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, size: int | None = None
) -> bytes:
    """A file of sound, whose header may lie."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", form, channels, rate, (rate * block) % 2**32, block % 2**16, bits)
    length = len(samples) if size is None else size
    data = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", length) + samples
    return b"RIFF" + struct.pack("<I", (4 + len(data)) % 2**32) + b"WAVE" + data


def _sounds() -> dict[str, bytes]:
    good = np.arange(32, dtype="<i2").tobytes()
    return {
        "good": wave(good),
        "empty": b"",
        "head alone": b"RIFF\0\0\0\0WAVE",
        "no samples": wave(b""),
        "too short": wave(good[:10]),
        "too long": wave(good * 50),
        "truncated": wave(good)[:-20],
        "says more": wave(good, size=2**31),
        "says 4 GB": wave(good, size=2**32 - 1),
        "odd byte": wave(good[:-1]),
        "rate of 0": wave(good, rate=0),
        "other rate": wave(good, rate=8000),
        "largest rate": wave(good, rate=2**32 - 1),
        "no channels": wave(good, channels=0),
        "two channels": wave(good, channels=2),
        "65,535 channels": wave(good, channels=2**16 - 1),
        "8 bits": wave(good, bits=8),
        "24 bits": wave(good, bits=24),
        "12 bits": wave(good, bits=12),
        "0 bits": wave(good, bits=0),
        "floats": wave(np.ones(32, "<f4").tobytes(), form=3, bits=32),
        "floats that are none": wave(np.full(32, np.nan, "<f4").tobytes(), form=3, bits=32),
        "mu-law": wave(good, form=7, bits=8),
        "unknown form": wave(good, form=0x9999),
        "mp3": b"ID3\x03" + bytes(100),
        "flac": b"fLaC" + bytes(100),
        "big-endian": b"RIFX" + bytes(60),
        "of 64 bits": b"RF64" + bytes(60),
        "chunk of no end": b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xff",
        "chunks of nothing": b"RIFF\x00\x01\x00\x00WAVE" + b"junk\0\0\0\0" * 5000,
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }


def _times() -> dict[str, str]:
    return {
        "rate 0": "rate = 0",
        "rate below 0": "rate = -1",
        "rate nan": "rate = nan",
        "rate inf": "rate = inf",
        "rate largest": "rate = 1e308",
        "rate smallest": "rate = 1e-320",
        "rate 5,000 digits": f"rate = {'9' * 5000}",
        "rate in words": 'rate = "16 kHz"',
        "rate and step": 'rate = 1.0\nstep = "1 s"',
        "step empty": 'step = ""',
        "step 0": 'step = "0 s"',
        "step of no unit": 'step = "3"',
        "step of a strange unit": 'step = "3 fortnights"',
        "step huge": 'step = "1e300 d"',
        "step hostile": 'step = "1 \\u001b[2J"',
        "step a number": "step = 3",
        "start nan": "rate = 1.0\nstart = nan",
        "start in words": 'rate = 1.0\nstart = "yesterday"',
        "start without a day": 'rate = 1.0\nstart = "2024-02-31"',
        "start far": 'step = "1000 weeks"\nstart = "9999-12-31"',
        "start before years": 'step = "1 d"\nstart = "0000-01-01"',
        "start a date": 'step = "1 d"\nstart = 2024-03-01',
        "start a time": 'step = "1 h"\nstart = 2024-03-01T00:00:00+25:00',
        "start hostile": 'rate = 1.0\nstart = "\\u202e2024"',
        "start of a unit without seconds": 'step = "1 kg"\nstart = "2024-03-01"',
        "channels": 'rate = 1.0\nchannel_names = ["a", "b", "c"]',
        "hostile channel": 'rate = 1.0\nchannel_names = ["\\u001b[2J"]',
    }


_DATES = (
    "",
    "nan",
    "2024-13-40",
    "yesterday",
    "1",
    "2024-03-01",
    "9" * 22,
    "\x1b[2J",
    "\u202e1",
    "1e400",
)


def _comparisons() -> tuple[tuple[str, ...], ...]:
    two = ("--methods", "saliency,feature_ablation")
    return (
        (),
        ("model.onnx",),
        ("model.onnx", "array.npy"),
        ("model.onnx", "array.npy", "--methods", ""),
        ("model.onnx", "array.npy", "--methods", ","),
        ("model.onnx", "array.npy", "--methods", "saliency"),
        ("model.onnx", "array.npy", "--methods", "saliency,"),
        ("model.onnx", "array.npy", "--methods", "saliency,saliency"),
        ("model.onnx", "array.npy", "--methods", "saliency,nothing"),
        ("model.onnx", "array.npy", "--methods", "saliency,\x1b[2J"),
        ("model.onnx", "array.npy", "--methods", "saliency,tree_shap"),
        ("model.onnx", "array.npy", "--methods", "tree_shap,saliency"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient,attention_rollout"),
        ("model.onnx", "array.npy", "--methods", ",".join(["saliency"] * 5000)),
        ("model.onnx", "array.npy", "--methods", "saliency,occlusion", "--rows", "0"),
        ("model.onnx", "array.npy", "--methods", "saliency,occlusion", "--rows", "9"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--target", "99"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--target", "\x1b[2J"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--top", "0"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--budget", "0"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--seed", "-1"),
        ("model.onnx", "array.npy", "--methods", "saliency,kernel_shap", "--budget", "3"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "-o", "out.txt"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "-o", "nothing/out.png"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "-o", "array.npy"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "-o", "model.onnx"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "-o", "picture.png"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--device", "tpu"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--spec", "picture.png"),
        ("model.onnx", "array.npy", "--methods", "saliency,input_x_gradient", "--timeout", "x"),
        ("model.onnx", "nothing.npy", *two),
        ("model.onnx", "", *two),
        ("model.onnx", "\udcff.npy", *two),
        ("model.onnx", ".", *two),
        ("model.onnx", "model.onnx", *two),
        ("model.onnx", "b.npy", *two),
        ("nothing.onnx", "array.npy", *two),
        ("picture.png", "array.npy", *two),
        ("both.onnx", "a.npy", *two),
        ("both.onnx", "a=a.npy", *two),
        ("model.onnx", "array.npy", *two, "--background", "nothing.npy"),
        ("model.onnx", "array.npy", *two, "--background", "b.npy"),
        ("model.onnx", "array.npy", "--methods", "kernel_shap,lime", "--background", "b.npy"),
        ("model.onnx", "array.npy", "--methods", "kernel_shap,lime", "--background", "picture.png"),
    )
