"""Maps by position of an occluder, bars, and files."""

import numpy as np
import pytest
from PIL import Image

from tests.render.figures import Figures, words
from xaionnx import Explanation, render
from xaionnx.errors import DataError, ParameterError, StorageError
from xaionnx.render.position_maps import _CLASSES, _OTHERS

DROP = np.array([[0.0, 3.0, 0.0], [0.0, 0.0, -3.0]])
TOP = np.array([[4, 4, 4], [4, 7, 2]])


def occluded(**maps):
    maps = maps or {"drop": DROP, "probability": DROP / 6 + 0.5, "top_class": TOP, "activation": DROP + 3}
    return Explanation(
        "occlusion",
        np.zeros((1, 1, 20, 30)),
        np.array(["cat (4)"]),
        np.array([2.0]),
        maps={name: cells[None] for name, cells in maps.items()},
    )


def count(image, colour):
    return int((np.asarray(image) == np.array(colour, np.uint8)).all(axis=2).sum())


def test_the_top_class_has_the_area_of_its_positions():
    image = render.positions(occluded(top_class=TOP), side=200)
    cell = 100 * 100
    frame = 4 * 300
    chip = 20 * 20
    assert abs(count(image, _CLASSES[0]) - 4 * cell) <= frame + chip
    # Of two equally frequent classes, the lower number comes first.
    assert abs(count(image, _CLASSES[1]) - cell) <= frame + chip
    assert abs(count(image, _CLASSES[2]) - cell) <= frame + chip


def test_further_classes_share_one_grey():
    many = np.arange(30).reshape(5, 6)
    image = render.positions(occluded(top_class=many), side=250)
    assert abs(count(image, _OTHERS) - 23 * 50 * 50) <= 4 * 300 + 400


def test_the_drop_is_symmetric_about_white():
    cells = np.asarray(render.positions(occluded(drop=DROP), side=200))
    red = (cells[..., 0].astype(int) - cells[..., 2] > 120).sum()
    blue = (cells[..., 2].astype(int) - cells[..., 0] > 120).sum()
    assert red > 9000
    assert blue > 9000


def test_every_map_and_the_photo_have_a_panel():
    widths = [
        render.positions(occluded(drop=DROP), side=100).width,
        render.positions(occluded(), side=100).width,
        render.positions(occluded(), np.zeros((20, 30, 3), np.uint8), side=100).width,
    ]
    assert widths[1] - widths[0] == 3 * (150 + 14)
    assert widths[2] - widths[1] == 150 + 14


def test_labels_that_do_not_reach_are_refused():
    with pytest.raises(DataError) as caught:
        render.positions(occluded(), labels=["a", "b"])
    assert str(caught.value) == (
        "The map 'top_class' holds class 7, but there are 2 labels. "
        "Give one label per class, in the order of the outputs."
    )


def test_no_maps_and_bad_maps_are_refused():
    with pytest.raises(DataError) as caught:
        render.positions(Explanation("rise", np.zeros((1, 1, 4, 4)), np.array(["a"]), np.array([1.0])))
    assert str(caught.value) == (
        "The rise explanation has no maps by position of an occluder in a picture. "
        "Explain the picture with occlusion, or draw it with render.overlay."
    )
    with pytest.raises(DataError, match="The map 'drop' of the occlusion explanation holds NaN or infinity"):
        render.positions(occluded(drop=DROP * np.nan))
    with pytest.raises(ParameterError, match=r"'side' parameter of positions must be an int in \[100, inf\). Got 5"):
        render.positions(occluded(), side=5)


def table(values=(3.0, -1.0, 0.5), errors=None):
    standard = None if errors is None else np.array([errors])
    return Explanation(
        "shapley_sampling", np.array([values]), np.array(["good"]), np.array([1.0]), standard_error=standard
    )


def reddish(image):
    """For each row of pixels, how many of them are the red of a bar."""
    return (np.asarray(image) == np.array([0xD6, 0x28, 0x3C], np.uint8)).all(axis=2).sum(axis=1)


def test_bars_are_as_long_as_their_values_and_the_strongest_is_on_top():
    rows = reddish(render.bars(table((0.5, 3.0, 1.5))))
    lengths = [int(v) for v in dict.fromkeys(rows[rows > 5])]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] / max(v for v in lengths if v < 0.8 * lengths[0]) == pytest.approx(2, rel=0.03)


def test_standard_errors_are_drawn():
    def longest_dark_run(image):
        dark = np.asarray(image.convert("L")) < 90
        longest, run = 0, np.zeros(len(dark), int)
        for column in dark.T:
            run = (run + 1) * column
            longest = max(longest, int(run.max()))
        return longest

    without, small, large = (
        longest_dark_run(render.bars(table((3.0, -1.0, 2.0), errors)))
        for errors in (None, (0.0, 0.0, 0.5), (0.0, 0.0, 1.0))
    )
    assert without < 0.2 * small
    assert large == pytest.approx(2 * small, rel=0.05)


def test_padding_of_features_is_left_out_and_the_rest_named():
    one = Explanation(
        "lime",
        np.zeros((1, 1, 4, 4)),
        np.array(["cat"]),
        np.array([1.0]),
        feature_values=np.array([[1.0, -2.0, np.nan, np.nan]]),
        standard_error=np.array([[0.1, 0.1, np.nan, np.nan]]),
    )
    assert render.bars(one, ["ear", "tail"]).mode == "RGB"
    with pytest.raises(DataError, match="There are 3 names for 2 features"):
        render.bars(one, ["ear", "tail", "paw"])


def test_bars_refuse_what_cannot_be_drawn():
    with pytest.raises(DataError, match="The shapley_sampling values hold NaN or infinity"):
        render.bars(table((1.0, np.inf, 2.0)))
    with pytest.raises(ParameterError, match=r"The 'top' parameter of bars must be an int in \[1, inf\). Got 0"):
        render.bars(table(), top=0)
    with pytest.raises(ParameterError, match=r"The 'sample' parameter of bars must be an int in \[0, 0\]. Got 3"):
        render.bars(table(), sample=3)


def test_bars_do_not_touch_matplotlibs_settings():
    import matplotlib

    before = dict(matplotlib.rcParams)
    first = render.bars(table()).tobytes()
    assert dict(matplotlib.rcParams) == before
    assert render.bars(table()).tobytes() == first


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "pdf", "PNG"])
def test_equal_pictures_are_equal_files(tmp_path, suffix):
    image = render.overlay(
        Explanation("rise", np.eye(20)[None, None], np.array(["a"]), np.array([1.0])), np.zeros((20, 20, 3), np.uint8)
    )
    paths = [render.save(image, tmp_path / f"{i}.{suffix}") for i in range(2)]
    contents = [path.read_bytes() for path in paths]
    assert contents[0] == contents[1]
    assert b"CreationDate" not in contents[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"0.{suffix}", f"1.{suffix}"]
    if suffix != "pdf":
        with Image.open(paths[0]) as again:
            assert again.size == image.size


def test_a_png_keeps_every_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    path = render.save(Image.fromarray(pixels), tmp_path / "a.png")
    with Image.open(path) as again:
        assert np.array_equal(np.asarray(again), pixels)


@pytest.mark.parametrize(("name", "suffix"), [("cat.bmp", ".bmp"), ("cat", "")])
def test_other_suffixes_are_refused(tmp_path, name, suffix):
    with pytest.raises(ParameterError) as caught:
        render.save(Image.new("RGB", (2, 2)), tmp_path / name)
    assert str(caught.value) == (
        f"Cannot save a picture as '{name}': the suffix must be one of .png, .jpg, .jpeg, .webp, .gif, .pdf. "
        f"Got '{suffix}' instead."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match="Choose another folder"):
        render.save(Image.new("RGB", (2, 2)), tmp_path / "none" / "a.png")


def test_positions_follow_the_theme():
    dark = render.style_of("dark")
    assert (np.asarray(render.positions(occluded(), style=dark))[0, 0] == dark.paper).all()


def test_elements_of_arrays_of_many_axes_are_named_by_their_place(monkeypatch):
    figures = Figures(monkeypatch)
    values = np.zeros((1, 3, 4, 5))
    values[0, 2, 1, 3] = 1.5
    render.bars(Explanation("saliency", values, np.array(["y"]), np.ones(1)), top=2)
    assert "element [2, 1, 3]" in words(figures.last())
