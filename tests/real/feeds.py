"""Sensible inputs: photographs and drawn text, a synthesised voice, tokens, rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.real.catalogue import Entry, Input

PHOTOS = Path(__file__).parents[2] / "models" / "photos"
Array = np.ndarray[Any, Any]


def feeds_of(entry: Entry) -> dict[str, Array]:
    """One sample of every input."""
    return {name: make(given) for name, given in entry.inputs.items()}


def make(given: Input) -> Array:
    """The array of an input."""
    kind = next(key for key in given.make if key in MAKERS)
    return MAKERS[kind](given, given.make)


def _picture(given: Input, make: dict[str, Any]) -> Array:
    height, width = make["size"]
    if "photo" in make:
        with Image.open(PHOTOS / make["photo"]) as file:
            image = file.convert("RGB").crop(make.get("box", (0, 0, *file.size)))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    else:
        image = _drawn(make["text"], width, height)
    mean, scale = np.array(make["mean"]), np.array(make["scale"])
    pixels = np.asarray(image, dtype=np.float64)
    # A blank page has ties in every pooling, where a model has no one slope.
    pixels = pixels + make.get("grain", 0) * np.random.default_rng(4).normal(size=pixels.shape)
    if make.get("color") == "BGR":
        pixels = pixels[..., ::-1]
    if len(mean) == 1:
        pixels = pixels.mean(axis=2, keepdims=True)
    tensor = (pixels - mean) / scale
    half = given.make["size"] == [712, 488]
    ordered = tensor if given.roles[-1] == "C" else np.moveaxis(tensor, -1, 0)
    return ordered[None].astype(np.float16 if half else np.float32)


def _drawn(text: str, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(min(0.7 * height, 1.6 * width / len(text)))
    ImageDraw.Draw(image).text((width / 2, height / 2), text, "black", font, anchor="mm")
    return image


def _bands(given: Input, make: dict[str, Any]) -> Array:
    """Bands of a satellite from the colours of a photograph: reflectances from 0 to 0.6."""
    with Image.open(PHOTOS / make["bands"]) as file:
        pixels = np.asarray(file.convert("RGB").resize(make["size"]), dtype=np.float32) / 255
    bands = [pixels[..., channel % 3] * (0.6 - 0.05 * channel) for channel in range(make["count"])]
    return np.stack(bands)[None].astype(np.float32)


def voice(samples: int, rate: int, pitch: float = 140.0, noise: float = 0.005) -> Array:
    """A vowel with vibrato and a slow envelope, and a little noise: (samples,)."""
    time = np.arange(samples) / rate
    phase = 2 * np.pi * pitch * time + 0.3 * np.sin(2 * np.pi * 5 * time)
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * time / max(time[-1], 1e-9) * 1.5)
    return (0.2 * envelope * tone + noise * np.random.default_rng(0).normal(size=samples)).astype(np.float32)


def _voice(given: Input, make: dict[str, Any]) -> Array:
    wave = voice(make["voice"], make["rate"], make.get("pitch", 140.0), make.get("noise", 0.005))[None]
    return wave[..., None] if make.get("axis") else wave


def _frames(given: Input, make: dict[str, Any]) -> Array:
    count, length = make["frames"]
    return voice(count * length, make["rate"]).reshape(count, length)


def _noise(given: Input, make: dict[str, Any]) -> Array:
    drawn = np.random.default_rng(1).normal(size=make["noise"])
    return (drawn * make.get("scale", 1) + make.get("mean", 0)).astype(np.float32)


def _positive(given: Input, make: dict[str, Any]) -> Array:
    drawn = np.random.default_rng(2).uniform(size=make["positive"]) * make["scale"]
    return drawn.astype(np.float64 if make.get("double") else np.float32)


def _binary(given: Input, make: dict[str, Any]) -> Array:
    return (np.random.default_rng(3).uniform(size=make["binary"]) < 0.2).astype(np.float32)


def _tokens(given: Input, make: dict[str, Any]) -> Array:
    kind = np.float32 if make.get("float") else np.int32 if make.get("int32") else np.int64
    return np.array(make["tokens"], dtype=kind)


def _scalar(given: Input, make: dict[str, Any]) -> Array:
    value = make["scalar"]
    return np.array(value, dtype=np.int64 if isinstance(value, int) else np.float32)


def _characters(given: Input, make: dict[str, Any]) -> Array:
    """One-hot rows of the printable characters in the order of their codes, after two that stand for none and other."""
    rows = np.zeros((1, make["length"], make["count"]), dtype=np.float32)
    for place, letter in enumerate(make["characters"]):
        rows[0, place, 2 + ord(letter) - 32] = 1
    return rows


MAKERS: dict[str, Callable[[Input, dict[str, Any]], Array]] = {
    "photo": _picture,
    "text": _picture,
    "bands": _bands,
    "voice": _voice,
    "frames": _frames,
    "noise": _noise,
    "positive": _positive,
    "binary": _binary,
    "tokens": _tokens,
    "scalar": _scalar,
    "characters": _characters,
}
