"""The kind of picture is chosen by the result and by the available photo or signal."""

import numpy as np
import pytest

from xaionnx import Explanation, render
from xaionnx.errors import ParameterError, UnknownNameError
from xaionnx.render.picture import PICTURES

PHOTO = np.full((12, 10, 3), 90, np.uint8)
SIGNAL = np.sin(np.arange(24.0)).reshape(2, 12)


def result(shape, **more):
    values = np.random.default_rng(0).normal(size=(1, *shape))
    return Explanation("occlusion", values, np.array(["seven (7)"]), np.array([4.2]), **more)


def drawn(image):
    return np.asarray(image)


def test_values_over_a_photo_are_a_map():
    one = result((3, 12, 10))
    found = render.picture(one, photo=PHOTO, sign="absolute", original=True)
    np.testing.assert_array_equal(drawn(found), drawn(render.overlay(one, PHOTO, sign="absolute", original=True)))


def test_values_of_a_series_lie_behind_it():
    one = result((2, 12))
    found = render.picture(one, signal=SIGNAL, names=["a", "b"])
    np.testing.assert_array_equal(drawn(found), drawn(render.series(one, SIGNAL)))


def test_a_layer_without_places_is_bars_although_there_is_a_photo():
    layer = {"name": "flat", "axes": "D", "grid": None, "before": 0}
    one = result((4,), provenance={"layer": layer})
    np.testing.assert_array_equal(drawn(render.picture(one, photo=PHOTO)), drawn(render.bars(one)))


def test_names_are_those_of_the_columns_or_groups_of_them():
    one = result((3,))
    names = ["age", "income", "rent"]
    np.testing.assert_array_equal(drawn(render.picture(one, names=names)), drawn(render.bars(one, names)))
    groups = result((3,), feature_values=np.ones((1, 2)), features=np.array([[0, 0, 1]]))
    told = render.bars(groups, ["age + income", "rent"])
    np.testing.assert_array_equal(drawn(render.picture(groups, names=names)), drawn(told))


def test_a_kind_can_be_named_and_is_refused_where_it_does_not_apply():
    one = result((3, 12, 10))
    np.testing.assert_array_equal(drawn(render.picture(one, "bar", photo=PHOTO)), drawn(render.bars(one)))
    with pytest.raises(
        ParameterError,
        match=r"A picture of the kind 'series' needs an input that is a series, and a value for each of its elements\. "
        r"Choose one of: auto, bar, contours, for_and_against, map\.",
    ):
        render.picture(one, "series", photo=PHOTO)
    with pytest.raises(UnknownNameError, match=r"No picture kind named 'bars'\. Nearest: bar\b"):
        render.picture(one, "bars")


def test_kinds_have_ranks_of_their_own():
    ranks = [kind.rank for kind in PICTURES.kinds()]
    assert len(set(ranks)) == len(ranks)
