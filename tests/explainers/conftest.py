"""A real model and a picture for it."""

import numpy as np
import pytest

from xaionnx import Model


@pytest.fixture(scope="session")
def digits():
    return Model.load("models/mnist_cnn.onnx")


@pytest.fixture(scope="session")
def three():
    with np.load("models/data/mnist_sample.npz") as sample:
        pictures = sample["images"].astype(np.float32)
    return (pictures / pictures.max())[:1].reshape(1, 1, 28, 28)
