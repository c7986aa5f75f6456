"""What people met whose samples and labels were read otherwise than they meant. The log is reading.toml."""

from __future__ import annotations

import decimal
import re
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import xaionnx
from models import planted
from tests.tiny import loaded, parsed, trained
from xaionnx import Dataset, InputSpec, Target
from xaionnx.errors import DataError, InputMismatchError, ParameterError
from xaionnx.explainers.exact_shapley import ExactShapley
from xaionnx.explainers.feature_ablation import FeatureAblation

REPORTS = tomllib.loads(Path(__file__).with_name("reading.toml").read_text(encoding="utf-8"))["report"]

# y = x1 + x2, where a missing number counts 7.
MISSING = """g (float[N, 2] x) => (float[N, 1] y) <float[1] seven = {7}, int64[1] axes = {1}> {
  missing = IsNaN (x)
  filled = Where (missing, seven, x)
  y = ReduceSum <keepdims = 1> (filled, axes)
}"""
# Class 0 counts the country NA and the amount, class 1 the code 01730.
WORDS = """g (string[N, 1] country, float[N, 1] amount) => (float[N, 2] y)
    <string[1] na = {"NA"}, string[1] code = {"01730"}> {
  named = Equal (country, na)
  first = Cast <to = 1> (named)
  coded = Equal (country, code)
  second = Cast <to = 1> (coded)
  sum = Add (first, amount)
  y = Concat <axis = 1> (sum, second)
}"""
# The last three digits of each number.
DIGITS = """g (int64[N, 2] x) => (float[N, 1] y) <int64[1] axes = {1}, int64 thousand = {1000}> {
  digits = Mod (x, thousand)
  numbers = Cast <to = 1> (digits)
  y = ReduceSum <keepdims = 1> (numbers, axes)
}"""
WHOLE = """g (int64[N, 2] x) => (float[N, 1] y) <int64[1] axes = {1}> {
  numbers = Cast <to = 1> (x)
  y = ReduceSum <keepdims = 1> (numbers, axes)
}"""


@pytest.fixture
def linear():
    return planted.load(planted.linear([[1.0, 10.0]]), spec=InputSpec(kind="table", columns=("a", "b")))


@pytest.fixture
def numbered(tmp_path):
    """Three classes, x1, x2 and x1 + x2, whose names are the numbers from 1."""
    onnx.save(planted.linear([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), tmp_path / "classes.onnx")
    spec = '[input]\nname = "x"\nkind = "table"\ncolumns = ["a", "b"]\n'
    spec += '[output]\nname = "y"\nactivation = "logits"\nlabels = ["1", "2", "3"]\n'
    (tmp_path / "classes.toml").write_text(spec)
    return xaionnx.Model.load(tmp_path / "classes.onnx")


def drops(model, x, **given):
    """The values of the data set for the class of each label."""
    scores = xaionnx.evaluate(model, Dataset.of(x, **given), "feature_ablation", "deletion", Target.labelled())
    return scores.provenance["target"]


def test_reports_are_numbered_sorted_and_held():
    assert [report["number"] for report in REPORTS] == list(range(1, len(REPORTS) + 1))
    assert [report["link"].lower() for report in REPORTS] == sorted(report["link"].lower() for report in REPORTS)
    for report in REPORTS:
        for name in report["tests"]:
            assert re.search(rf"^def {name}\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE), name


def test_numbers_that_name_another_class_are_refused(numbered, tmp_path):
    rows = pd.DataFrame({"a": [1.0, 2.0, 5.0], "b": [3.0, 4.0, 0.5]})
    labelled = rows.assign(label=[1, 2, 1])
    labelled.to_csv(tmp_path / "rows.csv", index=False)
    assert drops(numbered, tmp_path / "rows.csv", labels="label") == ["1 (0)", "2 (1)", "1 (0)"]
    assert drops(numbered, rows, labels=labelled["label"].astype(str)) == ["1 (0)", "2 (1)", "1 (0)"]
    for given in (labelled, labelled.astype({"label": float})):
        with pytest.raises(ParameterError, match=r"label 1 may be the number of a class, or the name of class 0, '1'"):
            drops(numbered, given, labels="label")


def test_whole_numbers_that_are_written_as_floats_are_classes(numbered):
    rows = np.array([[1.0, 3.0], [2.0, 4.0]], np.float32)
    assert drops(numbered, rows, labels=["1.0", "3.0"]) == ["1 (0)", "3 (2)"]
    assert drops(numbered, rows, labels=["1.0", ""]) == ["1 (0)", ""]


def test_labels_with_the_index_of_a_frame_in_another_order_are_refused(linear):
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [3.0, 4.0, 5.0]}, index=["x", "y", "z"])
    labels = pd.Series([0, 1, 2], index=rows.index)
    turned = rows.sort_values("a", ascending=False)
    with pytest.raises(ParameterError, match=r"in another order.*labels\[frame\.index\].*labels\.to_numpy\(\)"):
        Dataset.of(turned, labels=labels)
    [block] = Dataset.of(turned, labels=labels[turned.index]).batches(linear)
    assert list(block.labels) == [2, 1, 0]
    # A frame that counts its rows anew, as after scaling, says nothing of the labels' index.
    [block] = Dataset.of(turned.reset_index(drop=True), labels=labels).batches(linear)
    assert list(block.labels) == [0, 1, 2]


def test_a_path_and_a_number_are_a_sample_and_its_label(tmp_path):
    model, digits = trained("mnist_cnn"), np.load("models/data/mnist_sample.npz")["images"][:3]
    for number, digit in enumerate(digits):
        Image.fromarray(digit[0]).save(tmp_path / f"{number}.png")
    pairs = [(str(tmp_path / f"{number}.png"), 7 - number) for number in range(3)]
    for given in (pairs, iter(pairs)):
        scores = xaionnx.evaluate(model, Dataset.of(given), "saliency", "sparseness", Target.labelled())
        assert scores.provenance["target"] == ["7 (7)", "6 (6)", "5 (5)"]
    # Both may be texts, as a question and its context are.
    with pytest.raises(DataError, match=r"file and its label, give Path\(file\)"):
        xaionnx.evaluate(model, Dataset.of([(pairs[0][0], "7")]), "saliency", "sparseness")
    [block] = Dataset.of([(Path(pairs[0][0]), "7")]).batches(model)
    assert block.labels == ("7",)
    with pytest.raises(DataError, match="its item 1 is of the type int"):
        xaionnx.evaluate(model, Dataset.of([[*pairs[0]]]), "saliency", "sparseness")


def test_arrays_of_objects_are_refused_with_what_to_do(linear):
    mixed = pd.DataFrame({"a": [1, 2], "b": [True, False]})
    with pytest.raises(InputMismatchError, match=r"of the type object.*Pass the frame or.*astype\('float32'\)"):
        xaionnx.explain(linear, mixed.to_numpy(), "feature_ablation")
    values = xaionnx.explain(linear, mixed, "feature_ablation").values
    np.testing.assert_array_equal(values, [[1, 10], [2, 0]])


def test_a_missing_number_in_the_baseline_stays_with_its_feature():
    model = loaded(MISSING)
    x, baseline = np.array([[1.0, 2.0]], np.float32), np.array([0, np.nan], np.float32)
    for method in (FeatureAblation, ExactShapley):
        np.testing.assert_array_equal(xaionnx.explain(model, x, method(baseline=baseline)).values, [[1, -5]])
    # 3 at first, then 8 without the second, which is worth more, and 7 without both.
    scores = xaionnx.evaluate(model, x, "feature_ablation", "deletion", baseline=baseline)
    assert scores.values.tolist() == [(3 + 8) / 4 + (8 + 7) / 4]


def test_a_fraction_is_no_baseline_of_whole_numbers():
    model, x = loaded(WHOLE), np.array([[3, 5]])
    for baseline in (0.1, np.array([0.1, 2.0])):
        with pytest.raises(ParameterError, match=r"cannot represent a baseline of 0\.1"):
            xaionnx.explain(model, x, FeatureAblation(baseline=baseline))
    values = xaionnx.explain(model, x, FeatureAblation(baseline=np.array([1.0, 2.0]))).values
    np.testing.assert_array_equal(values, [[2, 3]])


def test_points_in_names_of_files_belong_to_the_name(tmp_path):
    names = ["22.05", "22", "2.0 (Clean)", "a.jpg.b"]
    (tmp_path / "pictures").mkdir()
    for name in names:
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    for suffix in ("", ".png"):
        lines = [f"{name}{suffix},{number}" for number, name in enumerate(names)]
        (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
        data = Dataset.of(tmp_path / "pictures", labels=tmp_path / "labels.csv")
        [block] = data.batches(trained("mnist_cnn"))
        found = dict(zip([Path(name).stem for name in block.inputs.names], block.labels, strict=True))
        assert found == {name: str(number) for number, name in enumerate(names)}


def test_blank_lines_are_no_rows_that_vanish(tmp_path):
    single = planted.load(planted.linear([[2.0]]), spec=InputSpec(kind="table", columns=("a",)))
    path = tmp_path / "rows.csv"
    path.write_text("a\n   0\n   1\n   0\n")
    np.testing.assert_array_equal(xaionnx.explain(single, path, "feature_ablation").values, [[0], [2], [0]])
    path.write_text("a\n1\n\n3\n")
    scores = xaionnx.evaluate(single, Dataset.of(path), "feature_ablation", "completeness")
    assert scores.values.tolist() == [0, 0]
    [left_out] = scores.provenance["left_out"]
    assert left_out["unit"] == 1
    assert "the line is blank" in left_out["reason"]


@pytest.mark.parametrize("turn", [np.asfortranarray, lambda x: np.ascontiguousarray(x.T).T, lambda x: x.astype(">f4")])
def test_the_order_in_memory_changes_nothing(turn, linear, tmp_path):
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    given = turn(x)
    np.save(tmp_path / "rows.npy", given)
    expected = x * [1, 10]
    for rows in (given, tmp_path / "rows.npy"):
        np.testing.assert_array_equal(xaionnx.explain(linear, rows, "feature_ablation").values, expected)
    run = xaionnx.explain_all(linear, Dataset.of(tmp_path / "rows.npy"), "feature_ablation", to=tmp_path / "run")
    np.testing.assert_array_equal(np.concatenate([row.values for row in run]), expected)


@pytest.mark.parametrize("metric", ["deletion", "relevance_mass_accuracy", "max_sensitivity", "average_drop", "irof"])
def test_later_parts_have_their_own_labels_and_masks(metric):
    model = trained("mnist_cnn")
    x = np.load("models/data/mnist_sample.npz")["images"][:3].astype(np.float32) / 255
    labels, masks = np.array([3, 5, 0]), x[:, 0] > 0.5
    data = Dataset.of(x, labels=labels, masks=masks)
    parts = xaionnx.evaluate(model, data, "saliency", metric, Target.labelled(), batch_size=1).values
    for n, label in enumerate(labels.tolist()):
        own = xaionnx.evaluate(model, x[n : n + 1], "saliency", metric, label, masks=masks[n : n + 1])
        assert parts[n] == own.values[0]


def test_a_correlation_without_a_value_says_why(linear):
    x = np.ones((1, 2), np.float32)
    scores = xaionnx.evaluate(linear, x, np.ones((1, 2)), "faithfulness_estimate")
    assert np.isnan(scores.values[0])
    assert "equal" in scores.reasons[0]
    scores = xaionnx.evaluate(linear, x, np.array([[1.0, 2.0]]), "faithfulness_estimate", baseline=1.0)
    assert np.isnan(scores.values[0])
    assert scores.reasons[0]


def test_labels_in_batches_are_those_of_their_files(tmp_path):
    digits = np.load("models/data/mnist_sample.npz")["images"]
    for number in range(7):
        folder = tmp_path / str(number % 3)
        folder.mkdir(exist_ok=True)
        Image.fromarray(digits[number, 0]).save(folder / f"{number}.png")
    for size in (2, 3, 5):
        for block in Dataset.of(tmp_path).batches(trained("mnist_cnn"), size):
            assert [Path(name).parent.name for name in block.inputs.names] == list(block.labels)
            for name, x in zip(block.inputs.names, block.inputs.arrays["pixels"], strict=True):
                np.testing.assert_allclose(x * 255, digits[int(Path(name).stem)], atol=1e-3)


def test_frames_of_values_are_refused_with_what_to_do(linear):
    rows = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 0.1]})
    values = rows * [1, 10]
    for given in (values[["b", "a"]], {"x": values}):
        with pytest.raises(ParameterError, match=r"frame\[columns\]\.to_numpy\(\)"):
            xaionnx.evaluate(linear, rows, given, "deletion")
    scores = xaionnx.evaluate(linear, rows, values.to_numpy(), "deletion")
    assert scores.values.tolist() == pytest.approx([(31 + 1) / 4 + 1 / 4, (3 + 1) / 4 + 1 / 4])


def test_numbers_are_no_labels_of_a_single_number():
    model = loaded("""g (float[N, 2] x) => (float[N, 1] y) <float[2, 1] w = {1, -2}> {
      l = MatMul (x, w)
      y = Sigmoid (l)
    }""")
    x = np.array([[1, 0], [0, 1]], np.float32)
    for labels in ([1, 0], [0, 0], ["1", "0"], [1.0, None]):
        with pytest.raises(ParameterError, match=r"'y' of .* is a single number, which has no classes"):
            xaionnx.evaluate(model, Dataset.of(x, labels=labels), "saliency", "sparseness", Target.labelled())
    # The name of its only class may be a label.
    named = planted.load(
        planted.linear([[1.0, -2.0]]), spec=InputSpec(kind="table", columns=("a", "b"), labels=("cat",))
    )
    assert drops(named, x, labels=["cat", "cat"]) == ["cat (0)", "cat (0)"]


def test_words_are_what_is_written(tmp_path):
    rows = pd.DataFrame({"country": ["NA", "ZA", "01730", "1730", "None", "null"], "amount": [1.0, 2, 3, 4, 5, 6]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet")
    model = loaded(WORDS, opset=19)
    for given in (rows, tmp_path / "rows.csv", tmp_path / "rows.parquet"):
        for target, expected in enumerate(([1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0])):
            method = FeatureAblation(baseline={"country": np.array(["ZZ"]), "amount": 0.0})
            found = xaionnx.explain(model, given, method, target).values
            assert found["country"].ravel().tolist() == expected
            assert found["amount"].ravel().tolist() == ([0] * 6 if target else rows["amount"].tolist())


def test_whole_numbers_of_19_digits_beside_an_empty_cell(tmp_path):
    model = planted.load(parsed(DIGITS), spec=InputSpec(kind="table", columns=("a", "b")))
    (tmp_path / "rows.csv").write_text("a,b\n1234567890123456789,1\n,2\n2,3\n")
    frame = pd.DataFrame({"a": pd.array([1234567890123456789, pd.NA, 2], dtype="Int64"), "b": [1, 2, 3]})
    for given in (tmp_path / "rows.csv", frame):
        run = xaionnx.explain_all(model, given, "feature_ablation", 0, to=tmp_path / type(given).__name__)
        assert [row.values.ravel().tolist() for row in run] == [[789, 1], [2, 3]]
        [left_out] = run.refused
        assert "column 'a'" in str(left_out)


def test_numbers_that_float32_rounds_are_noted(linear, tmp_path):
    rows = pd.DataFrame({"a": [67108865, 67108866], "b": [0, 0]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    for given in (rows, tmp_path / "rows.csv"):
        [note] = linear.read(given).notes
        assert note.endswith("numbers above 16777216 are rounded to float32")
        assert xaionnx.explain(linear, given, "feature_ablation").values[:, 0].tolist() == [67108864, 67108864]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pd.to_datetime(["2020-01-01", None]), "holds dates or times"),
        (pd.array([True, None], dtype="boolean"), "row 1, column 'a': the value is missing"),
    ],
)
def test_empty_dates_and_truth_values_are_no_numbers(column, reason, linear, tmp_path):
    rows = pd.DataFrame({"a": column, "b": [1.0, 2.0]})
    rows.to_parquet(tmp_path / "rows.parquet")
    for given in (rows, tmp_path / "rows.parquet"):
        with pytest.raises(DataError, match=reason):
            xaionnx.explain(linear, given, "feature_ablation")


def test_equal_rows_have_a_row_each(linear, tmp_path):
    rows = pd.DataFrame({"a": [1.0, 1, 2, 1], "b": [3.0, 3, 4, 3]}, index=["m1", "m1", "m2", "m1"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    for given in (rows, tmp_path / "rows.csv"):
        for _ in range(2):
            run = xaionnx.explain_all(linear, given, "feature_ablation", to=tmp_path / type(given).__name__)
            assert [row.values.ravel().tolist() for row in run] == [[1, 30], [1, 30], [2, 40], [1, 30]]


def test_features_named_as_other_columns_have_columns_of_their_own(tmp_path):
    names = ("unit", "label", "target", "sample", "prediction", "unit 2")
    model = planted.load(planted.linear([np.arange(1, 7)]), spec=InputSpec(kind="table", columns=names))
    rows = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    data = Dataset.of(pd.DataFrame(rows, columns=names), labels=[3, 4, 5, 6])
    run = xaionnx.explain_all(model, data, "input_x_gradient", to=tmp_path / "run")
    frame = run.frame("pandas")
    assert frame["unit"].tolist() == [0, 1, 2, 3]
    assert frame["label"].tolist() == [3, 4, 5, 6]
    features = ["unit 2", "label 2", "target 2", "sample 2", "prediction 2", "unit 2 2"]
    np.testing.assert_array_equal(frame[features].to_numpy(), rows * np.arange(1, 7, dtype=np.float32))


def test_inputs_named_as_other_columns_have_columns_of_their_own(tmp_path):
    model = loaded("""g (float[N, 1] target, float[N, 1] unit, float[N, 1] unit_shape) => (float[N, 1] y) {
      sum = Add (target, unit)
      y = Add (sum, unit_shape)
    }""")
    given = {"target": [[1.0], [2]], "unit": [[3.0], [4]], "unit_shape": [[5.0], [6]]}
    arrays = {name: np.float32(values) for name, values in given.items()}
    run = xaionnx.explain_all(model, Dataset.of(arrays), "feature_ablation", to=tmp_path / "run")
    table = pd.read_parquet(run.to_parquet(tmp_path / "run.parquet"))
    assert table["unit"].tolist() == [0, 1]
    assert set(table["target"]) == {"y[0]"}
    for name, values in arrays.items():
        kept = name if name == "unit_shape" else f"{name} 2"
        assert np.stack(table[kept]).tolist() == values.tolist()


@pytest.mark.parametrize("form", ["frame", "csv", "parquet", "arrow"])
def test_two_columns_of_one_name_are_refused(form, linear, tmp_path):
    table = pa.table([[1.0], [2.0], [3.0]], names=["a", "b", "a"])
    (tmp_path / "rows.csv").write_text("a,b,a\n1,2,3\n")
    pq.write_table(table, tmp_path / "rows.parquet")
    frame = pd.DataFrame([[1.0, 2, 3]], columns=["a", "b", "a"])
    given = {"frame": frame, "csv": tmp_path / "rows.csv", "parquet": tmp_path / "rows.parquet", "arrow": table}[form]
    for read in (lambda: linear.read(given), lambda: drops(linear, given)):
        with pytest.raises((DataError, InputMismatchError), match=r"two columns (are )?named 'a'"):
            read()


def test_line_breaks_within_quotes_are_part_of_the_cell(linear, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b'a,b,label\r\n1,2,"x\r\ny"\r\n3,4,"z\nw"\r\n5,6,"q ""s"""\r\n')
    for size in (1, 2, 3):
        blocks = list(Dataset.of(path, labels="label").batches(linear, size))
        assert [label for block in blocks for label in block.labels] == ["x\r\ny", "z\nw", 'q "s"']
        assert np.concatenate([b.inputs.arrays["x"] for b in blocks]).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_hidden_files_and_folders_are_no_samples(tmp_path):
    spec = InputSpec(kind="picture", scale=255, color="L", size=(4, 4))
    model = planted.load(planted.mean_picture(4, 4), spec=spec)
    for name in ("a/0", "b/0", ".ipynb_checkpoints/0-checkpoint", "a/.ipynb_checkpoints/0-checkpoint", "b/._0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 60, np.uint8)).save(tmp_path / f"{name}.png")
    for name in (".DS_Store", "a/Thumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    [block] = Dataset.of(tmp_path).batches(model, 10)
    assert block.labels == ("a", "b")


@pytest.mark.parametrize("form", ["parquet", "pandas", "pandas of arrow", "arrow"])
def test_whole_numbers_and_decimals_may_have_nulls(form, tmp_path):
    spec = InputSpec(kind="table", columns=("a", "b"))
    model = planted.load(parsed(MISSING), spec=spec)
    decimals = [decimal.Decimal("1.25"), None, decimal.Decimal("3.50")]
    table = pa.table({"a": decimals, "b": pa.array([1, None, 3])})
    pq.write_table(table, tmp_path / "rows.parquet")
    given = {
        "parquet": tmp_path / "rows.parquet",
        "pandas": table.to_pandas(),
        "pandas of arrow": table.to_pandas(types_mapper=pd.ArrowDtype),
        "arrow": table,
    }[form]
    found = xaionnx.explain(model, given, ExactShapley())
    assert found.prediction.tolist() == [2.25, 14, 6.5]
    assert found.values.tolist() == [[1.25, 1], [7, 7], [3.5, 3]]


def test_a_text_has_the_score_that_it_has_alone():
    texts = ["Win a free prize now, call this number", "hi there", "See you at lunch, and then we go on to the park"]
    together = xaionnx.evaluate("models/spam.onnx", texts, "occlusion", "deletion").values
    alone = [xaionnx.evaluate("models/spam.onnx", [text], "occlusion", "deletion").values[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)
