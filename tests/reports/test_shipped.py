"""Files that packages of others ship, explained as a stranger would: they are fetched by `tests.reports.shipped`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from PIL import Image
from xaionnx_cli.app import main

import xaionnx
from tests.reports.shipped import FILES
from xaionnx import Target
from xaionnx.errors import InputMismatchError, ParameterError, UnsupportedModelError

FOLDER = os.environ.get("XAIONNX_SHIPPED")
PHOTO = Path("models/photos/astronaut.jpg")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="XAIONNX_SHIPPED names no folder of files"),
    pytest.mark.filterwarnings("ignore:no spec beside the model:UserWarning"),
]


def opened(name: str) -> xaionnx.Model:
    return xaionnx.Model.load(Path(FOLDER or ".") / name)


@pytest.mark.parametrize("name", FILES)
def test_inspect(name):
    told = CliRunner().invoke(main, ["inspect", str(opened(name).path)])
    assert told.exit_code == 0
    # A name of 370 letters would set the width of the column for all.
    assert sum(len(line) > 200 for line in told.stdout.partition("\nlayers")[2].partition("\n\n")[0].splitlines()) <= 2
    assert len(repr(opened(name))) < 500


@pytest.mark.parametrize("method", ["grad_cam", "saliency", "layer_cam"])
def test_a_classifier_of_pictures(method):
    model = opened("open-nsfw.onnx")
    with Image.open(PHOTO) as image:
        forms = [
            PHOTO,
            image.convert("RGB"),
            np.asarray(image),
            image.convert("RGBA"),
            np.asarray(image.convert("RGBA")),
        ]
    first, *others = (xaionnx.explain(model, form, method, [0, 1]) for form in forms)
    assert first.prediction.sum() == pytest.approx(1)
    assert first.warnings
    assert "<img" in first._repr_html_()
    assert first.plot().size[0] > 300
    for other in others:
        np.testing.assert_array_equal(other.values, first.values)
    with pytest.raises(InputMismatchError, match="channels first"):
        xaionnx.explain(model, np.asarray(image).transpose(2, 0, 1), method)


@pytest.mark.parametrize("baseline", [None, "blur:5", "mean"])
def test_a_classifier_of_pictures_in_each_kind(baseline):
    model = opened("open-nsfw.onnx")
    result = xaionnx.explain(model, PHOTO, "grad_cam", [0, 1])
    curves = xaionnx.removal_curves(model, PHOTO, result, [0, 1], steps=3, baseline=baseline)
    removed, inserted = curves.maps["deletion"], curves.maps["insertion"]
    np.testing.assert_allclose(removed[..., 0], result.prediction, rtol=1e-5)
    # All removed is nothing inserted, and the other way round.
    np.testing.assert_allclose(removed[..., [0, -1]], inserted[..., [-1, 0]], rtol=1e-5)
    for kind in ("map", "contours", "for_and_against", "targets", "deletion"):
        assert min(curves.plot(kind=kind).size) > 300
    assert len(xaionnx.render.film(curves)) == 4


@pytest.mark.parametrize("method", ["saliency", "occlusion", "kernel_shap"])
def test_a_voice_detector_with_a_state(method):
    model = opened("silero_vad.onnx")
    wave = (0.3 * np.sin(np.arange(512) * 2 * np.pi * 220 / 16000)).astype(np.float32)[None]
    feeds = {"input": wave, "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000)}
    settings = {
        "saliency": {},
        "occlusion": {"window": 64, "stride": 64},
        "kernel_shap": {"features": np.arange(512) // 64},
    }
    result = xaionnx.explain(model, feeds, method, **settings[method])
    assert result.values.shape == wave.shape
    assert np.abs(result.values).max() > 0
    assert result.plot().size[0] > 300
    with pytest.raises(InputMismatchError, match="state, sr are missing"):
        xaionnx.explain(model, wave, method, **settings[method])


@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "rise"])
def test_a_transcriber_with_three_outputs(method):
    model = opened("nmp.onnx")
    wave = (0.3 * np.sin(np.arange(43844) * 2 * np.pi * 440 / 22050)).astype(np.float32)[None, :, None]
    onset, note = (output.name for output in model.outputs[:2])
    settings = {"budget": 30} if method == "rise" else {}
    targets = [Target.index((50, 48)), Target.sum(output=note)]
    result = xaionnx.explain(model, wave, method, targets, **settings)
    assert result.values.shape == (2, *wave.shape)
    assert [str(name[0]) for name in result.target] == [f"{onset}[50, 48]", f"sum of {note}"]
    with pytest.raises(ParameterError, match=r"Use Target.index\(\(50, 48\)\) for one element"):
        xaionnx.explain(model, wave, method, (50, 48), **settings)
    with pytest.raises(ParameterError, match="not one axis of classes"):
        xaionnx.explain(model, wave, method, **settings)
    with pytest.raises(InputMismatchError, match=r"x\[None, :, None\] adds them"):
        xaionnx.explain(model, wave.ravel(), method, targets, **settings)


def test_a_detector_of_spindles_in_two_inputs():
    """Of an electroencephalogram and its spectrogram: what is removed is removed in bare onnxruntime, too."""
    model, rng = opened("spindle.onnx"), np.random.default_rng(0)
    x = {
        "raw_signal": rng.normal(size=(1, 1, 7500)).astype(np.float32),
        "spectrogram": np.abs(rng.normal(size=(1, 15, 7500))).astype(np.float32),
    }
    bare = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    target = Target.index((12, 0), output="detection")
    features = dict.fromkeys(x, "segments:3")
    found = xaionnx.explain(model, x, "feature_ablation", target, features=features, baseline=0)
    expected = []
    for name in x:
        for part in range(3):
            removed = {each: array.copy() for each, array in x.items()}
            removed[name][..., 2500 * part : 2500 * (part + 1)] = 0
            whole, without = (bare.run(["detection"], feeds)[0][0, 12, 0] for feeds in (x, removed))
            expected.append(whole - without)
    np.testing.assert_allclose(found.feature_values[0], expected, rtol=1e-4, atol=1e-5)
    assert found.feature_names[3] == "spectrogram: steps 0-2499"
    assert found.plot().width > 1000


def test_a_detector_of_seizures_whose_output_has_its_time_first():
    model = opened("seizure.onnx")
    x = np.random.default_rng(0).normal(size=(1, 100, 60)).astype(np.float32)
    bare = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    found = xaionnx.explain(model, x, "saliency", Target.index((59, 1), output="logits"), absolute=False)
    # Rounding of the outputs is 1e-4 of a slope here: the steepest ones are compared.
    for flat in np.argsort(-np.abs(found.values[0]).ravel())[:4]:
        place = np.unravel_index(flat, found.values[0].shape)
        step = np.zeros_like(x)
        step[0][place] = 0.03
        up, down = (bare.run(["logits"], {"x": each})[0][59, 0, 1] for each in (x + step, x - step))
        assert found.values[0][place] == pytest.approx((up - down) / 0.06, rel=0.01)


def lines():
    """Strokes, dark on white, as of a scanned line."""
    line = np.full((48, 192, 3), 255, np.uint8)
    line[18:30, 20:80:9] = 0
    line[14:34, 90:170:6] = 40
    return line


@pytest.mark.parametrize(
    ("name", "objective", "settings"),
    [
        ("open-nsfw.onnx", "class_score", {"label": 1}),
        ("turned.onnx", "class_score", {"label": 1, "size": 64}),
        ("nude.onnx", "channel", {"layer": "/model.0/conv/Conv_output_0", "channel": 3, "size": 64}),
    ],
)
def test_pictures_that_excite_a_unit_of_a_shipped_model(name, objective, settings):
    found = xaionnx.visualize(opened(name), objective, steps=8, **settings)
    assert np.isfinite(found.pictures).all()
    assert found.value[0] > found.trace[0, 0]


@pytest.mark.parametrize("name", ["turned.onnx", "nude.onnx"])
def test_a_size_that_is_free_is_asked_for(name):
    with pytest.raises(UnsupportedModelError, match=r"takes pictures of any size\. Give a 'size', such as 224"):
        xaionnx.visualize(opened(name), "channel", layer="x", channel=0)


@pytest.mark.parametrize(("search", "settings"), [("adversarial_distance", {"steps": 20}), ("cem", {"steps": 10})])
def test_another_answer_of_a_classifier_of_text_lines(search, settings):
    model = opened("turned.onnx")
    found = xaionnx.counterfactual(model, lines(), search, **settings)
    for one in found if isinstance(found, list) else [found]:
        assert one.valid
        assert one.distance < 50


def test_a_detector_has_no_other_answer():
    with pytest.raises(UnsupportedModelError, match="not one score a class or one number"):
        xaionnx.counterfactual(opened("nude.onnx"), np.asarray(Image.open(PHOTO).resize((128, 128))), "cem")


@pytest.mark.parametrize("name", ["open-nsfw.onnx", "turned.onnx"])
def test_masks_of_shipped_classifiers(name):
    found = xaionnx.explain(opened(name), PHOTO if name == "open-nsfw.onnx" else lines(), "extremal_masks", steps=6)
    values = found.values[0]
    assert values.min() >= 0
    assert values.max() > values.min()


def test_a_mask_for_the_best_box_of_a_class_of_a_detector():
    with Image.open(PHOTO) as image:
        small = np.asarray(image.convert("RGB").resize((128, 128)))
    found = xaionnx.explain(opened("nude.onnx"), small, "extremal_masks", Target.boxes(1, 5), steps=4)
    assert np.isfinite(found.values).all()
