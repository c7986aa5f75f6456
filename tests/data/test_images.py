"""Picture files: formats, conversions, refusals and their messages."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from xaionnx.data.folders import expand
from xaionnx.data.images import fit, read_picture, seen_box
from xaionnx.errors import DataError, PictureError

FORMATS = "PNG, JPEG, WebP, BMP, TIFF, GIF"
OTHER = "{} is not a picture of a supported format (" + FORMATS + "). Convert it to PNG."


def noise(shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def encoded(array, format_="PNG", **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def png(pixels, depth, color, size=None):
    """Write a PNG by its specification (ISO/IEC 15948), for bit depths that Pillow does not write."""
    height, width = size or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.fixture
def save(tmp_path):
    def write(data, name="picture"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_give_back_every_pixel(save, format_):
    pixels = noise((13, 17, 3))
    picture = read_picture(save(encoded(pixels, format_)))
    assert picture.array.dtype == np.uint8
    assert np.array_equal(picture.array, pixels)
    assert picture.notes == ()
    assert len(picture.sha256) == 64


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(save, format_):
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    picture = read_picture(save(encoded(ramp, format_, quality=95)))
    assert np.abs(picture.array.astype(int) - ramp).max() <= 6


def test_gif_and_gray_and_bilevel_and_cmyk_say_what_was_converted(save):
    gray = noise((5, 6))
    read = read_picture(save(encoded(gray)))
    assert np.array_equal(read.array, np.repeat(gray[..., None], 3, axis=2))
    assert read.notes == ("gray is repeated to RGB",)
    assert read_picture(save(encoded(Image.fromarray(noise((5, 6, 3))).quantize(8), "GIF"))).notes == (
        "a palette is converted to RGB",
    )
    assert read_picture(save(encoded(Image.new("1", (4, 4), 1)))).notes == ("black and white is repeated to RGB",)
    cmyk = read_picture(save(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG")))
    assert cmyk.notes == ("CMYK is converted to RGB without a colour profile",)
    assert cmyk.array.max() == 0


def test_12_bits_in_a_file_of_16_are_said_to_be_nearly_black(save):
    """An X-ray whose white is 4095 is not stretched: that would change every file that is meant to be dark."""
    for largest, dark in ((4095, True), (8191, False)):
        wide = np.array([[0, 100], [1000, largest]], np.uint16)
        picture = read_picture(save(png(wide, 16, 0)))
        assert picture.array[1, 1, 0] == round(largest / 257)
        assert (
            f"it is nearly black: its largest number is {largest:,} of 65,535; scale it first" in picture.notes
        ) == dark


def test_16_bit_gray_is_rounded_not_saturated(save):
    wide = noise((9, 7), dtype=np.uint16)
    picture = read_picture(save(png(wide, 16, 0)))
    assert np.array_equal(picture.array[..., 0], np.rint(wide / 65535 * 255).astype(np.uint8))
    assert picture.notes == ("16-bit gray is rounded to 8 bits", "gray is repeated to RGB")
    tiff = read_picture(save(encoded(wide, "TIFF")))
    assert np.array_equal(tiff.array, picture.array)


def test_16_bit_colour_is_within_one_level_and_noted(save):
    wide = noise((9, 7, 3), dtype=np.uint16)
    picture = read_picture(save(png(wide, 16, 2)))
    assert np.abs(picture.array - wide / 257).max() <= 1
    assert picture.notes == ("16 bits per channel are reduced to the upper 8",)


def test_transparency_is_composited_on_white(save):
    pixels = noise((6, 5, 4))
    picture = read_picture(save(encoded(pixels)))
    alpha = pixels[..., 3:] / 255
    assert np.abs(picture.array - (pixels[..., :3] * alpha + 255 * (1 - alpha))).max() <= 1
    assert picture.notes == ("transparent parts are composited on white",)
    pixels[..., 3] = 255
    opaque = read_picture(save(encoded(pixels)))
    assert np.array_equal(opaque.array, pixels[..., :3])
    assert opaque.notes == ("an opaque alpha channel is dropped",)
    # a transparent colour of a picture without alpha channel
    keyed = read_picture(save(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3))))
    assert keyed.array.min() == 255


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_rotation_is_off_by_default_and_noted(save, orientation):
    from PIL import ImageOps

    image = Image.fromarray(noise((4, 6, 3)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(encoded(image, exif=exif))
    plain, turned = read_picture(path), read_picture(path, exif=True)
    assert np.array_equal(plain.array, np.asarray(image))
    assert plain.notes == (f"EXIF orientation {orientation} is not applied",)
    with Image.open(path) as reference:
        assert np.array_equal(turned.array, np.asarray(ImageOps.exif_transpose(reference)))
    assert turned.notes == (f"EXIF orientation {orientation} is applied",)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(save, format_):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    options = {"lossless": True} if format_ == "WEBP" else {}
    picture = read_picture(save(encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)))
    assert np.array_equal(picture.array[0, 0], [255, 0, 0])
    assert picture.notes[0] == "the first of 3 frames is read"


BOMB = png(np.zeros((1, 1)), 1, 0, size=(10000, 12000))
SOUND = encoded(noise((20, 20, 3)))
JPEG = encoded(noise((40, 40, 3)), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "{} is empty (0 bytes). Copy or download it again."),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "{} is a Git LFS pointer, not the picture. Run 'git lfs pull' in its repository.",
        ),
        (b"a cat on a wall\n", "{} is text, not a picture. Give a file of one of these formats: " + FORMATS + "."),
        (b"<svg>\xc3\xa9" * 500, "{} is text, not a picture. Give a file of one of these formats: " + FORMATS + "."),
        (
            b"%PDF-1.7\n\xe2\xe3\xcf",
            OTHER,
        ),
        (
            encoded(noise((4, 4, 3)), "PPM"),
            OTHER,
        ),
        (b"\0" * 100, OTHER),
        (SOUND[:-400], "{} is a truncated or damaged PNG file. Copy or export it again."),
        (SOUND[:20], "{} is a truncated or damaged PNG file. Copy or export it again."),
        (JPEG[: len(JPEG) // 2], "{} is a truncated or damaged JPEG file. Copy or export it again."),
        (b"\xff\xd8\xff" + b"\0" * 50, "{} is a truncated or damaged JPEG file. Copy or export it again."),
        (BOMB, "{} is 10000 x 12000 pixels, over the limit of 50 megapixels. Make it smaller first."),
        (
            png(np.zeros((1, 1)), 1, 0, size=(60000, 60000)),
            "{} is over the limit of 50 megapixels. Make it smaller first.",
        ),
        (
            encoded(noise((4, 4)).astype(np.float32) / 255, "TIFF"),
            "{} has floating-point pixels, whose black and white are unknown. "
            "Scale them to 0..255 and save as PNG, or pass the tensor as .npy.",
        ),
        (
            encoded(noise((4, 4)).astype(np.int32), "TIFF"),
            "{} has 32-bit pixels, whose black and white are unknown. "
            "Scale them to 0..255 and save as PNG, or pass the tensor as .npy.",
        ),
        (
            encoded(Image.new("LAB", (4, 4)), "TIFF"),
            "{} has the unsupported colour mode LAB. Convert it to RGB.",
        ),
    ],
)
def test_bad_files_are_refused_in_these_words(save, data, reason):
    path = save(data)
    with pytest.raises(PictureError) as refused:
        read_picture(path)
    assert str(refused.value) == reason.format(f"'{path}'")


def test_missing_files_folders_and_pipes_are_refused(tmp_path):
    import os

    with pytest.raises(PictureError) as refused:
        read_picture(tmp_path / "cat.png")
    assert str(refused.value) == f"There is no file '{tmp_path / 'cat.png'}'. Check the path."
    with pytest.raises(PictureError) as refused:
        read_picture(tmp_path)
    assert str(refused.value) == f"'{tmp_path}' is a folder, not a picture. Give a file in it."
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError) as refused:
        read_picture(tmp_path / "pipe")
    assert str(refused.value) == (
        f"'{tmp_path / 'pipe'}' is a device or pipe, not a picture. Save the data to a file first."
    )


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError) as refused:
        expand(tmp_path)
    assert str(refused.value) == f"The folder '{tmp_path}' contains no files. Give a folder with data in it."


def test_a_folder_stands_for_all_files_below_it_each_once(tmp_path):
    for name in ("b/2.png", "b/a/1.png", "0.png", "c/.hidden.png", "b/.git/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    # Links that lead back to a folder in which they lie, directly and around.
    (tmp_path / "b" / "a" / "again").symlink_to(tmp_path / "b")
    (tmp_path / "c" / "up").symlink_to(tmp_path)
    files = [str(file.relative_to(tmp_path)) for file in expand(tmp_path)]
    assert files == ["0.png", "b/2.png", "b/a/1.png"]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_files_give_a_picture_or_a_picture_error_and_nothing_else(save, format_):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if format_ not in ("GIF", "BMP") else {}
    sound = encoded(noise((24, 31, 3)), format_, **options)
    rng = np.random.default_rng(3)
    read, messages = 0, []
    for trial in range(150):
        damaged = bytearray(sound)
        if trial % 3 == 0:
            damaged = damaged[: rng.integers(0, len(sound))]
        else:
            # headers are short and break in most ways: half of the flips go there
            end = min(len(sound), 200) if trial % 3 == 1 else len(sound)
            for at in rng.integers(0, end, rng.integers(1, 4)):
                damaged[at] ^= 1 << rng.integers(0, 8)
        path = save(bytes(damaged))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                picture = read_picture(path)
            except PictureError as error:
                messages.append(str(error))
            else:
                assert picture.array.dtype == np.uint8
                assert picture.array.shape[2] == 3
                read += 1
    assert len(messages) > 20
    assert all(message.startswith(f"'{path}' is ") or "pixels" in message for message in messages)
    if format_ == "PNG":
        assert read == 0  # every byte of a PNG is under a checksum


def test_pillows_own_warnings_become_notes(save):
    # IFD entries of type 129 do not exist: Pillow warns of corrupt EXIF data
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01"
    picture = read_picture(save(encoded(noise((8, 8, 3)), "JPEG", exif=exif)))
    assert len(picture.notes) == 1
    assert picture.notes[0].startswith("Pillow warns: ")


def test_crop_keeps_the_centre_and_stretch_and_pad_keep_all():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 50:150] = 255
    cropped = fit(picture, (50, 50), "crop")
    assert cropped[:, 2:-2].min() == 255
    assert cropped.min() > 200  # at the edge the filter still reads some cropped pixels
    stretched = fit(picture, (50, 50), "stretch")
    assert stretched[:, :10].max() == 0
    assert stretched[:, 15:35].min() == 255
    padded = fit(picture, (50, 50), "pad")
    assert padded[:12].max() == padded[38:].max() == 0
    assert padded[14:36, 15:35].min() == 255


def test_seen_box_has_the_inputs_aspect_and_lies_inside():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size, aspect = tuple(rng.integers(1, 999, 2).tolist()), tuple(rng.integers(1, 300, 2).tolist())
        left, upper, right, lower = seen_box(size, aspect)
        assert 0 <= left < right <= size[1]
        assert 0 <= upper < lower <= size[0]
        assert (lower - upper) * aspect[1] == pytest.approx((right - left) * aspect[0])
        assert left == pytest.approx(size[1] - right)


def test_reduction_is_antialiased():
    checkers = np.indices((224, 224)).sum(axis=0) % 2 * 255
    small = fit(checkers.astype(np.uint8), (28, 28), "stretch")
    assert np.abs(small.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("mode", "bits"), [("L", 8), ("RGB", 24), ("RGBA", 32), ("P", 8), ("1", 1), ("I;16", 16)])
def test_a_png_that_ends_before_its_last_row_is_refused(tmp_path, mode, bits, interlaced):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    colour = {"L": 0, "RGB": 2, "RGBA": 6, "P": 3, "1": 0, "I;16": 0}[mode]
    depth = {"1": 1, "I;16": 16}.get(mode, 8)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for left, top, across, down in passes if interlaced else [(0, 0, 1, 1)]:
        columns = len(range(left, 13, across))
        rows += (bytes(1 + -(-columns * bits // 8)) if columns else b"") * len(range(top, 9, down))
    for kept, whole in ((rows, True), (rows[:-1], False), (rows[: len(rows) // 3], False), (b"", False)):
        parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", 13, 9, depth, colour, 0, 0, interlaced))]
        parts += [chunk(b"PLTE", bytes(3))] * (mode == "P")
        packed = zlib.compress(kept)
        parts += [chunk(b"IDAT", packed[:5]), chunk(b"IDAT", packed[5:]), chunk(b"IEND", b"")]
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        if whole:
            assert read_picture(tmp_path / "a.png").array.shape == (9, 13, 3)
        else:
            with pytest.raises(PictureError, match=r"ends before its last row|truncated or damaged"):
                read_picture(tmp_path / "a.png")
