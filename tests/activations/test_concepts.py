"""The sheet of the concepts of a self-explaining network."""

import numpy as np
import pytest

import xaionnx
from tests.tiny import trained
from xaionnx.errors import UnsupportedModelError
from xaionnx.render import activation_sheet


@pytest.fixture(scope="module")
def digits():
    return np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255


def test_the_inputs_with_most_of_each_concept(digits):
    model = trained("mnist_senn")
    sheet = xaionnx.show_activations(model, "concepts", digits, count=4)
    h = model.run({"pixels": digits})["concepts"]
    expected = -np.sort(-h, axis=0)[:4].T
    np.testing.assert_allclose(sheet.numbers["values"], expected, rtol=1e-5)
    assert [row.name.split(":")[0] for row in sheet.rows] == [f"concept {k}" for k in range(5)]
    assert activation_sheet(sheet).width >= 600


def test_a_sample_beside_them_adds_up(digits):
    model = trained("mnist_senn")
    sheet = xaionnx.show_activations(model, "concepts", digits, count=2, sample=digits[7:8], label="3")
    logits = model.run({"pixels": digits[7:8]})["logits"][0]
    np.testing.assert_allclose(sheet.numbers["contributions"].sum(), logits[3], rtol=1e-3)
    sizes = np.abs([float(row.name.split(": ")[1]) for row in sheet.rows])
    assert (np.diff(sizes) <= 0).all()
    assert sheet.title.startswith("Concepts of 3 (3), ")


def test_other_models_are_refused(digits):
    with pytest.raises(UnsupportedModelError, match=r"Nothing says which outputs of mnist_cnn.onnx are the concepts"):
        xaionnx.show_activations(trained("mnist_cnn"), "concepts", digits)
