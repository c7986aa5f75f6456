"""Pictures of real models' explanations, from the model file to the pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xaionnx
from xaionnx import render

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def digits():
    model = xaionnx.Model.load(MODELS / "mnist_cnn.onnx")
    with np.load(MODELS / "data" / "mnist_sample.npz") as sample:
        tensor = model.spec.to_tensor(sample["images"][:3].reshape(-1, 28, 28))
    return model, tensor, model.spec.to_pictures(tensor)


def red(image):
    pixels = np.asarray(image).astype(int)
    return (pixels[..., 0] - pixels[..., 2] > 80) & (pixels[..., 0] - pixels[..., 1] > 80)


def test_the_red_of_a_digit_lies_on_its_strokes(digits):
    model, tensor, pictures = digits
    found = xaionnx.explain(model, tensor, "feature_ablation", features="pixels")
    plain = np.asarray(render.overlay(found, pictures, sample=1, background="photo", sign="positive"))
    values = found.values[1, 0]
    hot = np.unravel_index(values.argmax(), values.shape)
    left = 14 + 15 * hot[1] + 7
    assert red(plain[:, left : left + 1]).sum() >= 15
    # Removing black pixels changes nothing, so no black pixel is coloured.
    assert (values[pictures[1, ..., 0] == 0] == 0).all()


def test_a_sheet_and_the_positions_of_digits(digits):
    model, tensor, pictures = digits
    occlusion = xaionnx.explain(model, tensor, "occlusion", window=7, stride=7)
    grid = xaionnx.explain(model, tensor, "feature_ablation", features="grid")
    sheet = render.sheet([occlusion, grid], pictures)
    assert sheet.height > 3 * 308
    assert red(sheet).any()
    positions = render.positions(occlusion, pictures, sample=2, labels=model.spec.labels or None)
    assert positions.width == 4 * 300 + 3 * 14 + 2 * 14


def test_superpixels_of_a_photograph():
    model = xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx")
    with Image.open(MODELS / "photos" / "coffee.jpg") as photo:
        tensor = model.spec.to_tensor([np.asarray(photo.convert("RGB"))])
    picture = model.spec.to_pictures(tensor)
    found = xaionnx.explain(model, tensor, "feature_ablation", baseline="blur")
    image = render.overlay(found, picture, top=3)
    strongest = np.argsort(-np.abs(found.feature_values[0]))[:3]
    area = np.isin(found.features[0, 0], strongest).sum() * 4  # shown twice as large along each side
    page = np.asarray(image)[40:-80, 14 : 14 + 448].astype(int)
    coloured = (page.max(axis=2) - page.min(axis=2) > 25).sum()
    assert coloured == pytest.approx(area, rel=0.2)
