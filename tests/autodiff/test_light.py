"""Nine published architectures, which ONNX ships with constant weights, against central differences."""

from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import numpy_helper

from tests.tolerances import Tolerance, assert_close
from xaionnx import Model
from xaionnx.autodiff import gradient

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"
NAMES = [
    "squeezenet",
    "shufflenet",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "vgg19", "zfnet512")
    ),
]
# In float32 the step is above rounding, and some units switch within it. The largest measured error is 0.3 %.
STEP, TOLERANCE = 1e-2, 0.01


def lively(proto, seed=0):
    """The model with its constant weights replaced by random ones, scaled so that no layer dies or explodes."""
    rng = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    readers = {}
    for node in proto.graph.node:
        for index, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, index))
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    del model.graph.node[:]
    for node in proto.graph.node:
        if node.op_type != "ConstantOfShape":
            model.graph.node.append(node)
            continue
        shape, (reader, index) = tuple(shapes[node.input[0]]), readers[node.output[0]][0]
        spread = reader.op_type == "BatchNormalization" and index in (1, 4)
        if reader.op_type == "Unsqueeze":
            spread = readers[reader.output[0]][0][0].op_type == "Mul"
        if spread:
            weights = rng.uniform(0.8, 1.2, shape)
        elif len(shape) > 1:
            weights = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        else:
            weights = 0.1 * rng.standard_normal(shape)
        model.graph.initializer.append(numpy_helper.from_array(weights.astype(np.float32), node.output[0]))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_published_architectures(name, tmp_path):
    """Differentiated for two samples, at the scores before the last Softmax if there is one."""
    proto = lively(onnx.load(FOLDER / f"light_{name}.onnx"))
    onnx.save(proto, tmp_path / "model.onnx")
    model = Model.load(tmp_path / "model.onnx", device="cpu")
    (info,) = model.inputs
    last = proto.graph.node[-1]
    out = last.input[0] if last.op_type == "Softmax" else model.output().name
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (2, *info.shape[1:])).astype(np.float32)
    scored = model.with_outputs([out])
    scores = scored.run({info.name: x}, [out])[out]
    assert np.std(scores) > 1e-2
    cotangent = rng.standard_normal(scores.shape).astype(np.float32)
    found = gradient(model, out, [info.name])
    forward, slopes = found.run({info.name: x}, cotangent)
    assert_close(forward, scores, Tolerance.PROPAGATION, np.abs(scores).max())
    slope = slopes[info.name].astype(np.float64)
    # The direction of the gradient plus a random one of equal length: the derivative is large, and every entry matters.
    size = np.linalg.norm(slope)
    direction = slope / size + rng.standard_normal(slope.shape) / np.sqrt(slope.size)
    above, below = (
        np.sum(
            cotangent * scored.run({info.name: (x + s * STEP * direction).astype(np.float32)}, [out])[out], dtype=float
        )
        for s in (1, -1)
    )
    assert np.sum(slope * direction) == pytest.approx((above - below) / (2 * STEP), rel=TOLERANCE)
