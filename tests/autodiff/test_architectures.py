"""Gradients of twelve architectures, as both exporters of PyTorch write them, against PyTorch's own autograd.

`tests.goldens.make_architectures` made the files. Their graphs have no weights; `tests.goldens.weights` draws the same
ones on both sides.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.goldens.peers import filled
from xaionnx import Model
from xaionnx.autodiff import gradient

GOLDENS = Path(__file__).parents[1] / "goldens" / "architectures"
NAMES = sorted(path.stem for path in GOLDENS.glob("*.npz"))
EXPORTERS = ("trace", "dynamo")
# Cases that take seconds; the default run covers each by the other exporter.
SLOW = {("inception", "dynamo"), ("hrnet", "dynamo"), ("efficientnet", "dynamo")}

# Errors relative to the root mean square of the expected values. The goldens are float64, the engine computes in
# float32. If every op is smooth, only rounding is left: the largest error measured was 7e-5; PyTorch's own was 8e-5.
SMOOTH = {"bert", "convnext", "efficientnet", "nfnet", "swin", "vit"}
SMOOTH_LARGEST = 3e-4
# At a kink a unit may be on in one precision and off in the other, and then everything after it differs. PyTorch's
# float32 differs from its float64 by 1.6e-3 on the DenseNet for that reason, and by up to 2.6e-2 on larger nets.
KINKED_MEAN = 3e-2
# The median ignores such units: it is as exact as PyTorch in float32, apart from the order of sums.
MEDIAN_OVER_PYTORCH = 4.0
ROUNDING = 3e-7
# Outputs stay exact even where gradients flip.
OUT_LARGEST = 1e-3


def errors(found, exact):
    """Median, root mean square and maximum of the errors, relative to the root mean square of the exact values."""
    difference = np.abs(found.astype(np.float64) - exact)
    size = np.sqrt(np.mean(np.square(exact, dtype=np.float64)))
    return np.array([np.median(difference), np.sqrt(np.mean(difference**2)), difference.max()]) / size


@pytest.mark.parametrize(
    ("name", "exporter"),
    [
        pytest.param(name, exporter, marks=pytest.mark.slow if (name, exporter) in SLOW else ())
        for name in NAMES
        for exporter in EXPORTERS
    ],
)
@pytest.mark.sampled(percent=33)
def test_architectures_agree_with_autograd(name, exporter, tmp_path):
    golden = np.load(GOLDENS / f"{name}.npz")
    path = tmp_path / f"{name}.onnx"
    onnx.save(filled(golden, exporter), path)
    model = Model.load(path, device="cpu")
    wrt = {"gradient_inner": str(golden[f"inner_{exporter}"])} | ({"gradient": "x"} if "gradient" in golden else {})
    # A second sample is added, since neither exporter may fix the batch size at 1.
    x = np.concatenate([golden["x"], golden["x"][..., ::-1]])
    cotangent = np.repeat(golden["cotangent"], 2, axis=0)

    out, slopes = gradient(model, "y", list(wrt.values())).run({"x": x}, cotangent)

    assert errors(out[:1], golden["out"])[2] < OUT_LARGEST
    for key, tensor in wrt.items():
        median, mean, largest = errors(slopes[tensor][:1], golden[key])
        assert median < MEDIAN_OVER_PYTORCH * golden[f"error_{key}"][0] + ROUNDING, key
        if name in SMOOTH:
            assert largest < SMOOTH_LARGEST, key
        else:
            assert mean < KINKED_MEAN, key


def test_every_architecture_has_both_graphs_and_live_slopes():
    assert len(NAMES) >= 12
    assert set(NAMES) >= SMOOTH
    for name in NAMES:
        golden = np.load(GOLDENS / f"{name}.npz")
        # Zeros would hide a gradient that is cut off.
        assert np.abs(golden["gradient_inner"]).max() > 1e-6, name
        for exporter in EXPORTERS:
            # The weights' are not in the file.
            assert len(golden[f"graph_{exporter}"]) < 400_000, name
