"""CSV tables and .npy, .npz arrays: values, refusals and their messages."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from models import planted
from xaionnx.data.arrays import read_array
from xaionnx.data.dataset import Dataset
from xaionnx.data.spec import InputSpec
from xaionnx.data.table_files import read_table
from xaionnx.errors import DataError, ParameterError

SPEC = InputSpec(kind="table", columns=["age", "housing"], categories={"housing": ["own", "rent"]})


@pytest.fixture
def save(tmp_path):
    def write(data, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def test_rows_come_in_the_specs_order_with_categories_as_codes(save):
    table, refusals = read_table(save('housing,age\r\nrent,41\n"own", 1.5e1 \n'), SPEC)
    assert np.array_equal(table.values, np.array([[41, 1], [15, 0]], np.float32))
    assert table.values.dtype == np.float32
    assert (table.rows, table.columns, table.notes, refusals) == ((0, 1), ("age", "housing"), (), [])


def test_without_columns_in_the_spec_the_files_order_counts(save):
    table, _ = read_table(save("\ufeffb,a\n1,2\n"), InputSpec(kind="table"))
    assert table.columns == ("b", "a")
    assert table.values.tolist() == [[1, 2]]


def test_numbers_are_names_of_columns_if_the_spec_lists_them(save):
    """Wavelengths, and columns that are numbered: any order, and further ones, as for names of letters."""
    path = save("430,400,410\n3,1,2\n6,4,5\n")
    named = InputSpec(kind="table", columns=["400", "410", "430"])
    table, refusals = read_table(path, named)
    assert (table.values.tolist(), table.columns, refusals) == ([[1, 2, 3], [4, 5, 6]], ("400", "410", "430"), [])
    some = InputSpec(kind="table", columns=["400", "430"], ignore=["410"])
    assert read_table(path, some)[0].values.tolist() == [[1, 3], [4, 6]]
    for other in (InputSpec(kind="table"), InputSpec(kind="table", columns=["400", "410", "440"])):
        with pytest.raises(DataError, match="begins with a line of numbers, which may be a row"):
            read_table(path, other)


def test_ignored_columns_may_be_there_and_hold_anything(save):
    spec = InputSpec(kind="table", columns=["a"], ignore=["class"])
    assert read_table(save("class,a\ngood,2\n"), spec)[0].values.tolist() == [[2]]
    assert read_table(save("class,a\ngood,2\n"), InputSpec(kind="table", ignore=["class"]))[0].columns == ("a",)
    assert read_table(save("a\n2\n"), spec)[0].values.tolist() == [[2]]
    with pytest.raises(ParameterError) as refused:
        InputSpec(kind="table", columns=["a"], ignore=["a"])
    assert str(refused.value) == "The column 'a' is listed under both 'columns' and 'ignore'. Keep one of them."


def test_numbers_that_float32_cannot_hold_are_noted(save):
    table, _ = read_table(save("id\n16777217\n"), InputSpec(kind="table"))
    assert table.notes == ("numbers above 16777216 are rounded to float32",)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "row 1 (line 3): the line is blank. Fill it or remove it."),
        ("1", "row 1 (line 3): the line has 1 cells, but the header has 2. Correct it."),
        ("1,own,2", "row 1 (line 3): the line has 3 cells, but the header has 2. Correct it."),
        (",own", "row 1 (line 3), column 'age': the cell is empty. Fill it, or remove the row."),
        ("1,Own", "row 1 (line 3), column 'housing': 'Own' is not one of the categories. Nearest: own."),
        ("1,villa", "row 1 (line 3), column 'housing': 'villa' is not one of the categories. Known: own, rent."),
        *(
            (f"{cell},own", f"row 1 (line 3), column 'age': '{cell}' is not a finite decimal number. Correct it.")
            for cell in ("nan", "inf", "-Infinity", "1_000", "0x1f", "forty", "1;5", "４")
        ),
        ("1e39,own", "row 1 (line 3), column 'age': '1e39' is too large for float32. Correct it."),
    ],
)
def test_a_bad_row_is_left_out_and_named(save, line, reason):
    path = save(f"age,housing\n1,own\n{line}\n3,rent\n")
    table, refusals = read_table(path, SPEC)
    assert table.values.tolist() == [[1, 0], [3, 1]]
    assert table.rows == (0, 2)
    assert [(str(refusal), refusal.row) for refusal in refusals] == [(f"'{path}', {reason}", 1)]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None", "?", "#N/A", "<NA>"])
def test_a_missing_cell_is_nan_if_the_model_takes_it(save, cell):
    path = save(f"age,housing\n{cell},own\n3,{cell}\n")
    table, refusals = read_table(path, SPEC, "which the model takes")
    np.testing.assert_array_equal(table.values, [[np.nan, 0], [3, np.nan]])
    assert refusals == []
    assert table.notes == ("2 missing cells read as NaN, which the model takes",)
    table, refusals = read_table(path, SPEC, "")
    assert len(table.values) == 0
    why = "the cell is empty" if not cell.strip() else f"{cell.strip()!r} stands for a missing value"
    advice = "Fill it, or remove the row, because this model takes no missing values."
    assert str(refusals[0]) == f"'{path}', row 0 (line 2), column 'age': {why}. {advice}"


def test_a_category_may_be_called_like_a_missing_value(save):
    spec = InputSpec(kind="table", columns=["country"], categories={"country": ["DE", "NA"]})
    table, _ = read_table(save("country\nNA\nDE\nna\n"), spec, "which the model takes")
    np.testing.assert_array_equal(table.values, [[1], [0], [np.nan]])


def test_infinity_is_no_missing_value(save, tmp_path):
    _, refusals = read_table(save("age,housing\ninf,own\n1,own\n"), SPEC, "which the model takes")
    assert [refusal.row for refusal in refusals] == [0]
    np.save(tmp_path / "t.npy", np.float32([[np.nan, 0], [np.inf, 0], [1, 1]]))
    table, refusals = read_table(tmp_path / "t.npy", SPEC, "which the model takes")
    assert (table.rows, [refusal.row for refusal in refusals]) == ((0, 2), [1])
    assert table.notes == ("1 missing number read as NaN, which the model takes",)


@pytest.mark.parametrize(
    ("dtype", "cell", "read"),
    [
        ("int64", "9223372036854775807", 2**63 - 1),
        ("int64", "9223372036854775808", None),
        ("int64", "-9223372036854775808", -(2**63)),
        ("int64", "-9223372036854775809", None),
        ("int64", "9.007199254740993e15", 2**53 + 1),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("uint64", "18446744073709551616", None),
    ],
)
def test_whole_numbers_are_exact_to_the_ends_of_their_range(save, dtype, cell, read):
    path = save(f"age,housing\n{cell},1\n3,0\n")
    table, refusals = read_table(path, InputSpec(kind="table", columns=("age", "housing")), dtype=dtype)
    if read is not None:
        assert table.values.tolist() == [[read, 1], [3, 0]]
    else:
        assert table.values.tolist() == [[3, 0]]
        assert f"'{cell}' is not a whole number in the range of {dtype}" in str(refusals[0])


@pytest.mark.parametrize("cell", ['"3,5"', '"1,234.5"', "1 234", "1'234"])
def test_separators_of_other_countries_are_refused_with_the_way_to_write_them(save, cell):
    _, (refusal,) = read_table(save(f"age,housing\n{cell},own\n3,own\n"), SPEC)
    assert str(refusal).endswith("Write it with a decimal point, and thousands without a separator.")


def test_the_nearest_category_may_differ_in_case(save):
    _, (refusal,) = read_table(save("age,housing\n3,OWN\n3,own\n"), SPEC)
    assert str(refusal).endswith("'OWN' is not one of the categories. Nearest: own.")


def test_a_broken_quote_ends_the_table(save):
    path = save('age,housing\n1,own\n2,"rent\n3,own\n')
    table, refusals = read_table(path, SPEC)
    assert table.rows == (0,)
    assert (
        str(refusals[0]) == f"'{path}', row 1 (line 3): broken CSV (unexpected end of data). Nothing after it is read."
    )


def test_lines_are_counted_through_quoted_line_breaks(save):
    path = save('a\n"1\n"\nbad\n')
    table, refusals = read_table(path, InputSpec(kind="table"))
    assert table.rows == (0,)
    assert (refusals[0].row, str(refusals[0])[-60:]) == (
        1,
        "row 1 (line 4), column 'a': 'bad' is not a finite decimal number. Correct it."[-60:],
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", " is empty (0 bytes). Copy or download it again."),
        ("age,housing\n", " has a header but no rows. Add at least one row."),
        ("\n1,2\n", ", line 1: the header is blank. Put the column names there."),
        (
            "41,0\n42,1\n",
            " begins with a line of numbers, which may be a row. Put the names of the columns above it or, if these "
            "are the names, list them under 'columns' of a spec.",
        ),
        ("age;housing\n1;own\n", " is separated by ';', not by commas. Save it with commas."),
        ("age  income\n41 1.5\n", " is separated by blanks, not by commas. Save it with commas."),
        ('"age" "income"\n"1" 41 1.5\n', " is separated by blanks, not by commas. Save it with commas."),
        ("41 1.5\n42 2.5\n", " is separated by blanks, not by commas. Save it with commas."),
        (
            '{"age": 41, "housing": "own"}\n{"age": 42, "housing": "rent"}\n',
            " is JSON, and tables are read from CSV and Parquet. Save it as CSV, such as by pandas.read_json('{path}', "
            "lines=True).to_csv('t.csv', index=False).",
        ),
        ("sep=;\nage;age\n1;2\n", ", line 2: two columns are named 'age'. Rename or remove one."),
        ("age,age\n1,2\n", ", line 1: two columns are named 'age'. Rename or remove one."),
        ("age,,home\n1,2,own\n", ", line 1: column 2 has no name. Name every column."),
        ("age,\n1,2\n", ", line 1: column 2 has no name. Remove the comma at the end of the lines, or name it."),
        (
            ",age\n0,1\n",
            ", line 1: column 1 has no name. If it counts the rows, as the index of a frame of pandas does, save the "
            "frame without it.",
        ),
        ("age,house\n1,own\n", " lacks the column 'housing' that the model needs. Nearest: 'house'. Add or rename it."),
        (
            "age,housing,zip\n1,own,3\n",
            " has the column 'zip', which the model does not use. Remove it, or list it under 'ignore' of the spec.",
        ),
        (
            "age,housing\n1,\xe9\n".encode("latin-1"),
            ", line 2: the byte 0xe9 is not UTF-8. Save the file as CSV in UTF-8.",
        ),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00",
            " is a picture, but the model needs rows of a table. Give a CSV file or an array (N, F).",
        ),
        ("age,housing\n1,own\n".encode("utf-16"), " is UTF-16 or binary, not UTF-8 text. Save it as CSV in UTF-8."),
    ],
)
def test_a_bad_table_is_refused_in_these_words(save, data, reason):
    path = save(data)
    with pytest.raises(DataError) as refused:
        read_table(path, SPEC)
    assert str(refused.value) == f"'{path}'{reason.replace('{path}', str(path))}"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_first_line_of_a_file_for_excel_names_the_separator(save, mark):
    lines = [f"sep={mark}", mark.join(["housing", "age"]), mark.join(["rent", "41"]), mark.join(["tent", "1"])]
    path = save("\ufeff" + "".join(f"{line}\r\n" for line in lines))
    table, refusals = read_table(path, SPEC)
    assert table.values.tolist() == [[41, 1]]
    assert [(one.row, "row 1 (line 4), column 'housing': 'tent'" in str(one)) for one in refusals] == [(1, True)]


def test_a_file_for_excel_is_read_in_blocks_too(save):
    path = save("sep=;\nage;label\n" + "".join(f"{n};{n % 7}\n" for n in range(1100)))
    dataset = Dataset.of(path, labels="label")
    model = planted.load(planted.linear([[1.0]]), spec=InputSpec(kind="table", columns=["age"]))
    blocks = [*dataset.batches(model, 300)]
    assert [value for block in blocks for value in block.inputs.arrays["x"][:, 0].tolist()] == [*range(1100)]
    assert [int(label) for block in blocks for label in block.labels] == [n % 7 for n in range(1100)]


def test_an_array_is_a_table_too_and_bad_rows_are_named(save):
    path = save(npy(np.array([[1.0, 0], [np.nan, 1], [3, 1]])), "t.npy")
    table, refusals = read_table(path, SPEC)
    assert table.values.tolist() == [[1, 0], [3, 1]]
    assert table.rows == (0, 2)
    assert str(refusals[0]) == f"'{path}', row 1, column 'age': nan is not a finite float32 number. Correct it."
    path = save(npy(np.ones((2, 3))), "wide.npy")
    with pytest.raises(DataError) as refused:
        read_table(path, SPEC)
    assert str(refused.value) == f"'{path}' has an array (2, 3), but the table is (N, 2). Save one row per sample."


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", "|u1", "|b1", "<f2"])
def test_arrays_are_read_in_native_order(save, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4).astype(dtype), order=order)
    file = read_array(save(npy(array), "x.npy"))
    assert np.array_equal(file.array, array)
    assert file.array.dtype.isnative
    assert file.array.flags.c_contiguous
    assert file.array.flags.writeable
    assert file.notes == (("big-endian numbers are converted to native order",) if dtype[0] == ">" else ())


def claiming(shape, dtype="<f8", data=b"12345678"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            claiming((10**6, 10**6)),
            " declares an array (1000000, 1000000) float64 of 8000000000000 bytes, but has 8 bytes. Save it again.",
        ),
        (
            claiming((1,), data=b"123456789"),
            " declares an array (1,) float64 of 8 bytes, but has 9 bytes. Save it again.",
        ),
        (claiming((-1,)), " has a damaged .npy header. Save the array again."),
        (npy(np.ones(3))[:40], " has a damaged .npy header. Save the array again."),
        (
            npy(np.array([{}], object), allow_pickle=True),
            " contains Python objects, which need pickle and are not read. Save a numeric array.",
        ),
        (npy(np.array(["a"])), " contains elements of type <U1, not numbers. Save a numeric array."),
        (npy(np.array([1j])), " contains elements of type complex128, not numbers. Save a numeric array."),
        (npy(np.float32(3)), " contains a single number without a batch axis. Save an array (N, ...)."),
        (npy(np.ones((0, 3))), " contains an array (0, 3) without elements. Save at least one sample."),
        (b"hello", " is not a .npy or .npz file. Save the array with numpy.save."),
        (b"PK\3\4" + b"\0" * 40, " is a truncated or damaged .npz file. Save it again."),
    ],
)
def test_a_bad_array_is_refused_in_these_words(save, data, reason):
    path = save(data, "x.npy")
    with pytest.raises(DataError) as refused:
        read_array(path)
    assert str(refused.value) == f"'{path}'{reason}"


def test_npz_gives_its_only_array_or_the_named_one(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.ones((2, 2)), y=np.zeros(3))
    assert read_array(path, "y").array.tolist() == [0, 0, 0]
    with pytest.raises(DataError) as refused:
        read_array(path)
    assert str(refused.value) == f"'{path}' contains 2 arrays (x, y). Save the input alone."
    with pytest.raises(DataError) as refused:
        read_array(path, "images")
    assert str(refused.value) == f"'{path}' contains 2 arrays (x, y). Name one of them 'images', the input."
    np.savez(path, y=np.zeros(3))
    assert read_array(path, "images").array.shape == (3,)


def test_npz_bombs_are_refused_before_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr("xaionnx.data.arrays.MAX_ARRAY_BYTES", 2**20)
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.zeros(2**19))
    with pytest.raises(DataError) as refused:
        read_array(path)
    assert str(refused.value) == f"'{path}' unpacks to 4 MB, over the limit of 1 MB. Split it."


def test_npz_members_that_are_no_arrays_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"text")
    with pytest.raises(DataError) as refused:
        read_array(path)
    assert str(refused.value) == f"'x' in '{path}' is not an array. Save the file with numpy.savez."


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_damaged_arrays_give_an_array_or_a_data_error_and_nothing_else(tmp_path, kind):
    path, stream = tmp_path / f"x.{kind}", io.BytesIO()
    (np.save if kind == "npy" else np.savez_compressed)(stream, np.arange(20.0).reshape(4, 5))
    sound, rng, refused = stream.getvalue(), np.random.default_rng(1), 0
    for trial in range(300):
        damaged = bytearray(sound)
        if trial % 3 == 0:
            damaged = damaged[: rng.integers(1, len(sound))]
        else:
            for at in rng.integers(0, len(sound), 2):
                damaged[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(bytes(damaged))
        try:
            assert read_array(path).array.ndim > 0
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("digits", [40, 400, 4301, 60_000])
def test_a_number_of_many_digits_is_a_bad_row(save, digits):
    table, refusals = read_table(save(f"a\n1\n{'9' * digits}\n2\n"), InputSpec(kind="table"))
    assert table.values.ravel().tolist() == [1, 2]
    assert [refusal.row for refusal in refusals] == [1]
