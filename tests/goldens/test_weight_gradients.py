"""Gradients with respect to weights equal those of PyTorch; see make_weight_gradients.py."""

from pathlib import Path

import numpy as np
import pytest

from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient

FOLDER = Path(__file__).parent / "weight_gradients"
PREFIX = "gradient:"


@pytest.mark.parametrize("name", ["pictures", "tokens"])
def test_gradients_of_weights_equal_those_of_pytorch(name):
    golden = np.load(FOLDER / f"{name}.npz")
    model = Model.load(FOLDER / f"{name}.onnx", device="cpu")
    expected = {key.removeprefix(PREFIX): golden[key] for key in golden.files if key.startswith(PREFIX)}
    assert len(expected) > 15
    feeds = {"x": golden["x"]}
    found = gradient(model, "out", list(expected), sample=feeds)
    assert not found.approximations
    out, slopes = found.run(feeds, golden["cotangent"])
    assert_close(out, golden["out"], Tolerance.SIGNED_LAYERS)
    for weight, slope in expected.items():
        assert slopes[weight].shape == slope.shape
        # A bias ahead of a normalisation has the gradient 0, and rounding beside it.
        assert_close(slopes[weight], slope, Tolerance.SIGNED_LAYERS, max(np.abs(slope).max(), 0.1))
