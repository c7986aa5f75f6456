"""InputSpec against plain numpy, its TOML, and whole batches of files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import xaionnx
from models import planted
from tests.tolerances import Tolerance, assert_close
from xaionnx.data.batch import read_inputs
from xaionnx.data.spec import InputSpec
from xaionnx.data.spec_guess import picture_axes
from xaionnx.errors import DataError, InputMismatchError, ParameterError, UnknownNameError

MEAN, SCALE = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_tensor_is_the_formula_and_goes_back_exactly(layout, color):
    spec = InputSpec(layout=layout, color=color, mean=MEAN, scale=SCALE)
    pictures = noise((3, 5, 7, 3))
    tensor = spec.to_tensor(pictures)
    ordered = pictures[..., ::-1] if color == "BGR" else pictures
    expected = ((ordered.astype(np.float64) - MEAN) / SCALE).astype(np.float32)
    if layout == "NCHW":
        expected = expected.transpose(0, 3, 1, 2)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert np.array_equal(tensor, expected)
    assert np.array_equal(spec.to_pictures(tensor), pictures)
    assert tensor.shape[spec.channel_axis] == 3
    assert tuple(tensor.shape[axis] for axis in spec.spatial_axes) == (5, 7)
    gray = spec.to_tensor(np.full((1, 5, 7, 3), 200, np.uint8))
    assert np.array_equal(np.broadcast_to(spec.pixel(200), gray.shape), gray)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gray_is_the_bt601_luma_and_comes_back_three_times(layout):
    spec = InputSpec(layout=layout, color="L", scale=255)
    pictures = noise((2, 4, 6, 3))
    tensor = spec.to_tensor(pictures)
    assert tensor.shape == ((2, 1, 4, 6) if layout == "NCHW" else (2, 4, 6, 1))
    luma = pictures @ np.array([0.299, 0.587, 0.114])
    assert np.abs(tensor.reshape(2, 4, 6) * 255 - luma).max() <= 0.501
    gray = noise((2, 4, 6))
    assert np.array_equal(spec.to_pictures(spec.to_tensor(gray)), np.repeat(gray[..., None], 3, axis=3))


def test_one_picture_is_the_same_alone_and_in_a_batch():
    spec = InputSpec(size=(8, 9), mean=MEAN, scale=SCALE)
    pictures = [noise((20 + i, 31, 3), i) for i in range(4)] + [noise((12, 12))]
    batch = spec.to_tensor(pictures)
    for i, picture in enumerate(pictures):
        assert np.array_equal(batch[i : i + 1], spec.to_tensor([picture]))


def test_integer_tensors_are_refused_where_they_would_be_rounded():
    pictures = noise((1, 4, 4, 3))
    assert np.array_equal(InputSpec(layout="NHWC").to_tensor(pictures, np.uint8), pictures)
    assert InputSpec(mean=128).to_tensor(pictures, np.int8).min() >= -128
    refusals = ((InputSpec(scale=255), np.int64, "0", "255"), (InputSpec(mean=(1, 2, 1)), np.uint8, "1, 2, 1", "1"))
    for spec, dtype, mean, scale in refusals:
        with pytest.raises(ParameterError) as refused:
            spec.to_tensor(pictures, dtype)
        assert str(refused.value) == (
            f"Pixels, less the mean {mean} and divided by the scale {scale}, are not whole numbers that fit "
            f"{np.dtype(dtype)}, which the input holds. Give the 'mean' and 'scale' that the model was trained with, "
            "in its .toml file; without one they are guessed from the type and the metadata of the model."
        )


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        ([], "InputSpec.to_tensor got no pictures. Give at least one."),
        (
            np.zeros((1, 3, 4, 5), np.uint8),
            "Picture 0 must be a uint8 array (H, W, 3) or (H, W). Got (3, 4, 5) uint8 instead.",
        ),
        (
            np.zeros((1, 4, 5, 3)),
            "Picture 0 must be a uint8 array (H, W, 3) or (H, W). Got (4, 5, 3) float64 instead.",
        ),
        (
            [np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8)],
            "Picture 1 is 5 x 4 pixels and picture 0 is 4 x 5. Give the InputSpec a 'size', or pictures of one size.",
        ),
    ],
)
def test_what_is_no_picture_is_refused(pictures, reason):
    with pytest.raises(InputMismatchError) as refused:
        InputSpec().to_tensor(pictures)
    assert str(refused.value) == reason


def test_to_pictures_refuses_the_other_layout_and_pixel_its_bounds():
    with pytest.raises(InputMismatchError) as refused:
        InputSpec().to_pictures(np.zeros((1, 4, 5, 3)))
    assert str(refused.value) == "InputSpec.to_pictures needs an array (N, 3, H, W). Got (1, 4, 5, 3) instead."
    with pytest.raises(ParameterError) as wrong:
        InputSpec().pixel(256)
    assert str(wrong.value) == "The 'value' parameter of InputSpec.pixel must be a number in [0, 255]. Got 256 instead."
    with pytest.raises(ParameterError) as wrong:
        InputSpec(kind="table").pixel(0)
    assert str(wrong.value) == "InputSpec.pixel is for the kind 'picture'. This spec has the kind 'table'."


@pytest.mark.parametrize(
    ("fields", "wanted", "got"),
    [
        (
            {"kind": "image"},
            "'kind' parameter of InputSpec must be one of 'picture', 'table', 'text', 'array', 'series', 'bytes'",
            "'image'",
        ),
        ({"layout": "NCWH"}, "'layout' parameter of InputSpec must be one of 'NCHW', 'NHWC'", "'NCWH'"),
        ({"size": 224}, "'size' parameter of InputSpec must be two ints [H, W] in [1, 16384] or None", "224"),
        ({"size": [0, 5]}, "'size' parameter of InputSpec must be two ints [H, W] in [1, 16384] or None", "[0, 5]"),
        ({"mean": [1, 2]}, "'mean' parameter of InputSpec must be a number or 3 of them", "[1, 2]"),
        ({"mean": float("nan")}, "'mean' parameter of InputSpec must be a number or 3 of them", "nan"),
        ({"scale": 0}, "'scale' parameter of InputSpec must be a number greater than 0 or 3 of them", "0"),
        ({"scale": "1"}, "'scale' parameter of InputSpec must be a number greater than 0 or 3 of them", "'1'"),
        ({"name": ""}, "'name' parameter of InputSpec must be a non-empty str or None", "''"),
        ({"labels": "cat"}, "'labels' parameter of InputSpec must be a list of printable str", "'cat'"),
        ({"labels": ["a", "\x1b[2J"]}, "'labels[1]' parameter of InputSpec must be a printable str", "'\\x1b[2J'"),
        ({"categories": {"a": []}}, "'categories.a' parameter of InputSpec must be a list of at least one word", "[]"),
    ],
)
def test_wrong_fields_are_refused_in_these_words(fields, wanted, got):
    with pytest.raises(ParameterError) as refused:
        InputSpec(**fields)
    assert str(refused.value) == f"The {wanted}. Got {got} instead."


TOML = """
[input]
name = "images"
size = [4, 6]
layout = "NHWC"
mean = [127.0, 127.0, 127.0]
scale = 128
[output]
name = "logits"
activation = "softmax"
labels = "labels.json"
"""


def test_a_spec_beside_the_model_is_read(tmp_path):
    (tmp_path / "net.toml").write_text(TOML)
    (tmp_path / "labels.json").write_text('["tabby", "tiger cat"]')
    spec = InputSpec.beside(tmp_path / "net.onnx")
    assert spec == InputSpec(
        name="images",
        size=(4, 6),
        layout="NHWC",
        mean=127,
        scale=128,
        output="logits",
        activation="softmax",
        labels=["tabby", "tiger cat"],
    )
    assert not spec.guessed
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert isinstance(hash(spec), int)
    (tmp_path / "labels.json").write_text("tabby\ntiger cat\n")
    assert InputSpec.beside(tmp_path / "net.onnx") == spec
    assert InputSpec.beside(tmp_path / "other.onnx") is None


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("[input]\nscael = 3", UnknownNameError, "No key in [input] named 'scael'. Nearest: scale, channels."),
        ("[inputs]\nscale = 3", UnknownNameError, "No section named 'inputs'. Nearest: input, output."),
        (
            '[input]\nkind = "table"\nsize = [2, 2]',
            ParameterError,
            "The key 'size' is for the kind 'picture', but the kind is 'table'. Remove one.",
        ),
        ("input = 3", ParameterError, "'input' must be a section [input]. Got 3 instead."),
        (
            '[output]\nlabels = "../labels.json"',
            ParameterError,
            "The labels file '../labels.json' must lie in the folder of the spec. "
            "Copy it there and give its relative path.",
        ),
        ("[input]\nscale = 0", ParameterError, None),
        ("[input", ParameterError, None),
    ],
)
def test_a_bad_spec_file_is_refused_with_its_path(tmp_path, text, error, reason):
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(error) as refused:
        InputSpec.read(path)
    assert str(refused.value).startswith(f"{path}: ")
    if reason:
        assert str(refused.value) == f"{path}: {reason}"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_takes_the_path_of_a_spec(tmp_path, kind):
    path = tmp_path / "other.toml"
    path.write_text('[input]\nkind = "array"\n[output]\nlabels = "names.txt"\n')
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    model = xaionnx.Model.load("models/digits_cnn.onnx", "cpu", spec=kind(path))
    assert model.spec == InputSpec.read(path)
    assert model.labels == ("a", "b", "c")
    assert model.reopened(spec=kind("models/digits_cnn.toml")).spec == InputSpec.read("models/digits_cnn.toml")
    assert pickle.loads(pickle.dumps(model)).spec == model.spec


@pytest.mark.parametrize("given", [{"kind": "array"}, 3])
def test_what_is_no_spec_is_refused(given):
    with pytest.raises(ParameterError, match="The 'spec' parameter must be an InputSpec or the path of its TOML file"):
        xaionnx.Model.load("models/digits_cnn.onnx", "cpu", spec=given)


def test_a_missing_spec_and_bad_label_files_are_refused(tmp_path):
    path = tmp_path / "net.toml"
    with pytest.raises(ParameterError) as refused:
        InputSpec.read(path)
    assert str(refused.value) == f"{path}: there is no such file. Check the path."
    path.write_text('[output]\nlabels = "l.json"')
    labels = tmp_path / "l.json"
    for content, reason in (
        (None, f"There is no labels file '{labels}'. Check 'labels' under [output]."),
        (b'{"0": "cat"}', f"The labels file '{labels}' must be a JSON list of names, in the order of the outputs."),
        (b"\xff\xfe", f"The labels file '{labels}' is not UTF-8 text. Save it as UTF-8."),
    ):
        if content is not None:
            labels.write_bytes(content)
        with pytest.raises(ParameterError) as refused:
            InputSpec.read(path)
        assert str(refused.value) == f"{path}: {reason}"


def test_labels_are_found_exactly_first_then_by_a_unique_part():
    spec = InputSpec(labels=["tabby", "tabby cat", "Egyptian cat", "crane", "crane", "Lynx"])
    assert [spec.index(t) for t in ("tabby", "egypt", "lynx")] == [0, 2, 5]
    assert spec.label(2) == "Egyptian cat"
    for text, reason in (
        ("cat", "2 labels contain 'cat': 1 tabby cat, 2 Egyptian cat. Give the whole label or its number."),
        ("crane", "2 labels are 'crane': 3 crane, 4 crane. Give its number."),
        ("tabbi", "No label named 'tabbi'. Nearest: tabby, tabby cat."),
    ):
        with pytest.raises(UnknownNameError) as unknown:
            spec.index(text)
        assert str(unknown.value) == reason
    with pytest.raises(ParameterError) as wrong:
        spec.label(6)
    assert str(wrong.value) == "The 'index' parameter of InputSpec.label must be an int in [0, 6). Got 6 instead."
    with pytest.raises(InputMismatchError) as mismatch:
        spec.check_outputs(1000)
    assert str(mismatch.value).startswith("The InputSpec lists 6 labels, but the model's output has 1,000 classes.")
    assert InputSpec().label(7) == "7"
    with pytest.raises(ParameterError, match="there are no labels"):
        InputSpec().index("cat")


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        (("N", 3, 224, 192), np.float32, {"layout": "NCHW", "size": (224, 192), "scale": 255}),
        ((1, 28, 28, 1), np.float32, {"layout": "NHWC", "size": (28, 28), "color": "L", "scale": 255}),
        ((None, 3, "h", "w"), np.uint8, {"layout": "NCHW"}),
        ((1, 3, 224, 3), np.float32, {"layout": "NCHW", "size": (224, 3), "scale": 255}),
        (("N", 20), np.float32, {"kind": "table"}),
        (("N", 2048), np.int32, {"kind": "array"}),
        (("N", 7, 7, 512), np.float32, {"kind": "array"}),
        (("N", 3, 16, 112, 112), np.float32, {"kind": "array"}),
    ],
)
def test_guesses_say_that_they_are(shape, dtype, expected):
    assert InputSpec.guess(shape, dtype) == InputSpec(guessed=True, **expected)


@pytest.mark.parametrize(
    ("stated", "white", "order"),
    [
        ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}, 255, [2, 1, 0]),
        ({"image.bitmappixelformat": "RGB8", "IMAGE.NOMINALPIXELRANGE": "normalized_1_1"}, 1, [0, 1, 2]),
        ({"Image.NominalPixelRange": "NominalRange_16_235"}, 235, [0, 1, 2]),
        ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "of its own"}, 1, [2, 1, 0]),
    ],
)
def test_a_guess_follows_the_metadata_of_a_picture(tmp_path, stated, white, order):
    proto = planted.linear(np.eye(12).reshape(12, 3, 2, 2))
    helper.set_model_props(proto, stated)
    onnx.save(proto, tmp_path / "winml.onnx")
    model = xaionnx.Model.load(tmp_path / "winml.onnx")
    pixels = noise((2, 2, 3))
    tensor = model.read(pixels).arrays["x"]
    spec = model.input_spec
    assert spec.guessed
    black = spec.pixel(0)
    assert_close(spec.pixel(255), np.full((3, 1, 1), white), Tolerance.OPERATIONS)
    shares = pixels[..., order].transpose(2, 0, 1) / 255
    assert_close(tensor[0], black + (white - black) * shares, Tolerance.OPERATIONS)


def test_picture_axes():
    assert picture_axes((2, 3, 8, 8)) == picture_axes((2, 1, 8, 8)) == picture_axes((2, 3, 8, 3)) == (1, (2, 3))
    assert picture_axes((2, 8, 8, 3)) == picture_axes((2, 8, 8, 1)) == (3, (1, 2))
    assert picture_axes((2, 8, 8)) is picture_axes((2, 4, 8, 8)) is picture_axes((3, 224, 224)) is None


SPEC = InputSpec(size=(8, 8), scale=255)


def test_a_folder_becomes_a_batch_and_names_what_it_leaves_out(tmp_path):
    for i in range(10):
        Image.fromarray(noise((20, 30, 3), i)).save(tmp_path / f"{i}.png")
    for i, data in ((2, b""), (5, b"text"), (8, b"\0\1\2")):
        (tmp_path / f"{i}.png").write_bytes(data)
    Image.fromarray(noise((20, 30))).save(tmp_path / "9.png")
    batch, refusals = read_inputs(tmp_path, SPEC)
    assert batch.x.shape == (7, 3, 8, 8)
    assert batch.names == tuple(str(tmp_path / f"{i}.png") for i in (0, 1, 3, 4, 6, 7, 9))
    assert [refusal.path.name for refusal in refusals] == ["2.png", "5.png", "8.png"]
    assert batch.notes == ("9.png: gray is repeated to RGB",)
    assert len(set(batch.sha256s)) == 7
    assert np.array_equal(SPEC.to_pictures(batch.x), np.stack(batch.displays))
    assert np.array_equal(batch.x[:1], SPEC.to_tensor([noise((20, 30, 3), 0)]))


def test_gray_is_repeated_only_for_models_of_colour(tmp_path):
    for name, mode in (("gray", "L"), ("wide", "I;16"), ("black", "1")):
        Image.new(mode, (8, 8)).save(tmp_path / f"{name}.png")
    for color, repeated in (("RGB", True), ("BGR", True), ("L", False)):
        notes = read_inputs(tmp_path, InputSpec(size=(8, 8), color=color))[0].notes
        assert any("repeated" in note for note in notes) == repeated
        assert "wide.png: 16-bit gray is rounded to 8 bits" in notes


def test_notes_of_several_files_are_counted(tmp_path):
    for i in range(5):
        Image.fromarray(noise((8, 8))).save(tmp_path / f"{i}.png")
    batch, _ = read_inputs(tmp_path, InputSpec.guess((1, 3, 8, 8)))
    assert batch.notes == (
        "no spec beside the model, so it was guessed from its shape: NCHW, 8 x 8, RGB, black is 0 and white is 1",
        "0.png, 1.png, 2.png and 2 more: gray is repeated to RGB",
    )


@pytest.mark.parametrize("shape", [(20, 32, 3), (20, 32)])
@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_a_picture_is_resized_once_for_its_tensor_and_its_display(tmp_path, monkeypatch, resize, shape):
    Image.fromarray(noise(shape)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", noise(shape)[None])
    spec, sizes, resize_picture = InputSpec(size=(8, 8), scale=255, resize=resize), [], Image.Image.resize

    def counted(picture, size, *args, **options):
        sizes.append(size)
        return resize_picture(picture, size, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", counted)
    for number, name in enumerate(("a.png", "a.npy"), start=1):
        batch, _ = read_inputs([tmp_path / name], spec)
        assert len(sizes) == number
        assert np.array_equal(spec.to_pictures(batch.x), np.stack(batch.displays))


@pytest.mark.parametrize(("resize", "shape"), [("crop", (16, 16)), ("stretch", (10, 16)), ("pad", (16, 16))])
def test_displays_may_be_larger_than_the_model(tmp_path, resize, shape):
    Image.fromarray(noise((20, 32, 3))).save(tmp_path / "a.png")
    batch, _ = read_inputs([tmp_path / "a.png"], InputSpec(size=(8, 8), resize=resize), display_side=16)
    assert batch.displays[0].shape == (*shape, 3)


@pytest.mark.parametrize(("resize", "shape"), [("crop", (40, 24)), ("stretch", (40, 64)), ("pad", (40, 24))])
def test_displays_are_not_smaller_than_the_model(tmp_path, resize, shape):
    Image.fromarray(noise((20, 32, 3))).save(tmp_path / "a.png")
    batch, _ = read_inputs([tmp_path / "a.png"], InputSpec(size=(40, 24), resize=resize), display_side=30)
    assert batch.displays[0].shape == (*shape, 3)


@pytest.mark.parametrize("resize", ["crop", "stretch", "pad"])
def test_displays_of_a_model_for_any_size_are_the_picture_in_up_to_that_side(tmp_path, resize):
    Image.fromarray(noise((20, 32, 3))).save(tmp_path / "a.png")
    for side, shape in ((30, (18, 30)), (40, (20, 32))):
        batch, _ = read_inputs([tmp_path / "a.png"], InputSpec(resize=resize), display_side=side)
        assert batch.displays[0].shape == (*shape, 3)


def test_arrays_are_pixels_or_tensors_by_their_type(tmp_path):
    pictures = noise((3, 8, 8, 3))
    np.save(tmp_path / "a.npy", pictures)
    tensor = SPEC.to_tensor(pictures)
    tensor[1, 0, 0, 0] = np.nan
    np.save(tmp_path / "b.npy", tensor.astype(np.float64))
    batch, refusals = read_inputs([tmp_path / "a.npy", tmp_path / "b.npy"], SPEC)
    assert np.array_equal(batch.x, SPEC.to_tensor(pictures[[0, 1, 2, 0, 2]]))
    assert batch.names[3:] == (f"{tmp_path / 'b.npy'}[0]", f"{tmp_path / 'b.npy'}[2]")
    assert batch.notes == ("b.npy: float64 numbers are rounded to float32",)
    assert str(refusals[0]) == f"'{tmp_path / 'b.npy'}', row 1: the array contains NaN or infinity. Correct it."


def test_tables_and_tokens(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\nx,3\n4,5\n")
    batch, refusals = read_inputs(tmp_path / "t.csv", InputSpec(kind="table", columns=["b", "a"]))
    assert batch.x.tolist() == [[2, 1], [5, 4]]
    assert batch.displays is None
    assert batch.names == (f"{tmp_path / 't.csv'}[0]", f"{tmp_path / 't.csv'}[2]")
    assert [refusal.row for refusal in refusals] == [1]
    np.save(tmp_path / "t.npy", np.array([[101, 7, 102]]))
    tokens, _ = read_inputs(tmp_path / "t.npy", InputSpec(kind="text"))
    assert tokens.x.dtype == np.int64
    assert tokens.x.tolist() == [[101, 7, 102]]


def test_nothing_readable_is_an_error_with_all_the_reasons(tmp_path):
    text, missing = tmp_path / "mail.txt", tmp_path / "none.npy"
    text.write_text("hello")
    with pytest.raises(DataError) as refused:
        read_inputs(text, InputSpec(kind="text"))
    reason = f"'{text}': text cannot be read directly. Pass the tokens for the model as a .npy array."
    assert str(refused.value) == reason
    with pytest.raises(DataError) as refused:
        read_inputs([text, missing], InputSpec(kind="text"))
    assert str(refused.value) == f"Nothing could be read. {reason} There is no file '{missing}'. Check the path."
    with pytest.raises(DataError) as refused:
        read_inputs([], SPEC)
    assert str(refused.value) == "No files were given. Give at least one."
    with pytest.raises(ParameterError) as wrong:
        read_inputs(text, SPEC, display_side=0)
    assert str(wrong.value) == (
        "The 'display_side' parameter of read_inputs must be an int in [1, inf) or None. Got 0 instead."
    )


def test_samples_of_another_shape_are_left_out_and_named(tmp_path):
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(a, np.ones((2, 5), np.float32))
    np.save(b, np.ones((2, 6), np.float32))
    batch, refusals = read_inputs([a, b], InputSpec(kind="array"))
    assert batch.x.shape == (2, 5)
    assert str(refusals[0]) == (
        f"'{b}' has samples (6,) float32, but '{a}' has (5,) float32. "
        "Give samples of one shape and type, or a spec with a 'size'."
    )
