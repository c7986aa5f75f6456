"""The small trained models are accurate, given only their file, their spec and the data."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

MODELS = Path(__file__).resolve().parents[2] / "models"


def session(name: str) -> ort.InferenceSession:
    return ort.InferenceSession(MODELS / f"{name}.onnx", providers=["CPUExecutionProvider"])


def credit_table(name: str) -> tuple[npt.NDArray[np.float32], list[str]]:
    """All rows coded as the spec says, and their labels."""
    spec = tomllib.loads((MODELS / f"{name}.toml").read_text())["input"]
    with (MODELS / "data" / "german_credit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*spec["columns"], "creditability"] == list(rows[0])
    categories = spec["categories"]
    coded = [
        [float(categories[c].index(row[c]) if c in categories else row[c]) for c in spec["columns"]] for row in rows
    ]
    return np.array(coded, np.float32), [row["creditability"] for row in rows]


def test_the_credit_sample_is_the_first_50_of_1000_rows() -> None:
    every = (MODELS / "data" / "german_credit.csv").read_text().splitlines()
    assert len(every) == 1001
    assert (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines() == every[:51]


def test_digits_cnn() -> None:
    data = load_digits()
    _, held_out = train_test_split(range(len(data.target)), test_size=360, random_state=0, stratify=data.target)
    pixels = (data.images[held_out, None] / 16).astype(np.float32)
    (logits,) = session("digits_cnn").run(None, {"pixels": pixels})
    assert (logits.argmax(1) == data.target[held_out]).mean() > 0.96


@pytest.mark.parametrize("name", ["mnist_cnn", "mnist_vit"])
def test_mnist_classifiers(name: str) -> None:
    sample = np.load(MODELS / "data" / "mnist_sample.npz")
    (logits,) = session(name).run(None, {"pixels": (sample["images"] / 255).astype(np.float32)})
    assert len(sample["labels"]) == 50
    assert (logits.argmax(1) == sample["labels"]).sum() >= 47


def test_decoder_draws_digits() -> None:
    latent = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    (images,) = session("mnist_vae_decoder").run(None, {"latent": latent})
    assert images.shape == (200, 1, 28, 28)
    assert 0 <= images.min() < 0.01 < 0.99 < images.max() <= 1
    (logits,) = session("mnist_cnn").run(None, {"pixels": images})
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    assert len(set(logits.argmax(1))) == 10
    # a classifier is seldom certain about noise; uniform noise is the control
    noise = np.random.default_rng(1).uniform(0, 1, images.shape).astype(np.float32)
    (control,) = session("mnist_cnn").run(None, {"pixels": noise})
    assert len(set(control.argmax(1))) < 5
    assert np.median(probability.max(1)) > 0.6


def test_german_credit_network_reads_the_coded_table() -> None:
    table, labels = credit_table("german_credit_mlp")
    (logits,) = session("german_credit_mlp").run(None, {"features": table})
    right = np.mean([("bad", "good")[k] == label for k, label in zip(logits.argmax(1), labels, strict=True)])
    assert right > 0.7


def test_german_credit_forest_gives_a_zipmap_of_text_labels() -> None:
    table, labels = credit_table("german_credit_forest")
    found, probabilities = session("german_credit_forest").run(None, {"features": table})
    assert isinstance(probabilities, list)
    assert all(
        row.keys() == {"bad", "good"} and sum(row.values()) == pytest.approx(1, abs=1e-5) for row in probabilities
    )
    assert [max(row, key=row.get) for row in probabilities] == list(found)
    assert np.mean([a == b for a, b in zip(found, labels, strict=True)]) > 0.7


def test_network_is_one_hot_at_the_integers_and_smooth_between() -> None:
    table, _ = credit_table("german_credit_mlp")
    run = session("german_credit_mlp").run
    housing = tomllib.loads((MODELS / "german_credit_mlp.toml").read_text())["input"]["columns"].index("housing")
    path = np.repeat(table[:1], 5, axis=0)
    path[:, housing] = [0, 0.25, 0.5, 0.75, 1]
    (logits,) = run(None, {"features": path})
    assert np.ptp(logits[:, 0]) > 1e-3
    assert np.abs(np.diff(logits[:, 0])).min() > 0
