"""The models folder: every file has a source, and the models agree with the facts in SOURCES.md."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from tests.tolerances import Tolerance, assert_close
from xaionnx.typing import Array

MODELS = Path(__file__).resolve().parents[2] / "models"
ONNX_FILES = sorted(MODELS.glob("*.onnx"))


def recorded() -> dict[str, str]:
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (MODELS / "SOURCES.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a file has two rows"
    return dict(rows)


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    files = [*ONNX_FILES, *(MODELS / "photos").iterdir(), *(MODELS / "data").glob("*"), *MODELS.glob("*.json")]
    present = {file.relative_to(MODELS).as_posix() for file in files}
    assert present == set(recorded())


@pytest.mark.parametrize(("name", "digest"), sorted(recorded().items()))
def test_sha256_is_the_recorded_one(name: str, digest: str) -> None:
    assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == digest


def test_folder_stays_small() -> None:
    assert sum(file.stat().st_size for file in MODELS.rglob("*") if file.is_file()) < 40e6
    assert all(photo.stat().st_size < 400e3 for photo in (MODELS / "photos").iterdir())


@pytest.mark.parametrize("path", ONNX_FILES, ids=lambda path: path.stem)
def test_spec_names_tensors_of_the_model(path: Path) -> None:
    spec = tomllib.loads(path.with_suffix(".toml").read_text())
    graph = onnx.load(path).graph
    assert spec["input"]["name"] in {value.name for value in graph.input}
    assert spec["output"]["name"] in {value.name for value in graph.output}
    assert spec["input"]["kind"] in {"picture", "table", "array", "text", "bytes"}
    assert spec["output"]["activation"] in {"logits", "softmax", "sigmoid", "none"}
    labels = spec["output"].get("labels")
    if isinstance(labels, str):
        assert len(json.loads((path.parent / labels).read_text())) == 1000


def _some_rows(entry: ort.NodeArg) -> Array:
    """Three rows of numbers from 0 to 1, or of the numbers of 7 tokens; a mask is 1."""
    free = 0 if entry.name.startswith("past") else 7
    shape = (3, *(size if isinstance(size, int) else free for size in entry.shape[1:]))
    rng = np.random.default_rng(0)
    if entry.type == "tensor(int64)":
        return np.ones(shape, np.int64) if "mask" in entry.name else rng.integers(0, 60, shape)
    return rng.uniform(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("path", ONNX_FILES, ids=lambda path: path.stem)
def test_model_is_standard_and_its_batch_axis_is_free(path: Path) -> None:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    assert next(entry.version for entry in model.opset_import if entry.domain == "") >= 17
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {entry.name: _some_rows(entry) for entry in session.get_inputs()}
    together = session.run(None, feeds)
    alone = [session.run(None, {name: x[n : n + 1] for name, x in feeds.items()}) for n in range(3)]
    for k, output in enumerate(together):
        for i in range(3):
            if isinstance(output, list):  # ZipMap: a probability by class for each row
                assert output[i].keys() == alone[i][k][0].keys()
                assert_close(list(output[i].values()), list(alone[i][k][0].values()), Tolerance.ORDER_ONE)
            elif output.dtype == object:  # text labels
                assert output[i] == alone[i][k][0]
            else:
                # Kernels for one row and for three add in different orders, which causes only float32 rounding.
                assert_close(output[i], alone[i][k][0], Tolerance.DEEP)


def classify(photo: str, resize: str) -> tuple[int, float]:
    """Top class and its probability, pictures prepared by hand as efficientnet_lite0.toml says."""
    picture = Image.open(MODELS / "photos" / photo).convert("RGB")
    if resize == "crop":
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    x = ((pixels - 127) / 128).transpose(2, 0, 1)[None]
    session = ort.InferenceSession(MODELS / "efficientnet_lite0.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": x})
    exponentials = np.exp(logits[0] - logits[0].max())
    return int(logits[0].argmax()), float(exponentials.max() / exponentials.sum())


@pytest.mark.parametrize(
    ("photo", "resize", "label", "least"),
    [
        ("cat.png", "stretch", 285, 0.7),
        ("cat.png", "crop", 285, 0.3),
        ("coffee.jpg", "stretch", 967, 0.85),
        ("coffee.jpg", "crop", 967, 0.9),
        ("camera.png", "crop", 872, 0.9),
        ("rocket.jpg", "crop", 657, 0.2),
        ("china.jpg", "crop", 698, 0.25),
        ("flower.jpg", "crop", 985, 0.15),
    ],
)
def test_efficientnet_knows_the_photographs(photo: str, resize: str, label: int, least: float) -> None:
    found, probability = classify(photo, resize)
    assert found == label
    assert probability > least


def test_labels_name_what_the_photographs_show() -> None:
    labels = json.loads((MODELS / "imagenet_labels.json").read_text())
    assert len(labels) == 1000
    assert [labels[k] for k in (285, 967, 872, 985)] == ["Egyptian Mau", "espresso", "tripod", "daisy"]


def test_segmentation_finds_the_astronaut_and_not_the_flag() -> None:
    picture = Image.open(MODELS / "photos" / "astronaut.jpg").resize((256, 256), Image.Resampling.BILINEAR)
    session = ort.InferenceSession(MODELS / "selfie_segmentation.onnx", providers=["CPUExecutionProvider"])
    (mask,) = session.run(["mask"], {"input": np.asarray(picture, np.float32)[None] / 255})
    assert mask.shape == (1, 256, 256, 1)
    face, flag, shuttle = mask[0, 40:70, 100:125], mask[0, 20:100, 5:40], mask[0, 60:110, 185:210]
    assert face.min() > 0.9
    assert max(flag.max(), shuttle.max()) < 0.1
