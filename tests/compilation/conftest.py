"""A model to compile, and samples for it."""

import numpy as np
import pytest

from xaionnx import Model


@pytest.fixture(scope="session")
def digits():
    return Model.load("models/mnist_cnn.onnx", "cpu")


@pytest.fixture(scope="session")
def x():
    return np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
