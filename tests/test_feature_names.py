"""The names of features and their values as a reader writes them."""

import dataclasses
import json

import numpy as np
import pytest

import xaionnx
from xaionnx import Explanation, Features
from xaionnx.data.display import rows_of
from xaionnx.errors import DataError
from xaionnx.feature_names import numeric_values, value_text
from xaionnx.render import charts

CREDIT, ROWS = "models/german_credit_mlp.onnx", "models/data/german_credit_sample.csv"
TABLE = rows_of(
    np.array([[48.0, 1, 5951], [np.nan, 0, 25000.5]]),
    ["duration", "housing", "amount"],
    ["months", "", "DM"],
    {"housing": ["rent", "own"]},
)


def record(**given):
    fields = {"values": np.ones((2, 3)), "display": {"x": TABLE}, **given}
    return Explanation("tree_shap", target=np.array(["good", "bad"]), prediction=np.ones(2), **fields)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1169.0, "DM", "1,169 DM"),
        (1969.0, "", "1969"),
        (-12345.0, "", "−12,345"),
        (1999.5, "kg", "1,999.5 kg"),
        (0.123456, "", "0.1235"),
        (np.float32(0.1), "", "0.1"),
        (1e-9, "m", "1e-09 m"),
        (1e300, "", "1e+300"),
        (-0.0, "", "0"),
        (np.inf, "", "inf"),
        (True, "", "true"),
        (np.int64(3), "rooms", "3 rooms"),
        ("", "", "missing"),
        ("<b>", "", "<b>"),
    ],
)
def test_values_are_written_as_a_reader_writes_them(value, unit, text):
    assert value_text(value, unit) == text


def test_codes_are_words_and_others_numbers():
    assert [value_text(code, words=["rent", "own"]) for code in (0.0, 1, 2.0, -1.0, 0.5, np.nan)] == [
        "rent",
        "own",
        "2",
        "−1",
        "0.5",
        "missing",
    ]


def test_a_row_has_names_units_and_words():
    one = record()
    assert one.feature_names == ("duration", "housing", "amount")
    assert one.shown_values(0) == ("48 months", "own", "5,951 DM")
    assert one.shown_values(1) == ("missing", "rent", "25,000 DM")
    assert one.sample(1).shown_values(0) == one.shown_values(1)
    with pytest.raises(IndexError, match="no sample 2 in an explanation of 2"):
        one.shown_values(2)
    np.testing.assert_array_equal(numeric_values(one), [[48, np.nan, 5951], [np.nan, np.nan, 25000.5]])


def test_a_group_has_the_names_of_its_columns_and_a_one_hot_group_its_word():
    columns = ["age", "housing_rent", "housing_own", "housing_free"]
    table = rows_of(np.array([[30.0, 0, 1, 0], [40, 0.5, 1, 2]]), columns)
    one = record(
        values=np.ones((2, 4)),
        feature_values=np.ones((2, 2)),
        features=np.array([[0, 1, 1, 1]]),
        display={"x": table},
    )
    assert one.feature_names == ("age", "housing_rent + housing_own and 1 more")
    assert one.shown_values(0) == ("30", "own")
    assert one.shown_values(1) == ("40", "0.5, 1 and 1 more")
    named = dataclasses.replace(one, provenance={"feature_names": ["age", "housing"]})
    assert named.feature_names == ("age", "housing")
    assert named.shown_values(0) == ("30", "own")


def test_columns_of_several_inputs_have_their_input_s_name():
    display = {"age": rows_of(np.array([[30.0]])), "job": rows_of(np.array([["cook"]])), "x": rows_of(np.ones((1, 2)))}
    values = {name: np.ones((1, one.array.shape[1])) for name, one in display.items()}
    one = Explanation("lime", values, np.array(["y"]), np.ones(1), display=display)
    assert one.feature_names == ("age", "job", "x[0]", "x[1]")
    assert one.shown_values(0) == ("30", "cook", "1", "1")
    players = dataclasses.replace(
        one,
        feature_values=np.ones((1, 3)),
        features={"age": np.array([[0]]), "job": np.array([[1]]), "x": np.array([[2]])},
    )
    assert players.feature_names == ("age", "job", "x[0] + x[1]")
    assert players.shown_values(0) == ("30", "cook", "1, 1")


def test_what_nothing_names_has_a_number_and_no_value():
    photo = Explanation("lime", np.ones((1, 1, 4, 4)), np.array(["y"]), np.ones(1), feature_values=np.ones((1, 3)))
    assert photo.feature_names == ("feature 0", "feature 1", "feature 2")
    assert photo.shown_values(0) == ("", "", "")
    assert numeric_values(photo).shape == (0, 3)


def test_rows_that_were_not_kept_have_no_values():
    assert record(display={"x": TABLE.sample(0)}).shown_values(1) == ("", "", "")


def test_names_may_be_those_of_each_sample():
    words = record(
        values=np.ones((2, 3)),
        feature_values=np.array([[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]]),
        provenance={"feature_names": [["free", "money", "now"], ["see", "you"]]},
        display={},
    )
    assert words.feature_names == ("feature 0", "feature 1", "feature 2")
    assert words.sample(1).feature_names == ("see", "you")


def test_a_table_of_a_spec_has_its_names_and_words():
    one = xaionnx.explain(CREDIT, ROWS, "feature_ablation", features=Features.columns([[0, 1]]))
    assert one.feature_names[:2] == ("status_of_existing_checking_account + duration_in_month", "credit_history")
    assert one.shown_values(1)[:3] == (
        "0 <= ... < 200 DM, 48 months",
        "existing credits paid back duly till now",
        "radio/television",
    )


def test_names_units_and_words_are_saved(tmp_path):
    again = Explanation.load(record().save(tmp_path / "e.npz"))
    assert again.display == {"x": TABLE}
    assert again.shown_values(1) == record().shown_values(1)


def test_a_file_from_before_units_is_read(tmp_path):
    path = record().save(tmp_path / "e.npz")
    altered(path, lambda display: [display.pop("units"), display.pop("words")])
    assert Explanation.load(path).shown_values(0) == ("48", "1", "5951")


def altered(path, change):
    """Change the record of a display in a file."""
    with np.load(path) as file:
        arrays = dict(file)
    document = json.loads(arrays["record"].tobytes())
    change(document["display"]["x"])
    arrays["record"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        {"units": ["months"]},
        {"units": [1, 2, 3]},
        {"units": 3},
        {"names": ["a"]},
        {"words": {"7": ["rent"]}},
        {"words": {"-1": ["rent"]}},
        {"words": {"one": ["rent"]}},
        {"words": {"1": [None]}},
        {"words": {"1": 5}},
        {"words": ["rent"]},
    ],
)
def test_damaged_labels_are_refused(tmp_path, damage):
    path = record().save(tmp_path / "e.npz")
    altered(path, lambda display: display.update(damage))
    with pytest.raises(DataError, match="not an explanation saved by xaionnx"):
        Explanation.load(path)


@pytest.mark.parametrize("names", [["a"], "abc", [1, 2, 3], [["a"]], [["a"], "b", ["c"]], [["a"], [1]], {"a": 1}])
def test_damaged_names_of_features_are_refused(tmp_path, names):
    one = record(feature_values=np.ones((2, 3)), provenance={"feature_names": names})
    with pytest.raises(DataError, match="not an explanation saved by xaionnx"):
        Explanation.load(one.save(tmp_path / "e.npz"))


def test_a_condition_that_says_the_value_has_none_beside_it():
    own = [
        ["36 < duration <= 60", "housing = own", "amount <= 6000"],
        ["duration is missing", "housing = rent", "amount > 1"],
    ]
    found = record(provenance={"feature_names": own})
    assert found.shown_values(0) == ("48 months", "", "5,951 DM")
    assert found.shown_values(1) == ("", "", "25,000 DM")
    alike = record(provenance={"feature_names": ["duration", "housing = own", "amount"]})
    assert alike.shown_values(1) == ("missing", "rent", "25,000 DM")
    assert charts.label("duration_in_month > 24", "30 months") == ("duration in month > 24: 30 months",)
    assert charts.label("a_b c") == ("a_b c",)
