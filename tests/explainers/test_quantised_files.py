"""Files that onnxruntime quantises are explained nearly as the float files that they were made of.

What remains between the two is that the quantised network is another one: its weights are rounded, which flips
rectifiers and moves maxima. Gradients feel that more than relevance and class activation maps do.
"""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from PIL import Image

import xaionnx
from tests.tiny import parsed, run
from xaionnx import Model
from xaionnx.runtime.session import simplified

METHODS = {
    "saliency": {"absolute": False},
    "integrated_gradients": {"steps": 16},
    "grad_cam": {},
    "lrp": {},
    "deep_lift": {},
    "guided_backprop": {},
}
# Format, type of the activations, and whether each channel of the weights has its scale; or dynamic.
FILES = {
    "qdq uint8": (QuantFormat.QDQ, QuantType.QUInt8, False),
    "qdq uint8 by channel": (QuantFormat.QDQ, QuantType.QUInt8, True),
    "qdq int8": (QuantFormat.QDQ, QuantType.QInt8, False),
    "qdq int8 by channel": (QuantFormat.QDQ, QuantType.QInt8, True),
    "qoperator uint8": (QuantFormat.QOperator, QuantType.QUInt8, False),
    "qoperator int8 by channel": (QuantFormat.QOperator, QuantType.QInt8, True),
    "dynamic": None,
}


class Rows(CalibrationDataReader):
    def __init__(self, name, rows):
        self._rows = iter([{name: row[None]} for row in rows])

    def get_next(self):
        return next(self._rows, None)


def quantised(source, kind, name, rows, path):
    """The file in one of the forms, calibrated on some rows."""
    logging.disable(logging.WARNING)  # it logs advice to preprocess the model
    try:
        if FILES[kind] is None:
            quantize_dynamic(source, path, weight_type=QuantType.QUInt8)
        else:
            form, activations, per_channel = FILES[kind]
            quantize_static(
                source, path, Rows(name, rows), quant_format=form, activation_type=activations,
                weight_type=QuantType.QInt8, per_channel=per_channel,
            )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    return Model.load(path, device="cpu")


def correlations(plain, other, x, methods):
    """The correlation of the values of each method, the mean over the samples, for the classes of the plain model."""
    classes = plain.run({plain.input().name: x})[plain.output().name].argmax(axis=1).tolist()
    found = {}
    for method in methods:
        one, two = (
            np.asarray(xaionnx.explain(model, x, method, classes, **METHODS[method]).values, dtype=float).reshape(
                len(x), -1
            )
            for model in (plain, other)
        )
        found[method] = float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(one, two, strict=True)]))
    return found


@pytest.mark.parametrize("kind", ["qdq uint8", "qdq int8 by channel", "qoperator uint8", "dynamic"])
@pytest.mark.parametrize("name", ["mnist_cnn", "mnist_vit"])
@pytest.mark.sampled(percent=30)
def test_digits(name, kind, tmp_path):
    source = tmp_path / "source.onnx"
    source.write_bytes(simplified(Path(f"models/{name}.onnx").read_bytes()))
    plain = Model.load(source, device="cpu")
    digits = np.load("models/data/mnist_sample.npz")["images"].astype(np.float32) / 255
    other = quantised(source, kind, plain.input().name, digits[:40], tmp_path / "quantised.onnx")
    # Integers are pooled there, so that the last map of floats is the one ahead of the pooling.
    methods = [method for method in METHODS if method != "grad_cam" or (name, kind) != ("mnist_cnn", "qoperator uint8")]
    found = correlations(plain, other, digits[40:44], methods)
    assert min(found.values()) > 0.98, found
    one = xaionnx.explain(other, digits[40:41], "deep_lift")
    assert abs(one.diagnostics["gradient_prediction"][0] - one.prediction[0]) < 0.05 * abs(one.prediction[0])
    assert one.provenance["arithmetic"].startswith("floats in place of integers")
    # The values add up to the change of the answers with integers, up to the rounding of activations.
    assert abs(one.values.sum() - (one.prediction - one.baseline_prediction)[0]) < 0.1 * np.abs(one.values).sum()


def pictures(first):
    """Square crops of the photographs, as EfficientNet-Lite0 takes them: the centre, or the corner at the origin."""
    rows = []
    for path in sorted(Path("models/photos").iterdir()):
        picture = Image.open(path).convert("RGB")
        size = min(picture.size)
        left, top = (0, 0) if first else ((picture.width - size) // 2, (picture.height - size) // 2)
        crop = picture.crop((left, top, left + size, top + size)).resize((224, 224))
        rows.append((np.asarray(crop, dtype=np.float32).transpose(2, 0, 1) - 127) / 128)
    return np.stack(rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("qdq uint8", {"grad_cam": 0.95, "lrp": 0.95, "guided_backprop": 0.65, "saliency": 0.1, "deep_lift": 0.1}),
        ("qdq uint8 by channel", {"grad_cam": 0.99, "lrp": 0.99, "guided_backprop": 0.9, "saliency": 0.6,
                                  "integrated_gradients": 0.6, "deep_lift": 0.7}),
        ("qdq int8 by channel", {"grad_cam": 0.99, "lrp": 0.99, "guided_backprop": 0.9, "saliency": 0.6,
                                 "integrated_gradients": 0.6, "deep_lift": 0.7}),
        ("qoperator int8 by channel", {"grad_cam": 0.99, "lrp": 0.99, "guided_backprop": 0.9, "saliency": 0.6,
                                       "integrated_gradients": 0.6, "deep_lift": 0.7}),
        ("dynamic", {"grad_cam": 0.9, "lrp": 0.95, "guided_backprop": 0.7, "saliency": 0.1, "deep_lift": 0.1}),
    ],
)  # fmt: skip
def test_photographs(kind, least, tmp_path):
    """With one scale for all channels of a depthwise layer the network itself is another: it names other classes."""
    source = tmp_path / "source.onnx"
    source.write_bytes(simplified(Path("models/efficientnet_lite0.onnx").read_bytes()))
    plain = Model.load(source, device="cpu")
    other = quantised(source, kind, plain.input().name, pictures(first=True), tmp_path / "quantised.onnx")
    found = correlations(plain, other, pictures(first=False)[:3], least)
    assert all(found[method] > bound for method, bound in least.items()), found


def test_samples_that_share_a_range_of_integers_are_explained_alone(tmp_path):
    """A dynamic range is that of the batch: beside a large sample, the numbers of a small one are rounded to zero."""
    source, path = tmp_path / "source.onnx", tmp_path / "dynamic.onnx"
    weights = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    onnx.save(parsed("g (float[N, 6] x) => (float[N, 3] y) { y = MatMul(x, w) }", w=weights), source)
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(source, path, weight_type=QuantType.QUInt8)
    finally:
        logging.disable(logging.NOTSET)
    x = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32) * [[1], [300]]
    x = x.astype(np.float32)
    model = Model.load(path, device="cpu")
    both = xaionnx.explain(model, x, "occlusion", 0)
    for n in range(2):
        one = xaionnx.explain(model, x[n : n + 1], "occlusion", 0)
        np.testing.assert_array_equal(both.values[n], one.values[0])
        assert both.prediction[n] == one.prediction[0]
    # Nor do the rows that removal makes of one sample share a range.
    removed = xaionnx.explain(model, x[:1], "feature_ablation", 0, baseline=0.0)
    rows = np.where(np.eye(7, 6, dtype=bool), 0, x[:1]).astype(np.float32)
    alone = np.array([run(onnx.load(path), {"x": row[None]})["y"][0, 0] for row in rows])
    np.testing.assert_array_equal(removed.values[0], (alone[-1] - alone[:-1]).astype(np.float32))
