"""Pictures of features: one number for each group, borders, and the top ones."""

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.render.colours import scale_of
from xaionnx.render.maps import Extent, pixel_map
from xaionnx.render.painting import Look, borders, painted, top_players

SIDE = 40
LABELS = np.zeros((SIDE, SIDE), np.int32)
LABELS[:, 15:] = 1
LABELS[22:, 15:] = 2
LABELS[22:, 30:] = 3
PLAYERS = np.array([0.5, -2.0, 1.0, 0.1])


def grouped(players=PLAYERS, labels=LABELS, channels=3, padded=0):
    values = np.broadcast_to(players[labels], (channels, *labels.shape))[None]
    feature_values = np.concatenate([players, np.full(padded, np.nan)])[None]
    target, prediction = np.array(["cat (3)"]), np.array([2.0])
    return Explanation("lime", values, target, prediction, feature_values=feature_values, features=labels[None, None])


def test_a_groups_value_counts_once_however_many_channels():
    for channels in (1, 3, 4):
        found = pixel_map(grouped(channels=channels), Extent(SIDE, SIDE))
        assert np.array_equal(found.values, PLAYERS[LABELS])


def test_equal_channels_without_features_count_once_and_others_are_summed():
    one = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    target, prediction = np.array(["a"]), np.array([1.0])
    same = pixel_map(Explanation("m", np.repeat(one, 3, axis=1), target, prediction), Extent(8, 8))
    assert np.array_equal(same.values, one[0, 0])
    assert same.joined == "same"
    differing = np.concatenate([one, 2 * one, -one], axis=1)
    summed = pixel_map(Explanation("m", differing, target, prediction), Extent(8, 8))
    assert np.allclose(summed.values, 2 * one[0, 0], rtol=1e-15)
    assert summed.joined == "sum"


def test_players_that_differ_between_channels_are_each_counted_once():
    # Red and green belong to player 0, blue to player 1.
    labels = np.broadcast_to(np.array([0, 0, 1]).reshape(3, 1, 1), (3, 6, 6))
    values = np.array([10.0, 1.0])[labels][None]
    one = Explanation(
        "m", values, np.array(["a"]), np.array([1.0]), feature_values=np.array([[10.0, 1.0]]), features=labels[None]
    )
    found = pixel_map(one, Extent(6, 6))
    assert (found.values == 11.0).all()
    assert found.joined == "players"


def test_borders_lie_where_two_labels_meet():
    expected = np.zeros((SIDE, SIDE), bool)
    for y in range(SIDE):
        for x in range(SIDE):
            right = x + 1 < SIDE and LABELS[y, x] != LABELS[y, x + 1]
            below = y + 1 < SIDE and LABELS[y, x] != LABELS[y + 1, x]
            expected[y, x] = right or below
    assert np.array_equal(borders(LABELS), expected)


@pytest.mark.parametrize(("thickness", "columns"), [(1, [14]), (2, [14, 15]), (3, [13, 14, 15]), (4, [13, 14, 15, 16])])
def test_thicker_lines_grow_to_both_sides(thickness, columns):
    two = np.zeros((5, SIDE), int)
    two[:, 15:] = 1
    drawn = borders(two, thickness)
    assert np.flatnonzero(drawn[2]).tolist() == columns


def test_a_picture_carries_lines_exactly_on_the_borders():
    one = grouped(np.zeros(4))
    photo = np.full((SIDE, SIDE, 3), 100, np.uint8)
    found = pixel_map(one, Extent(SIDE, SIDE))
    scale = scale_of(found.values, "auto", 99, "overlay")
    area = painted(photo, found, scale, Look(background="photo"), "overlay")
    assert np.array_equal((area != 100).any(axis=2), borders(LABELS))
    plain = painted(photo, found, scale, Look(background="photo", boundaries=False), "overlay")
    assert (plain == 100).all()


@pytest.mark.parametrize("tone", [0, 100, 200, 255])
def test_lines_are_seen_on_every_tone(tone):
    found = pixel_map(grouped(np.zeros(4)), Extent(SIDE, SIDE))
    photo = np.full((SIDE, SIDE, 3), tone, np.uint8)
    scale = scale_of(found.values, "auto", 99, "overlay")
    area = painted(photo, found, scale, Look(background="photo"), "overlay").astype(int)
    assert (abs(area[borders(LABELS)] - tone) > 80).all()


def test_pixels_as_players_get_no_lines_on_their_own():
    pixels = np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE)
    found = pixel_map(grouped(np.zeros(SIDE * SIDE), pixels), Extent(SIDE, SIDE))
    photo = np.full((SIDE, SIDE, 3), 100, np.uint8)
    scale = scale_of(found.values, "auto", 99, "overlay")
    assert (painted(photo, found, scale, Look(background="photo"), "overlay") == 100).all()


@pytest.mark.parametrize(
    ("sign", "top", "expected"),
    [("signed", 1, [1]), ("signed", 3, [1, 2, 0]), ("positive", 2, [2, 0]), ("absolute", 9, [1, 2, 0, 3])],
)
def test_top_features_are_the_strongest(sign, top, expected):
    found = pixel_map(grouped(padded=3), Extent(SIDE, SIDE))
    scale = scale_of(found.values, sign, 99, "overlay")
    assert top_players(found, scale, top, "overlay").tolist() == expected


def test_only_the_top_feature_is_coloured_and_the_rest_is_grey():
    found = pixel_map(grouped(), Extent(SIDE, SIDE))
    photo = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    scale = scale_of(found.values, "auto", 99, "overlay")
    area = painted(photo, found, scale, Look(top=1, boundaries=False), "overlay").astype(int)
    colour = area.max(axis=2) - area.min(axis=2)
    chosen = LABELS == 1
    assert (colour[~chosen] == 0).all()
    assert (area[chosen][:, 2] > area[chosen][:, 0] + 60).all()  # below zero: blue


def test_top_one_of_an_overlay_differs_from_all():
    photo = np.full((SIDE, SIDE, 3), 100, np.uint8)
    assert render.overlay(grouped(), photo, top=1).tobytes() != render.overlay(grouped(), photo).tobytes()
