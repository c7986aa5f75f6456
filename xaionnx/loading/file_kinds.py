"""Recognise files that are not ONNX models, and say what to do next.

The sentences start with the verb; the caller adds the path before them.
"""

from __future__ import annotations

import re
import string
import zipfile
from pathlib import Path

_GIVE = "Give the path of the .onnx file."
_PYTORCH = "is a PyTorch file, not an ONNX model. Export it with torch.onnx.export, where the model's code is."
_SAVED_MODEL = "is a TensorFlow SavedModel, not an ONNX model. Convert its folder with tf2onnx."

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the model. Run 'git lfs pull' in its folder."),
    (0, b"\x89PNG\r\n\x1a\n", f"is a PNG picture, not an ONNX model. {_GIVE}"),
    (0, b"\xff\xd8\xff", f"is a JPEG picture, not an ONNX model. {_GIVE}"),
    (0, b"GIF8", f"is a GIF picture, not an ONNX model. {_GIVE}"),
    (0, b"%PDF-", f"is a PDF document, not an ONNX model. {_GIVE}"),
    (0, b"\x1f\x8b", "is a gzip archive, not an ONNX model. Unpack it first."),
    (0, b"\x93NUMPY", f"is a NumPy array, not an ONNX model. {_GIVE}"),
    (0, b"\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras), not an ONNX model. Convert it with tf2onnx."),
    (0, b"GGUF", "is a GGUF file (llama.cpp), not an ONNX model. Export the model to ONNX."),
    (8, b'{"', "is a safetensors file: weights without a model. Export the model to ONNX."),
    (4, b"TFL3", "is a TensorFlow Lite model, not an ONNX model. Convert it with tf2onnx (--tflite)."),
    (4, b"ORTM", "is a model in onnxruntime's own format (.ort). Give the .onnx file from which it was converted."),
)

_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

# Top-level fields of ModelProto by number, with their wire types: 0 is a number, 2 is bytes with a length.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


def by_magic(head: bytes, path: Path) -> str | None:
    """Return a sentence for another file format recognised by its first bytes; None if the file may be ONNX."""
    for offset, magic, sentence in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return sentence
    if head.startswith(b"PK\x03\x04"):
        return _archive_sentence(path)
    if head.startswith(_PICKLES):
        # Before version 1.6 a PyTorch file began with the pickled number 0x1950a86a20f9469cfc6c.
        if head.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19") or b"torch" in head:
            return _PYTORCH
        return "is a Python pickle, not an ONNX model. Export the model to ONNX (scikit-learn: with skl2onnx)."
    return None


def unparsable(head: bytes, data: memoryview) -> str:
    """Return a sentence that says why these bytes cannot be parsed as a model."""
    if _is_text(head):
        return _text_sentence(head)
    expected = _expected_length(data)
    if expected is not None:
        return f"is truncated: {len(data):,} of at least {expected:,} bytes are present. Download or copy it again."
    if _is_saved_model(head):
        return _SAVED_MODEL
    return f"is not an ONNX model, or it is damaged. {_GIVE}"


def no_graph(head: bytes) -> str:
    """Return a sentence that says why a parsed file has no graph."""
    if _is_text(head):
        return _text_sentence(head)
    if _is_saved_model(head):
        return _SAVED_MODEL
    return f"contains no graph: it is truncated, or not an ONNX model. {_GIVE}"


def refuse_folder(shown: str, folder: Path) -> str:
    """Return a sentence that says why a folder is not a model and names the models in it, if any."""
    if (folder / "saved_model.pb").is_file():
        return f"{shown} {_SAVED_MODEL}"
    models = sorted(entry.name for entry in folder.glob("*.onnx"))
    if models:
        listed = ", ".join(models[:5]) + (", ..." if len(models) > 5 else "")
        return f"{shown} is a folder. Give one of the models in it: {listed}."
    return f"{shown} is a folder without .onnx files. {_GIVE}"


def _archive_sentence(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return "is a damaged ZIP archive, not an ONNX model. Download or copy it again."
    if any(re.search(r"(^|/)(data|constants)\.pkl$", name) for name in names):
        return _PYTORCH
    if any(name in ("model.weights.h5", "keras_metadata.pb") for name in names):
        return "is a Keras model, not an ONNX model. Convert it with tf2onnx."
    models = sorted(name for name in names if name.endswith(".onnx"))
    if models:
        return f"is a ZIP archive with '{models[0]}' in it. Unpack it first."
    return f"is a ZIP archive, not an ONNX model. {_GIVE}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise the block ends within a character
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in string.whitespace for character in text)


def _text_sentence(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page (HTML), not an ONNX model. Download the file itself, not the page about it."
    return f"is a text file, not an ONNX model. {_GIVE}"


def _is_saved_model(head: bytes) -> bool:
    # saved_model_schema_version 1, then a meta graph with a MetaInfoDef: no producer's name begins with byte 10.
    return head.startswith(b"\x08\x01\x12") and b"\x0a" in head[3:10]


def _expected_length(data: memoryview) -> int | None:
    """Return the minimum length of a file that begins as a model and ends within a field; None for other files."""
    position = 0
    fields = 0
    while position < len(data):
        try:
            tag, position = _read_varint(data, position)
            field, wire = tag >> 3, tag & 7
            if _MODEL_FIELDS.get(field) != wire:
                return None
            value, position = _read_varint(data, position)
        except IndexError:
            return len(data) + 1 if fields else None
        if wire == 2:
            position += value
        fields += 1
    return position if position > len(data) and fields > 1 else None


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            return value, position
