"""Real and random models, and a picture."""

import numpy as np
import pytest

from tests.explainers import maps, nets
from tests.oracles import cam
from xaionnx import Model


@pytest.fixture(scope="session")
def digits():
    return Model.load("models/mnist_cnn.onnx")


@pytest.fixture(scope="session")
def three():
    with np.load("models/data/mnist_sample.npz") as sample:
        pictures = sample["images"].astype(np.float32)
    return (pictures / pictures.max())[:1].reshape(1, 1, 28, 28)


@pytest.fixture(scope="session")
def curved():
    """Two layers of tanh; ``nets`` has them in float64."""
    return nets.curved()


@pytest.fixture(scope="session")
def random_net(tmp_path_factory):
    """The net of the oracle of class activation maps, and its file."""
    net = cam.Net.random(np.random.default_rng(21))
    return net, maps.opened(tmp_path_factory.mktemp("cam") / "net.onnx", net)
