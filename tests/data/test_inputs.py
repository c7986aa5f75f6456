"""Inputs in the forms that users have: they are converted by the spec, and the record reports it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image

import xaionnx
from tests import tiny
from tests.tiny import node, tensor
from xaionnx import methods
from xaionnx.data.images import picture_of
from xaionnx.errors import DataError, InputMismatchError, PictureError
from xaionnx.explainers.occlusion import Occlusion

MODELS = Path("models")
PHOTO = MODELS / "photos" / "cat.png"
TABLE = MODELS / "data" / "german_credit_sample.csv"


@pytest.fixture(scope="module")
def digits() -> xaionnx.Model:
    return xaionnx.Model.load(MODELS / "digits_cnn.onnx")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    with Image.open(PHOTO) as image:
        return np.asarray(image.convert("RGB"))


FORMS = {
    "str": lambda pixels: str(PHOTO),
    "Path": lambda pixels: PHOTO,
    "PIL": Image.fromarray,
    "opened": lambda pixels: Image.open(PHOTO),
    "array": lambda pixels: pixels,
    "arrays": lambda pixels: pixels[None],
    "list": lambda pixels: [pixels],
    "list of paths": lambda pixels: [PHOTO],
    "by name": lambda pixels: {"pixels": PHOTO},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_photo_in_any_form(digits, pixels, form):
    found = digits.read(FORMS[form](pixels)).arrays["pixels"]
    np.testing.assert_array_equal(found, digits.spec.to_tensor([pixels]))


def test_gray_pixels(digits, pixels):
    gray = pixels[..., 0]
    for given in (gray, gray[None]):
        np.testing.assert_array_equal(digits.read(given).arrays["pixels"], digits.spec.to_tensor([gray]))


def test_pixels_have_as_many_channels_as_a_file_may_have(pixels, tmp_path):
    model = xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx")
    gray = pixels[..., :1]
    clear = np.dstack([pixels, np.linspace(0, 255, pixels[..., 0].size).reshape(pixels.shape[:2]).astype(np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png")
    for given, like in ((clear, tmp_path / "clear.png"), (gray, [gray[..., 0]])):
        wanted = model.read(like)
        np.save(tmp_path / "pixels.npy", given)
        for form in (given, given[None], [given], tmp_path / "pixels.npy"):
            found = model.read(form)
            np.testing.assert_array_equal(found.arrays["images"], wanted.arrays["images"])
            assert [note.partition(": ")[2] for note in found.notes] == [n.partition(": ")[2] for n in wanted.notes]


def test_channels_first_are_no_three_gray_pictures(digits, pixels):
    model = xaionnx.Model.load(MODELS / "efficientnet_lite0.onnx")
    first = pixels.transpose(2, 0, 1)
    with pytest.raises(InputMismatchError, match=r"one picture with channels first, or 3 gray ones\? Give x.trans"):
        model.read(first)
    assert len(model.read(list(first)).names) == 3
    # A model of gray pictures is given three of them.
    assert len(digits.read(first).names) == 3


def test_tensors_of_other_libraries(digits, pixels):
    class Tensor:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.array, dtype)

    wanted = digits.read(pixels).arrays["pixels"]
    for form in (Tensor(pixels), [Tensor(pixels)], {"pixels": Tensor(pixels)}, Tensor(wanted)):
        np.testing.assert_array_equal(digits.read(form).arrays["pixels"], wanted)


def test_pictures_of_all_forms_in_one_list(digits, pixels):
    found = digits.read([PHOTO, pixels, Image.fromarray(pixels), str(PHOTO)])
    np.testing.assert_array_equal(found.arrays["pixels"], digits.spec.to_tensor([pixels] * 4))
    assert found.names == (str(PHOTO), "x[1]", "x[2]", str(PHOTO))


def test_the_record_tells_the_file_and_what_was_converted(digits, tmp_path):
    Image.new("L", (9, 9), 90).save(tmp_path / "gray.png")
    given = [tmp_path / "gray.png", Image.new("P", (9, 9))]
    result = xaionnx.explain(digits, given, "occlusion", window=4, stride=4)
    assert {key: result.provenance[key] for key in ("inputs", "file_sha256", "conversions")} == {
        "inputs": [str(tmp_path / "gray.png"), "x[1]"],
        "file_sha256": [hashlib.sha256((tmp_path / "gray.png").read_bytes()).hexdigest(), None],
        "conversions": [
            "pixels are converted to NCHW, 8 x 8, L, black is 0 and white is 1, resized by stretch",
            "x[1]: a palette is converted to RGB",
        ],
    }
    result.save(tmp_path / "e.npz")
    assert xaionnx.Explanation.load(tmp_path / "e.npz").provenance == result.provenance


def test_a_method_takes_what_the_function_takes(digits):
    result = Occlusion(window=4, stride=4).attribute(digits, PHOTO)
    assert result.provenance["inputs"] == [str(PHOTO)]
    np.testing.assert_array_equal(
        result.values, xaionnx.explain(digits, [PHOTO], "occlusion", window=4, stride=4).values
    )


def test_ready_arrays_leave_the_record_as_it_was(digits, pixels):
    x = digits.spec.to_tensor([pixels])
    for given in (x, {"pixels": x}):
        result = xaionnx.explain(digits, given, "occlusion", window=4, stride=4)
        assert not result.provenance.keys() & {"inputs", "file_sha256", "conversions"}


def test_the_command_line_records_the_same(digits, run_explain, tmp_path):
    told = run_explain(PHOTO)
    result = xaionnx.explain(digits, PHOTO, "occlusion", window=4, stride=4)
    np.testing.assert_array_equal(told.values, result.values)
    for key in ("inputs", "file_sha256", "conversions", "input_sha256"):
        assert told.provenance[key] == result.provenance[key]


@pytest.fixture
def run_explain(tmp_path):
    from click.testing import CliRunner
    from xaionnx_cli.app import main

    def call(*inputs):
        words = ["explain", "occlusion", MODELS / "digits_cnn.onnx", *inputs, "--window", "4", "--stride", "4"]
        words += ["-o", tmp_path / "told.npz"]
        assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
        return xaionnx.Explanation.load(tmp_path / "told.npz")

    return call


def test_several_files_of_the_command_line(run_explain, tmp_path):
    Image.new("P", (9, 9)).save(tmp_path / "palette.png")
    told = run_explain(PHOTO, tmp_path / "palette.png")
    assert told.provenance["inputs"] == [str(PHOTO), str(tmp_path / "palette.png")]
    assert told.provenance["file_sha256"] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (PHOTO, tmp_path / "palette.png")
    ]
    assert told.provenance["conversions"][1:] == ["palette.png: a palette is converted to RGB"]


def test_a_table_from_its_file():
    model = xaionnx.Model.load(MODELS / "german_credit_mlp.onnx")
    found = model.read(TABLE)
    rows = TABLE.read_text().splitlines()
    assert found.arrays["features"].shape == (len(rows) - 1, 20)
    assert found.names[0] == f"{TABLE}[0]"
    assert found.provenance()["conversions"] == ["rows are 20 columns in the order of the spec"]
    age = rows[0].split(",").index("age_in_years")
    column = list(model.spec.columns).index("age_in_years")
    assert found.arrays["features"][0, column] == float(rows[1].split(",")[age])


def test_a_bad_row_is_refused_and_not_left_out(tmp_path):
    head, good, *_ = TABLE.read_text().splitlines()
    (tmp_path / "t.csv").write_text(f"{head}\n{good}\n\n")
    model = xaionnx.Model.load(MODELS / "german_credit_mlp.onnx")
    with pytest.raises(DataError, match=r"row 1 \(line 3\): the line is blank"):
        xaionnx.explain(model, tmp_path / "t.csv", "feature_ablation")
    assert len(model.read(tmp_path / "t.csv", partial=True).refused) == 1


def test_a_guessed_spec_is_said(tmp_path, pixels):
    bare = tmp_path / "bare.onnx"
    bare.write_bytes((MODELS / "digits_cnn.onnx").read_bytes())
    note = "no spec beside the model, so it was guessed from its shape: NCHW, 8 x 8, L, black is 0 and white is 1"
    with pytest.warns(UserWarning, match="guessed") as caught:
        result = xaionnx.explain(bare, pixels, "occlusion", window=4, stride=4)
    assert [(str(one.message), one.filename) for one in caught] == [(note, __file__)]
    assert note in result.provenance["conversions"]
    assert result.provenance["guessed_spec"] is True
    # Whoever calls is told at a line of theirs.
    model = xaionnx.Model.load(bare)
    for call in (methods.occlusion, lambda *given, **settings: Occlusion(**settings).attribute(*given)):
        with pytest.warns(UserWarning, match="guessed") as caught:
            call(model, pixels, window=4, stride=4)
        assert [one.filename for one in caught] == [__file__]


def test_nothing_is_guessed_of_ready_arrays(tmp_path):
    bare = tmp_path / "bare.onnx"
    bare.write_bytes((MODELS / "mnist_vae_decoder.onnx").read_bytes())
    np.save(tmp_path / "x.npy", np.zeros((1, 16), np.float32))
    found = xaionnx.Model.load(bare).read(tmp_path / "x.npy")
    assert (found.notes, found.conversion, found.guessed) == ((), None, False)


def test_pixels_that_the_model_itself_takes_stay_as_they_are(tmp_path):
    path = tiny.saved(
        tmp_path / "bytes.onnx",
        [node("Cast", ["x"], ["f"], to=1), node("ReduceMean", ["f"], ["y"], axes=[1, 2], keepdims=0)],
        [tensor("x", ["N", 4, 4, 3], TensorProto.UINT8)],
        [tensor("y", ["N", 3])],
    )
    model = xaionnx.Model.load(path, spec=xaionnx.InputSpec(layout="NHWC", size=(4, 4), mean=1, color="BGR"))
    x = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    for given in (x, [x[0]]):
        found = model.read(given)
        np.testing.assert_array_equal(found.arrays["x"], x)
        assert found.names == ()


def test_strings_are_data_where_the_model_takes_strings(tmp_path):
    path = tiny.saved(
        tmp_path / "words.onnx",
        [node("Identity", ["x"], ["y"])],
        [tensor("x", ["N", 2], TensorProto.STRING)],
        [tensor("y", ["N", 2], TensorProto.STRING)],
    )
    found = xaionnx.Model.load(path).read([["a", "b"]])
    assert found.arrays["x"].tolist() == [["a", "b"]]


def test_several_inputs_from_one_file(tmp_path):
    path = tiny.saved(
        tmp_path / "two.onnx",
        [node("Add", ["a", "b"], ["y"])],
        [tensor("a", ["N", 2]), tensor("b", ["N", 2])],
        [tensor("y", ["N", 2])],
    )
    model = xaionnx.Model.load(path)
    a, b = np.ones((3, 2), np.float32), np.full((3, 2), 2, np.float32)
    np.savez(tmp_path / "x.npz", a=a, b=b)
    found = model.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.arrays["b"], b)
    assert found.names == tuple(f"{tmp_path / 'x.npz'}[{n}]" for n in range(3))
    with pytest.raises(InputMismatchError, match=r"two\.onnx has 2 inputs\. Pass a dict with an array for each"):
        model.read(Image.new("L", (4, 4)))


def test_one_picture_in_an_array_file(digits, pixels, tmp_path):
    np.save(tmp_path / "one.npy", pixels)
    found = digits.read(tmp_path / "one.npy").arrays["pixels"]
    np.testing.assert_array_equal(found, digits.spec.to_tensor([pixels]))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_may_have_their_channels_first(digits, channels, tmp_path):
    last = np.random.default_rng(0).integers(0, 256, (2, 8, 8, channels), np.uint8)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    np.save(tmp_path / "first.npy", first)
    for given in (first, list(first), tmp_path / "first.npy"):
        np.testing.assert_array_equal(digits.read(given).arrays["pixels"], digits.read(last).arrays["pixels"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.png", "There is no file 'nowhere.png'. Check the path."),
        (Image.new("F", (4, 4)), "x[0] has floating-point pixels, whose black and white are unknown."),
        (np.zeros((2, 8, 8, 2), np.uint8), "x is (2, 8, 8, 2) uint8, which is not a picture."),
        (None, "Input 'pixels' of digits_cnn.onnx must be an array, a path, a PIL image, or a list of paths and"),
        ({"pixels": object()}, "Input 'pixels' of digits_cnn.onnx must be an array, a path, a PIL image,"),
    ],
)
def test_what_cannot_be_read(digits, given, message):
    with pytest.raises(DataError) as caught:
        digits.read(given)
    assert str(caught.value).startswith(message)


def test_a_picture_for_a_table():
    with pytest.raises(InputMismatchError, match=r"x\[0\] is a picture, but this model needs the kind 'table'"):
        xaionnx.Model.load(MODELS / "german_credit_mlp.onnx").read(Image.new("L", (4, 4)))


def test_an_array_that_does_not_fit_is_told_with_its_file(digits, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 9, 9), np.float32))
    path = os.fspath(tmp_path / "x.npy")
    with pytest.raises(InputMismatchError) as caught:
        digits.read(path)
    assert str(caught.value).startswith(f"'{path}': Input 'pixels' of digits_cnn.onnx expects ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: (one for one in x), "this generator gives samples one by one. Pass a list of them, or explain "),
        (lambda x: zip(x, range(2), strict=True), "this zip gives samples one by one"),
        (lambda x: [(one, 0) for one in x], "the items of this list make none: they differ in shape"),
        (lambda x: [x[0], x[1, :, :4]], "the items of this list make none: they differ in shape"),
    ],
    ids=["generator", "pairs one by one", "pairs", "two sizes"],
)
def test_samples_that_make_no_array_say_what_to_pass(digits, given, said):
    with pytest.raises(InputMismatchError, match=f"Input 'pixels' of digits_cnn.onnx must be .*{said}"):
        digits.read(given(np.zeros((2, 1, 8, 8), np.float32)))


def test_exif_of_a_picture_in_memory():
    image = Image.new("RGB", (4, 2))
    image.getexif()[0x0112] = 6
    assert picture_of(image).notes == ("EXIF orientation 6 is not applied",)
    turned = picture_of(image, exif=True)
    assert turned.array.shape == (4, 2, 3)
    assert turned.notes == ("EXIF orientation 6 is applied",)


def test_a_picture_whose_file_is_closed():
    with Image.open(PHOTO) as image:
        pass
    with pytest.raises(PictureError, match="the picture cannot be decoded; its file may be closed"):
        picture_of(image)
