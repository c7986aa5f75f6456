"""Methods find the tile that a class is in."""

import json

import pytest

from tests.localisation.mosaics import METHODS, MOSAICS, RESULTS, covered, hits
from xaionnx import Model

KEPT = json.loads(RESULTS.read_text())


@pytest.fixture(scope="module")
def model():
    return Model.load("models/efficientnet_lite0.onnx", batch_size=4)


def test_covering_a_tile_tells_where_a_class_is(model):
    assert covered(model, MOSAICS) == tuple(KEPT["control"])


def test_all_measured_methods_are_kept():
    assert list(KEPT["methods"]) == list(METHODS)


@pytest.mark.slow
def test_ablation_finds_more_tiles_than_chance(model):
    own, tries, share = hits("feature_ablation", 2, model)
    assert own / tries >= 0.5
    assert share > 0.35


@pytest.mark.parametrize(
    "row", ["grad_cam", *(pytest.param(row, marks=pytest.mark.slow) for row in ("deep_lift", "lrp epsilon_plus"))]
)
def test_maps_of_one_backward_run_find_more_tiles_than_chance(model, row):
    own, tries, share = hits(row, 2, model)
    assert own / tries >= 0.75
    assert share > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("row", METHODS)
def test_the_kept_results_are_those_of_today(model, row):
    own, tries, share = KEPT["methods"][row]
    found = hits(row, MOSAICS, model)
    assert found[:2] == (own, tries)
    assert found[2] == pytest.approx(share, abs=0.01)
