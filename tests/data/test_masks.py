"""Masks that are pictures: black and one other colour, whatever the file; anything else is no mask."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from models import planted
from xaionnx import Dataset, InputSpec, Model
from xaionnx.data.masks import read_mask
from xaionnx.errors import DataError

# The colours of classes 0 to 8 of PASCAL VOC.
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128, 0, 128, 128, 128, 128, 128, 64, 0, 0]
PLACE = np.zeros((30, 40), bool)
PLACE[8:20, 5:27] = True


def of_classes(numbers):
    picture = Image.fromarray(np.asarray(numbers, np.uint8))
    picture.putpalette(VOC)
    return picture


def colored(color):
    return Image.fromarray(np.where(PLACE[..., None], np.uint8(color), np.uint8(0)))


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(PLACE),
        Image.fromarray(PLACE * np.uint8(255)),
        Image.fromarray(PLACE * np.uint8(1)),
        Image.fromarray(PLACE * np.uint16(1)),
        Image.fromarray(PLACE * np.uint16(26001)),
        of_classes(PLACE * 4),
        of_classes(PLACE * 8),
        colored((0, 0, 90)),
        colored((255, 255, 255)).convert("RGBA"),
    ],
    ids=["bits", "white", "ones", "one of 16 bits", "instances", "voc 4", "voc 8", "blue", "opaque"],
)
def test_the_place_is_what_is_not_black(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), PLACE)


def areas(*levels):
    picture = PLACE * np.uint8(levels[0])
    for at, level in enumerate(levels[1:]):
        picture[3 * at : 3 * at + 3] = level
    return Image.fromarray(picture)


@pytest.mark.parametrize(
    "picture",
    [
        areas(3, 255),
        areas(255, 128),
        areas(1, 2, 5),
        Image.fromarray(1 + PLACE * np.uint8(1)),
        of_classes(PLACE * 4 + ~PLACE * 8),
        Image.fromarray(np.dstack([PLACE * np.uint8(128), ~PLACE * np.uint8(128), PLACE * np.uint8(0)])),
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)),
    ],
    ids=["ignored is 255", "trimap", "three classes", "no black", "two classes", "two colours", "photograph"],
)
def test_class_numbers_and_photographs_are_no_masks(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png' is no mask: it has [\d,]+ colours, where a mask has black and one"):
        read_mask(tmp_path / "a.png")


def test_transparent_parts_are_no_mask(tmp_path):
    Image.fromarray(np.dstack([np.full((30, 40, 3), 255, np.uint8), PLACE * np.uint8(255)])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="transparent parts, which are neither black nor white"):
        read_mask(tmp_path / "a.png")


def drawn(size=(160, 120)):
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).ellipse([30, 20, 110, 90], fill=255)
    ImageDraw.Draw(picture).rectangle([90, 60, 150, 115], fill=255)
    return picture


@pytest.mark.parametrize("name", ["JPEG 30", "JPEG 90", "WEBP 80", "turned", "blurred", "halved"])
def test_edges_may_be_smooth(tmp_path, name):
    """As lossy formats, resizing and blurring leave them."""
    plain = drawn()
    whole = np.asarray(plain) > 0
    kind, _, quality = name.partition(" ")
    if quality:
        data = io.BytesIO()
        plain.save(data, kind, quality=int(quality))
        path = tmp_path / f"a.{kind.lower()}"
        path.write_bytes(data.getvalue())
    else:
        made = {
            "turned": plain.rotate(0.01, Image.Resampling.BICUBIC),
            "blurred": plain.filter(ImageFilter.GaussianBlur(2)),
            "halved": plain.resize((80, 60), Image.Resampling.LANCZOS).resize((160, 120), Image.Resampling.BILINEAR),
        }
        path = tmp_path / "a.png"
        made[name].save(path)
    assert (read_mask(path) != whole).mean() < 0.01


@pytest.fixture(scope="module")
def model():
    """A model of pictures of 30 x 40 pixels."""
    spec = InputSpec(kind="picture", layout="NCHW", size=(30, 40), color="L", scale=255.0, resize="crop")
    return planted.load(planted.mean_picture(30, 40), spec=spec)


def of_folder(folder, model, **given):
    blocks = list(Dataset.of(folder / "in", masks=folder / "masks", **given).batches(model))
    return [block.masks for block in blocks if block.inputs], [one.reason for block in blocks for one in block.refused]


def photo(path, size, **more):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)).save(path, **more)


def test_a_mask_lies_on_the_picture(tmp_path, model):
    """Of twice and half its size, and of the size that the model sees; the picture is cut to the model's form."""
    photo(tmp_path / "in" / "a.png", (60, 100))
    (tmp_path / "masks").mkdir()
    whole = np.pad(PLACE.repeat(2, 0).repeat(2, 1), [(0, 0), (10, 10)])
    for made in (whole, whole.repeat(2, 0).repeat(2, 1), whole[::2, ::2], PLACE):
        Image.fromarray(made).save(tmp_path / "masks" / "a.png")
        (masks,), refused = of_folder(tmp_path, model)
        np.testing.assert_array_equal(masks, [PLACE])
        assert not refused


def test_a_mask_of_another_form_is_none_of_the_picture(tmp_path, model):
    photo(tmp_path / "in" / "a.png", (60, 100))
    (tmp_path / "masks").mkdir()
    Image.new("1", (60, 100), 1).save(tmp_path / "masks" / "a.png")
    found, (refused,) = of_folder(tmp_path, model)
    assert not found
    assert "masks/a.png' has 100 x 60 pixels, and the picture 60 x 100. Save the mask in the size" in refused


def test_the_mask_of_a_turned_picture_is_upright(tmp_path, model):
    """The orientation of the file is applied to the picture alone: the mask was drawn on what is shown."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path / "in" / "a.png", (100, 60), exif=exif)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.pad(PLACE.repeat(2, 0).repeat(2, 1), [(0, 0), (10, 10)])).save(tmp_path / "masks" / "a.png")
    (masks,), refused = of_folder(tmp_path, model, exif=True)
    np.testing.assert_array_equal(masks, [PLACE])
    assert not refused
    found, (refused,) = of_folder(tmp_path, model)
    assert not found
    assert "has 60 x 100 pixels, and the picture 100 x 60" in refused


def test_without_a_size_of_the_model_masks_have_that_of_their_picture(tmp_path):
    spec = InputSpec(kind="picture", layout="NCHW", color="RGB", scale=255.0)
    model = planted.load(planted.bag_of_patches(), spec=spec)
    for name in "ab":
        photo(tmp_path / "in" / f"{name}.png", (6, 6, 3))
    (tmp_path / "masks").mkdir()
    Image.new("1", (6, 6), 1).save(tmp_path / "masks" / "a.png")
    Image.new("1", (12, 12), 1).save(tmp_path / "masks" / "b.png")
    (masks,), (refused,) = of_folder(tmp_path, model)
    assert masks.shape == (1, 6, 6)
    assert "b.png' has 12 x 12 pixels, and the picture 6 x 6" in refused


def test_what_is_no_picture_is_no_mask_and_two_pictures_are_none(tmp_path, model: Model):
    photo(tmp_path / "in" / "a.png", (30, 40))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.json").write_text("{}")
    found, (refused,) = of_folder(tmp_path, model)
    assert not found
    assert "There is no mask of the name 'a'" in refused
    Image.fromarray(PLACE).save(tmp_path / "masks" / "a.png")
    (masks,), refused = of_folder(tmp_path, model)
    np.testing.assert_array_equal(masks, [PLACE])
    assert not refused
    photo(tmp_path / "masks" / "a.jpg", (30, 40))
    found, (refused,) = of_folder(tmp_path, model)
    assert not found
    assert "a.jpg' and '" in refused
    assert "may both be the mask of 'a'. Keep one." in refused
