"""Frames of pandas, polars and pyarrow as inputs: the same tensors as from a file, and refusals by name."""

from __future__ import annotations

import datetime

import numpy as np
import onnx
import pytest

import xaionnx
from tests.tiny import parsed
from xaionnx.data.spec import InputSpec
from xaionnx.errors import DataError, InputMismatchError
from xaionnx.runtime.model import Model

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

TABLE = "models/data/german_credit_sample.csv"


@pytest.fixture(scope="module")
def credit():
    return Model.load("models/german_credit_mlp.onnx", "cpu")


@pytest.fixture(scope="module")
def frame():
    return pd.read_csv(TABLE)


@pytest.fixture
def small(tmp_path):
    (tmp_path / "m.onnx").write_bytes(
        parsed("g (float[N,2] x) => (float[N,1] y) <int64[1] one = {1}> { y = ReduceSum(x, one) }").SerializeToString()
    )
    spec = InputSpec(kind="table", columns=["age", "housing"], categories={"housing": ["own", "rent"]})
    return Model.load(tmp_path / "m.onnx", spec=spec)


def by_pyarrow(_):
    return pytest.importorskip("pyarrow.csv").read_csv(TABLE)


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: frame,
        lambda frame: frame[frame.columns[::-1]],
        lambda frame: frame.astype(dict.fromkeys(frame.select_dtypes(exclude="number"), "category")),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.astype(object),
        lambda _: pl.read_csv(TABLE),
        lambda _: pl.read_csv(TABLE).with_columns(pl.col(pl.String).cast(pl.Categorical)),
        by_pyarrow,
    ],
    ids=["pandas", "reversed", "categories", "nullable", "objects", "polars", "polars categories", "pyarrow"],
)
def test_a_frame_is_read_as_its_file_is(credit, frame, made):
    found, expected = credit.read(made(frame)), credit.read(TABLE)
    np.testing.assert_array_equal(found.arrays["features"], expected.arrays["features"])
    assert found.arrays["features"].dtype == np.float32
    assert found.columns["features"] == tuple(credit.spec.columns)


def test_rows_of_a_frame_have_the_names_of_its_index(credit, frame):
    assert credit.read(frame[frame.age_in_years > 60].head(2)).names == ("row 0", "row 8")
    named = frame.head(3).set_axis(["anna", "ben", "cleo"], axis=0)
    assert credit.read(named).names == ("anna", "ben", "cleo")
    assert credit.read(frame.head(2)).names == ("x[0]", "x[1]")
    found = xaionnx.explain(credit, named, "feature_ablation", baseline=0)
    assert found.provenance["inputs"] == ["anna", "ben", "cleo"]
    assert found.display["features"].names == tuple(credit.spec.columns)


def test_one_row_of_a_frame(credit, frame):
    expected = credit.read(TABLE).arrays["features"][3:4]
    for row in (frame.iloc[3], frame.iloc[3].to_dict(), pl.read_csv(TABLE).row(3, named=True), frame[3:4]):
        np.testing.assert_array_equal(credit.read(row).arrays["features"], expected)
    assert credit.read(frame.iloc[3]).names == ("row 3",)


def test_columns_keep_their_names_without_a_spec(tmp_path):
    (tmp_path / "m.onnx").write_bytes(
        parsed("g (float[N,2] x) => (float[N,1] y) <int64[1] one = {1}> { y = ReduceSum(x, one) }").SerializeToString()
    )
    rows = pl.DataFrame({"age": [41, 15], "income": [3.5, 2.0]})
    model = Model.load(tmp_path / "m.onnx")
    with pytest.warns(UserWarning, match="taken in the order given: age, income"):
        found = xaionnx.explain(model, rows, "feature_ablation", 0, baseline=0)
    assert found.display["x"].names == ("age", "income")
    np.testing.assert_allclose(found.values, [[41, 3.5], [15, 2]])
    with pytest.raises(DataError, match=r"The frame has 3 columns \('age', 'income', 'label'\), but input 'x' of m"):
        model.read(rows.with_columns(label=1))


def test_values_become_numbers_and_what_is_changed_is_noted(small):
    rows = pd.DataFrame({"housing": ["rent", "own"], "age": [True, False]})
    found = small.read(rows)
    assert found.arrays["x"].tolist() == [[1, 1], [0, 0]]
    assert found.notes == ("booleans of 'age' are read as 1 and 0",)
    found = small.read(rows.assign(age=[2**24 + 1, 2]))
    assert found.notes == ("numbers above 16777216 are rounded to float32",)
    # Codes that pandas read as floats, since one was missing, are those of the words.
    numbered = Model.load(
        small.path, spec=InputSpec(kind="table", columns=["age", "zone"], categories={"zone": ["2", "7"]})
    )
    rows = pd.DataFrame({"age": [1, 2, 3], "zone": [7, np.nan, 2]})
    found = numbered.read(rows, partial=True)
    assert found.arrays["x"].tolist() == [[1, 1], [3, 0]]
    assert [one.row for one in found.refused] == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"housing": ["own", "villa"]}, "row 1, column 'housing': 'villa' is not one of the categories. Known: own, r"),
        ({"housing": ["own", None]}, "row 1, column 'housing': the value is missing. Fill it, or remove the row, bec"),
        ({"age": [1.0, np.nan]}, "row 1, column 'age': the value is missing."),
        ({"age": [1, np.inf]}, "row 1, column 'age': inf is not a finite number. Correct it."),
        ({"age": [1, 1e39]}, "row 1, column 'age': 1e+39 is too large for float32. Correct it."),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(small, changes, message):
    rows = pd.DataFrame({"age": [1, 2], "housing": ["own", "rent"], **changes})
    found = small.read(rows, partial=True)
    assert (len(found.arrays["x"]), [one.row for one in found.refused]) == (1, [1])
    assert str(found.refused[0]).startswith(f"The frame, {message}")
    with pytest.raises(DataError, match=r"The frame, row 1 \(index 7\), column"):
        small.read(rows.set_axis([9, 7], axis=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"zip": [1, 2]},
            "has the column 'zip', which the model does not use. Drop it, as in frame.drop(columns='zip')",
        ),
        (
            {"age": ["41", "15"]},
            ": the column 'age' holds text, such as '41', but the model needs numbers. Convert it,",
        ),
        ({"age": pd.to_datetime(["2020-01-01"] * 2)}, ": the column 'age' holds dates or times (Datetime), which no"),
        ({"age": [datetime.date(2020, 1, 1)] * 2}, ": the column 'age' holds objects of type date, which no input"),
        ({"age": [1, "x"]}, ": the column 'age' mixes numbers and text. Make it one kind."),
        ({"age": [[1], [2]]}, ": the column 'age' holds objects of type list, which no input of a model takes."),
        ({"housing": [0, 1]}, ": the column 'housing' holds numbers, but its categories are the words own, rent."),
    ],
)
def test_a_column_of_another_kind_is_refused_by_name(small, changes, message):
    rows = pd.DataFrame({"age": [1, 2], "housing": ["own", "rent"], **changes})
    with pytest.raises(DataError) as refused:
        small.read(rows)
    assert str(refused.value).startswith(f"The frame{' ' if message[0] != ':' else ''}{message}")


def test_frames_that_are_none_are_refused(small):
    rows = pl.DataFrame({"age": [1, 2], "housing": ["own", "rent"]})
    with pytest.raises(
        DataError, match=r"The frame lacks the column 'housing' that the model needs\. Nearest: 'house'"
    ):
        small.read(rows.rename({"housing": "house"}))
    with pytest.raises(InputMismatchError, match=r"is lazy.*frame\.collect\(\)"):
        small.read(rows.lazy())
    with pytest.raises(InputMismatchError, match="The frame has no rows"):
        small.read(rows.clear())
    for column in (rows["age"], pd.Series([1, 2], name="age")):
        with pytest.raises(InputMismatchError, match="A column of a frame is not a row"):
            small.read(column)
    twice = pd.DataFrame([[1, 2, 3]], columns=["age", "age", "housing"])
    with pytest.raises(InputMismatchError, match="two columns named 'age'"):
        small.read(twice)
    with pytest.raises(DataError, match=r"as in frame\.drop\('zip'\)"):
        small.read(rows.with_columns(zip=1))


def test_a_frame_for_a_picture_model_is_refused():
    model = Model.load("models/digits_cnn.onnx", "cpu")
    with pytest.raises(InputMismatchError, match="has the kind 'picture', which rows of a table are not"):
        model.read(pl.DataFrame({"a": [1]}))


@pytest.fixture
def columns_model(tmp_path):
    text = """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    g (float[N,1] age, int64[N,1] rooms, string[N,1] housing) => (float[N,1] y) {
        r = Cast<to = 1>(rooms)
        h = ai.onnx.ml.LabelEncoder<keys_strings = ["own", "rent"], values_floats = [0.0, 100.0]>(housing)
        s = Add(age, r)
        y = Add(s, h) }"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    return Model.load(tmp_path / "m.onnx")


def test_each_input_takes_the_column_of_its_name(columns_model):
    rows = pd.DataFrame({"housing": ["own", "rent"], "rooms": [3, 4], "age": [41, 15]})
    found = columns_model.read(rows)
    assert {name: array.tolist() for name, array in found.arrays.items()} == {
        "age": [[41], [15]],
        "rooms": [[3], [4]],
        "housing": [["own"], ["rent"]],
    }
    baseline = {"age": 0, "rooms": 0, "housing": np.array("own")}
    result = xaionnx.explain(columns_model, rows, "exact_shapley", 0, baseline=baseline)
    np.testing.assert_allclose(result.feature_values, [[41, 3, 0], [15, 4, 100]])
    assert list(result.values) == ["age", "rooms", "housing"]
    single = columns_model.read(rows.iloc[1])
    assert single.arrays["rooms"].tolist() == [[4]]
    with pytest.raises(DataError, match=r"row 0, column 'rooms': 3\.5 is not a whole number in the range of int64"):
        columns_model.read(rows.assign(rooms=[3.5, 4]))
    with pytest.raises(DataError, match=r"the column 'housing' holds floating-point numbers, but the model needs text"):
        columns_model.read(rows.assign(housing=1.0))


def test_each_input_takes_the_column_of_its_name_in_a_file(columns_model, tmp_path):
    (tmp_path / "t.csv").write_text("housing,rooms,age\nown,3,41\n rent,4,15\n,4,15\nown,9007199254740993,1\n")
    found = columns_model.read(tmp_path / "t.csv", partial=True)
    # Text is compared letter by letter, so its blanks stay.
    assert found.arrays["housing"].tolist() == [["own"], [" rent"], ["own"]]
    assert found.arrays["rooms"].tolist() == [[3], [4], [2**53 + 1]]
    assert found.names == tuple(f"{tmp_path / 't.csv'}[{row}]" for row in (0, 1, 3))
    assert str(found.refused[0]) == (
        f"'{tmp_path / 't.csv'}', row 2 (line 4), column 'housing': the cell is empty. Fill it, or remove the row, "
        "because this model takes text there."
    )


def test_inputs_by_name_may_be_frames_and_columns(columns_model):
    rows = pl.DataFrame({"housing": ["own", "rent"], "rooms": [3, 4], "age": [41, 15]})
    given = {"age": rows["age"], "rooms": rows.select("rooms"), "housing": rows["housing"]}
    found = columns_model.read(given)
    assert found.arrays["age"].tolist() == [[41], [15]]
    assert found.arrays["housing"].tolist() == [["own"], ["rent"]]


def test_a_parquet_file_is_read_as_its_frame_is(small, tmp_path):
    rows = pl.DataFrame({"age": [1, 2, None], "housing": ["own", "rent", "own"]})
    rows.write_parquet(tmp_path / "t.parquet")
    found = small.read(tmp_path / "t.parquet", partial=True)
    assert found.arrays["x"].tolist() == [[1, 0], [2, 1]]
    assert found.names == (f"{tmp_path / 't.parquet'}[0]", f"{tmp_path / 't.parquet'}[1]")
    assert str(found.refused[0]).startswith(f"'{tmp_path / 't.parquet'}', row 2, column 'age': the value is missing.")
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + b"\0" * 20 + b"PAR1")
    with pytest.raises(DataError, match="is a damaged Parquet file"):
        small.read(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_text("age,housing\n")
    with pytest.raises(DataError, match="is not a Parquet file, or is cut off"):
        small.read(tmp_path / "t.parquet")


def test_without_a_library_that_reads_parquet(small, tmp_path, monkeypatch):
    pl.DataFrame({"age": [1], "housing": ["own"]}).write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr("xaionnx.data.parquet_files.importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        DataError, match=r"Parquet files are read by pyarrow, polars or pandas\. Install one, or save a CSV"
    ):
        small.read(tmp_path / "t.parquet")
