"""Pictures that are found exceed photographs, in views that the search did not see."""

import json

import pytest

import xaionnx
from tests.optimization.above_data import CROPS, RESULTS, Unit, crops, highest, measured, units

KEPT = json.loads(RESULTS.read_text())


def test_each_unit_exceeds_a_thousand_crops():
    assert CROPS >= 1000
    assert [row["unit"] for row in KEPT["units"]] == [str(unit) for unit in units()]
    for row in KEPT["units"]:
        assert row["unseen"] > row["data"] == round(KEPT["data"][row["unit"]], 3)


def test_classes_are_recognised():
    classes = [row for row in KEPT["units"] if "label" in row]
    assert sum(row["recognised"] > 4 for row in classes) >= 8


def test_crops_are_whole_pictures_of_one_size():
    first = next(crops())
    assert first.shape == (224, 224, 3)
    assert first.std() > 0


@pytest.mark.slow
def test_the_numbers_are_those_of_today():
    model = xaionnx.Model.load("models/efficientnet_lite0.onnx")
    data = highest(model)
    assert data == pytest.approx(KEPT["data"], rel=1e-3)
    unit = Unit("/_blocks.10/Add_output_0", 33)
    row, _ = measured(model, unit, data[str(unit)])
    kept = next(one for one in KEPT["units"] if one["unit"] == str(unit))
    assert row["unseen"] == pytest.approx(kept["unseen"], rel=0.1)
