"""Kinds of pictures of photos: a share, contours, for and against, all targets, deletion; and smoothing."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tests.render.figures import listen
from xaionnx import Explanation, render
from xaionnx.errors import ParameterError
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, pixel_map, smoothed
from xaionnx.render.painting import strongest_share
from xaionnx.render.picture import Scene
from xaionnx.render.pictures.deletion import Deletion
from xaionnx.render.themes import LIGHT

SIDE = 400
PHOTO = np.full((SIDE, SIDE, 3), 200, np.uint8)


def explained(values, **further):
    values = np.asarray(values, np.float64)
    facts = {"value_kind": "contribution", "quantity": "logit"}
    return Explanation(
        "saliency", values[None, None], np.array(["cat (3)"]), np.array([2.5]), provenance=facts, **further
    )


def ramp():
    return np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))


def reddish(image):
    array = np.asarray(image).astype(int)
    return (array[..., 0] > array[..., 2] + 25).mean()


def bluish(image):
    array = np.asarray(image).astype(int)
    return (array[..., 2] > array[..., 0] + 25).mean()


def speckled(rng, side=100):
    return rng.normal(size=(side, side)) ** 2


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_share_is_that_of_the_pixels_with_the_largest_values(share, rng):
    values = rng.permutation(np.arange(10_000.0)).reshape(100, 100) - 3000
    for sign in ("signed", "positive"):
        found = pixel_map(explained(values), Extent(100, 100))
        kept = strongest_share(found, scale_of(values, sign, 99, "overlay"), share)
        ranked = np.maximum(values, 0) if sign == "positive" else np.abs(values)
        assert kept.sum() == pytest.approx(share * 10_000, abs=2)
        assert ranked[kept].min() >= ranked[~kept].max()


def test_a_share_of_a_sparse_map_holds_no_zeros():
    values = np.zeros((100, 100))
    values[:2, :5] = 1
    found = pixel_map(explained(values), Extent(100, 100))
    assert strongest_share(found, scale_of(values, "auto", 99, "overlay"), 0.2).sum() == 10


def test_a_share_needs_no_features_and_the_caption_says_it(monkeypatch):
    said = listen(monkeypatch)
    image = render.overlay(explained(ramp()), PHOTO, top=0.1)
    assert any("Only the strongest 10 % of the picture is shown." in line for line in said)
    # The photo itself is seen there, and a colour is over it.
    assert 0.05 < reddish(image) < 0.15
    for wrong in (0.0, 1.0, -0.5, True):
        with pytest.raises(ParameterError, match="a share of the picture"):
            render.overlay(explained(ramp()), PHOTO, top=wrong)
    with pytest.raises(ParameterError, match="a share is for maps"):
        explained(ramp()).plot(kind="bar", top=0.1)


def test_speckled_maps_are_smoothed_and_the_caption_says_so(monkeypatch, rng):
    said = listen(monkeypatch)
    one, photo = explained(speckled(rng)), np.full((100, 100, 3), 90, np.uint8)
    render.overlay(one, photo)
    assert any("Smoothed by a Gaussian of 1 pixels" in line and "smooth=0" in line for line in said)
    said.clear()
    render.overlay(one, photo, smooth=0)
    render.overlay(explained(ramp()), PHOTO)
    assert not any("Smoothed" in line for line in said)


def test_smoothing_is_a_gaussian_mean(rng):
    from scipy import ndimage

    values = rng.normal(size=(80, 90))
    found = smoothed(pixel_map(explained(values), Extent(80, 90)), 2, "signed", "overlay")
    np.testing.assert_allclose(found.values, ndimage.gaussian_filter(values, 2, mode="nearest"))
    sizes = smoothed(pixel_map(explained(values), Extent(80, 90)), 2, "absolute", "overlay")
    np.testing.assert_allclose(sizes.values, ndimage.gaussian_filter(np.abs(values), 2, mode="nearest"))
    # Small maps are as they are, and so are regions.
    small = pixel_map(explained(values[:28, :28]), Extent(28, 28))
    assert smoothed(small, None, "auto", "overlay") is small
    with pytest.raises(ParameterError, match="'smooth' parameter of overlay must be a float"):
        smoothed(small, -1, "auto", "overlay")


def test_contours_are_at_the_levels_and_leave_the_photo():
    image = np.asarray(render.picture(explained(ramp()), "contours", photo=PHOTO))
    top = next(y for y in range(len(image)) if (image[y] == 200).all(axis=1).sum() > SIDE / 2)
    row = (image[top + SIDE // 2] == 200).all(axis=1)
    left = int(row.argmax())
    changed = np.flatnonzero(~row[left : left + SIDE])
    centres = [group.mean() for group in np.split(changed, np.flatnonzero(np.diff(changed) > 5) + 1)]
    # The scale ends at the 99th percentile.
    np.testing.assert_allclose(centres, np.array([0.25, 0.5, 0.75]) * 0.99 * SIDE, atol=4)
    assert len(changed) < 40


def test_for_and_against_are_apart():
    values = np.zeros((SIDE, SIDE))
    values[:100], values[300:] = 2.0, -1.0
    image = render.picture(explained(values), "for_and_against", photo=PHOTO)
    middle = image.width // 2
    left, right = image.crop((0, 0, middle, image.height)), image.crop((middle, 0, *image.size))
    assert reddish(left) > 0.1 > 0.01 > bluish(left)
    assert bluish(right) > 0.1 > 0.01 > reddish(right)


def test_for_and_against_of_one_sign_say_that_the_other_is_missing(monkeypatch):
    said = listen(monkeypatch)
    render.picture(explained(ramp()), "for_and_against", photo=PHOTO)
    assert any("No value is below zero." in line for line in said)
    assert {"raises the prediction", "lowers the prediction"} <= set(said)


def test_all_targets_are_side_by_side_on_one_scale(monkeypatch):
    said = listen(monkeypatch)
    one = explained(ramp())
    both = dataclasses.replace(
        one,
        values=np.stack([one.values, 3 * one.values]),
        target=np.array([["cat (3)"], ["dog (4)"]]),
        prediction=np.array([[2.5], [1.0]]),
        diagnostics={"probability": [[0.8, 0.1]], "rival": [[["dog (4)", 0.1], ["cat (3)", 0.8]]]},
    )
    render.picture(both, "targets", photo=PHOTO)
    assert said[:5] == ["photo", "cat (3)", "probability 0.8 (logit 2.5)", "dog (4)", "probability 0.1 (logit 1)"]
    beside = render.picture(both, "targets", photo=PHOTO)
    said.clear()
    green = np.zeros_like(PHOTO)
    green[..., 1] = 255
    inset = render.picture(both, "targets", photo=green, original="inset")
    assert said[0] == "cat (3)"
    assert inset.width < beside.width
    # The photo is in colour in both maps, which show it in gray.
    columns = np.flatnonzero((np.asarray(inset) == (0, 255, 0)).all(axis=2).sum(axis=0) > 20)
    assert len(np.flatnonzero(np.diff(columns) > 1)) == 1
    with pytest.raises(ParameterError, match="values of several targets"):
        render.picture(one, "targets", photo=PHOTO)


def test_the_photo_is_inset_where_colours_are_weakest():
    image = np.asarray(render.overlay(explained(ramp()), PHOTO // 2, original="inset"))
    inside = (image == 100).all(axis=2)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert inside.sum() == pytest.approx((SIDE / 4) ** 2, rel=0.15)
    assert columns.max() < SIDE / 2
    assert np.ptp(rows) < SIDE / 3
    with pytest.raises(ParameterError, match="must be True, False, 'beside' or 'inset'"):
        render.overlay(explained(ramp()), PHOTO, original="left")


def test_a_line_is_at_half_of_the_scale_where_the_photo_is_dark(monkeypatch):
    said = listen(monkeypatch)
    render.overlay(explained(ramp()), PHOTO)
    assert not any("half of the scale" in line for line in said)
    render.overlay(explained(ramp()), PHOTO // 10)
    assert any("The line is at half of the scale." in line for line in said)


def test_headings_name_the_probability_and_the_next_class_where_the_model_is_unsure(monkeypatch):
    for chance, rival, expected in [
        (0.9, 0.05, ["cat (3) · probability 0.9 (logit 2.5)"]),
        (0.99971, 0.0002, ["cat (3) · probability 0.9997 (logit 2.5)"]),
        (0.5, 0.3, ["cat (3) · probability 0.5 (logit 2.5)", "next class: dog (4), probability 0.3"]),
        (0.2, 0.7, ["cat (3) · probability 0.2 (logit 2.5)", "highest class: dog (4), probability 0.7"]),
    ]:
        said = listen(monkeypatch)
        one = explained(ramp(), diagnostics={"probability": [chance], "rival": [["dog (4)", rival]]})
        render.overlay(one, PHOTO)
        assert [line for line in said[:2] if "probability" in line] == expected
        monkeypatch.undo()


# What replaces removed parts: green above, blue below.
REPLACEMENT = np.zeros((1, 10, 10, 3), np.uint8)
REPLACEMENT[:, :5, :, 1] = REPLACEMENT[:, 5:, :, 2] = 255


def with_curves(steps=4):
    curve = np.linspace(0.9, 0.1, steps + 1)[None]
    facts = {"removal_curves": {"baseline": 0.0, "steps": steps, "probability": True}}
    one = explained(ramp())
    maps = {"deletion": curve, "insertion": curve[:, ::-1], "baseline": REPLACEMENT}
    return dataclasses.replace(one, maps=maps, provenance=one.provenance | facts)


def test_a_film_removes_and_inserts_the_strongest_first(monkeypatch):
    said = listen(monkeypatch)
    frames = render.film(with_curves(), PHOTO)
    assert len(frames) == 5
    assert len({frame.size for frame in frames}) == 1
    assert {"50 % removed", "25 % inserted", "probability 0.5"} <= set(said)
    # The area below the straight curves.
    assert any("0.5 for deletion (lower is better), 0.5 for insertion" in line for line in said)
    for colour in ((0, 255, 0), (0, 0, 255)):
        replaced = [(np.asarray(frame) == colour).all(axis=2).sum() for frame in frames]
        # What one panel loses the other gets.
        np.testing.assert_allclose(replaced, replaced[0], rtol=0.02)
    course = Deletion._course(with_curves(), Scene(photo=PHOTO))
    removed = np.asarray(course.panel(LIGHT, "deletion", 1).picture)
    assert (removed[:40, -40:] == [0, 255, 0]).all()
    assert (removed[-40:, -40:] == [0, 0, 255]).all()
    assert (removed[:, :100] == 200).all()


def test_a_film_of_a_hindrance_removes_what_raises_the_target_first():
    one = with_curves()
    one = dataclasses.replace(one, provenance=one.provenance | {"value_kind": "hindrance"})
    removed = np.asarray(Deletion._course(one, Scene(photo=PHOTO)).panel(LIGHT, "deletion", 1).picture)
    assert (removed[:, -100:] == 200).all()
    assert not (removed[:, :40] == 200).any()


def test_a_film_is_saved_as_gif(tmp_path):
    frames = [Image.new("RGB", (8, 8), (50 * k, 0, 0)) for k in range(3)]
    with Image.open(render.save(frames, tmp_path / "a.gif")) as saved:
        assert saved.n_frames == 3
        assert saved.info["loop"] == 0
    with pytest.raises(ParameterError, match="saved as"):
        render.save(frames, tmp_path / "a.png")
    with pytest.raises(ParameterError, match="picture made by render"):
        render.save([], tmp_path / "a.gif")


@pytest.mark.parametrize("kind", ["contours", "for_and_against"])
def test_kinds_show_the_photo_itself_on_request_and_refuse_what_they_cannot_do(kind):
    one, photo = explained(ramp()), PHOTO // 2
    alone, inset, beside = (
        render.picture(one, kind, photo=photo, original=original) for original in (False, "inset", "beside")
    )
    assert inset.size == alone.size
    assert inset.tobytes() != alone.tobytes()
    assert beside.width >= alone.width + SIDE
    with pytest.raises(ParameterError, match="Leave 'top' out, or draw a map"):
        render.picture(one, kind, photo=photo, top=0.1)
    with pytest.raises(ParameterError, match="'original' parameter of picture must be True, False, 'beside'"):
        render.picture(one, kind, photo=photo, original="left")
