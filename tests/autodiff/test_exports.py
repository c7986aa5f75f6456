"""Gradients of modules that PyTorch's dynamo exporter wrote with a free batch, against PyTorch's own autograd.

`tests.goldens.make_exports` made the file.
"""

from pathlib import Path

import numpy as np
import pytest

from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient

FILE = Path(__file__).parents[1] / "goldens" / "exports.npz"
with np.load(FILE) as golden:
    NAMES = sorted(key.removesuffix(":model") for key in golden if key.endswith(":model"))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_those_of_autograd(name, tmp_path):
    with np.load(FILE) as golden:
        proto, x, cotangent, expected = (golden[f"{name}:{part}"] for part in ("model", "x", "cotangent", "gradient"))
    path = tmp_path / "module.onnx"
    path.write_bytes(proto.tobytes())
    found = gradient(Model.load(path, device="cpu"), "y", ["x"])
    slopes = found.run({"x": x}, cotangent)[1]["x"]
    assert_close(slopes, expected, Tolerance.SIGNED_LAYERS, np.abs(expected).max())
    # The graph was built from two and three samples.
    alone = found.run({"x": x[:1]}, cotangent[:1])[1]["x"]
    assert_close(alone, expected[:1], Tolerance.SIGNED_LAYERS, np.abs(expected).max())


def test_every_module_was_written():
    assert len(NAMES) >= 30
